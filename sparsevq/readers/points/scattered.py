"""Coordinates of every point: axes of a grid if each changes along one dimension only, else scattered points."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import is_place, said, short
from sparsevq.readers.opening.stored import StoredArray, whole
from sparsevq.readers.points.coordinates import Coordinate, converted, fixed_values
from sparsevq.readers.points.lookup import Layout, Placed, numbered
from sparsevq.readers.units import LONGITUDE

SMALL = 1e-4
"""How far coordinates of a row may be apart, as a fraction of the spacing (computed in single precision)."""
GAP, FULL = 60.0, 300.0
"""Degrees without points, and degrees spanned, from which scattered longitudes are cut elsewhere."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scattered:
    """Scattered points: coordinates ``(N,)`` along each axis, areas, which of the file's points they are, messages."""

    axes: dict[str, Coordinate]
    weights: Floats | None = None
    kept: npt.NDArray[np.int64] | None = None
    messages: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------ a grid after all


def separated(layout: Layout, points: Mapping[str, Placed]) -> dict[str, Placed] | None:
    """Coordinates of every point as axes, each along the only dimension along which it changes; None: scattered.

    Raises
    ------
    SparseVQError
        Coordinates that are called as a dimension change along another one.
    """
    axes: dict[str, Placed] = {}
    taken: set[int] = set()
    for axis, placed in points.items():
        changing = [place for place in range(len(placed.along)) if _changes(placed.coordinate, place)]
        if len(placed.along) < 2 or len(changing) != 1:
            return None
        which = placed.along[changing[0]]
        named = layout.number(axis)
        if named is not None and named != which:
            other = layout.dimensions[which].name
            name = placed.coordinate.name
            raise SparseVQError(
                f"{layout.contents.path}: {name}, the coordinates of {axis}, change along {other} only",
                f"exchange {axis} and {other} in `dimensions`, or name the right array by `coordinates`",
            )
        at = _one_line(placed.coordinate.at, changing[0])
        if which in taken or not np.isfinite(at).all():
            return None
        taken.add(which)
        axes[axis] = Placed(coordinate=replace(placed.coordinate, at=at), along=(which,))
    return axes


def _changes(coordinate: Coordinate, place: int) -> bool:
    """Whether coordinates change along a dimension, by more than the precision in which they are stored."""
    at = coordinate.at
    if at.shape[place] == 1:
        return False
    apart = np.abs(at - _first(at, place))
    if coordinate.kind == LONGITUDE:
        apart = np.abs((at - _first(at, place) + 180) % 360 - 180)
    spans = [np.nanmax(at) - np.nanmin(at)] if np.isfinite(at).any() else [0.0]
    spacing = spans[0] / max(max(at.shape) - 1, 1)
    return bool(np.nanmax(apart, initial=0) > max(coordinate.rounding, SMALL * spacing))


def _first(at: Floats, place: int) -> Floats:
    """The first finite value along a dimension, which stays with size 1; NaN where there is none."""
    first = np.argmax(np.isfinite(at), axis=place, keepdims=True)
    return np.take_along_axis(at, first, axis=place)


def _one_line(at: Floats, place: int) -> Floats:
    """Values along a dimension, along all others the first finite ones."""
    for other in range(at.ndim):
        if other != place:
            at = _first(at, other)
    return at.ravel()


# ------------------------------------------------------------------------------------------------ scattered points


def spread(layout: Layout, placed: Mapping[str, Placed], messages: list[str]) -> Scattered:
    """Coordinates along dimensions and of every point, as scattered points."""
    sizes, axes = layout.sizes, dict(placed)
    told = {index for each in placed.values() for index in each.along}
    if len(placed) < len(told):  # places of a surface, for each level
        told = {
            index
            for each in placed.values()
            for place, index in enumerate(each.along)
            if _changes(each.coordinate, place)
        }
    for index, dimension in enumerate(layout.dimensions):
        if index in told or dimension.name in placed:
            continue
        if dimension.size > 1:
            axes[dimension.name] = Placed(coordinate=numbered(layout, dimension, messages), along=(index,))
    found: dict[str, Coordinate] = {}
    for axis, each in axes.items():
        if all(sizes[index] == 1 for index in each.along):
            messages.append(f"axis {axis} has one point: it is dropped")
            continue
        shape = [size if index in each.along else 1 for index, size in enumerate(sizes)]
        values = np.broadcast_to(each.coordinate.at.reshape(shape), sizes).ravel()
        found[axis] = replace(each.coordinate, at=values)
    return _with_places(layout, found, messages)


