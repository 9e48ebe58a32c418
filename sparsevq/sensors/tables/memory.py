"""Readings in memory as a table: what their columns are, and how messages name their cells. Numbers keep every bit."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.columns import Names
from sparsevq.sensors.tables.numbers import plain
from sparsevq.sensors.tables.source import Source
from sparsevq.sensors.tables.table import Row, Table

FRAME, SENSOR = "frame", "sensor"
NAME = "observations"
"""What messages call what the user gave, where it is no file."""

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class Expected:
    """What readings are of.

    Attributes
    ----------
    names
        What columns may be called.
    axes, channels
        The data set's.
    sensors
        How many the run has, in whose order arrays are; 0: it is not known.
    """

    names: Names
    axes: tuple[str, ...]
    channels: tuple[str, ...]
    sensors: int

    def meaning(self, title: str) -> str:
        """What a column is; empty: nothing that is known."""
        found = self.names.meaning(title)
        return "" if found is None else found[0]


@dataclass(frozen=True)
class Column:
    """The values ``()``, ``(k,)``, ``(n,)`` or ``(k, n)`` of a column, and along which of frames and sensors."""

    values: AnyArray
    along: tuple[str, ...]
    units: str = ""


def table_of_columns(
    source: Source,
    columns: Mapping[str, Column],
    expected: Expected,
    date: str | None = None,
    *,
    ordered: bool = False,
) -> Table:
    """The table of columns that go along frames and sensors, a row for each pair.

    Where no column tells the sensors, they are the run's, in their order; where none tells the frames, the oldest comes
    first.

    Parameters
    ----------
    source, date, ordered
        As of `Table`.
    columns, expected
        Title -> values, and what they may be.

    Raises
    ------
    SparseVQError
        There are not as many sensors as the run has.
    """
    columns = numbered_sensors(columns, expected, source)
    ordered = ordered or not _tells_frames(columns, expected)
    columns = numbered_frames(columns, expected)
    sizes = {FRAME: 1, SENSOR: 1}
    for column in columns.values():
        sizes |= dict(zip(column.along, column.values.shape, strict=True))
    shape = (sizes[FRAME], sizes[SENSOR])
    cells = {}
    for title, column in columns.items():
        texts = np.array(list(_texts(column.values)), dtype=object).reshape(column.values.shape)
        if column.along == (FRAME,):
            texts = texts[:, None]
        cells[title] = np.broadcast_to(texts, shape).ravel().tolist()
    rows = tuple(
        Row(source, (index // shape[1], index % shape[1]), {title: cells[title][index] for title in cells})
        for index in range(shape[0] * shape[1])
    )
    units = {title: column.units for title, column in columns.items() if column.units}
    return Table(source, None, tuple(columns), rows, units, date, ordered)


def numbered_sensors(columns: Mapping[str, Column], expected: Expected, source: Source) -> dict[str, Column]:
    """The same with numbers of the run's sensors, where no column tells which or where they are.

    Raises
    ------
    SparseVQError
        There are not as many as the run has.
    """
    meanings = {expected.meaning(title) for title in columns}
    if meanings & {SENSOR, *expected.axes} or not expected.sensors:
        return dict(columns)
    count, title = next(
        ((column.values.shape[-1], title) for title, column in columns.items() if SENSOR in column.along), (1, "")
    )
    if count != expected.sensors:
        where = f"{source.name}[{title!r}]" if title else source.name
        raise SparseVQError(
            f"{where}: {count} value{'s' * (count != 1)} a frame, but the run has {expected.sensors} sensors",
            f"give all in their order, NaN where there is none, or tell which by 'sensor' or "
            f"{' and '.join(map(repr, expected.axes))}",
        )
    return _with(columns, SENSOR, Column(np.arange(count), (SENSOR,)), expected)


def numbered_frames(columns: Mapping[str, Column], expected: Expected) -> dict[str, Column]:
    """The same with numbers of frames, where no column tells which they are: the oldest comes first."""
    frames = next((column.values.shape[0] for column in columns.values() if FRAME in column.along), None)
    if frames is None or _tells_frames(columns, expected):
        return dict(columns)
    return _with(columns, FRAME, Column(np.arange(frames), (FRAME,)), expected)


def _tells_frames(columns: Mapping[str, Column], expected: Expected) -> bool:
    return any(expected.meaning(title) in ("time", FRAME) for title in columns)


def _with(columns: Mapping[str, Column], title: str, column: Column, expected: Expected) -> dict[str, Column]:
    if expected.meaning(title) != title:
        raise SparseVQError(
            f"{NAME} do not tell their {title}s, and {title!r} is something else in this data set",
            "give a table with the places of the sensors, and times",
        )
    return {**columns, title: column}


def cell_text(value: Any) -> str:
    """A value as a cell; a number as Python writes it, a date by ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value))
    if isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, datetime.date | datetime.time) or hasattr(value, "isoformat"):
        return str(value.isoformat())
    return plain(str(value))


def _texts(array: AnyArray) -> Iterator[str]:
    """Each value as a cell."""
    if array.dtype.kind == "f":
        return map(repr, array.astype(np.float64).ravel().tolist())
    return map(cell_text, array.ravel().tolist() if array.dtype.kind != "M" else array.ravel())
