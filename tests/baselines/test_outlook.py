"""The GPT's first guess as a baseline: what the GPT forecasts if its network has no weight."""

import h5py
import numpy as np
import pytest
import torch

from sparsevq.baselines.outlook import GuessOfRun
from sparsevq.baselines.registry import run_baselines
from sparsevq.baselines.validation import Windows
from sparsevq.config import Config, EvaluationConfig
from sparsevq.config.experiment import parse
from sparsevq.data.device_fields import DeviceFields
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import Asked, load_forecast_model, seen_by_sensors
from tests.chain import STAGE1

OUTLOOK = EvaluationConfig(baselines=("outlook",), members=4)


def test_it_is_the_forecast_without_the_network(guessing, tmp_path):
    """To the trained horizon and beyond, from one observed frame and from three."""
    forecast = guessing.forecast(tmp_path / "forecast.h5", horizon=7, starts=(2,), observed_frames=(1, 3))
    run = guessing.run(forecast=forecast)
    run_baselines(run, tmp_path / "baselines.h5", OUTLOOK, STAGE1.symmetries)
    with h5py.File(tmp_path / "baselines.h5") as file:
        found = file["methods/outlook"][:]
        trajectories, counts = file["trajectory"][:], file["observed_frames"][:]
        made_from = dict(file.attrs)
        assert file["ensembles/outlook/drawn"].shape == (4, 1), "there is one validation window to take errors from"
    assert run.digest("gpt") in str(made_from) and run.digest("codes") in str(made_from)
    assert counts.tolist() == [1, 3, 1, 3]
    model, codes = load_forecast_model(run, torch.device("cpu")), run.codes()
    fields = DeviceFields(run.data, STAGE1.symmetries, torch.device("cpu"), run.basis)
    for field, trajectory, count in zip(found, trajectories, counts, strict=True):
        seen = seen_by_sensors(model.gpt, codes, torch.tensor([trajectory]), torch.tensor([2]), int(count))
        drawn = model.generate(seen, Asked(7, 3, 1.0, 0, seed=1, network=0.0))
        expected = model.mean(drawn.case(0), fields).unflatten(-2, run.data.grid)
        np.testing.assert_allclose(field, expected.numpy(), rtol=1e-3, atol=1e-3)


def test_what_is_not_read_does_not_matter(guessing):
    """It sees the readings of the observed frames alone: other frames have no part in it."""
    guess = GuessOfRun(guessing.run())
    windows = Windows(np.array([5, 6]), np.array([4, 4]))
    before = guess.coefficients(windows, 3, 5)
    guess._codes.readings[0, 5:, [0, 1, 5, 6]] += 1
    guess._codes.coefficients[0, 5:] += 1
    np.testing.assert_array_equal(guess.coefficients(windows, 3, 5), before)
    guess._codes.readings[0, 5:, 3] += 1
    assert not np.allclose(guess.coefficients(windows, 3, 5), before)


def test_a_gpt_without_a_first_guess_is_refused(trained):
    with pytest.raises(SparseVQError, match="first_guess"):
        GuessOfRun(trained.run())


def test_a_configuration_without_a_first_guess_is_refused():
    given = {"evaluation": {"baselines": ["ridge", "outlook"]}}
    with pytest.raises(SparseVQError, match=r"outlook is the GPT's first guess, and stage3.first_guess=none"):
        parse(Config, given, "config.yaml")
    assert EvaluationConfig().parts_of_run == ()
    assert OUTLOOK.parts_of_run == ("codes", "gpt")
