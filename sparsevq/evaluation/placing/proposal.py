"""Where sensors would help, what error is expected of them and measured, and what random places would have given."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis
from sparsevq.basis.posterior import Posterior
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.placing.held_out import HeldOut
from sparsevq.sensors.placement import free_points
from sparsevq.sensors.placements.drawn import drawn
from sparsevq.sensors.placements.qr import pivots
from sparsevq.sensors.placements.sites import Flags, Indices, Sites
from sparsevq.sensors.placements.variance import ExpectedError, ExpectedGain, expected_errors, greedy

Floats = npt.NDArray[np.float64]
Method = Literal["variance", "qr", "random"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes
    ----------
    data, basis
        The data set.
    points, reads
        ``(n,)`` flat indices of the points where sensors may stand, and ``(n, C)`` what one would read there.
    noise
        ``(C,)`` standard deviation of the readings' errors, normalised.
    importance
        ``(C,)`` how much the squared normalised error of each channel counts.
    min_distance
        Of two sensors (`sparsevq.sensors.distance.Distance`).
    existing, existing_reads
        ``(e,)`` points of sensors that are there already, and ``(e, C)`` what they read.
    """

    data: FieldData
    basis: Basis
    points: Indices
    reads: Flags
    noise: Floats
    importance: Floats
    min_distance: float
    existing: Indices
    existing_reads: Flags

    def sites(self) -> Sites:
        """Where sensors may stand, beside those that are there."""
        found = Sites(self.data, self.points, self.min_distance)
        for point in self.existing.tolist():
            found.take(point)
        return found

    def reads_at(self, points: Indices) -> Flags:
        """``(k, C)`` what sensors at some of the points read."""
        order = np.argsort(self.points, kind="stable")
        found: Flags = self.reads[order[np.searchsorted(self.points, points, sorter=order)]]
        return found

    @cached_property
    def prior(self) -> ExpectedError:
        """The expected error without any sensor."""
        return ExpectedError(self.basis, self.noise, self.importance)

    def error(self) -> ExpectedError:
        """The expected error, given the sensors that are there."""
        found = self.prior.before_any()
        expected_errors(found, self.existing, self.existing_reads)
        return found

    def gain(self, points: Indices, reads: Flags) -> ExpectedGain:
        """What one more sensor at each of points ``(n,)`` would take off it, where it reads channels ``(n, C)``."""
        found = ExpectedGain(self.prior.before_any(), points, reads)
        for point, channels in zip(self.existing.tolist(), self.existing_reads, strict=True):
            found.read(point, channels)
        return found


@dataclass(frozen=True, eq=False)
class Placed:
    """Sensors one after the other: ``(n,)`` flat indices, ``(n, C)`` what they read, and what is expected of them.

    `expected` ``(n + 1,)`` is the area-mean squared error of the normalised field with the first 0 ... n of them.
    """

    points: Indices
    reads: Flags
    expected: Floats


@dataclass(frozen=True, eq=False)
class Maps:
    """At each point: the share of the expected squared error that one more sensor would take off, and what is open.

    Attributes
    ----------
    gain_before, gain_after
        ``(N,)`` beside those that are there already, and beside the proposed ones too; NaN where none can stand.
    std, std_after
        ``(N, C)`` physical units: of the anomalies, and of what the proposed sensors leave open.
    """

    gain_before: Floats
    gain_after: Floats
    std: Floats
    std_after: Floats


def place(wanted: Wanted, method: Method, count: int, seed: int = 0) -> Placed:
    """Place sensors.

    Raises
    ------
    SparseVQError
        So many do not fit; or ``qr`` is asked for sensors that read different channels.
    """
    sites = wanted.sites()
    if method == "variance":
        points, expected = greedy(wanted.gain(wanted.points, wanted.reads), sites, wanted.reads, count)
        return Placed(points, wanted.reads_at(points), expected)
    if method == "qr":
        alike = (wanted.reads == wanted.reads[0]).all() and (wanted.existing_reads == wanted.reads[0]).all()
        if not alike:
            raise SparseVQError("--method qr needs sensors that all read the same", "take --method variance")
        points = pivots(wanted.basis, sites, count, wanted.reads[0], wanted.existing)
    else:
        sites.require_room(count)
        points = drawn(wanted.data, sites, count, np.random.default_rng(seed))
    reads = wanted.reads_at(points)
    return Placed(points, reads, expected_errors(wanted.error(), points, reads))


