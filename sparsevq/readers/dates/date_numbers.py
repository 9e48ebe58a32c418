"""Numbers that are dates without ``since``: 20010131 (``day as %Y%m%d.%f``), Julian days, MATLAB's datenum."""

import re

import cftime
import numpy as np

from sparsevq.data.clock import Clock, FloatArray, from_dates, later
from sparsevq.data.dates import NO_CALENDAR, NO_YEAR_0, PROLEPTIC, SECONDS, STANDARD, date_of, since, unwarned
from sparsevq.readers.dates.written import JULIAN_DAY_0, NEVER, Tell, Written
from sparsevq.runtime.hdf5 import Array

_NAMED = {
    "julianday juliandays juliandaynumber juliandate jd jdn": ("d", STANDARD, JULIAN_DAY_0),
    "modifiedjulianday modifiedjuliandays modifiedjuliandate mjd": ("d", STANDARD, "1858-11-17"),
    "datenum matlabdatenum matlabdate matlabtime": ("d", PROLEPTIC, "-1-12-31"),  # day 1 is 0000-01-01
    "unixtime unixtimestamp unixseconds posixtime epochtime epochseconds": ("s", STANDARD, "1970-01-01"),
    "exceldate excelserialdate": ("d", STANDARD, "1899-12-30"),
}
_DAY_0 = {name: about for names, about in _NAMED.items() for name in names.split()}
"""Unit, calendar and date of 0 of units that have a name of their own."""
LEAST_JULIAN_DAY = 1e5
"""Numbers below are days of a year, which some call Julian days too."""
_LAYOUT = re.compile(r"yyyy(mm(dd(hh(mm(ss)?)?)?)?)?")
_CODES = (("%Y", "yyyy"), ("%m", "mm"), ("%d", "dd"), ("%H", "hh"), ("%M", "mm"), ("%S", "ss"))
_LAST = {4: "years", 6: "months", 8: "d", 10: "h", 12: "min", 14: "s"}
"""Unit of the last digits of a layout, of which there may be a fraction."""
YEARS = range(1000, 3000)
"""Years of numbers without a unit that look like dates."""


def date_numbers(written: Written, tell: Tell) -> tuple[FloatArray, Clock] | None:
    """Numbers as times, where their unit (or without one, their digits) says that they are dates; else None.

    Raises
    ------
    SparseVQError
        They cannot be what it says.
    """
    name = re.sub(r"[\W_]+", "", written.units.lower())
    if name in _DAY_0:
        unit, calendar, day_0 = _DAY_0[name]
        times = written.values.astype(np.float64)
        if day_0 == JULIAN_DAY_0 and not (np.abs(times) >= LEAST_JULIAN_DAY).any():
            raise written.fault(
                f"is in {written.units!r}, but its numbers, such as {times.flat[0]:g}, are no Julian day numbers",
                "write `units: {time: days since <the year>-01-01}`, or `units: {time: days}`",
            )
        return times, Clock(unit, date_of(day_0, calendar))
    layout = _layout(written.units)
    if not layout and written.units.strip() in ("", "1"):
        layout = digits_of_dates(written.values)
        if layout:
            like = int(written.values.flat[0])
            tell(f"{written.name} has no unit, but its numbers, such as {like}, are read as {layout.upper()}")
    return _of_layout(written, layout) if layout else None


def counts_dates(units: str) -> bool:
    """Whether numbers in a unit are dates: it says since when they count, or that they are dates themselves."""
    return since(units) is not None or re.sub(r"[\W_]+", "", units.lower()) in _DAY_0 or bool(_layout(units))


def digits_of_dates(values: Array) -> str:
    """The layout of numbers that look like dates (20010131, 2001013106; 200101 across years); empty: they do not."""
    numbers = values.ravel().astype(np.float64)
    if len(numbers) < 2 or not np.isfinite(numbers).all() or (numbers != np.round(numbers)).any():
        return ""
    for digits, layout in ((8, "yyyymmdd"), (10, "yyyymmddhh"), (6, "yyyymm")):
        years = numbers // 10 ** (digits - 4)
        months = numbers // 10 ** (digits - 6) % 100
        days = numbers // 10 ** max(digits - 8, 0) % 100 if digits > 6 else np.ones(len(numbers))
        hours = numbers % 100 if digits == 10 else np.zeros(len(numbers))
        fit = (years >= YEARS.start) & (years < YEARS.stop) & (months >= 1) & (months <= 12)
        fit &= (days >= 1) & (days <= 31) & (hours < 25)
        if fit.all() and (digits > 6 or len(set(years.tolist())) > 1):
            return layout
    return ""


def _layout(units: str) -> str:
    """The layout that a unit says (``day as %Y%m%d.%f``, ``YYYYMMDD``); empty: none."""
    text = units.strip()
    for code, letters in _CODES:
        text = text.replace(code, letters)
    text = re.sub(r"^\w+\s+as\s+", "", text.lower())
    text = re.sub(r"\.(%f|f+|d+|\*)$", "", text)
    if re.sub(r"[\W_]+", "", text) in ("decimalyear", "decimalyears", "fractionalyear", "fractionalyears"):
        return "yyyy"
    return text if _LAYOUT.fullmatch(text) else ""


def _of_layout(written: Written, layout: str) -> tuple[FloatArray, Clock]:
    """Numbers whose digits are those of a date, with a fraction of the last one."""
    if written.values.dtype == np.float32 and len(layout) > 6:
        raise written.fault(
            f"is in {written.units or layout.upper()!r} but in single precision, which has no {len(layout)} digits",
            "store it in double precision, or give `time: [first, step]`",
        )
    values = written.values.ravel().astype(np.float64)
    there = np.flatnonzero(np.abs(values) < NEVER)
    calendar = STANDARD if written.known_calendar == NO_CALENDAR else written.known_calendar
    dates: list[cftime.datetime | None] = [None] * len(values)
    for frame in there.tolist():
        try:
            dates[frame] = _date(float(values[frame]), layout, calendar)
        except ValueError:
            raise written.fault(
                f"is in {written.units or layout.upper()!r}, but frame {frame}, {values[frame]:.12g}, is no date in it",
                "correct it, or give `time: [first, step]`",
            ) from None
    if len(layout) > 6 or not len(there):
        times, clock = from_dates(dates)
        return times.reshape(written.values.shape), clock
    first = dates[there[0]]
    assert first is not None
    if layout == "yyyy":
        clock = Clock("years", cftime.datetime(first.year, 1, 1, calendar=calendar), (1.0, -float(first.year)))
    else:
        clock = Clock("months", cftime.datetime(first.year, first.month, 1, calendar=calendar), None)
    numbers = [np.nan if date is None else clock.number(date) for date in dates]
    return np.array(numbers).reshape(written.values.shape), clock


def _date(value: float, layout: str, calendar: str) -> cftime.datetime:
    """The date that the digits of a number are; ValueError if they are none."""
    rest = int(np.floor(value))
    fields: list[int] = []
    for _ in range((len(layout) - 4) // 2):
        rest, field = divmod(rest, 100)
        fields.insert(0, field)
    if value < 0 or (rest == 0 and calendar in NO_YEAR_0):
        raise ValueError(f"there is no year {rest}")
    with unwarned():
        date = cftime.datetime(rest, *fields, *(1, 1, 0, 0, 0)[len(fields) :], calendar=calendar)
    fraction, unit = value - np.floor(value), _LAST[len(layout)]
    if not fraction:
        return date
    if unit not in SECONDS:
        return Clock(unit, date).date(fraction)
    return later(date, fraction * SECONDS[unit], value * SECONDS[unit])
