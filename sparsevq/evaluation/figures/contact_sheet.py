"""A data set at a glance: some trajectories of each split, frame by frame, one block for each channel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, SPLITS
from sparsevq.data.source import Source, with_channels
from sparsevq.evaluation.figures.fields import OBSTACLE
from sparsevq.evaluation.figures.sheet_pictures import Pictures, View, read_pictures, slab, strides, view_of
from sparsevq.evaluation.figures.style import new_figure, save, styled, with_unit

Array = NDArray[Any]

PAGE = (8.27, 11.69)
"""Inches: A4."""
LEFT, RIGHT, TOP, BOTTOM, GAP = 0.62, 0.85, 0.55, 0.42, 0.07
TITLE, HEADING = 0.17, 0.46
"""Heights of a row's title and of a block's."""
MOST_CHANNELS = 4
FRAMES, LINES = (5, 10), 3
"""Fewest and most columns of a block; space-time diagrams side by side."""
MOST_ROWS, MOST_WRAPS = 8, 4
INSTANTS = 256
"""Frames of a space-time diagram: more cannot be seen."""
ANGLES = ("deg", "degree", "degrees", "rad", "radian", "radians", "°")


@styled
def draw_contact_sheet(source: Source, path: Path, name: str = "", channels: Sequence[str] = ()) -> Path:
    """Draw some trajectories of each split, at frames that are spread evenly in time, on at most one page of A4.

    One block for each channel, with one scale of colours. 1-D: space-time diagrams; 2-D: pictures in the domain's
    proportions; 3-D, seen from the side: the largest value along the line of sight where most of the domain is near the
    channel's lowest value, as with a plume, otherwise the middle plane; scattered points: dots, in 3-D those around the
    middle. Points without a value are grey. Colours of a channel that takes both signs have white at 0; the scale
    leaves out the outermost 0.1 % of what is shown.

    Parameters
    ----------
    source
        Where the trajectories are; only what is drawn is read.
    path
        The PNG to write; it appears whole or not at all.
    name
        Title; empty: the source's.
    channels
        Which to draw; none named: the first `MOST_CHANNELS`.

    Raises
    ------
    SparseVQError
        A channel is not known, the source is faulty, or the file can't be written.
    """
    source = with_channels(source, channels or source.channels[:MOST_CHANNELS])
    view = view_of(source)
    source, note = slab(source, view)
    splits = _splits(source)
    kinds = len(set(splits))
    wanted = min(source.trajectories, max(kinds + 1, MOST_ROWS // len(source.channels)))
    page = _fit(source, view, wanted)
    if view.vertical is None:
        chosen = _choose(splits, min(page.rows * page.columns, source.trajectories))
        frames = _spread(source, INSTANTS)
        page = replace(page, rows=-(-len(chosen) // page.columns))
    else:
        chosen = _choose(splits, min(page.rows, source.trajectories))
        page = _wrapped(page, len(chosen), len(source.time))
        frames = _spread(source, page.columns * page.wraps)
    shown = read_pictures(source, view, chosen, frames, note)
    sheet = _Sheet(source, view, page)
    title = f"{name or source.label}: {len(chosen)} of {source.trajectories} trajectories, "
    sheet.head(title + f"{len(frames)} of {len(source.time)} frames")
    for channel, pictures in enumerate(shown):
        sheet.block(channel, chosen, frames, pictures, splits)
    return save(sheet.figure, path)


# ------------------------------------------------------------------------------------------------ what is shown


def _splits(source: Source) -> Array:
    """``(T,)``: split of each trajectory, as far as the source knows."""
    if source.split is not None:
        return source.split
    ood = np.zeros(source.trajectories, dtype=bool) if source.ood is None else source.ood
    return np.where(ood, "ood", "")


def _choose(splits: Array, count: int) -> list[int]:
    """Trajectories to draw: of each split at least one while there is room, the others by the splits' sizes."""
    groups = [np.flatnonzero(splits == split) for split in ("", *SPLITS) if (splits == split).any()]
    taken = [1 if index < count else 0 for index in range(len(groups))]
    while sum(taken) < count:
        left = [
            len(group) / (number + 1) if number < len(group) else 0 for group, number in zip(groups, taken, strict=True)
        ]
        taken[int(np.argmax(left))] += 1
    places = [
        np.linspace(0, len(group) - 1, number).round().astype(int) for group, number in zip(groups, taken, strict=True)
    ]
    return [int(group[place]) for group, some in zip(groups, places, strict=True) for place in some]


