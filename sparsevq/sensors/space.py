"""Places that a user gives: inside the domain or not, a period away, or those of sensors, as they are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import LONGITUDE_UNITS, FieldData, axis_span
from sparsevq.sensors.tables.table import Say, Table

FloatArray = npt.NDArray[np.float64]

SAME_PLACE = 0.05
"""Distance of a place from a sensor's, in spacings of the grid, up to which it is that sensor's, written roughly."""
ROUNDED = 1e-3
"""The same, up to which nobody need be told."""


@dataclass(frozen=True, eq=False)
class Space:
    """Which places there are.

    Attributes
    ----------
    domain
        Axis -> valid coordinates (`FieldData.domain`); others are outside.
    periods
        Axis -> its first coordinate and its period, of axes along which places a period away are the same.
    spacing
        Axis -> the usual distance of two points; places within `SAME_PLACE` of it are the same.
    """

    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    periods: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    spacing: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, data: FieldData) -> Self:
        """That of a data set. Longitudes are periodic whatever part of the globe it has."""
        periods, spacing = {}, {}
        for (axis, at), points in zip(data.axes.items(), data.resolution, strict=True):
            low, length = axis_span(at, axis in data.periodic)
            spacing[axis] = length / max(points - (axis not in data.periodic), 1)
            if axis in data.periodic:
                periods[axis] = low, length
            elif data.axis_units.get(axis) in LONGITUDE_UNITS:
                periods[axis] = data.domain[axis][0], 360.0
        return cls(data.domain, periods, spacing)

    def inside(self, table: Table, places: FloatArray, axes: tuple[str, ...], say: Say) -> FloatArray:
        """Places (n, d) of a file's lines, those a period away moved into the domain, with a note.

        Raises
        ------
        SparseVQError
            One is outside.
        """
        found = places.copy()
        for column, axis in enumerate(axes):
            found[:, column] = self._moved(table, places[:, column], axis, say)
            if axis in self.domain:
                _check(table, found[:, column], axis, *self.domain[axis])
        return found

    def _moved(self, table: Table, coordinates: FloatArray, axis: str, say: Say) -> FloatArray:
        if axis not in self.periods:
            return coordinates
        low, period = self.periods[axis]
        _check(table, coordinates, axis, low - period, low + 2 * period)
        moved = low + np.mod(coordinates - low, period)
        rounding = 1e-9 * period + ROUNDED * self.spacing.get(axis, 0.0)
        moved = np.where(moved > low + period - rounding, low, moved)
        away = np.abs(moved - coordinates) > rounding
        if len(turned := np.flatnonzero(away)):
            row = table.rows[turned[0]]
            many = f"{len(turned)} places are" if len(turned) > 1 else "a place is"
            say(
                f"{row.where}: {axis}={coordinates[turned[0]]:g} is taken as "
                f"{moved[turned[0]]:g}: {many} a period of {period:g} away"
            )
        return np.where(away, moved, coordinates)

    def at_sensors(self, table: Table, places: FloatArray, sensors: FloatArray, say: Say) -> FloatArray:
        """Places (n, d), as those of sensors (s, d) where they are these but for rounding."""
        steps = np.array(list(self.spacing.values()))
        if not len(steps) or not len(sensors):
            return places
        steps = np.where(steps > 0, steps, 1)
        apart = places[:, None] - sensors  # (n, s, d)
        for column, axis in enumerate(self.spacing):
            if axis in self.periods:
                period = self.periods[axis][1]
                apart[..., column] = np.mod(apart[..., column] + period / 2, period) - period / 2
        distance = np.abs(apart / steps).max(axis=-1)
        nearest = distance.argmin(axis=1)
        least = distance[np.arange(len(places)), nearest]
        if len(rough := np.flatnonzero((least <= SAME_PLACE) & (least > ROUNDED))):
            say(
                f"{table.rows[rough[0]].where}: taken as the place of sensor {nearest[rough[0]]}, "
                f"which is {least[rough[0]]:.1%} of the grid's spacing away"
                + (f"; {len(rough)} places are so" if len(rough) > 1 else "")
            )
        return np.where((least <= SAME_PLACE)[:, None], sensors[nearest], places)


ANYWHERE = Space()


def _check(table: Table, coordinates: FloatArray, axis: str, low: float, high: float) -> None:
    """Check that coordinates (n,) of a file's lines are within bounds."""
    margin = 1e-9 * max(high - low, abs(low), abs(high))
    outside = np.flatnonzero(~((low - margin <= coordinates) & (coordinates <= high + margin)))
    if len(outside):
        raise table.rows[outside[0]].fault(
            f"{axis}={coordinates[outside[0]]:g} is outside the domain {low:g} ... {high:g}",
            "check the units and the order of the columns",
        )


def shown(axes: tuple[str, ...], place: tuple[float, ...]) -> str:
    """A place, for messages."""
    return ", ".join(f"{axis}={coordinate:g}" for axis, coordinate in zip(axes, place, strict=True))
