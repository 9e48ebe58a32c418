"""`sparsevq train`: the published chain on a CPU, and what its stages take over from each other."""

import json
import os

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

from sparsevq.basis.layout import make_basis
from sparsevq.cli import train
from sparsevq.config import BasisConfig, Symmetries
from sparsevq.data.layout import read_data
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.device import claim_devices
from sparsevq.runtime.model_file import load_model
from sparsevq.runtime.tracking.logs import Tracker
from sparsevq.sensors.placement import read_sensors
from tests.cli.conftest import SMALLER, TINY, TINY_STAGE2, as_own_process

LAYOUT = [
    "basis.h5",
    "calibration.h5",
    "codes.h5",
    "config.yaml",
    "data.h5",
    "gpt",
    "readings_example.csv",
    "readings_example.json",
    "semi_sparse",
    "sensors.csv",
    "sensors.h5",
    "sparse",
    "tokenizer",
]


def test_stage_3_leaves_readings_to_try_its_forecasts_with(workplace, chain):
    folder = workplace.path / "runs" / chain["stage3"]
    command = f"forecast {folder} --readings {folder}/readings_example.csv --frames 2 --members 2 --out tried.nc"
    assert workplace(command) == 0
    about = json.loads((folder / "readings_example.json").read_text())
    assert (about["split"], about["frame"]) == ("test", 0)


def test_the_published_chain_forecasts(workplace, chain, readings, capsys):
    run = workplace.path / "runs" / chain["stage3"]
    assert sorted(path.name for path in run.iterdir()) == LAYOUT
    out, png = workplace.path / "forecast.nc", workplace.path / "forecast.png"
    command = f"forecast runs/{chain['stage3']} --readings {readings} --frames 3 --members 2 --out {out} --png {png}"
    assert workplace(command) == 0
    assert "0 of the 20 readings are from the 20 sensors" in capsys.readouterr().out
    with xr.open_dataset(out) as forecast:
        assert forecast["u"].dims == ("member", "lead_time", "y", "x")
        assert forecast["u"].shape == (2, 4, 24, 24)
        assert forecast["lead_time"][0] == 0
        assert forecast.attrs["observed_frames"] == 1
        assert np.isfinite(forecast["v"]).any()
        assert forecast.attrs["history"].endswith("sparsevq " + command)
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_chain_on_modes_forecasts_from_readings_with_empty_cells(workplace, tmp_path, capsys):
    """The flags of stage 1 on POD modes and of the tokenizer without a network are the configuration's keys."""
    modal = "--modes 8 --num_latents 4 --examples 20 --noise 0.01 --parameters speed"
    stage1 = f"--data waves --num_sensors 7 {modal} --tracking False"
    runs = {"sparse": workplace.trained(stage1), "teacher": workplace.trained(f"{stage1} --semi_sparse True")}
    groups = "--tokenizer groups --tokens_per_frame 2 --quantizer rvq --num_quantizers 2 --num_vq_embeddings 8"
    given = f"--training_stage stage2 --model_name {runs['sparse']} --semi_model_name {runs['teacher']}"
    runs["tokens"] = workplace.trained(f"{given} {groups} --tracking False")
    given = f"--training_stage stage3 --model_name {runs['tokens']} --batch_frames 42 --max_steps 1 --tracking False"
    small = "--time_transformer_layers 1 --time_transformer_dim 16 --time_transformer_heads 2"
    runs["gpt"] = workplace.trained(f"{given} {small}")
    folders = {name: workplace.path / "runs" / run for name, run in runs.items()}
    assert len({(folder / "basis.h5").read_bytes() for folder in folders.values()}) == 1
    shapes = {role: Run(folders["gpt"]).model(role).shape for role in ("sparse", "semi_sparse")}
    assert [shape["modes"] for shape in shapes.values()] == [8, 8]
    assert [shape["readings"] for shape in shapes.values()] == [14, 0], "the teacher sees the dense field"
    assert len(Run(folders["gpt"]).model("tokenizer").shape["groups"]) == 2

    sensors = read_sensors(folders["gpt"] / "sensors.h5")
    lines = [f"{y},{x},0.1,{'' if index % 2 else 0.2}" for index, (y, x) in enumerate(sensors.coordinates[:7])]
    (tmp_path / "readings.csv").write_text("\n".join(["y,x,u,v", *lines]))
    out = tmp_path / "forecast.nc"
    command = f"forecast runs/{runs['gpt']} --readings {tmp_path / 'readings.csv'} --frames 2 --members 2 --out {out}"
    assert workplace(command) == 1
    assert "the model needs the trajectory's speed (m/s): give speed" in capsys.readouterr().err
    assert workplace(f"{command} --parameter speed=0.06") == 0
    with xr.open_dataset(out) as forecast:
        assert np.isfinite(forecast["u"]).any()
        assert forecast.attrs["parameter_speed"] == 0.06
    assert workplace(f"train --test True --model_name {runs['gpt']}") == 0


