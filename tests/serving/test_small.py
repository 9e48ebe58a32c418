"""Small packed runs: as exact as they are said to be, and opened as any other."""

import json

import numpy as np
import pytest
import torch

import sparsevq
from sparsevq.basis.layout import read_basis
from sparsevq.data.domain import read_packed_domain
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.packing_loss import packing_loss
from sparsevq.forecasting.model import gpt_config_of, load_forecast_model, seen_by_sensors
from sparsevq.models.gpt import GPT
from sparsevq.runs.pack import pack
from sparsevq.runs.run import Run
from sparsevq.runtime.model_file import load_model
from sparsevq.runtime.rounded import Rounded
from sparsevq.serving.small.pack import pack_small
from sparsevq.serving.small.tolerance import Tolerance, water_level
from sparsevq.serving.small.weights import small_gpt, small_regression
from tests.chain import REGRESSION


@pytest.fixture(scope="module")
def small(modal_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "packed"
    pack_small(Run(modal_run.path), folder, 0.01)
    return folder


def readings(run, frames=3):
    return np.stack([run.readings(frame)[["u", "v"]].to_numpy() for frame in range(frames)])


def test_the_water_level_shares_the_error_out():
    variances = np.array([4.0, 0.1, 1.0, 0.001])
    level = water_level(variances, 0.5)
    assert np.minimum(variances, level).sum() == pytest.approx(0.5)
    assert water_level(variances, 0.004) == pytest.approx(0.001)  # all alike
    assert water_level(variances, variances.sum()) >= 4


def test_modes_are_as_exact_as_asked_for(modal_run, small):
    """Fields that are decoded by rounded modes are off by the tolerance."""
    whole, rounded = Run(modal_run.path).basis, read_basis(small / "basis.h5")
    apart = (whole.modes - rounded.modes) * whole.std[:, None, None]
    error = np.sqrt((whole.weights[:, None] * np.square(apart).sum(axis=0)).sum() / len(whole.weights))
    assert 0.001 < error / np.sqrt(whole.variance) < 0.011
    np.testing.assert_array_equal(rounded.std, whole.std)
    assert rounded.variance == pytest.approx(whole.variance, rel=1e-3)  # what the modes lost is left


def test_a_regression_keeps_what_its_windows_have_much_of(modal_run):
    run = Run(modal_run.path)
    regression = load_forecast_model(run, torch.device("cpu")).gpt.outlooks.by(3)[1]
    tolerance = Tolerance.of(run.basis, 0.01)
    weights, sizes = small_regression(regression, tolerance)
    assert small_regression(regression, Tolerance.of(run.basis, 0.3))[1][-1] < sizes[-1]
    other = type(regression)(*sizes)
    values = {
        name: weight if isinstance(weight, torch.Tensor) else torch.from_numpy(weight.values)
        for name, weight in weights.items()
    }
    other.load_state_dict(values)
    read = run.codes().readings[0, run.domain.trajectories("test")]  # (2, F, m)
    seen = torch.cat([read[:, start : start + 3].flatten(1) for start in range(8)])
    one, two = regression(seen), other(seen)
    error = (one.mean - two.mean).square().sum(-1).mean().sqrt()
    assert 0 < error < 3 * tolerance.allowed**0.5  # of weights, components, places and what is left out
    torch.testing.assert_close(one.std, two.std, rtol=0.1, atol=1e-3)


def test_a_correction_of_the_first_guess_is_kept(guessing, tmp_path):
    """With its weights rounded, as those of any network."""
    guessing.gpt(tmp_path, **REGRESSION, refine_steps=40, refine_width=8)
    file, codes = load_model(tmp_path / "model.safetensors", "gpt"), guessing.run().codes()
    changed, weights = small_gpt(file, codes.codebook, None, Tolerance.of(guessing.run().basis, 0.01))
    assert isinstance(weights["outlooks.refinement.modes"], Rounded)
    models = []
    for of, values in ((file, file.weights), (changed, weights)):
        model = GPT(gpt_config_of(of), codes.codebook)
        read = {
            name: each if isinstance(each, torch.Tensor) else torch.from_numpy(each.values)
            for name, each in values.items()
        }
        model.load_state_dict(read)
        models.append(model.eval())
    seen = [seen_by_sensors(model, codes, torch.tensor([5, 6]), torch.tensor([3, 4]), 3).outlook for model in models]
    apart = (seen[0].mean - seen[1].mean).square().mean().sqrt()
    corrected = models[0].outlooks.refinement(seen[0].mean, 3).square().mean().sqrt()
    assert 0 < apart < 0.3 * corrected
    torch.testing.assert_close(seen[0].std, seen[1].std, rtol=0.1, atol=1e-3)


def test_fewer_windows_predict_much_the_same(modal_run, monkeypatch):
    run = Run(modal_run.path)
    regression = load_forecast_model(run, torch.device("cpu")).gpt.outlooks.by(3)[1]
    monkeypatch.setattr("sparsevq.serving.small.weights.KEPT", len(regression.places) // 2)
    weights, sizes = small_regression(regression, Tolerance.of(run.basis, 0.01))
    assert sizes[2] == len(regression.places) // 2
    other = type(regression)(*sizes)
    other.load_state_dict(
        {
            name: weight if isinstance(weight, torch.Tensor) else torch.from_numpy(weight.values)
            for name, weight in weights.items()
        }
    )
    read = run.codes().readings[0, run.domain.trajectories("test")]
    seen = torch.cat([read[:, start : start + 3].flatten(1) for start in range(8)])
    one, two = regression(seen), other(seen)
    assert (one.mean - two.mean).square().mean() < 0.1 * one.mean.square().mean()
    assert torch.isfinite(two.std).all()


def test_forecasts_agree_within_the_loss_that_is_stated(modal_run, small):
    own, other = sparsevq.load(modal_run.path, device="cpu"), sparsevq.load(small, device="cpu")
    one, two = (model.forecast(readings(modal_run), 4, 32) for model in (own, other))
    for name in ("u", "v"):
        a, b = one[name].mean("member"), two[name].mean("member")
        spread = float(one[name].std("member").mean())
        assert float(abs(a - b).mean()) < 0.5 * spread
        assert not a.identical(b)
    moved = modal_run.by_place().iloc[:4]  # other sensors: the regression is learned from what was packed
    found, there = other.forecast(moved, 4, 4)["u"].to_numpy(), np.isfinite(one["u"].to_numpy()[0])
    assert np.isfinite(found[:, there]).all()
    assert two.attrs["digest_data"] == one.attrs["digest_data"]
    assert two.attrs["digest_gpt"] != one.attrs["digest_gpt"]  # it is another model, and says so


def test_the_loss_is_measured_on_the_test_split(modal_run, small, tmp_path):
    run = Run(modal_run.path)
    loss = packing_loss(run, Run(small), members=4)
    assert loss.forecasts == 8  # 2 trajectories, 2 starts, from one and from three frames
    assert loss.frames == 4
    assert abs(loss.error_packed / loss.error - 1) < 0.1
    rough = tmp_path / "rough"
    pack_small(run, rough, 0.3)
    worse = packing_loss(run, Run(rough), members=4)
    assert (worse.error, worse.crps) == (loss.error, loss.crps)
    assert worse.error_packed > 1.1 * loss.error
    same = tmp_path / "same"
    pack(run, same)
    equal = packing_loss(run, Run(same), members=4)
    assert (equal.error_packed, equal.crps_packed) == (equal.error, equal.crps)
    assert "(+0.0 %)" in equal.lines()[1]


def test_runs_of_networks_become_small_too(trained, tmp_path):
    told = pack_small(
        trained.run(), tmp_path / "small", 0.005, lambda run, made: {"loss": packing_loss(run, made, 3).as_dict()}
    )
    assert json.loads((tmp_path / "small/small.json").read_text()) == told
    assert told["loss"]["error_packed"] == pytest.approx(told["loss"]["error"], rel=0.1)
    one, two = (load_forecast_model(run, torch.device("cpu")) for run in (trained.run(), Run(tmp_path / "small")))
    torch.testing.assert_close(two.gpt.codebook, one.gpt.codebook, rtol=0.05, atol=0.05)


def test_a_domain_keeps_what_readings_are_judged_by(modal_run, small):
    whole, thinned = Run(modal_run.path), Run(small)
    for name, value in vars(whole.domain).items():
        np.testing.assert_equal(getattr(read_packed_domain(small / "domain.h5"), name), value)
    points = np.arange(whole.domain.num_points)
    np.testing.assert_allclose(thinned.samples.change(points), whole.samples.change(points), rtol=0.01)
    for one, two in zip(whole.samples.at(points), thinned.samples.at(points), strict=True):
        assert len(two) == min(len(one), 32)
        np.testing.assert_allclose(two[[0, -1]], one[[0, -1]], atol=0.02 * whole.domain.std.max())
    wrong = modal_run.readings().assign(u=lambda table: table["u"] + np.where(table["sensor"] == 2, 40.0, 0))
    assert "doubts" in sparsevq.load(small, device="cpu").forecast(wrong, 2, 2).attrs


def test_what_is_not_allowed_is_said(modal_run, small, tmp_path):
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(SparseVQError, match=r"tolerance=.* is not allowed: give a number between 0 and 1"):
            pack_small(Run(modal_run.path), tmp_path / "out", share)
    with pytest.raises(SparseVQError, match="is there already"):
        pack_small(Run(modal_run.path), small)
    assert not (tmp_path / "out").exists()
