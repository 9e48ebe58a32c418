"""Initial conditions of the shallow water benchmark: zonal jets, each disturbed by a bump in the height.

Galewsky, Scott & Polvani, "An initial-value problem for testing numerical models of the global shallow-water
equations", Tellus A 56, 429-440 (2004), equations 2 and 4, with the jet's speed, latitude and width and the bump's
height and place as parameters.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsevq.config import ShallowConfig

# Distances along longitude and latitude at which a bump has fallen to 1/e (radians; equation 4).
BUMP_LONGITUDE = 1 / 3
BUMP_LATITUDE = 15**-0.5
# Largest distance of a bump's centre from the axis of its jet, in widths of the jet.
BESIDE = 0.15

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Jet:
    """A westerly jet and the bump that disturbs it. Angles in degrees; latitudes south of the equator are negative.

    Attributes
    ----------
    speed
        Highest wind speed (m/s); 0 where there is no jet.
    latitude
        Of the axis.
    width
        From edge to edge; there is no wind beyond.
    bump
        Height of the bump (m), before the factor cos(latitude) that makes it smooth at the poles.
    bump_latitude, bump_longitude
        Its centre.
    """

    speed: float
    latitude: float
    width: float
    bump: float
    bump_latitude: float
    bump_longitude: float

    def wind(self, latitude: Array) -> Array:
        """Eastward wind (m/s) at latitudes in degrees (equation 2); all its derivatives vanish at the edges."""
        half = np.deg2rad(self.width / 2)
        room = half**2 - np.deg2rad(latitude - self.latitude) ** 2
        inside = room > 0
        exponent = 1 / half**2 - 1 / np.where(inside, room, 1.0)
        return np.where(inside, self.speed * np.exp(np.where(inside, exponent, 0.0)), 0.0)

    def disturbance(self, latitude: Array, longitude: Array) -> Array:
        """Height (m) that the bump adds at places in degrees, broadcast against each other (equation 4)."""
        east = np.deg2rad((longitude - self.bump_longitude + 180) % 360 - 180) / BUMP_LONGITUDE
        north = np.deg2rad(latitude - self.bump_latitude) / BUMP_LATITUDE
        return self.bump * np.cos(np.deg2rad(latitude)) * np.exp(-(east**2) - north**2)


GALEWSKY = Jet(speed=80, latitude=45, width=90 - 360 / 7, bump=120, bump_latitude=45, bump_longitude=0)
"""The published case."""


def draw(settings: ShallowConfig, trajectory: int, attempt: int = 0) -> tuple[Jet, Jet]:
    """The northern and the southern jet of a trajectory, drawn apart from each other.

    They depend on nothing but the settings' ranges and seed and the two numbers. With probability
    ``1 - settings.both_hemispheres`` one of the hemispheres is calm: neither jet nor bump.
    """
    rng = np.random.default_rng([settings.seed % 2**32, trajectory, attempt])
    calm = rng.choice([1, -1]) if rng.uniform() >= settings.both_hemispheres else 0
    north, south = (_jet(settings, rng, hemisphere, hemisphere == calm) for hemisphere in (1, -1))
    return north, south


def _jet(settings: ShallowConfig, rng: np.random.Generator, hemisphere: int, calm: bool) -> Jet:
    speed, bump = rng.uniform(*settings.jet_speed), rng.uniform(*settings.bump)
    latitude, width = rng.uniform(*settings.jet_latitude), rng.uniform(*settings.jet_width)
    beside, longitude = rng.uniform(-BESIDE, BESIDE) * width, rng.uniform(0, 360)
    return Jet(
        speed=0.0 if calm else speed,
        latitude=hemisphere * latitude,
        width=width,
        bump=0.0 if calm else bump,
        bump_latitude=hemisphere * (latitude + beside),
        bump_longitude=longitude,
    )
