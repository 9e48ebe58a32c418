"""`sparsevq info` tells what a run holds, whether or not it is finished, and notices what does not fit."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sparsevq.cli.about import about
from sparsevq.cli.main import main
from sparsevq.runs.lineage import lineage
from sparsevq.runs.pack import pack
from sparsevq.runs.run import PARTS, Run
from tests.edited import edited


def copied(of, folder):
    """A copy of a run that may be changed, with its data set."""
    target = folder / "try/waves/n6/seed1"
    shutil.copytree(of.path, target)
    shutil.copy(of.path.parent.parent / "data.h5", target.parent.parent)
    return target


def told(capsys, *arguments):
    assert main(["info", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_it_tells_data_sensors_and_what_was_trained(modal_run, capsys):
    found = json.loads(told(capsys, modal_run.path, "--json"))
    assert found["can_forecast"]
    assert found["kind"] == "workflow"
    assert found["data"]["grid"] == [8, 12]
    assert [channel["name"] for channel in found["data"]["channels"]] == ["u", "v"]
    assert found["data"]["axes"]["x"] | {"periodic": True, "units": "m"} == found["data"]["axes"]["x"]
    assert list(found["data"]["trajectories"]) == ["train", "val", "test"]
    assert found["sensors"]["number"] == len(modal_run.sensors.sparse)
    assert found["trained_for"]["observed_frames"] == 3
    assert found["trained_for"]["symmetries"] == {"reflect": ["y"]}
    assert set(found["models"]) == set(PARTS)
    assert found["lineage"]["faults"] == []
    assert set(found["lineage"]["missing"]) == {"calibration", "baselines"}
    assert found["scores"] is None


def test_it_says_how_the_run_is_called_in_mlflow(modal_run):
    assert about(Run(modal_run.path))["mlflow"] == {"experiment": "try", "run_name": "s1 n6 waves", "store": None}
    (modal_run.path.parents[3] / "mlflow.db").touch()
    assert about(Run(modal_run.path))["mlflow"]["store"] == f"sqlite:///{modal_run.path.parents[3]}/mlflow.db"
    (modal_run.path.parents[3] / "mlflow.db").unlink()


def test_a_variants_run_is_called_so_and_has_what_it_shares_with_the_base_run(modal_run, tmp_path):
    base = copied(modal_run, tmp_path)
    base.parent.rename(base.parent.with_name("n6-qr"))
    variant = tmp_path / "try/waves/n6-qr+wide/seed1"
    variant.mkdir(parents=True)
    (variant / "calibration.h5").touch()
    found = about(Run(variant))
    assert found["mlflow"]["run_name"] == "s1 n6-qr+wide waves"
    assert found["can_forecast"]
    assert set(found["models"]) == set(PARTS)


def test_a_model_of_mlflow_is_looked_into_as_the_run_that_it_holds(modal_run, capsys, monkeypatch):
    monkeypatch.setattr("sparsevq.serving.load.load", lambda uri, device: SimpleNamespace(run=Run(modal_run.path)))
    assert json.loads(told(capsys, "models:/waves/1", "--json"))["run"] == "models:/waves/1"


def test_people_get_the_same_as_tables(modal_run, capsys):
    text = told(capsys, modal_run.path)
    for words in ("can forecast", "8 x 12 points", "axis x", "periodic", "trained for", "1 to 3", "sha256"):
        assert words in text
    assert f"sparsevq forecast {modal_run.path} --readings" in text


def test_its_command_is_with_the_example_where_there_is_one(modal_run, tmp_path):
    target = copied(modal_run, tmp_path)
    assert "--readings readings.csv" in about(Run(target))["forecast_with"]
    (target / "readings_example.csv").write_text("sensor,u,v\n0,1,1\n")
    assert f"--readings {target}/readings_example.csv" in about(Run(target))["forecast_with"]


def test_a_run_that_is_not_finished_says_what_is_missing(modal_run, tmp_path, capsys):
    target = copied(modal_run, tmp_path)
    shutil.rmtree(target / "gpt")
    (target / "codes.h5").unlink()
    found = about(Run(target))
    assert not found["can_forecast"]
    assert found["forecast_with"] is None
    assert {"gpt", "codes"} <= set(found["lineage"]["missing"])
    text = told(capsys, target)
    assert "not finished" in text
    assert "made by stage 3" in text


def test_a_run_whose_data_set_is_gone_still_tells_its_models(modal_run, tmp_path):
    target = copied(modal_run, tmp_path)
    (target.parent.parent / "data.h5").unlink()
    found = about(Run(target))
    assert (found["data"], found["can_forecast"]) == (None, False)
    assert found["models"]["gpt"]["numbers"] > 0
    assert found["lineage"]["missing"]["data"] == "the rule preprocess"


def test_files_that_do_not_fit_one_another_are_named(modal_run, trained, tmp_path, capsys):
    target = copied(modal_run, tmp_path)
    shutil.copy(trained.codes_path, target)
    faults = about(Run(target))["lineage"]["faults"]
    assert any("gpt/model.safetensors was made from another codes.h5" in fault for fault in faults)
    assert any("codes.h5 was made from another data set" in fault for fault in faults)
    assert "FAULT" in told(capsys, target)


def test_a_damaged_file_is_named_and_the_rest_is_told(modal_run, tmp_path):
    target = copied(modal_run, tmp_path)
    whole = (target / "sensors.h5").read_bytes()
    (target / "sensors.h5").write_bytes(whole[: len(whole) // 2])
    (target / "gpt/model.safetensors").write_bytes(b"no model")
    found = about(Run(target))
    assert any("sensors.h5 is truncated" in fault for fault in found["lineage"]["faults"])
    assert any("gpt/model.safetensors cannot be read" in fault for fault in found["lineage"]["faults"])
    assert "is truncated" in found["sensors"]["fault"]
    assert found["data"]["grid"] == [8, 12]


def test_an_edit_that_was_sealed_again_is_another_file(modal_run, tmp_path):
    target = copied(modal_run, tmp_path)
    with edited(target.parent.parent / "data.h5") as file:
        file.attrs["name"] = "others"
    faults = about(Run(target))["lineage"]["faults"]
    assert sum("was made from another data set" in fault for fault in faults) >= 4


def test_large_files_are_read_only_when_asked(modal_run, monkeypatch):
    monkeypatch.setattr("sparsevq.runs.lineage.MOST_READ", 0)
    monkeypatch.setattr("sparsevq.runtime.files.LARGE", 0)
    monkeypatch.setattr("sparsevq.runtime.files._known", {})
    monkeypatch.setattr("sparsevq.runtime.files._kept_digest", lambda *arguments: None)
    run = Run(modal_run.path)
    assert {file.sha256 for file in lineage(run).values()} == {""}
    assert all(file.sha256 for file in lineage(run, thorough=True).values() if file.there)


def test_a_packed_run_tells_the_same_of_its_data(modal_run, tmp_path):
    pack(Run(modal_run.path), tmp_path / "packed")
    found, whole = about(Run(tmp_path / "packed")), about(Run(modal_run.path))
    assert (found["kind"], found["can_forecast"]) == ("packed", True)
    assert found["lineage"]["missing"] == {"calibration": "stage 3"}
    assert found["lineage"]["faults"] == []
    ours, theirs = ({**of["data"], "path": ""} for of in (found, whole))
    assert ours == theirs


def test_a_folder_of_runs_is_listed(modal_run, tmp_path, capsys):
    copied(modal_run, tmp_path)
    text = told(capsys, tmp_path)
    assert text.startswith("1 run\n")
    assert "try/waves/n6/seed1" in text
    assert len(json.loads(told(capsys, tmp_path / "try", "--json"))["runs"]) == 1


@pytest.mark.parametrize("where", ["nowhere", ""])
def test_a_folder_without_a_run_is_one_line(where, tmp_path, capsys):
    assert main(["info", str(tmp_path / where)]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "give a run's folder" in error


def test_it_imports_no_torch(modal_run):
    code = "import sys; from sparsevq.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code, "info", str(modal_run.path), "--json"], check=False)
    assert ended.returncode == 0
