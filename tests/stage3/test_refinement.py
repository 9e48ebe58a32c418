"""Training of the first guess's correction: what it is learned from, and that all that is refined agrees."""

from types import SimpleNamespace

import pytest
import torch

from sparsevq.config import Stage3Config
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import gpt_config_of, load_forecast_model, seen_by_sensors
from sparsevq.models.gpt import GPT
from sparsevq.runs.codes import read_codes
from sparsevq.runs.run import Run
from sparsevq.runtime.model_file import load_model
from sparsevq.stage3.refinement import learn_refinement
from sparsevq.stage3.regression import learn_regressions
from sparsevq.stage3.sequences import Sequences
from tests.chain import REGRESSION, STAGE3, Chain, fabric

REFINE = {"refine_steps": 60, "refine_width": 8, "refine_windows": 8}


@pytest.fixture(scope="module")
def refined(guessing, tmp_path_factory):
    """A run whose GPT has a corrected first guess."""
    folder = tmp_path_factory.mktemp("refined")
    guessing.gpt(folder / "gpt", **REGRESSION, **REFINE)
    return guessing.run(gpt=folder / "gpt/model.safetensors")


def learned(chain: Chain):
    settings = STAGE3.model_copy(update=REGRESSION | REFINE)
    sequences = Sequences(read_codes(chain.codes_path), settings)
    learn_regressions(sequences, settings, seed=0)
    return sequences, settings


def test_the_correction_leaves_less_of_the_errors_on_flows_that_it_has_not_seen(guessing):
    sequences, settings = learned(guessing)
    regression = sequences.learned[3].regression
    test = sequences.codes.of("test")
    trajectory, start = torch.cartesian_prod(test, sequences.starts_of(3)).unbind(-1)
    which = torch.zeros_like(trajectory), trajectory, start
    readings, true = sequences.readings(*which, 3), sequences.coefficients(*which)
    before = regression(readings)
    run = guessing.run()
    found = learn_refinement(sequences, run.domain, run.basis, settings, 0, fabric())
    assert found is not None and found.share < 1
    after = regression(readings)
    assert (after.mean - true).square().sum() < (before.mean - true).square().sum()
    assert after.std.mean() < before.std.mean()
    assert torch.equal(after.like, before.like)
    flows = sequences.codes.coefficients[:, sequences.training].flatten(0, 1)
    some = torch.arange(5)
    ratio = regression.errors(some, flows)
    regression.shrink.fill_(1)
    torch.testing.assert_close(ratio, regression.errors(some, flows) * (after.std / regression(readings).std)[0])


def test_it_is_trained_on_training_windows_as_others_predict_them(guessing, monkeypatch):
    sequences, settings = learned(guessing)
    read = []
    monkeypatch.setattr(
        Sequences, "coefficients", lambda self, *which: read.append(which[1]) or of_sequences(self, *which)
    )
    run = guessing.run()
    learn_refinement(sequences, run.domain, run.basis, settings, 0, fabric())
    assert not set(torch.cat(read).tolist()) & set(sequences.codes.of("test").tolist())


of_sequences = Sequences.coefficients


def test_a_gpt_that_is_read_has_the_outlook_that_it_was_trained_with(refined):
    file = refined.model("gpt")
    assert file.shape["refinement"]["grid"] == [8, 12]
    assert 0 < file.extra["refined"] < 1
    codes = refined.codes()
    gpt = GPT(gpt_config_of(file), codes.codebook)
    file.restore(gpt)
    assert not any(name.startswith("outlooks") for name, value in gpt.named_parameters() if value.requires_grad)
    assert gpt.outlooks.refinement.body.leave.weight.any()
    seen = seen_by_sensors(gpt, codes, torch.tensor([5, 6]), torch.tensor([3, 4]), 3)
    plain = GPT(gpt_config_of(file), codes.codebook)
    file.restore(plain)
    plain.outlooks.own["3"].refined = None
    other = seen_by_sensors(plain, codes, torch.tensor([5, 6]), torch.tensor([3, 4]), 3)
    added = gpt.outlooks.refinement(other.outlook.mean, 3)
    torch.testing.assert_close(seen.outlook.mean, other.outlook.mean + added)
    assert added.any()


def test_it_forecasts(refined):
    model = load_forecast_model(refined, torch.device("cpu"), calibrated=False)
    assert model.gpt.outlooks.refinement is not None


def test_the_same_seed_gives_the_same_file(guessing, refined, tmp_path):
    guessing.gpt(tmp_path, **REGRESSION, **REFINE)
    assert (tmp_path / "model.safetensors").read_bytes() == refined.file("gpt").read_bytes()


def test_a_correction_that_is_no_better_is_left_out(guessing, tmp_path, capsys):
    out, _ = guessing.gpt(tmp_path, **REGRESSION, **{**REFINE, "refine_steps": 2, "refine_lr": 1e-30})
    file = load_model(out / "model.safetensors", "gpt")
    assert file.shape["refinement"] is None
    assert "is left out" in capsys.readouterr().out


def test_points_that_are_no_grid_are_refused(guessing, monkeypatch, tmp_path):
    """Before anything is learned."""
    monkeypatch.setattr("sparsevq.stage3.train.learn_regressions", lambda *arguments: pytest.fail("too late"))
    monkeypatch.setattr(Run, "domain", SimpleNamespace(scattered=True, name="waves"))
    with pytest.raises(SparseVQError, match="refine_steps: the correction needs a grid"):
        guessing.gpt(tmp_path, **REGRESSION, **REFINE)


def test_without_a_first_guess_there_is_nothing_to_correct():
    with pytest.raises(ValueError, match="there is no first guess to correct"):
        Stage3Config(refine_steps=10)
