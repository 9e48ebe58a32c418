"""How a field is shown, whatever its geometry: as a line, a map, a plane through space, or dots."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, FieldData

Array = NDArray[Any]

POINTS = 400
"""Points along an axis of a picture: more cannot be seen."""
LONGEST = 5.0
"""How many times longer than wide a picture may be."""


@dataclass(frozen=True, eq=False)
class FieldViewer:
    """Which points of a field are shown, and along which axes.

    Up is up: the vertical axis is the latitude, else z, else y, else the first; the horizontal one is x or the
    longitude where there is one. Axes with a single point are left out.

    Attributes
    ----------
    axes, axis_units, scattered
        The points, as in `sparsevq.data.field_data.FieldData`.
    across
        The axis that is looked along; None unless the field is in space.
    layer
        Number of the plane (of scattered points: the slab) across it that is shown; None: the largest value along the
        line of sight.
    """

    axes: Mapping[str, Array]
    axis_units: Mapping[str, str]
    scattered: bool
    across: str | None = None
    layer: int | None = None

    @cached_property
    def shown_axes(self) -> tuple[str, ...]:
        """Axes of the picture: ``(horizontal,)`` of a line, else ``(horizontal, vertical)``."""
        axes = [axis for axis in _long_axes(self) if axis != self.across]
        if len(axes) == 1:
            return (axes[0],)
        first = [*(axis for axis in axes if self.axis_units.get(axis) in LATITUDE_UNITS), "z", "y", axes[0]]
        vertical = next(axis for axis in first if axis in axes)
        return next(axis for axis in axes if axis != vertical), vertical

    @property
    def is_line(self) -> bool:
        """Values over one axis."""
        return len(self.shown_axes) == 1

    @property
    def is_dots(self) -> bool:
        """Scattered points in more than one dimension."""
        return self.scattered and not self.is_line

    @property
    def on_earth(self) -> bool:
        """Whether it is a map: its vertical axis is a latitude."""
        return not self.is_line and self.axis_units.get(self.shown_axes[1], "") in LATITUDE_UNITS

    @cached_property
    def _points(self) -> Array | slice:
        """Of scattered points those that are shown, in the order of a line's axis."""
        if self.across is not None:
            return np.flatnonzero(self.layers(self.across) == self.layer)
        return np.argsort(self.axes[self.shown_axes[0]], kind="stable") if self.is_line else slice(None)

    def shown(self, values: Array) -> Array:
        """The values that are shown.

        Parameters
        ----------
        values
            ``(..., N)``, NaN where there is no field.

        Returns
        -------
        ``(..., n)`` of a line or of dots, ``(..., rows, columns)`` of a picture; rows from below, columns to the right.
        """
        if self.scattered:
            return values[..., self._points]
        chosen: dict[str, int | slice] = dict.fromkeys(self.axes, 0)
        chosen |= {axis: _stride(self.axes[axis]) for axis in self.shown_axes}
        if self.across is not None:
            chosen[self.across] = slice(None) if self.layer is None else self.layer
        values = values.reshape(*values.shape[:-1], *(len(at) for at in self.axes.values()))[..., *chosen.values()]
        kept = [axis for axis, part in chosen.items() if isinstance(part, slice)]
        if self.across in kept:
            values = np.fmax.reduce(values, axis=kept.index(self.across) - len(kept))
            kept.remove(self.across)
        return values if self.is_line or kept[0] == self.shown_axes[1] else values.swapaxes(-1, -2)

    def along(self, axis: str) -> Array:
        """Coordinates of the rows, of the columns, or of the points of a line or of dots."""
        return self.axes[axis][self._points if self.scattered else _stride(self.axes[axis])]

    def places(self, coordinates: Array) -> Array:
        """``(n, 1 or 2)``: where places ``(n, d)`` lie in the picture, seen along the axis that it leaves out."""
        names = list(self.axes)
        columns = []
        for axis in self.shown_axes:
            at = coordinates[:, names.index(axis)]
            low = float(self.axes[axis].min())
            outside = (at < low) | (at > self.axes[axis].max())
            on_earth = self.axis_units.get(axis, "") in LONGITUDE_UNITS  # 30 degrees west is 330 east
            columns.append(np.where(outside & on_earth, low + np.mod(at - low, 360), at))
        return np.stack(columns, axis=-1)

    @property
    def part(self) -> str:
        """Which part of a field in space is shown; empty where it is all of it."""
        if self.across is None:
            return ""
        if self.layer is None:
            return f"largest along {self.across}"
        at = self.axes[self.across]
        at = at[self._points] if self.scattered else at[self.layer : self.layer + 1]
        where = f"{at.min():.3g} to {at.max():.3g}" if self.scattered else f"{at[0]:.3g}"
        return f"{self.across} = {where} {self.axis_units.get(self.across, '')}".rstrip()

    @property
    def proportions(self) -> float | None:
        """Height over width of what is shown, where both are measured in one unit or in degrees on a sphere.

        None for a strip so long that nothing would be seen across it: it is stretched.
        """
        if self.is_line:
            return None
        units = [self.axis_units.get(axis, "") for axis in self.shown_axes]
        if units[0] != units[1] and units[1] not in LATITUDE_UNITS:
            return None
        wide, high = (float(np.ptp(self.along(axis))) for axis in self.shown_axes)
        return high / wide if wide and high and 1 / LONGEST <= high / wide <= LONGEST else None

    def panel_size(self, width: float = 1.25) -> tuple[float, float]:
        """Width and height (inches) of a panel that fits what is shown."""
        if self.is_line:
            return 1.6 * width, 0.9 * width
        ratio = float(np.clip(self.proportions or (0.5 if self.on_earth else 1.0), 0.2, 2.5))
        width = width * float(np.clip(ratio**-0.5, 0.8, 2.0))
        return width, width * ratio

    def layers(self, axis: str) -> NDArray[np.int64]:
        """``(N,)``: the plane across an axis that each point lies in; scattered points are in slabs of equal number."""
        at, names = self.axes[axis], list(self.axes)
        if self.scattered:
            order = np.argsort(np.argsort(at, kind="stable"), kind="stable")
            return order * _num_layers(self, axis) // len(at)
        along = [-1 if name == axis else 1 for name in names]
        return np.broadcast_to(np.arange(len(at)).reshape(along), [len(self.axes[name]) for name in names]).ravel()


