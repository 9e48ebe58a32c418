"""`sparsevq demo`, and `sparsevq pack --small`."""

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from sparsevq.cli.main import main
from sparsevq.serving.demo import found
from sparsevq.serving.demo.make import read_truth


@pytest.fixture(scope="module")
def demo(modal_run, tmp_path_factory):
    """A demonstration that was made of a run."""
    folder = tmp_path_factory.mktemp("demo") / "waves"
    assert main(["demo", "--make", str(modal_run.path), "-o", str(folder)]) == 0
    return folder


def test_it_forecasts_what_was_held_out_and_says_how_wrong_it_is(demo, modal_run, tmp_path, capsys):
    assert main(["demo", str(demo), "-o", str(tmp_path / "out"), "--members", "4"]) == 0
    said = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"forecast.nc", "forecast.html", "forecast.png"}
    assert f"the readings are of trajectory {modal_run.trajectory}, which no model was trained on" in said
    with xr.open_dataset(tmp_path / "out/forecast.nc", decode_timedelta=False) as forecast:
        mean = np.stack([forecast[name].mean("member").to_numpy() for name in ("u", "v")], axis=-1).astype(float)
    data = modal_run.data
    frame = read_truth(demo, data).frame
    truth = data.fields[modal_run.trajectory, frame : frame + len(mean)]
    valid = np.isfinite(mean).all(axis=(0, 3)) & data.mask[modal_run.trajectory]
    training = data.trajectories("train")
    flows = np.where(data.mask[training][:, None, ..., None], data.fields[training], np.nan)
    with warnings.catch_warnings():  # of points that are never valid
        warnings.simplefilter("ignore", RuntimeWarning)
        time_mean = np.nanmean(flows, axis=(0, 1))

    def norm(fields):
        return np.sqrt(np.square(fields[:, valid]).mean(axis=(1, 2)))

    error = norm(mean - truth) / norm(truth - time_mean)
    told = [float(part.split()[0]) for part in said.split("time mean): ")[1].split(", ")[:3]]
    np.testing.assert_allclose(told, [error[0], error[-1], error[1:].mean()], rtol=0.1)


def test_readings_of_ones_own_have_no_truth(demo, modal_run, tmp_path, capsys):
    readings = pd.read_csv(demo / "readings_example.csv")
    readings.to_csv(tmp_path / "mine.csv", index=False)
    arguments = ["demo", str(demo), "--readings", str(tmp_path / "mine.csv"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--members", "2"]) == 0
    said = capsys.readouterr().out
    assert "error" not in said
    assert "no model was trained on" not in said
    assert (tmp_path / "out/forecast.nc").is_file()


def test_models_that_the_package_brings_are_called_by_name(demo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(found, "BROUGHT", tmp_path / "brought")
    assert main(["demo"]) == 1
    assert "no demonstration 'cylinder': this installation brings no models: give the folder" in capsys.readouterr().err
    shutil.copytree(demo, tmp_path / "brought/waves")
    assert main(["demo", "shallow"]) == 1
    assert "no demonstration 'shallow': there are waves: " in capsys.readouterr().err
    assert main(["demo", "waves", "--members", "2"]) == 0
    assert (tmp_path / "demo-waves/forecast.html").is_file()


def test_the_models_that_the_package_brings_are_whole_and_small():
    for name in found.brought():
        folder = found.demo_folder(name)
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10e6, name
        assert {"readings_example.csv", "truth.h5", "sensors.csv", "small.json"} <= {
            path.name for path in folder.iterdir()
        }


def test_flags_that_do_not_go_together_are_refused(demo, modal_run, tmp_path, capsys):
    wrong = {
        ("demo", "--make", str(modal_run.path)): "--make needs a folder to make",
        ("demo", str(demo), "--tolerance", "0.1"): "--tolerance is of --make alone",
        ("pack", str(modal_run.path), "-o", str(tmp_path / "p"), "--tolerance", "0.1"): "--tolerance is of --small",
        ("pack", str(modal_run.path), "-o", str(tmp_path / "p"), "--small", "--mlflow"): "do not go together",
        ("demo", "--make", str(modal_run.path), "-o", str(demo)): "is there already",
    }
    for arguments, message in wrong.items():
        assert main(list(arguments)) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_packing_small_says_what_it_costs(modal_run, tmp_path, capsys):
    assert main(["pack", str(modal_run.path), "-o", str(tmp_path / "small"), "--small"]) == 0
    said = capsys.readouterr().out
    assert "8 forecasts of test trajectories, 4 frames, 16 members, as trained and packed:" in said
    told = json.loads((tmp_path / "small/small.json").read_text())
    assert told["tolerance"] == 0.01
    assert f"CRPS {told['loss']['crps']:.4g}, {told['loss']['crps_packed']:.4g} (" in said
    assert main(["pack", str(tmp_path / "small"), "-o", str(tmp_path / "again"), "--small"]) == 0
    assert "what that costs is not known" in capsys.readouterr().out
