"""The values of a time array, of any type, as numbers of a clock."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import cftime
import numpy as np

from sparsevq.data.clock import Clock, FloatArray, from_dates, in_coarsest_unit
from sparsevq.data.dates import (
    MONTHS,
    NO_CALENDAR,
    NO_YEAR_0,
    SECONDS,
    STANDARD,
    date_of,
    since,
    unit_named,
    unwarned,
)
from sparsevq.readers.dates.date_numbers import date_numbers, digits_of_dates
from sparsevq.readers.dates.written import JULIAN_DAY_0, NEVER, Tell, Written
from sparsevq.readers.opening.stored import StoredArray, everything
from sparsevq.runtime.hdf5 import Array

BEFORE_PRESENT = re.compile(r"\b(bp|b2k|before\s+(present|\d{4})|ago)\b", re.IGNORECASE)
"""Units that count back, as years before 1950 do."""
DATENUMS = (7e5, 7.7e5)
"""MATLAB's numbers of the days from 1916 to 2108."""
IMPRECISE = 0.01
"""Share of a step within which times are called exact."""
LAST_YEAR = 9999
"""Dates of later years are those of numbers such as 20010101 in a unit that is not theirs."""


def moments(path: Path, array: StoredArray, units: str, tell: Tell) -> tuple[FloatArray, Clock]:
    """The values of a time array, in its shape, and their clock; NaN where there is none.

    Parameters
    ----------
    path
        The file.
    array
        Of numbers, of dates (``datetime64``) or of text.
    units
        The user's, which go before the file's; empty: those of the file.
    tell
        Says how they are read, where that is not plain.

    Raises
    ------
    SparseVQError
        The array cannot be read, or its units, calendar or text mean no time.
    """
    calendar = str(array.attributes.get("calendar", ""))
    written = Written(path, array.name, everything(path, array), units or array.units, calendar)
    if written.values.dtype.kind in "mM":
        return _of_datetimes(written.values)
    if not array.is_number:
        return _of_text(written, tell)
    origin = "" if units or since(array.units) else str(array.attributes.get("time_origin", ""))
    if origin and unit_named(array.units) and _is_date(origin):  # of Ferret, NEMO and OPeNDAP servers
        tell(f"{array.name} counts from its attribute time_origin, {origin.strip()}")
        return _since(written, array.units, origin, tell)
    return of_numbers(written, tell)


def of_numbers(written: Written, tell: Tell) -> tuple[FloatArray, Clock]:
    """Numbers as times of the clock that their units say."""
    counted = since(written.units)
    if counted is not None:
        return _since(written, *counted, tell)
    found = date_numbers(written, tell)
    if found is not None:
        return found
    times = written.values.astype(np.float64)
    if BEFORE_PRESENT.search(written.units):
        tell(f"{written.name} counts back from the present ({written.units}): its times are negative")
        return -times, Clock(written.units, None, (-1.0, 0.0))
    if written.units.strip() in ("", "1") and ((times > DATENUMS[0]) & (times < DATENUMS[1])).all():
        tell(
            f"{written.name} has no unit: if numbers such as {times.flat[0]:.0f} are MATLAB's days, write "
            "`units: {time: datenum}`"
        )
    return times, Clock(written.units)


def _since(written: Written, unit: str, origin: str, tell: Tell) -> tuple[FloatArray, Clock]:
    """Numbers that count from a date."""
    known, calendar = unit_named(unit), written.known_calendar
    if known is None:
        units = ", ".join([*SECONDS, "weeks", *MONTHS])
        raise written.fault(
            f"counts {written.units!r}, but {unit!r} is no unit of time",
            f"known are {units} by any name; write for instance `units: {{time: hours since {origin}}}`",
        )
    named, factor = known
    if calendar == NO_CALENDAR:
        tell(f"{written.name} is in the calendar none, in which dates do not advance: only elapsed times count")
        return factor * written.values.astype(np.float64), Clock(named, None, (factor, 0.0))
    try:
        begin = date_of(origin, calendar)
    except ValueError as error:
        of_matlab = named == "d" and str(error).endswith("year 0")
        instead = "; numbers of MATLAB's are in `units: {time: datenum}`" if of_matlab else ""
        raise written.fault(f"counts {written.units!r}, but {error}{instead}") from None
    if calendar in NO_YEAR_0 and named == "d" and begin == date_of("-4712-01-01 12:00", calendar):
        begin = date_of(JULIAN_DAY_0, calendar)  # Julian days, from an astronomer's year
    if factor != 1:
        tell(f"{written.name} is in {unit}: it is counted in {named}, {factor:g} each")
    values = written.values
    if SECONDS.get(named, 1.0) < 1 or (values.dtype.kind in "iu" and np.abs(values.astype(np.float64)).max() > 2**53):
        return _of_integers(values, factor, named, begin)
    times, clock = factor * values.astype(np.float64), Clock(named, begin, (factor, 0.0))
    _not_dates_themselves(written, times, clock)
    coarse = float(np.spacing(np.abs(values).max())) if values.dtype == np.float32 else 0.0
    if times.size > 1 and coarse > IMPRECISE * abs(float(np.median(np.diff(times.ravel())))):
        tell(f"{written.name} is in single precision: its times are exact to {factor * coarse:g} {named} only")
    return times, clock


