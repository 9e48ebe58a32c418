"""One channel of one case in one panel after the other, all with the same colours."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from numpy.typing import NDArray

from sparsevq.evaluation.figures.style import with_unit
from sparsevq.evaluation.figures.view import View

Array = NDArray[Any]

OBSTACLE = "0.6"


class FieldPainter:
    """Draws fields of one channel: a line, a picture, or coloured dots.

    Parameters
    ----------
    view
        What is shown.
    channel
        Number of the channel.
    valid
        ``(N,)`` points where the field exists.
    sensors
        ``(n_s,)`` flat indices of the sensors.
    truth
        ``(F, N, C)``: gives the scale of colours.
    errors
        Each ``(F, N, C)``: give the scale of errors.
    panel
        Width and height (inches) of a panel, for the size of dots.
    """

    def __init__(
        self,
        view: View,
        channel: int,
        valid: Array,
        sensors: Array,
        truth: Array,
        errors: Sequence[Array],
        panel: tuple[float, float],
    ):
        self._view, self._channel, self._valid, self._sensors = view, channel, valid, sensors
        shown = view.points[valid[view.points]]
        if not len(shown):  # a plane inside an obstacle
            shown = np.flatnonzero(valid)
        values = truth[:, shown, channel]
        low, high = float(values.min()), float(values.max())
        # A quantity of both signs gets a palette with a middle, one that hardly changes sign a plain one.
        signed = low < -0.2 * high and high > 0
        bound = max(abs(low), abs(high))
        self.limits = Normalize(-bound, bound) if signed else Normalize(low, high if high > low else low + 1)
        self.palette = _palette("RdBu_r" if signed else "cividis")
        # A few points beside a wall must not wash out the rest.
        bound = float(np.quantile(np.abs([error[:, shown, channel] for error in errors]), 0.995)) or 1.0
        self.error_limits = Normalize(-bound, bound)
        self.error_palette = _palette("PuOr_r")
        # Dots that nearly touch: each has its share of the panel, in points squared.
        self._dot = float(np.clip(0.6 * panel[0] * panel[1] * 72**2 / view.points.size, 1.5, 60))

    def draw(self, axes: Axes, fields: Array, error: bool = False) -> Any:
        """Draw ``(N, C)`` fields; gives back what `update` changes."""
        view, shown = self._view, self._shown(fields)
        limits = self.error_limits if error else self.limits
        level = view.along(view.axes[0])
        if view.is_line:
            axes.set_ylim(*_padded(limits))
            axes.set_xlim(float(level[0]), float(level[-1]) if len(level) > 1 else float(level[0]) + 1)
            look: dict[str, Any] = {"marker": ".", "markersize": 3} if view.data.scattered or len(level) == 1 else {}
            return axes.plot(level, shown, color="#D55E00" if error else "#0072B2", linewidth=1.2, **look)[0]
        upright = view.along(view.axes[1])
        palette = self.error_palette if error else self.palette
        if view.is_picture:
            drawn: Any = axes.pcolormesh(level, upright, shown, norm=limits, cmap=palette, shading="nearest")
        else:
            drawn = axes.scatter(level, upright, self._dot, shown, norm=limits, cmap=palette, linewidths=0)
            axes.margins(0.04)
        if view.proportions is not None:
            axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        return drawn

    def update(self, drawn: Any, fields: Array) -> None:
        """Show other fields in a panel that was drawn."""
        shown = self._shown(fields)
        if self._view.is_line:
            drawn.set_ydata(shown)
        else:
            drawn.set_array(shown)

    def sensors(self, axes: Axes, small: bool = False) -> Artist:
        """Mark the sparse sensors; in space all of them, seen along the axis that the picture leaves out."""
        places = self._view.places(self._sensors)
        look: dict[str, Any] = {
            "s": 4 if small else 11,
            "linewidths": 0.4 if small else 0.7,
            "zorder": 3,
            "clip_on": False,
        }
        if self._view.is_line:
            ground = np.full(len(places), axes.get_ylim()[0])
            return axes.scatter(places[:, 0], ground, marker="^", color="black", **look)
        return axes.scatter(*places.T, facecolors="white", edgecolors="black", **look)

    def label_axes(self, axes: Axes, left: bool, bottom: bool) -> None:
        """Ticks and labels at the figure's rim only; elsewhere they would be noise."""
        data = self._view.data
        labels = [with_unit(axis, data.axis_units.get(axis, "")) for axis in self._view.axes]
        if self._view.is_line:
            labels.append(with_unit(data.channels[self._channel], data.units[self._channel]))
        axes.tick_params(left=left, labelleft=left, bottom=bottom, labelbottom=bottom, length=2, labelsize=7)
        if left:
            axes.set_ylabel(labels[1], fontsize=8)
        if bottom:
            axes.set_xlabel(labels[0], fontsize=8)

    def _shown(self, fields: Array) -> Array:
        values = np.where(self._valid, fields[:, self._channel], np.nan)[self._view.points]
        return np.ma.masked_invalid(values) if self._view.is_picture else values


def panel_size(view: View, width: float = 1.25) -> tuple[float, float]:
    """Width and height (inches) of a panel that fits the shape of what is shown."""
    if view.is_line:
        return 1.6 * width, 0.9 * width
    ratio = float(np.clip(view.proportions or (0.5 if view.on_earth else 1.0), 0.2, 2.5))
    width = width * float(np.clip(ratio**-0.5, 0.8, 2.0))
    return width, width * ratio


def _palette(name: str) -> Colormap:
    return matplotlib.colormaps[name].with_extremes(bad=OBSTACLE)


def _padded(limits: Normalize) -> tuple[float, float]:
    low, high = float(limits.vmin or 0), float(limits.vmax or 0)
    return low - 0.2 * (high - low), high + 0.2 * (high - low)