def test_an_encoder_on_modes_has_no_weights_to_start_from(workplace, chain, capsys):
    before = workplace.runs
    run = workplace.trained("--data waves --num_sensors 7 --modes 8 --num_latents 4 --tracking False")
    assert workplace(f"train --data waves --model_name {run} --load_model True --tracking False") == 1
    assert "stage1.modes=8 trains no weights that could begin as those of" in capsys.readouterr().err
    assert workplace(f"train {TINY} --data waves --modes 8 --warm_start True --semi_model_name {chain['sparse']}") == 1
    assert "warm_start=true has no use with modes=8" in capsys.readouterr().err
    assert set(workplace.runs) == {*before, run}


def test_a_run_makes_a_basis_of_the_modes_that_it_needs(workplace, monkeypatch):
    monkeypatch.setattr("sparsevq.cli.prepare.BasisConfig", lambda: BasisConfig(modes=3))
    run = workplace.trained("--data waves --num_sensors 7 --modes 5 --num_latents 4 --tracking False")
    assert len(Run(workplace.path / "runs" / run).basis.modes) == 5


def test_sensors_of_one_seed_are_nested_and_stage_2_keeps_both_sets(workplace, chain):
    sensors = {
        name: read_sensors(workplace.path / "runs" / chain[name] / "sensors.h5")
        for name in ("sparse", "semi_sparse", "stage2")
    }
    assert len(sensors["sparse"].sparse) == 20
    assert set(sensors["sparse"].sparse) < set(sensors["semi_sparse"].sparse)
    np.testing.assert_array_equal(sensors["stage2"].sparse, sensors["sparse"].sparse)
    assert set(sensors["stage2"].semi_sparse) == set(sensors["semi_sparse"].sparse)
    data = read_data(workplace.data)
    for sets in sensors.values():
        np.testing.assert_array_equal(sets.coordinates, data.physical_coordinates[sets.semi_sparse])


def test_a_run_has_the_basis_of_its_data_made_by_the_workflow_or_itself(workplace, chain):
    own = {(workplace.path / "runs" / chain[stage] / "basis.h5").read_bytes() for stage in SMALLER}
    assert len(own) == 1, "made twice, taken over twice"
    beside = workplace.data.with_name("basis.h5")
    make_basis(workplace.data, beside, BasisConfig(modes=3), Symmetries())
    try:
        run = workplace.path / "runs" / workplace.trained(f"{TINY} --data waves --max_steps 1")
        thin = workplace.path / "runs" / workplace.trained(f"{TINY} --data waves --time_sub 2 --max_steps 1")
        assert (run / "basis.h5").read_bytes() == beside.read_bytes()
        assert Run(thin).basis.made_from == {"data": Run(thin).digest("data")}, "it is a data set of its own"
    finally:
        beside.unlink()


def test_a_run_records_what_was_trained(workplace, chain):
    record = yaml.safe_load((workplace.path / "runs" / chain["stage2"] / "config.yaml").read_text())
    assert record["command"].startswith("sparsevq train --gpu 0,1 --data waves")
    assert record["training_stage"] == "stage2"
    assert record["settings"]["tokenizer"] == "conv"
    assert record["settings"]["tokens_per_frame"] == 4
    assert chain["semi_sparse"] in record["started_from"]["semi_sparse"]["path"]


def test_stage_2_takes_what_is_not_given_from_the_encoder(workplace, chain):
    given = f"{TINY_STAGE2} --num_hiddens 16 --max_steps 1 --tracking False"
    run = workplace.trained(f"--training_stage stage2 --model_name {chain['sparse']} --semi_sparse False {given}")
    shape = load_model(workplace.path / "runs" / run / "tokenizer/model.safetensors", "tokenizer").shape
    assert (shape["num_latents"], shape["latent_channels"]) == (64, 16)


def test_stage_2_continues_a_tokenizer(workplace, chain, capsys):
    still = "--lr 1e-12 --max_steps 1 --tracking False --load_stage2 True"
    run = workplace.trained(f"--training_stage stage2 --model_name {chain['stage2']} {still}")
    assert f"tokenizer: from runs/{chain['stage2']}/tokenizer" in capsys.readouterr().out
    assert_same_weights(workplace, (chain["stage2"], run), "tokenizer", "codec.down.0.weight")


def test_stage_1_continues_an_encoder_with_its_architecture(workplace, chain):
    still = "--lr 1e-12 --max_steps 1 --tracking False --load_model True --batch_frames 2 --data waves"
    run = workplace.trained(f"--model_name {chain['sparse']} {still}")
    assert_same_weights(workplace, (chain["sparse"], run), "sparse", "encoder.queries")


