"""Forecasts as data sets that follow the CF conventions, and as NetCDF files that GIS and meteorological tools read."""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from sparsevq.data.clock import Clock
from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, FieldData
from sparsevq.forecasting.observed import Observed
from sparsevq.forecasting.valid_times import valid_times
from sparsevq.runtime.files import unwritable, written_whole
from sparsevq.version import VERSION

FloatArray = npt.NDArray[np.float64]

CONVENTIONS = "CF-1.11"

GRID_AXES = {"x": "X", "lon": "X", "longitude": "X", "y": "Y", "lat": "Y", "latitude": "Y", "z": "Z"}
STANDARD_NAMES = {"lon": "longitude", "longitude": "longitude", "lat": "latitude", "latitude": "latitude"}

STANDARD = re.compile(r"[a-z][a-z0-9_]*(?: [a-z_]+)?")
"""How standard names are written, with their modifiers."""

TIMES = ("s", "sec", "second", "min", "minute", "h", "hr", "hour", "d", "day")
UNITS = {
    *TIMES,
    *("m", "metre", "meter", "g", "gram", "A", "ampere", "K", "kelvin", "mol", "mole", "cd", "rad", "radian"),
    *("N", "newton", "Pa", "pascal", "J", "joule", "W", "watt", "V", "volt", "Hz", "hertz"),
    *("bar", "degree", "degC", "celsius", "percent", "degree_north", "degree_east", "degrees_north", "degrees_east"),
}
PREFIXES = ("Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p")
WORDS = ("kilo", "hecto", "deci", "centi", "milli", "micro", "nano")
WORDED = ("metre", "meter", "gram", "second", "pascal", "watt", "joule", "newton", "bar", "hertz", "kelvin")
"""Units that take prefixes in words."""
OTHERWISE = {"mb": "hPa", "mbar": "hPa", "millibar": "hPa", "millibars": "hPa", "deg": "degree", "°": "degree"}
"""Units that UDUNITS reads as others (``mb`` are millibarns), or not at all."""
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
    text = OTHERWISE.get(text, text)
    for factor in re.split(r"\s*[*/.]\s*|\s+", text):
        match = re.fullmatch(r"([A-Za-z_]+)\^?([+-]?\d+)?", factor)
        if factor != "1" and not (match and _known(match[1])):
            return None
    return text


def channels_of(forecast: xr.Dataset) -> tuple[str, ...]:
    """Names of the fields of a forecast: ``(member, lead_time, <space>)``, not readings, nor quantiles of these."""
    return tuple(
        str(name)
        for name, found in forecast.data_vars.items()
        if found.dims[:2] == ("member", "lead_time") and found.dims[2:] != ("sensor",)
    )


def as_dataset(
    data: FieldData,
    fields: Iterable[Any],
    lead_time: FloatArray,
    observed: Observed,
    at_sensors: Iterable[Any],
    attributes: Mapping[str, Any],
    clock: Clock | None = None,
    points: FloatArray | None = None,
    quantiles: tuple[Sequence[float], Iterable[Any]] | None = None,
) -> xr.Dataset:
    """An ensemble as a data set that follows the CF conventions.

    Parameters
    ----------
    data
        The data set that was learned from: grid, channels and units.
    fields
        Of each channel ``(member, lead time, *grid)`` in physical units; NaN where there is no field. Scattered points,
        and `points`, have the dimension ``point``, along which the axes are coordinates.
    lead_time
        ``(L,)`` in the data's unit of time.
    observed
        What the sensors read.
    at_sensors
        Of each channel ``(member, lead time, sensor)``: the forecast at the sensors.
    attributes
        Further attributes of the data set.
    clock
        Of the lead times: 0 is the date of the last observed frame; None: it is not known.
    points
        ``(p, d)`` places that the fields are at; None: the data set's grid.
    quantiles
        Which ones, and of each channel ``(quantile, lead time, ...)``; None: none.
    """
    if points is not None:
        data = replace(data, axes=dict(zip(data.axes, points.T, strict=True)), scattered=True)
    space = ("point",) if data.scattered else tuple(data.axes)
    groups: list[tuple[tuple[str, ...], Iterable[Any], str, str]] = [
        (("member", "lead_time", *space), fields, "{}", ""),
        (("member", "lead_time", "sensor"), at_sensors, "{}_at_sensors", " at the sensors"),
        (("observed_frame", "sensor"), np.moveaxis(observed.values, -1, 0), "{}_reading", " as read"),
    ]
    if quantiles is not None:
        groups.append((("quantile", "lead_time", *space), quantiles[1], "{}_quantile", ": quantiles of the members"))
    variables: dict[str, Any] = {}
    for dimensions, of_channels, name, what in groups:
        for channel, unit, values in zip(data.channels, data.units, of_channels, strict=True):
            named = _described(channel, unit, data.channel_about.get(channel), what)
            variables[name.format(channel)] = dimensions, values, named
    sensors, members = len(observed.places), variables[data.channels[0]][1].shape[0]
    said = {
        "Conventions": CONVENTIONS,
        "title": f"Ensemble forecast of {data.name} from {sensors} sensor{'s' * (sensors > 1)}",
        "source": f"sparsevq {VERSION}: GPT over vector-quantized latents of the observed frame",
        "comment": "Forecast from the readings of one frame, or several; lead_time counts from the last of them. "
        "Digests are SHA-256.",
    }
    coordinates = _of_members(members, lead_time, data) | _of_space(data, space) | _of_sensors(data, observed)
    if quantiles is not None:
        coordinates["quantile"] = "quantile", np.array(quantiles[0], float), {"long_name": "quantile", "units": "1"}
    forecast = xr.Dataset(variables, coordinates, {**said, **attributes})
    return forecast if clock is None else forecast.assign_coords(valid_times(lead_time, clock))


