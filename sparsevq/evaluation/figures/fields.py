"""Pictures of fields: a strip of truth, forecasts and errors at several lead times, and an animation."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sparsevq.data.field_data import FieldData
from sparsevq.data.lead_units import lead_unit
from sparsevq.evaluation.labels import method_style
from sparsevq.forecasting.cases import Cases
from sparsevq.plotting.film import filmed, write_film
from sparsevq.plotting.painter import FieldPainter, error_colours, value_colours
from sparsevq.plotting.style import channel_label, lead_label, lines_of, new_figure, save, styled, with_unit
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
    who
        Data set, sensors and seed, for people.
    climatology
        ``(N, C)`` what is subtracted of truth and forecasts, NaN for channels that are shown as they are; None: of all.
    """

    data: FieldData
    sensors: NDArray[np.int64]
    cases: Cases
    case: int
    forecast: Array
    baseline: Array | None
    baseline_name: str
    who: str = ""
    climatology: Array | None = None

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
        named = []
        for number, (channel, unit) in enumerate(zip(self.data.channels, self.data.units, strict=True)):
            label = channel_label(channel, self.data.channel_about.get(channel, {}))
            label = f"{label}, anomaly" if self.mean_of(number) is not None else label
            named.append((number, with_unit(label, unit)))
        return named[:MOST_CHANNELS]

    def mean_of(self, channel: int) -> Array | None:
        """``(N,)`` the time mean that a channel is shown about; None: it is shown as it is."""
        mean = None if self.climatology is None else self.climatology[:, channel]
        return None if mean is None or np.isnan(mean).all() else mean

    @property
    def title(self) -> str:
        """Which case this is, for people."""
        where = ", outside the training range" if self.data.split[self.cases.trajectory[self.case]] == "ood" else ""
        left_out = len(self.data.channels) - len(self.channels)
        more = f"; {left_out} more channel{'s' * (left_out > 1)}" if left_out else ""
        about = any(self.mean_of(channel) is not None for channel, _ in self.channels)
        more += "; anomalies are about the climatology, the mean of each point over the training frames" * about
        who = self.who or self.data.name
        return f"{who}{where}: {self.cases.name(self.case)} (the case with the median error){more}"

    def rows(self, channel: int, quantity: str, panel: tuple[float, float]) -> list[_Row]:
        """Truth, forecast and its error, and those of the best baseline, on one scale of values and one of errors."""
        mean = self.mean_of(channel)
        about = np.float32(0) if mean is None else self.viewer.shown(mean)
        truth = self.viewer.shown(self.truth[..., channel])
        forecasts = {"sparsevq": self.forecast[..., channel]}
        if self.baseline is not None:
            forecasts[method_style(self.baseline_name).label.replace(" + ", "\n+ ")] = self.baseline[..., channel]
        shown = {
            label: np.where(np.isnan(truth), np.nan, self.viewer.shown(fields)) for label, fields in forecasts.items()
        }
        colours = value_colours(truth - about).clipping(*(fields - about for fields in (truth, *shown.values())))
        values = FieldPainter(self.viewer, quantity, colours, panel)
        colours = error_colours(np.stack([fields[1:] - truth[1:] for fields in shown.values()]))
        colours = colours.clipping(*(fields - truth for fields in shown.values()))
        errors = FieldPainter(self.viewer, f"error of {quantity}", colours, panel)
        rows = [_Row("truth", values, truth - about, False)]
        for label, fields in shown.items():
            rows.append(_Row(label, values, fields - about, False))
            rows.append(_Row(f"{label}\nerror", errors, fields - truth, True))
        return rows

    def lead(self, lead: int) -> str:
        """A lead time as a title."""
        unit = lead_unit(self.cases.lead_time.tolist(), self.cases.lead_units)
        return lead_label(lead, self.cases.lead_time[lead - 1], unit) if lead else "observed frame"

    @property
    def sensor_places(self) -> Array:
        """``(n_s, d)``: coordinates of the sparse sensors."""
        return self.data.physical_coordinates[self.sensors]


