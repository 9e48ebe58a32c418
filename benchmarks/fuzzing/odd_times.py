"""Time axes as files have them, whose dates the generator knows."""

from dataclasses import dataclass

import cftime
import numpy as np

Dice = np.random.Generator

UNITS = {
    "d": ("days", "day", "d", "Days"),
    "h": ("hours", "hour", "hr", "hrs", "h", "Hours"),
    "min": ("minutes", "minute", "min", "mins"),
    "s": ("seconds", "second", "sec", "secs", "s"),
    "ms": ("milliseconds", "msec", "ms", "millisec"),
    "us": ("microseconds", "microsec"),
}
SECONDS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
CALENDARS = {
    "standard": ("standard", "gregorian", "Gregorian", None),
    "proleptic_gregorian": ("proleptic_gregorian", "PROLEPTIC_GREGORIAN"),
    "noleap": ("noleap", "365_day", "NOLEAP"),
    "all_leap": ("all_leap", "366_day"),
    "360_day": ("360_day",),
    "julian": ("julian",),
}
EPOCHS = (
    *(
        "{y:04d}-{m:02d}-{d:02d}",
        "{y}-{m}-{d}",
        "{y:04d}-{m:02d}-{d:02d} {h:02d}:00:00",
        "{y:04d}-{m:02d}-{d:02d}T{h:02d}:00:00Z",
    ),
    *(
        "{y:04d}-{m:02d}-{d:02d} {h:02d}:00:00.0",
        "{y:04d}-{m:02d}-{d:02d} {h:02d}:00",
        "{y}-{m}-{d} {h}:0:0",
        "{y:04d}-{m:02d}-{d:02d} {h:02d}:00:00 UTC",
    ),
    "{y:04d}-{m:02d}-{d:02d} {h:02d}:00:00 +00:00",
)
BROKEN = (
    *(
        "days since ",
        "days since 2001-02-30",
        "days since 20010101",
        "hours since 0-0-0",
        "fortnights since 2000-01-01",
    ),
    *("days since 1-1-1 24:00:00", "day as %Y%m", "days since yesterday", "since 2000-01-01", "days since 99999-01-01"),
    *(
        "weeks since 2000-01-01",
        "days since 2000-01-01 00:00:00 MEZ",
        "hours since -5000-01-01",
        "common_years since 1-1-1",
    ),
)
"""Units that may be refused, or read without a date, or read right: only that nothing breaks is checked."""


@dataclass
class Times:
    """Values and attributes of a time axis, and what they mean (see `fuzzing.attempt.Truth`)."""

    values: np.ndarray
    attributes: dict[str, str]
    elapsed: np.ndarray | None
    months: np.ndarray | None = None
    start: str | None = None
    known: bool = True
    kind: str = "elapsed time"


def times(dice: Dice, frames: int) -> Times:
    """A time axis of so many frames."""
    draw = dice.random()
    if draw < 0.1:
        unit = str(dice.choice(["s", "h", "min", "d"]))
        at = (int(dice.integers(0, 9)) + int(dice.integers(1, 5)) * np.arange(frames)).astype(float)
        return Times(at, {"units": unit}, (at - at[0]) * SECONDS[unit])
    if draw < 0.16:
        return Times(
            np.arange(frames) + 0.0, {"units": str(dice.choice(BROKEN))}, None, known=False, kind="broken time unit"
        )
    if draw < 0.24:
        return months(dice, frames)
    if draw < 0.28:
        return days_as_numbers(dice, frames)
    return dates(dice, frames)


def dates(dice: Dice, frames: int) -> Times:
    """Times since an epoch."""
    unit = str(dice.choice(["d", "d", "h", "h", "min", "s", "s", "ms", "us"]))
    calendar = str(dice.choice(list(CALENDARS), p=[0.4, 0.2, 0.15, 0.05, 0.15, 0.05]))
    year = int(dice.choice([1850, 1900, 1970, 2000, 2023, 1, 1582]))
    month, day, hour = int(dice.integers(1, 13)), int(dice.integers(1, 29)), int(dice.choice([0, 6, 12]))
    month = 5 if year == 1582 else month  # some days of October did not happen
    form = str(dice.choice(EPOCHS))
    epoch = cftime.datetime(year, month, day, hour if "{h" in form else 0, calendar=calendar)
    far = {"d": 60000, "h": 200000, "min": 900000, "s": 60000000, "ms": 10**9, "us": 10**10}[unit]
    step = int(dice.choice([1, 2, 3, 6, 12]))
    begin = int(dice.choice([0, int(dice.integers(far))]))
    at = begin + step * np.arange(frames)
    name = str(dice.choice(UNITS[unit]))
    attributes = {
        "units": f"{name} {dice.choice(['since', 'since', 'since', 'Since'])} "
        + form.format(y=year, m=month, d=day, h=hour)
    }
    called = CALENDARS[calendar][int(dice.integers(len(CALENDARS[calendar])))]
    if called is not None:
        attributes["calendar"] = called
    if dice.random() < 0.5:
        attributes |= {"standard_name": "time", "axis": "T"}
    start = cftime.num2date(
        begin, f"{UNITS[unit][0]} since {epoch.isoformat(' ')}", calendar, only_use_cftime_datetimes=True
    )
    kinds = ["f8", "i8"] + (["i4"] if at[-1] < 2**31 else []) + (["f4"] if at[-1] < 2**24 else [])
    values = at.astype(str(dice.choice(kinds)))
    shown = start.isoformat()[:19] if start.year > 0 else None
    return Times(values, attributes, (at - at[0]) * SECONDS[unit], start=shown, kind=f"dates, {calendar}")


def months(dice: Dice, frames: int) -> Times:
    """Whole months or years since the first of a month."""
    year, month = int(dice.choice([1850, 1955, 2000])), int(dice.choice([1, 1, 7]))
    per = int(dice.choice([1, 1, 12]))
    calendar = str(dice.choice(["standard", "360_day", "noleap"]))
    at = int(dice.integers(0, 500 if per == 1 else 80)) + np.arange(frames)
    first = (month - 1) + per * int(at[0])
    attributes = {"units": f"{'months' if per == 1 else 'years'} since {year:04d}-{month:02d}-01", "calendar": calendar}
    dates_of = [
        cftime.datetime(year + (first + per * k) // 12, (first + per * k) % 12 + 1, 1, calendar=calendar)
        for k in range(frames)
    ]
    elapsed = np.array([(date - dates_of[0]).total_seconds() for date in dates_of])
    start = dates_of[0].isoformat()[:19]
    return Times(
        at.astype("f8"), attributes, elapsed, months=per * np.arange(frames) * 1.0, start=start, kind="months, years"
    )


def days_as_numbers(dice: Dice, frames: int) -> Times:
    """CDO's absolute times: 20010131.5 is noon of that day."""
    date = cftime.datetime(
        int(dice.integers(1900, 2030)),
        int(dice.integers(1, 13)),
        int(dice.integers(1, 29)),
        12 * int(dice.integers(2)),
        calendar="standard",
    )
    one = cftime.num2date(1, "days since 2000-01-01", "standard") - cftime.num2date(
        0, "days since 2000-01-01", "standard"
    )
    all_dates = [date + one * k for k in range(frames)]
    at = [each.year * 10000 + each.month * 100 + each.day + each.hour / 24 for each in all_dates]
    attributes = {"units": "day as %Y%m%d.%f", "calendar": "proleptic_gregorian"}
    return Times(
        np.array(at), attributes, 86400.0 * np.arange(frames), start=date.isoformat()[:19], kind="dates as numbers"
    )