def _of_members(members: int, lead_time: FloatArray, data: FieldData) -> dict[str, Any]:
    """Coordinates of what is forecast."""
    numbered = {"long_name": "number of the ensemble member", "standard_name": "realization", "units": "1"}
    return {
        "member": ("member", np.arange(members, dtype=np.int32), numbered),
        "lead_time": ("lead_time", lead_time, _lead_time_attributes(data.time_units)),
    }


def _of_space(data: FieldData, space: tuple[str, ...]) -> dict[str, Any]:
    """Coordinates of the fields."""
    return {
        axis: (space if data.scattered else axis, at, attributes)
        for (axis, at), attributes in zip(data.axes.items(), _axes_attributes(data), strict=True)
    }


def _of_sensors(data: FieldData, observed: Observed) -> dict[str, Any]:
    """Coordinates of the readings: their places, which of the run's sensors they are, and their frames."""
    numbered = {"long_name": "number of the sensor in sensors.csv; -1: none of these", "units": "1"}
    frames = {"long_name": "frames after the last observed one", "units": "1"}
    return {
        **{
            f"sensor_{axis}": ("sensor", at, _described(f"{axis} of the sensors", data.axis_units[axis]))
            for axis, at in zip(data.axes, observed.places.T, strict=True)
        },
        "sensor_number": ("sensor", observed.numbers, numbered),
        "observed_frame": ("observed_frame", np.array(observed.offsets, dtype=np.int32), frames),
    }


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
    packed = {"zlib": True, "complevel": 4, "shuffle": True, "fletcher32": True}
    encoding: dict[Any, Any] = {
        name: {**packed, "dtype": found.dtype, "_FillValue": found.dtype.type(np.nan)}
        for name, found in forecast.data_vars.items()
    }
    encoding |= {name: {**_as_read(at), "_FillValue": None} for name, at in forecast.coords.items()}
    with written_whole(path) as part:
        try:
            forecast.assign_attrs(history=f"{now} {command}").to_netcdf(part, engine="netcdf4", encoding=encoding)
        except RuntimeError as error:  # how the NetCDF library reports a full disk
            raise unwritable(path, OSError(str(error))) from None


def _as_read(coordinate: xr.DataArray) -> dict[str, Any]:
    """How dates are to be written: in the units in which they were made."""
    return {key: coordinate.encoding[key] for key in ("units", "calendar", "dtype") if key in coordinate.encoding}


def _described(name: str, units: str, about: Mapping[str, str] | None = None, what: str = "") -> dict[str, str]:
    """`units`, in words where CF does not know them, and the names of a file (else its own name), with `what` of it.

    A standard name says what the units can be, so it is left out where these are not written.
    """
    known, about = cf_units(units), about or {}
    named = {"long_name": about.get("long_name", name) + what}
    if known is None:
        return {"long_name": f"{named['long_name']} in units of {units}", "units": "1"}
    standard = {"standard_name": about["standard_name"]} if STANDARD.fullmatch(about.get("standard_name", "")) else {}
    return {**named, **standard, "units": known}


def _lead_time_attributes(units: str) -> dict[str, str]:
    described = _described("time since the observed frame", units)
    if units.strip().rstrip("s") in TIMES or units.strip() in TIMES:
        described["standard_name"] = "forecast_period"
    return {**described, "axis": "T"}


def _axes_attributes(data: FieldData) -> list[dict[str, str]]:
    """Attributes of each axis; CF gives the attribute ``axis`` to coordinates that are dimensions, each letter once."""
    found, letters = [], set[str]()
    for axis in data.axes:
        attributes, letter = _axis_attributes(axis, data.axis_units[axis], data.axis_about.get(axis, {}))
        if letter and letter not in letters and not data.scattered:
            letters.add(letter)
            attributes["axis"] = letter
        found.append(attributes)
    return found


def _axis_attributes(axis: str, units: str, about: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Names and units of an axis, and its letter (empty: none)."""
    described = _described(axis, units, about)
    letter = GRID_AXES.get(axis.lower(), about.get("axis", ""))
    for known, name, its_letter in ((LATITUDE_UNITS, "latitude", "Y"), (LONGITUDE_UNITS, "longitude", "X")):
        if units in known:
            letter = its_letter
            described.setdefault("standard_name", name)
            if described["standard_name"] != name:  # of a rotated grid, whose unit is plain
                described["units"] = "degrees"
    if axis.lower() in STANDARD_NAMES and units in ("degrees", "degree"):
        described.setdefault("standard_name", STANDARD_NAMES[axis.lower()])
    if letter == "Z" or "positive" in about:
        described["positive"] = about.get("positive", "up").lower()
        letter = letter or "Z"
    return described, letter if letter in ("X", "Y", "Z") else ""


def _known(unit: str) -> bool:
    if unit in UNITS or (len(unit) > 2 and unit.endswith("s") and unit[:-1] in UNITS):
        return True
    words = any(unit.removesuffix("s") == word + name for word in WORDS for name in WORDED)
    return words or any(unit == prefix + symbol for prefix in PREFIXES for symbol in SYMBOLS)
