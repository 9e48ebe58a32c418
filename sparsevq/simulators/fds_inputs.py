"""Fires as input files of NIST's Fire Dynamics Simulator: the same scenes that OpenFOAM simulates.

The domain and its cells, wind, burner, growth of the power, obstacles, walls and door, and times of the frames are the
same. But FDS burns fuel where OpenFOAM blows hot gas, so the temperature of the burner's gas is not used. Radiation is
off in both: all power is convective.

References
----------
K. McGrattan et al., Fire Dynamics Simulator User's Guide, sixth edition, NIST Special Publication 1019.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from sparsevq.config import FireConfig
from sparsevq.runtime.files import written_whole
from sparsevq.simulators.fire_case import WALL_TRANSFER, first_frame
from sparsevq.simulators.fire_scenes import AMBIENT, SIZE, Rectangle, Scene, draw
from sparsevq.simulators.shard_job import LEARNING
from sparsevq.version import VERSION

FUEL = "PROPANE"
SOOT_YIELD = 0.024
"""Of propane, well ventilated (kg of soot a kg of fuel): SFPE Handbook of Fire Protection Engineering."""
ZERO_CELSIUS = 273.15
WIND_ALONG_X = 270.0
"""Direction that the wind comes from, as FDS counts it (degrees from north, clockwise): the west."""
QUANTITIES = ({"QUANTITY": "TEMPERATURE"}, {"QUANTITY": "DENSITY", "SPEC_ID": "SOOT"}, {"QUANTITY": "W-VELOCITY"})
"""Volumes to write; in FDS's files the second is called SOOT DENSITY."""

Value = str | float | bool | Sequence[float]


def scene_name(number: int, settings: FireConfig) -> str:
    """Name of the run in FDS, and prefix of its files: ``scene_007``, ``room_032``."""
    return f"{'scene' if number < settings.trajectories else 'room'}_{number:03d}"


def write_fds_inputs(folder: str | Path, settings: FireConfig) -> list[Path]:
    """Write the input files of all scenes, rooms last, ``<folder>/<scene>.fds``.

    Raises
    ------
    SparseVQError
        A file can't be written.
    """
    # FDS treats lines that begin no namelist as comments.
    used = json.dumps(settings.model_dump(mode="json", exclude={"shards", *LEARNING}), sort_keys=True)
    origin = (
        f"sparsevq-fds-input, version 1; sparsevq {VERSION}; settings {hashlib.sha256(used.encode()).hexdigest()}\n"
    )
    paths = []
    for number in range(settings.total):
        path = Path(folder) / f"{scene_name(number, settings)}.fds"
        with written_whole(path) as part:
            part.write_text(origin + fds_input(draw(settings, number), settings), encoding="ascii")
        paths.append(path)
    return paths


def fds_input(scene: Scene, settings: FireConfig) -> str:
    """The input file of one scene, for FDS 6.

    Temperature (C), density of soot (kg/m3) and upward velocity (m/s) are written as volumes every
    ``settings.frame_interval`` from ignition on, at the corners of the cells; and SMOKE3D for Smokeview.
    """
    return "".join(f"&{group} {', '.join(_parameters(values))} /\n" for group, values in _groups(scene, settings))


def _groups(scene: Scene, settings: FireConfig) -> Iterator[tuple[str, dict[str, Value]]]:
    """The namelists, in order."""
    name = scene_name(scene.number, settings)
    interval, whole = settings.frame_interval, (0.0, SIZE) * 3
    frames = round(first_frame(settings) / interval) + settings.frames - 1
    yield "HEAD", {"CHID": name, "TITLE": f"Fire of {scene.power:.0f} kW, seed {settings.seed}, draw {scene.attempt}"}
    yield "MESH", {"IJK": (settings.grid,) * 3, "XB": whole}
    yield "TIME", {"T_END": frames * interval}
    yield "DUMP", {"NFRAMES": frames, "DT_SL3D": interval}
    yield "MISC", {"TMPA": AMBIENT - ZERO_CELSIUS}
    yield "RADI", {"RADIATION": False}
    yield "REAC", {"FUEL": FUEL, "SOOT_YIELD": SOOT_YIELD}
    if scene.wind > 0:
        yield "WIND", {"SPEED": scene.wind, "DIRECTION": WIND_ALONG_X, "STRATIFICATION": False}
    yield "SURF", {"ID": "INSULATED", "ADIABATIC": True, "DEFAULT": True}
    yield "SURF", {"ID": "BURNER", "HRRPUA": scene.power / scene.side**2, "RAMP_Q": "GROWTH", "COLOR": "RED"}
    yield "RAMP", {"ID": "GROWTH", "T": 0.0, "F": 0.0}
    yield "RAMP", {"ID": "GROWTH", "T": scene.ramp, "F": 1.0}
    yield "VENT", {"XB": (*_floor(scene.burner), 0.0, 0.0), "SURF_ID": "BURNER"}
    yield from _boundaries(scene)
    for box in scene.boxes:
        yield "OBST", {"XB": (*_floor(box.floor), 0.0, box.height), "SURF_ID": "INSULATED"}
    for quantity in QUANTITIES:
        yield "SLCF", {"XB": whole, **quantity}
    yield "TAIL", {}


def _boundaries(scene: Scene) -> Iterator[tuple[str, dict[str, Value]]]:
    """Boundary conditions of the domain: open, or walls and ceiling of a room; the floor is insulated."""
    low_x, high_x = (0.0, 0.0), (SIZE, SIZE)
    every = (0.0, SIZE)
    sides = [(*low_x, *every, *every), (*every, *low_x, *every), (*every, *high_x, *every), (*every, *every, *high_x)]
    if scene.door is None:
        for plane in [*sides, (*high_x, *every, *every)]:
            yield "VENT", {"XB": plane, "SURF_ID": "OPEN"}
        return
    door = scene.door
    temperature = AMBIENT - ZERO_CELSIUS
    yield "SURF", {"ID": "WALL", "TMP_FRONT": temperature, "HEAT_TRANSFER_COEFFICIENT": WALL_TRANSFER}
    # vents may not overlap: the wall with the door is made of the parts beside and above it
    around = [
        (*high_x, 0.0, door.y_low, *every),
        (*high_x, door.y_high, SIZE, *every),
        (*high_x, door.y_low, door.y_high, door.height, SIZE),
    ]
    for plane in [*sides, *around]:
        yield "VENT", {"XB": plane, "SURF_ID": "WALL"}
    yield "VENT", {"XB": (*high_x, door.y_low, door.y_high, 0.0, door.height), "SURF_ID": "OPEN"}


def _floor(part: Rectangle) -> tuple[float, float, float, float]:
    return part.x_low, part.x_high, part.y_low, part.y_high


def _parameters(values: dict[str, Value]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, bool):
            text = ".TRUE." if value else ".FALSE."
        elif isinstance(value, str):
            text = f"'{value}'"
        elif isinstance(value, int | float):
            text = _number(value)
        else:
            text = ",".join(map(_number, value))
        yield f"{key}={text}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
