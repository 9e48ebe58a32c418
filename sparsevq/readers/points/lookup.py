"""Which arrays of a file are the coordinates of its points: by dimensions, attributes and names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import is_bounds, is_index, is_place, is_vertical, kind_of_angle, short
from sparsevq.readers.opening.attributes import text_of
from sparsevq.readers.opening.stored import Contents, StoredArray, whole
from sparsevq.readers.points.coordinates import Coordinate, coordinate, fixed_values
from sparsevq.readers.units import LATITUDE, LONGITUDE

_ADDED = r"coord(?:inate)?s?|grid|axis|vec(?:tor)?|cent(?:er|re)s?|points|mesh|values?|dim"
_PLAIN = re.compile(rf"(?:(?:{_ADDED})[-_ ]?)?(.+?)(?:[-_ ]?(?:{_ADDED}))?")
_SAME = {"latitude": "lat", "longitude": "lon", "long": "lon", "lats": "lat", "lons": "lon"}


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A dimension of the arrays that is not trajectory, time or channel: its name, and the one in the file."""

    name: str
    stored: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where coordinates are looked for: a file, the dimensions of its arrays, and the user's settings.

    Attributes
    ----------
    near
        The array whose points are looked for.
    others
        Its dimensions, in the file, that are no space.
    """

    contents: Contents
    dimensions: tuple[Dimension, ...]
    settings: FileConfig
    near: StoredArray | None = None
    others: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the dimensions."""
        return tuple(each.size for each in self.dimensions)

    @property
    def said(self) -> tuple[str, ...]:
        """What the array names as its coordinates (CF), in lower case."""
        attributes = self.near.attributes if self.near is not None else {}
        return tuple(short(name) for name in text_of(attributes.get("coordinates", "")).split())

    def may_be_places(self, array: StoredArray) -> bool:
        """Whether an array may hold coordinates: no field, no edges of cells, no heights that change in time."""
        field = array.name in self.settings.arrays or (self.near is not None and array.name == self.near.name)
        moves = is_vertical(array) and not set(self.others).isdisjoint(array.dimensions)
        return array.is_number and not (field or moves or is_bounds(array))

    def number(self, name: str) -> int | None:
        """Which dimension is called so."""
        return next((index for index, each in enumerate(self.dimensions) if each.name == name), None)

    def read(self, axis: str, array: StoredArray, at: np.ndarray | None = None) -> Coordinate:
        """The coordinates `axis`; the user's unit goes before the file's, and the user's missing values are none."""
        if at is None:
            at, _ = fixed_values(self.contents.path, array, self.others)
        for value in self.settings.missing:
            at = np.where(at == (array.dtype.type(value) if array.dtype.kind == "f" else value), np.nan, at)
        at = np.where(np.isfinite(at), at, np.nan)
        return coordinate(array, at, self.settings.units.get(axis))


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Coordinates of points along several dimensions: values of shape ``sizes[along]``."""

    coordinate: Coordinate
    along: tuple[int, ...]


def numbered(layout: Layout, dimension: Dimension, messages: list[str]) -> Coordinate:
    """Counted coordinates of a dimension that has none; that is said.

    Raises
    ------
    SparseVQError
        The format has coordinates, and degrees cannot be counted.
    """
    counted = Coordinate(name=dimension.name, at=np.arange(dimension.size, dtype=np.float64), unit="", kind="")
    if layout.contents.describes_itself and kind_of_angle(dimension.name, "", {}):
        raise SparseVQError(
            f"{layout.contents.path}: {dimension.name} ({dimension.size} points) has no coordinates",
            f"give `coordinates: {{{dimension.name}: [first, last]}}`, or write them into the file",
        )
    edges = [
        array.name
        for array in layout.contents.arrays.values()
        if max(array.shape, default=0) == int(np.prod(array.shape)) == dimension.size + 1
        and re.sub(r"[-_ ]?(?:edges|bounds|bnds)", "", plain_name(array.name)) == plain_name(dimension.name)
    ]
    hint = f" ({edges[0]} has one number more: edges of cells are no points)" if edges else ""
    if kind_of_angle(dimension.name, "", {}):
        hint += f" (on a sphere give `coordinates: {{{dimension.name}: [first, last]}}`, in degrees)"
    messages.append(f"axis {dimension.name} has no coordinates: its points are numbered 0, 1, ...{hint}")
    return counted


# ------------------------------------------------------------------------------------------------ of one dimension


def along_dimension(layout: Layout, dimension: Dimension) -> Coordinate | None:
    """Coordinates along one dimension, by the configuration or the file; None: there are none.

    Raises
    ------
    SparseVQError
        They have a wrong shape.
    """
    settings, path = layout.settings, layout.contents.path
    given = settings.coordinates.get(dimension.name)
    if given is not None and not isinstance(given, str):
        unit = settings.units.get(dimension.name, "")
        kind = kind_of_angle(dimension.name, unit, {})
        at = np.linspace(*given, dimension.size)
        return Coordinate(name=dimension.name, at=at, unit=unit, kind=kind, given=bool(unit))
    array = (
        layout.contents.array(given, f"coordinates.{dimension.name}") if given else _coordinate_of(layout, dimension)
    )
    if array is None:
        return None
    found = layout.read(dimension.name, array)
    at = found.at.squeeze()
    at = at.reshape(1) if at.ndim == 0 else at
    if at.shape != (dimension.size,):
        raise SparseVQError(
            f"{path}: {array.name} has shape {array.shape}, but {dimension.name} has {dimension.size} points",
            "name an array with one number for each",
        )
    return coordinate(array, at, settings.units.get(dimension.name))


def _coordinate_of(layout: Layout, dimension: Dimension) -> StoredArray | None:
    """The array of the dimension's name, or the only place in space along it, which goes before a count of points."""
    named = _of_its_name(layout, dimension)
    places = [
        each
        for each in _along(layout, (dimension.stored,))
        if is_place(each) and (named is None or each.name != named.name)
    ]
    if named is None:
        return places[0] if len(places) == 1 else _by_similar_name(layout, dimension)
    if len(places) == 1 and is_index(whole(layout.contents.path, named).ravel(), named.units, named.attributes):
        return places[0]
    return named


