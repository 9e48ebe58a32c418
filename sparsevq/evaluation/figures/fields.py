"""Pictures of fields: a strip of truth, forecasts and errors at several lead times, and an animation."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import SubFigure
from numpy.typing import NDArray

from sparsevq.data.field_data import FieldData
from sparsevq.evaluation.cases import Cases
from sparsevq.evaluation.labels import method_style
from sparsevq.plotting.film import filmed, write_film
from sparsevq.plotting.painter import FieldPainter, error_colours, value_colours
from sparsevq.plotting.style import channel_label, lead_label, new_figure, save, styled, with_unit
from sparsevq.plotting.viewer import FieldViewer, spread_evenly, view_most_varied

Array = NDArray[Any]

MOST_CHANNELS = 3
"""Channels that are drawn: the first ones."""


class _Row(NamedTuple):
    """What is drawn from the observed frame on: ``(L + 1, ...)`` as the viewer shows it, and whether it is an error."""

    name: str
    painter: FieldPainter
    shown: Array
    error: bool


@dataclass(frozen=True, eq=False)
class PicturedCase:
    """The fields of one case, in physical units.

    Attributes
    ----------
    data, sensors
        The data set, and the flat indices of the sparse sensors.
    cases, case
        All cases, and the number of this one.
    forecast
        ``(L + 1, N, C)`` mean of the ensemble; at lead 0, where it does not begin there, the reconstruction.
    baseline, baseline_name
        ``(L + 1, N, C)`` of the best baseline, NaN where it has no lead 0; None where there is none.
    """

    data: FieldData
    sensors: NDArray[np.int64]
    cases: Cases
    case: int
    forecast: Array
    baseline: Array | None
    baseline_name: str

    @cached_property
    def truth(self) -> Array:
        """``(L + 1, N, C)``, from the observed frame on; NaN where there is no field."""
        valid = self.data.flat_mask[self.cases.trajectory[self.case]]
        return np.where(valid[:, None], self.cases.truth(self.data, self.case), np.float32(np.nan))

    @cached_property
    def viewer(self) -> FieldViewer:
        """How the fields are shown."""
        return view_most_varied(self.data, self.truth)

    @property
    def channels(self) -> list[tuple[int, str]]:
        """Channels that are drawn: number, and name with unit."""
        labels = [channel_label(channel, self.data.channel_about.get(channel, {})) for channel in self.data.channels]
        named = map(with_unit, labels, self.data.units)
        return list(enumerate(named))[:MOST_CHANNELS]

    @property
    def title(self) -> str:
        """Which case this is, for people."""
        where = ", outside the training range" if self.data.split[self.cases.trajectory[self.case]] == "ood" else ""
        left_out = len(self.data.channels) - len(self.channels)
        more = f"; {left_out} more channel{'s' * (left_out > 1)}" if left_out else ""
        return f"{self.data.name}{where}: {self.cases.name(self.case)} (the case with the median error){more}"

    def rows(self, channel: int, quantity: str, panel: tuple[float, float]) -> list[_Row]:
        """Truth, forecast and its error, and those of the best baseline, on one scale of values and one of errors."""
        truth = self.viewer.shown(self.truth[..., channel])
        forecasts = {"sparsevq": self.forecast[..., channel]}
        if self.baseline is not None:
            forecasts[method_style(self.baseline_name).label.replace(" + ", "\n+ ")] = self.baseline[..., channel]
        shown = {
            label: np.where(np.isnan(truth), np.nan, self.viewer.shown(fields)) for label, fields in forecasts.items()
        }
        values = FieldPainter(self.viewer, quantity, value_colours(truth), panel)
        colours = error_colours(np.stack([fields[1:] - truth[1:] for fields in shown.values()]))
        errors = FieldPainter(self.viewer, f"error of {quantity}", colours, panel)
        rows = [_Row("truth", values, truth, False)]
        for label, fields in shown.items():
            rows.append(_Row(label, values, fields, False))
            rows.append(_Row(f"{label}\nerror", errors, fields - truth, True))
        return rows

    def lead(self, lead: int) -> str:
        """A lead time as a title."""
        return lead_label(lead, self.cases.lead_time[lead - 1], self.cases.lead_units) if lead else "observed frame"

    @property
    def sensor_places(self) -> Array:
        """``(n_s, d)``: coordinates of the sparse sensors."""
        return self.data.physical_coordinates[self.sensors]


@styled
def draw_strip(case: PicturedCase, path: Path) -> Path:
    """Truth, forecast and error (and the best baseline's) at the observed frame and at three lead times."""
    horizon, viewer, size = case.cases.horizon, case.viewer, case.viewer.panel_size()
    leads = sorted({0, 1, (horizon + 1) // 2, horizon})
    rows = 3 if case.baseline is None else 5
    width, bars = len(leads) * size[0], 0.0 if viewer.is_line else 0.7
    figure = new_figure(len(case.channels) * width + 1.8, rows * (size[1] + 0.05) + bars + 1.0)
    figure.suptitle(case.title, fontsize=10)
    # The first block is wider by the labels of the rows.
    widths = [width + 1.1, *[width + 0.2] * (len(case.channels) - 1)]
    blocks = figure.subfigures(1, len(case.channels), squeeze=False, width_ratios=widths)[0]
    for (channel, quantity), block in zip(case.channels, blocks, strict=True):
        block.suptitle(viewer.title(quantity), fontsize=10, fontweight="bold")
        _draw_block(case, block, case.rows(channel, quantity, size), leads, first=channel == 0)
    return save(figure, path)


def _draw_block(case: PicturedCase, block: SubFigure, rows: list[_Row], leads: list[int], first: bool) -> None:
    """One channel of a strip: a row for each field and error, a column for each lead time, and the colour bars."""
    panels = block.subplots(len(rows), len(leads), squeeze=False)
    is_line, half = case.viewer.is_line, len(leads) // 2
    for row, (line, (name, painter, shown, error)) in enumerate(zip(panels, rows, strict=True)):
        if first:
            look: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "center", "fontsize": 9}
            line[0].annotate(name, (0, 0.5), (-56, 0), xycoords="axes fraction", textcoords="offset points", **look)
        for axes, lead in zip(line, leads, strict=True):
            if not np.isfinite(shown[lead]).any():
                axes.set_axis_off()
                continue
            painter.draw(axes, shown[lead])
            if lead == 0 or error:
                painter.sensors(axes, case.sensor_places, small=error)
            painter.label_axes(axes, lead == 0 and (first or is_line), row == len(rows) - 1)
    for axes, lead in zip(panels[0], leads, strict=True):
        axes.set_title(case.lead(lead), fontsize=8)
    if not is_line:
        rows[0].painter.colour_bar(block, ax=panels[:, :half], location="bottom", aspect=25)
        rows[2].painter.colour_bar(block, ax=panels[:, half:], location="bottom", aspect=25)


@styled
def draw_animation(case: PicturedCase, path: Path, most_frames: int = 20) -> Path:
    """Truth, mean forecast and error as they evolve from the observed frame: a GIF of at most `most_frames` frames."""
    viewer, channels, horizon = case.viewer, case.channels, case.cases.horizon
    size = viewer.panel_size(2.0)
    figure = new_figure(3 * size[0] + 2.0, len(channels) * size[1] + 1.0)
    figure.set_dpi(80)
    title = figure.suptitle(viewer.title(case.lead(horizon)), fontsize=10)
    panels = figure.subplots(len(channels), 3, squeeze=False)
    drawn: list[tuple[_Row, Any]] = []
    marks: list[Artist] = []
    for (channel, quantity), line in zip(channels, panels, strict=True):
        rows = case.rows(channel, quantity, size)[:3]
        for column, (axes, row) in enumerate(zip(line, rows, strict=True)):
            drawn.append((row, row.painter.draw(axes, row.shown[0])))
            row.painter.label_axes(axes, column == 0, channel == channels[-1][0])
            if channel == 0:
                axes.set_title(row.name.rpartition("\n")[2])
            if column and not viewer.is_line:
                row.painter.colour_bar(figure, ax=axes, aspect=25)
        marks.append(rows[0].painter.sensors(line[0], case.sensor_places))

    def show(lead: int) -> list[Artist]:
        title.set_text(viewer.title(case.lead(lead)))
        for row, panel in drawn:
            row.painter.update(panel, row.shown[lead])
        return [*(panel for _, panel in drawn), *marks, title]

    return write_film(path, filmed(figure, spread_evenly(horizon + 1, most_frames), show))
