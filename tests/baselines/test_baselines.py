"""Baselines: exact where the flow is what they assume, blind to what they must not see."""

import dataclasses

import h5py
import numpy as np
import pytest

from sparsevq.baselines import pod_dmd
from sparsevq.baselines.ensembles import members
from sparsevq.baselines.registry import BASELINES, run_baselines
from sparsevq.baselines.ridge import Regression
from sparsevq.baselines.task import Task
from sparsevq.baselines.validation import Validation, windows_from, windows_spread
from sparsevq.basis.basis import compute_basis
from sparsevq.config import EvaluationConfig, Symmetries
from sparsevq.data.flows import TrainingFlows
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.metrics import relative_l2
from sparsevq.forecasting.cases import Cases
from tests.evaluation.conftest import HORIZON, make_experiment
from tests.flows import on_a_sphere, scattered_waves


def task_of(experiment, **settings):
    data = experiment.data
    trajectory, start = np.array(experiment.cases).T
    with h5py.File(experiment.forecast) as file:
        reconstruction = file["reconstruction/sparse"][:, 0].reshape(len(trajectory), data.num_points, -1)
    cases = Cases(trajectory, start, np.ones_like(start), 0.5 * np.arange(1, HORIZON + 1), "s", 0)
    return Task(
        data=data,
        basis=compute_basis(data, None, 80),
        training=TrainingFlows(data),
        sparse=experiment.sensors.sparse,
        reads=experiment.sensors.channels[: len(experiment.sensors.sparse)],
        cases=cases,
        reconstruction=reconstruction,
        settings=EvaluationConfig(**settings),
    )


def of(data, task):
    """The same task on other data."""
    return dataclasses.replace(task, data=data, basis=compute_basis(data, None, 80), training=TrainingFlows(data))


def test_climatology_is_the_mean_of_each_point(experiment):
    task = task_of(experiment)
    forecast = BASELINES["climatology"](task).fields
    np.testing.assert_array_equal(forecast, np.broadcast_to(task.basis.mean, forecast.shape))


def test_persistence_repeats_the_reconstruction(experiment):
    task = task_of(experiment)
    forecast = BASELINES["persistence"](task).fields
    assert forecast.shape == (4, HORIZON + 1, 256, 2)
    for lead in range(HORIZON + 1):
        np.testing.assert_array_equal(forecast[:, lead], task.reconstruction)


def test_joint_scale_is_one_for_one_unit_only(experiment):
    np.testing.assert_array_equal(experiment.data.joint_scale, [1, 1])
    mixed = dataclasses.replace(experiment.data, units=("m/s", "Pa"))
    np.testing.assert_allclose(mixed.joint_scale, experiment.data.std)


def test_baselines_learn_from_mirrored_flows_too(experiment):
    data = experiment.data
    flows = list(TrainingFlows(data, Symmetries(reflect=("y",), variants=2), seed=3))
    train = data.trajectories("train")
    assert len(flows) == 2 * len(train) == len(TrainingFlows(data, Symmetries(reflect=("y",), variants=2)))
    for (fields, valid), trajectory in zip(flows, [*train, *train], strict=True):
        truth, mask = data.fields[trajectory], data.mask[trajectory]
        if np.array_equal(fields, truth.reshape(fields.shape)):
            assert np.array_equal(valid, mask.ravel())
            continue
        mirrored = truth[:, ::-1] * [1, -1]  # v points along y
        np.testing.assert_array_equal(fields, mirrored.reshape(fields.shape))
        np.testing.assert_array_equal(valid, mask[::-1].ravel())
    assert not np.array_equal(flows[0][0], flows[len(train)][0])


# ------------------------------------------------------------------------------------------------ POD and DMD


def test_gappy_pod_is_exact_without_noise_and_the_posterior_mean_with_it():
    rng = np.random.default_rng(1)
    at_sensors, std = rng.normal(size=(12, 4)), np.array([3.0, 2.0, 1.0, 0.5])
    coefficients = rng.normal(size=(6, 4)) * std
    readings = coefficients @ at_sensors.T
    np.testing.assert_allclose(pod_dmd.gappy_pod(readings, at_sensors, std, 0.0), coefficients, atol=1e-10)
    # Kalman's form of the same: prior covariance D, error variance 0.3
    prior = np.diag(std**2)
    gain = prior @ at_sensors.T @ np.linalg.inv(at_sensors @ prior @ at_sensors.T + 0.3 * np.eye(12))
    np.testing.assert_allclose(pod_dmd.gappy_pod(readings, at_sensors, std, 0.3), readings @ gain.T, atol=1e-10)


