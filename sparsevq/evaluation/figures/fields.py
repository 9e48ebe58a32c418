"""Pictures of fields: a strip of truth, forecasts and errors at several lead times, and an animation."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from sparsevq.data.field_data import FieldData
from sparsevq.evaluation.cases import Cases
from sparsevq.evaluation.figures.painter import OBSTACLE, FieldPainter, panel_size
from sparsevq.evaluation.figures.style import WRITTEN, new_figure, save, styled, with_unit
from sparsevq.evaluation.figures.view import View, choose_view
from sparsevq.evaluation.labels import method_style
from sparsevq.runtime.files import written_whole

__all__ = ["OBSTACLE", "PicturedCase", "draw_animation", "draw_strip"]

Array = NDArray[Any]

MOST_CHANNELS = 3
"""Channels that are drawn: the first ones."""


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
        ``(L, N, C)`` mean of the ensemble.
    reconstruction
        ``(N, C)`` of the observed frame, from the sparse sensors.
    baseline, baseline_name
        ``(L, N, C)`` of the best baseline; None where there is none.
    """

    data: FieldData
    sensors: NDArray[np.int64]
    cases: Cases
    case: int
    forecast: Array
    reconstruction: Array
    baseline: Array | None
    baseline_name: str

    @property
    def valid(self) -> Array:
        """``(N,)`` points where the field exists."""
        return self.data.flat_mask[self.cases.trajectory[self.case]]

    @cached_property
    def truth(self) -> Array:
        """``(L + 1, N, C)``, from the observed frame on."""
        return self.cases.truth(self.data, self.case)

    @cached_property
    def view(self) -> View:
        """What of the fields is shown."""
        return choose_view(self.data, self.truth, self.valid)

    @property
    def channels(self) -> range:
        """Channels that are drawn."""
        return range(min(len(self.data.channels), MOST_CHANNELS))

    @property
    def title(self) -> str:
        """Which case this is, for people."""
        where = ", outside the training range" if self.data.split[self.cases.trajectory[self.case]] == "ood" else ""
        left_out = len(self.data.channels) - len(self.channels)
        more = f"; {left_out} more channel{'s' * (left_out > 1)}" if left_out else ""
        return f"{self.data.name}{where}: {self.cases.name(self.case)} (the case with the median error){more}"

    def painter(self, channel: int, panel: tuple[float, float]) -> FieldPainter:
        """Draws a channel in panels of this size."""
        errors = [fields - self.truth[1:] for fields in (self.forecast, self.baseline) if fields is not None]
        return FieldPainter(self.view, channel, self.valid, self.sensors, self.truth, errors, panel)

    def lead(self, lead: int) -> str:
        """A lead time as a title."""
        if lead == 0:
            return "observed frame"
        unit = WRITTEN.get(self.cases.lead_units, self.cases.lead_units)
        return f"lead {lead} ({self.cases.lead_time[lead - 1]:.4g} {unit})".replace(" )", ")")