def scattered_points(layout: Layout) -> Scattered:
    """Points whose arrays of coordinates the configuration names, or the names of arrays tell.

    Raises
    ------
    SparseVQError
        Their coordinates are not known, or have a wrong shape.
    """
    settings, contents, sizes = layout.settings, layout.contents, layout.sizes
    named: dict[str, StoredArray] = {}
    for axis, given in settings.coordinates.items():
        if not isinstance(given, str):
            raise SparseVQError(f"coordinates: {axis}={list(given)}, but scattered points need an array", "name it")
        named[axis] = contents.array(given, f"coordinates.{axis}")
    if not named and len(sizes) == 1:
        shapes = (sizes, (1, *sizes), (*sizes, 1))
        near = layout.near.name if layout.near is not None else ""
        named = {
            short(name): array
            for name, array in contents.arrays.items()
            if not array.dimensions and array.shape in shapes and is_place(array) and name != near
        }
    if not named:
        raise places_unknown(layout)
    found = {
        axis: layout.read(axis, array, _of_every_point(layout, array, index, len(named)).ravel())
        for index, (axis, array) in enumerate(named.items())
    }
    together, messages = converted(contents.path, found)
    return _with_places(layout, together, messages)


def places_unknown(layout: Layout) -> SparseVQError:
    """The error for points whose places nothing tells."""
    return SparseVQError(
        f"{layout.contents.path}: the coordinates of its {int(np.prod(layout.sizes))} points are not known",
        "name the arrays with their coordinates, for instance `coordinates: {x: x, y: y}`",
    )


def _of_every_point(layout: Layout, array: StoredArray, index: int, count: int) -> Floats:
    """One coordinate of every point, ``sizes``."""
    sizes = layout.sizes
    values, dims = fixed_values(layout.contents.path, array, layout.others)
    names = [each.stored for each in layout.dimensions]
    if dims and set(dims) <= set(names):
        order = [dims.index(name) for name in names if name in dims]
        shape = [each.size if each.stored in dims else 1 for each in layout.dimensions]
        return np.broadcast_to(values.transpose(order).reshape(shape), sizes)
    if values.shape == (*sizes, count) and count > 1:  # all coordinates in one array
        return values[..., index]
    if values.size == int(np.prod(sizes)):
        return values.reshape(sizes)
    over = " x ".join(map(str, sizes))
    raise SparseVQError(
        f"{layout.contents.path}: {array.name} has shape {array.shape}, but there are {over} points",
        "name an array with one number for each",
    )


def _with_places(layout: Layout, found: Mapping[str, Coordinate], messages: list[str]) -> Scattered:
    """Scattered points without those that have no place, longitudes without a jump.

    Raises
    ------
    SparseVQError
        No point has a place.
    """
    if not found:
        raise SparseVQError(
            f"{layout.contents.path}: it has one point, which is no field", "choose other `arrays`, or join its files"
        )
    there = np.all([np.isfinite(each.at) for each in found.values()], axis=0)
    over = " x ".join(map(str, layout.sizes))
    if len(layout.sizes) > 1:
        messages.append(f"{over} points with coordinates of their own ({', '.join(found)}): read as scattered points")
    weights, kept = _areas(layout), None
    if not there.any():
        raise SparseVQError(f"{layout.contents.path}: none of its {over} points has a place", "correct the coordinates")
    horizontal = [each for each in found.values() if each.kind] or list(found.values())
    if there.size > 1 and all(np.ptp(each.at[there]) == 0 for each in horizontal):
        names = ", ".join(each.name for each in horizontal)
        raise SparseVQError(
            f"{layout.contents.path}: all its {over} points are at one place ({names})",
            "the coordinates were never written: name others by `coordinates`",
        )
    if not there.all():
        messages.append(f"{int((~there).sum())} of {there.size} points have no coordinates: they are left out")
        kept = np.flatnonzero(there)
        weights = None if weights is None else weights[kept]
    axes = {axis: replace(each, at=_uncut(each.at[there], each, messages)) for axis, each in found.items()}
    return Scattered(axes=axes, weights=weights, kept=kept, messages=messages)


def _uncut(at: Floats, coordinate: Coordinate, messages: list[str]) -> Floats:
    """Longitudes of a region that -180 or 0 degrees cuts in two, as one piece."""
    if coordinate.kind != LONGITUDE or np.ptp(at) <= FULL:
        return at
    turned = np.sort(np.mod(at, 360))
    gaps = np.diff(turned, append=turned[0] + 360)
    widest = int(gaps.argmax())
    if gaps[widest] < GAP:
        return at
    west = float(turned[(widest + 1) % len(turned)])
    west -= 360 if west > 180 and at.min() < 0 else 0
    messages.append(f"{coordinate.name} is counted from {west:g} degrees on, so that the points are in one piece")
    return west + np.mod(at - west, 360)


def _areas(layout: Layout) -> Floats | None:
    """The areas of cells, where the file has them (CF standard name cell_area)."""
    names = tuple(each.stored for each in layout.dimensions)
    for array in layout.contents.arrays.values():
        dims = array.dimensions
        area = said(array.attributes, "standard_name") == "cell_area"
        if not area or not array.is_number or not dims or not set(dims) <= set(names):
            continue
        shape = [each.size if each.stored in dims else 1 for each in layout.dimensions]
        order = [dims.index(name) for name in names if name in dims]
        values = whole(layout.contents.path, array).transpose(order).reshape(shape)
        return np.broadcast_to(values, layout.sizes).ravel()
    return None