def test_dmd_is_exact_for_a_linear_system_and_never_pairs_two_trajectories():
    operator = np.array([[0.9, -0.4, 0.0], [0.4, 0.9, 0.1], [0.0, 0.0, 0.7]])
    starts = np.random.default_rng(2).normal(size=(5, 3))
    trajectories = np.stack([starts @ np.linalg.matrix_power(operator, step).T for step in range(8)], axis=1)
    forecast = pod_dmd.fit_dmd(trajectories)(starts, 7)
    np.testing.assert_allclose(forecast, trajectories[:, 1:], atol=1e-9)


@pytest.mark.parametrize("sphere", [False, True])
def test_the_validation_error_is_the_metric_by_area_at_valid_points(tmp_path, sphere):
    experiment = make_experiment(tmp_path, data=on_a_sphere(trajectories=12, frames=16) if sphere else None)
    task = task_of(experiment)
    data, basis = task.data, task.basis
    rng = np.random.default_rng(3)
    guess = rng.normal(3, 5, size=(6, HORIZON + 1, 4))
    windows = windows_from(task, np.array([0, 6]))
    found = Validation(task, windows, basis, HORIZON + 1).relative_l2(guess)
    fields = basis.mean + basis.scale * np.einsum("blk,knc->blnc", guess, basis.modes[:4])
    errors = []
    pairs = [(trajectory, start) for trajectory in data.trajectories("val") for start in (0, 6)]
    for prediction, (trajectory, start) in zip(fields, pairs, strict=True):
        truth = data.flat_fields[trajectory, start : start + 1 + HORIZON]
        weights = data.weights * data.flat_mask[trajectory]
        errors.append(relative_l2(prediction / data.joint_scale, truth / data.joint_scale, weights)[..., -1])
    np.testing.assert_allclose(found, np.mean(errors, axis=0), rtol=1e-5)


def test_pod_dmd_forecasts_waves_that_it_can_represent(tmp_path):
    experiment = make_experiment(tmp_path, trajectories=24, frames=16, sensors=12)
    task = task_of(experiment, pod_ranks=(2, 4, 8, 12))
    errors = {}
    for name in ("climatology", "ridge", "pod_dmd"):
        forecast = BASELINES[name](task)
        errors[name] = np.mean(
            [
                relative_l2(fields, truth.reshape(HORIZON + 1, 256, 2), task.data.flat_mask[trajectory])[..., -1]
                for fields, truth, (trajectory, _) in zip(
                    forecast.fields, experiment.truth, experiment.cases, strict=True
                )
            ]
        )
    assert max(errors["pod_dmd"], errors["ridge"]) < 0.5 * errors["climatology"]
    assert forecast.chosen["rank"] in (2, 4, 8, 12)


@pytest.mark.parametrize("name", ["climatology", "persistence", "pod_dmd", "ridge"])
def test_baselines_of_scattered_points_whose_masks_differ(tmp_path, name):
    data = scattered_waves(trajectories=10, points=80)
    for trajectory in range(10):
        data.mask[trajectory, 3 * trajectory : 3 * trajectory + 3] = False
    experiment = make_experiment(tmp_path, data=data)
    forecast = BASELINES[name](task_of(experiment)).fields
    assert forecast.shape == (4, HORIZON + 1, 80, 2)
    errors = [
        relative_l2(fields - data.mean, truth - data.mean, data.mask[trajectory])[..., :2]
        for fields, truth, (trajectory, _) in zip(forecast, experiment.truth, experiment.cases, strict=True)
    ]
    # one wave of unknown phase: two modes and a few sensors do
    assert np.mean(errors) < {"climatology": 1.5, "persistence": 1.5, "pod_dmd": 0.3, "ridge": 0.3}[name]


