"""One quantity in one panel after the other, all with the same colours."""

from functools import partial
from textwrap import wrap
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS
from sparsevq.plotting.numbers import degrees
from sparsevq.plotting.style import with_unit
from sparsevq.plotting.viewer import FieldViewer

Array = NDArray[Any]

OUTLIERS = 0.005
"""Share of the values at either end that a scale of colours may leave out."""
NO_FIELD = "0.6"
"""Grey of the points without a value."""


class Colours(NamedTuple):
    """Scale and palette of a quantity, and its colour as a line."""

    norm: Normalize
    palette: Colormap
    line: str = "#0072B2"
    extend: Literal["neither", "min", "max", "both"] = "neither"

    def clipping(self, *shown: Array) -> "Colours":
        """The same for a colour bar with an arrow at each end that some of the values are beyond."""
        low, high = float(self.norm.vmin or 0), float(self.norm.vmax or 0)
        slack = 1e-6 * (high - low)
        found = [values[np.isfinite(values)] for values in shown]
        below = any(bool((values < low - slack).any()) for values in found)
        above = any(bool((values > high + slack).any()) for values in found)
        return self._replace(extend=EXTEND[below, above])


EXTEND: dict[tuple[bool, bool], Literal["neither", "min", "max", "both"]] = {
    (False, False): "neither",
    (True, False): "min",
    (False, True): "max",
    (True, True): "both",
}


def value_colours(shown: Array, outliers: float = OUTLIERS) -> Colours:
    """Colours for all values that are shown (NaN: none).

    A share of `outliers` at either end is left out if that makes the scale less than two thirds as long. A quantity of
    both signs gets a palette with white at 0, one that hardly changes sign a plain one.
    """
    found = shown[np.isfinite(shown)]
    low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
    inner = tuple(map(float, np.quantile(found, (outliers, 1 - outliers)))) if len(found) else (low, high)
    if 0 < inner[1] - inner[0] < (high - low) * 2 / 3:
        low, high = inner
    colours = _scale(low, high)
    return colours.clipping(found)


def _scale(low: float, high: float) -> Colours:
    if low < -0.2 * high and high > -0.2 * low:
        bound = max(abs(low), abs(high))
        return Colours(Normalize(-bound, bound), _palette("RdBu_r"))
    return Colours(Normalize(low, high if high > low else low + 1), _palette("cividis"))


def error_colours(errors: Array) -> Colours:
    """White at 0; a few points beside a wall do not wash out the rest."""
    found = np.abs(errors[np.isfinite(errors)])
    bound = float(np.quantile(found, 0.995)) if len(found) else 0.0
    return Colours(Normalize(-(bound or 1.0), bound or 1.0), _palette("PuOr_r"), "#D55E00").clipping(errors)


def std_colours(stds: Array) -> Colours:
    """From 0 to the largest standard deviation."""
    found = stds[np.isfinite(stds)]
    return Colours(Normalize(0, float(found.max(initial=0)) or 1.0), _palette("magma"))


def _palette(name: str) -> Colormap:
    return matplotlib.colormaps[name].with_extremes(bad=NO_FIELD)


