"""What a forecast was made from: the sensors of all observed frames, and what each read."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from sparsevq.sensors.history import History
from sparsevq.sensors.placement import SensorSets
from sparsevq.sensors.readings import FloatArray, order_by_place


@dataclass(frozen=True, eq=False)
class Observed:
    """Readings of k frames by n sensors, each there in at least one of them.

    Attributes
    ----------
    offsets
        ``(k,)`` frames after the last observed one, increasing: ..., -1, 0.
    places
        ``(n, d)`` in the axes' units.
    values
        ``(k, n, C)`` in the channels' units; NaN where nothing was read.
    numbers
        ``(n,)`` of the run's own sensors, as its ``sensors.csv`` has them; -1: of none of these.
    """

    offsets: tuple[int, ...]
    places: FloatArray
    values: FloatArray
    numbers: np.ndarray

    @classmethod
    def of(cls, history: History, sensors: SensorSets) -> Self:
        """Of a history of readings, and the sensors of the run."""
        places = np.unique(np.concatenate([read.places for read in history.frames]), axis=0)
        places = places[order_by_place(places)]
        at = {place: index for index, place in enumerate(map(tuple, places.tolist()))}
        values = np.full((len(history.frames), len(places), history.frames[0].values.shape[1]), np.nan)
        for row, read in zip(values, history.frames, strict=True):
            row[[at[place] for place in map(tuple, read.places.tolist())]] = read.values
        own = {tuple(place): number for number, place in enumerate(sensors.coordinates.tolist())}
        numbers = np.array([own.get(place, -1) for place in at], dtype=np.int32)
        return cls(history.offsets, places, values, numbers)
