"""The page of a forecast whose truth nobody knows yet: what `sparsevq.Forecaster.forecast` gave, or a file of it."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.explore.content import Content, channels_described, fitted, shown
from sparsevq.explore.domain import Domain
from sparsevq.explore.fields import Fields, packed_fields, scales
from sparsevq.explore.sensors import AtSensors, sensors_described
from sparsevq.forecasting.dataset.netcdf import channels_of
from sparsevq.forecasting.pictures.pictured import unit_of
from sparsevq.version import VERSION

Array = NDArray[Any]


def open_forecast(path: Path) -> xr.Dataset:
    """A forecast in a NetCDF file or a Zarr store; its fields are read when they are used.

    Raises
    ------
    SparseVQError
        There is no such file, or it is no forecast.
    """
    if not path.exists():
        raise SparseVQError(f"there is no {path}", "give a forecast (.nc, .zarr), or the folder of a run")
    try:
        engine: Any = "zarr" if path.is_dir() else "netcdf4"
        forecast = xr.open_dataset(path, engine=engine, decode_timedelta=False)
    except (OSError, ValueError, KeyError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise SparseVQError(
            f"{path} can't be read as a forecast ({said})", "give what sparsevq forecast wrote"
        ) from None
    if not channels_of(forecast):
        raise SparseVQError(
            f"{path} holds no field with the dimensions member and lead_time", "give what sparsevq forecast wrote"
        )
    return forecast


def forecast_page(forecast: xr.Dataset) -> Content:
    """What the page of a forecast shows: mean, spread, interval, members, and the sensors with their readings.

    Fields that are computed when they are used are computed one member after the other.
    """
    about = _description(forecast)
    members, horizon = forecast.sizes["member"], forecast.sizes["lead_time"]
    domain, cases = fitted(Domain.of(about, horizon), lambda domain: [_case(forecast, about, domain)])
    title = str(forecast.attrs.get("title", "Ensemble forecast"))
    lead = np.asarray(forecast["lead_time"], dtype=np.float64)
    frames = int((lead > 0).sum())
    told = [f"{members} member{'s' * (members > 1)}, {frames} frame{'s' * (frames > 1)}"]
    if "forecast_reference_time" in forecast.coords:
        told.append(f"from {_date(forecast['forecast_reference_time'].to_numpy())}")
    told.append(str(forecast.attrs.get("source", f"sparsevq {VERSION}")).partition(":")[0])
    script = {
        "channels": channels_described(about),
        "members": members,
        "curves": None,
        "timeMean": None,
        **shown(domain, lead, unit_of(forecast["lead_time"]), cases),
    }
    return Content(title, told, {}, script)


def _description(forecast: xr.Dataset) -> Description:
    """Points and channels of a forecast."""
    channels = channels_of(forecast)
    field = forecast[channels[0]]
    space = field.dims[2:]
    scattered = space == ("point",)
    axes = [name for name, at in field.coords.items() if at.dims == space] if scattered else space
    simulator = forecast.attrs.get("simulator")
    return Description(
        axes={str(name): np.asarray(forecast[name], dtype=np.float64) for name in axes},
        axis_units={str(name): unit_of(forecast[name]) for name in axes},
        time=np.asarray(forecast["lead_time"], dtype=np.float64),
        time_units=unit_of(forecast["lead_time"]),
        channels=channels,
        units=tuple(unit_of(forecast[channel]) for channel in channels),
        scattered=scattered,
        provenance={"simulator": simulator} if simulator else {},
        channel_about={channel: {"long_name": _name(forecast[channel])} for channel in channels},
    )


def _case(forecast: xr.Dataset, about: Description, domain: Domain) -> dict[str, Any]:
    """The one case of the page."""
    members = _members(forecast, about, domain)
    fields = Fields(None, members.mean(axis=0), members)
    found = scales(fields)
    dates = None
    if "valid_time" in forecast.coords:
        dates = [_date(date) for date in forecast["valid_time"].to_numpy()[domain.leads]]
    return {
        "name": "forecast",
        "reason": "",
        "observed": int(forecast.attrs.get("observed_frames", 1)),
        "dates": dates,
        "errors": None,
        "scales": found,
        "fields": packed_fields(fields, np.array([scale["bound"] for scale in found])),
        "sensors": _sensors(forecast, about, domain),
    }


def _members(forecast: xr.Dataset, about: Description, domain: Domain) -> Array:
    """``(M, L, n, C)`` at the points and lead times that are shown."""
    points, leads = domain.points, domain.leads
    found = np.empty((forecast.sizes["member"], len(leads), len(points), len(about.channels)), np.float32)
    for channel, name in enumerate(about.channels):
        for member in range(len(found)):
            values = forecast[name].isel(member=member, lead_time=leads).to_numpy()
            found[member, ..., channel] = values.reshape(len(leads), -1)[:, points]
    return found


def _sensors(forecast: xr.Dataset, about: Description, domain: Domain) -> dict[str, Any]:
    """Readings, and the forecast at the sensors; files of earlier versions have the places alone."""
    places = np.stack([np.asarray(forecast[f"sensor_{axis}"], float) for axis in about.axes], axis=-1)
    shape, leads = (len(places), len(about.channels)), domain.leads
    readings, times = np.full((1, *shape), np.nan), np.zeros(1)
    members = np.full((1, len(leads), *shape), np.nan)
    if "observed_frame" in forecast.coords:
        read = [np.asarray(forecast[f"{name}_reading"], float) for name in about.channels]
        readings = np.stack(read, axis=-1)
        step = float(np.diff(about.time[:2]).sum())  # frames are evenly spaced
        times = np.asarray(forecast["observed_frame"], float) * step
        at = [np.asarray(forecast[f"{name}_at_sensors"].isel(lead_time=leads), float) for name in about.channels]
        members = np.stack(at, axis=-1)
    numbers = forecast["sensor_number"].to_numpy() if "sensor_number" in forecast else np.arange(len(places))
    names = [str(number) if number >= 0 else f"at {index} of the readings" for index, number in enumerate(numbers)]
    mean = members.mean(axis=0)
    reads = np.isfinite(readings).any(axis=0)
    return sensors_described(AtSensors(names, places, reads, times, readings, None, mean, members))


def _name(of: xr.DataArray) -> str:
    return str(of.attrs.get("long_name", of.name)).partition(" in units of ")[0]


def _date(date: Any) -> str:
    """A date of numpy or cftime, to the second."""
    return str(date).partition(".")[0].replace("T", " ")
