"""Baselines from any sensors: fitted again to others than a run's own, or as they are.

A baseline that is solved for is solved for again. A trained one stays as it is, but for the estimate of its first frame
from the readings, where it has one. All fits share what does not depend on the sensors: the coefficients of the
training flows, what the flows have at every point where a sensor may stand, and the truth of the validation windows. So
a fit takes a second, not a pass over the data.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sparsevq.baselines.networks.registry import load_network
from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.pod_dmd import Propagated
from sparsevq.baselines.ridge import Regression
from sparsevq.baselines.task import Task
from sparsevq.baselines.validation import Validation, Windows, windows_spread
from sparsevq.basis.basis import Basis
from sparsevq.errors import SparseVQError
from sparsevq.runtime.integrity import require_made_from
from sparsevq.sensors.taken import Sensors

Array = NDArray[Any]

AT_ONCE = 8
"""Windows that a network forecasts together."""


class Solved(Protocol):
    """A baseline that was fitted to some sensors."""

    def coefficients(self, readings: Array) -> Array:
        """``(B, L + 1, r)`` from normalised anomalies ``(B, k, m)``."""


def _ridge(task: Task) -> Regression:
    found = Regression(task, int(task.cases.observed_frames[0]), task.cases.horizon)
    found.choose(task)
    return found


SOLVED: dict[str, Callable[[Task], Solved]] = {"ridge": _ridge, "pod_dmd": Propagated}
"""Name -> fit to the sensors of a task, all cases of which have as many observed frames."""


class TrainingReadings:
    """Training flows as any sensors at some points would read them.

    Parameters
    ----------
    task
        Of which the flows and the basis count.
    points
        ``(n,)`` flat indices, in any order, each as often as you like.
    """

    def __init__(self, task: Task, points: NDArray[np.int64]):
        self._points = np.unique(points)
        everything = np.ones((len(self._points), len(task.data.channels)), bool)
        there = replace(task, sparse=self._points, reads=everything)
        readings, self.coefficients = there.learned_from
        self._readings = readings.reshape(*readings.shape[:2], *everything.shape)

    def of(self, points: NDArray[np.int64], reads: NDArray[np.bool_]) -> Array:
        """``(flow, F, m)`` normalised anomalies of sensors at points ``(n,)`` that read channels ``(n, C)``."""
        return self._readings[:, :, np.searchsorted(self._points, points)][..., reads]


@dataclass(frozen=True, eq=False)
class TaskElsewhere(Task):
    """A task whose sensors are others, maybe with errors, and which shares with others what is not of the sensors.

    Attributes
    ----------
    flows
        The training flows at all points where its sensors may stand.
    noise
        Std of the readings' errors, in units of the anomalies': of those that are learned from and chosen by.
    kept
        Truths of validation windows.
    """

    flows: TrainingReadings = field(kw_only=True)
    noise: float = 0.0
    kept: dict[tuple[bytes, bytes, int, int], Validation] = field(default_factory=dict)

    @cached_property
    def learned_from(self) -> tuple[Array, Array]:
        """As of `Task`, with the readings' errors."""
        return self._with_errors(self.flows.of(self.sparse, self.reads), 1), self.flows.coefficients

    def anomalies(self, trajectory: Array, last_frame: Array, observed_frames: int = 1) -> Array:
        """As of `Task`, with the readings' errors."""
        return self._with_errors(super().anomalies(trajectory, last_frame, observed_frames), 2)

    def validation(self, windows: Windows, basis: Basis, leads: int) -> Validation:
        """As of `Task`; the last few are kept."""
        key = windows.trajectory.tobytes(), windows.start.tobytes(), len(basis.modes), leads
        if key not in self.kept:
            self.kept[key] = super().validation(windows, basis, leads)
        return self.kept[key]

    def _with_errors(self, readings: Array, which: int) -> Array:
        if not self.noise:
            return readings
        rng = np.random.default_rng([self.seed, 13, which])
        found: Array = readings + np.float32(self.noise) * rng.standard_normal(readings.shape, np.float32)
        return found


