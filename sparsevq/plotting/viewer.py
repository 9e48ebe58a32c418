"""How a field is shown, whatever its geometry: as a line, a map, a plane through space, or dots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, FieldData
from sparsevq.plotting.numbers import coordinate

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

    @property
    def long_axes(self) -> list[str]:
        """Axes along which there is more than one point."""
        return [axis for axis, at in self.axes.items() if np.ptp(at) > 0] or list(self.axes)[-1:]

    def num_layers(self, axis: str) -> int:
        """Planes across an axis; of scattered points slabs of equal number, as thick as two points of a grid."""
        points = len(self.axes[axis])
        return max(1, round(points ** (1 / len(self.axes))) // 2) if self.scattered else points

    @cached_property
    def shown_axes(self) -> tuple[str, ...]:
        """Axes of the picture: ``(horizontal,)`` of a line, else ``(horizontal, vertical)``."""
        axes = [axis for axis in self.long_axes if axis != self.across]
        if len(axes) == 1:
            return (axes[0],)
        first = [*(axis for axis in axes if self.axis_units.get(axis) in LATITUDE_UNITS), "z", "y", axes[0]]
        vertical = next(axis for axis in first if axis in axes)
        return next(axis for axis in axes if axis != vertical), vertical

    @property
    def is_line(self) -> bool:
        """Values over one axis."""
        return len(self.shown_axes) == 1

    @cached_property
    def _points(self) -> Array | slice:
        """Of scattered points those that are shown, in the order of a line's axis."""
        if self.across is not None:
            slabs = np.array_split(np.argsort(self.axes[self.across], kind="stable"), self.num_layers(self.across))
            return np.sort(slabs[self.layer or 0])
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
        columns = dict(zip(self.axes, coordinates.T, strict=True))
        for axis, at in self.axes.items():
            if self.axis_units.get(axis) in LONGITUDE_UNITS:  # 30 degrees west is 330 east
                outside = (columns[axis] < at.min()) | (columns[axis] > at.max())
                columns[axis] = np.where(outside, at.min() + np.mod(columns[axis] - at.min(), 360), columns[axis])
        return np.stack([columns[axis] for axis in self.shown_axes], axis=-1)

    @property
    def part(self) -> str:
        """Which part of a field in space is shown; empty where it is all of it."""
        if self.across is None:
            return ""
        if self.layer is None:
            return f"largest along {self.across}"
        unit, others = self.axis_units.get(self.across, ""), self.axes[self.across]
        shown = others[self._points if self.scattered else [self.layer]]
        ends = [coordinate(float(end), unit, others) for end in (shown.min(), shown.max())]
        return f"{self.across} = {' to '.join(dict.fromkeys(ends))}"

    def title(self, text: str) -> str:
        """A title, and which part of a field in space is shown."""
        return ", ".join(filter(None, [text, self.part]))

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
        on_earth = self.axis_units.get(self.shown_axes[1]) in LATITUDE_UNITS
        ratio = float(np.clip(self.proportions or (0.5 if on_earth else 1.0), 0.2, 2.5))
        width = width * float(np.clip(ratio**-0.5, 0.8, 2.0))
        return width, width * ratio


def spread_evenly(size: int, most: int) -> list[int]:
    """Indices of at most `most` of `size` items, spread evenly from the first to the last."""
    return np.unique(np.linspace(0, size - 1, most).round().astype(int)).tolist()


def view_middle(axes: Mapping[str, Array], axis_units: Mapping[str, str], scattered: bool) -> FieldViewer:
    """Show a field; of one in space the middle plane or slab, seen from the side where there is a z."""
    return next(_views(FieldViewer(axes, axis_units, scattered)))


def view_most_varied(data: FieldData, fields: Array) -> FieldViewer:
    """Show fields; of a field in space the plane or slab of the largest variance over points and frames.

    Channels are normalised by their standard deviations. Among planes of equal variance: the one nearest to the middle.

    Parameters
    ----------
    data
        The data set.
    fields
        ``(F, N, C)`` physical units: what is to be seen; NaN where there is no field.
    """
    return most_varied(FieldViewer(data.axes, data.axis_units, data.scattered), fields, data.std)


def most_varied(viewer: FieldViewer, fields: Array, std: Array) -> FieldViewer:
    """`view_most_varied` of any points; `std`: (C,) of the channels."""
    views = list(_views(viewer))
    if len(views) == 1:
        return views[0]
    variances = []
    for view in views:
        shown = view.shown(np.moveaxis(fields, -1, 0))  # (C, F, ...)
        shown = shown[..., np.isfinite(shown[0, 0])]  # (C, F, n)
        by_channel = shown.var(axis=(1, 2), dtype=np.float64) if shown.size else np.zeros(len(shown))
        variances.append(float((by_channel / std**2).sum()))
    return next(view for view, value in zip(views, variances, strict=True) if value >= max(variances) * (1 - 1e-3))


def _views(viewer: FieldViewer) -> Iterator[FieldViewer]:
    """Of a field in space every plane or slab that may be shown, the usual line of sight and the middle first.

    Where there is a z, only planes along it (a plume is seen from the side); on a sphere, only maps.
    """
    axes = viewer.long_axes
    if len(axes) < 3:
        yield viewer
        return
    if any(viewer.axis_units.get(axis) in LATITUDE_UNITS for axis in axes):
        axes = [axis for axis in axes if viewer.axis_units.get(axis) not in (*LATITUDE_UNITS, *LONGITUDE_UNITS)][:1]
    axes = [axis for axis in axes if axis != "z"] or axes
    for axis in sorted(axes, key=lambda axis: {"y": 1, "x": 2}.get(axis, 0)):
        layers = viewer.num_layers(axis)
        for layer in sorted(range(layers), key=lambda layer: abs(2 * layer - layers + 1)):
            yield replace(viewer, across=axis, layer=layer)


def _stride(at: Array) -> slice:
    return slice(None, None, max(1, len(at) // POINTS))
