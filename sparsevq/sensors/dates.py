"""Dates as spreadsheets and loggers write them."""

import re
from dataclasses import dataclass
from datetime import timedelta

import cftime

_CLOCK = r"(?:[T ]+(\d{1,2}):?(\d{2})(?::?(\d{2}(?:[.,]\d+)?))?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})(?:\2(\d{1,2}))?" + _CLOCK, re.IGNORECASE)
_COMPACT = re.compile(r"((?:19|20)\d{2})()(\d{2})(\d{2})" + _CLOCK, re.IGNORECASE)
_DAY_FIRST = re.compile(r"(\d{1,2})(\.)(\d{1,2})\.(\d{4})" + _CLOCK, re.IGNORECASE)
_NAMED = re.compile(r"(\d{1,2})([- ])([A-Za-z]{3})[a-z]*[- ](\d{4})" + _CLOCK, re.IGNORECASE)
_SLASHES = re.compile(r"\d{1,2}([/-])\d{1,2}\1\d{2,4}\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class Moment:
    """A date; `zoned`: it had a zone, and is in UTC."""

    date: cftime.datetime
    zoned: bool = False

    def __str__(self) -> str:
        return self.date.isoformat() + "Z" * self.zoned


def parsed_date(text: str, calendar: str = "") -> Moment | None:
    """A date of a calendar (empty: ``standard``) from its text; None: it is none.

    2024-01-31, 2024-01-31T12:00:00Z, 2024/1/31 12:00, 20240131T1200, 31.1.2024 12:00, 31-Jan-2024, 2024-01.

    Raises
    ------
    ValueError
        Which number is the day is not clear, or there is no such day; with what to do after a colon.
    """
    text = " ".join(text.split())
    if found := _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        year, month, day = found[1], found[3], found[4] or "1"
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year = found[1], found[3], found[4]
    elif (found := _NAMED.fullmatch(text)) and found[3].lower() in _MONTHS:
        day, month, year = found[1], str(_MONTHS.index(found[3].lower()) + 1), found[4]
    elif _SLASHES.match(text):
        raise ValueError("in which day and month cannot be told apart: write it as 2024-01-31T12:00")
    else:
        return None
    hour, minute, second = int(found[5] or 0), int(found[6] or 0), float((found[7] or "0").replace(",", "."))
    if hour > 24 or minute > 59 or second >= 61:
        raise ValueError("which is no time of the day: write it as 2024-01-31T12:00")
    try:
        day_itself = cftime.datetime(int(year), int(month), int(day), calendar=calendar or "standard")
    except ValueError:
        raise ValueError("which is no day of the calendar: write it as 2024-01-31T12:00") from None
    moment = day_itself + timedelta(hours=hour, minutes=minute, seconds=second)
    return Moment(moment - _ahead(found[8]), True) if found[8] else Moment(moment)


def _ahead(zone: str) -> timedelta:
    """How far a zone's clocks are ahead of UTC."""
    if zone.upper() in ("Z", "UTC", "GMT"):
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return ahead if zone[0] == "+" else -ahead