def measured(wanted: Wanted, held_out: HeldOut, placed: Placed, counts: list[int]) -> list[float]:
    """Mean squared error on held-out frames with the sensors that are there and the first `counts` of the others."""
    found = []
    points = np.concatenate([wanted.existing, placed.points])
    reads = np.concatenate([wanted.existing_reads, placed.reads])
    for count, posterior in _posteriors(wanted, placed):
        if count in counts:
            sensors = len(wanted.existing) + count
            found.append(held_out.error(posterior, points[:sensors], reads[:sensors], wanted.noise))
    return found


def _posteriors(wanted: Wanted, placed: Placed) -> Iterator[tuple[int, Posterior]]:
    error = wanted.error()
    yield 0, error.posterior
    for count, (point, reads) in enumerate(zip(placed.points.tolist(), placed.reads, strict=True), 1):
        error.read(point, reads)
        yield count, error.posterior


def maps(wanted: Wanted, placed: Placed) -> Maps:
    """Where one more sensor would help, whether or not one may stand there; and what the sensors leave open."""
    data, basis = wanted.data, wanted.basis
    free = free_points(data)
    each = np.tile(wanted.reads.any(axis=0), (len(free), 1))
    gain = wanted.gain(free, each)
    prior = wanted.prior.posterior.variance(basis.modes) + basis.residual
    before = _everywhere(gain.at_points() / gain.error.value, free, data.num_points)
    for point, reads in zip(placed.points.tolist(), placed.reads, strict=True):
        gain.read(point, reads)
    after = _everywhere(gain.at_points() / gain.error.value, free, data.num_points)
    left = gain.error.posterior.variance(basis.modes) + basis.residual
    never = ~np.any(data.flat_mask, axis=0)
    std, std_after = (np.where(never[:, None], np.nan, np.sqrt(of) * basis.scale) for of in (prior, left))
    return Maps(before, after, std, std_after)


def _everywhere(values: Floats, points: Indices, count: int) -> Floats:
    found = np.full(count, np.nan)
    found[points] = values
    return found


@dataclass(frozen=True, eq=False)
class Comparison:
    """Errors against the number of sensors, as shares of the anomalies' std (1: no better than the time mean).

    Attributes
    ----------
    counts
        Numbers of proposed sensors at which errors are told.
    expected, measured
        By count; `measured` on the split, empty where nothing is held out.
    random_measured
        ``(draw, count)`` the same of random places.
    curve, random_curves
        ``(n + 1,)`` expected with 0 ... n proposed sensors, and ``(draw, n + 1)`` of random places.
    split, frames
        What was measured on.
    """

    counts: list[int]
    expected: Floats
    measured: Floats
    random_measured: Floats
    curve: Floats
    random_curves: Floats
    split: str
    frames: int

    @property
    def random_expected(self) -> Floats:
        """``(draw, count)`` expected with random places."""
        return self.random_curves[:, self.counts] if len(self.random_curves) else self.random_curves


def compare(wanted: Wanted, placed: Placed, held_out: HeldOut | None, draws: int) -> Comparison:
    """Compare proposed places with random ones of the same kind."""
    counts = told(len(placed.points))
    total = wanted.prior.value
    others = list(_random(wanted, len(placed.points), draws))

    def of_frames(those: Placed) -> Any:
        if held_out is None:
            return []
        return np.sqrt(np.array(measured(wanted, held_out, those, counts)) / held_out.anomalies)

    return Comparison(
        counts=counts,
        expected=np.sqrt(placed.expected[counts] / total),
        measured=np.asarray(of_frames(placed), np.float64),
        random_measured=np.array([of_frames(those) for those in others]),
        curve=np.sqrt(placed.expected / total),
        random_curves=np.array([np.sqrt(those.expected / total) for those in others]),
        split="" if held_out is None else held_out.split,
        frames=0 if held_out is None else len(held_out),
    )


def _random(wanted: Wanted, count: int, draws: int) -> Iterator[Placed]:
    """Random places; none of a draw that leaves no room before all sensors are placed."""
    for seed in range(draws):
        with contextlib.suppress(SparseVQError):
            yield place(wanted, "random", count, seed)


def told(count: int) -> list[int]:
    """Numbers of sensors at which errors are told: none, 1, 2, 5, 10, ... and all."""
    series = [first * 10**power for power in range(7) for first in (1, 2, 5)]
    return sorted({0, *(number for number in series if number < count), count})
