"""What sensors measured in a frame."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Readings:
    """What sensors measured in one frame.

    Attributes
    ----------
    places
        ``(n, d)`` coordinates of the sensors, in the axes' units.
    values
        ``(n, C)`` in the channels' units; NaN where a sensor does not read a channel.
    noise
        ``(n, C)`` standard deviation of each value's error, in the channels' units; 0: exact.
    numbers
        ``(n,)`` of the sensors, as the file has them; -1: it has their places.
    """

    places: FloatArray
    values: FloatArray
    noise: FloatArray
    numbers: npt.NDArray[np.int64] | None = None

    def by_place(self) -> "Readings":
        """The same in an order that depends on the places alone."""
        return self.part(order_by_place(self.places))

    def part(self, which: npt.NDArray[np.int64]) -> "Readings":
        """Some of the sensors, in this order."""
        numbers = None if self.numbers is None else self.numbers[which]
        return Readings(self.places[which], self.values[which], self.noise[which], numbers)


def order_by_place(places: FloatArray) -> npt.NDArray[np.int64]:
    """The one order of sensors at places ``(n, d)``, whatever order they are given in."""
    found: npt.NDArray[np.int64] = np.lexsort(places.T)
    return found