class FieldPainter:
    """Draws fields of one quantity: lines, pictures, or coloured dots.

    What is drawn is what `FieldViewer.shown` gives; NaN is a gap in a line, else grey. Width and height (inches) of a
    `panel` are for the size of dots.
    """

    def __init__(self, viewer: FieldViewer, quantity: str, colours: Colours, panel: tuple[float, float]):
        self._viewer, self._quantity, self._colours = viewer, quantity, colours
        # Dots that nearly touch: each has its share of the panel, in points squared.
        dots = len(viewer.along(viewer.shown_axes[0]))
        self._dot = float(np.clip(0.6 * panel[0] * panel[1] * 72**2 / dots, 0.3, 60))

    @property
    def line(self) -> str:
        """The colour of a line."""
        return self._colours.line

    def draw(self, axes: Axes, shown: Array, time: Array | None = None) -> Any:
        """Draw a field; gives back what `update` changes. With `time`: fields on a line ``(frames, n)`` over time."""
        viewer, colours = self._viewer, self._colours
        level, *upright = (viewer.along(axis) for axis in viewer.shown_axes)
        if viewer.is_line and time is None:
            low, high = float(colours.norm.vmin or 0), float(colours.norm.vmax or 0)
            axes.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))
            axes.set_xlim(float(level[0]), float(level[-1]) if len(level) > 1 else float(level[0]) + 1)
            look: dict[str, Any] = {"marker": ".", "markersize": 3} if viewer.scattered or len(level) == 1 else {}
            return axes.plot(level, shown, color=colours.line, linewidth=1.2, **look)[0]
        look = {"norm": colours.norm, "cmap": colours.palette}
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        if viewer.proportions is not None:
            axes.set_aspect("equal")
        if viewer.scattered and time is None:
            axes.margins(0.04)
            return axes.scatter(level, upright[0], self._dot, shown, linewidths=0, plotnonfinite=True, **look)
        rows = upright[0] if time is None else time
        return axes.pcolormesh(level, rows, np.ma.masked_invalid(shown), shading="nearest", **look)

    def update(self, drawn: Any, shown: Array) -> None:
        """Show another field in a panel that was drawn."""
        if self._viewer.is_line:
            drawn.set_ydata(shown)
        else:
            drawn.set_array(np.ma.masked_invalid(shown))

    @property
    def is_line(self) -> bool:
        """Whether it draws lines, which need no colour bar."""
        return self._viewer.is_line

    def sensors(
        self,
        axes: Axes,
        coordinates: Array,
        small: bool = False,
        values: Array | None = None,
        existing: bool = False,
    ) -> Artist:
        """Mark sensors at ``(n, d)``; in space all of them, seen along the axis that the picture leaves out.

        `values` ``(n,)``: what they read, by colour, or on a line by height; None: their places only. Those that are
        `existing` already, where others are proposed, are squares in another colour.
        """
        places = self._viewer.places(coordinates)
        look: dict[str, Any] = {"s": 4 if small else 11, "linewidths": 0.4 if small else 0.7}
        look |= {"zorder": 3, "clip_on": False}
        if self._viewer.is_line:
            if values is not None:
                return axes.scatter(places[:, 0], values, marker="o", color="black", **look)
            ground = np.full(len(places), axes.get_ylim()[0])
            return axes.scatter(places[:, 0], ground, marker="^", color="black", **look)
        if values is not None:
            look |= {"c": values, "norm": self._colours.norm, "cmap": self._colours.palette}
            return axes.scatter(*places.T, edgecolors="black", **look)
        look |= {"marker": "s", "facecolors": "#56B4E9"} if existing else {"facecolors": "white"}
        return axes.scatter(*places.T, edgecolors="black", **look)

    def label_axes(self, axes: Axes, left: bool, bottom: bool, upright: str = "") -> None:
        """Ticks and labels at the figure's rim only; elsewhere they would be noise.

        The vertical axis of a line is labelled `upright`, else by the quantity. Degrees of a map are told by its ticks.
        """
        viewer = self._viewer
        axes.tick_params(left=left, labelleft=left, bottom=bottom, labelbottom=bottom, length=2, labelsize=7)
        labels = []
        for name, axis in zip(viewer.shown_axes, (axes.xaxis, axes.yaxis), strict=False):
            unit = viewer.axis_units.get(name, "")
            axis.set_major_locator(MaxNLocator(3, steps=(1, 2, 2.5, 5, 10)))
            if unit in (*LATITUDE_UNITS, *LONGITUDE_UNITS):
                axis.set_major_locator(MaxNLocator(3, steps=(1, 1.2, 1.5, 2, 3, 5, 6, 9, 10)))
                axis.set_major_formatter(partial(_degrees, unit))
                unit = ""
            labels.append(with_unit(name, unit))
        if left:
            axes.set_ylabel([*labels, upright or self._quantity][1], fontsize=8)
        if bottom:
            axes.set_xlabel(labels[0], fontsize=8)

    def colour_bar(self, figure: FigureBase, letters: int = 100, **place: Any) -> Colorbar:
        """A colour bar, placed as by `matplotlib.figure.Figure.colorbar`. So many letters of its label fit."""
        mappable = ScalarMappable(self._colours.norm, self._colours.palette)
        bar = figure.colorbar(mappable, extend=self._colours.extend, **place)
        bar.set_label("\n".join(wrap(self._quantity, letters, break_long_words=False)), fontsize=8)
        bar.locator = MaxNLocator(4)
        return bar


def _degrees(unit: str, value: float, _position: int | None = None) -> str:
    return degrees(value, unit)
