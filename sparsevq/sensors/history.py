"""The user's readings of one or several observed frames, and a CSV file of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.sensors.clock import offsets_by_time
from sparsevq.sensors.form import CLOCKS, Form, InObstacle
from sparsevq.sensors.readings import FloatArray, Readings
from sparsevq.sensors.space import ANYWHERE, Space
from sparsevq.sensors.tables.columns import Columns
from sparsevq.sensors.tables.numbers import CODES
from sparsevq.sensors.tables.table import Say, Table, print_note

Counted = tuple[str, float]
"""``frame`` or ``time``, and its number."""


@dataclass(frozen=True, eq=False)
class History:
    """What sensors measured in one or several frames.

    Attributes
    ----------
    offsets
        ``(k,)`` frames after the last observed one: strictly increasing, the last is 0. There may be gaps.
    frames
        ``(k,)`` readings, each by place; frames may have different sensors.
    date
        Of the last frame, ISO 8601 (``2024-01-31T12:00:00``), UTC where it has a zone; None: it is not known.
    counted
        What the last frame is counted as, from wherever; None: it has no number.
    """

    offsets: tuple[int, ...]
    frames: tuple[Readings, ...]
    date: str | None = None
    counted: Counted | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if offsets are not as described."""
        rising = all(a < b for a, b in zip(self.offsets, self.offsets[1:], strict=False))
        if len(self.offsets) != len(self.frames) or not self.offsets or self.offsets[-1] != 0 or not rising:
            raise ValueError(f"offsets {self.offsets} of {len(self.frames)} frames")

    def latest(self, span: int) -> "History":
        """The last observed frame and those fewer than ``span`` frames before it; ValueError if span < 1."""
        if span < 1:
            raise ValueError(f"span={span} leaves no frame")
        kept = [pair for pair in zip(self.offsets, self.frames, strict=True) if pair[0] > -span]
        offsets, frames = zip(*kept, strict=True)
        return replace(self, offsets=offsets, frames=frames)

    def appended(self, later: "History", steps: int) -> "History":
        """These frames and later ones, whose last one is ``steps`` frames after the last of these.

        Raises
        ------
        SparseVQError
            ``steps`` is less than 1, or both have the same frame.
        """
        if steps < 1:
            raise SparseVQError(f"readings of {steps} frames later are not later", "append readings in order of time")
        merged = dict(zip(later.offsets, later.frames, strict=True))
        for offset, frame in zip(self.offsets, self.frames, strict=True):
            if offset - steps in merged:
                raise SparseVQError(
                    f"both the earlier and the later readings have the frame {steps - offset} before the last one",
                    "give each frame once",
                )
            merged[offset - steps] = frame
        offsets = tuple(sorted(merged))
        return replace(later, offsets=offsets, frames=tuple(merged[offset] for offset in offsets))


def read_readings(
    csv: str | Path,
    axes: tuple[str, ...],
    channels: tuple[str, ...],
    units: tuple[str, ...] | None = None,
    *,
    partial: bool = True,
    sensors: FloatArray | None = None,
    domain: Mapping[str, tuple[float, float]] | None = None,
    in_obstacle: InObstacle | None = None,
    say: Say = print_note,
) -> tuple[FloatArray, FloatArray]:
    """Read the values that sensors measured in one frame.

    Parameters
    ----------
    csv
        A line for each sensor; see `read_history`.
    axes, channels, units
        Names of the axes and channels, and the channels' units; None: unknown.
    partial, sensors, in_obstacle, say
        See `Form`.
    domain
        Axis -> valid coordinates; None: any.

    Returns
    -------
    places, values
        ``(n, d)`` and ``(n, C)``, in the file's order; values are NaN where a sensor does not read a channel.

    Raises
    ------
    SparseVQError
        The file is faulty. The message names the line and the column.
    """
    space = ANYWHERE if domain is None else Space(domain)
    given = ("",) * len(channels) if units is None else units
    form = Form(axes, channels, given, partial, sensors, space, in_obstacle, say=say)
    table = form.table(csv, ())
    columns = form.columns(table, ())
    read = form.frames(table, columns, [0] * len(table.rows))[0]
    for channel, values in zip(channels, read.values.T, strict=True):
        if codes := sorted(set(values.tolist()) & CODES):
            say(
                f"{csv}: {channel} is {codes[0]:g} in {np.isin(values, codes).sum()} line(s), which loggers write "
                "where there is no value: leave these cells empty if so"
            )
    return read.places, read.values


def read_history(observations: Any, form: Form, times: FloatArray) -> History:
    """Read the values that sensors measured in one or several frames.

    A file or table has one line for each sensor and frame, in any order, and the columns

    - ``sensor`` (a number of ``sensors.csv``), or one column for each axis with the coordinate of the sensor,
    - one column for each channel with the measured value, in the channel's physical unit or the one that the header
      says (``u [km/h]``),
    - if there are several frames, ``frame``: its number, counted from anywhere; or ``time``: its date, or its time in
      the data set's unit, counted from anywhere,
    - and, if the values have errors, ``noise``: their standard deviation in the unit of the channels, or where these
      have several, ``noise_<channel>``. Without one, or where the cell is empty, values are exact.

    Parameters
    ----------
    observations
        A file, a table, arrays or a data set: `sparsevq.sensors.tables.observations.table_of`.
    form
        What its lines may hold.
    times
        ``(F,)`` times of the data set's frames, whose spacing is that of frames.

    Returns
    -------
    History
        Frames without a reading are gaps.

    Raises
    ------
    SparseVQError
        A column is unknown or missing, or both clocks are there; a number of a frame is no integer; a time is no whole
        number of steps before the last one, or the data set's times are not evenly spaced; a cell is no finite number;
        a sensor is unknown, or a place is outside the domain, inside an obstacle or twice in a frame; or the last frame
        has no reading. The message names the line and the column.
    """
    return history_of(form.table(observations, form.clocks), form, times)


def history_of(table: Table, form: Form, times: FloatArray) -> History:
    """The history that a table holds; see `read_history`."""
    columns = form.columns(table, form.clocks)
    given = [column for column in CLOCKS if column in form.clocks and column in columns]
    if len(given) > 1:
        raise table.fault(
            f"both {' and '.join(repr(columns.titles[column]) for column in given)} tell which frame "
            f"{table.source.words} are of",
            "keep one of the two",
        )
    clock, date, counted = given[0] if given else None, table.date, None
    if clock is None:
        offsets = [0] * len(table.rows)
    elif clock == "frame":
        offsets, last = _by_number(table, columns)
        counted = None if table.ordered else ("frame", last)
    else:
        offsets, told = offsets_by_time(table, columns, times, form.time_units, form.calendar)
        date, counted = (told, None) if isinstance(told, str) else (date, ("time", told))
    frames = form.frames(table, columns, offsets, clock)
    ordered = tuple(sorted(frames))
    if ordered[-1] != 0:
        raise SparseVQError(
            f"{table.name}: the last frame has no reading", f"leave its {table.source.words} out, or give a value"
        )
    return History(ordered, tuple(frames[offset].by_place() for offset in ordered), date, counted)


def _by_number(table: Table, columns: Columns) -> tuple[list[int], float]:
    """The offset of each line, from the column ``frame``, and the last number."""
    numbers = []
    for row in table.rows:
        number = columns.number(row, "frame")
        if number != int(number):
            raise columns.fault(
                row, "frame", f"holds {columns.text(row, 'frame')!r}, which is no integer", "number the frames"
            )
        numbers.append(int(number))
    return [number - max(numbers) for number in numbers], float(max(numbers))
