"""What may become of a run's sensors, of its horizon and of the flows that it forecasts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsevq.basis.basis import Basis
from sparsevq.config import RobustnessConfig, SensorsConfig
from sparsevq.data.field_data import FieldData, Split
from sparsevq.sensors.placement import free_points, place_sensors
from sparsevq.sensors.taken import Sensors

OWN = "own"
"""The curve of a single point: the run's own sensors, exact, as far as it was trained."""
BY_LEAD = ("horizon", "outside")
"""Curves over lead times."""


@dataclass(frozen=True, eq=False)
class Condition:
    """One point of a curve, or with `BY_LEAD` all of it.

    Attributes
    ----------
    curve
        Its name.
    value
        What the curve is over: number of sensors, signal to noise (dB), share of sensors missing, cells moved.
    read
        Where the readings come from, and the std of their errors.
    fitted
        What the methods are fitted to; None: to the run's own sensors, exact, as they were trained. Where that differs
        from `read` they are not told of it.
    split
        Of the trajectories.
    frames
        That are forecast.
    """

    curve: str
    value: float
    read: Sensors
    fitted: Sensors | None
    split: Split
    frames: int

    @property
    def told(self) -> bool:
        """Whether the methods are fitted to what is read."""
        return self.fitted is not None


def conditions(
    data: FieldData,
    basis: Basis,
    own: Sensors,
    placement: str,
    settings: RobustnessConfig,
    horizons: tuple[int, int],
    seed: int,
) -> list[Condition]:
    """All that is asked for and there is data for; first the run's own sensors, as trained and fitted anew.

    Parameters
    ----------
    own, placement
        The run's sensors, and how they were placed.
    horizons
        Frames that are forecast, and as many as there may be for the curve `horizon`.
    seed
        Of all draws.
    """
    frames, further = horizons
    found = [Condition(OWN, 0, own, fitted, "test", frames) for fitted in (None, own)]
    if "sensors" in settings.curves:
        for sensors in _numbers(data, basis, own, placement, settings.numbers, seed):
            found.append(Condition("sensors", len(sensors), sensors, sensors, "test", frames))
    if "noise" in settings.curves:
        for decibels in settings.noise_db:
            noisy = Sensors(own.points, own.reads, 10 ** (-decibels / 20))
            found += [Condition("noise", decibels, noisy, fitted, "test", frames) for fitted in (None, noisy)]
    if "missing" in settings.curves:
        order = np.random.default_rng([seed, 1]).permutation(len(own))
        for share in settings.missing:
            kept = own.part(np.sort(order[: max(1, len(own) - round(share * len(own)))]))
            found.append(Condition("missing", share, kept, kept, "test", frames))
    if "moved" in settings.curves:
        for cells in settings.moved:
            there = Sensors(moved(data, own.points, cells, seed), own.reads)
            found += [Condition("moved", cells, there, fitted, "test", frames) for fitted in (None, there)]
    if "horizon" in settings.curves and further > frames:
        found.append(Condition("horizon", 0, own, None, "test", further))
    if "outside" in settings.curves and len(data.trajectories("ood")):
        found.append(Condition("outside", 0, own, None, "ood", frames))
    return found


def _numbers(
    data: FieldData, basis: Basis, own: Sensors, placement: str, numbers: tuple[int, ...], seed: int
) -> list[Sensors]:
    """Sets of sensors, each part of the next, placed as the run's own are if those are QR pivots, else at random.

    They read the channels that some of the run's own read. Larger ones than the grid has places for are left out.
    """
    as_own = own.reads.any(axis=0)
    fitting = [number for number in numbers if number < len(free_points(data))]
    if not fitting:
        return []
    channels = tuple(np.array(data.channels)[as_own].tolist())
    kind = "qr" if placement in ("qr", "variance") else "random"
    wanted = SensorsConfig(placement=kind, num_semi_sparse=1, channels=channels)
    order = place_sensors(data, wanted, max(fitting), seed, basis).sparse
    return [Sensors(order[:number], np.tile(as_own, (number, 1))) for number in fitting]


def moved(data: FieldData, points: NDArray[np.int64], cells: float, seed: int) -> NDArray[np.int64]:
    """``(n,)`` points where sensors may stand that are nearest to places so many cells away from points ``(n,)``.

    Each sensor has a direction of its own, the same for every distance; at the edge of the domain it turns back. Two
    may come to stand at one point.
    """
    scaled, closed = data.scaled_coordinates.astype(np.float64), np.array(data.closed)
    steps = np.maximum(np.array(data.resolution) - ~closed, 1) / 2  # cells to a unit of the scaled coordinates, (d,)
    direction = np.random.default_rng([seed, 2]).standard_normal((len(points), len(steps)))
    direction *= np.array(data.resolution) > 1
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    away = direction * cells / steps
    outside = ~closed & (np.abs(scaled[points] + away) > 1)
    target = scaled[points] + np.where(outside, -away, away)  # (n, d)
    free = free_points(data)
    apart = np.abs(target[:, None] - scaled[free])  # (n, f, d)
    around = np.mod(apart, 2)
    apart = np.where(closed, np.minimum(around, 2 - around), apart) * steps
    found: NDArray[np.int64] = free[np.square(apart).sum(axis=-1).argmin(axis=1)]
    return found
