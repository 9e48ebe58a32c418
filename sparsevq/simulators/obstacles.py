"""Random parameters of flows past an obstacle: its shape, size and position, the Reynolds number, the first gust."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.config import CylinderConfig

# Range of an obstacle's centre, along x and along y (lattice cells).
CENTRE = (48.0, 80.0)
# Largest factor by which an ellipse's axes are stretched and shrunk.
ASPECT = 1.4
# Half the side of a square with the area of the circle of diameter 1.
HALF_SIDE = np.sqrt(np.pi) / 4


@dataclass(frozen=True)
class Draw:
    """One flow. Lengths are in lattice cells.

    Attributes
    ----------
    reynolds
        Inflow speed * diameter / viscosity.
    diameter
        Of the circle; an ellipse and a square have the same area.
    x, y
        Centre of the obstacle.
    shape
        ``circle``, ``ellipse`` or ``square``.
    angle
        Rotation of an ellipse or a square (radians).
    aspect
        An ellipse's half axes are ``aspect * diameter / 2`` and ``diameter / (2 * aspect)``.
    kick, kick_y
        Strength (in inflow speeds) of the transverse gust that starts the shedding, and its offset from the centre.
    """

    reynolds: float
    diameter: float
    x: float
    y: float
    shape: str
    angle: float
    aspect: float
    kick: float
    kick_y: float

    def inside(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Whether places (lattice cells; arrays of one shape) are inside the obstacle."""
        x, y = x - self.x, y - self.y
        along = x * np.cos(self.angle) + y * np.sin(self.angle)
        across = y * np.cos(self.angle) - x * np.sin(self.angle)
        if self.shape == "square":
            return np.maximum(np.abs(along), np.abs(across)) < HALF_SIDE * self.diameter
        return (along / self.aspect) ** 2 + (across * self.aspect) ** 2 < (self.diameter / 2) ** 2

    def gust(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The first transverse velocity, in inflow speeds: a Gaussian one diameter behind the obstacle."""
        square = (x - self.x - self.diameter) ** 2 + (y - self.y - self.kick_y) ** 2
        return self.kick * np.exp(-square / (2 * self.diameter) ** 2)


def draw(settings: CylinderConfig, trajectory: int, attempt: int = 0) -> Draw:
    """The draw of a trajectory; it depends on nothing but the settings' ranges and seed and the two numbers."""
    rng = np.random.default_rng([settings.seed % 2**32, trajectory, attempt])
    diameter = rng.uniform(*settings.diameter)
    reynolds = float(np.exp(rng.uniform(*np.log(settings.reynolds))))
    shape = settings.shapes[rng.integers(len(settings.shapes))]
    x, y = rng.uniform(*CENTRE, size=2).tolist()
    angle, aspect = rng.uniform(0, np.pi), rng.uniform(1, ASPECT)
    kick = float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.3))
    kick_y = rng.uniform(-1, 1) * diameter
    angle = 0.0 if shape == "circle" else angle
    aspect = aspect if shape == "ellipse" else 1.0
    return Draw(reynolds, diameter, x, y, shape, angle, aspect, kick, kick_y)
