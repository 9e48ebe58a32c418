"""Random parameters of fires: wind, burner, its growth, obstacles, and whether there is a room around it.

The scenes are the same for every solver. Lengths are in metres, z points up from the floor,
the wind blows along x, and the corner of the domain is the origin.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sparsevq.config import FireConfig

SIZE = 4.0
"""Side of the cubic domain (m)."""
AMBIENT = 300.0
"""Temperature of the air at first, and of what flows in (K)."""

# Ranges of uniform draws that are not in the configuration.
BURNER_TEMPERATURE = (700.0, 1200.0)  # of the gas that leaves the burner at full power (K)
RAMP = (1.0, 8.0)  # time that the power takes to grow (s)
BOX_SIDE = (0.5, 1.2)
BOX_HEIGHT = (0.6, 2.2)
MOST_BOXES = 3
DOOR_WIDTH = (0.8, 1.4)
DOOR_HEIGHT = (1.8, 2.4)
# Free floor: around the burner, between boxes and walls, and in front of a door.
BURNER_GAP = 0.1
EDGE_GAP = 0.3
DOORWAY = 1.0
# In the open the wind carries the plume along x: the burner's centre is in the first part of the domain.
FARTHEST_ALONG_WIND = 2.4


@dataclass(frozen=True)
class Rectangle:
    """A part of the floor (m)."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def overlaps(self, other: "Rectangle", gap: float = 0.0) -> bool:
        """Whether two rectangles come closer than `gap` along both axes."""
        along_x = self.x_low - gap < other.x_high and other.x_low - gap < self.x_high
        return along_x and self.y_low - gap < other.y_high and other.y_low - gap < self.y_high


@dataclass(frozen=True)
class Box:
    """An obstacle that stands on the floor."""

    floor: Rectangle
    height: float


@dataclass(frozen=True)
class Door:
    """An opening from the floor up in the wall at ``x = SIZE``."""

    y_low: float
    y_high: float
    height: float


@dataclass(frozen=True)
class Scene:
    """One fire.

    Attributes
    ----------
    number, attempt
        Numbers that the draw depends on, beside the settings.
    wind
        Speed of the cross wind along x (m/s); 0 in a room.
    x, y
        Centre of the burner (m).
    side
        Of the square burner (m).
    power
        Convective power after the growth (kW).
    temperature
        Of the gas that leaves the burner at that power (K).
    ramp
        Time that the power takes to grow, linearly from 0 (s).
    boxes
        Obstacles, which neither cover the burner nor overlap.
    door
        None in the open, where air flows freely through all sides and the top; otherwise the sides and the top of the
        domain are the walls and the ceiling of a room, with the door as the only opening.
    """

    number: int
    attempt: int
    wind: float
    x: float
    y: float
    side: float
    power: float
    temperature: float
    ramp: float
    boxes: tuple[Box, ...] = ()
    door: Door | None = None

    @property
    def burner(self) -> Rectangle:
        """The part of the floor that the burner covers."""
        half = self.side / 2
        return Rectangle(self.x - half, self.x + half, self.y - half, self.y + half)

    @property
    def is_room(self) -> bool:
        """Whether there is a room around the fire."""
        return self.door is not None

    def power_at(self, time: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Convective power (kW) at times since ignition (s), of the same shape."""
        return self.power * np.clip(np.asarray(time, dtype=np.float64) / self.ramp, 0, 1)


def draw(settings: FireConfig, number: int, attempt: int = 0) -> Scene:
    """The scene of a trajectory; it depends on nothing but the settings' ranges and seed and the two numbers.

    Numbers from ``settings.trajectories`` on are rooms. The share ``settings.obstacles`` of any run of consecutive
    numbers has obstacles, up to one scene.
    """
    rng = np.random.default_rng([settings.seed % 2**32, number, attempt])
    room = number >= settings.trajectories
    side = rng.uniform(*settings.burner)
    power = rng.uniform(*settings.power)
    wind = rng.uniform(*settings.wind)
    temperature = rng.uniform(*BURNER_TEMPERATURE)
    ramp = rng.uniform(*RAMP)
    nearest = EDGE_GAP + side / 2
    x = rng.uniform(nearest, SIZE - nearest if room else max(FARTHEST_ALONG_WIND, nearest))
    y = rng.uniform(nearest, SIZE - nearest)
    door = _door(rng) if room else None
    scene = Scene(number, attempt, 0.0 if room else wind, x, y, side, power, temperature, ramp, door=door)
    share = settings.obstacles
    with_boxes = int((number + 1) * share + 1e-9) > int(number * share + 1e-9)
    return _with_boxes(scene, rng) if with_boxes else scene


def _door(rng: np.random.Generator) -> Door:
    width = rng.uniform(*DOOR_WIDTH)
    low = rng.uniform(EDGE_GAP, SIZE - EDGE_GAP - width)
    return Door(low, low + width, rng.uniform(*DOOR_HEIGHT))


def _with_boxes(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with at least one obstacle: positions are drawn until they are free."""
    clear = [scene.burner]
    if scene.door is not None:
        clear.append(Rectangle(SIZE - DOORWAY, SIZE, scene.door.y_low, scene.door.y_high))
    wanted = rng.integers(1, MOST_BOXES + 1)
    boxes: list[Box] = []
    tries = 0
    while len(boxes) < wanted and (not boxes or tries < 100):  # after 100 draws one or two obstacles are enough
        tries += 1
        along, across = rng.uniform(*BOX_SIDE, size=2).tolist()
        x, y = rng.uniform(EDGE_GAP, SIZE - EDGE_GAP - np.array([along, across])).tolist()
        box = Box(Rectangle(x, x + along, y, y + across), rng.uniform(*BOX_HEIGHT))
        taken = [*clear, *(other.floor for other in boxes)]
        if not any(box.floor.overlaps(other, BURNER_GAP) for other in taken):
            boxes.append(box)
    return replace(scene, boxes=tuple(boxes))
