"""What a forecast is, in a few numbers: for scripts as JSON, for people as lines."""

import warnings
from typing import Any

import numpy as np
import xarray as xr

from sparsevq.data.field_data import FieldData
from sparsevq.data.lead_units import lead_unit
from sparsevq.forecasting.dataset.netcdf import channels_of
from sparsevq.forecasting.pictures.pictured import unit_of

DIGITS = 6
"""Of numbers that are computed."""


def summary_of(forecast: xr.Dataset, data: FieldData) -> dict[str, Any]:
    """A forecast in names and numbers that JSON has.

    ``spread`` is the standard deviation of the members, as root mean square over the field (by area; of asked points
    over these), for each lead time; None of a single member.
    """
    spread = spread_of(forecast, data)
    times = forecast["lead_time"].to_numpy().tolist()
    dated = {"reference_time": "forecast_reference_time", "valid_times": "valid_time"}
    return {
        "title": forecast.attrs["title"],
        "members": forecast.sizes["member"],
        "frames": forecast.sizes["lead_time"] - 1,
        "lead_times": times,
        "lead_time_units": unit_of(forecast["lead_time"]),
        **{key: _dates(forecast[name].to_numpy()) for key, name in dated.items() if name in forecast},
        "space": {str(name): size for name, size in _space(forecast).items()},
        "channels": {
            name: {"units": unit_of(forecast[name]), "spread": spread[name]} for name in channels_of(forecast)
        },
        "sensors": forecast.sizes["sensor"],
        "observed_frames": forecast["observed_frame"].to_numpy().tolist(),
        "settings": {
            name: np.asarray(forecast.attrs[name]).item()  # NumPy's, of a file
            for name in forecast.attrs
            if name in ("seed", "temperature", "top_k") or name.startswith("parameter_")
        },
        "digests": {name.removeprefix("digest_"): forecast.attrs[name] for name in _digests(forecast)},
    }


def spread_of(forecast: xr.Dataset, data: FieldData) -> dict[str, list[float] | None]:
    """Channel -> the root mean square of the members' standard deviation by lead time; None: a single member."""
    channels = channels_of(forecast)
    if forecast.sizes["member"] == 1:
        return dict.fromkeys(channels)
    space = tuple(_space(forecast))
    on_grid = space != ("point",) or data.scattered
    weights = xr.DataArray(data.weights.reshape(data.grid), dims=space) if on_grid else xr.DataArray(1.0)
    with warnings.catch_warnings():  # of points without a field, in the threads of dask
        warnings.simplefilter("ignore", RuntimeWarning)
        variance = forecast[list(channels)].var("member", ddof=1)
        mean = ((variance * weights).sum(space) / (variance.notnull() * weights).sum(space)).compute()
    return {
        name: [float(f"{value:.{DIGITS}g}") for value in np.sqrt(mean[name].to_numpy()).tolist()] for name in channels
    }


def lines_of(summary: dict[str, Any]) -> list[str]:
    """The summary for people: what was forecast, and how sure it is."""
    times, members = summary["lead_times"], summary["members"]
    unit = lead_unit(times, summary["lead_time_units"])
    until = f", to {unit.text(times[-1])} after the last reading" if unit.name else ""
    frames = summary["frames"]
    lines = [
        f"{summary['title']}: {members} member{'s' * (members > 1)}, {frames} frame{'s' * (frames > 1)}{until}",
    ]
    for name, channel in summary["channels"].items():
        if channel["spread"] is not None:
            first, last = channel["spread"][0], channel["spread"][-1]
            units = "" if channel["units"] == "1" else f" {channel['units']}"
            lines.append(f"spread of {name}: {first:.3g}{units} at lead 0, {last:.3g}{units} at lead {frames}")
    return lines


def _space(forecast: xr.Dataset) -> dict[Any, int]:
    field = forecast[channels_of(forecast)[0]]
    return {name: field.sizes[name] for name in field.dims[2:]}


def _digests(forecast: xr.Dataset) -> list[str]:
    return sorted(name for name in forecast.attrs if name.startswith("digest_"))


def _dates(dates: Any) -> Any:
    """Dates of any calendar as text, ISO 8601."""
    if np.issubdtype(dates.dtype, np.datetime64):
        return np.datetime_as_string(dates, unit="s").tolist()
    return dates.item().isoformat() if dates.ndim == 0 else [date.isoformat() for date in dates.tolist()]
