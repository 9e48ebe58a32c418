"""The points of arrays: a grid of one to three axes, or scattered points, from the coordinates in a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import POINT, axis_units, is_longitude, is_place
from sparsevq.readers.stored import Contents, StoredArray, beside, whole
from sparsevq.runtime.hdf5 import Array

EVEN = 1e-3
"""Tolerance for evenly spaced coordinates, as a fraction of the spacing."""
MOST_AXES = 3
_SPELLINGS = r"{}(?:[ _-]?(?:coordinates?|coords?|crd|grid))?"
"""Names of the coordinates of an axis."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A dimension of the arrays that is not trajectory, time or channel: its name, and the one in the file.

    `home` is the array that has it, whose group is looked in first for coordinates.
    """

    name: str
    stored: str
    size: int
    home: str = ""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Points, and how to get them from arrays whose last dimensions but one (channels) are `sizes`.

    Attributes
    ----------
    sizes
        Sizes of the dimensions in the file.
    axes, units, periodic, scattered, weights
        As in `sparsevq.data.field_data.FieldData`.
    part
        One slice for each dimension: reversed, or without a point that repeats.
    """

    sizes: tuple[int, ...]
    axes: dict[str, npt.NDArray[np.float64]]
    units: dict[str, str]
    periodic: tuple[str, ...] = ()
    scattered: bool = False
    weights: npt.NDArray[np.float64] | None = None
    part: tuple[slice, ...] = ()
    messages: tuple[str, ...] = field(default=(), compare=False)

    @property
    def grid(self) -> tuple[int, ...]:
        """Size of the grid along each axis; of scattered points ``(N,)``."""
        sizes = tuple(len(at) for at in self.axes.values())
        return sizes[:1] if self.scattered else sizes

    def arranged(self, values: Array) -> Array:
        """``(..., *sizes, C)`` as ``(..., *grid, C)``."""
        if self.part:
            everything: tuple[Any, ...] = (..., *self.part, slice(None))
            values = values[everything]
        lead = values.shape[: values.ndim - len(self.sizes) - 1]
        return values.reshape(*lead, *self.grid, values.shape[-1])


def space_of(contents: Contents, dimensions: tuple[Dimension, ...], settings: FileConfig) -> Space:
    """The points of a file's arrays.

    Parameters
    ----------
    contents
        The file.
    dimensions
        Dimensions that are not trajectory, time or channel, in the order of the arrays.
    settings
        The user's `coordinates` take precedence over the file's.

    Raises
    ------
    SparseVQError
        Coordinates are missing, of a wrong length, not monotonic or not finite, or there are too many axes.
    """
    if any(dimension.name == POINT for dimension in dimensions):
        return _scattered(contents, dimensions, settings)
    found = {each.name: _along(contents, each, settings) for each in dimensions}
    lacking = [each for each in dimensions if found[each.name] is None and each.size > 1]
    if lacking and _places(contents, dimensions):
        return _scattered(contents, dimensions, settings)
    unknown = [axis for axis in settings.coordinates if axis not in found]
    if unknown:
        raise SparseVQError(
            f"{contents.path}: coordinates: {unknown[0]} is not an axis", f"the axes are {', '.join(found) or 'none'}"
        )
    if lacking and contents.describes_itself:
        raise SparseVQError(
            f"{contents.path}: {lacking[0].name} ({lacking[0].size} points) has no coordinates",
            f"give `coordinates: {{{lacking[0].name}: [first, last]}}`, or write them into the file",
        )
    return _grid(contents, dimensions, found)


