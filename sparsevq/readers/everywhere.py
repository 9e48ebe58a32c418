"""Arrays that give the place of every point: latitudes and longitudes in two dimensions, matrices of `meshgrid`."""

import re
from itertools import combinations, permutations

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import is_place, is_vertical, kind_of_angle, short
from sparsevq.readers.coordinates import fixed_values
from sparsevq.readers.lookup import Layout, Placed, alike, angles, one_of, plain_name, without
from sparsevq.readers.stored import StoredArray, whole
from sparsevq.readers.units import LATITUDE, LONGITUDE


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
    for axis, given in layout.settings.coordinates.items():
        number = layout.number(axis)
        if not isinstance(given, str):
            continue
        array = layout.contents.array(given, f"coordinates.{axis}")
        if number is not None and max(array.shape, default=0) == int(np.prod(array.shape)):
            continue
        values, names = fixed_values(layout.contents.path, array, layout.others)
        along = _along_which(layout, names, values.shape)
        if number is not None and values.squeeze().shape == (layout.dimensions[number].size,):
            continue
        if along is None or (number is not None and number not in along):
            over = " x ".join(map(str, layout.sizes))
            raise SparseVQError(
                f"{layout.contents.path}: {array.name} has shape {array.shape}, but there are {over} points",
                "name an array with one number for each",
            )
        order = tuple(sorted(along))
        values = values.reshape([layout.sizes[index] for index in along]).transpose(
            [along.index(index) for index in order]
        )
        found[axis] = Placed(coordinate=layout.read(axis, array, values), along=order)
    return found


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
    for number in sorted(free):
        axis = layout.dimensions[number].name
        along = {}
        for array in alike(layout, axis) or angles(layout, axis):
            if not array.dimensions and len(array.shape) > 1 and max(array.shape) < int(np.prod(array.shape)):
                which = _along_which(layout, (), array.shape)
                if which is not None and number in which:
                    along[array.name] = which
        mesh = one_of(layout, axis, [layout.contents.arrays[name] for name in along])
        if mesh is not None:
            which = along[mesh.name]
            axis = axis if plain_name(mesh.name) == plain_name(axis) else short(mesh.name)
            order = tuple(sorted(which))
            values = whole(layout.contents.path, mesh).transpose([which.index(index) for index in order])
            found[axis] = Placed(coordinate=layout.read(axis, mesh, values), along=order)
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
