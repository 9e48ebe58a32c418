"""Forecasts as data sets that follow the CF conventions, and as NetCDF files that GIS and meteorological tools read."""

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from sparsevq.data.field_data import FieldData
from sparsevq.runtime.files import unwritable, written_whole
from sparsevq.version import VERSION

CONVENTIONS = "CF-1.11"

GRID_AXES = {"x": "X", "lon": "X", "longitude": "X", "y": "Y", "lat": "Y", "latitude": "Y", "z": "Z"}
STANDARD_NAMES = {"lon": "longitude", "longitude": "longitude", "lat": "latitude", "latitude": "latitude"}

TIMES = ("s", "sec", "second", "min", "minute", "h", "hr", "hour", "d", "day")
UNITS = {
    *TIMES,
    *("m", "metre", "meter", "g", "gram", "A", "ampere", "K", "kelvin", "mol", "mole", "cd", "rad", "radian"),
    *("N", "newton", "Pa", "pascal", "J", "joule", "W", "watt", "V", "volt", "Hz", "hertz"),
    *("bar", "degree", "degC", "celsius", "percent", "degree_north", "degree_east", "degrees_north", "degrees_east"),
}
PREFIXES = ("Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p")
SYMBOLS = ("m", "g", "s", "A", "K", "mol", "N", "Pa", "J", "W", "V", "Hz", "bar", "rad")
"""Units that take prefixes."""


def cf_units(units: str) -> str | None:
    """Units as CF writes them, or None where UDUNITS does not know them (``L/U``: lengths over velocities of a flow).

    Conservative: products, quotients and integer powers of SI units and a few that CF names; a dimensionless
    quantity (``1``, ``-``, empty) is ``1``.
    """
    text = units.strip().replace("**", "^").replace("·", " ")
    if text in ("", "-", "1", "none", "dimensionless"):
        return "1"
    if text == "%":
        return "percent"
    for factor in re.split(r"\s*[*/.]\s*|\s+", text):
        match = re.fullmatch(r"([A-Za-z_]+)\^?([+-]?\d+)?", factor)
        if factor != "1" and not (match and _known(match[1])):
            return None
    return text


def as_dataset(
    data: FieldData,
    fields: npt.NDArray[np.float32],
    lead_time: npt.NDArray[np.float64],
    sensors: npt.NDArray[np.float64],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """An ensemble as a data set that follows the CF conventions.

    Parameters
    ----------
    data
        The data set that was learned from: grid, channels and units.
    fields
        ``(member, lead time, *grid, C)`` in physical units; NaN where there is no field. Scattered points have the
        dimension ``point``, along which the axes are coordinates.
    lead_time
        ``(L,)`` in the data's unit of time.
    sensors
        ``(n, d)`` places of the readings, in the axes' units.
    attributes
        Further attributes of the data set.
    """
    space = ("point",) if data.scattered else tuple(data.axes)
    dimensions = ("member", "lead_time", *space)
    variables = {
        channel: (dimensions, fields[..., index], _described(channel, data.units[index]))
        for index, channel in enumerate(data.channels)
    }
    coordinates: dict[str, Any] = {
        "member": (
            "member",
            np.arange(len(fields), dtype=np.int32),
            {"long_name": "number of the ensemble member", "standard_name": "realization", "units": "1"},
        ),
        "lead_time": ("lead_time", lead_time, _lead_time_attributes(data.time_units)),
        **{
            axis: (space if data.scattered else axis, at, _axis_attributes(axis, data.axis_units[axis], data.scattered))
            for axis, at in data.axes.items()
        },
        **{
            f"sensor_{axis}": ("sensor", sensors[:, index], _described(f"{axis} of the sensors", data.axis_units[axis]))
            for index, axis in enumerate(data.axes)
        },
    }
    about = {
        "Conventions": CONVENTIONS,
        "title": f"Ensemble forecast of {data.name} from {len(sensors)} sensor{'s' * (len(sensors) > 1)}",
        "source": f"sparsevq {VERSION}: GPT over vector-quantized latents of the observed frame",
        "comment": "Forecast from the readings of one frame; lead_time counts from it. Digests are SHA-256.",
    }
    return xr.Dataset(variables, coordinates, {**about, **attributes})


def write_netcdf(path: str | Path, forecast: xr.Dataset, command: str) -> None:
    """Write a forecast as compressed NetCDF-4; the file appears whole or not at all.

    Parameters
    ----------
    path
        The file.
    forecast
        What `as_dataset` made.
    command
        The command that made it, for the attribute ``history``.

    Raises
    ------
    SparseVQError
        The folder can't be written, or the disk is full.
    """
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    now = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    field = {"dtype": "float32", "_FillValue": np.float32(np.nan), "zlib": True, "complevel": 4, "shuffle": True}
    encoding: dict[Any, Any] = {name: {**field, "fletcher32": True} for name in forecast.data_vars}
    encoding |= {name: {"_FillValue": None} for name in forecast.coords}
    with written_whole(path) as part:
        try:
            forecast.assign_attrs(history=f"{now} {command}").to_netcdf(part, engine="netcdf4", encoding=encoding)
        except RuntimeError as error:  # how the NetCDF library reports a full disk
            raise unwritable(path, OSError(str(error))) from None


def _described(name: str, units: str) -> dict[str, str]:
    """`units` and `long_name`; units that CF does not know are described in words."""
    known = cf_units(units)
    if known is None:
        return {"long_name": f"{name} in units of {units}", "units": "1"}
    return {"long_name": name, "units": known}


def _lead_time_attributes(units: str) -> dict[str, str]:
    described = _described("time since the observed frame", units)
    if units.strip().rstrip("s") in TIMES or units.strip() in TIMES:
        described["standard_name"] = "forecast_period"
    return {**described, "axis": "T"}


def _axis_attributes(axis: str, units: str, scattered: bool) -> dict[str, str]:
    described = _described(axis, units)
    letter = GRID_AXES.get(axis.lower())
    if letter and not scattered:  # CF gives an axis attribute to coordinates that are dimensions alone
        described["axis"] = letter
    if letter == "Z":
        described["positive"] = "up"
    if axis.lower() in STANDARD_NAMES:
        described["standard_name"] = STANDARD_NAMES[axis.lower()]
    return described


def _known(unit: str) -> bool:
    if unit in UNITS or (len(unit) > 2 and unit.endswith("s") and unit[:-1] in UNITS):
        return True
    return any(unit == prefix + symbol for prefix in PREFIXES for symbol in SYMBOLS)
