"""Arrays that give the place of every point: latitudes and longitudes in two dimensions, matrices of `meshgrid`."""

import re
from itertools import combinations, permutations

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import is_place, is_vertical, kind_of_angle, short
from sparsevq.readers.opening.stored import StoredArray
from sparsevq.readers.points.coordinates import fixed_values
from sparsevq.readers.points.lookup import Layout, Placed, alike, angles, one_of, plain_name, without
from sparsevq.readers.units import LATITUDE, LONGITUDE

OverPoints = tuple[npt.NDArray[np.float64], tuple[int, ...]]
"""Coordinates, and the numbers of the dimensions along which they are."""


def points_of(layout: Layout, free: frozenset[int]) -> dict[str, Placed]:
    """Coordinates that are given for every point of several dimensions, or several of them for one dimension.

    Parameters
    ----------
    layout
        Where to look.
    free
        Numbers of the dimensions that have no coordinate of their own, or only a count of points.

    Raises
    ------
    SparseVQError
        Coordinates move, have a wrong shape, or several may be meant.
    """
    named = all(each.stored for each in layout.dimensions)
    found = _points_by_dimensions(layout, free) if named else {}
    return found if found or layout.contents.describes_itself else _points_by_name(layout, free)


def given_points(layout: Layout) -> dict[str, Placed]:
    """Coordinates of every point that the configuration names.

    Raises
    ------
    SparseVQError
        One is not there, moves, or has a wrong shape.
    """
    found: dict[str, Placed] = {}
    coordinates = layout.settings.coordinates
    for axis, given in coordinates.items():
        number = layout.number(axis)
        if not isinstance(given, str):
            continue
        array = layout.contents.array(given, f"coordinates.{axis}")
        together = [name for name, other in coordinates.items() if other == given]
        if number is not None and _is_line(layout, array, number):
            continue
        over = _over_points(layout, array, (together.index(axis), len(together)))
        if over is None or (number is not None and number not in over[1]):
            points = " x ".join(map(str, layout.sizes))
            raise SparseVQError(
                f"{layout.contents.path}: {array.name} has shape {array.shape}, but there are {points} points",
                "name an array with one number for each",
            )
        found[axis] = Placed(coordinate=layout.read(axis, array, over[0]), along=over[1])
    return found


def _is_line(layout: Layout, array: StoredArray, number: int) -> bool:
    """Whether an array has coordinates along one dimension only, perhaps the same for each time."""
    line = max(array.shape, default=0) == int(np.prod(array.shape))
    return line or without(array, layout.others) == (layout.dimensions[number].stored,)


def _over_points(layout: Layout, array: StoredArray, component: tuple[int, int] = (0, 1)) -> OverPoints | None:
    """Coordinates of every point and the dimensions along which they are, in order; None: the shape is another one.

    Without names of dimensions there may be one more, along which they are the same (a matrix for each frame), or
    which runs over the `component` (number, count) where one array is named for several axes.

    Raises
    ------
    SparseVQError
        Coordinates move.
    """
    values, names = fixed_values(layout.contents.path, array, layout.others)
    number, count = component
    if not names and count > 1 and values.shape[-1:] == (count,):
        values = values[..., number]
    along = _along_which(layout, names, values.shape)
    if along is None and not names:
        values = values.squeeze()
        along = _along_which(layout, (), values.shape)
        if along is None and values.ndim > 2:
            values, along = _for_each_frame(layout, array, values)
    if along is None:
        return None
    order = tuple(sorted(along))
    return values.transpose([along.index(index) for index in order]), order


def _for_each_frame(
    layout: Layout, array: StoredArray, values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], tuple[int, ...] | None]:
    """Matrices that are the same for each entry of a further dimension: the first, and along which dimensions it is."""
    fitting = [
        (extra, along)
        for extra in range(values.ndim)
        if (along := _along_which(layout, (), values.shape[:extra] + values.shape[extra + 1 :])) is not None
    ]
    for extra, along in fitting:
        first = np.take(values, 0, axis=extra)
        if np.array_equal(values, np.broadcast_to(np.expand_dims(first, extra), values.shape), equal_nan=True):
            return first, along
    if fitting:
        raise SparseVQError(
            f"{layout.contents.path}: the coordinates {array.name} move along one of its dimensions {array.shape}",
            "interpolate the fields to fixed points, or name fixed coordinates by `coordinates`",
        )
    return values, None


