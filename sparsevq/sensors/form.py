"""What lines of a file of readings may hold, and a file of one frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.sensors.readings import FloatArray, Readings
from sparsevq.sensors.space import ANYWHERE, Space, shown
from sparsevq.sensors.tables.columns import Columns, Names, columns_of
from sparsevq.sensors.tables.memory import Expected
from sparsevq.sensors.tables.observations import table_of
from sparsevq.sensors.tables.table import Row, Say, Table, print_note

InObstacle = Callable[[FloatArray], bool]

CLOCKS = ("frame", "time")
"""Columns that tell which frame a line is of."""
NOTES = 4
"""Lines of one kind that are told one by one."""


@dataclass(frozen=True, eq=False)
class Form:
    """What lines of readings may hold.

    Attributes
    ----------
    axes, channels, units
        Names of the data's axes and channels, and the channels' units.
    partial
        Whether sensors may read some of the channels only: a cell that is empty, or a channel without a column.
        Otherwise a sensor that lacks one is left out, with a note.
    sensors
        ``(n_s, d)`` coordinates of the sensors, which a ``sensor`` column numbers from 0; None: no such column.
    space
        Which places there are.
    in_obstacle
        Whether a place ``(d,)`` is inside an obstacle; see `obstacle_test`.
    axis_units, time_units, calendar
        Of places and times; empty: unknown.
    own
        How many of the sensors are the run's own, in whose order readings may be that do not tell their sensors.
    about
        Axis or channel -> its ``long_name`` and ``standard_name``, by which a column may be called, too.
    say
        Takes notes of what was done to a file beyond what it says.
    """

    axes: tuple[str, ...]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    partial: bool
    sensors: FloatArray | None = None
    space: Space = ANYWHERE
    in_obstacle: InObstacle | None = None
    axis_units: Mapping[str, str] = field(default_factory=dict)
    time_units: str = ""
    calendar: str = ""
    own: int = 0
    about: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    say: Say = print_note

    @classmethod
    def of(cls, data: FieldData, sensors: FloatArray, partial: bool, own: int = 0) -> Self:
        """That of a data set's grid, with the places of a run's sensors (n_s, d), the first of which are its own."""
        return cls(
            axes=tuple(data.axes),
            channels=data.channels,
            units=data.units,
            partial=partial,
            sensors=sensors,
            space=Space.of(data),
            in_obstacle=obstacle_test(data),
            axis_units=data.axis_units,
            time_units=data.time_units,
            calendar=data.calendar,
            own=own,
            about=data.axis_about | data.channel_about,
        )

    @property
    def clocks(self) -> tuple[str, ...]:
        """Names of the columns that may tell the frame of a line: those that no axis or channel has."""
        return tuple(column for column in (*CLOCKS, "clock") if column not in (*self.axes, *self.channels))

    def table(self, observations: Any, clocks: tuple[str, ...]) -> Table:
        """Readings of any kind, as `table_of`."""
        names = self._names(clocks)
        return table_of(observations, Expected(names, self.axes, self.channels, self.own))

    def columns(self, table: Table, clocks: tuple[str, ...]) -> Columns:
        """What the columns of a table are; `clocks` may be among them.

        Raises
        ------
        SparseVQError
            A column is unknown, missing or contradicts another one.
        """
        names = self._names(clocks)
        units = dict(zip(self.channels, self.units, strict=True)) | dict(self.axis_units)
        units |= {f"noise_{name}": unit for name, unit in zip(self.channels, self.units, strict=True)}
        columns = columns_of(table, names, units | {"time": self.time_units}, self.say)
        self._check(table, columns)
        return columns

    def frames(
        self, table: Table, columns: Columns, numbers: Sequence[int], clock: str | None = None
    ) -> dict[int, Readings]:
        """Number of a frame -> its readings, in the file's order; ``numbers`` has the frame of each line.

        Sensors without any value are left out, with a note.

        Raises
        ------
        SparseVQError
            A cell is no finite number; a sensor is unknown, or a place is outside the domain, inside an obstacle or
            twice in a frame; or no reading is left. The message names the line and the column.
        """
        by_number = self._by_number(columns)
        errors = self._noise_columns(table, columns)
        places, named = self._places(table, columns, by_number)
        seen: dict[tuple[int, tuple[float, ...]], Row] = {}
        found: dict[int, list[tuple[tuple[float, ...], list[float], list[float], int]]] = {}
        left_out: list[str] = []
        for row, number, place, sensor in zip(table.rows, numbers, places, named, strict=True):
            if (number, place) in seen:
                already = f"is {seen[number, place].on} already"
                already += "" if clock is None else f" for {clock} {columns.text(row, clock)}"
                keep = "keep one reading for each sensor"
                if by_number:
                    raise columns.fault(row, "sensor", f": {columns.text(row, 'sensor')} {already}", keep)
                raise row.fault(f"the place {self._at(place)} {already}", keep)
            seen[number, place] = row
            if self.in_obstacle is not None and self.in_obstacle(np.array(place)):
                raise row.fault(f"{self._at(place)} is inside an obstacle", "leave this sensor out")
            who = f"sensor {sensor}" if by_number else f"the sensor at {self._at(place)}"
            values = self._values(row, columns, who, left_out)
            if values is not None:
                noise = [_error(row, columns, name) for name in errors]
                found.setdefault(number, []).append((place, values, noise, sensor))
        for line in summary(left_out):
            self.say(line)
        if not found:
            raise SparseVQError(f"{table.name}: no sensor has a value", "give at least one reading")
        return {number: _stacked(rows) for number, rows in found.items()}

    # -------------------------------------------------------------------------------------------- parts

    def _names(self, clocks: tuple[str, ...]) -> Names:
        noise = tuple(f"noise_{channel}" for channel in self.channels)
        return Names.of(self.axes, self.channels, ("sensor", *clocks, "noise", *noise), self.about)

    def _at(self, place: tuple[float, ...]) -> str:
        return shown(self.axes, place)

    def _by_number(self, columns: Columns) -> bool:
        """Whether a column of numbers tells which sensor a line is of, and none tells its place."""
        return "sensor" in columns and not any(axis in columns for axis in self.axes)

    def _check(self, table: Table, columns: Columns) -> None:
        """Check that the columns tell what was read and where."""
        by_number = self._by_number(columns)
        if by_number and self.sensors is None:
            raise table.fault(
                f"column {columns.titles['sensor']!r} needs the sensors' places, which are not known here",
                f"give the columns {', '.join(self.axes)} instead",
            )
        if not by_number and not any(axis in columns for axis in self.axes):
            raise table.fault(
                "no column tells where the sensors are",
                f"add the columns {', '.join(self.axes)}" + ("" if self.sensors is None else ", or a column sensor"),
            )
        if self.partial and not any(channel in columns for channel in self.channels):
            raise table.fault(
                "no column has what the sensors read", f"add at least one of the columns {', '.join(self.channels)}"
            )
        needed = (() if by_number else self.axes) + (() if self.partial else self.channels)
        if missing := [name for name in needed if name not in columns]:
            what = f"column{'s' * (len(missing) > 1)} {', '.join(missing)} missing"
            raise table.fault(what, f"found are {', '.join(filter(None, table.columns))}")

    def _places(self, table: Table, columns: Columns, by_number: bool) -> tuple[list[tuple[float, ...]], list[int]]:
        """The place of each line, and its sensor's number; -1: the line has its place."""
        if by_number:
            assert self.sensors is not None, "checked with the columns"
            named = [_sensor_number(row, columns, len(self.sensors)) for row in table.rows]
            return [tuple(self.sensors[sensor].tolist()) for sensor in named], named
        given = np.array([[columns.number(row, axis) for axis in self.axes] for row in table.rows])
        places = self.space.inside(table, given, self.axes, self.say)
        if self.sensors is not None:
            places = self.space.at_sensors(table, places, self.sensors, self.say)
            self._compare_numbers(table, columns, places)
        return [tuple(place) for place in places.tolist()], [-1] * len(places)

    def _compare_numbers(self, table: Table, columns: Columns, places: FloatArray) -> None:
        """Say if a column of sensors' numbers, beside places, says otherwise."""
        assert self.sensors is not None
        if "sensor" not in columns:
            return
        for row, place in zip(table.rows, places, strict=True):
            try:
                sensor = columns.number(row, "sensor")
            except SparseVQError:
                sensor = -1.0
            if not (sensor in range(len(self.sensors)) and np.array_equal(self.sensors[int(sensor)], place)):
                self.say(
                    f"{row.where}: the column {columns.titles['sensor']!r} is not the run's "
                    "numbering: not read, since there are places"
                )
                return

    def _noise_columns(self, table: Table, columns: Columns) -> tuple[str | None, ...]:
        """(C,) the column that has the noise of each channel; None: exact."""
        named = {channel: f"noise_{channel}" for channel in self.channels if f"noise_{channel}" in columns}
        if lonely := [column for channel, column in named.items() if channel not in columns]:
            raise table.fault(
                f"column {lonely[0]}, but no column {lonely[0].removeprefix('noise_')}",
                "add the values that are as noisy, or leave it out",
            )
        if "noise" not in columns or "noise" in (*self.axes, *self.channels):
            return tuple(named.get(channel) for channel in self.channels)
        read = {
            (unit, columns.conversions.get(channel))
            for channel, unit in zip(self.channels, self.units, strict=True)
            if channel in columns
        }
        if named or len(read) > 1:
            reason = f"both 'noise' and {', '.join(named.values())}" if named else "'noise' has several units"
            each = ", ".join(f"noise_{channel}" for channel in self.channels)
            raise table.fault(reason, f"give the noise of each channel: {each}")
        return tuple("noise" if channel in columns else None for channel in self.channels)

    def _values(self, row: Row, columns: Columns, who: str, left_out: list[str]) -> list[float] | None:
        """(C,) the line's values; NaN where it has none; None: the sensor is left out."""
        lacking = [channel for channel in self.channels if channel in columns and columns.missing(row, channel)]
        nothing = all(columns.missing(row, channel) for channel in self.channels)
        if lacking:
            cells = ", ".join(dict.fromkeys(repr(columns.text(row, channel)) for channel in lacking))
            whole = nothing or not self.partial
            left_out.append(
                f"{row.where}: {who} has no {' and no '.join(lacking)} ({cells}): "
                + ("the sensor is left out" if whole else "left out")
            )
            if whole:
                return None
        return [np.nan if columns.missing(row, channel) else columns.number(row, channel) for channel in self.channels]


