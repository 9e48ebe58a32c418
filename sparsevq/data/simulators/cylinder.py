"""Two-dimensional flow past an obstacle: simulates one shard of the data set.

Lengths are in units of L = 16 lattice cells, velocities in units of U, the inflow's speed. Run as a process of its own
(lbmpy is under the GPL): ``python -m sparsevq.data.simulators.cylinder --out 0.h5 --shard 0 --settings '{}'``.
"""

import argparse
import importlib.metadata
import json
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sparsevq.config import CylinderConfig, parse
from sparsevq.data.shards import Shard, write_shard
from sparsevq.data.simulators.obstacles import Draw, draw
from sparsevq.data.simulators.wind_tunnel import INFLOW, LENGTH, WIDTH, WindTunnel
from sparsevq.errors import SparseVQError
from sparsevq.files import written_whole

CELLS = 16  # lattice cells in one L
WINDOW = slice(24, 24 + WIDTH)  # the part of the tunnel's length that is stored; the width is stored whole
CHANNELS = ("u", "v", "vorticity")
# A velocity that no flow at these Reynolds numbers reaches (their highest is below 2).
ABSURD = 4.0
MOST_ATTEMPTS = 10
# Wider obstacles would choke the tunnel: a circle blocks less than a third of it.
WIDEST = 40.0

Fields = npt.NDArray[np.float32]


class Tunnel(Protocol):
    """What a trajectory needs of `WindTunnel`."""

    def start(self, solid: npt.NDArray[np.bool_], viscosity: float, gust: npt.NDArray[np.float64]) -> None: ...
    def run(self, steps: int) -> None: ...
    def velocity(self) -> npt.NDArray[np.float64]: ...


class BlownUpError(Exception):
    """A flow became unstable; another draw replaces it."""


def simulate_shard(out: str | Path, settings: CylinderConfig, shard: int) -> None:
    """Simulate trajectories ``shard``, ``shard + settings.shards``, ... and write them to one file.

    What a trajectory holds depends on nothing but its number and the settings' physics, so the number of shards never
    changes the data. Each finished trajectory is kept in a folder beside `out` until the shard is whole: a job that
    was killed continues there.

    Parameters
    ----------
    out
        The file to write (``docs/data-format.md``: sparsevq-shard).
    settings
        What to simulate.
    shard
        Number of the shard, from 0.

    Raises
    ------
    SparseVQError
        The settings don't fit each other or the tunnel, lbmpy or a compiler is missing, the file can't be written, or
        every attempt at a trajectory blew up.
    """
    out = Path(out)
    _check(settings, shard)
    numbers = list(range(shard, settings.trajectories, settings.shards))
    parts = out.parent / f".{out.name}.parts"
    made_with = settings.model_dump_json(exclude={"trajectories", "shards"})
    tunnel: WindTunnel | None = None
    finished = []
    for done, number in enumerate(numbers, start=1):
        part = parts / f"{number}.npz"
        kept = _kept(part, made_with)
        if kept is not None:
            attempt, fields, valid = kept
            flow, took = draw(settings, number, attempt), "kept from an earlier run"
        else:
            tunnel = tunnel or WindTunnel()  # generating its code takes seconds: not if all is there already
            started = time.perf_counter()
            flow, fields, valid = simulate(tunnel, settings, number)
            with written_whole(part) as whole:
                np.savez(whole, fields=fields, valid=valid, attempt=flow.attempt, made_with=made_with)
            took = f"{time.perf_counter() - started:.1f} s"
        which = f"trajectory {number} ({done}/{len(numbers)})"
        print(f"cylinder, shard {shard}: {which}: {flow.shape}, Re {flow.reynolds:.0f}, {took}", flush=True)
        finished.append((flow, fields, valid))
    write_shard(out, _joined(finished, settings), settings.model_dump(mode="json"))
    shutil.rmtree(parts, ignore_errors=True)


def simulate(tunnel: Tunnel, settings: CylinderConfig, number: int) -> tuple[Draw, Fields, npt.NDArray[np.bool_]]:
    """One trajectory; a draw that blows up is replaced by the next.

    Parameters
    ----------
    tunnel
        The solver; what ran in it before doesn't matter.
    settings
        What to simulate.
    number
        The trajectory.

    Returns
    -------
    Draw, fields, valid
        The draw that it is of, ``(F, grid, grid, 3)`` fields (frame, y, x, channel) and the ``(grid, grid)`` mask.

    Raises
    ------
    SparseVQError
        All attempts blew up.
    """
    for attempt in range(MOST_ATTEMPTS):
        flow = draw(settings, number, attempt)
        try:
            fields, valid = _trajectory(tunnel, settings, flow)
        except BlownUpError as error:
            print(
                f"cylinder: trajectory {number}, attempt {attempt} ({flow.shape}, Re {flow.reynolds:.0f}, diameter "
                f"{flow.diameter:.1f}) blew up ({error}); drawing another",
                flush=True,
            )
        else:
            return flow, fields, valid
    raise SparseVQError(
        f"cylinder: all {MOST_ATTEMPTS} attempts at trajectory {number} blew up",
        "lower simulation.cylinder.reynolds or raise simulation.cylinder.diameter",
    )


