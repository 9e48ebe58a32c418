"""From the meshes of FDS to one grid: matching points are stitched, others interpolated; solids are masked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import Array

Frames = npt.NDArray[np.float32]
Lines = dict[str, npt.NDArray[np.float64]]
"""Axis -> increasing coordinates (m)."""

AXES = ("z", "y", "x")
STORED = ("x", "y", "z")
"""Order of the axes in FDS's files."""
DIGITS = 6
"""Decimals of a coordinate: .smv files have five, and centres of cells lie between."""


def lines_of(mesh: Any) -> Lines:
    """The planes of a mesh between which its cells are."""
    return {axis: np.round(mesh.coordinates[axis].astype(np.float64), DIGITS - 1) for axis in STORED}


# ------------------------------------------------------------------------------------------------ solids


Outside = Callable[[npt.NDArray[np.float64], bool], npt.NDArray[np.bool_]]
"""``outside(times, cells)``: where there is no gas, ``(f or 1, x, y, z)``, at the cells of a mesh or at its nodes."""


def outside_gas(mesh: Any) -> Outside:
    """Where FDS had no gas to report: inside obstructions (OBST) as they come and go.

    A node has no gas if no cell around it has any. FDS writes the ambient value there. Neither solids of arbitrary
    shape (GEOM) nor walls without thickness hide anything.
    """
    parts = [part for obstruction in mesh.obstructions for part in obstruction.get_subobstructions(mesh)]
    for part in parts:
        # fdsreader 1.14 sees an event only if a frame is at the same time, and takes what is shown later for there
        part.get_visible_times = partial(_visible_times, part)
    changes = any(part.hide_times or part.show_times for part in parts)

    def outside(times: npt.NDArray[np.float64], cells: bool) -> npt.NDArray[np.bool_]:
        some = times if changes else times[:1]
        return ~np.asarray(mesh.get_obstruction_mask(some, cell_centered=cells, mode="placeholders"), dtype=bool)

    return outside


