"""Which points of a field a picture shows, and along which axes: a line, a map, a plane through space, or dots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, FieldData

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class View:
    """How fields of a data set become pictures.

    Attributes
    ----------
    data
        The data set.
    axes
        The picture's axes: ``(horizontal,)`` of a line, else ``(horizontal, vertical)``.
    points
        Flat indices of the points that are shown: ``(n,)`` of a line or of dots, ``(rows, columns)`` of a picture.
    plane
        Which part of a field in space that is; empty where it is all of it.
    """

    data: FieldData
    axes: tuple[str, ...]
    points: NDArray[np.int64]
    plane: str

    @property
    def is_line(self) -> bool:
        """Values over one axis."""
        return len(self.axes) == 1

    @property
    def is_picture(self) -> bool:
        """Values on a grid of rows and columns; else, if it is no line, dots."""
        return self.points.ndim == 2

    def along(self, axis: str) -> Array:
        """Coordinates of the rows, of the columns, or of the points of a line or of dots."""
        if self.is_picture:
            return self.data.axes[axis]
        return self.data.physical_coordinates[self.points, list(self.data.axes).index(axis)]

    def places(self, points: Array) -> Array:
        """``(n, 1 or 2)``: where points of the data set lie in the picture, seen along the axis that it leaves out."""
        names = list(self.data.axes)
        return self.data.physical_coordinates[points][:, [names.index(axis) for axis in self.axes]]

    @property
    def on_earth(self) -> bool:
        """Whether it is a map: its vertical axis is a latitude."""
        return not self.is_line and self.data.axis_units.get(self.axes[1], "") in LATITUDE_UNITS

    @property
    def proportions(self) -> float | None:
        """Height over width of what is shown, where both are measured in one unit or in degrees on a sphere.

        None for a strip so long that nothing would be seen across it: it is stretched.
        """
        if self.is_line:
            return None
        units = [self.data.axis_units.get(axis, "") for axis in self.axes]
        if units[0] != units[1] and units[1] not in LATITUDE_UNITS:
            return None
        wide, high = (float(np.ptp(self.along(axis))) for axis in self.axes)
        return high / wide if wide and high and 1 / LONGEST <= high / wide <= LONGEST else None


LONGEST = 5.0
"""How many times longer than wide a picture may be."""


def choose_view(data: FieldData, fields: Array, valid: Array) -> View:
    """How to show fields of a data set.

    Up is up: of the picture's axes z is vertical, else the latitude, else y, else the first. Of a field in space it is
    the plane (of scattered points the slab) in which the fields vary most, over its points and in time. Planes along z
    alone are looked at where there is a z (a plume is seen from the side), and maps alone on a sphere.

    Parameters
    ----------
    data
        The data set.
    fields
        ``(F, N, C)`` physical units: what is to be seen.
    valid
        ``(N,)`` points where the fields exist.
    """
    long = [axis for axis, at in data.axes.items() if len(at) > 1 and np.ptp(at) > 0] or list(data.axes)[-1:]
    # Where a scattered point does not exist nothing is drawn; on a grid the gap belongs to the picture.
    points = np.flatnonzero(valid) if data.scattered else np.arange(data.num_points)
    if len(long) == 1:
        at = data.physical_coordinates[points, list(data.axes).index(long[0])]
        return View(data, (long[0],), points[np.argsort(at, kind="stable")], "")
    if len(long) == 2:
        return _arranged(data, points, long, "")

    labels = {axis: _layers(data, axis) for axis in _looked_along(data, long)}
    spread = _spread_by_layer(data, fields, valid, labels)
    across, layer = _widest(spread)
    points = points[labels[across][points] == layer]
    at = data.physical_coordinates[points, list(data.axes).index(across)]
    unit = data.axis_units.get(across, "")
    where = f"{at.min():.3g} to {at.max():.3g}" if data.scattered else f"{at[0]:.3g}"
    plane = f"{across} = {where} {unit}".rstrip()
    return _arranged(data, points, [axis for axis in long if axis != across], plane)


def _arranged(data: FieldData, points: NDArray[np.int64], axes: list[str], plane: str) -> View:
    """Rows upwards, columns to the right."""
    upright = [
        *(axis for axis in axes if axis == "z"),
        *(axis for axis in axes if data.axis_units.get(axis) in LATITUDE_UNITS),
        *(axis for axis in axes if axis == "y"),
        axes[0],
    ][0]
    (level,) = (axis for axis in axes if axis != upright)
    if data.scattered:
        return View(data, (level, upright), points, plane)
    points = points.reshape([len(data.axes[axis]) for axis in axes])
    return View(data, (level, upright), points if axes[0] == upright else points.T, plane)


def _looked_along(data: FieldData, axes: list[str]) -> list[str]:
    """Axes of space that a picture may leave out."""
    upright = [axis for axis in axes if data.axis_units.get(axis) in LATITUDE_UNITS]
    if upright:
        others = [axis for axis in axes if not data.axis_units.get(axis, "").startswith("degree")]
        return others[:1] or axes[:1]
    return [axis for axis in axes if axis != "z"] if "z" in axes else axes


def _layers(data: FieldData, axis: str) -> NDArray[np.int64]:
    """``(N,)``: the plane across an axis that each point lies in; scattered points are put in slabs of equal number."""
    column = list(data.axes).index(axis)
    if not data.scattered:
        return np.indices(data.grid)[column].ravel()
    slabs = max(1, data.resolution[column] // 2)
    order = np.argsort(np.argsort(data.physical_coordinates[:, column], kind="stable"), kind="stable")
    return order * slabs // data.num_points


def _spread_by_layer(data: FieldData, fields: Array, valid: Array, labels: dict[str, Array]) -> dict[str, Array]:
    """Axis -> variance of the normalised fields in each of its layers, over points and frames, channels added."""
    total = np.zeros((data.num_points, len(data.channels)))
    square = np.zeros_like(total)
    for frame in fields:
        normalised = np.where(valid[:, None], (frame - data.mean) / data.std, 0)
        total += normalised
        square += np.square(normalised)
    spread = {}
    for axis, label in labels.items():
        count = np.maximum(np.bincount(label, valid) * len(fields), 1)
        mean, mean_square = (
            np.stack([np.bincount(label, values) / count for values in moment.T]) for moment in (total, square)
        )
        spread[axis] = (mean_square - np.square(mean)).sum(axis=0)
    return spread


def _widest(spread: dict[str, Array]) -> tuple[str, int]:
    """The layer of the largest variance; of those alike the one nearest to the middle, of the first axis."""
    largest = max(values.max() for values in spread.values())
    axis = next(axis for axis, values in spread.items() if values.max() >= largest * (1 - 1e-3))
    alike = np.flatnonzero(spread[axis] >= spread[axis].max() * (1 - 1e-3))
    middle = (len(spread[axis]) - 1) / 2
    return axis, int(alike[np.argmin(np.abs(alike - middle))])
