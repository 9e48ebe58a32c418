"""Calendars, dates and units of time by their names: CF's, and as CDO, UDUNITS, WRF, Ferret and MATLAB write them."""

import contextlib
import re
import warnings
from collections.abc import Iterator
from datetime import timedelta

import cftime

STANDARD, PROLEPTIC = "standard", "proleptic_gregorian"
NO_CALENDAR = "none"
CALENDARS = (STANDARD, PROLEPTIC, "julian", "noleap", "all_leap", "360_day", NO_CALENDAR)
"""Calendars of CF 4.4.1. In `none` dates do not advance: only elapsed times count."""
NO_YEAR_0 = (STANDARD, "julian")
"""Calendars in which the year before 1 is -1."""
GREGORIAN_FROM = (1582, 10, 15)
"""First date from which on `standard` and `proleptic_gregorian` agree."""

_CALENDAR_NAMES = {
    STANDARD: "standard gregorian mixed mixedgregorian standardgregorian",
    PROLEPTIC: "prolepticgregorian gregorianproleptic proleptic prolepticgregorien tai iso8601",
    "julian": "julian",
    "noleap": "noleap 365day 365days 365 noleapyear nonleap 365daycalendar",
    "all_leap": "allleap 366day 366days 366",
    "360_day": "360day 360days 360 360daycalendar",
    NO_CALENDAR: "none",
}
_CALENDAR_OF = {name: calendar for calendar, names in _CALENDAR_NAMES.items() for name in names.split()} | {
    "": STANDARD
}

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Units of a fixed length, in seconds."""
MONTHS = {"months": 1, "years": 12}
"""Units of the calendar's, in months."""
_UNIT_NAMES = {
    ("ns", 1.0): "ns nsec nsecs nanosec nanosecs nanosecond nanoseconds",
    ("us", 1.0): "us µs μs usec usecs microsec microsecs microsecond microseconds",
    ("ms", 1.0): "ms msec msecs millisec millisecs millisecond milliseconds",
    ("s", 1.0): "s sec secs second seconds",
    ("min", 1.0): "min mins minute minutes",
    ("h", 1.0): "h hr hrs hour hours",
    ("d", 1.0): "d day days",
    ("d", 7.0): "week weeks wk wks",
    ("d", 14.0): "fortnight fortnights",
    ("d", 365.0): "common_year common_years",
    ("d", 366.0): "leap_year leap_years",
    ("d", 365.25): "julian_year julian_years",
    ("d", 365.2425): "gregorian_year gregorian_years",
    ("d", 365.242198781): "tropical_year tropical_years",
    ("months", 1.0): "month months mon mons calendar_month calendar_months",
    ("years", 1.0): "year years yr yrs calendar_year calendar_years",
    ("years", 10.0): "decade decades",
    ("years", 100.0): "century centuries",
    ("years", 1000.0): "millennium millennia kyr kyrs ka",
}
_UNIT_OF = {name: unit for unit, names in _UNIT_NAMES.items() for name in names.split()}
_MULTIPLE = re.compile(r"(\d+(?:\.\d+)?)[\s_-]*([a-zµμ_]+)")
_SINCE = re.compile(r"(.*?)(?:\s+|(?=@))(since|after|from|ref|@)(?:\s+|$|(?<=@))(.*)", re.IGNORECASE | re.DOTALL)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY = re.compile(
    r"(?P<day_first>\d{1,2})[-/. ](?P<name>[a-z]{3,9})[-/. ](?P<year_last>\d{4})(?!\d)"
    r"|(?P<sign>[+-]?)(?:(?P<packed>\d{8})|(?P<year>\d{1,5})(?:(?P<between>[-/.])(?P<month>\d{1,2}|[a-z]{3,9})"
    r"(?:(?P=between)(?P<day>\d{1,2}))?)?(?!\d))"
)
_CLOCK = re.compile(
    r"(?:[t_:,\s]\s*)?(?:(?P<packed>(?:\d{2}){2,3}(?:\.\d*)?)(?![\d:])"
    r"|(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}(?:\.\d*)?))?)?)"
)
_ZONE = re.compile(r"\s*(?:z|utc|gmt|(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?)?")


def calendar_named(name: str) -> str | None:
    """The calendar that a file calls `name`; none given: the standard one. None: it is not known."""
    return _CALENDAR_OF.get(re.sub(r"[\W_]+", "", name.lower()))


