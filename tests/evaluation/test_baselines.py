"""Baselines: exact where the flow is what they assume, blind to what they must not see."""

import dataclasses

import h5py
import numpy as np
import pytest

from sparsevq.basis.basis import compute_basis
from sparsevq.config import EvaluationConfig, Symmetries
from sparsevq.data.flows import TrainingFlows
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.baselines import pod_dmd
from sparsevq.evaluation.baselines.registry import BASELINES, run_baselines
from sparsevq.evaluation.baselines.task import Task
from sparsevq.evaluation.cases import Cases
from sparsevq.evaluation.metrics import relative_l2
from tests.evaluation.conftest import HORIZON, make_experiment
from tests.flows import on_a_sphere, scattered_waves


def task_of(experiment, **settings):
    data = experiment.data
    trajectory, start = np.array(experiment.cases).T
    with h5py.File(experiment.forecast) as file:
        reconstruction = file["reconstruction/sparse"][:, 0].reshape(len(trajectory), data.num_points, -1)
    cases = Cases(trajectory, start, np.ones_like(start), 0.5 * np.arange(1, HORIZON + 1), "s", 1)
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
    assert forecast.shape == (4, HORIZON, 256, 2)
    for lead in range(HORIZON):
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
    guess = rng.normal(3, 5, size=(6, HORIZON, 4))
    found = pod_dmd._Validation(task, basis).relative_l2(guess)
    fields = basis.mean + basis.scale * np.einsum("blk,knc->blnc", guess, basis.modes[:4])
    errors = []
    pairs = [(trajectory, start) for trajectory in data.trajectories("val") for start in (0, 6)]
    for prediction, (trajectory, start) in zip(fields, pairs, strict=True):
        truth = data.flat_fields[trajectory, start + 1 : start + 1 + HORIZON]
        weights = data.weights * data.flat_mask[trajectory]
        errors.append(relative_l2(prediction / data.joint_scale, truth / data.joint_scale, weights)[..., -1])
    np.testing.assert_allclose(found, np.mean(errors), rtol=1e-5)


def test_pod_dmd_forecasts_waves_that_it_can_represent(tmp_path):
    experiment = make_experiment(tmp_path, trajectories=24, frames=16, sensors=12)
    task = task_of(experiment, pod_ranks=(2, 4, 8, 12))
    errors = {}
    for name in ("climatology", "pod_dmd"):
        forecast = BASELINES[name](task)
        errors[name] = np.mean(
            [
                relative_l2(fields, truth[1:].reshape(HORIZON, 256, 2), task.data.flat_mask[trajectory])[..., -1]
                for fields, truth, (trajectory, _) in zip(
                    forecast.fields, experiment.truth, experiment.cases, strict=True
                )
            ]
        )
    assert errors["pod_dmd"] < 0.5 * errors["climatology"]
    assert forecast.chosen["rank"] in (2, 4, 8, 12)


@pytest.mark.parametrize("name", ["climatology", "persistence", "pod_dmd"])
def test_baselines_of_scattered_points_whose_masks_differ(tmp_path, name):
    data = scattered_waves(trajectories=10, points=80)
    for trajectory in range(10):
        data.mask[trajectory, 3 * trajectory : 3 * trajectory + 3] = False
    experiment = make_experiment(tmp_path, data=data)
    forecast = BASELINES[name](task_of(experiment)).fields
    assert forecast.shape == (4, HORIZON, 80, 2)
    errors = [
        relative_l2(fields - data.mean, truth[1:] - data.mean, data.mask[trajectory])[..., :2]
        for fields, truth, (trajectory, _) in zip(forecast, experiment.truth, experiment.cases, strict=True)
    ]
    # one wave of unknown phase: two modes and a few sensors do
    assert np.mean(errors) < {"climatology": 1.5, "persistence": 1.5, "pod_dmd": 0.3}[name]


@pytest.mark.parametrize("channels", [[True, True], [True, False]], ids=["all", "one"])
def test_pod_dmd_sees_nothing_of_a_test_trajectory_but_its_readings(experiment, channels):
    experiment.sensors.channels[:] = channels
    task = task_of(experiment)
    assert (np.isnan(task.readings) == ~np.array(channels)).all()
    expected = BASELINES["pod_dmd"](task)
    fields, mask = experiment.data.fields.copy(), experiment.data.mask.copy()
    hidden = dataclasses.replace(experiment.data, fields=fields, mask=mask)
    test = hidden.trajectories("test")
    kept = hidden.flat_fields[test][:, :, task.sparse].copy()
    fields[test], mask[test] = 9.0, True
    for row, trajectory in enumerate(test):
        for start in (0, 6):
            hidden.flat_fields[trajectory, start, task.sparse] = np.where(channels, kept[row, start], 9.0)
    found = BASELINES["pod_dmd"](of(hidden, task))
    np.testing.assert_array_equal(found.fields, expected.fields)
    assert found.chosen == expected.chosen


@pytest.mark.parametrize("name", ["climatology", "pod_dmd"])
def test_what_is_inside_an_obstacle_never_matters(experiment, name):
    task = task_of(experiment)
    fields = np.where(experiment.data.mask[:, None, ..., None], experiment.data.fields, np.nan).astype(np.float32)
    data = dataclasses.replace(experiment.data, fields=fields)
    np.testing.assert_array_equal(BASELINES[name](of(data, task)).fields, BASELINES[name](task).fields)


# ------------------------------------------------------------------------------------------------ the file


def test_the_file_holds_the_forecasts_cases_and_each_method(experiment):
    out = experiment.folder / "baselines.h5"
    settings = EvaluationConfig(pod_ranks=(2, 4))
    run_baselines(experiment.run(), out, settings)
    with h5py.File(out) as file:
        assert file.attrs["schema"] == "sparsevq-forecast"
        np.testing.assert_array_equal(np.stack([file["trajectory"], file["start_frame"]], axis=1), experiment.cases)
        assert file["lead_time"].attrs["units"] == "s"
        assert set(file["methods"]) == {"persistence", "climatology", "pod_dmd"}
        assert all(file[f"methods/{name}"].shape == (4, HORIZON, 16, 16, 2) for name in file["methods"])
        assert file["methods/pod_dmd"].attrs["rank"] in (2, 4)
    before = out.read_bytes()
    run_baselines(experiment.run(), out, settings)
    assert out.read_bytes() == before


def test_a_forecast_beyond_the_data_is_refused(experiment):
    with h5py.File(experiment.forecast, "a") as file:
        file["start_frame"][:] = 12
    with pytest.raises(SparseVQError, match="forecasts up to frame 17, the last frame of waves is 15"):
        run_baselines(experiment.run(), "never.h5", EvaluationConfig())


def test_pod_dmd_needs_a_validation_split(experiment):
    experiment.data.split[experiment.data.split == "val"] = "train"
    with pytest.raises(SparseVQError, match="waves has no validation trajectory"):
        BASELINES["pod_dmd"](task_of(experiment))
