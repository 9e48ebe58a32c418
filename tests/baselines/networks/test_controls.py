"""What is trained beside a run, forecast with and scored: the Transformer without codes, and SHRED with its history."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from sparsevq.baselines.cost import Cost, write_cost
from sparsevq.baselines.networks.continuous import ContinuousConfig, ContinuousTransformer
from sparsevq.baselines.networks.continuous_stage import ContinuousStage, forecast_coefficients
from sparsevq.baselines.networks.registry import settings_of
from sparsevq.baselines.networks.stage import Batch, NetworkStage
from sparsevq.baselines.registry import run_baselines
from sparsevq.config import Config, EvaluationConfig
from sparsevq.config.experiment import parse
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.scores import score
from sparsevq.runtime.model_file import load_model
from sparsevq.training.stage import train
from tests.chain import QUICK, REGRESSION, STAGE1, STAGE3, Recorder, fabric

IDENTITY = pd.DataFrame({"data_set": ["waves"], "num_sensors": [6], "seed": [1]})


@pytest.fixture(scope="module")
def models(guessing, tmp_path_factory):
    """Name -> model file."""
    folder = tmp_path_factory.mktemp("baselines")
    settings = STAGE3.model_copy(update=REGRESSION)
    small = settings_of("shred", {**QUICK, "observed_frames": 3, "width": 8, "decoder": (8,), "batch_frames": 20})
    stages = {
        "continuous": ContinuousStage(guessing.run(), settings, seed=1, fabric=fabric()),
        "continuous_frames": ContinuousStage(guessing.run(), settings, seed=1, fabric=fabric(), whole_frames=True),
        "shred": NetworkStage(
            guessing.run(), "shred", small, symmetries=STAGE1.symmetries, horizon=5, seed=1, fabric=fabric()
        ),
    }
    for name, stage in stages.items():
        train(stage, folder / name, tracker=Recorder())
        write_cost(folder / name / "cost.json", Cost(10, 1.0, stage.steps))
    return {name: folder / name / "model.safetensors" for name in stages}


def test_truth_is_not_rounded_where_networks_compute_in_bf16():
    """Neither fields nor coefficients: Fabric rounds what it finds in tuples."""
    seen: list[torch.Tensor] = []

    class Asked(torch.nn.Linear):
        def forward(self, batch):
            seen.append(batch.parts[0])
            return {"loss": super().forward(batch.parts[0]).mean()}

    exact = torch.tensor([[1 + 2.0**-20]])
    module = Asked(1, 1)
    model, _ = fabric("bf16-mixed").setup(module, torch.optim.AdamW(module.parameters()))
    model(Batch((exact,)))
    assert torch.equal(seen[0], exact) and seen[0].dtype == torch.float32


@pytest.fixture(scope="module")
def run(guessing, models, tmp_path_factory):
    """A run with their forecasts, from one frame and from three."""
    folder = tmp_path_factory.mktemp("run")
    forecast = guessing.forecast(folder / "forecast.h5", starts=(2,), observed_frames=(1, 3))
    run = guessing.run(forecast=forecast, baselines=folder / "baselines.h5")
    settings = EvaluationConfig(baselines=("climatology", *models), members=3)
    run_baselines(run, run.file("baselines"), settings, STAGE1.symmetries, models=models)
    return run


@pytest.mark.parametrize("name", ["continuous", "continuous_frames"])
def test_fields_are_those_of_its_coefficients(run, models, name):
    file, codes = load_model(models[name], "baseline"), run.codes()
    module = ContinuousTransformer(ContinuousConfig(**file.shape)).eval()
    file.restore(module)
    with h5py.File(run.file("baselines")) as stored:
        found, trajectory = stored[f"methods/{name}"][:], stored["trajectory"][:]
        for case, count in enumerate(stored["observed_frames"][:].tolist()):
            where = torch.from_numpy(trajectory[case : case + 1]), torch.tensor([2])
            coefficients = forecast_coefficients(module, codes, *where, count, 5)[0].numpy()
            field = np.einsum("lr,rnc->lnc", coefficients, run.basis.modes[: coefficients.shape[1]])
            expected = (field * run.basis.scale + run.basis.mean).reshape(found[case].shape)
            np.testing.assert_allclose(found[case], expected, rtol=1e-4, atol=1e-4)


def test_shred_is_compared_where_it_has_its_history(run, tmp_path):
    with h5py.File(run.file("baselines")) as stored:
        shred, observed = stored["methods/shred"], stored["observed_frames"][:]
        assert shred.attrs["observed_frames"].tolist() == [3]
        assert np.isfinite(shred[:][observed == 3]).all() and np.isnan(shred[:][observed == 1]).all()
        assert "observed_frames" not in stored["methods/continuous"].attrs
    score(run, tmp_path, IDENTITY)
    for table in ("scores", "cases", "calibration", "spectra"):
        rows = pd.read_csv(tmp_path / f"{table}.csv")
        methods = rows.groupby("observed_frames")["method"].unique()
        assert "shred" in methods[3] and "shred" not in methods[1], table
        assert {"continuous", "continuous_frames"} <= set(methods[1]) & set(methods[3]), table


def test_a_model_of_another_dump_is_refused(guessing, run, models, tmp_path):
    other = guessing.codes(tmp_path / "codes.h5", seed=2)
    settings = EvaluationConfig(baselines=("continuous",))
    forecast = guessing.run(forecast=run.file("forecast"), codes=other)
    with pytest.raises(SparseVQError, match=r"codes"):
        run_baselines(forecast, tmp_path / "baselines.h5", settings, STAGE1.symmetries, models=models)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("continuous", r"continuous is of the coefficients that stage2.tokenizer=groups codes, and it is attention"),
        ("shred", r"shred is given networks.shred.observed_frames=10 frames of readings"),
    ],
)
def test_a_configuration_without_what_they_need_is_refused(name, said):
    with pytest.raises(SparseVQError, match=said):
        parse(Config, {"evaluation": {"baselines": [name]}}, "config.yaml")
