"""A data set in memory or mapped, and the description that data sets share with shards and sources."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sparsevq.runtime.hdf5 import Array

SPLITS = ("train", "val", "test", "ood")
"""`ood`: out of distribution, a test set from outside the training range."""

Split = Literal["train", "val", "test", "ood"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Description:
    """Points, times, channels and origin of trajectories, whether or not their fields have been read.

    Letters in shapes: ``T`` trajectories, ``F`` frames, ``grid`` one size for each of the ``d`` axes (C order),
    ``N`` points of the grid, ``C`` channels.

    Attributes
    ----------
    axes
        Axis -> its coordinates, 1-D, increasing; in the order of the grid. Of scattered points: axis -> ``(N,)``, the
        points' coordinates along it, and ``grid`` is ``(N,)``.
    axis_units
        Axis -> unit of its coordinates.
    time, time_units
        ``(F,)`` time of the frames, and its unit.
    calendar
        CF calendar of the parameter `start`, the dates of time 0 of each trajectory (text, ISO 8601); empty: times
        count from no date.
    channels, units
        Names of the channels and their units.
    parameters, parameter_units
        What varies by trajectory: name -> ``(T,)`` float64 or str; and their units.
    periodic
        Axes along which the domain is periodic; evenly spaced, without the point that repeats.
    vector
        Channel -> axis that it points along, for mirror symmetries.
    provenance
        Where the data came from: solver, version, settings, seed.
    scattered
        The points are not a grid: `axes` has the coordinates of each.
    point_weights
        ``(*grid)`` float64, positive: the area (volume) that each point stands for; None: what the axes say.
    channel_about, axis_about
        Channel or axis -> what its file says of it: ``long_name``, ``standard_name`` (CF); of axes also ``positive``.
    """

    axes: dict[str, npt.NDArray[np.float64]]
    axis_units: dict[str, str]
    time: npt.NDArray[np.float64]
    time_units: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    parameters: dict[str, Array] = field(default_factory=dict)
    parameter_units: dict[str, str] = field(default_factory=dict)
    periodic: tuple[str, ...] = ()
    vector: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    scattered: bool = False
    point_weights: npt.NDArray[np.float64] | None = None
    channel_about: dict[str, dict[str, str]] = field(default_factory=dict)
    axis_about: dict[str, dict[str, str]] = field(default_factory=dict)
    calendar: str = ""

    def description(self) -> dict[str, Any]:
        """The attributes above, as keyword arguments of any other class that has a description."""
        return {attribute.name: getattr(self, attribute.name) for attribute in fields(Description)}

    @property
    def grid(self) -> tuple[int, ...]:
        """Size of the grid along each axis; of scattered points ``(N,)``."""
        sizes = tuple(len(at) for at in self.axes.values())
        return sizes[:1] if self.scattered else sizes

    @property
    def num_points(self) -> int:
        """Points of the grid, valid or not: ``N``."""
        return int(np.prod(self.grid))

    @property
    def resolution(self) -> tuple[int, ...]:
        """Points along each axis; of scattered points, those of a regular grid that has as many."""
        if not self.scattered:
            return self.grid
        return (max(round(self.num_points ** (1 / len(self.axes))), 1),) * len(self.axes)

    @property
    def closed(self) -> tuple[bool, ...]:
        """Whether each axis is periodic."""
        return tuple(axis in self.periodic for axis in self.axes)

    @cached_property
    def physical_coordinates(self) -> npt.NDArray[np.float64]:
        """``(N, d)``: coordinates of the points in the axes' units, C order."""
        return self.part((slice(None),) * len(self.grid))

    def part(self, box: tuple[slice, ...]) -> npt.NDArray[np.float64]:
        """``(p, d)``: coordinates of the points of a part of the grid, as `physical_coordinates`."""
        if self.scattered:
            return np.stack([at[box[0]] for at in self.axes.values()], axis=-1).astype(np.float64)
        return grid_points(tuple(at[part] for at, part in zip(self.axes.values(), box, strict=True)))

    def scaled(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Coordinates ``(n, d)`` in the axes' units, scaled for the networks, ``(n, d)``.

        Each axis runs from -1 (first point) to 1: the last point, or on a periodic axis the first point's image.
        """
        columns = []
        for column, (axis, at) in zip(places.T, self.axes.items(), strict=True):
            low, span = axis_span(at, axis in self.periodic)
            columns.append(2 * (column - low) / span - 1 if span else np.zeros_like(column))
        return np.stack(columns, axis=-1).astype(np.float32)

    @cached_property
    def scaled_coordinates(self) -> npt.NDArray[np.float32]:
        """``(N, d)``: coordinates of the points as `scaled` gives them, C order."""
        return self.scaled(self.physical_coordinates)

    @property
    def domain(self) -> dict[str, tuple[float, float]]:
        """Axis -> valid coordinates; on a periodic axis one period more at each end (330 degrees east is 30 west).

        Else half a spacing beyond the outermost points, to the edge of their cells; a latitude ends at the poles.
        """
        reach = {}
        for (axis, at), points in zip(self.axes.items(), self.resolution, strict=True):
            low, high = float(at.min()), float(at.max())
            if axis in self.periodic:
                below = above = axis_span(at, True)[1]
            elif self.scattered or len(at) < 2:
                below = above = (high - low) / max(points - 1, 1) / 2
            else:
                below, above = float(at[1] - at[0]) / 2, float(at[-1] - at[-2]) / 2
            reach[axis] = low - below, high + above
            if self.axis_units.get(axis) in LATITUDE_UNITS:
                reach[axis] = max(reach[axis][0], min(low, -90.0)), min(reach[axis][1], max(high, 90.0))
        return reach

    def nearest(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """``(n,)``: the point nearest to each of the places ``(n, d)``; distances are in spacings of each axis."""
        period = self._period
        spaced = self._in_spacings(places, period)
        if self.scattered:
            return np.asarray(self._tree.query(spaced)[1], dtype=np.int64)
        # Of a grid axis by axis; shorter axes are repeated to make one table of all.
        longest = np.stack([np.resize(at, max(self.grid)) for at in self.axes.values()], axis=-1)
        along = self._in_spacings(longest, period)
        index = [
            _nearest_on_axis(along[:size, axis], spaced[:, axis], period[axis]) for axis, size in enumerate(self.grid)
        ]
        return np.asarray(np.ravel_multi_index(index, self.grid), dtype=np.int64)

    @cached_property
    def _tree(self) -> Any:
        """k-d tree of scattered points."""
        from scipy.spatial import cKDTree

        return cKDTree(self._in_spacings(self.physical_coordinates, self._period), boxsize=self._period)

    @property
    def _period(self) -> npt.NDArray[np.float64]:
        """``(d,)`` in spacings; 0: not periodic."""
        return np.where(self.closed, np.array(self.resolution, dtype=np.float64), 0)

    def _in_spacings(self, places: npt.NDArray[np.float64], period: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        length = np.maximum(np.array(self.resolution) - (period == 0), 1)
        # Modulo twice: a coordinate just below 0 is rounded to the period itself, which is out of range.
        found = (self.scaled(places).astype(np.float64) + 1) / 2 * length
        for axis, size in enumerate(period):
            if size:
                found[:, axis] = np.mod(np.mod(found[:, axis], size), size)
        return found

    @cached_property
    def weights(self) -> npt.NDArray[np.float64]:
        """``(N,)``: the area (volume) that each point stands for, with mean 1; means over space are weighted by it.

        On a grid the product of the cells' widths, on a sphere the sine of the latitude between a cell's edges
        (`axis_weights`); of scattered points 1, unless the data set says otherwise.
        """
        if self.point_weights is not None:
            weights = self.point_weights.ravel().astype(np.float64)
        elif self.scattered:
            weights = np.ones(self.num_points)
        else:
            along = [axis_weights(at, self.axis_units.get(axis, "")) for axis, at in self.axes.items()]
            weights = grid_points(tuple(along)).prod(axis=-1)
        return weights / weights.mean()


@dataclass(frozen=True, eq=False, kw_only=True)
class FieldData(Description):
    """Fields of many trajectories on one fixed grid, in physical units.

    Attributes
    ----------
    name
        Name of the data set.
    fields
        ``(T, F, *grid, C)`` float32; 0 where `mask` is False.
    mask
        ``(T, *grid)`` bool; True where the field exists (not inside an obstacle).
    split
        ``(T,)`` str: ``train``, ``val``, ``test`` or ``ood``.
    mean, std
        ``(C,)`` float64, over the valid points of the training split alone.
    digest
        SHA-256 of the file that this was read from; empty if it was not read.
    """

    name: str
    fields: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    split: npt.NDArray[np.str_]
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    digest: str = ""

    @property
    def joint_scale(self) -> npt.NDArray[np.float32]:
        """``(C,)``: what each channel is divided by before all channels are measured in one norm.

        1 where all channels have one unit (two components of a velocity: the norm is that of the vector); else each
        channel's standard deviation over the training split, since metres and metres per second have no common norm.
        """
        if len(set(self.units)) == 1:
            return np.ones(len(self.channels), dtype=np.float32)
        return self.std.astype(np.float32)

    @property
    def flat_fields(self) -> npt.NDArray[np.float32]:
        """``(T, F, N, C)`` view of `fields`."""
        return self.fields.reshape(*self.fields.shape[:2], -1, self.fields.shape[-1])

    @property
    def flat_mask(self) -> npt.NDArray[np.bool_]:
        """``(T, N)`` view of `mask`."""
        return self.mask.reshape(len(self.mask), -1)

    @cached_property
    def learned(self) -> npt.NDArray[np.bool_]:
        """``(N,)``: where some training trajectory has a field; elsewhere no model says anything."""
        found = np.zeros(self.num_points, dtype=bool)
        for trajectory in self.trajectories("train"):
            found |= self.flat_mask[trajectory]
        return found

    def trajectories(self, split: Split) -> npt.NDArray[np.int64]:
        """Indices of the trajectories of one split, increasing."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: one of {SPLITS}")
        return np.flatnonzero(self.split == split)


