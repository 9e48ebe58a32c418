"""What of a field a picture shows: its axes, and in 3-D the largest value along the line of sight or a plane."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS
from sparsevq.data.source import Source

Array = NDArray[Any]

POINTS = 400
"""Points along an axis of a picture: more cannot be seen."""


@dataclass(frozen=True)
class View:
    """How fields become pictures.

    Attributes
    ----------
    horizontal, vertical
        Axes of the picture; one that is None is time.
    across
        The axis that is looked along, in 3-D.
    """

    horizontal: str
    vertical: str | None
    across: str | None = None


def view_of(source: Source) -> View:
    """Up is up: latitude over longitude, z over x, y over x."""
    names = list(source.axes)
    if len(names) == 1:
        return View(names[0], None)
    latitudes = [name for name in names if source.axis_units.get(name) in LATITUDE_UNITS]
    upright = [*latitudes, *(name for name in ("z", "y") if name in names), names[0]][0]
    others = [name for name in names if name != upright]
    level = [name for name in others if name == "x" or name.lower().startswith("lon")] or others[-1:]
    across = [name for name in others if name != level[0]]
    return View(level[0], upright, across[0] if across else None)


@dataclass(frozen=True)
class Pictures:
    """A channel as it is drawn.

    Attributes
    ----------
    panels
        For each trajectory ``(frames, vertical, horizontal)``, of scattered points ``(frames, N)``, of a line
        ``(1, frames, horizontal)``; NaN: grey.
    note
        What of a 3-D field it is.
    """

    panels: list[Array]
    note: str = ""


def read_pictures(source: Source, view: View, chosen: list[int], frames: Array, note: str) -> list[Pictures]:
    """What is drawn of each channel; one frame is in memory at a time."""
    if view.across is not None and not source.scattered:
        return _seen_from_the_side(source, view, chosen, frames)
    shown: list[list[Array]] = [[] for _ in source.channels]
    steps = (slice(None), *(slice(None, None, step) for step in strides(source)))
    for trajectory in chosen:
        frame_by_frame = [source.read(trajectory, frame, frame + 1)[steps] for frame in frames.tolist()]
        values = np.moveaxis(np.concatenate(frame_by_frame), -1, 0)  # (C, frames, *grid)
        if view.vertical is None:
            values = values[:, None]
        elif not source.scattered and next(iter(source.axes)) != view.vertical:
            values = values.swapaxes(2, 3)
        for panels, channel in zip(shown, values, strict=True):
            panels.append(channel)
    return [Pictures(panels, note) for panels in shown]


def slab(source: Source, view: View) -> tuple[Source, str]:
    """Of scattered points in space those around the middle, because more would hide each other; and what that is."""
    if view.across is None or not source.scattered:
        return source, ""
    at = source.axes[view.across]
    low, high = np.quantile(at, (0.4, 0.6))
    chosen = (at >= low) & (at <= high)
    unit = source.axis_units.get(view.across, "")
    around = replace(
        source,
        axes={axis: places[chosen] for axis, places in source.axes.items()},
        read=lambda trajectory, start, stop: source.read(trajectory, start, stop)[:, chosen],
    )
    return around, f", {view.across} = {low:.3g} ... {high:.3g} {unit}".rstrip()


def _seen_from_the_side(source: Source, view: View, chosen: list[int], frames: Array) -> list[Pictures]:
    """Of each channel of a 3-D field the largest value along the line of sight, or the middle plane."""
    names = list(source.axes)
    along = names.index(str(view.across))
    names.remove(str(view.across))
    steps = tuple(slice(None, None, step) for index, step in enumerate(strides(source)) if index != along)
    middle = source.grid[along] // 2
    drawn: list[list[Array]] = [[] for _ in chosen]  # trajectory, frame -> (2, C, vertical, horizontal)
    plumes = []
    for trajectory, by_frame in zip(chosen, drawn, strict=True):
        for frame in frames.tolist():
            field = np.moveaxis(source.read(trajectory, frame, frame + 1)[0], -1, 0)  # (C, *grid)
            plumes.append([_is_plume(channel) for channel in field])
            there = np.where(np.isnan(field), -np.inf, field).max(axis=1 + along)
            both = np.stack([np.where(np.isinf(there), np.nan, there), field.take(middle, axis=1 + along)])
            both = both[:, :, *steps]
            by_frame.append(both if names[0] == view.vertical else both.swapaxes(2, 3))
    values: Array = np.array(drawn)  # (trajectories, frames, 2, C, vertical, horizontal)
    at = f"{source.axes[str(view.across)][middle]:.3g} {source.axis_units.get(str(view.across), '')}".strip()
    return [
        Pictures(list(values[:, :, 0, channel]), f", largest along {view.across}")
        if plume
        else Pictures(list(values[:, :, 1, channel]), f", {view.across} = {at}")
        for channel, plume in enumerate(np.mean(plumes, axis=0) > 0.5)
    ]


def strides(source: Source) -> tuple[int, ...]:
    """Strides with which a picture has no more points along each axis than can be seen."""
    return tuple(1 if source.scattered else max(1, size // POINTS) for size in source.grid)


def _is_plume(channel: Array) -> bool:
    """Most of the domain is near the lowest value."""
    there = channel[np.isfinite(channel)]
    if not len(there):
        return False
    low, middle, high = np.percentile(there, (0, 75, 99.9))
    return bool(middle - low < 0.25 * (high - low))
