"""When a forecast starts and which times its frames are of, as CF coordinates."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cftime
import numpy as np
import xarray as xr

from sparsevq.data.clock import Clock, FloatArray
from sparsevq.data.dates import STANDARD, date_of, unit_named
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.memory import cell_text

_LONG = {"ms": "milliseconds", "s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
"""Names of units that every reader of CF knows; other times are written in days."""


Date = str | datetime.date | np.datetime64


def forecast_clock(data: Description, read: str | None, given: object) -> Clock | None:
    """The clock of a forecast's lead times: 0 at the date of the last observed frame.

    Parameters
    ----------
    data
        The data set, for its unit of time and its calendar (standard where it has none).
    read, given
        That date (ISO 8601) by the readings, and by the user; None: they do not say it.

    Returns
    -------
    Clock | None
        None where there is no date, or the data set's unit of time is none of a clock's.

    Raises
    ------
    SparseVQError
        It is no date of the data set's calendar, there are two, or the user gives one to a data set in no unit of time.
    """
    unit, calendar = unit_named(data.time_units), data.calendar or STANDARD
    if given is not None and not isinstance(given, str | datetime.date | np.datetime64 | cftime.datetime):
        raise SparseVQError(f"date={given!r} is not allowed", "give a date such as 2006-04-16T12:00")
    if unit is None or unit[1] != 1:
        if given is not None:
            raise SparseVQError(
                f"date={given}, but the data set's times are in {data.time_units or 'no unit'}, not in one of a clock",
                "leave it out",
            )
        return None
    dates = [_date(text, calendar) for text in (read, None if given is None else cell_text(given)) if text is not None]
    if len(set(dates)) > 1:
        raise SparseVQError(f"date={given}, but the last of the readings is of {read}", "leave out one of the two")
    return Clock(unit[0], dates[0]) if dates else None


def _date(text: str, calendar: str) -> cftime.datetime:
    try:
        return date_of(text, calendar)
    except ValueError as error:
        raise SparseVQError(
            f"the last observed frame is said to be of {text!r}: {error}",
            f"give a date of the calendar {calendar}, such as 2006-04-16T12:00",
        ) from None


def later_clock(clock: Clock | None, time: float) -> Clock | None:
    """The clock of a forecast that starts so much later."""
    return None if clock is None else replace(clock, origin=clock.date(time))


def valid_times(lead_time: FloatArray, clock: Clock) -> Mapping[Any, Any]:
    """Coordinates ``forecast_reference_time`` () and ``valid_time`` (lead_time), decoded as `xarray.open_dataset` does.

    Months and years are the calendar's.
    """
    assert clock.origin is not None
    unit = clock.units if clock.units in _LONG else "d"
    counted = Clock(unit, clock.origin)
    times = np.array([counted.number(clock.date(time)) for time in lead_time.tolist()])
    units = f"{_LONG[unit]} since {clock.origin.isoformat(' ')}"
    about = {"units": units, "calendar": clock.calendar}
    reference = {"standard_name": "forecast_reference_time", "long_name": "time of the last observed frame"}
    coordinates = xr.Dataset(
        coords={
            "forecast_reference_time": ((), 0.0, {**reference, **about}),
            "valid_time": ("lead_time", times, {"standard_name": "time", "long_name": "valid time", **about}),
        }
    )
    return xr.decode_cf(coordinates, decode_timedelta=False).coords
