"""Two-dimensional flow past an obstacle.

Lengths are in units of L = 16 lattice cells, velocities in units of U, the inflow's speed.
"""

import functools
import importlib.metadata
import sys

import numpy as np
import numpy.typing as npt

from sparsevq.config import CylinderConfig
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.simulators.obstacles import Draw, draw
from sparsevq.simulators.shard_job import BlownUpError, Simulator, Trajectory, check_range, main
from sparsevq.simulators.wind_tunnel import INFLOW, LENGTH, WIDTH, WindTunnel

CELLS = 16  # lattice cells in one L
WINDOW = slice(24, 24 + WIDTH)  # the part of the tunnel's length that is stored; the width is stored whole
# A speed that no flow at these Reynolds numbers reaches: they stay below 2.
ABSURD = 4.0
# Wider obstacles would block too much of the tunnel; a circle of this diameter blocks less than a third.
WIDEST = 40.0

Fields = npt.NDArray[np.float32]

_tunnel = functools.cache(WindTunnel)
"""One for all trajectories of the process: generating its code takes seconds."""


def simulate(settings: CylinderConfig, number: int, attempt: int) -> Trajectory:
    """One attempt at a trajectory: ``(F, grid, grid, 3)`` fields (frame, y, x, channel).

    Raises
    ------
    BlownUpError
        The flow is unstable.
    SparseVQError
        lbmpy or a compiler is missing.
    """
    flow = draw(settings, number, attempt)
    fields, valid = _flow(_tunnel(), settings, flow)
    return Trajectory(
        fields,
        valid,
        {
            "reynolds": flow.reynolds,
            "diameter": flow.diameter / CELLS,
            "x": flow.x / CELLS,
            "y": flow.y / CELLS,
            "shape": flow.shape,
            "angle": flow.angle,
            "aspect": flow.aspect,
        },
    )


def _flow(tunnel: WindTunnel, settings: CylinderConfig, flow: Draw) -> tuple[Fields, npt.NDArray[np.bool_]]:
    x, y = np.meshgrid(np.arange(LENGTH) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij")
    solid = flow.inside(x, y)
    # A stored cell is valid if no lattice cell in it is solid, so that none mixes the flow with the obstacle.
    valid = _pooled((~solid).astype(np.float64), settings.grid) == 1
    tunnel.start(solid, INFLOW * flow.diameter / flow.reynolds, flow.gust(x, y))
    frames = []
    for frame in range(settings.frames):
        tunnel.run(_steps(settings.frame_interval if frame else settings.spin_up))
        velocity = tunnel.velocity()
        velocity[solid] = 0
        speed = np.abs(velocity).max()
        if not speed < ABSURD:  # NaN is not below either
            which = f"{flow.shape}, Re {flow.reynolds:.0f}, diameter {flow.diameter:.1f} cells"
            raise BlownUpError(f"{which}: speed {speed:.3g} U in frame {frame}")
        channels = [velocity[..., 0], velocity[..., 1], _vorticity(velocity)]
        frames.append(np.stack([np.where(valid, _pooled(channel, settings.grid), 0) for channel in channels], axis=-1))
    return np.stack(frames).astype(np.float32), valid


def _vorticity(velocity: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """dv/dx - du/dy in U/L, by central differences; the tunnel is periodic along y."""
    across = (np.roll(velocity[..., 0], -1, axis=1) - np.roll(velocity[..., 0], 1, axis=1)) / 2
    return CELLS * (np.gradient(velocity[..., 1], axis=0) - across)


def _pooled(values: npt.NDArray[np.float64], grid: int) -> npt.NDArray[np.float64]:
    """``(LENGTH, WIDTH)`` lattice cells -> ``(grid, grid)`` means of the window's square blocks, as (y, x)."""
    block = WIDTH // grid
    return values[WINDOW].reshape(grid, block, grid, block).mean(axis=(1, 3)).T


def _steps(duration: float) -> int:
    """Lattice steps in a time in units of L/U."""
    return max(1, round(duration * CELLS / INFLOW))


def describe(settings: CylinderConfig) -> Description:
    """Description of all trajectories."""
    block = WIDTH // settings.grid
    centres = (block * (np.arange(settings.grid) + 0.5)) / CELLS
    return Description(
        axes={"y": centres, "x": centres + WINDOW.start / CELLS},
        axis_units={"y": "L", "x": "L"},
        time=np.arange(settings.frames, dtype=np.float64) * _steps(settings.frame_interval) * INFLOW / CELLS,
        time_units="L/U",
        parameter_units={
            "reynolds": "1",
            "diameter": "L",
            "x": "L",
            "y": "L",
            "shape": "",
            "angle": "rad",
            "aspect": "1",
        },
        channels=("u", "v", "vorticity"),
        units=("U", "U", "U/L"),
        periodic=("y",),
        vector={"u": "x", "v": "y"},
        provenance={
            "solver": f"lbmpy {importlib.metadata.version('lbmpy')}, D2Q9, cumulant collisions, single precision",
            "lattice": [LENGTH, WIDTH],
            "units": f"L = {CELLS} lattice cells, U = {INFLOW} lattice cells a step",
        },
    )


def check(settings: CylinderConfig) -> None:
    """Raise where the settings don't fit the tunnel."""
    if WIDTH % settings.grid:
        raise SparseVQError(
            f"simulation.cylinder.grid={settings.grid} does not divide {WIDTH} lattice cells", "use 16, 32, 64 or 128"
        )
    check_range("cylinder", "reynolds", settings.reynolds, 1.0, np.inf)
    check_range("cylinder", "diameter", settings.diameter, 4.0, WIDEST)
    if not settings.shapes:
        raise SparseVQError("simulation.cylinder.shapes is empty", "name circle, ellipse or square")


CYLINDER = Simulator("cylinder", CylinderConfig, check, simulate, describe)

if __name__ == "__main__":
    sys.exit(main(CYLINDER))