Forecaster = Callable[[Array], Array]
"""Normalised anomalies at the sensors (b, k, n, C) -> fields (b, L + 1, p, C) in physical units."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A baseline that was fitted to some sensors, and how it was wrong with them on the validation split.

    Attributes
    ----------
    forecaster
        The fit.
    errors
        ``(w, L + 1, p, C)`` of validation windows, in physical units.
    members, seed
        Of the ensembles, and of their draws.
    """

    forecaster: Forecaster
    errors: Array
    members: int
    seed: int

    def forecast(self, readings: Array) -> tuple[Array, Array]:
        """Single forecasts ``(b, L + 1, p, C)``, and members ``(M, b, L + 1, p, C)``: dressed with `errors`.

        Parameters
        ----------
        readings
            ``(b, k, n, C)`` normalised anomalies at the sensors.
        """
        single = self.forecaster(readings)
        rng = np.random.default_rng([self.seed, 11])
        members = min(self.members, len(self.errors))
        drawn = np.stack([rng.choice(len(self.errors), members, replace=False) for _ in single], axis=1)
        return single, single + self.errors[drawn]


def fit(name: str, task: TaskElsewhere, sensors: Sensors, points: NDArray[np.int64]) -> Fitted:
    """Fit a baseline to sensors, and to the errors that their readings have (`Sensors.noise`).

    Parameters
    ----------
    name
        A key of `SOLVED`, or a trained baseline of the task.
    task
        Its sensors do not count.
    points
        ``(p,)`` where forecasts are wanted.

    Raises
    ------
    SparseVQError
        There is no validation trajectory; or a trained baseline's model is missing or damaged, is not of these files,
        or takes no other sensors than those that it was trained with.
    """
    there = replace(task, sparse=sensors.points, reads=sensors.reads, noise=sensors.noise)
    forecaster = _solved(name, there, points) if name in SOLVED else _trained(name, there, points)
    data, observed = task.data, int(task.cases.observed_frames[0])
    windows = windows_spread(there, observed)
    readings = there.anomalies(*windows, observed)
    everywhere = np.zeros((*readings.shape[:2], *sensors.reads.shape), np.float32)
    everywhere[..., sensors.reads] = readings
    guess = forecaster(everywhere)
    frames = windows.start[:, None] + np.arange(guess.shape[1])
    truth = data.flat_fields[windows.trajectory[:, None, None], frames[..., None], points]
    valid = data.flat_mask[windows.trajectory][:, points]
    errors = np.where(valid[:, None, :, None], truth - guess, 0).astype(np.float32)
    return Fitted(forecaster, errors, task.settings.members, task.seed)


def _solved(name: str, task: TaskElsewhere, points: NDArray[np.int64]) -> Forecaster:
    basis, solved = task.basis, SOLVED[name](task)
    modes, mean = basis.modes_at(points), basis.mean[points]  # (r, p, C), (p, C)

    def forecast(readings: Array) -> Array:
        coefficients = solved.coefficients(readings[..., task.reads])
        rank = coefficients.shape[-1]
        flat = coefficients.astype(np.float32) @ modes[:rank].reshape(rank, -1)
        found: Array = flat.reshape(*coefficients.shape[:-1], *mean.shape) * basis.scale + mean
        return found

    return forecast


def _trained(name: str, task: TaskElsewhere, points: NDArray[np.int64]) -> Forecaster:
    """A network as it was trained, whose first frame is estimated from the readings of the task's sensors."""
    if name not in task.models:
        raise SparseVQError(f"baseline {name}: there is no model of it", "train it: rule baseline_network")
    path, device = task.models[name], torch.device(task.device)
    network, file = load_network(path, task.data, task.basis, task.sparse, task.reads, device)
    require_made_from(path, file.made_from, task.digests, f"baseline_network ({name})")
    if not network.any_sensors:
        raise SparseVQError(
            f"{path} takes no other sensors than those that it was trained with", "leave it out of robustness.baselines"
        )
    # The variance of the readings' errors adds to that which the estimate assumes.
    strength = float(file.extra["strength"]) + task.noise**2
    network.scene = Scene.of(task.data, task.basis, task.sparse, task.reads, device, strength=strength)

    @torch.no_grad()
    def forecast(readings: Array) -> Array:
        given = torch.from_numpy(readings[:, -network.observed_frames :][..., task.reads].astype(np.float32)).to(device)
        parts = [network.forecast(part, task.cases.horizon)[:, :, points] for part in given.split(AT_ONCE)]
        found: Array = torch.cat(parts).float().cpu().numpy() * task.basis.scale + task.basis.mean[points]
        return found

    return forecast
