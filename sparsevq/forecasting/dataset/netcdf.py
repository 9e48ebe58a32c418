"""Forecasts as data sets that follow the CF conventions, and as files that GIS and meteorological tools read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from sparsevq.data.clock import Clock
from sparsevq.data.field_data import FieldData
from sparsevq.forecasting.dataset.cf import attributes_of, axes_attributes, lead_time_attributes
from sparsevq.forecasting.dataset.observed import Observed
from sparsevq.forecasting.dataset.valid_times import valid_times
from sparsevq.version import VERSION

FloatArray = npt.NDArray[np.float64]

CONVENTIONS = "CF-1.11"


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
            named = attributes_of(channel, unit, data.channel_about.get(channel), what)
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
        "lead_time": ("lead_time", lead_time, lead_time_attributes(data.time_units)),
    }


def _of_space(data: FieldData, space: tuple[str, ...]) -> dict[str, Any]:
    """Coordinates of the fields."""
    return {
        axis: (space if data.scattered else axis, at, attributes)
        for (axis, at), attributes in zip(data.axes.items(), axes_attributes(data), strict=True)
    }


def _of_sensors(data: FieldData, observed: Observed) -> dict[str, Any]:
    """Coordinates of the readings: their places, which of the run's sensors they are, and their frames."""
    numbered = {"long_name": "number of the sensor in sensors.csv; -1: none of these", "units": "1"}
    frames = {"long_name": "frames after the last observed one", "units": "1"}
    return {
        **{
            f"sensor_{axis}": ("sensor", at, attributes_of(f"{axis} of the sensors", data.axis_units[axis]))
            for axis, at in zip(data.axes, observed.places.T, strict=True)
        },
        "sensor_number": ("sensor", observed.numbers, numbered),
        "observed_frame": ("observed_frame", np.array(observed.offsets, dtype=np.int32), frames),
    }
