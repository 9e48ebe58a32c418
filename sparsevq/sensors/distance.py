"""How far places are from each other: along great circles on a sphere, the short way around periodic axes."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, Description, axis_span
from sparsevq.errors import SparseVQError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Distance:
    """Distances between places ``(n, d)`` in the axes' units.

    Attributes
    ----------
    unit
        Of a distance: that of the axes; on a sphere degrees of arc, along great circles and whatever the height.
    periods
        ``(d,)`` period of each axis; infinite where there is none.
    sphere
        Columns of latitude and longitude; None: not on a sphere.
    """

    unit: str
    periods: Floats
    sphere: tuple[int, int] | None = None

    @classmethod
    def of(cls, data: Description) -> Self:
        """Distances in a data set.

        Raises
        ------
        SparseVQError
            Its axes have different units, so that there is no distance.
        """
        units = [data.axis_units.get(axis, "") for axis in data.axes]
        spans = [axis_span(at, axis in data.periodic)[1] for axis, at in data.axes.items()]
        periods = np.where(data.closed, spans, np.inf)
        latitude = [column for column, unit in enumerate(units) if unit in LATITUDE_UNITS]
        longitude = [column for column, unit in enumerate(units) if unit in LONGITUDE_UNITS]
        if latitude and longitude:
            return cls("degrees of arc", periods, (latitude[0], longitude[0]))
        if len(set(units)) > 1:
            listed = ", ".join(f"{axis} [{unit}]" for axis, unit in zip(data.axes, units, strict=True))
            raise SparseVQError(
                f"a least distance needs axes of one unit, but there are {listed}", "leave the least distance out"
            )
        return cls(units[0], periods)

    def __call__(self, places: Array, place: Array) -> Floats:
        """``(n,)`` distance of each of the places ``(n, d)`` from one ``(d,)``."""
        if self.sphere is not None:
            lat, lon = np.deg2rad(places[:, list(self.sphere)]).T
            lat0, lon0 = np.deg2rad(place[list(self.sphere)])
            chord = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * np.cos(lat0) * np.sin((lon - lon0) / 2) ** 2
            return np.rad2deg(2 * np.arcsin(np.sqrt(np.clip(chord, 0, 1))))
        apart = np.abs(places - place)
        around = np.isfinite(self.periods)
        turned = np.mod(apart[:, around], self.periods[around])
        apart[:, around] = np.minimum(turned, self.periods[around] - turned)
        found: Floats = np.sqrt(np.square(apart).sum(axis=1))
        return found