def _along_which(layout: Layout, names: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The dimensions along which an array of points is, in its order: by their names, else by their sizes."""
    stored = [each.stored for each in layout.dimensions]
    if names and set(names) <= set(stored):
        return tuple(stored.index(name) for name in names)
    sizes, count = layout.sizes, len(layout.sizes)
    for orders in (combinations, permutations):
        fitting = [each for each in orders(range(count), len(shape)) if tuple(sizes[index] for index in each) == shape]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _points_by_name(layout: Layout, free: frozenset[int]) -> dict[str, Placed]:
    """Matrices of `meshgrid`: arrays named nearly like the axes, in formats without names of dimensions."""
    found: dict[str, Placed] = {}
    sizes = {1, *layout.sizes, *(layout.near.shape if layout.near is not None else ())}
    for number in sorted(free):
        axis = layout.dimensions[number].name
        over: dict[str, OverPoints] = {}
        for array in alike(layout, axis) or angles(layout, axis):
            if array.dimensions or max(array.shape, default=0) == int(np.prod(array.shape)):
                continue
            here = _over_points(layout, array) if set(array.shape) <= sizes else None
            if here is not None and number in here[1]:
                over[array.name] = here
        mesh = one_of(layout, axis, [layout.contents.arrays[name] for name in over])
        if mesh is not None:
            values, along = over[mesh.name]
            axis = axis if plain_name(mesh.name) == plain_name(axis) else short(mesh.name)
            found[axis] = Placed(coordinate=layout.read(axis, mesh, values), along=along)
    return found


def _points_by_dimensions(layout: Layout, free: frozenset[int]) -> dict[str, Placed]:
    """Latitudes and longitudes (else x and y) along free dimensions, and heights beside them."""
    stored = [each.stored for each in layout.dimensions]
    allowed = {stored[index] for index in free}
    by_dimensions: dict[frozenset[str], list[StoredArray]] = {}
    for array in layout.contents.arrays.values():
        dims = frozenset(without(array, layout.others))
        place = is_place(array) or (len(dims) > 1 and short(array.name) in layout.said)
        if dims and dims <= allowed and place and layout.may_be_places(array):
            by_dimensions.setdefault(dims, []).append(array)
    pairs = {
        dims: _pair(layout, [array for array in arrays if not is_vertical(array)])
        for dims, arrays in by_dimensions.items()
    }
    chosen = [dims for dims, pair in pairs.items() if len(pair) > 1]
    if not chosen:
        return {}
    dims = min(chosen, key=lambda each: (-len(each), sorted(each)))
    arrays = list(pairs[dims])
    for others, more in by_dimensions.items():
        lacks = len(dims) == 1 or len(pairs[dims]) < len(dims)
        if (others == dims and lacks) or (len(others) > 1 and not others <= dims):
            arrays += [array for array in more if is_vertical(array)][:1]
    found = {}
    for array in sorted(arrays, key=list(layout.contents.arrays.values()).index):
        axis = array.name.rsplit("/", 1)[-1]
        values, names = fixed_values(layout.contents.path, array, layout.others)
        order = tuple(sorted(stored.index(name) for name in names))
        values = values.transpose([names.index(stored[index]) for index in order])
        found[axis] = Placed(coordinate=layout.read(axis, array, values), along=order)
    return found


def _pair(layout: Layout, arrays: list[StoredArray]) -> list[StoredArray]:
    """The two arrays that say where the points are: a latitude and a longitude, else what is left.

    Raises
    ------
    SparseVQError
        There are several of a kind, and nothing says which belong to the field.
    """
    said = layout.said
    kinds = {
        kind: [a for a in arrays if kind_of_angle(a.name, a.units, a.attributes) == kind]
        for kind in (LATITUDE, LONGITUDE)
    }
    if not all(kinds.values()):
        return arrays if len(arrays) < 4 else []
    named = {kind: [a for a in those if short(a.name) in said] or those for kind, those in kinds.items()}
    if any(len(those) > 1 for those in named.values()):
        pairs = [[lat, lon] for lat in named[LATITUDE] for lon in named[LONGITUDE] if _stem(lat) == _stem(lon)]
        if len(pairs) != 1:
            which = ", ".join(a.name for those in named.values() for a in those)
            lat, lon = named[LATITUDE][0].name, named[LONGITUDE][0].name
            raise SparseVQError(
                f"{layout.contents.path}: it has several places for each point: {which}",
                f"name one pair: `coordinates: {{{short(lat)}: {lat}, {short(lon)}: {lon}}}`",
            )
        return pairs[0]
    return [those[0] for those in named.values()]


def _stem(array: StoredArray) -> str:
    return re.sub(r"lat(?:itude)?|lon(?:g(?:itude)?)?|gphi|glam", "", short(array.name))