def agree(one: str, other: str, earliest: tuple[int, int, int]) -> bool:
    """Whether two calendars mean the same by all dates from `earliest` on."""
    return one == other or ({one, other} == {STANDARD, PROLEPTIC} and earliest >= GREGORIAN_FROM)


def unit_named(name: str) -> tuple[str, float] | None:
    """A unit of time as one of `SECONDS` or `MONTHS`, and how many of these it is; None: it is not one of time.

    A number may stand before it (``6 hours``). Months and years are the calendar's, as CDO counts them, whatever their
    length.
    """
    text = " ".join(name.lower().split())
    found = _UNIT_OF.get(text) or _UNIT_OF.get(text.replace(" ", "_"))
    if found is None and (several := _MULTIPLE.fullmatch(text)) and several[2] in _UNIT_OF:
        unit, factor = _UNIT_OF[several[2]]
        return unit, factor * float(several[1])
    return found


def since(units: str) -> tuple[str, str] | None:
    """``hours since 1970-01-01`` as its unit and its date; None: they do not count from a date."""
    match = _SINCE.match(units.strip(" \t\n\0"))
    if match is None or (match[2].lower() != "since" and unit_named(match[1]) is None):  # degrees from north
        return None
    return match[1].strip(), match[3].strip()


def date_of(text: str, calendar: str) -> cftime.datetime:
    """A date with or without time of the day and zone; without zone, or in any, it is given in UTC.

    Known are ISO 8601 (``2001-01-31T06:00Z``, ``20010131T06``), unpadded numbers (``1-1-1 0:0:0.0``), slashes after a
    year, ``2001-01-31_06:00:00``, names of months (``31-JAN-2001``), and 24:00 for the end of a day.

    Raises
    ------
    ValueError
        It is not a date, or the calendar does not have it; the message says why.
    """
    lower = " ".join(text.strip().strip("\0").lower().split())
    day = _DAY.match(lower)
    clock = _CLOCK.match(lower, day.end()) if day else None
    zone = _ZONE.fullmatch(lower, (clock or day).end()) if day else None  # type: ignore[union-attr]  # day is a match
    if day is None or zone is None or (zone["sign"] and clock is None):
        raise ValueError("it is no date such as 2001-01-31 or 2001-01-31 06:00" if lower else "no date is there")
    year, month, date = _day(day, text)
    if year == 0 and calendar in NO_YEAR_0:
        raise ValueError(f"the calendar {calendar} has no year 0")
    hour, minute, second = _time_of_day(clock)
    if minute >= 60 or second >= 61 or hour > 24 or (hour == 24 and (minute or second)):
        raise ValueError(f"{hour}:{minute:02}:{second:g} is no time of the day")
    shift = timedelta(hours=int(zone["hours"] or 0), minutes=int(zone["minutes"] or 0))
    moment = timedelta(hours=hour, minutes=minute, microseconds=round(second * 1e6))
    with unwarned():
        try:
            midnight = cftime.datetime(year, month, date, calendar=calendar)
        except ValueError:
            raise ValueError(f"the calendar {calendar} has no {year}-{month:02}-{date:02}") from None
        return midnight + (moment + shift if zone["sign"] == "-" else moment - shift)


@contextlib.contextmanager
def unwarned() -> Iterator[None]:
    """Without cftime's warnings that CF does not define years before 1, whose arithmetic is clear."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _day(found: re.Match[str], text: str) -> tuple[int, int, int]:
    """Year, month and day of a match; what is left out is 1."""
    if found["packed"]:
        year, month, day = found["packed"][:4], found["packed"][4:6], found["packed"][6:]
    elif found["name"]:
        year, month, day = found["year_last"], found["name"], found["day_first"]
    else:
        year, month, day = found["year"], found["month"] or "1", found["day"] or "1"
    if not month.isdigit():
        if month[:3] not in _MONTHS:
            raise ValueError(f"{month} in {text!r} is no month")
        month = str(1 + _MONTHS.index(month[:3]))
    return int((found["sign"] or "") + year), int(month), int(day)


def _time_of_day(found: re.Match[str] | None) -> tuple[int, int, float]:
    if found is None:
        return 0, 0, 0.0
    packed = found["packed"]
    if packed:
        return int(packed[:2]), int(packed[2:4]), float(packed[4:] or 0)
    return int(found["hour"] or 0), int(found["minute"] or 0), float(found["second"] or 0)
