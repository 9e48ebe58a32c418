"""Heat and smoke of three-dimensional fires, in the open and in rooms, by OpenFOAM's buoyantPimpleFoam.

OpenFOAM is under the GPL: its programs run as processes of their own.
"""

import functools
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.config import FireConfig
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.simulators import openfoam
from sparsevq.simulators.fire_case import MESHING, PROGRAMS, SOLVER, centres, first_frame, valid_cells, write_case
from sparsevq.simulators.fire_scenes import AMBIENT, SIZE, Scene, draw
from sparsevq.simulators.shard_job import BlownUpError, Simulator, Trajectory, check_range, main

# An upward velocity (m/s) that no such plume reaches: they stay below 6.
ABSURD = 20.0

Fields = npt.NDArray[np.float32]


def simulate(settings: FireConfig, number: int, attempt: int) -> Trajectory:
    """One attempt at a scene: ``(F, grid, grid, grid, 3)`` fields (frame, z, y, x, channel).

    Raises
    ------
    BlownUpError
        The solver failed, or its result is no fire.
    SparseVQError
        OpenFOAM is missing.
    """
    scene = draw(settings, number, attempt)
    fields, valid = run(scene, settings)
    return Trajectory(
        fields,
        valid,
        {
            "wind": scene.wind,
            "x": scene.x,
            "y": scene.y,
            "side": scene.side,
            "power": scene.power,
            "burner_temperature": scene.temperature,
            "ramp": scene.ramp,
            "obstacles": len(scene.boxes),
            "place": "room" if scene.is_room else "open",
        },
    )


def run(scene: Scene, settings: FireConfig) -> tuple[Fields, npt.NDArray[np.bool_]]:
    """Simulate a scene: ``(F, grid, grid, grid, 3)`` fields and ``(grid, grid, grid)`` mask."""
    valid = valid_cells(scene, settings.grid)
    frames: list[Fields] = []
    begins = first_frame(settings) - settings.frame_interval / 2
    end = first_frame(settings) + (settings.frames - 1) * settings.frame_interval
    name, place = f"fire: scene {scene.number}", "in a room" if scene.is_room else f"wind {scene.wind:.2f} m/s"
    print(f"{name} begins: {end:.4g} s of {scene.power:.0f} kW, {place}, {len(scene.boxes)} obstacles", flush=True)

    def keep(folder: Path) -> None:
        if float(folder.name) > begins:
            frames.append(_frame(folder, valid))

    def progress(simulated: float, elapsed: float) -> None:
        rate = simulated / elapsed
        print(
            f"{name}: {simulated:.1f} of {end:.4g} s, {rate:.2f} s simulated a second, "
            f"{(end - simulated) / rate:.0f} s left",
            flush=True,
        )

    with tempfile.TemporaryDirectory(prefix="sparsevq-fire-") as folder:
        case = Path(folder)
        write_case(case, scene, settings)
        openfoam.prepare(case, MESHING)
        openfoam.solve(case, SOLVER, keep, progress)
    if len(frames) != settings.frames:
        raise SparseVQError(f"{SOLVER} wrote {len(frames)} of {settings.frames} frames", openfoam.OTHER_VERSION)
    return np.stack(frames), valid


def _frame(folder: Path, valid: npt.NDArray[np.bool_]) -> Fields:
    """``(grid, grid, grid, 3)``: one frame from what the solver wrote; OpenFOAM's cells run x fastest, z slowest."""
    temperature, smoke = (openfoam.read_field(folder / name, valid.size) for name in ("T", "s"))
    w = openfoam.read_field(folder / "U", valid.size)[:, 2]
    fields = np.stack([temperature - AMBIENT, smoke, w], axis=-1).reshape(*valid.shape, 3)
    fields[~valid] = 0
    fastest = np.abs(fields[..., 2]).max()
    if not fastest < ABSURD:  # NaN is not below either
        raise BlownUpError(f"upward velocity {fastest:.3g} m/s at {folder.name} s")
    return fields.astype(np.float32)


def describe(settings: FireConfig) -> Description:
    """Description of all trajectories."""
    at = centres(settings.grid)
    return Description(
        axes={"z": at, "y": at, "x": at},
        axis_units={"z": "m", "y": "m", "x": "m"},
        time=first_frame(settings) + settings.frame_interval * np.arange(settings.frames, dtype=np.float64),
        time_units="s",
        parameter_units={
            "wind": "m/s",
            "x": "m",
            "y": "m",
            "side": "m",
            "power": "kW",
            "burner_temperature": "K",
            "ramp": "s",
            "obstacles": "1",
            "place": "",
        },
        channels=("temperature", "smoke", "w"),
        units=("K", "1", "m/s"),
        vector={"w": "z"},
        provenance={
            "solver": f"OpenFOAM {_version()} {SOLVER}, large-eddy simulation (Smagorinsky)",
            "domain": f"{SIZE:g} m cube, ambient {AMBIENT:g} K",
        },
    )


@functools.cache
def _version() -> str:
    return openfoam.version(SOLVER)


def check(settings: FireConfig) -> None:
    """Raise where the settings don't fit the domain, or OpenFOAM is missing."""
    check_range("fire", "wind", settings.wind, 0.0, 3.0)
    check_range("fire", "burner", settings.burner, SIZE / settings.grid, 2.5)
    check_range("fire", "power", settings.power, 1.0, 1000.0)
    openfoam.environment(PROGRAMS)


# Whether a scene is a room depends on the number of those in the open, `trajectories`.
FIRE = Simulator("fire", FireConfig, check, simulate, describe, irrelevant=frozenset({"rooms"}))

if __name__ == "__main__":
    # SIGTERM raises an exception, so that the solver is ended and its folder removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main(FIRE))
