"""A data set at a glance: some trajectories of each split, frame by frame, one block for each channel."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, SPLITS
from sparsevq.data.lead_units import lead_unit
from sparsevq.data.source import Source, with_channels
from sparsevq.plotting.numbers import degrees
from sparsevq.plotting.painter import FieldPainter, value_colours
from sparsevq.plotting.style import channel_label, new_figure, save, styled, with_unit
from sparsevq.plotting.viewer import FieldViewer, spread_evenly, view_middle

Array = NDArray[Any]

MOST_CHANNELS, MOST_ROWS, MOST_FRAMES = 4, 8, 6
"""Channels, rows of all channels together (but each split has one), and frames of a trajectory that are drawn."""
INSTANTS, COLUMNS = 256, 3
"""Of fields on a line: frames in one diagram of space and time, and diagrams side by side."""
NO_PARAMETERS = ("attempts", "seed")
"""What simulations note of themselves that says nothing of a flow."""
OUTLIERS = 0.001
"""Share of the values at either end that the scale of colours leaves out."""


@styled
def draw_contact_sheet(source: Source, path: Path, name: str = "") -> Path:
    """Draw some trajectories of each split, at frames that are spread evenly in time; the title says how many of all.

    One block for each channel, with one scale of colours. 1-D: diagrams of space and time; 2-D: pictures in the
    domain's proportions; 3-D, seen from the side: the largest value along the line of sight where most of the domain is
    near the channel's lowest value, as with a plume, otherwise the middle plane; scattered points: dots, in 3-D those
    around the middle. Points without a value are grey. Colours of a channel that takes both signs have white at 0.

    Parameters
    ----------
    source
        Where the trajectories are; only what is drawn is read.
    path
        The PNG to write; it appears whole or not at all.
    name
        Title; empty: the source's.

    Raises
    ------
    SparseVQError
        The source is faulty, or the file can't be written.
    """
    channels = len(source.channels)
    source = with_channels(source, source.channels[:MOST_CHANNELS])
    viewer = view_middle(source.axes, source.axis_units, source.scattered)
    splits = _splits(source)
    chosen = _choose(splits, MOST_ROWS // len(source.channels))
    most = INSTANTS if viewer.is_line else MOST_FRAMES
    frames = spread_evenly(len(source.time), most)
    blocks = _read(source, viewer, chosen, frames)

    columns = COLUMNS if viewer.is_line else len(frames)
    rows = -(-len(chosen) // columns) if viewer.is_line else len(chosen)
    size = viewer.panel_size(1.25 if viewer.is_line else 1.0)
    figure = new_figure(columns * size[0] + 1.4, len(blocks) * (0.9 + rows * (size[1] + 0.2)) + 0.3)
    several = f"{len(chosen)} of {source.trajectories} trajectories, {len(frames)} of {len(source.time)} frames"
    figure.suptitle(f"{name or source.label}: {several}, {len(blocks)} of {channels} channels", fontsize=10)
    told = lead_unit((source.time[frames] - source.time[0]).tolist(), source.time_units)
    titles = [_title(source, splits, trajectory, 1 if viewer.is_line else 3) for trajectory in chosen]
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for channel, unit, (view, shown), part in zip(source.channels, source.units, blocks, parts, strict=True):
        quantity = with_unit(channel_label(channel, source.channel_about.get(channel, {})), unit)
        part.suptitle(view.title(quantity), fontsize=10, fontweight="bold")
        painter = FieldPainter(view, quantity, value_colours(shown, OUTLIERS), size)
        panels = part.subplots(rows, columns, squeeze=False)
        fields = shown if viewer.is_line else np.concatenate(shown)
        for place, axes in enumerate(panels.flat):
            if place >= len(fields):
                axes.set_axis_off()
                continue
            row, column = divmod(place, columns)
            painter.draw(axes, fields[place], source.time[frames] if viewer.is_line else None)
            painter.label_axes(axes, column == 0, place + columns >= len(fields), with_unit("time", source.time_units))
            when = "" if viewer.is_line or row else f"t = {told.text(source.time[frames[column]])}"
            axes.set_title(f"{when}\n" if when else " ", fontsize=7, pad=2)  # a line for the trajectory's title
            if viewer.is_line or column == 0:
                _title_trajectory(axes, titles[place if viewer.is_line else row])
        painter.colour_bar(part, ax=panels, aspect=30)
    return save(figure, path)


def _title_trajectory(axes: Axes, title: str) -> None:
    """A title from the panel's left edge to the right, as long as it is, for which no column is widened."""
    text = axes.annotate(title, (0, 1), (0, 2), xycoords="axes fraction", textcoords="offset points", fontsize=7)
    text.set_in_layout(False)


