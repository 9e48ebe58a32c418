"""Dates as spreadsheets and loggers write them."""

import re
from datetime import UTC, datetime, timedelta, timezone

_CLOCK = r"(?:[T ]+(\d{1,2}):?(\d{2})(?::?(\d{2}(?:[.,]\d+)?))?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})(?:\2(\d{1,2}))?" + _CLOCK, re.IGNORECASE)
_COMPACT = re.compile(r"((?:19|20)\d{2})()(\d{2})(\d{2})" + _CLOCK, re.IGNORECASE)
_DAY_FIRST = re.compile(r"(\d{1,2})(\.)(\d{1,2})\.(\d{4})" + _CLOCK, re.IGNORECASE)
_NAMED = re.compile(r"(\d{1,2})([- ])([A-Za-z]{3})[a-z]*[- ](\d{4})" + _CLOCK, re.IGNORECASE)
_SLASHES = re.compile(r"\d{1,2}([/-])\d{1,2}\1\d{2,4}\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parsed_date(text: str) -> datetime | None:
    """A date from its text, in UTC where it has a zone; None: it is none.

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
    hour, minute, second, zone = found[5], found[6], (found[7] or "0").replace(",", "."), found[8]
    try:
        whole = datetime(int(year), int(month), int(day), tzinfo=_zone(zone))
    except ValueError:
        raise ValueError("which is no day of the calendar: write it as 2024-01-31T12:00") from None
    at = whole + timedelta(hours=int(hour or 0), minutes=int(minute or 0), seconds=float(second))
    return at if zone is None else at.astimezone(UTC)


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(shift if text[0] == "+" else -shift)