def _grid(
    contents: Contents,
    dimensions: tuple[Dimension, ...],
    found: Mapping[str, tuple[npt.NDArray[np.float64], str] | None],
) -> Space:
    axes: dict[str, npt.NDArray[np.float64]] = {}
    units: dict[str, str] = {}
    periodic, part, messages = [], [], []
    for dimension in dimensions:
        name, here = dimension.name, found[dimension.name]
        if dimension.size == 1:
            where = f" ({name} = {here[0][0]:g} {here[1]})".replace(" )", ")") if here else ""
            messages.append(f"axis {name} has one point{where}: it is dropped")
            part.append(slice(None))
            continue
        if here is None:
            messages.append(f"axis {name} has no coordinates: its points are numbered 0, 1, ...")
            here = np.arange(dimension.size, dtype=np.float64), ""
        at, unit = here
        longitude = is_longitude(name, unit, {})
        if longitude and not _monotonic(at):
            at = np.unwrap(at, period=360.0)
        if not _monotonic(at):
            turn = int(np.flatnonzero(np.sign(np.diff(at)) != np.sign(at[1] - at[0]))[0]) if at[1] != at[0] else 0
            raise SparseVQError(
                f"{contents.path}: coordinates of {name} are not monotonic: {at[turn]:g}, then {at[turn + 1]:g}",
                "sort the grid along it",
            )
        way = slice(None) if at[1] > at[0] else slice(None, None, -1)
        at = at[way]
        if longitude and _even(at) and np.isclose(at[-1] - at[0], 360, atol=1e-3):
            messages.append(f"the last point of {name} repeats the first, 360 degrees on: it is dropped")
            way = slice(None, -1) if way.step is None else slice(None, 0, -1)
            at = at[:-1]
        if longitude and _even(at) and np.isclose((at[-1] - at[0]) * len(at) / (len(at) - 1), 360, rtol=EVEN):
            periodic.append(name)
        axes[name], units[name] = at, unit
        part.append(way)
    if not 1 <= len(axes) <= MOST_AXES:
        which = ", ".join(f"{each.name} {each.size}" for each in dimensions)
        raise SparseVQError(
            f"{contents.path}: the grid has {len(axes)} axes ({which})",
            f"there must be 1 to {MOST_AXES}: name the dimensions by `dimensions`, or choose other `arrays`",
        )
    return Space(
        sizes=tuple(each.size for each in dimensions),
        axes=axes,
        units=units,
        periodic=tuple(periodic),
        part=tuple(part),
        messages=tuple(messages),
    )


def _along(
    contents: Contents, dimension: Dimension, settings: FileConfig
) -> tuple[npt.NDArray[np.float64], str] | None:
    """Coordinates along one dimension and their unit, by the configuration or the file; None: there are none."""
    given, unit = settings.coordinates.get(dimension.name), settings.units.get(dimension.name)
    if given is not None and not isinstance(given, str):
        return np.linspace(*given, dimension.size), axis_units(dimension.name, unit or "", {})
    if given is not None:
        array: StoredArray | None = contents.array(given, f"coordinates.{dimension.name}")
    else:
        array = _coordinate_of(contents, dimension)
    if array is None:
        return None
    at = whole(contents.path, array).squeeze()
    if at.ndim == 0:
        at = at.reshape(1)
    if at.shape != (dimension.size,):
        raise SparseVQError(
            f"{contents.path}: {array.name} has shape {array.shape}, but {dimension.name} has {dimension.size} points",
            "name an array with one number for each",
        )
    _finite(contents, array.name, at)
    return at, axis_units(array.name, unit or array.units, array.attributes)


def _coordinate_of(contents: Contents, dimension: Dimension) -> StoredArray | None:
    """The coordinates of a dimension: the array of its name, or the only one along it that is a place in space."""
    for name in (dimension.stored, dimension.name):
        array = contents.arrays.get(name)
        if array is None or not array.is_number or sorted(array.shape)[-1:] != [dimension.size]:
            continue
        if array.dimensions == (name,) or (not array.dimensions and np.prod(array.shape) == dimension.size):
            return array
    if not dimension.stored:
        for array in beside(contents, _SPELLINGS.format(re.escape(dimension.name)), dimension.home):
            if not array.dimensions and array.is_number and np.prod(array.shape) == dimension.size:
                return array
    along = [each for each in contents.arrays.values() if each.dimensions == (dimension.stored,) and is_place(each)]
    return along[0] if len(along) == 1 else None


def _places(contents: Contents, dimensions: tuple[Dimension, ...]) -> list[StoredArray]:
    """Arrays that give a coordinate of every point of several dimensions, or several of every point of one."""
    stored = {each.stored for each in dimensions if each.stored}
    found = [
        array
        for array in contents.arrays.values()
        if array.dimensions and set(array.dimensions) <= stored and is_place(array) and array.is_number
    ]
    dims = {array.dimensions for array in found}
    shared = [each for each in dims if sum(array.dimensions == each for array in found) > 1]
    if not shared:
        return []
    taken = {name for each in shared for name in each}
    return [array for array in found if array.dimensions in shared or not set(array.dimensions) & taken]