def _splits(source: Source) -> Array:
    """``(T,)``: split of each trajectory, as far as the source knows."""
    if source.split is not None:
        return source.split
    ood = np.zeros(source.trajectories, dtype=bool) if source.ood is None else source.ood
    return np.where(ood, "ood", "")


def _choose(splits: Array, most: int) -> list[int]:
    """One trajectory of each split, but of the first (for training) as many as are left; spread evenly over it."""
    groups = [np.flatnonzero(splits == split) for split in ("", *SPLITS) if (splits == split).any()]
    counts = [max(most - len(groups) + 1, 1), *[1] * (len(groups) - 1)]
    return [
        int(group[index])
        for group, count in zip(groups, counts, strict=True)
        for index in spread_evenly(len(group), count)
    ]


def _read(source: Source, viewer: FieldViewer, chosen: list[int], frames: list[int]) -> list[tuple[FieldViewer, Array]]:
    """For each channel how it is shown, and ``(trajectories, frames, ...)`` as its viewer shows them.

    One frame is in memory at a time.
    """
    in_space = viewer.across is not None and not viewer.scattered
    views = [viewer, replace(viewer, layer=None)] if in_space else [viewer]
    shown: list[list[Array]] = [[] for _ in views]  # view, trajectory and frame -> (C, ...)
    plumes = []
    for trajectory in chosen:
        for frame in frames:
            field = source.read(trajectory, frame, frame + 1).reshape(-1, len(source.channels)).T  # (C, N)
            for view, pictures in zip(views, shown, strict=True):
                pictures.append(view.shown(field).copy())
            plumes.append([in_space and _is_plume(channel) for channel in field])
    through = (np.mean(plumes, axis=0) > 0.5).astype(int)
    values = [np.stack(pictures).reshape(len(chosen), len(frames), *pictures[0].shape) for pictures in shown]
    return [(views[view], values[view][:, :, channel]) for channel, view in enumerate(through)]


def _is_plume(channel: Array) -> bool:
    """Most of the domain is near the lowest value."""
    there = channel[np.isfinite(channel)]
    if not len(there):
        return False
    low, middle, high = np.percentile(there, (0, 75, 99.9))
    return bool(middle - low < 0.25 * (high - low))


def _title(source: Source, splits: Array, trajectory: int, most: int) -> str:
    """Number and split of a trajectory, and the first of the parameters that vary."""
    told = [f"{trajectory} ({splits[trajectory]})" if splits[trajectory] else str(trajectory)]
    varying = [
        name for name, values in source.parameters.items() if len(np.unique(values)) > 1 and name not in NO_PARAMETERS
    ]
    for name in varying[:most]:
        value, unit = source.parameters[name][trajectory], source.parameter_units.get(name, "")
        is_text = isinstance(value, str)
        told.append(value if is_text else f"{name} {_value(float(value), unit)}")
    return "   ".join(told)


def _value(value: float, unit: str) -> str:
    """A parameter with its unit; places on a map as there: 38.1°N."""
    if unit in (*LATITUDE_UNITS, *LONGITUDE_UNITS):
        return degrees(round(value, 1), unit)
    return f"{value:.4g} {'' if unit == '1' else unit}".strip()
