"""Sensors of the grid as a method takes them to be, whether they are so or not."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Sensors:
    """Sensors of the grid, as a method takes them to be.

    Attributes
    ----------
    points
        ``(n,)`` flat indices.
    reads
        ``(n, C)`` which channels each of them reads.
    noise
        Std of the readings' errors, in units of the anomalies' (`sparsevq.basis.basis.Basis.scale`).
    """

    points: npt.NDArray[np.int64]
    reads: npt.NDArray[np.bool_]
    noise: float = 0.0

    def __len__(self) -> int:
        return len(self.points)

    @property
    def key(self) -> tuple[bytes, bytes, float]:
        """Equal for equal sensors."""
        return self.points.tobytes(), self.reads.tobytes(), self.noise

    def part(self, which: npt.NDArray[np.int64]) -> "Sensors":
        """Some of them."""
        return Sensors(self.points[which], self.reads[which], self.noise)
