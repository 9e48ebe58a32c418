"""Forecasts under other conditions: with the run's own sensors they are the run's, and others are what they say."""

import itertools

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from sparsevq.baselines.cost import Cost, write_cost
from sparsevq.baselines.networks.forecast import of_network
from sparsevq.baselines.networks.registry import NETWORKS
from sparsevq.baselines.networks.rollout import Rollout, RolloutSizes
from sparsevq.baselines.networks.stage import NetworkStage
from sparsevq.baselines.other_sensors import TaskElsewhere, TrainingReadings, fit
from sparsevq.baselines.registry import run_baselines
from sparsevq.baselines.task import Task
from sparsevq.config import EvaluationConfig, ForecastConfig, RobustnessConfig, SensorsConfig, Symmetries
from sparsevq.config.networks import FNOConfig
from sparsevq.data.flows import TrainingFlows
from sparsevq.errors import SparseVQError
from sparsevq.evaluation import metrics
from sparsevq.evaluation.figures.robustness import _scale, draw_robustness
from sparsevq.evaluation.robustness.conditions import conditions, moved
from sparsevq.evaluation.robustness.forecasts import robustness_of_forecasts
from sparsevq.evaluation.tables import tabulate_robustness
from sparsevq.forecasting.cases import Cases
from sparsevq.forecasting.model import load_forecast_model, seen_by_sensors
from sparsevq.forecasting.other_sensors import Readers, own_sensors
from sparsevq.runtime.model_file import load_model
from sparsevq.sensors.placement import place_sensors
from sparsevq.sensors.taken import Sensors
from sparsevq.training.stage import train
from tests.chain import STAGE1, Chain, Recorder, fabric, make_chain, make_modal_chain
from tests.flows import on_a_sphere, travelling_waves

SETTINGS = RobustnessConfig(members=4, examples=80, numbers=(3, 12), noise_db=(10, 60), missing=(0.5,), moved=(1, 3))
FORECAST = ForecastConfig(horizon=4, starts=(0,), members=4)
EVALUATION = EvaluationConfig(pod_ranks=(2, 5), members=4)
KEYS = ["curve", "value", "told", "sensors", "method"]


@pytest.fixture(scope="module")
def modal(tmp_path_factory):
    chain = make_modal_chain(tmp_path_factory.mktemp("modal"))
    chain.calibrate(horizon=4, starts=(0,))
    return chain


def table_of(chain: Chain, **changes) -> pd.DataFrame:
    settings = RobustnessConfig(**{**SETTINGS.model_dump(), **changes})
    return robustness_of_forecasts(
        chain.run(),
        settings,
        forecast=FORECAST,
        evaluation=EVALUATION,
        trained=4,
        symmetries=STAGE1.symmetries,
        seed=1,
        fabric=fabric(),
    )


@pytest.fixture(scope="module")
def table(modal):
    return table_of(modal)