@pytest.mark.parametrize("name", ["pod_dmd", "ridge"])
@pytest.mark.parametrize("channels", [[True, True], [True, False]], ids=["all", "one"])
def test_nothing_is_seen_of_a_test_trajectory_but_its_readings(experiment, channels, name):
    experiment.sensors.channels[:] = channels
    task = task_of(experiment)
    assert task.anomalies(*np.array(experiment.cases).T).shape == (4, 1, 8 * sum(channels))
    expected = BASELINES[name](task)
    fields, mask = experiment.data.fields.copy(), experiment.data.mask.copy()
    hidden = dataclasses.replace(experiment.data, fields=fields, mask=mask)
    test = hidden.trajectories("test")
    kept = hidden.flat_fields[test][:, :, task.sparse].copy()
    fields[test], mask[test] = 9.0, True
    for row, trajectory in enumerate(test):
        for start in (0, 6):
            hidden.flat_fields[trajectory, start, task.sparse] = np.where(channels, kept[row, start], 9.0)
    found = BASELINES[name](of(hidden, task))
    np.testing.assert_array_equal(found.fields, expected.fields)
    np.testing.assert_array_equal(found.ensemble.errors, expected.ensemble.errors)
    np.testing.assert_equal(found.chosen, expected.chosen)


@pytest.mark.parametrize("name", ["climatology", "persistence", "pod_dmd", "ridge"])
def test_what_is_inside_an_obstacle_never_matters(experiment, name):
    task = task_of(experiment)
    fields = np.where(experiment.data.mask[:, None, ..., None], experiment.data.fields, np.nan).astype(np.float32)
    data = dataclasses.replace(experiment.data, fields=fields)
    np.testing.assert_array_equal(BASELINES[name](of(data, task)).fields, BASELINES[name](task).fields)


# ------------------------------------------------------------------------------------------------ ridge regression


@pytest.mark.parametrize("observed", [1, 3])
def test_ridge_regression_is_the_minimum_of_its_cost(experiment, observed):
    task = task_of(experiment)
    regression = Regression(task, observed, HORIZON)
    readings, coefficients = task.learned_from
    count = readings.shape[1] - observed + 1 - HORIZON
    x = np.stack([r[s : s + observed].ravel() for r in readings for s in range(count)]).astype(float)
    x0 = x.mean(axis=0)
    gram = (x - x0).T @ (x - x0)
    strength = 0.03 * np.trace(gram) / len(gram)
    new = task.anomalies(*np.array([(0, 5), (1, 7)]).T, observed)
    found = regression.coefficients(new, 0.03)
    for lead in (0, 2, HORIZON):
        first = observed - 1 + lead
        y = np.concatenate([c[first : first + count] for c in coefficients]).astype(float)
        weights = np.linalg.solve(gram + strength * np.eye(len(gram)), (x - x0).T @ (y - y.mean(axis=0)))
        expected = (new.reshape(2, -1) - x0) @ weights + y.mean(axis=0)
        np.testing.assert_allclose(found[:, lead], expected, atol=1e-4)


def test_the_strength_is_that_with_the_smallest_validation_error_of_each_lead(experiment):
    task = task_of(experiment)
    regression = Regression(task, 1, HORIZON)
    told = regression.choose(task)
    windows = windows_spread(task, 1)
    validation = Validation(task, windows, task.basis, HORIZON + 1)
    best = validation.relative_l2(regression.coefficients(task.anomalies(*windows)))
    assert told == pytest.approx(best[1:].mean())
    for other in (1e-7, 1e-3, 10):
        assert (best <= validation.relative_l2(regression.coefficients(task.anomalies(*windows), other))).all()


def test_more_observed_frames_help_ridge_regression(experiment):
    task = task_of(experiment)
    start = np.array([start for _, start in experiment.cases])
    more = dataclasses.replace(task, cases=dataclasses.replace(task.cases, observed_frames=np.where(start == 6, 4, 1)))
    one, four = (BASELINES["ridge"](asked) for asked in (task, more))
    np.testing.assert_allclose(one.fields[start == 0], four.fields[start == 0], atol=1e-5)
    truth = experiment.truth.reshape(4, HORIZON + 1, 256, 2)[start == 6]
    errors = [np.square(forecast.fields[start == 6] - truth).mean() for forecast in (one, four)]
    assert errors[1] < errors[0]
    assert "validation_relative_l2_4_observed" in four.chosen


# ------------------------------------------------------------------------------------------------ ensembles


def rebuilt(experiment, task, name, case):
    forecast = BASELINES[name](task)
    with h5py.File(experiment.folder / f"{name}.h5", "w") as file:
        forecast.ensemble.write(file.create_group(f"ensembles/{name}"), task.data)
        return forecast, members(file, name, case, forecast.fields[case], task.data)


