"""A forecast at a few points: for each a curve over lead time, with the range of its members."""

from pathlib import Path

import numpy as np
import xarray as xr

from sparsevq.data.lead_units import lead_unit
from sparsevq.forecasting.dataset.netcdf import channels_of
from sparsevq.forecasting.pictures.pictured import MOST_CHANNELS, unit_of
from sparsevq.plotting.style import channel_label, new_figure, save, with_unit

MOST_CURVES = 8
"""Points: more of them are dots on a map."""
RANGE = (0.05, 0.95)
"""Quantiles of the members that the shading ends at."""
_COLUMNS, _SIZE = 4, (2.6, 1.9)


def has_curves(forecast: xr.Dataset) -> bool:
    """Whether a forecast is of so few points that each gets a curve."""
    field = forecast[channels_of(forecast)[0]]
    return field.dims[2:] == ("point",) and forecast.sizes["point"] <= MOST_CURVES


def draw_curves(path: Path, forecast: xr.Dataset) -> Path:
    """Write a PNG: a block of rows for each channel, a panel for each point."""
    channels, points = channels_of(forecast)[:MOST_CHANNELS], forecast.sizes["point"]
    columns = min(points, _COLUMNS)
    rows = -(-points // columns)
    members = forecast.sizes["member"]
    times = forecast["lead_time"].to_numpy()
    unit = lead_unit(times.tolist(), unit_of(forecast["lead_time"]))
    along = [unit.value(time) for time in times.tolist()]
    figure = new_figure(_SIZE[0] * columns + 0.6, (_SIZE[1] * rows) * len(channels) + 0.6)
    panels = figure.subplots(rows * len(channels), columns, squeeze=False, sharex=True)
    for block, channel in enumerate(channels):
        field = forecast[channel]
        quantity = with_unit(channel_label(channel, field.attrs), unit_of(field))
        values = field.to_numpy()  # (M, L, p)
        for point in range(rows * columns):
            axes = panels[block * rows + point // columns, point % columns]
            if point >= points:
                axes.set_axis_off()
                continue
            of_point = values[:, :, point]
            if members > 1:
                axes.fill_between(along, *np.quantile(of_point, RANGE, axis=0), alpha=0.3, linewidth=0)
            axes.plot(along, of_point.mean(axis=0))
            if block == 0:
                axes.set_title(place_text(forecast, point), fontsize=8)
            if point % columns == 0:
                axes.set_ylabel(quantity, fontsize=8)
            if point + columns >= points and block == len(channels) - 1:
                axes.set_xlabel(with_unit("lead time", unit.plural), fontsize=8)
    said = f", mean and {RANGE[1] - RANGE[0]:.0%} of {members} members" if members > 1 else ""
    figure.suptitle(f"{forecast.attrs['title']}{said}", fontsize=10)
    return save(figure, path)


def place_text(forecast: xr.Dataset, point: int) -> str:
    """Where a point is: ``y = 1.5 m, x = 0.2 m``."""
    axes = [name for name, at in forecast.coords.items() if at.dims == ("point",) and f"sensor_{name}" in forecast]
    said = []
    for axis in axes:
        unit = unit_of(forecast[axis])
        said.append(f"{axis} = {float(forecast[axis][point]):.4g} {'' if unit == '1' else unit}".rstrip())
    return ", ".join(said)
