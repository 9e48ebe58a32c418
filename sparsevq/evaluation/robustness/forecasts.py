"""Curves of robustness: forecasts by sparsevq and by baselines under other conditions than in training.

Nothing is trained again. What is solved for in closed form is fitted to other sensors where the methods are told of
them (`sparsevq.forecasting.other_sensors`, `sparsevq.baselines.other_sensors`); else they are as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsevq.baselines.other_sensors import Fitted, TaskElsewhere, TrainingReadings, fit
from sparsevq.baselines.task import Array, Task
from sparsevq.config import EvaluationConfig, ForecastConfig, RobustnessConfig, Symmetries
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData, Split
from sparsevq.data.flows import TrainingFlows
from sparsevq.errors import SparseVQError
from sparsevq.evaluation import metrics
from sparsevq.evaluation.robustness.conditions import BY_LEAD, Condition, conditions
from sparsevq.forecasting.cases import Cases, require_finite
from sparsevq.forecasting.dataset.lead_times import lead_times
from sparsevq.forecasting.model import Asked, ForecastModel, load_forecast_model
from sparsevq.forecasting.other_sensors import Reader, Readers, own_sensors
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.sensors.taken import Sensors

OURS = "sparsevq"
POINTS = 2048
"""Points, at most, that forecasts are scored at, drawn by area."""

Issued = tuple[Array, Array]
"""A single forecast (b, L + 1, p, C) and members (M, b, L + 1, p, C), in physical units."""


@torch.no_grad()
def robustness_of_forecasts(
    run: Run,
    settings: RobustnessConfig,
    *,
    forecast: ForecastConfig,
    evaluation: EvaluationConfig,
    trained: int,
    symmetries: Symmetries,
    seed: int,
    fabric: Fabric,
    models: Mapping[str, Path] | None = None,
) -> pd.DataFrame:
    """Errors of forecasts under each of the `conditions`.

    Parameters
    ----------
    run
        Its data set, basis, sensors and models are read, not its index dump or forecasts.
    settings
        Which curves, of how many test trajectories and members.
    forecast
        Horizon, temperature; the first of the starts (unless `settings` has one) and the fewest observed frames.
    evaluation
        What the baselines choose from.
    trained
        Frames that the GPT was trained to forecast: as many are forecast, unless `forecast` has fewer, and in the
        curve ``horizon`` twice as many, or as far as the trajectories go.
    symmetries, seed
        As of stage 1, for the flows that the baselines learn from; `seed` is also that of all draws.
    models
        Name -> model file of each trained baseline that is compared with.

    Returns
    -------
    ``curve, value, told, sensors, method, trajectory, trained_frames, relative_l2_anomalies, crps``: a row for each
    test trajectory; means over lead times from 1 on, and of the curves `BY_LEAD` a row for each lead time, which is
    then `value`. `told`: methods are fitted to the sensors that are read, and to their errors; otherwise they are as
    trained for the run's own. A method that cannot be told has no row. The error is of all channels in one norm, over
    the anomalies' own; the CRPS is on the channels' joint scale.

    Raises
    ------
    SparseVQError
        A file of the run is missing, damaged or doesn't fit the others, there is no test or validation trajectory, a
        trajectory ends before the forecast, or a forecast is NaN or infinite.
    """
    data, frames = run.data, min(trained, forecast.horizon)
    start = min(forecast.starts) if settings.start is None else settings.start
    last = data.fields.shape[1] - 1
    if start + frames > last:
        raise SparseVQError(
            f"robustness.start={start} with {frames} frames to forecast needs frame {start + frames}, but the "
            f"trajectories of {data.name} end at frame {last}",
            "start earlier",
        )
    further = min(2 * trained, last - start)
    trial = _Trial(run, settings, forecast, evaluation, (start, frames), symmetries, seed, fabric.device, models or {})
    own, placement = trial.own, run.sensors.placement
    there = conditions(data, run.basis, own, placement, settings, (frames, further), seed)
    print(f"{len(there)} conditions, {settings.cases} trajectories, {settings.members} members", flush=True)
    trial.may_read(there)
    tables = []
    with fabric.autocast():
        for condition in there:
            found = trial.scores(condition)
            tables.append(found)
            errors = found.groupby("method", sort=False)["relative_l2_anomalies"].mean()
            told = ", ".join(f"{method} {error:.3f}" for method, error in errors.items())
            print(f"{condition.curve} {condition.value:g}{', told' * condition.told}: {told}", flush=True)
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True, eq=False)
class _Held:
    """Test trajectories ``(b,)`` from a frame on, what is true of them at the points that are scored, and weights.

    `truth` is ``(b, L + 1, p, C)`` in physical units; `weights` ``(b, 1, p)`` are 0 where there is no field.
    """

    cases: Cases
    truth: Array
    weights: Array


class _Trial:
    """The methods, and what all conditions have in common."""

    def __init__(
        self,
        run: Run,
        settings: RobustnessConfig,
        forecast: ForecastConfig,
        evaluation: EvaluationConfig,
        when: tuple[int, int],
        symmetries: Symmetries,
        seed: int,
        device: torch.device,
        models: Mapping[str, Path],
    ):
        self.own, self._settings, self._forecast, self._seed = own_sensors(run), settings, forecast, seed
        self._data, self._basis = run.data, run.basis
        self._start, self._frames = when  # last observed frame, and how many are forecast
        self._model: ForecastModel = load_forecast_model(run, device)
        self._observed = min(forecast.observed_frames)
        self._readers = Readers(self._model, self.own, self._observed, settings.examples)
        self._fields = DeviceFields(run.data, Symmetries(), device, self._model.teacher.basis)
        self._points, self._area = _scored_at(run.data, seed)
        self._task = Task(
            data=run.data,
            basis=run.basis,
            training=TrainingFlows(run.data, symmetries, seed),
            sparse=self.own.points,
            reads=self.own.reads,
            cases=self._held("test", self._frames).cases,
            reconstruction=np.zeros((0, 0, 0), np.float32),  # persistence alone has use for it
            settings=evaluation.model_copy(update={"members": settings.members}),
            seed=seed,
            models=models,
            digests={"data": run.data.digest, "basis": run.basis.digest, "sensors": run.sensors.digest},
            device=device,
        )
        self._names = [name for name in settings.baselines if name in evaluation.baselines]
        self._tasks: dict[int, TaskElsewhere] = {}
        self._fitted: dict[tuple[object, ...], Fitted] = {}
        self._flows: TrainingReadings | None = None

    def may_read(self, conditions: list[Condition]) -> None:
        """Read the training flows at all points that sensors stand at."""
        if self._names:
            points = [self.own.points, *(condition.read.points for condition in conditions)]
            self._flows = TrainingReadings(self._task, np.concatenate(points))

    def scores(self, condition: Condition) -> pd.DataFrame:
        """The rows of one condition."""
        held = self._held(condition.split, condition.frames)
        readings = self._readings(held.cases, condition.read)
        tables = []
        if condition.fitted is None or self._readers.can_be_told(condition.fitted.noise):
            tables.append(self._scored(OURS, self._ours(held.cases, readings, condition), held, condition))
        for name in self._names:
            baseline = self._baseline(name, condition).forecast(readings)
            tables.append(self._scored(name, baseline, held, condition))
        return pd.concat(tables)

    def _held(self, split: Split, frames: int) -> _Held:
        data, every = self._data, self._data.trajectories(split)
        if not len(every):
            raise SparseVQError(f"{data.name} has no trajectory of the split {split}", "give it at least one (/split)")
        chosen = np.linspace(0, len(every) - 1, min(self._settings.cases, len(every))).round().astype(np.int64)
        trajectory = every[chosen].astype(np.int64)
        start, observed = (np.full(len(trajectory), value) for value in (self._start, self._observed))
        cases = Cases(trajectory, start, observed, lead_times(data, frames)[1:], data.time_units, 0)
        after = np.arange(self._start, self._start + frames + 1)
        truth = data.flat_fields[trajectory[:, None, None], after[:, None], self._points]
        valid = data.flat_mask[trajectory][:, self._points]
        return _Held(cases, truth, (valid * self._area)[:, None])

    def _readings(self, cases: Cases, sensors: Sensors) -> Array:
        """``(b, k, n, C)`` normalised anomalies; their errors are the same numbers for every std."""
        frames = self._start + np.arange(1 - self._observed, 1)
        values = self._data.flat_fields[cases.trajectory[:, None, None], frames[:, None], sensors.points]
        exact = ((values - self._basis.mean[sensors.points]) / self._basis.scale).astype(np.float32)
        rng = np.random.default_rng([self._seed, 3])
        found: Array = exact + np.float32(sensors.noise) * rng.standard_normal(exact.shape, np.float32)
        return found

    def _ours(self, cases: Cases, readings: Array, condition: Condition) -> Issued:
        """By the run's networks, as trained."""
        model, fields = self._model, self._fields
        trajectory, start = torch.from_numpy(cases.trajectory), torch.from_numpy(cases.start_frame)
        last = Views(trajectory, start, torch.zeros_like(start))
        reader = self._reader(condition)
        seen = reader.seen(torch.from_numpy(readings).to(fields.device), self._readers.known(fields, last))
        forecast = self._forecast
        temperature = model.temperature if forecast.temperature is None else forecast.temperature
        asked = Asked(condition.frames, self._settings.members, temperature, forecast.top_k, self._seed, model.network)
        drawn = model.generate(seen, asked)
        points = torch.from_numpy(self._points).to(fields.device)
        each = [drawn.case(case) for case in range(len(cases))]
        single: list[Tensor] = [model.mean(one, fields, points) for one in each]
        members = [model.ensemble(one, fields, self._observed, points) for one in each]
        return torch.stack(single).cpu().numpy(), torch.stack(members, dim=1).cpu().numpy()

    def _reader(self, condition: Condition) -> Reader:
        return self._readers.as_trained() if condition.fitted is None else self._readers.fitted_to(condition.fitted)

    def _baseline(self, name: str, condition: Condition) -> Fitted:
        sensors = self.own if condition.fitted is None else condition.fitted
        key = name, condition.frames, *sensors.key
        if key not in self._fitted:
            self._fitted[key] = fit(name, self._task_for(condition.frames), sensors, self._points)
        return self._fitted[key]

    def _task_for(self, frames: int) -> TaskElsewhere:
        """The baselines' task with so many frames to forecast."""
        if frames not in self._tasks:
            assert self._flows is not None
            given = {name: getattr(self._task, name) for name in self._task.__dataclass_fields__}
            given |= {"cases": self._held("test", frames).cases, "flows": self._flows}
            self._tasks[frames] = TaskElsewhere(**given)
        return self._tasks[frames]

    def _scored(self, method: str, issued: Issued, held: _Held, condition: Condition) -> pd.DataFrame:
        single, members = issued
        scale = self._data.joint_scale
        climatology = self._basis.mean[self._points] / scale
        for case, (fields, weights) in enumerate(zip(single, held.weights, strict=True)):
            require_finite(fields, f"{method} ({held.cases.name(case)})", case, weights[0], first_lead=0)
        truth = held.truth / scale
        error = metrics.relative_l2_anomalies(single / scale, truth, climatology, held.weights)[..., -1]
        ranked = metrics.rank((members / scale).astype(np.float32))
        crps = metrics.fair_crps(ranked, truth, held.weights)[..., -1]
        leads = np.arange(error.shape[1])
        table = pd.DataFrame(
            {
                "curve": condition.curve,
                "value": np.tile(leads, len(error)).astype(np.float64),
                "told": condition.told,
                "sensors": len(condition.read),
                "method": method,
                "trajectory": np.repeat(held.cases.trajectory, len(leads)),
                "trained_frames": self._frames,
                "relative_l2_anomalies": error.ravel(),
                "crps": crps.ravel(),
            }
        )
        table = table[table["value"] > 0]
        if condition.curve in BY_LEAD:
            return table
        keys = [name for name in table if name not in ("value", "relative_l2_anomalies", "crps")]
        means = table.groupby(keys, sort=False).mean().reset_index().assign(value=float(condition.value))
        return means[list(table)]


def _scored_at(data: FieldData, seed: int) -> tuple[NDArray[np.int64], Array]:
    """Points ``(p,)`` that forecasts are scored at, and the area that each stands for ``(p,)``.

    All of them, or where there are many some, drawn by area: then each counts alike.
    """
    if data.num_points <= POINTS:
        return np.arange(data.num_points), data.weights
    chance = data.weights / data.weights.sum()
    drawn = np.random.default_rng([seed, 4]).choice(data.num_points, POINTS, replace=False, p=chance)
    return np.sort(drawn), np.ones(POINTS)