def test_members_of_climatology_are_training_frames_drawn_once(experiment):
    task = task_of(experiment, members=7)
    forecast, found = rebuilt(experiment, task, "climatology", 1)
    assert found.shape == (7, HORIZON + 1, 256, 2)
    draws, data = forecast.ensemble, experiment.data
    assert set(data.split[draws.trajectory.ravel()]) == {"train"}
    for lead in range(HORIZON + 1):
        assert len({*zip(draws.trajectory[1, lead], draws.frame[1, lead], strict=True)}) == 7
        for member in range(7):
            trajectory, frame = draws.trajectory[1, lead, member], draws.frame[1, lead, member]
            valid = data.flat_mask[trajectory]
            np.testing.assert_array_equal(found[member, lead, valid], data.flat_fields[trajectory, frame][valid])
            np.testing.assert_array_equal(found[member, lead, ~valid], task.basis.mean[~valid])


@pytest.mark.parametrize("name", ["persistence", "pod_dmd", "ridge"])
def test_members_are_the_forecast_and_what_it_missed_on_validation(experiment, name):
    task = task_of(experiment, members=6)
    forecast, found = rebuilt(experiment, task, name, 2)
    dressing = forecast.ensemble
    assert len(set(dressing.drawn[2])) == 6
    assert len(dressing.errors) == 12, "three validation trajectories, from four frames each"
    hidden = ~experiment.data.flat_mask[experiment.data.trajectories("val")[0]]
    assert (dressing.errors[:4, :, hidden] == 0).all()
    for member, which in zip(found, dressing.drawn[2], strict=True):
        error = (member - forecast.fields[2]) / task.basis.scale
        np.testing.assert_allclose(error, dressing.errors[which].astype(np.float32), atol=1e-5)
    # what is added is an error of the size that the forecast has
    rms = np.sqrt(np.square(task.basis.scale * dressing.errors.astype(float)).mean())
    own = np.sqrt(np.square(forecast.fields - experiment.truth.reshape(forecast.fields.shape)).mean())
    assert 0.3 < rms / own < 3


def test_there_are_no_more_members_than_errors(experiment):
    experiment.data.split[experiment.data.trajectories("val")[1:]] = "train"
    short = dataclasses.replace(experiment.data, fields=experiment.data.fields[:, : HORIZON + 3])
    task = task_of(experiment)
    start = np.minimum(task.cases.start_frame, 2)
    task = dataclasses.replace(of(short, task), cases=dataclasses.replace(task.cases, start_frame=start))
    assert BASELINES["ridge"](task).ensemble.drawn.shape == (4, 3)


# ------------------------------------------------------------------------------------------------ the file


def test_the_file_holds_the_forecasts_cases_and_each_method(experiment):
    out = experiment.folder / "baselines.h5"
    settings = EvaluationConfig(pod_ranks=(2, 4))
    run_baselines(experiment.run(), out, settings)
    with h5py.File(out) as file:
        assert file.attrs["schema"] == "sparsevq-forecast"
        np.testing.assert_array_equal(np.stack([file["trajectory"], file["start_frame"]], axis=1), experiment.cases)
        assert file["lead_time"].attrs["units"] == "s"
        np.testing.assert_array_equal(file["observed_frames"], 1)
        assert file.attrs["first_lead"] == 0
        assert set(file["methods"]) == set(file["ensembles"]) == set(settings.baselines)
        assert all(file[f"methods/{name}"].shape == (4, HORIZON + 1, 16, 16, 2) for name in settings.baselines)
        assert file["methods/pod_dmd"].attrs["rank"] in (2, 4)
    before = out.read_bytes()
    run_baselines(experiment.run(), out, settings)
    assert out.read_bytes() == before


def test_a_forecast_beyond_the_data_is_refused(experiment):
    with h5py.File(experiment.forecast, "a") as file:
        file["start_frame"][:] = 12
    with pytest.raises(SparseVQError, match="forecasts up to frame 17, the last frame of waves is 15"):
        run_baselines(experiment.run(), "never.h5", EvaluationConfig())


@pytest.mark.parametrize("name", ["persistence", "pod_dmd", "ridge"])
def test_all_but_climatology_need_a_validation_split(experiment, name):
    experiment.data.split[experiment.data.split == "val"] = "train"
    with pytest.raises(SparseVQError, match="waves has no validation trajectory"):
        BASELINES[name](task_of(experiment))