@styled
def draw_strip(case: PicturedCase, path: Path) -> Path:
    """Truth, forecast and error (and the best baseline's) at the observed frame and at three lead times."""
    data, horizon, view, channels, truth = case.data, case.cases.horizon, case.view, case.channels, case.truth
    leads = sorted({0, 1, (horizon + 1) // 2, horizon})
    ours = np.concatenate([case.reconstruction[None], case.forecast])
    rows = [("truth", truth, False), ("sparsevq", ours, False), ("sparsevq\nerror", ours - truth, True)]
    if case.baseline is not None:
        label = method_style(case.baseline_name).label.replace(" + ", "\n+ ")
        # A baseline has no picture of the observed frame.
        baseline = np.concatenate([np.full_like(truth[:1], np.nan), case.baseline])
        rows += [(label, baseline, False), (f"{label}\nerror", baseline - truth, True)]

    size = panel_size(view)
    bars = 0.0 if view.is_line else 0.7
    figure = new_figure(len(leads) * len(channels) * size[0] + 1.8, len(rows) * (size[1] + 0.05) + bars + 1.0)
    figure.suptitle(case.title, fontsize=10)
    # The first block is wider by the labels of the rows.
    widths = [len(leads) * size[0] + 1.1, *[len(leads) * size[0] + 0.2] * (len(channels) - 1)]
    blocks = figure.subfigures(1, len(channels), squeeze=False, width_ratios=widths)[0]
    for channel, block in zip(channels, blocks, strict=True):
        painter = case.painter(channel, size)
        unit = with_unit(data.channels[channel], data.units[channel])
        block.suptitle(", ".join(filter(None, [unit, view.plane])), fontsize=10, fontweight="bold")
        heights = [1.0] * len(rows) + ([0.07] if bars else [])
        grid = block.add_gridspec(len(heights), len(leads), height_ratios=heights)
        for row, (name, fields, error) in enumerate(rows):
            for column, lead in enumerate(leads):
                axes = block.add_subplot(grid[row, column])
                if row == 0:
                    axes.set_title(case.lead(lead), fontsize=8)
                if column == 0 and channel == 0:
                    axes.annotate(
                        name,
                        (0, 0.5),
                        (-56, 0),
                        xycoords="axes fraction",
                        textcoords="offset points",
                        rotation=90,
                        ha="center",
                        va="center",
                        fontsize=9,
                    )
                if not np.isfinite(fields[lead]).any():
                    axes.set_axis_off()
                    continue
                painter.draw(axes, fields[lead], error)
                if lead == 0 or error:
                    painter.sensors(axes, small=error)
                painter.label_axes(axes, column == 0 and (channel == 0 or view.is_line), row == len(rows) - 1)
        if bars:
            half = len(leads) // 2
            for place, limits, palette, label in (
                (grid[-1, :half], painter.limits, painter.palette, unit),
                (grid[-1, half:], painter.error_limits, painter.error_palette, f"error of {unit}"),
            ):
                bar = block.colorbar(
                    ScalarMappable(limits, palette), cax=block.add_subplot(place), orientation="horizontal"
                )
                bar.set_label(label, fontsize=8)
                bar.locator = MaxNLocator(4)
    return save(figure, path)


@styled
def draw_animation(case: PicturedCase, path: Path, most_frames: int = 20) -> Path:
    """Truth, mean forecast and error as they evolve from the observed frame: a GIF of at most `most_frames` frames."""
    data, view, channels, truth = case.data, case.view, case.channels, case.truth
    ours = np.concatenate([case.reconstruction[None], case.forecast])
    size = panel_size(view, 2.0)
    figure = new_figure(3 * size[0] + 2.0, len(channels) * size[1] + 1.0)
    figure.set_dpi(80)
    title = figure.suptitle(", ".join(filter(None, [case.lead(case.cases.horizon), view.plane])), fontsize=10)
    panels = figure.subplots(len(channels), 3, squeeze=False)
    drawn: list[tuple[FieldPainter, Any, Array]] = []
    moving: list[Artist] = []
    for channel, row in zip(channels, panels, strict=True):
        painter = case.painter(channel, size)
        unit = with_unit(data.channels[channel], data.units[channel])
        parts = [("truth", truth, False), ("sparsevq", ours, False), ("error", ours - truth, True)]
        for axes, (name, fields, error) in zip(row, parts, strict=True):
            drawn.append((painter, painter.draw(axes, fields[0], error), fields))
            moving.append(drawn[-1][1])
            painter.label_axes(axes, name == "truth", channel == channels[-1])
            if channel == 0:
                axes.set_title(name)
        moving.append(painter.sensors(row[0]))
        if not view.is_line:
            for several, limits, palette, label in (
                (row[1], painter.limits, painter.palette, unit),
                (row[2], painter.error_limits, painter.error_palette, f"error of {unit}"),
            ):
                bar = figure.colorbar(ScalarMappable(limits, palette), ax=several, aspect=25)
                bar.set_label(label, fontsize=8)
    leads = np.unique(np.linspace(0, case.cases.horizon, min(most_frames, case.cases.horizon + 1)).round().astype(int))

    # What does not move is drawn once: a whole figure a frame takes ten times as long.
    moving.append(title)
    for artist in moving:
        artist.set_animated(True)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    pictures = []
    for lead in leads.tolist():
        canvas.restore_region(background)
        title.set_text(", ".join(filter(None, [case.lead(lead), view.plane])))
        for painter, panel, fields in drawn:
            painter.update(panel, fields[lead])
        for artist in moving:
            figure.draw_artist(artist)
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        # The usual choice of 256 colours, by how common they are, would leave the colour bars of rare values grey.
        pictures.append(picture.quantize(method=Image.Quantize.MAXCOVERAGE))
    with written_whole(path) as part:
        pictures[0].save(part, save_all=True, append_images=pictures[1:], duration=250, loop=0)
    return path
