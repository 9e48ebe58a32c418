"""Units and calendars of time, as files of many origins have them: read right, or refused in one line."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from tests.readers.cases.table import NX, NY, Refused, Right, check, row, wave

ANY = (Right(wave()), Refused())
"""Read with its values, with or without a date, or refused: never a traceback."""


def timed(values, **attributes):
    """NetCDF with these times."""

    def make(folder):
        data = xr.Dataset(
            {"u": (("time", "y", "x"), wave(len(values)), {"units": "m s-1"})},
            {
                "time": ("time", values, attributes),
                "y": ("y", np.arange(float(NY)), {"units": "m"}),
                "x": ("x", np.arange(float(NX)), {"units": "m"}),
            },
        )
        data.to_netcdf(folder / "a.nc")
        return folder / "a.nc"

    return make


COUNT = np.arange(24.0)
DAYS = np.array([20010100 + day for day in range(20, 32)] + [20010200 + day for day in range(1, 13)], "f8")
TEXTS = np.array([f"2001-01-01T{hour:02d}:00:00" for hour in range(24)], dtype=object)


def dated(start, units=None, step=1.0, alternatives=()):
    """The first frame is at this date; elapsed times are a count, if they are in this unit."""
    about = {"time": step * COUNT, "time_units": units} if units else {}
    return (Right(wave(), start=(start,), about=about), *alternatives)


def unwritten(units):
    """The last time was never written: it is the library's fill value."""

    def make(folder):
        with netCDF4.Dataset(folder / "a.nc", "w") as file:
            for name, size in (("time", None), ("y", NY), ("x", NX)):
                file.createDimension(name, size)
            time = file.createVariable("time", "f8", ("time",))
            time.units = units
            for name in "yx":
                at = file.createVariable(name, "f8", (name,))
                at.units = "m"
                at[:] = np.arange(len(file.dimensions[name]))
            file.createVariable("u", "f4", ("time", "y", "x"))[:24] = wave()
            time[:23] = np.arange(23)
        return folder / "a.nc"

    return make


HOURS = "hours since 2001-01-01"
ROWS = [
    row("months since", timed(COUNT, units="months since 1955-01-01 00:00:00"), *dated("1955-01-01T00:00")),
    row(
        "days as numbers, over the end of a month",
        timed(DAYS, units="day as %Y%m%d.%f", calendar="proleptic_gregorian"),
        *dated("2001-01-20T00:00", "d"),
    ),
    row(
        "days as numbers, at noon",
        timed(20010101.5 + COUNT, units="day as %Y%m%d.%f", calendar="proleptic_gregorian"),
        *dated("2001-01-01T12:00", "d"),
    ),
    row("days since the year 0", timed(730000 + COUNT, units="days since 0000-01-01 00:00:00"), *ANY),
    row(
        "months of 30 days",
        timed(COUNT, units="months since 1955-01-01", calendar="360_day"),
        *dated("1955-01-01T00:00"),
    ),
    row("years since", timed(COUNT, units="years since 1955-01-01"), *dated("1955-01-01T00:00")),
    row("dates as text", timed(TEXTS, long_name="time"), *dated("2001-01-01T00:00"), Refused(("time",))),
    row("Days Since", timed(COUNT, units="Days Since 1955-01-01"), *dated("1955-01-01T00:00", "d")),
    row(
        "UTC, Gregorian",
        timed(COUNT, units="hours since 2001-01-01 00:00:00 UTC", calendar="Gregorian"),
        *dated("2001-01-01T00:00", "h"),
    ),
    row("a calendar that nobody knows", timed(COUNT, units=HOURS, calendar="gregorian_proleptic"), *ANY),
    row("month and day 0", timed(COUNT, units="hours since 0-0-0"), *ANY),
    row("a day that is not there", timed(COUNT, units="days since 2001-02-30"), *ANY),
    row("hour 24", timed(COUNT, units="days since 1-1-1 24:00:00"), *ANY),
    row("no dashes", timed(COUNT, units="days since 20010101"), *dated("2001-01-01T00:00", alternatives=ANY)),
    row("a time zone", timed(COUNT, units="hours since 2001-01-01T00:00:00+01:00"), *dated("2000-12-31T23:00", "h")),
    row("no date", timed(COUNT, units="days since "), *ANY),
    row("fortnights", timed(COUNT, units="fortnights since 2000-01-01"), *ANY),
    row(
        "nanoseconds",
        timed(3.6e12 * COUNT, units="nanoseconds since 1970-01-01"),
        *dated("1970-01-01T00:00", alternatives=(Refused(("nanoseconds",)),)),
    ),
    row("milliseconds", timed(COUNT, units="milliseconds since 1970-01-01"), *dated("1970-01-01T00:00")),
    row("seconds with a point", timed(COUNT, units="days since 1970-01-01 00:00:0.0"), *dated("1970-01-01T00:00", "d")),
    row("a far year", timed(COUNT, units="days since 99999-01-01"), *ANY),
    row("a year before Christ", timed(COUNT, units="hours since -5000-01-01"), *ANY),
    row(
        "a fraction of nine digits",
        timed(COUNT, units="seconds since 2001-01-01 00:00:00.123456789"),
        *dated("2001-01-01T00:00:00.12", "s"),
    ),
    *(
        row(units, timed(COUNT, units=units), *dated("2001-01-01T00:00", units[:1].lower()))
        for units in ("hour since 2001-1-1", "Hours since 2001-01-01", "H since 2001-01-01", "days  since 2001-01-01")
    ),
    *(
        row(f"calendar {name}", timed(COUNT, units=HOURS, calendar=name), *dated("2001-01-01T00:00", "h"))
        for name in ("julian", "NOLEAP", "all_leap", "")
    ),
    *(row(f"calendar {name}", timed(COUNT, units=HOURS, calendar=name), *ANY) for name in ("none", "365", "foo")),
    row("the last time was not written, dated", unwritten(HOURS), Refused(("time", "23"))),
    row("the last time was not written", unwritten("s"), Refused(("time", "23"))),
    row("a last time of 1e30", timed(np.append(np.arange(23.0), 1e30), units=HOURS), Refused(("time",))),
    row("a first time of -1e30", timed(np.append(-1e30, np.arange(23.0)), units=HOURS), Refused(("time",))),
]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_times_are_those_that_were_meant(tmp_path, case):
    check(case, tmp_path)