def means(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby(KEYS)[["relative_l2_anomalies", "crps"]].mean()


# ------------------------------------------------------------------------------------------------ conditions


@pytest.fixture(scope="module")
def placed():
    data = travelling_waves(trajectories=6, frames=12, grid=(16, 16))
    found = place_sensors(data, SensorsConfig(num_semi_sparse=1, channels=("u",)), 10, seed=2)
    return data, Sensors(found.sparse, found.channels[:10])


def test_conditions_are_what_they_are_called(placed):
    data, own = placed
    settings = RobustnessConfig(numbers=(5, 20, 5000), missing=(0.2, 0.5), noise_db=(20,), moved=(2,))
    found = conditions(data, None, own, "random", settings, (5, 10), seed=3)
    by_curve = {
        curve: list(rows) for curve, rows in itertools.groupby(found, key=lambda each: each.curve)
    }  # in their order
    assert list(by_curve) == ["own", "sensors", "noise", "missing", "moved", "horizon"], "there is no split ood"
    five, twenty = (set(each.read.points.tolist()) for each in by_curve["sensors"])
    assert (len(five), len(twenty)) == (5, 20), "so many as 5000 do not fit"
    assert five < twenty
    assert data.flat_mask[:, list(twenty)].all()
    assert all((each.read.reads == [True, False]).all() for each in found), "others read what the own ones read"
    eight, half = (set(each.read.points.tolist()) for each in by_curve["missing"])
    assert half < eight < set(own.points.tolist())
    assert (len(eight), len(half)) == (8, 5)
    untold, told = by_curve["noise"]
    assert untold.read.noise == told.read.noise == told.fitted.noise == pytest.approx(0.1)
    assert untold.fitted is None
    assert by_curve["horizon"][0].frames == 10
    assert {each.frames for each in found if each.curve != "horizon"} == {5}


def test_a_longer_horizon_than_the_trajectories_is_no_curve(placed):
    data, own = placed
    found = conditions(data, None, own, "random", RobustnessConfig(curves=("horizon", "outside")), (5, 5), seed=3)
    assert [each.curve for each in found] == ["own", "own"]


def test_sensors_move_as_far_as_is_said_and_stay_where_sensors_may_stand():
    data = travelling_waves(trajectories=4, frames=3, grid=(32, 32), obstacle=False)
    points = np.arange(0, 1024, 37)
    place = np.stack(np.divmod(points, 32), axis=-1)
    for cells in (1, 4):
        apart = np.abs(np.stack(np.divmod(moved(data, points, cells, seed=5), 32), axis=-1) - place)
        apart[:, 1] = np.minimum(apart[:, 1], 32 - apart[:, 1])  # x is periodic
        np.testing.assert_allclose(np.linalg.norm(apart, axis=1), cells, atol=0.75)
    around = travelling_waves(trajectories=6, frames=3, grid=(16, 16))
    free = np.flatnonzero(around.flat_mask.all(axis=0))
    assert np.isin(moved(around, free[::5], 3, seed=5), free).all()
    sphere = on_a_sphere(trajectories=4, frames=3)
    assert (moved(sphere, np.arange(10), 2, seed=1) != np.arange(10)).all()


# ------------------------------------------------------------------------------------------------ sparsevq


@pytest.mark.parametrize("observed", [1, 3])
def test_as_trained_a_reader_sees_what_the_index_dump_has(modal, observed):
    run = modal.run()
    model, codes, own = load_forecast_model(run, torch.device("cpu")), run.codes(), own_sensors(run)
    trajectory, start = torch.tensor([18, 19]), torch.tensor([3, 5])
    wanted = seen_by_sensors(model.gpt, codes, trajectory, start, observed)
    frames = (start[:, None] + torch.arange(1 - observed, 1)).numpy()[..., None]
    values = run.data.flat_fields[trajectory.numpy()[:, None, None], frames, own.points]
    readings = torch.from_numpy(((values - run.basis.mean[own.points]) / run.basis.scale).astype(np.float32))
    readers = Readers(model, own, observed, most=80)
    seen = readers.as_trained().seen(readings, None)
    assert torch.equal(seen.prompt, wanted.prompt)
    torch.testing.assert_close(seen.outlook.mean, wanted.outlook.mean)
    torch.testing.assert_close(seen.outlook.std, wanted.outlook.std)
    other = readers.fitted_to(own.part(np.arange(4))).seen(readings[:, :, :4], None)
    assert not torch.equal(other.outlook.mean, seen.outlook.mean)


def test_with_its_own_sensors_the_forecasts_are_those_of_the_run(modal, table, tmp_path):
    run = modal.run()
    modal.forecast(tmp_path / "forecast.h5", **FORECAST.model_dump())
    run = modal.run(forecast=tmp_path / "forecast.h5")
    run_baselines(run, tmp_path / "baselines.h5", EVALUATION, STAGE1.symmetries, seed=1)
    data, own = run.data, table[(table["curve"] == "own") & ~table["told"]]
    climatology, area = run.basis.mean / data.joint_scale, data.weights
    with h5py.File(tmp_path / "forecast.h5") as ours, h5py.File(tmp_path / "baselines.h5") as others:
        for case, trajectory in enumerate(ours["trajectory"][:]):
            weights = area * data.flat_mask[trajectory]
            truth = data.flat_fields[trajectory, :5] / data.joint_scale
            singles = {"sparsevq": ours["mean"][case]} | {
                name: others[f"methods/{name}"][case] for name in ("ridge", "pod_dmd")
            }
            rows = own[own["trajectory"] == trajectory].set_index("method")
            for name, fields in singles.items():
                scaled = fields.reshape(truth.shape) / data.joint_scale
                error = metrics.relative_l2_anomalies(scaled, truth, climatology, weights)[1:, -1].mean()
                assert rows.loc[name, "relative_l2_anomalies"] == pytest.approx(error, rel=2e-3), name
            members = ours["ensemble"][case].reshape(4, *truth.shape) / data.joint_scale
            crps = metrics.fair_crps(metrics.rank(members), truth, weights)[1:, -1].mean()
            assert rows.loc["sparsevq", "crps"] == pytest.approx(crps, rel=1e-3)


def test_every_condition_has_a_row_for_each_method_and_trajectory(table):
    assert not table.duplicated([*KEYS, "trajectory"]).any()
    assert set(table["method"]) == {"sparsevq", "ridge", "pod_dmd"}
    assert (table.groupby(KEYS[:4])["method"].count() == 3 * 2).all()
    assert np.isfinite(table[["relative_l2_anomalies", "crps"]]).all(axis=None)
    assert set(table.loc[table["curve"] == "horizon", "value"]) == set(range(1, 9)), "twice the trained 4 frames"


def test_twice_the_horizon_begins_as_the_forecast_that_was_trained(table):
    found = means(table)["relative_l2_anomalies"]
    own = found.loc["own", 0.0, False, 6, "sparsevq"]
    later = [found.loc["horizon", lead, False, 6, "sparsevq"] for lead in range(1, 9)]
    assert np.mean(later[:4]) == pytest.approx(own, rel=1e-4)
    assert later[-1] > own


def test_errors_grow_with_what_the_sensors_miss(table):
    error = means(table)["relative_l2_anomalies"].unstack("method")
    own = error.loc["own", 0.0, False, 6]
    assert (error.loc["noise", 10.0, False, 6] > 1.2 * own).all()
    np.testing.assert_allclose(error.loc["noise", 60.0, False, 6], own, rtol=0.01)
    told, untold = (error.loc["noise", 10.0, told, 6] for told in (True, False))
    assert told["ridge"] < untold["ridge"]
    assert told["sparsevq"] != untold["sparsevq"]
    for cells in (1.0, 3.0):  # waves are smooth: who knows where the sensors are loses nothing
        assert (error.loc["moved", cells, False, 6] > 2 * error.loc["moved", cells, True, 6]).all()
    crps = means(table)["crps"].unstack("method")
    assert (crps.loc["moved", 3.0, False, 6] > crps.loc["own", 0.0, False, 6]).all()


def test_the_papers_encoder_takes_other_places_but_cannot_be_told_of_errors(tmp_path_factory):
    chain = make_chain(tmp_path_factory.mktemp("paper"))
    chain.calibrate(horizon=4, starts=(0,))
    found = table_of(chain, curves=("sensors", "noise"))
    rows = found.groupby(["curve", "value", "told"])["method"].agg(set)
    everyone = {"sparsevq", "ridge", "pod_dmd"}
    assert rows["noise", 10.0, True] == everyone - {"sparsevq"}
    assert rows["noise", 10.0, False] == rows["sensors", 12.0, True] == everyone
    own = found[(found["curve"] == "own") & (found["method"] == "sparsevq")].groupby("told")["crps"].mean()
    assert own[True] == pytest.approx(own[False]), "nothing is solved for"


def test_baselines_that_are_not_evaluated_are_not_compared_with(modal):
    found = robustness_of_forecasts(
        modal.run(),
        RobustnessConfig(curves=(), members=2),
        forecast=FORECAST,
        evaluation=EvaluationConfig(baselines=("climatology",)),
        trained=3,
        symmetries=Symmetries(),
        seed=1,
        fabric=fabric(),
    )
    assert set(found["method"]) == {"sparsevq"}
    assert set(found["trained_frames"]) == {3}


# ------------------------------------------------------------------------------------------------ trained baselines


class Pointwise(Rollout):
    """A rollout whose network sees each point alone: a few weights."""

    section = "fno"
    Sizes = RolloutSizes

    @classmethod
    def sizes(cls, scene, settings, horizon):
        return RolloutSizes(channels=scene.channels, fixed=len(scene.fixed), axes=len(scene.grid))

    def body(self, given: int, made: int) -> torch.nn.Module:
        return torch.nn.Conv2d(given, made, 1)


@pytest.fixture
def pointwise(modal, tmp_path, monkeypatch):
    """The model file of a trained baseline of the run."""
    monkeypatch.setitem(NETWORKS, "fno", Pointwise)
    settings = FNOConfig(max_steps=2, val_every=2, warmup_steps=1, rollout_frames=2, precision="32-true")
    made = {"symmetries": STAGE1.symmetries, "horizon": 4, "seed": 1, "fabric": fabric()}
    train(NetworkStage(modal.run(), "fno", settings, **made), tmp_path / "fno", tracker=Recorder())
    write_cost(tmp_path / "fno/cost.json", Cost(1, 1.0))
    return tmp_path / "fno/model.safetensors"


def trained_task(chain: Chain, path) -> TaskElsewhere:
    run = chain.run()
    own, horizon = own_sensors(run), 4
    trajectory = run.data.trajectories("test")
    zeros = np.zeros_like(trajectory)
    task = Task(
        data=run.data,
        basis=run.basis,
        training=TrainingFlows(run.data),
        sparse=own.points,
        reads=own.reads,
        cases=Cases(trajectory, zeros, zeros + 1, 0.5 * np.arange(1, horizon + 1), "s", 0),
        reconstruction=np.zeros((0, 0, 0), np.float32),
        settings=EVALUATION,
        seed=1,
        models={"fno": path},
        digests={"data": run.data.digest, "basis": run.basis.digest, "sensors": run.sensors.digest},
    )
    given = {field: getattr(task, field) for field in task.__dataclass_fields__}
    return TaskElsewhere(**given, flows=TrainingReadings(task, np.arange(run.data.num_points)))


def test_a_trained_baseline_forecasts_from_other_sensors_by_its_estimate_of_the_frame(modal, pointwise):
    task, run = trained_task(modal, pointwise), modal.run()
    own, everywhere = own_sensors(run), np.arange(run.data.num_points)

    def forecast(sensors: Sensors, frame: int = 0):
        values = run.data.flat_fields[task.cases.trajectory, frame][:, sensors.points]
        readings = ((values - run.basis.mean[sensors.points]) / run.basis.scale)[:, None]
        return fit("fno", task, sensors, everywhere), readings

    fitted, readings = forecast(own)
    as_evaluated = of_network(task, pointwise).fields
    np.testing.assert_allclose(fitted.forecast(readings)[0], as_evaluated, rtol=1e-5, atol=1e-5)
    others = Sensors(own.points[:3], own.reads[:3], noise=0.5)
    fitted, readings = forecast(others)
    strength = float(load_model(pointwise, "baseline").extra["strength"])
    gain = posterior_gain(run.basis, others, strength + 0.25)
    modes = run.basis.modes.reshape(len(run.basis.modes), -1)
    first = (readings[:, 0][:, others.reads] @ gain @ modes).reshape(len(readings), -1, 2)
    single, members = fitted.forecast(readings)
    np.testing.assert_allclose(single[:, 0], first * run.basis.scale + run.basis.mean, rtol=1e-4, atol=1e-4)
    assert members.shape == (4, *single.shape)
    assert not np.allclose(members[0], single)


def posterior_gain(basis, sensors: Sensors, strength: float):
    """Optimal interpolation in Kalman's form."""
    at_sensors = basis.modes[:, sensors.points][:, sensors.reads].T
    variance = basis.std**2
    within = (at_sensors * variance) @ at_sensors.T + strength * np.eye(len(at_sensors))
    return np.linalg.solve(within, at_sensors * variance)


def test_a_baseline_that_is_bound_to_its_sensors_is_refused(modal, pointwise, monkeypatch):
    monkeypatch.setattr(Pointwise, "any_sensors", False)
    task, own = trained_task(modal, pointwise), own_sensors(modal.run())
    with pytest.raises(SparseVQError, match="takes no other sensors"):
        fit("fno", task, own.part(np.arange(2)), np.arange(4))
    with pytest.raises(SparseVQError, match="there is no model of it"):
        fit("unet", task, own, np.arange(4))


# ------------------------------------------------------------------------------------------------ table and figure


def rows_of(seed: int, factor: float) -> pd.DataFrame:
    shares = {1: 0.9, 2: 1.0, 3: 1.1}
    of_methods = {"sparsevq": 0.2, "ridge": 0.4, "pod_dmd": 0.6}
    curves = (("own", 0, False, 20), ("noise", 10, True, 20), ("noise", 10, False, 20), ("missing", 0.5, True, 10))
    points = [*curves, *(("horizon", lead, False, 20) for lead in range(1, 41))]
    rows = [
        ("waves", 20, seed, *point, method, trajectory, 20, factor * error * share, error * share / 2)
        for point in points
        for method, error in of_methods.items()
        for trajectory, share in shares.items()
        if (point[:3], method) != (("noise", 10, True), "sparsevq")
    ]
    names = ["data_set", "num_sensors", "seed", *KEYS, "trajectory", "trained_frames", "relative_l2_anomalies", "crps"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def tabulated(tmp_path):
    paths = []
    for seed, factor in ((1, 1.0), (2, 2.0)):
        paths.append(tmp_path / f"{seed}.csv")
        rows_of(seed, factor).to_csv(paths[-1], index=False)
    return tabulate_robustness(paths, tmp_path / "tables"), tmp_path


def test_the_table_names_conditions_and_says_who_is_best(tabulated):
    lines = (tabulated[1] / "tables/robustness_forecast.md").read_text().splitlines()
    assert lines[0] == "### waves, 20 sensors, 2 seeds"
    assert lines[2] == (
        "| condition | error, sparsevq (ensemble mean) | error, gappy POD + DMD | error, ridge regression | "
        "error / best baseline | CRPS, sparsevq (ensemble mean) | CRPS, gappy POD + DMD | CRPS, ridge regression | "
        "CRPS / best baseline |"
    )
    assert lines[4] == (
        "| own sensors, as trained | **0.3 (0.27 to 0.33)** | 0.9 (0.81 to 0.99) | 0.6 (0.54 to 0.66) | 0.50 | "
        "**0.1** | 0.3 | 0.2 | 0.50 |"
    )
    assert lines[5].startswith("| noise 10 dB, fitted anew |  | 0.9 (0.81 to 0.99) | **0.6 (0.54 to 0.66)** |  |")
    assert [line.split(" |")[0] for line in lines[7:]] == [
        "| 50% missing (10 left), fitted anew",
        *(f"| lead {lead}" for lead in (1, 2, 5, 10, 20, 40)),
    ]
    written = pd.read_csv(tabulated[1] / "tables/robustness_forecast.csv")
    assert len(written) == len(tabulated[0]) == 2 * len(rows_of(1, 1.0))


@pytest.mark.parametrize(("high", "scale", "shown"), [(4, "linear", 4), (40, "log", 40), (1e6, "log", 200)])
def test_methods_that_are_far_apart_are_all_in_the_figure(high, scale, shown):
    axes = Figure().subplots()
    _scale(axes, 1, high)
    assert axes.get_yscale() == scale
    bottom, top = axes.get_ylim()
    assert bottom < 1 and shown < top < 1.5 * shown


def test_the_figure_has_a_column_for_each_curve(tabulated, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr("sparsevq.evaluation.figures.robustness.save", lambda figure, path: drawn.append(figure))
    draw_robustness(tabulated[0], tabulated[1] / "robustness.png")
    (figure,) = drawn
    assert isinstance(figure, Figure)
    labels = [axes.get_xlabel() for axes in figure.axes[:3]]
    assert labels == ["signal to noise (dB)", "share of sensors missing", "lead time (frames)"]
    assert len(figure.axes) == 6
    lead = figure.axes[2]
    assert lead.get_xscale() == "log"
    ours = next(line for line in lead.lines if line.get_label() == "sparsevq (ensemble mean)")
    np.testing.assert_allclose(ours.get_xdata(), np.arange(1, 41))
    np.testing.assert_allclose(ours.get_ydata(), 0.3)
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert len(dashed) == 3, "as trained, and not told of the noise"
