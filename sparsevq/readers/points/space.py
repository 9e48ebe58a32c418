"""The points of arrays: a grid of one to three axes, or scattered points, from the coordinates in a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.data.field_data import evenly_spaced
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import POINT, is_index
from sparsevq.readers.opening.stored import Contents, StoredArray
from sparsevq.readers.points.coordinates import Coordinate, converted
from sparsevq.readers.points.everywhere import given_points, points_of
from sparsevq.readers.points.lookup import Dimension, Layout, Placed, along_dimension, numbered
from sparsevq.readers.points.scattered import Scattered, places_unknown, scattered_points, separated, spread
from sparsevq.readers.units import LONGITUDE
from sparsevq.runtime.hdf5 import Array

MOST_AXES = 3
WIDER = 3.0
"""How many times wider than others the step may be where longitudes jump by a turn."""
CLOSES = 0.1
"""How far the circle may be from closed, as a fraction of the spacing."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Points, and how to get them from arrays whose last dimensions but one (channels) are `sizes`.

    Attributes
    ----------
    sizes
        Sizes of the dimensions in the file.
    axes, units, about, periodic, scattered, weights
        As in `sparsevq.data.field_data.FieldData` (`axis_units`, `axis_about`, `point_weights`).
    part
        One slice for each dimension: reversed, or without a point that repeats.
    kept
        Of scattered points the numbers of those that have a place; None: all.
    """

    sizes: tuple[int, ...]
    axes: dict[str, npt.NDArray[np.float64]]
    units: dict[str, str]
    about: dict[str, dict[str, str]] = field(default_factory=dict)
    periodic: tuple[str, ...] = ()
    scattered: bool = False
    weights: npt.NDArray[np.float64] | None = None
    part: tuple[slice, ...] = ()
    kept: npt.NDArray[np.int64] | None = None
    messages: tuple[str, ...] = field(default=(), compare=False)

    @property
    def grid(self) -> tuple[int, ...]:
        """Size of the grid along each axis; of scattered points ``(N,)``."""
        sizes = tuple(len(at) for at in self.axes.values())
        return sizes[:1] if self.scattered else sizes

    def arranged(self, values: Array) -> Array:
        """``(..., *sizes, C)`` as ``(..., *grid, C)``."""
        lead = values.shape[: values.ndim - len(self.sizes) - 1]
        if self.part:
            everything: tuple[Any, ...] = (..., *self.part, slice(None))
            values = values[everything]
        if self.kept is not None:
            values = values.reshape(*lead, -1, values.shape[-1])[..., self.kept, :]
        return values.reshape(*lead, *self.grid, values.shape[-1])


def space_of(
    contents: Contents,
    dimensions: tuple[Dimension, ...],
    settings: FileConfig,
    near: StoredArray | None = None,
    others: tuple[str, ...] = (),
) -> Space:
    """The points of a file's arrays.

    Coordinates of their own along each dimension make a grid. Where dimensions have none, or only a count of points,
    coordinates of every point (two-dimensional latitudes and longitudes, matrices of `meshgrid`) go before: if each
    is constant along all dimensions but one, they are axes of a grid, else the points are scattered.

    Parameters
    ----------
    contents
        The file.
    dimensions
        Dimensions that are not trajectory, time or channel, in the order of the arrays.
    settings
        The user's `coordinates` take precedence over the file's.
    near
        The array whose points are wanted.
    others
        Its dimensions, in the file, that are no space.

    Raises
    ------
    SparseVQError
        Coordinates are missing, of a wrong length, not monotonic, not finite or not in a unit of theirs, they move, or
        there are too many axes.
    """
    layout = Layout(contents=contents, dimensions=dimensions, settings=settings, near=near, others=others)
    unnamed = not all(dimension.stored for dimension in dimensions)
    if any(dimension.name == POINT for dimension in dimensions) and (settings.coordinates or unnamed):
        return _scattered(layout, scattered_points(layout))
    along, points = _found(layout)
    found = {**along, **points}
    together, messages = converted(contents.path, {axis: each.coordinate for axis, each in found.items()})
    found = {axis: replace(each, coordinate=together[axis]) for axis, each in found.items()}
    messages += [
        f"{each.coordinate.name} is taken for the coordinates of {axis}"
        for axis, each in along.items()
        if axis not in settings.coordinates and each.coordinate.name not in (axis, dimensions[each.along[0]].stored)
    ]
    axes = separated(layout, {axis: found[axis] for axis in points})
    if axes is None:
        return _scattered(layout, spread(layout, found, messages))
    if points:
        names = " and ".join(each.coordinate.name for each in points.values())
        messages.append(f"{names}, given for every point, are constant along all dimensions but one: they are axes")
    found |= axes
    on = {found[axis].along[0]: axis for axis in (*along, *axes)}
    names_on = [on.get(index, dimension.name) for index, dimension in enumerate(dimensions)]
    return _grid(
        layout, {name: (each, found.get(name)) for name, each in zip(names_on, dimensions, strict=True)}, messages
    )


def _found(layout: Layout) -> tuple[dict[str, Placed], dict[str, Placed]]:
    """Coordinates along one dimension, and coordinates of every point, which go before them."""
    dimensions, settings, path = layout.dimensions, layout.settings, layout.contents.path
    points = given_points(layout)
    own = {each.name: None if each.name in points else along_dimension(layout, each) for each in dimensions}
    free = frozenset(index for index, each in enumerate(dimensions) if _is_free(own[each.name], settings, each))
    points = points or points_of(layout, free)
    if not points and any(dimension.name == POINT for dimension in dimensions):
        raise places_unknown(layout)
    unknown = [axis for axis in settings.coordinates if axis not in own and axis not in points]
    if unknown:
        raise SparseVQError(
            f"{path}: coordinates: {unknown[0]} is not an axis", f"the axes are {', '.join(own) or 'none'}"
        )
    covered = {index for each in points.values() for index in each.along}
    some = len(points) < len(covered)  # matrices for some axes only
    along = {
        each.name: Placed(coordinate=here, along=(index,))
        for index, each in enumerate(dimensions)
        if (here := own[each.name]) is not None and each.name not in points and (some or index not in covered)
    }
    return along, points


def _is_free(own: Coordinate | None, settings: FileConfig, dimension: Dimension) -> bool:
    """Whether a dimension of several points has no coordinate, or only a count of points that the user did not name."""
    if dimension.name == POINT:
        return True
    if dimension.size == 1 or dimension.name in settings.coordinates:
        return False
    if own is None:
        return True
    counted = not own.kind or own.at.min(initial=np.inf) in (0, 1)  # -60, -30, 0 ... are latitudes
    return counted and is_index(own.at, own.unit, own.about)


def _scattered(layout: Layout, points: Scattered) -> Space:
    return Space(
        sizes=layout.sizes,
        axes={axis: each.at for axis, each in points.axes.items()},
        units={axis: each.unit for axis, each in points.axes.items()},
        about={axis: dict(each.about) for axis, each in points.axes.items() if each.about},
        scattered=True,
        weights=points.weights,
        kept=points.kept,
        messages=tuple(points.messages),
    )


def _grid(layout: Layout, ways: Mapping[str, tuple[Dimension, Placed | None]], messages: list[str]) -> Space:
    axes: dict[str, npt.NDArray[np.float64]] = {}
    units: dict[str, str] = {}
    about: dict[str, dict[str, str]] = {}
    periodic, part = [], []
    for name, (dimension, placed) in ways.items():
        here = placed.coordinate if placed is not None else None
        if dimension.size == 1:
            where = f" ({name} = {here.at.ravel()[0]:g} {here.unit})".replace(" )", ")") if here is not None else ""
            messages.append(f"axis {name} has one point{where}: it is dropped")
            part.append(slice(None))
            continue
        if here is None:
            here = numbered(layout, dimension, messages)
        at, way = _increasing(layout, name, here)
        if here.kind == LONGITUDE:
            at, way, closed = _around(name, here, at, way, messages)
            periodic += [name] if closed else []
        axes[name], units[name] = at, here.unit
        about |= {name: dict(here.about)} if here.about else {}
        part.append(way)
    if not 1 <= len(axes) <= MOST_AXES:
        which = ", ".join(f"{dimension.name} {dimension.size}" for dimension, _ in ways.values())
        raise SparseVQError(
            f"{layout.contents.path}: the grid has {len(axes)} axes ({which})",
            f"there must be 1 to {MOST_AXES}: name the dimensions by `dimensions`, or choose other `arrays`",
        )
    return Space(
        sizes=layout.sizes,
        axes=axes,
        units=units,
        about=about,
        periodic=tuple(periodic),
        part=tuple(part),
        messages=tuple(messages),
    )


def _increasing(layout: Layout, name: str, here: Coordinate) -> tuple[npt.NDArray[np.float64], slice]:
    """Coordinates along an axis in increasing order, longitudes without a jump, and the slice that gives them."""
    at = here.at
    bad = np.flatnonzero(~np.isfinite(at))
    if len(bad):
        raise SparseVQError(
            f"{layout.contents.path}: {len(bad)} of the coordinates {here.name} are not finite, first number {bad[0]}",
            "correct them, or leave out those points",
        )
    if here.kind == LONGITUDE and not _monotonic(at):
        at = _turned(at)
    if not _monotonic(at):
        turn = int(np.flatnonzero(np.sign(np.diff(at)) != np.sign(at[1] - at[0]))[0]) if at[1] != at[0] else 0
        raise SparseVQError(
            f"{layout.contents.path}: coordinates of {name} are not monotonic: {at[turn]:g}, then {at[turn + 1]:g}",
            "sort the grid along it",
        )
    return (at, slice(None)) if at[1] > at[0] else (at[::-1], slice(None, None, -1))


def _turned(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Longitudes that go on where they jump by a turn; as they are if they jump by anything else."""
    turned = np.unwrap(at, period=360.0)
    moved = np.abs(np.diff(turned - at)) > 1
    steps = np.abs(np.diff(turned))
    return turned if (steps[moved] <= WIDER * np.median(steps)).all() else at


def _around(
    name: str, here: Coordinate, at: npt.NDArray[np.float64], way: slice, messages: list[str]
) -> tuple[npt.NDArray[np.float64], slice, bool]:
    """Longitudes without those that repeat the first ones, the slice that gives them, and whether they close."""
    if not evenly_spaced(at, here.rounding):
        return at, way, False
    step = (at[-1] - at[0]) / (len(at) - 1)
    close = max(CLOSES * step, here.rounding)
    again = int((at - at[0] >= 360 - close).sum())
    if again and len(at) - again > 1:
        last = "the last point" if again == 1 else f"the last {again} points"
        messages.append(f"{last} of {name} repeat{'s' if again == 1 else ''} the first, 360 degrees on: dropped")
        at = at[:-again]
        way = slice(None, -again) if way.step is None else slice(None, again - 1, -1)
    return at, way, bool(abs((at[-1] - at[0]) + step - 360) <= close)


def _monotonic(at: npt.NDArray[np.float64]) -> bool:
    steps = np.diff(at)
    return bool((steps > 0).all() or (steps < 0).all())
