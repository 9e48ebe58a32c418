"""The user's readings of a frame: what lines of a CSV file may hold, and a file of one frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.sensors.table import Row, Table

FloatArray = npt.NDArray[np.float64]
InObstacle = Callable[[FloatArray], bool]

CLOCKS = ("frame", "time")
"""Columns that tell which frame a line is of."""


@dataclass(frozen=True, eq=False)
class Readings:
    """What sensors measured in one frame.

    Attributes
    ----------
    places
        ``(n, d)`` coordinates of the sensors, in the axes' units.
    values
        ``(n, C)`` in the channels' units; NaN where a sensor does not read a channel.
    noise
        ``(n, C)`` standard deviation of each value's error, in the channels' units; 0: exact.
    """

    places: FloatArray
    values: FloatArray
    noise: FloatArray

    def by_place(self) -> "Readings":
        """The same in an order that depends on the places alone."""
        order = order_by_place(self.places)
        return Readings(self.places[order], self.values[order], self.noise[order])


def order_by_place(places: FloatArray) -> npt.NDArray[np.int64]:
    """The one order of sensors at places ``(n, d)``, whatever order they are given in."""
    found: npt.NDArray[np.int64] = np.lexsort(places.T)
    return found


@dataclass(frozen=True, eq=False)
class Form:
    """What lines of readings may hold.

    Attributes
    ----------
    axes, channels, units
        Names of the data's axes and channels, and the channels' units.
    partial
        Whether sensors may read some of the channels only: a cell that is empty, or a channel without a column.
    sensors
        ``(n_s, d)`` coordinates of the sensors, which a ``sensor`` column numbers from 0; None: no such column.
    domain
        Axis -> valid coordinates (`FieldData.domain`); None: any.
    in_obstacle
        Whether a place ``(d,)`` is inside an obstacle; see `obstacle_test`.
    """

    axes: tuple[str, ...]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    partial: bool
    sensors: FloatArray | None = None
    domain: Mapping[str, tuple[float, float]] | None = None
    in_obstacle: InObstacle | None = None

    def check_columns(self, table: Table, clocks: tuple[str, ...] = ()) -> None:
        """Check the header of a file, which may have one of the columns ``clocks``, too.

        Raises
        ------
        SparseVQError
            A column is unknown, missing or contradicts another one.
        """
        _check_columns(table, self.axes, self.channels, "sensor" in table.columns, self.sensors, self.partial, clocks)

    def frames(self, table: Table, numbers: Sequence[int], clock: str | None = None) -> dict[int, Readings]:
        """Number of a frame -> its readings, in the file's order; ``numbers`` has the frame of each line.

        Raises
        ------
        SparseVQError
            A cell is no finite number; a sensor is unknown, reads nothing, or a place is outside the domain, inside
            an obstacle or twice in a frame. The message names the line and the column.
        """
        by_number = "sensor" in table.columns
        errors = _noise_columns(table, self.axes, self.channels, self.units)
        seen: dict[tuple[int, tuple[float, ...]], int] = {}
        found: dict[int, list[tuple[tuple[float, ...], list[float], list[float]]]] = {}
        for row, number in zip(table.rows, numbers, strict=True):
            place = _numbered(row, self.sensors) if by_number else _place(row, self.axes, self.domain)
            if (number, place) in seen:
                what = f"column sensor: {row.cells['sensor']}" if by_number else f"the place {_shown(self.axes, place)}"
                when = "" if clock is None else f" for {clock} {row.cells[clock]}"
                raise row.fault(
                    f"{what} is on line {seen[number, place]} already{when}", "keep one reading for each sensor"
                )
            seen[number, place] = row.line
            if self.in_obstacle is not None and self.in_obstacle(np.array(place)):
                raise row.fault(f"{_shown(self.axes, place)} is inside an obstacle", "leave this sensor out")
            values = _values(row, self.channels, self.partial)
            found.setdefault(number, []).append((place, values, [_error(row, column) for column in errors]))
        return {
            number: Readings(*(np.array(part, dtype=np.float64) for part in zip(*rows, strict=True)))
            for number, rows in found.items()
        }


def obstacle_test(data: FieldData) -> InObstacle:
    """A test whether a place is inside an obstacle: its nearest point is valid in no training trajectory."""
    ever = data.flat_mask[data.split == "train"].any(axis=0)  # (N,)

    def in_obstacle(place: FloatArray) -> bool:
        return not ever[data.nearest(place[None])[0]]

    return in_obstacle


def _check_columns(
    table: Table,
    axes: tuple[str, ...],
    channels: tuple[str, ...],
    by_number: bool,
    sensors: FloatArray | None,
    partial: bool,
    clocks: tuple[str, ...],
) -> None:
    if by_number and sensors is None:
        raise SparseVQError(
            f"{table.path}, line 1: column 'sensor' needs the sensors' places, which are not known here",
            f"give the columns {', '.join(axes)} instead",
        )
    if by_number and (both := [axis for axis in axes if axis in table.columns]):
        raise SparseVQError(
            f"{table.path}, line 1: both 'sensor' and {', '.join(both)} tell where a sensor is", "keep one of the two"
        )
    if not by_number and not any(axis in table.columns for axis in axes):
        raise SparseVQError(
            f"{table.path}, line 1: no column tells where the sensors are",
            f"add the columns {', '.join(axes)}" + ("" if sensors is None else ", or a column sensor"),
        )
    place = ("sensor",) if by_number else axes
    optional = ("noise", *(f"noise_{channel}" for channel in channels), *clocks)
    if not partial:
        table.require(place + channels, optional)
        return
    table.require(place, channels + optional)
    if not any(channel in table.columns for channel in channels):
        raise SparseVQError(
            f"{table.path}, line 1: no column has what the sensors read",
            f"add at least one of the columns {', '.join(channels)}",
        )


def _noise_columns(
    table: Table, axes: tuple[str, ...], channels: tuple[str, ...], units: tuple[str, ...]
) -> tuple[str | None, ...]:
    """(C,) the column that has the noise of each channel; None: exact."""
    named = {channel: f"noise_{channel}" for channel in channels if f"noise_{channel}" in table.columns}
    if lonely := [column for channel, column in named.items() if channel not in table.columns]:
        raise SparseVQError(
            f"{table.path}, line 1: column {lonely[0]}, but no column {lonely[0].removeprefix('noise_')}",
            "add the values that are as noisy, or leave it out",
        )
    if "noise" not in table.columns or "noise" in (*axes, *channels):
        return tuple(named.get(channel) for channel in channels)
    read = {unit for channel, unit in zip(channels, units, strict=True) if channel in table.columns}
    if named or len(read) > 1:
        reason = f"both 'noise' and {', '.join(named.values())}" if named else "'noise' has several units"
        raise SparseVQError(
            f"{table.path}, line 1: {reason}",
            f"give the noise of each channel: {', '.join(f'noise_{channel}' for channel in channels)}",
        )
    return ("noise",) * len(channels)


def _values(row: Row, channels: tuple[str, ...], partial: bool) -> list[float]:
    """(C,) the line's values; NaN where it has none."""
    if not partial:
        return [row.number(channel) for channel in channels]
    values = [row.number(channel) if row.cells.get(channel) else np.nan for channel in channels]
    if np.isnan(values).all():
        raise row.fault("no channel has a value", "leave this sensor out")
    return values


