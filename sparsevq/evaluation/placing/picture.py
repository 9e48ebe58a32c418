"""A picture of places: on what varies and on what they leave open, where one more would help, and the errors."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from sparsevq.data.field_data import FieldData
from sparsevq.evaluation.placing.proposal import Comparison, Maps
from sparsevq.plotting.painter import FieldPainter, std_colours
from sparsevq.plotting.style import channel_label, new_figure, save, styled, with_unit
from sparsevq.plotting.viewer import FieldViewer, view_most_varied

MOST_CHANNELS, MOST_NUMBERS = 3, 40
"""Channels that are drawn, and sensors up to which each has its number."""
OURS, RANDOM = "#0072B2", "0.45"
TITLES = {"variance": "by the posterior variance", "qr": "by QR pivots", "random": "at random"}


@styled
def draw_places(
    path: Path, data: FieldData, found: Maps, places: Any, existing: Any, errors: Comparison, method: str
) -> Path:
    """Draw the places of sensors.

    A row a channel: standard deviation of the anomalies, and of what the sensors leave open by the linear estimate.
    Below, what one more sensor would take off the expected squared error, beside those that are there and beside all;
    and the expected and the measured error against the number of sensors, with those of random places.

    Parameters
    ----------
    path
        The PNG to write; it appears whole or not at all.
    data
        The data set.
    found
        What is drawn as fields.
    places, existing
        ``(n, d)`` and ``(e, d)`` of the proposed sensors, in their order, and of those that are there.
    errors
        The curve.
    method
        How the places were found.

    Raises
    ------
    SparseVQError
        The file can't be written.
    """
    viewer = view_most_varied(data, found.std[None])
    size = viewer.panel_size(2.6)
    channels = data.channels[:MOST_CHANNELS]
    height = (len(channels) + 1) * (size[1] + 0.45)
    figure = new_figure(2 * size[0] + 3.0, height + 3.2)
    who = f"{len(places)} sensors {TITLES[method]}" + (
        f" beside {len(existing)} existing ones" if len(existing) else ""
    )
    figure.suptitle(viewer.title(f"{data.name}: {who}"), fontsize=10)
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, 2.9])
    above, below = parts
    panels = above.subplots(len(channels) + 1, 2, squeeze=False)
    for row, channel in enumerate(channels):
        unit = data.units[row]
        named = channel_label(channel, data.channel_about.get(channel, {}))
        both = [viewer.shown(of[:, row]) for of in (found.std, found.std_after)]
        painter = FieldPainter(viewer, with_unit(f"std of {named}", unit), std_colours(np.stack(both)), size)
        titles = ("std of the anomalies", "expected std of the error")
        for axes, shown, title in zip(panels[row], both, titles, strict=True):
            painter.draw(axes, shown)
            axes.set_title(title if row == 0 else "")
        _colour_bar(painter, above, panels[row])
        _mark(panels[row], painter, viewer, places, existing, row == 0)
    gains = [100 * viewer.shown(of) for of in (found.gain_before, found.gain_after)]
    for axes, shown, beside in zip(
        panels[-1], gains, ("the existing" if len(existing) else "none", "all"), strict=True
    ):
        painter = FieldPainter(viewer, "less squared error (%)", std_colours(shown), size)
        painter.draw(axes, shown)
        axes.set_title(f"one more sensor, beside {beside}")
        _colour_bar(painter, above, [axes])
        there = places if beside == "all" else np.zeros((0, len(data.axes)))
        _mark([axes], painter, viewer, there, existing, False)
    for row, line in enumerate(panels):
        for column, axes in enumerate(line):
            painter.label_axes(axes, column == 0, row == len(panels) - 1)
    _draw_errors(below.subplots(), errors, len(existing))
    return save(figure, path)


def _colour_bar(painter: FieldPainter, figure: FigureBase, axes: Any) -> None:
    if not painter.is_line:
        painter.colour_bar(figure, ax=list(axes), aspect=18, shrink=0.9)


def _mark(panels: Any, painter: FieldPainter, viewer: FieldViewer, places: Any, existing: Any, numbered: bool) -> None:
    for axes in panels:
        if len(existing):
            painter.sensors(axes, existing, existing=True)
        if len(places):
            painter.sensors(axes, places)
    if numbered and len(places) <= MOST_NUMBERS and not viewer.is_line:
        for number, at in enumerate(viewer.places(places), 1):
            panels[0].annotate(
                str(number),
                at,
                (2.5, 2.5),
                textcoords="offset points",
                fontsize=6,
                color="white",
                zorder=4,
                path_effects=[withStroke(linewidth=1.5, foreground="black")],
            )


def _draw_errors(axes: Axes, errors: Comparison, existing: int) -> None:
    """The curves; of random places the mean, and the range of the draws as a band."""
    counts = np.array(errors.counts)
    axes.plot(np.arange(len(errors.curve)), errors.curve, color=OURS, label="expected")
    if len(errors.measured):
        on = f"measured ({errors.frames} frames, {errors.split})"
        axes.plot(counts, errors.measured, "o", color=OURS, markersize=5, label=on)
    if len(errors.random_curves):
        each, curves = np.arange(len(errors.curve)), errors.random_curves
        axes.fill_between(each, curves.min(axis=0), curves.max(axis=0), color=RANDOM, alpha=0.25, linewidth=0)
        label = f"random places, expected (mean and range of {len(curves)})"
        axes.plot(each, curves.mean(axis=0), color=RANDOM, linestyle="--", label=label)
        if len(errors.measured):
            middle = errors.random_measured.mean(axis=0)
            reach = np.abs(errors.random_measured - middle)
            bars = [reach.max(axis=0, where=side, initial=0) for side in _sides(errors.random_measured, middle)]
            axes.errorbar(
                counts, middle, bars, fmt="s", color=RANDOM, markersize=4, capsize=2, label="random, measured"
            )
    if not existing:
        axes.set_ylim(bottom=0)
    axes.margins(y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"sensors beside the {existing} existing ones" if existing else "sensors")
    axes.set_ylabel("error of the linear estimate\n/ std of the anomalies")
    axes.legend()


def _sides(values: Any, middle: Any) -> tuple[Any, Any]:
    return values < middle, values > middle