def _spread(source: Source, most: int) -> Array:
    """Frames spread evenly in time."""
    return np.unique(np.linspace(0, len(source.time) - 1, min(most, len(source.time))).round().astype(int))


def _spans(source: Source, view: View) -> tuple[float, float]:
    """Width and height of the picture in the axes' units."""
    wide = float(np.ptp(source.axes[view.horizontal]))
    high = float(np.ptp(source.axes[view.vertical])) if view.vertical else float(np.ptp(source.time))
    return wide, high


def _proportional(source: Source, view: View) -> bool:
    """Whether both axes are measured in one unit, degrees of latitude and of longitude too."""
    units = [source.axis_units.get(axis, "") for axis in (view.horizontal, view.vertical) if axis]
    return len(units) == 2 and (units[0] == units[1] or units[1] in LATITUDE_UNITS)


def _ratio(source: Source, view: View) -> float:
    """Height of a panel over its width."""
    wide, high = _spans(source, view)
    if view.vertical is None:
        return 0.6
    return float(np.clip(high / wide, 0.2, 3)) if _proportional(source, view) and wide and high else 1.0


def _limits(shown: Sequence[Array]) -> tuple[Normalize, Colormap]:
    """A scale of colours for all pictures of a channel."""
    there = np.concatenate([picture[np.isfinite(picture)].ravel() for picture in shown])
    low, high = np.percentile(there, (0.1, 99.9)) if len(there) else (0.0, 1.0)
    signed = low < -0.2 * high and high > 0 and high > -0.2 * -low
    if high == low:
        low, high = low - 0.5, high + 0.5
    bound = max(abs(low), abs(high))
    palette = matplotlib.colormaps["RdBu_r" if signed else "cividis"].with_extremes(bad=OBSTACLE)
    return (Normalize(-bound, bound) if signed else Normalize(low, high)), palette


# ------------------------------------------------------------------------------------------------ where it is drawn


@dataclass(frozen=True)
class Page:
    """How many panels a block has, and their size in inches.

    Attributes
    ----------
    heading
        Height of what stands over the panels of a block.
    wraps
        Rows that the frames of one trajectory take.
    """

    rows: int
    columns: int
    width: float
    height: float
    heading: float
    wraps: int = 1

    @property
    def row(self) -> float:
        """Height of a row with its title, and the times of its frames where rows differ in them."""
        return self.height + TITLE + (TITLE if self.wraps > 1 else 0)

    @property
    def block(self) -> float:
        """Height of a channel's block."""
        return self.heading + self.rows * self.row + BOTTOM