def view_middle(axes: Mapping[str, Array], axis_units: Mapping[str, str], scattered: bool) -> FieldViewer:
    """Show a field; of one in space the middle plane or slab, seen from the side where there is a z."""
    viewer = FieldViewer(axes, axis_units, scattered)
    if len(_long_axes(viewer)) < 3:
        return viewer
    across = _lines_of_sight(viewer)[0]
    return replace(viewer, across=across, layer=_num_layers(viewer, across) // 2)


def view_most_varied(data: FieldData, fields: Array) -> FieldViewer:
    """Show fields; of a field in space the plane or slab of the largest variance over points and frames.

    Planes along z alone are looked at where there is a z (a plume is seen from the side), and maps alone on a sphere.
    Channels count in their standard deviations. Of layers alike it is the one nearest to the middle.

    Parameters
    ----------
    data
        The data set.
    fields
        ``(F, N, C)`` physical units: what is to be seen; NaN where there is no field.
    """
    viewer = view_middle(data.axes, data.axis_units, data.scattered)
    if viewer.across is None:
        return viewer
    valid = np.isfinite(fields[0, :, 0])
    total = np.zeros((data.num_points, len(data.channels)))
    square = np.zeros_like(total)
    for frame in fields:  # one at a time: all of them in float64 would not be small
        normalised = np.where(valid[:, None], (frame - data.mean) / data.std, 0)
        total += normalised
        square += np.square(normalised)
    variance = {}
    for axis in _lines_of_sight(viewer):
        layers = viewer.layers(axis)
        count = np.maximum(np.bincount(layers, valid) * len(fields), 1)
        mean, mean_square = (
            np.stack([np.bincount(layers, values) / count for values in moment.T]) for moment in (total, square)
        )
        variance[axis] = (mean_square - np.square(mean)).sum(axis=0)
    largest = max(values.max() for values in variance.values())
    alike = {axis: np.flatnonzero(values >= largest * (1 - 1e-3)) for axis, values in variance.items()}
    across = next(axis for axis, layers in alike.items() if len(layers))
    middle = (len(variance[across]) - 1) / 2
    return replace(viewer, across=across, layer=int(min(alike[across], key=lambda layer: abs(layer - middle))))


def _long_axes(viewer: FieldViewer) -> list[str]:
    return [axis for axis, at in viewer.axes.items() if np.ptp(at) > 0] or list(viewer.axes)[-1:]


def _lines_of_sight(viewer: FieldViewer) -> list[str]:
    """Axes of space that a picture may leave out, the usual one first."""
    axes = _long_axes(viewer)
    if any(viewer.axis_units.get(axis) in LATITUDE_UNITS for axis in axes):
        others = [axis for axis in axes if viewer.axis_units.get(axis) not in (*LATITUDE_UNITS, *LONGITUDE_UNITS)]
        return others[:1] or axes[:1]
    return sorted(
        (axis for axis in axes if axis != "z"), key=lambda axis: ("y", "x").index(axis) + 1 if axis in "yx" else 0
    )


def _num_layers(viewer: FieldViewer, axis: str) -> int:
    points = len(viewer.axes[axis])
    return max(1, round(points ** (1 / len(viewer.axes))) // 2) if viewer.scattered else points


def _stride(at: Array) -> slice:
    return slice(None, None, max(1, len(at) // POINTS))