def _visible_times(part: Any, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Those of the times at which a part of an obstruction is there."""
    events = sorted([(at, False) for at in part.hide_times] + [(at, True) for at in part.show_times])
    if not events:
        return times
    shown = np.array([not events[0][1], *(visible for _, visible in events)])
    return times[shown[np.searchsorted([at for at, _ in events], times, side="right")]]


# ------------------------------------------------------------------------------------------------ pieces


@dataclass(frozen=True, eq=False)
class Piece:
    """An output on one mesh.

    Attributes
    ----------
    points
        Where its values are.
    box
        Axis -> the first and last plane of the mesh between which they are.
    cell_centred
        Values are those of cells; otherwise of nodes, which meshes that touch share.
    values
        ``values(start, stop)``: frames as FDS wrote them, ``(f, x, y, z)``.
    outside
        As `outside_gas`.
    ranges
        Axis -> first index and the index after the last, of the mesh's cells or nodes.
    """

    points: Lines
    box: dict[str, tuple[float, float]]
    cell_centred: bool
    values: Callable[[int, int], Frames]
    outside: Outside
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, lines: Lines, ranges: Mapping[str, tuple[int, int]], cell_centred: bool, values: Any, outside: Any
    ) -> "Piece":
        """The cells or nodes of a mesh with these lines that are within index ranges."""
        points, box = {}, {}
        for axis, (low, high) in ranges.items():
            at = lines[axis]
            centres = np.round((at[:-1] + at[1:]) / 2, DIGITS)
            points[axis] = (centres if cell_centred else at)[low:high]
            box[axis] = (float(at[low]), float(at[high if cell_centred else high - 1]))
        return cls(points, box, cell_centred, values, outside, dict(ranges))

    @classmethod
    def whole(cls, lines: Lines, values: Any, outside: Any) -> "Piece":
        """All nodes of a mesh."""
        return cls.of(lines, {axis: (0, len(at)) for axis, at in lines.items()}, False, values, outside)

    def read(self, start: int, stop: int, times: npt.NDArray[np.float64]) -> Frames:
        """Frames ``start ... stop - 1``, ``(f, z, y, x)``, NaN inside solids; `times` are all of the output's."""
        values = self.values(start, stop).astype(np.float32)
        part = tuple(slice(*self.ranges[axis]) for axis in STORED)
        outside = self.outside(times[start:stop], self.cell_centred)[(slice(None), *part)]
        if outside.any():
            values[np.broadcast_to(outside, values.shape)] = np.nan
        return values.transpose(0, 3, 2, 1)

    @property
    def spacing(self) -> dict[str, float]:
        """Axis -> largest distance between neighbouring points (m)."""
        return {
            axis: float(np.diff(at).max()) if len(at) > 1 else self.box[axis][1] - self.box[axis][0]
            for axis, at in self.points.items()
        }


def same_points(some: Sequence[Piece], others: Sequence[Piece]) -> bool:
    """Whether two outputs have their values at the same points, mesh by mesh."""
    return len(some) == len(others) and all(
        one.cell_centred == other.cell_centred
        and all(np.array_equal(one.points[axis], other.points[axis]) for axis in AXES)
        for one, other in zip(some, others, strict=True)
    )


# ------------------------------------------------------------------------------------------------ one grid

Fill = Callable[[Callable[[int], Frames], npt.NDArray[np.float32]], None]
"""``fill(read, out)`` writes what ``read(piece)`` gives, ``(f, z, y, x)``, to `out`, ``(f, *grid)``, until then NaN."""


def stitched(pieces: Sequence[Piece]) -> tuple[Lines, Fill] | None:
    """The grid of all meshes' points, and how to fill it; None where their points do not meet.

    A node that meshes share has the value of the mesh that begins there; where that has none, of one that ends there.
    The grid is as regular as the meshes: a single stretched one stays as it is.
    """
    axes = {axis: _merged([piece.points[axis] for piece in pieces]) for axis in AXES}
    places = [{axis: _place(axes[axis], piece.points[axis]) for axis in AXES} for piece in pieces]
    if any(place is None for each in places for place in each.values()):
        return None

    def fill(read: Callable[[int], Frames], out: npt.NDArray[np.float32]) -> None:
        faces: list[tuple[tuple[slice, ...], Frames]] = []
        for index, (piece, place) in enumerate(zip(pieces, places, strict=True)):
            where = [slice(*place[axis]) for axis in AXES]  # type: ignore[misc]  # two numbers each
            values = read(index)
            for number, axis in enumerate(AXES, start=1):
                if piece.cell_centred or where[number - 1].stop == len(axes[axis]):
                    continue
                last = where.copy()
                last[number - 1] = slice(where[number - 1].stop - 1, where[number - 1].stop)
                faces.append(((slice(None), *last), values.take([-1], axis=number)))
                where[number - 1] = slice(where[number - 1].start, where[number - 1].stop - 1)
                values = values[(slice(None),) * number + (slice(None, -1),)]
            _fill_gaps(out[(slice(None), *where)], values)
        for region, face in faces:
            _fill_gaps(out[region], face)

    return axes, fill


def resampled(pieces: Sequence[Piece], size: Sequence[int]) -> tuple[Lines, Fill]:
    """A regular grid of `size` points along z, y and x from the first to the last point, and how to fill it.

    Values are linear between the points of a mesh; the finest mesh is taken where several are. Within half a cell of
    its edge a cell-centred value is constant. A point that would need a value inside a solid is NaN.
    """
    axes = {
        axis: np.linspace(
            min(piece.points[axis][0] for piece in pieces), max(piece.points[axis][-1] for piece in pieces), count
        )
        for axis, count in zip(AXES, size, strict=True)
    }
    plans = [{axis: _Between.of(axes[axis], piece.points[axis], piece.box[axis]) for axis in AXES} for piece in pieces]
    cells = [
        np.prod([(high - low) / len(each.points[axis]) for axis, (low, high) in each.box.items()]) for each in pieces
    ]
    finest_first = [int(index) for index in np.argsort(cells, kind="stable")]

    def fill(read: Callable[[int], Frames], out: npt.NDArray[np.float32]) -> None:
        for index in finest_first:
            plan = plans[index]
            if not all(len(plan[axis].low) for axis in AXES):
                continue
            values = read(index)
            for number, axis in enumerate(AXES, start=1):
                values = plan[axis].apply(values, number)
            _fill_gaps(out[(slice(None), *(plan[axis].where for axis in AXES))], values)

    return axes, fill


@dataclass(frozen=True, eq=False)
class _Between:
    """Linear interpolation along one axis: points of the grid, those of a mesh beside them, how far from the lower."""

    where: slice
    low: Array
    high: Array
    weight: npt.NDArray[np.float32]

    @classmethod
    def of(cls, grid: Array, points: Array, box: tuple[float, float]) -> "_Between":
        tolerance = 10.0**-DIGITS * max(1.0, abs(box[0]), abs(box[1]))
        inside = np.flatnonzero((grid >= box[0] - tolerance) & (grid <= box[1] + tolerance))
        where = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)
        at = np.clip(grid[where], points[0], points[-1])
        low = np.clip(np.searchsorted(points, at, side="right") - 1, 0, max(len(points) - 2, 0))
        high = np.minimum(low + 1, len(points) - 1)
        weight = (at - points[low]) / np.where(high > low, points[high] - points[low], 1.0)
        weight = np.round(weight, 5)  # on a point, its neighbours do not count: they may be NaN
        return cls(where, np.where(weight == 1, high, low), np.where(weight == 0, low, high), weight.astype(np.float32))

    def apply(self, values: Frames, axis: int) -> Frames:
        shape = [1] * values.ndim
        shape[axis] = -1
        low, high = values.take(self.low, axis=axis), values.take(self.high, axis=axis)
        high -= low
        high *= self.weight.reshape(shape)
        low += high
        return low