@styled
def draw_strip(case: PicturedCase, path: Path) -> Path:
    """Truth, forecast and error (and the best baseline's) at the observed frame and at three lead times.

    All panels lie on one grid, so that those of a row or of a column are aligned, whatever their labels need.
    """
    horizon, viewer, panel = case.cases.horizon, case.viewer, case.viewer.panel_size()
    leads = sorted({0, 1, (horizon + 1) // 2, horizon})
    blocks = [case.rows(channel, quantity, panel) for channel, quantity in case.channels]
    grid = _Grid(panel, len(blocks[0]), len(leads), len(blocks), viewer.is_line, case.title)
    figure = grid.figure
    for block, (rows, (_, quantity)) in enumerate(zip(blocks, case.channels, strict=True)):
        _draw_block(case, grid, block, rows, leads)
        look: dict[str, Any] = {"fontsize": 10, "fontweight": "bold", "ha": "center"}
        figure.text(grid.centre(block), grid.above(0.28), viewer.title(quantity), **look)
        if not viewer.is_line:
            for half, bar in enumerate((rows[0], rows[2])):
                bar.painter.colour_bar(figure, cax=grid.bar(block, half), orientation="horizontal")
    for place, row in enumerate(blocks[0]):
        fits = max(map(len, row.name.split("\n"))) * 0.068 < panel[1]
        name = row.name if fits else row.name.replace(" ", "\n")
        figure.text(0.25 / grid.width, grid.middle(place), name, rotation=90, ha="center", va="center", fontsize=8.5)
    return save(figure, path)


class _Grid:
    """Where the panels of a strip lie: blocks of columns beside each other, rows below each other (inches)."""

    LEFT, LABELS, GAP, RIGHT, BOTTOM, BARS, LINE = 0.5, 0.55, 0.14, 0.15, 0.5, 0.55, 0.18

    def __init__(self, panel: tuple[float, float], rows: int, columns: int, blocks: int, is_line: bool, text: str):
        self._panel, self._columns = panel, columns
        # Only lines have labels of their own in each block: they have no colour bar.
        self._bars, self._between = (0.0, self.LABELS) if is_line else (self.BARS, 0.2)
        self._block = columns * (panel[0] + self.GAP) + self._between
        self.width = max(self.LEFT + self.LABELS - self._between + blocks * self._block + self.RIGHT, 5.0)
        lines = lines_of(text, self.width)
        self._top = 0.62 + self.LINE * len(lines)
        self.height = self._top + rows * (panel[1] + self.GAP) + self.BOTTOM + self._bars
        self.figure = new_figure(self.width, self.height)
        self.figure.set_layout_engine("none")
        self.figure.suptitle("\n".join(lines), fontsize=10, y=1 - 0.08 / self.height, va="top")

    def _left(self, block: int, column: int) -> float:
        return self.LEFT + self.LABELS + block * self._block + column * (self._panel[0] + self.GAP)

    def panel(self, block: int, row: int, column: int) -> Axes:
        """The panel of a block."""
        bottom = self.height - self._top - (row + 1) * (self._panel[1] + self.GAP) + self.GAP
        return self._axes(self._left(block, column), bottom, *self._panel)

    def bar(self, block: int, half: int) -> Axes:
        """Where a colour bar goes: below the left or the right half of the columns."""
        first, last = (0, self._columns // 2 - 1) if half == 0 else (self._columns // 2, self._columns - 1)
        left = self._left(block, first)
        return self._axes(left + 0.05, 0.42, self._left(block, last) + self._panel[0] - left - 0.1, 0.1)

    def centre(self, block: int) -> float:
        """The middle of a block's columns, as a share of the width."""
        return (self._left(block, 0) + self._left(block, self._columns - 1) + self._panel[0]) / 2 / self.width

    def above(self, inches: float) -> float:
        """A height over the panels, as a share of the figure's."""
        return 1 - (self._top - inches) / self.height

    def middle(self, row: int) -> float:
        """The middle of a row, as a share of the height."""
        return 1 - (self._top + row * (self._panel[1] + self.GAP) + self._panel[1] / 2) / self.height

    def _axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))


def _draw_block(case: PicturedCase, grid: _Grid, block: int, rows: list[_Row], leads: list[int]) -> None:
    """One channel of a strip: a row for each field and error, a column for each lead time."""
    for row, (_, painter, shown, error) in enumerate(rows):
        for column, lead in enumerate(leads):
            axes = grid.panel(block, row, column)
            if row == 0:
                axes.set_title(case.lead(lead), fontsize=8, pad=4)
            if not np.isfinite(shown[lead]).any():
                axes.set_axis_off()
                continue
            painter.draw(axes, shown[lead])
            if lead == 0 or error:
                painter.sensors(axes, case.sensor_places, small=error)
            left = column == 0 and (block == 0 or case.viewer.is_line)
            painter.label_axes(axes, left, row == len(rows) - 1)


@styled
def draw_animation(case: PicturedCase, path: Path, most_frames: int = 20) -> Path:
    """Truth, mean forecast and error as they evolve from the observed frame: a GIF of at most `most_frames` frames."""
    viewer, channels, horizon = case.viewer, case.channels, case.cases.horizon
    size = viewer.panel_size(2.0)
    figure = new_figure(3 * size[0] + 2.0, len(channels) * size[1] + 1.0)
    figure.set_dpi(80)
    who = lines_of(case.title, figure.get_figwidth())
    heading = figure.suptitle("\n".join([*who, viewer.title(case.lead(horizon))]), fontsize=9)
    panels = figure.subplots(len(channels), 3, squeeze=False)
    drawn: list[tuple[_Row, Any]] = []
    marks: list[Artist] = []
    for (channel, quantity), line in zip(channels, panels, strict=True):
        rows = case.rows(channel, quantity, size)[:3]
        for column, (axes, row) in enumerate(zip(line, rows, strict=True)):
            drawn.append((row, row.painter.draw(axes, row.shown[0])))
            row.painter.label_axes(axes, column == 0, channel == channels[-1][0])
            if channel == 0:
                axes.set_title("error of the forecast" if row.error else row.name)
            if column and not viewer.is_line:
                row.painter.colour_bar(figure, max(int(14 * size[1]), 20), ax=axes, aspect=25)
        marks.append(rows[0].painter.sensors(line[0], case.sensor_places))

    def show(lead: int) -> list[Artist]:
        heading.set_text("\n".join([*who, viewer.title(case.lead(lead))]))
        for row, panel in drawn:
            row.painter.update(panel, row.shown[lead])
        return [*(panel for _, panel in drawn), *marks, heading]

    return write_film(path, filmed(figure, spread_evenly(horizon + 1, most_frames), show))
