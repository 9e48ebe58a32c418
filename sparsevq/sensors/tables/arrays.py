"""Arrays of readings, and dictionaries of them, as a table."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.memory import FRAME, NAME, SENSOR, AnyArray, Column, Expected, table_of_columns
from sparsevq.sensors.tables.source import Source
from sparsevq.sensors.tables.table import Table


@dataclass(frozen=True)
class Arrays(Source):
    """A dictionary of arrays; the key of a row is (frame, sensor)."""

    word: str = "entry"
    words: str = "entries"
    on: str = "at"
    nothing: str = "give NaN"
    along: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def _index(self, key: Hashable, column: str | None = None) -> str:
        assert isinstance(key, tuple)
        of = dict(zip((FRAME, SENSOR), key, strict=True))
        whole = (FRAME, SENSOR) if any(FRAME in along for along in self.along.values()) else (SENSOR,)
        along = whole if column is None else self.along[column]
        return f"[{', '.join(str(of[dimension]) for dimension in along)}]" if along else ""

    def at(self, key: Hashable) -> str:
        """A row."""
        return f"{self.word} {self._index(key)}"

    def cell(self, key: Hashable, column: str) -> str:
        """A row's cell, as Python finds it."""
        known = column in self.along
        return f"{self.name}[{column!r}]{self._index(key, column)}" if known else f"{self.row(key)}: {column}"


@dataclass(frozen=True)
class OneArray(Arrays):
    """An array whose last dimension are channels, if it has so many."""

    channels: tuple[str, ...] = ()
    last: bool = True

    def row(self, key: Hashable) -> str:
        """A row, as Python finds it."""
        return self.name + self._index(key)

    def cell(self, key: Hashable, column: str) -> str:
        """A row's cell, as Python finds it."""
        if column not in self.channels:
            return f"{self.row(key)}: {column}"
        if not self.last:
            return f"{self.row(key)} ({column})"
        return f"{self.row(key)[:-1]}, {self.channels.index(column)}] ({column})"


def table_of_array(given: Any, expected: Expected) -> Table:
    """The table of an array (n, C) or (k, n, C), of one channel (n,) or (k, n), in the order of the run's sensors.

    Raises
    ------
    SparseVQError
        It has another shape, or holds no numbers.
    """
    if getattr(getattr(given, "dtype", None), "names", None):  # of named fields
        return table_of_mapping({name: given[name] for name in given.dtype.names}, expected)
    array = as_array(given, NAME)
    sensors, channels = expected.sensors, expected.channels
    whole = array.ndim > 1 and array.shape[-2:] == (sensors, len(channels)) and array.ndim <= 3
    flat = len(channels) == 1 and array.ndim <= 2 and array.shape[-1:] == (sensors,)
    if not sensors or not (whole or flat):
        last = f", {len(channels)}" * (len(channels) > 1)
        shapes = f"({sensors}{last or ','}) or (frames, {sensors}{last})"
        turned = array.ndim > 1 and array.shape[-2:] == (len(channels), sensors)
        raise SparseVQError(
            f"{NAME} have the shape {array.shape}, but the run has {sensors} sensors and the "
            f"channel{'s' * (len(channels) > 1)} {', '.join(channels)}",
            "transpose the last two dimensions"
            if turned
            else f"give {shapes}, NaN where there is no value; "
            "readings of other sensors with their places: in a dictionary, a table or a file",
        )
    split = np.moveaxis(array, -1, 0) if whole else array[None]
    along = (FRAME, SENSOR)[-split[0].ndim :]
    columns = {channel: Column(values, along) for channel, values in zip(channels, split, strict=True)}
    source = OneArray(NAME, along=dict.fromkeys(channels, along), channels=channels, last=whole)
    return table_of_columns(source, columns, expected)


def table_of_mapping(given: Mapping[Any, Any], expected: Expected) -> Table:
    """The table of a dictionary: name -> (n,) or (k, n) values of sensors, or () or (k,) of frames.

    The names are those that columns of a file may have. Without a name that tells the sensors, values are in the order
    of the run's sensors; without one that tells the frames, the oldest comes first.

    Raises
    ------
    SparseVQError
        There is none, or arrays have different shapes or hold neither numbers nor texts.
    """
    if not given:
        raise SparseVQError(f"{NAME} are an empty dictionary", f"give {', '.join(map(repr, expected.channels))}")
    arrays = {str(title): as_array(values, f"{NAME}[{str(title)!r}]") for title, values in given.items()}
    clocks = [title for title in arrays if expected.meaning(title) in ("time", FRAME, "clock")]
    frames = next((array.shape[0] for array in arrays.values() if array.ndim == 2), None)
    columns: dict[str, Column] = {}
    seen: dict[str, tuple[int, str]] = {}
    for title, array in arrays.items():
        if array.ndim > 2:
            raise SparseVQError(
                f"{NAME}[{title!r}] has the shape {array.shape}", "give (sensors,) or (frames, sensors)"
            )
        along = (FRAME, SENSOR)[2 - array.ndim :]
        if title in clocks and array.ndim == 1 and frames is not None:
            along = (FRAME,)
        for dimension, size in zip(along, array.shape, strict=True):
            other, first = seen.setdefault(dimension, (size, title))
            if size != other:
                raise SparseVQError(
                    f"{NAME}[{title!r}] has {size} {dimension}s, but {NAME}[{first!r}] has {other}",
                    "give values of as many; NaN where there is none",
                )
        columns[title] = Column(array, along, _units(next(v for t, v in given.items() if str(t) == title)))
    source = Arrays(NAME, along={title: column.along for title, column in columns.items()})
    return table_of_columns(source, columns, expected)


def as_array(given: Any, where: str) -> AnyArray:
    """What the user gave as an array of numbers, texts or dates.

    Raises
    ------
    SparseVQError
        It is none, or is empty.
    """
    if isinstance(given, np.ma.MaskedArray) and given.dtype.kind in "fiu":
        given = np.where(np.ma.getmaskarray(given), np.nan, given.data)
    try:
        if hasattr(given, "detach"):  # of torch, on any device, in any precision
            given = given.detach().cpu()
            given = given.double() if given.dtype.is_floating_point else given
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError):
        raise SparseVQError(f"{where}: no array of numbers", "give lists of as many numbers each") from None
    if array.dtype.kind == "O" and array.ndim == 0 and isinstance(given, Collection):  # a set, a dictionary
        raise SparseVQError(f"{where}: no array but {type(given).__name__}", "give an array or a list of numbers")
    if array.dtype.kind not in "fiuOUM":
        raise SparseVQError(f"{where}: values of the type {array.dtype}", "give real numbers")
    if not array.size:
        raise SparseVQError(f"{where}: empty, of the shape {array.shape}", "give at least one reading")
    return array


def _units(given: Any) -> str:
    """The unit that an array carries; empty: it carries none."""
    attributes = getattr(given, "attrs", {})
    units = attributes.get("units", "") if isinstance(attributes, Mapping) else ""
    return str(units or getattr(given, "units", "") or getattr(given, "unit", ""))
