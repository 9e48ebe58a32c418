"""Which frame each line of readings is of, from its time: a number in the data set's unit, or a date."""

from collections.abc import Sequence

import cftime
import numpy as np

from sparsevq.data.units import parsed
from sparsevq.sensors.dates import Moment, parsed_date
from sparsevq.sensors.readings import FloatArray
from sparsevq.sensors.tables.columns import Columns
from sparsevq.sensors.tables.table import Row, Table

ON_FRAME = 1e-3
"""Largest distance of a time, of a reading or of the data set, from that of its frame on an even grid, in steps. Single
steps of the data set are not compared: rounding of single precision counts twice in them."""
_MONTH = 365.2425 * 86400 / 12
_NUMBER_FRAMES = "number the frames in a column frame instead"


def offsets_by_time(
    table: Table, columns: Columns, times: FloatArray, time_units: str, calendar: str = ""
) -> tuple[list[int], str | float]:
    """The frame of each line of a file, counted from the last one (0, -1, ...), and the last one's date or time.

    Parameters
    ----------
    times, time_units, calendar
        (F,) times of the data set's frames, their unit, and its calendar (empty: ``standard``).

    Raises
    ------
    SparseVQError
        A cell is neither number nor date, or no whole number of steps before the last; there are several times, but
        the data set's are not evenly spaced or in no unit of time. The message names the line.
    """
    moments = _dates(table, columns, calendar)
    if moments is None:
        given = [columns.number(row, "time") for row in table.rows]
        if len(set(given)) == 1:
            return [0] * len(given), given[0]
        return _offsets(table, columns, given, _step(table, columns, times)), max(given)
    dates = [moment.date for moment in moments]
    last = max(dates)
    date = str(moments[dates.index(last)])
    if len(set(dates)) == 1:
        return [0] * len(dates), date
    step, unit = _step(table, columns, times), parsed(time_units)
    second = parsed("s")
    assert second is not None
    if unit is None or unit.dimensions != second.dimensions:
        raise table.fault(
            f"column {columns.titles['time']!r} has dates, but the data set's times are in {time_units or 'no unit'}",
            _NUMBER_FRAMES,
        )
    if (months := _whole_months(step * unit.scale)) and (found := _offsets_in_months(dates, months)):
        return found, date
    elapsed = [(at - last).total_seconds() / unit.scale for at in dates]
    return _offsets(table, columns, elapsed, step), date


def _step(table: Table, columns: Columns, times: FloatArray) -> float:
    """Of the data set's frames."""
    # The mean step, not the first: what rounding is in a step would add up over the frames before the last one.
    step = float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    if len(times) < 2 or np.abs(times - times[0] - step * np.arange(len(times))).max() > ON_FRAME * step:
        raise table.fault(
            f"column {columns.titles['time']!r}, but the data set's times are not evenly spaced", _NUMBER_FRAMES
        )
    return step


def _offsets(table: Table, columns: Columns, given: Sequence[float], step: float) -> list[int]:
    last = max(given)
    offsets = []
    for row, time in zip(table.rows, given, strict=True):
        before = (last - time) / step
        if abs(before - round(before)) > ON_FRAME:
            raise columns.fault(
                row,
                "time",
                f"holds {columns.text(row, 'time')}, {before:.6g} steps of {step:.6g} before the last time",
                "give times of frames, or number them in a column frame instead",
            )
        offsets.append(-round(before))
    return offsets


def _dates(table: Table, columns: Columns, calendar: str) -> list[Moment] | None:
    """The date of each line; None: they are numbers."""
    found = [_date(row, columns, calendar) for row in table.rows]
    if all(date is None for date in found):
        return None
    dates = []
    for row, date in zip(table.rows, found, strict=True):
        if date is None:
            raise columns.fault(
                row,
                "time",
                f"holds {columns.text(row, 'time')!r}, which is no date as in other {row.source.words}",
                "write it as 2024-01-31T12:00",
            )
        dates.append(date)
    for row, date in zip(table.rows, dates, strict=True):
        if date.zoned != dates[0].zoned:
            raise columns.fault(
                row,
                "time",
                f"holds {columns.text(row, 'time')!r}, but other {row.source.words} "
                + ("have no zone" if date.zoned else "have a zone"),
                "write all dates with a zone, or all without",
            )
    return dates


def _date(row: Row, columns: Columns, calendar: str) -> Moment | None:
    text = columns.text(row, "time")
    try:
        return parsed_date(f"{text} {columns.text(row, 'clock')}".strip(), calendar)
    except ValueError as error:
        what, _, do = str(error).partition(": ")
        raise columns.fault(row, "time", f"holds {text!r}, {what}", do) from None


def _whole_months(seconds: float) -> int:
    """How many months a step is; 0: no whole number."""
    months = round(seconds / _MONTH)
    return months if months and abs(seconds / _MONTH - months) < 0.03 * months else 0


def _offsets_in_months(dates: Sequence[cftime.datetime], step: int) -> list[int]:
    """Frames before the last date, of dates on one day of the month; empty if they are not so many months apart."""
    last = max(dates)
    months = [12 * (last.year - date.year) + last.month - date.month for date in dates]
    same = all(date.timetuple()[2:6] == last.timetuple()[2:6] for date in dates)
    return [-month // step for month in months] if same and not any(month % step for month in months) else []