def _of_integers(values: Array, factor: float, unit: str, origin: cftime.datetime) -> tuple[FloatArray, Clock]:
    """Large numbers of fine units: counted exactly from the first one, and in the coarsest unit that divides all."""
    there = np.abs(values.astype(np.float64)) < NEVER
    if not there.any():
        return values.astype(np.float64), Clock(unit, origin, (factor, 0.0))
    first = values[there].flat[0]
    apart = factor * values.astype(np.float64)
    apart[there] = factor * (values[there] - first).astype(np.float64)
    try:
        with unwarned():
            begin = origin + timedelta(microseconds=round(factor * float(first) * SECONDS[unit] * 1e6))
    except OverflowError:
        return factor * values.astype(np.float64), Clock(unit, origin, (factor, 0.0))
    return in_coarsest_unit(apart, unit, begin, (factor, -factor * float(first)))


def _of_datetimes(values: Array) -> tuple[FloatArray, Clock]:
    """NumPy's ``datetime64`` and ``timedelta64``."""
    dates, missing = values.dtype.kind == "M", np.isnat(values)
    unit, count = np.datetime_data(values.dtype)
    if unit in ("Y", "M", "generic", "ps", "fs", "as"):
        unit, count = "ns" if unit.endswith("s") else "s", 1
        values = values.astype(f"{'datetime64' if dates else 'timedelta64'}[{unit}]")
    numbers = values.astype(np.int64)
    named, factor = unit_named({"m": "min"}.get(unit, unit)) or ("s", 1.0)
    first = int(numbers[~missing].flat[0]) if dates and not missing.all() else 0
    apart = ((numbers - first) * factor * count).astype(np.float64)
    apart[missing] = np.nan
    seconds = first * factor * count * SECONDS[named]
    begin = date_of("1970-01-01", STANDARD) + timedelta(microseconds=round(seconds * 1e6)) if dates else None
    return in_coarsest_unit(apart, named, begin, None if dates else (1.0, 0.0))


def _of_text(written: Written, tell: Tell) -> tuple[FloatArray, Clock]:
    """Dates, or numbers, as text."""
    texts = [_text(value) for value in written.values.ravel().tolist()]
    shape = written.values.shape
    try:
        numbers = np.array([float(text) if text else np.nan for text in texts]).reshape(shape)
        if not digits_of_dates(numbers):
            return of_numbers(replace(written, values=numbers), tell)
    except ValueError:
        pass  # they are dates
    calendar = written.known_calendar
    dates: list[cftime.datetime | None] = []
    for frame, text in enumerate(texts):
        try:
            dates.append(date_of(text, STANDARD if calendar == NO_CALENDAR else calendar) if text else None)
        except ValueError as error:
            raise written.fault(
                f"is text, and that of frame {frame}, {text[:40]!r}, is not a time: {error}",
                "write dates as 2001-01-31T06:00:00, or give `time: [first, step]`",
            ) from None
    times, clock = from_dates(dates)
    return times.reshape(shape), clock


def _text(value: object) -> str:
    """An entry of an array of text."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 \t\n")


def _is_date(text: str) -> bool:
    try:
        date_of(text, STANDARD)
    except ValueError:
        return False
    return True


def _not_dates_themselves(written: Written, times: FloatArray, clock: Clock) -> None:
    """Refuse numbers such as 20010101 in days since a date, which would be of the year 56787."""
    layout = digits_of_dates(written.values)
    if not layout:
        return
    if clock.date(float(times.flat[0])).year > LAST_YEAR:
        raise written.fault(
            f"counts {written.units!r}, but its numbers, such as {int(written.values.flat[0])}, look like dates",
            f"write `units: {{time: {layout.upper()}}}`",
        )