def _error(row: Row, column: str | None) -> float:
    """Standard deviation of a value's error."""
    noise = row.number(column) if column is not None and row.cells[column] else 0.0
    if noise < 0:
        raise row.fault(f"column {column} holds {noise:g}", "write a standard deviation, 0 or more")
    return noise


def _place(row: Row, axes: tuple[str, ...], domain: Mapping[str, tuple[float, float]] | None) -> tuple[float, ...]:
    place = tuple(row.number(axis) for axis in axes)
    for axis, coordinate in zip(axes, place, strict=True):
        if domain is not None:
            row.within(axis, coordinate, *domain[axis])
    return place


def _numbered(row: Row, sensors: FloatArray | None) -> tuple[float, ...]:
    """The place of the sensor that the line numbers."""
    assert sensors is not None, "checked with the columns"
    number, count = row.number("sensor"), len(sensors)
    if number != int(number) or not 0 <= number < count:
        raise row.fault(f"column sensor: there is no sensor {row.cells['sensor']}", f"use 0 ... {count - 1}")
    return tuple(sensors[int(number)].tolist())


def _shown(axes: tuple[str, ...], place: tuple[float, ...]) -> str:
    return ", ".join(f"{axis}={coordinate:g}" for axis, coordinate in zip(axes, place, strict=True))
