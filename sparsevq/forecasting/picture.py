"""A picture of a forecast: mean and spread of the ensemble at several lead times, with the sensors."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from sparsevq.forecasting.netcdf import channels_of
from sparsevq.plotting.painter import FieldPainter, std_colours, value_colours
from sparsevq.plotting.style import channel_label, lead_label, new_figure, save, styled, with_unit
from sparsevq.plotting.viewer import FieldViewer, spread_evenly, view_middle

MOST_COLUMNS = 5
MOST_CHANNELS = 3

Array = npt.NDArray[Any]


@styled
def draw_forecast(path: str | Path, forecast: xr.Dataset) -> None:
    """Write a PNG.

    Two axes: pictures; one: lines with a band of one standard deviation; three: the middle plane, seen from the side
    where there is a vertical axis ``z``. Scattered points: a dot each, of points in space those around the middle.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    forecast
        What `sparsevq.Forecaster.forecast` gave.

    Raises
    ------
    SparseVQError
        The folder can't be written, or the disk is full.
    """
    viewer = _viewer(forecast)
    leads = spread_evenly(forecast.sizes["lead_time"], MOST_COLUMNS)
    size = viewer.panel_size(1.6)
    rows: list[tuple[FieldPainter, Array]] = []
    bands: list[Array] = []
    for channel in channels_of(forecast)[:MOST_CHANNELS]:
        members, unit = forecast[channel].isel(lead_time=leads), _unit(forecast[channel])
        name = channel_label(channel, forecast[channel].attrs)
        mean, std = (
            viewer.shown(values.to_numpy().reshape(len(leads), -1))
            for values in (members.mean("member"), members.std("member", ddof=int(len(members) > 1)))
        )
        if viewer.is_line:
            bands.append(np.stack([mean - std, mean + std], axis=1))  # (lead time, 2, n)
            colours = value_colours(bands[-1])
            rows.append((FieldPainter(viewer, with_unit(f"{name}: mean and std", unit), colours, size), mean))
            continue
        rows.append((FieldPainter(viewer, with_unit(f"mean of {name}", unit), value_colours(mean), size), mean))
        if len(members) > 1:
            rows.append((FieldPainter(viewer, with_unit(f"spread of {name}", unit), std_colours(std), size), std))

    figure = new_figure(1.6 + (size[0] + 0.1) * len(leads), 0.8 + (size[1] + 0.2) * len(rows))
    panels = figure.subplots(len(rows), len(leads), squeeze=False)
    sensors = np.stack([forecast[f"sensor_{axis}"].to_numpy() for axis in viewer.axes], axis=-1)
    for row, (line, (painter, fields)) in enumerate(zip(panels, rows, strict=True)):
        for column, (axes, lead) in enumerate(zip(line, leads, strict=True)):
            painter.draw(axes, fields[column])
            if viewer.is_line:
                axes.fill_between(viewer.along(viewer.shown_axes[0]), *bands[row][column], alpha=0.3, linewidth=0)
            painter.sensors(axes, sensors)
            painter.label_axes(axes, column == 0, row == len(rows) - 1)
            if row == 0:
                axes.set_title(lead_label(lead, float(forecast["lead_time"][lead]), _unit(forecast["lead_time"])))
        if not viewer.is_line:
            painter.colour_bar(figure, ax=line, aspect=12)
    part = f"; {viewer.part}, all sensors" if viewer.part else ""
    figure.suptitle(f"{forecast.attrs['title']}, {forecast.sizes['member']} members{part}", fontsize=10)
    save(figure, Path(path))


def _viewer(forecast: xr.Dataset) -> FieldViewer:
    """The forecast's points are the coordinates of its fields."""
    field = forecast[channels_of(forecast)[0]]
    space = field.dims[2:]  # after member and lead_time
    scattered = space == ("point",)
    axes = [name for name, at in field.coords.items() if at.dims == space] if scattered else space
    units = {str(name): _unit(forecast[name]) for name in axes}
    return view_middle({str(name): forecast[name].to_numpy() for name in axes}, units, scattered)


def _unit(of: xr.DataArray) -> str:
    """The unit, as the data set calls it."""
    return str(of.attrs.get("long_name", "").partition("in units of ")[2] or of.attrs.get("units", ""))