def summary(lines: list[str]) -> list[str]:
    """The first lines, and how many more there are."""
    if len(lines) <= NOTES + 1:
        return lines
    return [*lines[:NOTES], f"and {len(lines) - NOTES} more like this"]


def obstacle_test(data: FieldData) -> InObstacle:
    """A test whether a place is inside an obstacle: its nearest point is valid in no training trajectory."""

    def in_obstacle(place: FloatArray) -> bool:
        return not data.learned[data.nearest(place[None])[0]]

    return in_obstacle


def _stacked(rows: list[tuple[tuple[float, ...], list[float], list[float], int]]) -> Readings:
    places, values, noise, numbers = zip(*rows, strict=True)
    exact = [np.array(part, dtype=np.float64) for part in (places, values, noise)]
    return Readings(exact[0], exact[1], exact[2], np.array(numbers, dtype=np.int64))


def _error(row: Row, columns: Columns, name: str | None) -> float:
    """Standard deviation of a value's error."""
    noise = 0.0 if name is None or columns.missing(row, name) else columns.number(row, name)
    if noise < 0 and name is not None:
        raise columns.fault(row, name, f"holds {noise:g}", "write a standard deviation, 0 or more")
    return noise


def _sensor_number(row: Row, columns: Columns, count: int) -> int:
    """The number of the sensor that the line is of."""
    number = columns.number(row, "sensor")
    if number != int(number) or not 0 <= number < count:
        raise columns.fault(
            row,
            "sensor",
            f": there is no sensor {columns.text(row, 'sensor')}",
            f"use 0 ... {count - 1}, as sensors.csv",
        )
    return int(number)