def _scattered(contents: Contents, dimensions: tuple[Dimension, ...], settings: FileConfig) -> Space:
    """Points with coordinates of their own."""
    sizes = tuple(each.size for each in dimensions)
    named: dict[str, StoredArray] = {}
    for axis, given in settings.coordinates.items():
        if not isinstance(given, str):
            raise SparseVQError(f"coordinates: {axis}={list(given)}, but scattered points need an array", "name it")
        named[axis] = contents.array(given, f"coordinates.{axis}")
    if not named:
        named = {array.name.rsplit("/", 1)[-1]: array for array in _places(contents, dimensions)}
    if not named and len(dimensions) == 1:
        named = {
            name: array
            for name, array in contents.arrays.items()
            if not array.dimensions and array.shape in (sizes, (1, *sizes), (*sizes, 1)) and is_place(array)
        }
    if not named:
        raise SparseVQError(
            f"{contents.path}: the coordinates of its {int(np.prod(sizes))} points are not known",
            "name the arrays with their coordinates, for instance `coordinates: {x: x, y: y}`",
        )
    axes, units = {}, {}
    for index, (axis, array) in enumerate(named.items()):
        values = _of_every_point(contents, array, dimensions, index, len(named))
        _finite(contents, array.name, values)
        axes[axis] = values.ravel()
        units[axis] = axis_units(array.name, settings.units.get(axis, array.units), array.attributes)
    over = " x ".join(str(size) for size in sizes)
    message = f"{over} points with coordinates of their own ({', '.join(axes)}): read as scattered points"
    return Space(
        sizes=sizes,
        axes=axes,
        units=units,
        scattered=True,
        weights=_areas(contents, dimensions),
        messages=(message,) if len(dimensions) > 1 else (),
    )


def _of_every_point(
    contents: Contents, array: StoredArray, dimensions: tuple[Dimension, ...], index: int, count: int
) -> npt.NDArray[np.float64]:
    """One coordinate of every point, ``sizes``."""
    sizes = tuple(each.size for each in dimensions)
    values = whole(contents.path, array)
    if array.dimensions:
        names = [each.stored for each in dimensions]
        if set(array.dimensions) <= set(names):
            order = [array.dimensions.index(name) for name in names if name in array.dimensions]
            shape = [each.size if each.stored in array.dimensions else 1 for each in dimensions]
            return np.broadcast_to(values.transpose(order).reshape(shape), sizes)
    if values.shape == (*sizes, count) and count > 1:  # all coordinates in one array
        return values[..., index]
    if values.size == int(np.prod(sizes)):
        return values.reshape(sizes)
    raise SparseVQError(
        f"{contents.path}: {array.name} has shape {array.shape}, but there are {' x '.join(map(str, sizes))} points",
        "name an array with one number for each",
    )


def _areas(contents: Contents, dimensions: tuple[Dimension, ...]) -> npt.NDArray[np.float64] | None:
    """The areas of cells, where the file has them (CF standard name cell_area)."""
    names = tuple(each.stored for each in dimensions)
    for array in contents.arrays.values():
        if array.attributes.get("standard_name") == "cell_area" and array.dimensions == names:
            return whole(contents.path, array).ravel()
    return None


def _finite(contents: Contents, name: str, at: npt.NDArray[np.float64]) -> None:
    bad = np.flatnonzero(~np.isfinite(at))
    if len(bad):
        raise SparseVQError(
            f"{contents.path}: {len(bad)} of the coordinates {name} are not finite, first number {bad[0]}",
            "correct them, or leave out those points",
        )


def _monotonic(at: npt.NDArray[np.float64]) -> bool:
    steps = np.diff(at)
    return bool((steps > 0).all() or (steps < 0).all())


def _even(at: npt.NDArray[np.float64]) -> bool:
    steps = np.diff(at)
    return bool(np.abs(steps - steps.mean()).max() <= EVEN * abs(steps.mean()))