def _nearest_on_axis(at: Array, places: Array, period: float) -> npt.NDArray[np.int64]:
    """Of increasing coordinates (m,) the one nearest to each place (n,), the first of two; a period of 0 is none."""
    around = np.concatenate([at[-1:] - period, at, at[:1] + period]) if period else at
    if len(around) == 1:
        return np.zeros(len(places), np.int64)
    behind = np.clip(np.searchsorted(around, places), 1, len(around) - 1)
    before = behind - 1
    found = np.where(places - around[before] <= around[behind] - places, before, behind)
    return (found - 1) % len(at) if period else found


def grid_points(axes: tuple[Array, ...]) -> npt.NDArray[np.float64]:
    """``(N, d)``: every combination of the axes' coordinates, the last axis fastest (C order)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(np.float64)


def axis_span(at: Array, periodic: bool) -> tuple[float, float]:
    """First coordinate of an axis and its length; a periodic axis is one spacing longer than its points reach."""
    low, high = float(at.min()), float(at.max())
    return low, (high - low) * (len(at) / (len(at) - 1) if periodic and len(at) > 1 else 1)


def axis_weights(at: Array, units: str) -> npt.NDArray[np.float64]:
    """``(size,)``: width of the cell around each point of an axis; of a latitude, of its sine.

    Cells meet half-way between neighbours; the outer ones are as wide outwards as inwards, but end at the poles.
    """
    if len(at) < 2:
        return np.ones(len(at))
    middle = (at[1:] + at[:-1]) / 2
    edges = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    if units in LATITUDE_UNITS:
        edges = np.sin(np.deg2rad(np.clip(edges, -90, 90)))
    return np.abs(np.diff(edges))


def evenly_spaced(at: Array, rounding: float = 0.0) -> bool:
    """Whether increasing coordinates are evenly spaced, within the precision in which files have them.

    Precision is single (coordinates of 0.01 degrees up to 360 are 0.3 % of the spacing off), that of decimals that were
    cut off (0, 0.33, 0.67), or `rounding`, but at most 5 % of the spacing.
    """
    if len(at) < 3:
        return True
    step = float(at[-1] - at[0]) / (len(at) - 1)
    decimals = next((10.0**-digits for digits in range(1, 7) if np.allclose(at, np.round(at, digits), 0, 1e-9)), 0.0)
    precision = max(1e-3 * step, rounding, decimals, 4 * float(np.finfo(np.float32).eps * np.abs(at).max()))
    return bool(np.abs(np.diff(at) - step).max() <= min(precision, 0.05 * step))


LATITUDE_UNITS = ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN")
"""Units that mark a latitude in the CF conventions."""
LONGITUDE_UNITS = ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
"""Units that mark a longitude."""