def _fit(source: Source, view: View, wanted: int) -> Page:
    """As many rows as fit on the page, with the fewest columns that leave room for those that are wanted."""
    ratio = _ratio(source, view)
    if view.vertical is None:
        choices, wanted = range(LINES, LINES + 1), -(-wanted // LINES)
    else:
        choices = range(FRAMES[0], FRAMES[1] + 1)
    room = (PAGE[1] - TOP) / len(source.channels)
    for columns in choices:
        width = (PAGE[0] - LEFT - RIGHT + GAP) / columns - GAP
        page = Page(1, columns, width, width * ratio, HEADING if view.vertical else HEADING / 2)
        rows = int((room - page.block + page.row) / page.row)
        if rows >= wanted:
            break
    return replace(page, rows=max(1, min(rows, MOST_ROWS)))


def _wrapped(page: Page, trajectories: int, frames: int) -> Page:
    """Rows that a few trajectories leave free are filled with more of their frames."""
    room = page.rows * page.row / (page.row + TITLE)
    wraps = max(1, min(int(room) // trajectories, MOST_WRAPS, -(-frames // page.columns)))
    columns = min(page.columns, -(-frames // wraps))
    heading = page.heading / 2 if wraps > 1 else page.heading
    return replace(page, rows=trajectories * wraps, columns=columns, wraps=wraps, heading=heading)


class _Sheet:
    """A page on which every panel has its place in inches, so that rows fit whatever their titles are."""

    def __init__(self, source: Source, view: View, page: Page):
        self._source, self._view, self._page = source, view, page
        self.figure: Figure = new_figure(PAGE[0], TOP + page.block * len(source.channels))
        self.figure.set_layout_engine("none")
        self._size = np.array(self.figure.get_size_inches())
        most = 3 if view.vertical else 1  # what fits over a panel
        self._titles = [_title(source, trajectory, most) for trajectory in range(source.trajectories)]

    def head(self, text: str) -> None:
        """Title of the page."""
        self._text(LEFT, 0.3, text, fontsize=10)

    def block(self, channel: int, chosen: list[int], frames: Array, shown: Pictures, splits: Array) -> None:
        """One channel's panels and its colour bar."""
        source, view, page = self._source, self._view, self._page
        top = TOP + channel * page.block
        scale = _limits(shown.panels)
        unit = with_unit(source.channels[channel], source.units[channel])
        self._text(LEFT, top + 0.12, unit + shown.note, fontsize=10, fontweight="bold")
        lines = page.columns if view.vertical else 1  # panels of a trajectory in one row
        for place, (trajectory, pictures) in enumerate(zip(chosen, shown.panels, strict=True)):
            label = f"{trajectory}" + (f" ({splits[trajectory]})" if splits[trajectory] else "")
            first, side = (place * page.wraps, 0) if view.vertical else divmod(place, page.columns)
            x, y = LEFT + side * (page.width + GAP), top + page.heading + first * page.row + TITLE
            self._text(x, y - 0.05, label + self._titles[trajectory], fontsize=7)
            for number, picture in enumerate(pictures):
                down, column = divmod(number, lines)
                x, y = LEFT + (side + column) * (page.width + GAP), top + page.heading + (first + down + 1) * page.row
                axes = self._axes(x, y - page.height, page.width, page.height)
                self._draw(axes, picture, scale, frames)
                under = place + page.columns >= len(chosen) if view.vertical is None else first + down == page.rows - 1
                self._ticks(axes, left=side + column == 0, bottom=under)
                if view.vertical and (first == 0 or page.wraps > 1):
                    when = f"t = {source.time[frames[number]]:.6g} {source.time_units}".strip()
                    over = y - page.height - 0.04 if page.wraps > 1 else top + page.heading - 0.03
                    self._text(x + page.width / 2, over, when, fontsize=7, ha="center")
        height = float(np.clip(page.rows * page.row - TITLE, 0.6, 2.2))
        right = LEFT + page.columns * (page.width + GAP) - GAP
        bar = self._axes(right + 0.12, top + page.heading + TITLE, 0.11, height)
        colours = self.figure.colorbar(ScalarMappable(*scale), cax=bar, extend="both")
        colours.set_label(source.units[channel], fontsize=7)
        bar.tick_params(labelsize=6.5, length=2)
        bar.yaxis.get_offset_text().set_fontsize(6.5)

    def _draw(self, axes: Axes, picture: Array, scale: tuple[Normalize, Colormap], frames: Array) -> None:
        source, view = self._source, self._view
        limits, palette = scale
        look: dict[str, Any] = {"norm": limits, "cmap": palette}
        axes.set_facecolor(OBSTACLE)
        if source.scattered and view.vertical:
            self._dots(axes, picture, look)
            return
        steps = dict(zip(source.axes, strides(source), strict=True)) if not source.scattered else {}
        across = source.axes[view.horizontal][:: steps.get(view.horizontal, 1)]
        if view.vertical is None:
            order = np.argsort(across)  # of scattered points on a line
            upward, across, picture = source.time[frames], across[order], picture[:, order]
        else:
            upward = source.axes[view.vertical][:: steps[view.vertical]]
        axes.pcolormesh(across, upward, np.ma.masked_invalid(picture), shading="nearest", **look)

    def _dots(self, axes: Axes, picture: Array, look: dict[str, Any]) -> None:
        source, view = self._source, self._view
        there = np.isfinite(picture)
        across, upward = source.axes[view.horizontal], source.axes[str(view.vertical)]
        # As large as their neighbours leave room for
        size = float(np.clip(72**2 * self._page.width * self._page.height / len(picture), 0.3, 30))
        axes.set_facecolor("white")
        axes.scatter(across[~there], upward[~there], s=size, color=OBSTACLE, linewidths=0)
        axes.scatter(across[there], upward[there], c=picture[there], s=size, linewidths=0, **look)

    def _ticks(self, axes: Axes, left: bool, bottom: bool) -> None:
        """Ticks and labels at the rim of a block only; elsewhere they would be noise."""
        source, view = self._source, self._view
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(left=left, labelleft=left, bottom=bottom, labelbottom=bottom, length=2, labelsize=6.5, pad=1.5)
        labels = []
        for axis, name in ((axes.xaxis, view.horizontal), (axes.yaxis, view.vertical)):
            unit = source.axis_units.get(name, "") if name else source.time_units
            on_earth = unit in (*LATITUDE_UNITS, *LONGITUDE_UNITS)
            low, high = axis.get_view_interval()
            steps = (1, 1.5, 3, 4.5, 6, 9, 10) if on_earth else (1, 2, 2.5, 5, 10)
            ticks = np.asarray(MaxNLocator(3, steps=steps).tick_values(low, high))
            axis.set_major_locator(FixedLocator(ticks[(ticks >= low) & (ticks <= high)].tolist()))
            if on_earth:
                axis.set_major_formatter(FuncFormatter(_compass(unit)))
            labels.append(with_unit(name or "time", "" if on_earth else unit))
        if bottom:
            axes.set_xlabel(labels[0], fontsize=7, labelpad=1)
            low, high = axes.get_xlim()
            for tick, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
                place = (tick - low) / (high - low)  # labels at the ends keep to their own panel
                text.set_horizontalalignment("left" if place < 0.1 else "right" if place > 0.9 else "center")
        if left:
            axes.set_ylabel(labels[1], fontsize=7, labelpad=1)

    def _axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner is at x, y (inches from the page's)."""
        wide, high = self._size
        return self.figure.add_axes((x / wide, 1 - (y + height) / high, width / wide, height / high))

    def _text(self, x: float, y: float, text: str, **look: Any) -> None:
        self.figure.text(x / self._size[0], 1 - y / self._size[1], text, **look)


def _compass(unit: str) -> Any:
    """Degrees as on a map: 30°N, 120°W."""
    ends = "NS" if unit in LATITUDE_UNITS else "EW"

    def text(value: float, _position: int | None = None) -> str:
        turned = value if ends == "NS" else (value + 180) % 360 - 180
        return f"{abs(turned):g}°" + ("" if turned in (0, -180) else ends[int(turned < 0)])

    return text


def _title(source: Source, trajectory: int, most: int) -> str:
    """The parameters that tell trajectories apart best."""
    told = []
    for name in _telling(source)[:most]:
        value = source.parameters[name][trajectory]
        unit = source.parameter_units.get(name, "")
        told.append(
            str(value) if isinstance(value, str) else f"{name} {value:.4g} {'' if unit == '1' else unit}".strip()
        )
    return "".join(f"   {text}" for text in told)


def _telling(source: Source) -> list[str]:
    """Parameters that vary: text first, then by their variation relative to the mean.

    Angles and places come last: without a natural zero, relative variation says nothing.
    """
    ranked = []
    for name, values in source.parameters.items():
        if len(np.unique(values)) < 2 or name == "attempts":
            continue
        if values.dtype.kind in "UO":
            if len(np.unique(values)) < len(values):
                ranked.append((0, 0.0, name))
            continue
        without_zero = name in source.axes or source.parameter_units.get(name, "") in ANGLES
        ranked.append((2 if without_zero else 1, -float(np.nanstd(values) / (abs(np.nanmean(values)) or 1.0)), name))
    return [name for *_, name in sorted(ranked)]
