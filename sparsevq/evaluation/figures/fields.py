"""Pictures of fields: a strip of truth, forecasts and errors at several lead times, and an animation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from numpy.typing import NDArray
from PIL import Image

from sparsevq.data.layout import FieldData
from sparsevq.evaluation.cases import Cases
from sparsevq.evaluation.figures.style import new_figure, save, styled, with_unit
from sparsevq.evaluation.labels import method_style
from sparsevq.files import written_whole

Array = NDArray[Any]

OBSTACLE = "0.6"
MOST_CHANNELS = 2
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

    @property
    def title(self) -> str:
        """Which case this is, for people."""
        return f"{self.data.name}: {self.cases.name(self.case)} (the case with the median error)"

    def lead(self, lead: int) -> str:
        """A lead time as a title."""
        if lead == 0:
            return "observed frame"
        return f"lead {lead} ({self.cases.lead_time[lead - 1]:.3g} {self.cases.lead_units})".replace(" )", ")")


class FieldPainter:
    """Draws fields of one data set: a picture in 2-D, the middle plane of the first axis in 3-D, a line in 1-D."""

    def __init__(self, case: PicturedCase, channel: int):
        self._case, self._channel = case, channel
        data = case.data
        self._names = list(data.axes)[-2:]
        self._axes = [data.axes[name] for name in self._names]
        values = case.cases.truth(data, case.case)[:, case.valid, channel]
        low, high = float(values.min()), float(values.max())
        # A quantity of both signs gets a palette with a middle, one that hardly changes sign a plain one.
        self._signed = low < -0.2 * high and high > 0
        bound = max(abs(low), abs(high))
        self.limits = Normalize(-bound, bound) if self._signed else Normalize(low, high)
        self.palette = _palette("RdBu_r" if self._signed else "cividis")

        reference = case.cases.truth(data, case.case)[1:, case.valid, channel]
        errors = [case.forecast[:, case.valid, channel] - reference]
        if case.baseline is not None:
            errors.append(case.baseline[:, case.valid, channel] - reference)
        # A few points beside a wall must not wash out the rest.
        bound = float(np.quantile(np.abs(errors), 0.995)) or 1.0
        self.error_limits = Normalize(-bound, bound)
        self.error_palette = _palette("PuOr_r")

    @property
    def plane(self) -> str:
        """Which part of the field is shown, where it is not all of it."""
        if len(self._case.data.axes) < 3:
            return ""
        name, values = next(iter(self._case.data.axes.items()))
        return f"{name} = {values[len(values) // 2]:.3g} {self._case.data.axis_units[name]}"

    def draw(self, axes: Axes, fields: Array, error: bool = False) -> Any:
        """Draw ``(N, C)`` fields; gives back what `update` changes."""
        shown = self._shown(fields)
        limits = self.error_limits if error else self.limits
        if shown.ndim == 1:
            axes.set_ylim(*_padded(limits))
            axes.set_xlim(self._axes[0][0], self._axes[0][-1])
            return axes.plot(self._axes[0], shown, color="#D55E00" if error else "#0072B2", linewidth=1.2)[0]
        vertical, horizontal = self._axes
        palette = self.error_palette if error else self.palette
        picture = axes.pcolormesh(horizontal, vertical, shown, norm=limits, cmap=palette, shading="nearest")
        units = {self._case.data.axis_units[name] for name in self._names}
        if len(units) == 1:
            axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        return picture

    def update(self, drawn: Any, fields: Array) -> None:
        """Show other fields in a panel that was drawn."""
        shown = self._shown(fields)
        if shown.ndim == 1:
            drawn.set_ydata(shown)
        else:
            drawn.set_array(shown)

    def sensors(self, axes: Axes, small: bool = False) -> Artist:
        """Mark the sparse sensors; in 3-D all of them, seen along the first axis."""
        places = self._case.data.physical_coordinates[self._case.sensors][:, -2:]
        look: dict[str, Any] = {
            "s": 4 if small else 11,
            "linewidths": 0.4 if small else 0.7,
            "zorder": 3,
            "clip_on": False,
        }
        if len(self._case.data.axes) == 1:
            ground = np.full(len(places), axes.get_ylim()[0])
            return axes.scatter(places[:, 0], ground, marker="^", color="black", **look)
        return axes.scatter(places[:, 1], places[:, 0], facecolors="white", edgecolors="black", **look)

    def label_axes(self, axes: Axes, left: bool, bottom: bool) -> None:
        """Ticks and labels at the figure's rim only; elsewhere they would be noise."""
        units = [with_unit(name, self._case.data.axis_units[name]) for name in self._names]
        if len(self._axes) == 1:
            units = [with_unit(self._case.data.channels[self._channel], self._case.data.units[self._channel]), units[0]]
        axes.tick_params(left=left, labelleft=left, bottom=bottom, labelbottom=bottom, length=2, labelsize=7)
        if left:
            axes.set_ylabel(units[0], fontsize=8)
        if bottom:
            axes.set_xlabel(units[1], fontsize=8)

    def _shown(self, fields: Array) -> Array:
        values = np.ma.masked_array(fields[:, self._channel], ~self._case.valid).reshape(self._case.data.grid)
        return values[len(values) // 2] if values.ndim == 3 else values


@styled
def draw_strip(case: PicturedCase, path: Path) -> Path:
    """Truth, forecast and error (and the best baseline's) at the observed frame and at three lead times."""
    data, horizon = case.data, case.cases.horizon
    leads = sorted({0, 1, (horizon + 1) // 2, horizon})
    channels = range(min(len(data.channels), MOST_CHANNELS))
    truth = case.cases.truth(data, case.case)
    ours = np.concatenate([case.reconstruction[None], case.forecast])
    rows = [("truth", truth, False), ("sparsevq", ours, False), ("sparsevq\nerror", ours - truth, True)]
    if case.baseline is not None:
        label = method_style(case.baseline_name).label.replace(" + ", "\n+ ")
        # A baseline has no picture of the observed frame.
        baseline = np.concatenate([np.full_like(truth[:1], np.nan), case.baseline])
        rows += [(label, baseline, False), (f"{label}\nerror", baseline - truth, True)]

    size = _panel_size(data)
    bars = 0.7 if len(data.axes) > 1 else 0.0
    figure = new_figure(len(leads) * len(channels) * size[0] + 1.8, len(rows) * (size[1] + 0.05) + bars + 1.0)
    figure.suptitle(case.title, fontsize=10)
    # The first block is wider by the labels of the rows.
    widths = [len(leads) * size[0] + 1.1, *[len(leads) * size[0] + 0.2] * (len(channels) - 1)]
    blocks = figure.subfigures(1, len(channels), squeeze=False, width_ratios=widths)[0]
    for channel, block in zip(channels, blocks, strict=True):
        painter = FieldPainter(case, channel)
        unit = with_unit(data.channels[channel], data.units[channel])
        block.suptitle(", ".join(filter(None, [unit, painter.plane])), fontsize=10, fontweight="bold")
        heights = [1.0] * len(rows) + ([0.07] if bars else [])
        grid = block.add_gridspec(len(heights), len(leads), height_ratios=heights)
        for row, (name, fields, error) in enumerate(rows):
            for column, lead in enumerate(leads):
                axes = block.add_subplot(grid[row, column])
                if row == 0:
                    axes.set_title(case.lead(lead), fontsize=8)
                if column == 0 and channel == 0:
                    axes.annotate(
                        name, (-0.72, 0.5), xycoords="axes fraction", rotation=90, ha="center", va="center", fontsize=9
                    )
                if not np.isfinite(fields[lead]).any():
                    axes.set_axis_off()
                    continue
                painter.draw(axes, fields[lead], error)
                if lead == 0 or error:
                    painter.sensors(axes, small=error)
                painter.label_axes(axes, column == 0 and channel == 0, row == len(rows) - 1)
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
    return save(figure, path)


@styled
def draw_animation(case: PicturedCase, path: Path, most_frames: int = 20) -> Path:
    """Truth, mean forecast and error as they evolve from the observed frame: a GIF of at most `most_frames` frames."""
    data = case.data
    truth = case.cases.truth(data, case.case)
    ours = np.concatenate([case.reconstruction[None], case.forecast])
    channels = range(min(len(data.channels), MOST_CHANNELS))
    size = _panel_size(data, 2.0)
    figure = new_figure(3 * size[0] + 2.0, len(channels) * size[1] + 1.0)
    figure.set_dpi(80)
    title = figure.suptitle(case.lead(case.cases.horizon), fontsize=10)
    panels = figure.subplots(len(channels), 3, squeeze=False)
    drawn: list[tuple[FieldPainter, Any, Array]] = []
    moving: list[Artist] = []
    for channel, row in zip(channels, panels, strict=True):
        painter = FieldPainter(case, channel)
        unit = with_unit(data.channels[channel], data.units[channel])
        parts = [("truth", truth, False), ("sparsevq", ours, False), ("error", ours - truth, True)]
        for axes, (name, fields, error) in zip(row, parts, strict=True):
            drawn.append((painter, painter.draw(axes, fields[0], error), fields))
            moving.append(drawn[-1][1])
            painter.label_axes(axes, name == "truth", channel == channels[-1])
            if channel == 0:
                axes.set_title(name)
        moving.append(painter.sensors(row[0]))
        if len(data.axes) > 1:
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
        title.set_text(case.lead(lead))
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


def _panel_size(data: FieldData, width: float = 1.25) -> tuple[float, float]:
    """Width and height (inches) of a panel that fits the shape of the domain."""
    if len(data.axes) == 1:
        return 1.6 * width, 0.9 * width
    vertical, horizontal = list(data.axes.values())[-2:]
    units = set(list(data.axis_units.values())[-2:])
    ratio = np.ptp(vertical) / max(np.ptp(horizontal), 1e-12) if len(units) == 1 else 1.0
    ratio = float(np.clip(ratio, 0.2, 2.5))
    width = width * float(np.clip(ratio**-0.5, 0.8, 2.0))
    return width, width * ratio


def _palette(name: str) -> Colormap:
    return matplotlib.colormaps[name].with_extremes(bad=OBSTACLE)


def _padded(limits: Normalize) -> tuple[float, float]:
    low, high = float(limits.vmin or 0), float(limits.vmax or 0)
    return low - 0.2 * (high - low), high + 0.2 * (high - low)
