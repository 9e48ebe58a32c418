"""The calibration of ensembles: factors that make the spread as large as the error, on the validation split."""

import json

import h5py
import numpy as np
import pytest

from sparsevq.config import ForecastConfig
from sparsevq.errors import SparseVQError
from sparsevq.evaluation import calibration
from sparsevq.evaluation.calibration import LIMITS, PRIOR, _smooth, _Statistics, calibrate
from sparsevq.runs.calibration import read_calibration
from sparsevq.runtime.files import digest
from tests.chain import fabric
from tests.flows import travelling_waves

SETTINGS = ForecastConfig(horizon=4, starts=(2, 5), observed_frames=(1, 3), members=4)


def statistics(spread: float, trajectories: int = 40, members: int = 10, leads: int = 6, seed: int = 0) -> _Statistics:
    """Of ensembles whose members differ `spread` times as much as the truth does from what they are drawn about."""
    data = travelling_waves(trajectories=trajectories, frames=leads, grid=(6, 8), seed=seed)
    points = calibration._points(data)
    found, rng = _Statistics(data, points), np.random.default_rng(seed)
    for trajectory in range(trajectories):
        truth = data.flat_fields[trajectory, :leads][:, points.numpy()]
        center = truth + rng.normal(0, 0.3, truth.shape)
        members_of_it = center + rng.normal(0, 0.3 * spread, (members, *truth.shape))
        found.add(1, trajectory, 0, members_of_it.astype(np.float32))
    return found


@pytest.mark.parametrize("spread", [0.7, 1.0, 1.4])
def test_factors_undo_a_wrong_spread_as_far_as_there_is_evidence(spread):
    """Their logarithm is that of the ratio, shrunk by the prior."""
    found = statistics(spread)
    ratio = spread * (1.1 / (1 + spread**2 / 10)) ** 0.5  # the mean of 10 members errs by a share of their spread, too
    assert found.ratio() == pytest.approx(ratio, rel=0.03)
    expected = (1 / ratio) ** (40 / (40 + PRIOR))
    np.testing.assert_allclose(found.factors(1), np.full((6, 2), expected), rtol=0.08)


def test_few_trajectories_change_little():
    few, many = (statistics(0.5, trajectories=count).factors(1) for count in (3, 60))
    assert (few > 1).all() and (few < 1.3).all() and (many > 1.6).all()


@pytest.mark.parametrize(("spread", "limit"), [(0.05, LIMITS[1]), (20.0, LIMITS[0])])
def test_factors_have_limits(spread, limit):
    np.testing.assert_allclose(statistics(spread).factors(1), limit)


def test_a_reliable_ensemble_has_the_smallest_crps():
    """Scored by members that are drawn as the truth is."""
    scores = [statistics(spread).crps() for spread in (0.3, 1.0, 2.0)]
    assert scores[1] == min(scores)


@pytest.mark.parametrize("members", [1, 4])
def test_members_that_do_not_differ_leave_factors_of_one(members):
    found = statistics(0.0, trajectories=4, members=members)
    np.testing.assert_array_equal(found.factors(1), np.ones((6, 2)))


def test_factors_are_smooth_over_lead_times():
    values = np.zeros((9, 1))
    values[4] = 1
    np.testing.assert_allclose(_smooth(values)[:, 0], [0, 0, 0.2, 0.2, 0.2, 0.2, 0.2, 0, 0])
    np.testing.assert_allclose(_smooth(np.arange(9.0)[:, None])[[0, 1, 8], 0], [1, 1.5, 7])
    np.testing.assert_allclose(_smooth(np.full((2, 3), 5.0)), 5)


def test_points_are_drawn_once_among_those_with_an_area(monkeypatch):
    data = travelling_waves(grid=(6, 8))
    assert len(calibration._points(data).unique()) == int((data.weights > 0).sum())
    monkeypatch.setattr(calibration, "POINTS", 5)
    first, second = (calibration._points(data).tolist() for _ in range(2))
    assert first == second == sorted(set(first)) and len(first) == 5


# ------------------------------------------------------------------ of a run


@pytest.fixture(scope="module")
def calibrated(guessing, tmp_path_factory):
    out = tmp_path_factory.mktemp("calibration") / "calibration.h5"
    return out, calibrate(guessing.run(), out, settings=SETTINGS, seed=1, fabric=fabric())


def test_the_file_is_as_documented(guessing, calibrated):
    path, found = calibrated
    read, made_from = read_calibration(path, 2)
    assert read.observed.tolist() == [1, 3] and read.factors.shape == (2, 5, 2)
    assert (read.temperature, read.network) == (found["temperature"], found["network"])
    assert (read.factors >= LIMITS[0]).all() and (read.factors <= LIMITS[1]).all()
    with h5py.File(path) as file:
        tried = file["tried"][()]
        assert json.loads(file.attrs["made_from"]) == made_from
    assert made_from["gpt"] == digest(guessing.model("gpt"))
    assert set(made_from) == {"data", "sensors", "tokenizer", "gpt", "codes"}
    best = tried[tried[:, 2].argmin()]
    assert (best[0], best[1], best[2]) == pytest.approx((read.temperature, read.network, found["crps"]))


def test_the_weight_of_the_network_is_chosen_before_the_temperature(calibrated):
    with h5py.File(calibrated[0]) as file:
        tried = file["tried"][()]
    first, then = tried[:3], tried[3:]
    assert first[:, :2].tolist() == [[1, 1], [1, 0], [1, 0.5]]
    assert then[:, 0].tolist() == list(calibration.TEMPERATURES)
    assert (then[:, 1] == first[first[:, 2].argmin(), 1]).all()


def test_a_temperature_that_is_set_is_taken(guessing, tmp_path):
    out = tmp_path / "calibration.h5"
    settings = ForecastConfig(**{**SETTINGS.model_dump(), "temperature": 0.9})
    found = calibrate(guessing.run(), out, settings=settings, seed=1, fabric=fabric())
    assert found["temperature"] == 0.9
    with h5py.File(out) as file:
        assert (file["tried"][:, 0] == 0.9).all()


def test_without_a_first_guess_the_network_counts_in_full(trained, tmp_path):
    out = tmp_path / "calibration.h5"
    settings = ForecastConfig(horizon=4, starts=(0, 5), members=3)
    found = calibrate(trained.run(), out, settings=settings, seed=1, fabric=fabric())
    assert found["network"] == 1 and np.isfinite(list(found.values())).all()
    with h5py.File(out) as file:
        assert (file["tried"][:, 1] == 1).all()


def test_a_second_time_it_is_the_same(guessing, calibrated, tmp_path):
    calibrate(guessing.run(), tmp_path / "calibration.h5", settings=SETTINGS, seed=1, fabric=fabric())
    assert (tmp_path / "calibration.h5").read_bytes() == calibrated[0].read_bytes()


def test_a_start_that_leaves_too_few_frames_is_one_line(guessing, tmp_path):
    settings = ForecastConfig(horizon=9, starts=(2,), members=2)
    with pytest.raises(SparseVQError, match=r"forecast\.starts=2 with forecast\.horizon=9") as caught:
        calibrate(guessing.run(), tmp_path / "calibration.h5", settings=settings, seed=1, fabric=fabric())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "calibration.h5").exists()
