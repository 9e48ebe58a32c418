"""A film of a forecast: mean and spread of the ensemble over lead time, with the sensors."""

from collections.abc import Iterator
from pathlib import Path

import xarray as xr
from matplotlib.artist import Artist
from matplotlib.layout_engine import ConstrainedLayoutEngine

from sparsevq.forecasting.dataset.writing import Progress
from sparsevq.forecasting.pictures.pictured import PicturedForecast
from sparsevq.plotting.film import filmed, write_film
from sparsevq.plotting.style import new_figure, styled

DPI = 100


@styled
def animate_forecast(path: str | Path, forecast: xr.Dataset, progress: Progress | None = None) -> Path:
    """Write a GIF or an MP4, by the suffix: every lead time, on the same scales of colours.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    forecast
        What `sparsevq.Forecaster.forecast` gave.
    progress
        Is told how many of how many pictures are drawn.

    Raises
    ------
    SparseVQError
        The suffix is another one, MP4 has no ffmpeg, the folder can't be written, or the disk is full.
    """
    shown = PicturedForecast(forecast, range(forecast.sizes["lead_time"]), width=2.4)
    columns = 2 if len(shown.rows) > len(shown.channels) else 1  # mean and spread
    rows, (width, height) = len(shown.channels), shown.size
    figure = new_figure((width + 0.9) * columns + 0.5, (height + 0.15) * rows + 1.1)
    figure.set_dpi(DPI)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(rect=(0.015, 0, 0.97, 1))  # panels of equal scales beside colour bars come some pixels too far out
    longest = max(shown.lead_titles, key=len).replace("\n", ", ")
    figure.suptitle(shown.title, fontsize=9)
    title = figure.supxlabel(longest, fontsize=10, fontweight="bold")
    panels = figure.subplots(rows, columns, squeeze=False)
    lines = [list(zip(panels.flat, shown.rows, strict=True))]
    for number, (axes, quantity) in enumerate(lines[0]):
        shown.draw(axes, quantity, 0)
        quantity.painter.label_axes(axes, number % columns == 0, number // columns == rows - 1)
        if not shown.viewer.is_line:
            quantity.painter.colour_bar(figure, shown.letters, ax=axes, aspect=20)
    moving: list[Artist] = [artist for axes in panels.flat for artist in (*axes.collections, *axes.lines)]

    def told() -> Iterator[int]:
        for lead in range(len(shown.leads)):
            if progress is not None:
                progress(lead, len(shown.leads))
            yield lead

    def show(lead: int) -> list[Artist]:
        for artist in moving:
            artist.remove()
        moving[:] = [artist for axes, quantity in lines[0] for artist in shown.draw(axes, quantity, lead)]
        title.set_text(shown.lead_titles[lead].replace("\n", ", "))
        return [*moving, title]

    return write_film(path, filmed(figure, told(), show))
