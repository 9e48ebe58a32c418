"""What the numbers of a time axis mean: a unit, and the date from which they count where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import cftime
import numpy as np
import numpy.typing as npt

from sparsevq.data.dates import MONTHS, NO_YEAR_0, SECONDS, agree, date_of, unit_named, unwarned
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError

FloatArray = npt.NDArray[np.float64]

DIGITS = 4
"""Dates are rounded to so many times the resolution of their numbers: 0.1 days are 02:24, not 02:23:59.999990."""


@dataclass(frozen=True, eq=False)
class Clock:
    """Unit of a time axis, and the date at which it is 0.

    Attributes
    ----------
    units
        Unit of the numbers: where they count from a date one of `SECONDS` or `MONTHS`, else as the file has it.
    origin
        The date of 0, in its calendar; None: the numbers are no dates.
    of_file
        What a number of the file is multiplied by, and what is added then; None: its numbers are dates themselves.
    """

    units: str = ""
    origin: cftime.datetime | None = None
    of_file: tuple[float, float] | None = (1.0, 0.0)

    def __eq__(self, other: object) -> bool:
        """Whether numbers of both mean the same; cftime compares no dates of different calendars."""
        if not isinstance(other, Clock):
            return NotImplemented
        return (self.units, self.calendar) == (other.units, other.calendar) and self.origin == other.origin

    def __hash__(self) -> int:
        """By unit and calendar."""
        return hash((self.units, self.calendar))

    @property
    def dated(self) -> bool:
        """Whether the numbers are dates."""
        return self.origin is not None

    @property
    def calendar(self) -> str:
        """Calendar of the dates; empty where there are none."""
        return "" if self.origin is None else str(self.origin.calendar)

    def date(self, time: float) -> cftime.datetime:
        """The date of a number.

        Months and years are the calendar's; a fraction of one is of its own length.

        Raises
        ------
        ValueError
            The numbers are no dates, or this one is too far from the origin.
        """
        if self.origin is None:
            raise ValueError(f"times in {self.units} are no dates")
        try:
            with unwarned():
                if self.units in SECONDS:
                    return later(self.origin, time * SECONDS[self.units], abs(time) * SECONDS[self.units])
                whole = int(np.floor(time))
                low, high = (_months_later(self.origin, (whole + ahead) * MONTHS[self.units]) for ahead in (0, 1))
                return later(low, (time - whole) * (high - low).total_seconds(), 1.0)
        except (OverflowError, ValueError) as error:
            raise ValueError(f"{time:g} {self.units} after {self.origin.isoformat()} is no date") from error

    def number(self, date: cftime.datetime) -> float:
        """The number of a date of the same calendar (or of one that agrees with it at that date)."""
        assert self.origin is not None
        with unwarned():
            date = cftime.datetime(*date.timetuple()[:6], date.microsecond, calendar=self.calendar)
            if self.units in SECONDS:
                return float((date - self.origin) / timedelta(microseconds=1) * 1e-6 / SECONDS[self.units])
            months = MONTHS[self.units]
            whole = (_month_number(date) - _month_number(self.origin)) // months
            if _months_later(self.origin, whole * months) > date:
                whole -= 1
            low, high = (_months_later(self.origin, (whole + ahead) * months) for ahead in (0, 1))
            return whole + (date - low) / (high - low)

    def text(self, time: float) -> str:
        """A time as text, for messages and for files."""
        try:
            return str(self.date(time).isoformat())
        except ValueError:
            return f"{time:g} {self.units}".rstrip()

    def moment(self, given: float | str, key: str) -> float:
        """A time of the configuration, a number or a date, in the units of this clock.

        Raises
        ------
        SparseVQError
            It is not a date, or this clock has none.
        """
        if not isinstance(given, str) and self.of_file is not None:
            return self.of_file[0] * float(given) + self.of_file[1]
        given = str(given) if isinstance(given, str) else f"{given:.0f}"  # 20010131
        if self.origin is None:
            raise SparseVQError(
                f"{key}: {given!r}, but times are in {self.units or 'no unit'}, no dates",
                "give two numbers in the file's unit, or the date from which they count: "
                f"`units: {{time: {self.units or 'hours'} since 2001-01-01}}`",
            )
        try:
            return self.number(date_of(given, self.calendar))
        except ValueError as error:
            raise SparseVQError(
                f"{key}: {given!r} is not a date ({error})", "write it as 2006-04-16 or 2006-04-16 12:00"
            ) from None

    def agrees_with(self, other: "Clock", times: FloatArray) -> bool:
        """Whether times of this clock, of which the least counts, can be told by the other one."""
        if self.origin is None or other.origin is None:
            return self.dated == other.dated and (self.units == other.units or _ratio(self, other) is not None)
        earliest = self.date(float(times.min()))
        return agree(self.calendar, other.calendar, (earliest.year, earliest.month, earliest.day))

    def counted_as(self, other: "Clock", times: FloatArray) -> FloatArray:
        """Times of this clock as the numbers of another one that agrees with it."""
        if self == other:
            return times
        if self.origin is None or other.origin is None:
            return times * (_ratio(self, other) or 1.0)
        return np.array([other.number(self.date(time)) for time in times.tolist()], dtype=np.float64)


def later(date: cftime.datetime, seconds: float, size: float) -> cftime.datetime:
    """A date so many seconds later, rounded as numbers of that `size` are (in seconds), at least to microseconds."""
    unit = int(10 ** np.ceil(np.log10(max(DIGITS * 1e6 * float(np.spacing(size)), 1.0))))
    return date + timedelta(microseconds=round(seconds * 1e6 / unit) * unit)


def _ratio(one: Clock, other: Clock) -> float | None:
    """How many units of the other clock one of the first is; None where that is not fixed."""
    (unit, count), (wanted, per) = (unit_named(clock.units) or ("", 1.0) for clock in (one, other))
    if unit in SECONDS and wanted in SECONDS:
        return count * SECONDS[unit] / (per * SECONDS[wanted])
    if unit in MONTHS and wanted in MONTHS:
        return count * MONTHS[unit] / (per * MONTHS[wanted])
    return None


def _month_number(date: cftime.datetime) -> int:
    """Months since the year 0, which some calendars leave out."""
    year = date.year + 1 if date.year < 0 and date.calendar in NO_YEAR_0 else date.year
    return int(year * 12 + date.month - 1)


def _months_later(date: cftime.datetime, months: int) -> cftime.datetime:
    """The same day and time of another month, or its last day."""
    year, month = divmod(_month_number(date) + months, 12)
    if year < 1 and date.calendar in NO_YEAR_0:
        year -= 1
    first = cftime.datetime(year, month + 1, 1, calendar=date.calendar)
    return date.replace(year=year, month=month + 1, day=min(date.day, first.daysinmonth))


def in_coarsest_unit(
    times: FloatArray, unit: str, origin: cftime.datetime | None, of_file: tuple[float, float] | None = None
) -> tuple[FloatArray, Clock]:
    """Times in the largest unit of a fixed length in which all are whole numbers; NaN stays.

    `of_file` is that of `Clock`, before the unit is changed.
    """
    finite = times[np.isfinite(times)]
    for coarse in reversed([name for name in SECONDS if SECONDS[name] > SECONDS[unit]]):
        ratio = round(SECONDS[coarse] / SECONDS[unit])
        if (finite % ratio == 0).all():
            return times / ratio, Clock(coarse, origin, of_file and (of_file[0] / ratio, of_file[1] / ratio))
    return times, Clock(unit, origin, of_file)


def from_dates(dates: Sequence[cftime.datetime | None]) -> tuple[FloatArray, Clock]:
    """Dates as times from the first one on, in the largest unit that divides all; NaN for None."""
    first = next((date for date in dates if date is not None), None)
    if first is None:
        return np.full(len(dates), np.nan), Clock("s", None, None)
    with unwarned():
        apart = [np.nan if date is None else (date - first) / timedelta(microseconds=1) for date in dates]
    return in_coarsest_unit(np.array(apart), "us", first)


def frame_date(data: Description, trajectory: int, frame: int) -> cftime.datetime | None:
    """The date of a frame of a data set; None where it has no dates."""
    begin = data.parameters.get("start")
    if not data.calendar or begin is None or not {*SECONDS, *MONTHS} & {data.time_units}:
        return None
    return Clock(data.time_units, date_of(str(begin[trajectory]), data.calendar)).date(float(data.time[frame]))