def test_the_teacher_of_a_warm_start_gives_the_weights(workplace, chain):
    still = "--lr 1e-12 --max_steps 1 --tracking False --warm_start True --batch_frames 2 --data waves"
    run = workplace.trained(f"--semi_model_name {chain['semi_sparse']} {still}")
    assert_same_weights(workplace, (chain["semi_sparse"], run), "sparse", "encoder.queries")


def assert_same_weights(workplace, runs, part, name):
    one, other = (
        load_model(workplace.path / "runs" / run / part / "model.safetensors", "sparse", "semi_sparse", "tokenizer")
        for run in runs
    )
    torch.testing.assert_close(one.weights[name], other.weights[name])


def test_a_semi_sparse_run_of_any_placement_has_the_sparse_sensors(workplace, chain):
    given = f"{TINY} --data waves --num_sensors 7 --placement qr --max_steps 1"
    sparse = workplace.trained(given)
    semi_sparse = workplace.trained(f"{given} --semi_sparse True --num_semi_sparse 30")
    few, many = (read_sensors(workplace.path / "runs" / run / "sensors.h5") for run in (sparse, semi_sparse))
    np.testing.assert_array_equal(few.sparse, many.semi_sparse[:7])
    assert len(many.semi_sparse) == 37
    assert (workplace.path / "runs" / semi_sparse / "semi_sparse/model.safetensors").is_file()


def test_time_sub_thins_the_frames(workplace):
    run = workplace.trained(f"{TINY} --data waves --time_sub 4 --max_steps 1")
    whole, thin = read_data(workplace.data), read_data(workplace.path / "runs" / run / "data.h5")
    np.testing.assert_array_equal(thin.fields, whole.fields[:, ::4])
    np.testing.assert_array_equal(thin.time, whole.time[::4])
    training = thin.fields[thin.split == "train"].transpose(0, 2, 3, 1, 4)[thin.mask[thin.split == "train"]]
    np.testing.assert_allclose(thin.mean, training.mean(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
def test_testing_scores_and_trains_nothing(stage, workplace, chain, capsys):
    before = workplace.runs
    capsys.readouterr()
    assert workplace(f"train --test True --training_stage {stage} --model_name {chain['stage3']}") == 0
    scores = dict(line.split() for line in capsys.readouterr().out.splitlines())
    name = "test_cross_entropy" if stage == "stage3" else "test_relative_l2"
    assert 0 < float(scores[name]) < 10
    assert workplace.runs == before


def test_gpus_are_chosen_by_number(tmp_path, monkeypatch, capsys):
    for asked, leased, told in (("0,2", ("a", "c"), ""), ("2,3", ("c",), "there are 3 GPUs here, training on GPU 2")):
        with as_own_process(tmp_path):
            os.environ |= {"SPARSEVQ_GPUS": "a,b,c", "SPARSEVQ_LEASES": str(tmp_path)}
            assert train._devices(asked).gpus == leased
            claim_devices("cpu").release()
        assert told in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["sparse", "stage3"])
def test_an_interrupted_training_resumes_where_it_was(stage, workplace, chain, capsys, monkeypatch):
    longer = "--max_steps 6 --val_every 2 --tracking False"
    given = f"{TINY} --data waves {longer}" if stage == "sparse" else _stage3(chain, longer)
    part = "sparse" if stage == "sparse" else "gpt"
    undisturbed = workplace.trained(given)

    def interrupted(*_args):
        raise KeyboardInterrupt

    before = set(workplace.runs)
    with monkeypatch.context() as patched:
        patched.setattr(Tracker, "log_metrics", lambda self, metrics, step: interrupted() if step == 4 else None)
        assert workplace(f"train {given} --checkpoint_minutes 0") == 130
    (run,) = set(workplace.runs) - before
    assert f"run {run} has a checkpoint: resume it by sparsevq train --resume {run}" in capsys.readouterr().out

    assert workplace(f"train --resume {run}") == 0
    said = capsys.readouterr().out
    assert "resumes after step 3" in said
    assert f"run {run} is finished" in said
    models = [workplace.path / "runs" / name / part / "model.safetensors" for name in (undisturbed, run)]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert not (workplace.path / "runs" / run / "checkpoints").exists()
    assert workplace(f"train --resume {run}") == 1
    assert f"runs/{run} has no checkpoint to resume from: train it again" in capsys.readouterr().err


def _stage3(chain, more: str) -> str:
    return f"--training_stage stage3 --model_name {chain['stage2']} {SMALLER['stage3']} --batch_frames 42 {more}"


def test_a_run_of_the_workflow_is_not_resumed_by_hand(workplace, capsys):
    (workplace.path / "elsewhere").mkdir()
    assert workplace("train --resume elsewhere") == 1
    assert "a run of the workflow resumes by itself when Snakemake is started again" in capsys.readouterr().err
