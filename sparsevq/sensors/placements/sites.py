"""The points at which sensors may stand, and how far apart they must be."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.sensors.distance import Distance
from sparsevq.sensors.space import Space

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Region = tuple[tuple[float, float], ...]

ROUNDING = 1e-9
"""Share of the least distance that is no difference."""


class Sites:
    """Points ``(n,)`` of a data set, of which some are free.

    Parameters
    ----------
    data
        The data set.
    points
        ``(n,)`` flat indices: where sensors may stand.
    min_distance
        Of two sensors, as `Distance` measures it; 0: none.
    """

    def __init__(self, data: FieldData, points: Indices, min_distance: float = 0.0):
        self.points = points
        self.free: Flags = np.ones(len(points), bool)
        self.min_distance = min_distance
        self._all_places = data.physical_coordinates
        self._places = self._all_places[points]
        self._distance = Distance.of(data) if min_distance else None

    def take(self, point: int) -> None:
        """A sensor stands at a point (flat index), which need not be one of these: it and those too near are taken."""
        self.free[self.points == point] = False
        if self._distance is not None:
            self.free &= ~self._near(self._places, self._all_places[point])

    def require_room(self, wanted: int) -> None:
        """Check that there are so many free points.

        Raises
        ------
        SparseVQError
            There are fewer.
        """
        if wanted > self.free.sum():
            raise SparseVQError(
                f"only {int(self.free.sum())} of {wanted} sensors fit", "place fewer, or allow more places"
            )

    def require_free(self, found: int, wanted: int) -> None:
        """Check that there is a free point.

        Raises
        ------
        SparseVQError
            There is none; the message says how many sensors have been placed.
        """
        if not self.free.any():
            at = f" at least {self.min_distance:g} {self._distance.unit}".rstrip() if self._distance else ""
            raise SparseVQError(
                f"only {found} of {wanted} sensors fit{f'{at} apart' if at else ''}",
                "place fewer" + (", or lower the least distance" if at else ", or allow more places"),
            )

    def require_apart(self, chosen: Indices, what: str) -> None:
        """Check that points, chosen without regard to it, are as far apart as they must be.

        Raises
        ------
        SparseVQError
            Two are nearer to each other.
        """
        for number, point in enumerate(chosen.tolist() if self._distance is not None else []):
            near = self._near(self._all_places[chosen[:number]], self._all_places[point])
            if near.any():
                raise SparseVQError(
                    f"{what}: sensors {int(near.argmax())} and {number} are less than {self.min_distance:g} "
                    f"{self._distance.unit if self._distance else ''} apart".rstrip(),
                    "place fewer, or lower the least distance",
                )

    def _near(self, places: npt.NDArray[Any], place: npt.NDArray[Any]) -> Flags:
        assert self._distance is not None
        near: Flags = self._distance(places, place) < self.min_distance * (1 - ROUNDING)
        return near


def in_region(data: FieldData, candidates: Indices, region: Region) -> Indices:
    """The candidates between (low, high) along each axis.

    Raises
    ------
    SparseVQError
        There is not one pair for each axis.
    """
    if len(region) != len(data.axes):
        raise SparseVQError(
            f"sensors.region has {len(region)} (low, high) pair(s) but the data has {len(data.axes)} axes",
            f"give one pair for each of {', '.join(data.axes)}",
        )
    inside = np.ones(len(candidates), bool)
    periods = Space.of(data).periods
    for axis, (low, high), at in zip(data.axes, region, data.physical_coordinates[candidates].T, strict=True):
        if axis in periods and np.isfinite(low):  # 350 to 370 degrees are -10 to 10
            at = np.where((at >= low) & (at <= high), at, low + np.mod(at - low, periods[axis][1]))
        inside &= (at >= low) & (at <= high)
    return candidates[inside]