def _of_its_name(layout: Layout, dimension: Dimension) -> StoredArray | None:
    near = layout.near.name.split("/")[:-1] if layout.near is not None else []
    groups = ["/".join([*near[:depth], ""]) for depth in range(len(near), -1, -1)]
    for name in (dimension.stored, *(group + dimension.name for group in groups)):
        array = layout.contents.arrays.get(name)
        if array is None or not array.is_number or sorted(array.shape)[-1:] != [dimension.size]:
            continue
        if without(array, layout.others) == (name,) or (
            not array.dimensions and np.prod(array.shape) == dimension.size
        ):
            return array
    return None


def _by_similar_name(layout: Layout, dimension: Dimension) -> StoredArray | None:
    """An array like ``x-coordinate``, ``dimensions/x``, ``grid/x`` or ``X``, in formats without names of dimensions."""
    for those in (alike(layout, dimension.name), angles(layout, dimension.name)):
        found = [
            array
            for array in those
            if int(np.prod(array.shape)) == max(array.shape, default=0) == dimension.size
            and array.dimensions in ((), (array.name,), (dimension.stored,))
        ]
        if found:
            return one_of(layout, dimension.name, found)
    return None


def one_of(layout: Layout, axis: str, found: list[StoredArray]) -> StoredArray | None:
    """The only array; of several the nearest in the tree of groups, if those that are equally near are equal.

    Raises
    ------
    SparseVQError
        Several differ.
    """
    if len(found) < 2:
        return found[0] if found else None
    path = layout.near.name.split("/")[:-1] if layout.near is not None else []
    shared = [sum(_shared(path, array.name.split("/")[:-1])) for array in found]
    nearest = [array for array, count in zip(found, shared, strict=True) if count == max(shared)]
    first = whole(layout.contents.path, nearest[0])
    for other in nearest[1:]:
        if other.shape != nearest[0].shape or not np.array_equal(
            whole(layout.contents.path, other), first, equal_nan=True
        ):
            raise SparseVQError(
                f"{layout.contents.path}: {nearest[0].name} and {other.name} may both be the coordinates of {axis}",
                f"name one: `coordinates: {{{axis}: {nearest[0].name}}}`",
            )
    return nearest[0]


def _shared(one: list[str], other: list[str]) -> Iterator[bool]:
    for here, there in zip(one, other, strict=False):
        if here != there:
            return
        yield True


def alike(layout: Layout, axis: str) -> list[StoredArray]:
    """Arrays that are called nearly like an axis."""
    return [
        array
        for array in layout.contents.arrays.values()
        if plain_name(array.name) == plain_name(axis) and layout.may_be_places(array)
    ]


def angles(layout: Layout, axis: str) -> list[StoredArray]:
    """Latitudes for an axis y, longitudes for x, in formats without names of dimensions."""
    kind = {"y": LATITUDE, "x": LONGITUDE}.get(plain_name(axis))
    return [
        array
        for array in layout.contents.arrays.values()
        if not array.dimensions
        and kind_of_angle(array.name, array.units, array.attributes) == kind
        and layout.may_be_places(array)
    ]


def plain_name(name: str) -> str:
    """The name of an axis in the name of an array: x of ``x-coordinate``, ``grid/x`` or ``X``."""
    low = short(name)
    found = _PLAIN.fullmatch(low)
    plain = found[1] if found else low
    plain = plain[0] if len(plain) == 2 and plain[0] == plain[1] else plain  # XX and YY of a mesh
    return _SAME.get(plain, plain)


def _along(layout: Layout, dims: tuple[str, ...]) -> list[StoredArray]:
    return [
        each
        for each in layout.contents.arrays.values()
        if dims != ("",) and without(each, layout.others) == dims and layout.may_be_places(each)
    ]


def without(array: StoredArray, others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in array.dimensions if name not in others)