def _trajectory(tunnel: Tunnel, settings: CylinderConfig, flow: Draw) -> tuple[Fields, npt.NDArray[np.bool_]]:
    x, y = np.meshgrid(np.arange(LENGTH) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij")
    solid = flow.inside(x, y)
    # A stored cell is valid if no lattice cell in it is solid: none mixes the flow with the obstacle.
    valid = _pooled((~solid).astype(np.float64), settings.grid) == 1
    tunnel.start(solid, INFLOW * flow.diameter / flow.reynolds, flow.gust(x, y))
    tunnel.run(_steps(settings.spin_up))
    frames = []
    for frame in range(settings.frames):
        if frame:
            tunnel.run(_steps(settings.frame_interval))
        velocity = tunnel.velocity()
        velocity[solid] = 0
        speed = np.abs(velocity).max()
        if not speed < ABSURD:  # NaN is not below either
            raise BlownUpError(f"speed {speed:.3g} U in frame {frame}")
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


def _joined(finished: list[tuple[Draw, Fields, npt.NDArray[np.bool_]]], settings: CylinderConfig) -> Shard:
    flows = [flow for flow, _, _ in finished]
    block = WIDTH // settings.grid
    centres = (block * (np.arange(settings.grid) + 0.5)) / CELLS
    return Shard(
        trajectory=np.array([flow.trajectory for flow in flows]),
        fields=np.stack([fields for _, fields, _ in finished]),
        mask=np.stack([valid for _, _, valid in finished]),
        axes={"y": centres, "x": centres + WINDOW.start / CELLS},
        axis_units={"y": "L", "x": "L"},
        time=np.arange(settings.frames) * _steps(settings.frame_interval) * INFLOW / CELLS,
        time_units="L/U",
        parameters={
            "reynolds": np.array([flow.reynolds for flow in flows]),
            "diameter": np.array([flow.diameter / CELLS for flow in flows]),
            "x": np.array([flow.x / CELLS for flow in flows]),
            "y": np.array([flow.y / CELLS for flow in flows]),
            "shape": np.array([flow.shape for flow in flows]),
            "angle": np.array([flow.angle for flow in flows]),
            "aspect": np.array([flow.aspect for flow in flows]),
            "attempts": np.array([flow.attempt + 1.0 for flow in flows]),
        },
        parameter_units={
            "reynolds": "1",
            "diameter": "L",
            "x": "L",
            "y": "L",
            "shape": "",
            "angle": "rad",
            "aspect": "1",
            "attempts": "1",
        },
        channels=CHANNELS,
        units=("U", "U", "U/L"),
        periodic=("y",),
        vector={"u": "x", "v": "y"},
        provenance={
            "simulator": "cylinder",
            "solver": f"lbmpy {importlib.metadata.version('lbmpy')}, D2Q9, cumulant collisions, single precision",
            "lattice": [LENGTH, WIDTH],
            "units": f"L = {CELLS} lattice cells, U = {INFLOW} lattice cells a step",
            "settings": settings.model_dump(mode="json", exclude={"shards"}),
        },
    )


def _kept(part: Path, made_with: str) -> tuple[int, Fields, npt.NDArray[np.bool_]] | None:
    """A trajectory that an earlier run of the same settings finished."""
    if not part.is_file():
        return None
    try:
        with np.load(part) as saved:
            if str(saved["made_with"]) == made_with:
                return int(saved["attempt"]), saved["fields"], saved["valid"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # it is damaged, or not ours: simulated again
    return None


def _check(settings: CylinderConfig, shard: int) -> None:
    if not 0 <= shard < settings.shards:
        raise SparseVQError(f"cylinder: shard {shard} does not exist", f"choose 0 ... {settings.shards - 1}")
    if settings.shards > settings.trajectories:
        raise SparseVQError(
            f"simulation.cylinder.shards={settings.shards} exceeds trajectories={settings.trajectories}",
            "lower the shards",
        )
    if WIDTH % settings.grid:
        raise SparseVQError(
            f"simulation.cylinder.grid={settings.grid} does not divide {WIDTH} lattice cells", "use 16, 32, 64 or 128"
        )
    for name, lowest, highest in (("reynolds", 1.0, np.inf), ("diameter", 4.0, WIDEST)):
        low, high = getattr(settings, name)
        if not lowest <= low <= high <= highest:
            raise SparseVQError(
                f"simulation.cylinder.{name}={[low, high]} is not a range within {lowest:g} ... {highest:g}",
                "give [low, high]",
            )
    if not settings.shapes:
        raise SparseVQError("simulation.cylinder.shapes is empty", "name circle, ellipse or square")


def main(arguments: list[str] | None = None) -> int:
    """Simulate one shard from the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sparsevq.data.simulators.cylinder", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    parser.add_argument("--settings", default="{}", help="simulation.cylinder of the configuration, as JSON")
    options = parser.parse_args(arguments)
    try:
        try:
            values = json.loads(options.settings)
        except ValueError as error:
            raise SparseVQError(f"--settings is not JSON ({error})", "write one JSON object") from None
        if not isinstance(values, dict):
            raise SparseVQError("--settings is no JSON object", "write one JSON object")
        simulate_shard(options.out, parse(CylinderConfig, values, "--settings"), options.shard)
    except SparseVQError as error:
        print(f"sparsevq: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