def _fill_gaps(target: Frames, values: Frames) -> None:
    np.copyto(target, values, where=np.isnan(target))


def _merged(lines: Sequence[Array]) -> npt.NDArray[np.float64]:
    """All coordinates once; those that differ by rounding only are one."""
    every = np.unique(np.concatenate(lines))
    apart = np.concatenate([[True], np.diff(every) > _tolerance(lines)])
    return every[apart]


def _tolerance(lines: Sequence[Array]) -> float:
    return 1e-2 * min((float(np.diff(at).min()) for at in lines if len(at) > 1), default=1.0)


def _place(axis: Array, points: Array) -> tuple[int, int] | None:
    """First index and the index after the last of a mesh's points on an axis; None if others are between them."""
    start = int(np.abs(axis - points[0]).argmin())
    stop = start + len(points)
    there = axis[start:stop]
    meets = len(there) == len(points) and np.allclose(there, points, rtol=0, atol=_tolerance([points]))
    return (start, stop) if meets else None


def one_grid(pieces: Sequence[Piece], size: Sequence[int] | None, label: str) -> tuple[Lines, Fill]:
    """Stitched, or with a `size` resampled.

    Raises
    ------
    SparseVQError
        The meshes' points do not meet, and no size is given.
    """
    if size is not None:
        return resampled(pieces, size)
    grid = stitched(pieces)
    if grid is not None:
        return grid
    coarse = []
    for axis in AXES:
        lows, highs = zip(*(piece.box[axis] for piece in pieces), strict=True)
        coarse.append(max(2, 1 + round((max(highs) - min(lows)) / max(piece.spacing[axis] for piece in pieces))))
    raise SparseVQError(
        f"{label}: the points of its {len(pieces)} meshes do not meet (cells of different sizes)",
        f"interpolate to a regular grid with `resample: {coarse}` (points along z, y, x: as fine as the coarsest mesh)",
    )
