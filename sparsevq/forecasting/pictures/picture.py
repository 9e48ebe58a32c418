"""A picture of a forecast: mean and spread of the ensemble at several lead times, with the sensors."""

from pathlib import Path

import xarray as xr

from sparsevq.forecasting.pictures.curves import draw_curves, has_curves
from sparsevq.forecasting.pictures.pictured import PicturedForecast
from sparsevq.plotting.style import new_figure, save, styled
from sparsevq.plotting.viewer import spread_evenly

MOST_COLUMNS = 5


@styled
def draw_forecast(path: str | Path, forecast: xr.Dataset) -> Path:
    """Write a PNG.

    Two axes: pictures; one: lines with a band of one standard deviation; three: the plane in which the mean varies
    most, seen from the side where there is a vertical axis ``z``. Scattered points: a dot each, of points in space
    those of a slab; of a few points a curve each, over lead time. In the first column sensors have the colour of what
    they read.

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
    if has_curves(forecast):
        return draw_curves(Path(path), forecast)
    shown = PicturedForecast(forecast, spread_evenly(forecast.sizes["lead_time"], MOST_COLUMNS), width=1.6)
    columns, rows, (width, height) = len(shown.leads), len(shown.rows), shown.size
    figure = new_figure(1.6 + (width + 0.1) * columns, 0.8 + (height + 0.2) * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for row, (line, quantity) in enumerate(zip(panels, shown.rows, strict=True)):
        for column, axes in enumerate(line):
            shown.draw(axes, quantity, column)
            quantity.painter.label_axes(axes, column == 0, row == rows - 1)
            if row == 0:
                axes.set_title(shown.lead_titles[column], fontsize=8)
        if not shown.viewer.is_line:
            quantity.painter.colour_bar(figure, shown.letters, ax=line, aspect=12)
    figure.suptitle(shown.title, fontsize=10)
    return save(figure, Path(path))
