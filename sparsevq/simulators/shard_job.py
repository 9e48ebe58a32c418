"""One shard of any simulator: each finished trajectory is kept, one that blows up is replaced by another draw.

A simulator is a module of this folder, run as a process of its own (some solvers are under the GPL):
``python -m sparsevq.simulators.<name> --out 0.h5 --shard 0 --settings '{}'``.
"""

import argparse
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from sparsevq.config import SimulatedConfig, parse
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import written_whole
from sparsevq.simulators.shards import Shard, write_shard
from sparsevq.version import VERSION

MOST_ATTEMPTS = 10

Settings = TypeVar("Settings", bound=SimulatedConfig)


class BlownUpError(Exception):
    """A trajectory became unstable; another draw replaces it."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Output of a simulator for one trajectory.

    Attributes
    ----------
    fields
        ``(F, *grid, C)`` float32, all channels of the simulator.
    mask
        ``(*grid)`` bool; True where the field exists.
    parameters
        Parameters of the draw: name -> number or text.
    """

    fields: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    parameters: dict[str, float | str]


@dataclass(frozen=True)
class Simulator(Generic[Settings]):
    """What `main` needs of a simulator.

    Attributes
    ----------
    name
        Name of the module and of the data set.
    settings
        Its section of the configuration.
    check
        ``check(settings)`` raises `SparseVQError` where settings don't fit each other or a program is missing.
    simulate
        ``simulate(settings, number, attempt)``: one trajectory, which depends on nothing but these. Raises
        `BlownUpError`. What is expensive to set up is cached (``functools.cache``).
    describe
        ``describe(settings)``: what all trajectories share, without parameters; simulator and settings are added to the
        provenance, and the unit of `attempts`.
    irrelevant
        Settings on which a single trajectory does not depend, beside `shards` and `LEARNING`.
    """

    name: str
    settings: type[Settings]
    check: Callable[[Settings], None]
    simulate: Callable[[Settings, int, int], Trajectory]
    describe: Callable[[Settings], Description]
    irrelevant: frozenset[str] = frozenset({"trajectories"})


LEARNING = frozenset({"channels", "validation", "test", "symmetries"})
"""Settings of a data set that its simulation does not depend on."""


def simulate_shard(out: str | Path, simulator: Simulator[Settings], settings: Settings, shard: int) -> None:
    """Simulate trajectories ``shard``, ``shard + settings.shards``, ... and write them to one file.

    The number of shards never changes the data. Each finished trajectory is kept in a folder beside `out` until the
    shard is complete, so that a job that was killed resumes there.

    Parameters
    ----------
    out
        The file to write (``docs/data-format.md``: sparsevq-shard).
    simulator, settings
        What to simulate.
    shard
        Number of the shard, from 0.

    Raises
    ------
    SparseVQError
        The settings don't fit each other, the solver is missing, the file can't be written, or every attempt at a
        trajectory blew up.
    """
    out = Path(out)
    if not 0 <= shard < settings.shards:
        raise SparseVQError(f"{simulator.name}: shard {shard} does not exist", f"choose 0 ... {settings.shards - 1}")
    simulator.check(settings)
    numbers = list(range(shard, settings.total, settings.shards))
    parts = out.parent / f".{out.name}.parts"
    made_with = _made_with(simulator, settings)
    finished = []
    for done, number in enumerate(numbers, start=1):
        part = parts / f"{number}.npz"
        trajectory = _kept(part, made_with)
        if trajectory is not None:
            took = "kept from an earlier run"
        else:
            started = time.perf_counter()
            trajectory = one_trajectory(simulator, settings, number)
            _keep(part, made_with, trajectory)
            took = f"{time.perf_counter() - started:.1f} s"
        drawn = ", ".join(f"{name} {_shown(value)}" for name, value in trajectory.parameters.items())
        print(
            f"{simulator.name}, shard {shard}: trajectory {number} ({done}/{len(numbers)}), {took}: {drawn}", flush=True
        )
        finished.append(trajectory)
    described = simulator.describe(settings)
    names = finished[0].parameters
    used = settings.model_dump(mode="json", exclude={"shards", *LEARNING})
    shared = described.description() | {
        "parameters": {name: np.array([trajectory.parameters[name] for trajectory in finished]) for name in names},
        "parameter_units": {**described.parameter_units, "attempts": "1"},
        "provenance": {**described.provenance, "simulator": simulator.name, "settings": used},
    }
    write_shard(
        out,
        Shard(
            trajectory=np.array(numbers),
            fields=np.stack([trajectory.fields for trajectory in finished]),
            mask=np.stack([trajectory.mask for trajectory in finished]),
            ood=np.array(numbers) >= settings.trajectories,
            **shared,
        ),
        settings.model_dump(mode="json", exclude=set(LEARNING)),
    )
    shutil.rmtree(parts, ignore_errors=True)


def one_trajectory(simulator: Simulator[Settings], settings: Settings, number: int) -> Trajectory:
    """One trajectory; a draw that blows up is replaced by the next, and the parameter `attempts` counts them.

    Raises
    ------
    SparseVQError
        All attempts blew up.
    """
    for attempt in range(MOST_ATTEMPTS):
        try:
            trajectory = simulator.simulate(settings, number, attempt)
            if not np.isfinite(trajectory.fields[:, trajectory.mask]).all():
                raise BlownUpError("NaN or infinite values")
        except BlownUpError as error:
            print(
                f"{simulator.name}: trajectory {number}, attempt {attempt} blew up ({error}); drawing another",
                flush=True,
            )
        else:
            drawn = {**trajectory.parameters, "attempts": attempt + 1}
            # JSON has no NumPy numbers, and a kept trajectory must be the same as one that was not kept.
            parameters = {name: value if isinstance(value, str) else float(value) for name, value in drawn.items()}
            return Trajectory(trajectory.fields, trajectory.mask, parameters)
    raise SparseVQError(
        f"{simulator.name}: all {MOST_ATTEMPTS} attempts at trajectory {number} blew up",
        f"fix the settings of simulation.{simulator.name}",
    )


def check_range(name: str, field: str, values: tuple[float, float], lowest: float, highest: float) -> None:
    """Check that a setting is a range [low, high] within bounds.

    Raises
    ------
    SparseVQError
        It is not.
    """
    low, high = values
    if not lowest <= low <= high <= highest:
        raise SparseVQError(
            f"simulation.{name}.{field}={[low, high]} is not a range within {lowest:g} ... {highest:g}",
            "give [low, high]",
        )


def main(simulator: Simulator[Any], arguments: list[str] | None = None) -> int:
    """Simulate one shard from the command line; the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"python -m sparsevq.simulators.{simulator.name}", description=simulator.settings.__doc__
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    parser.add_argument("--settings", default="{}", help=f"simulation.{simulator.name} of the configuration, as JSON")
    options = parser.parse_args(arguments)
    try:
        settings = parse(simulator.settings, _json_object(options.settings), "--settings")
        simulate_shard(options.out, simulator, settings, options.shard)
    except SparseVQError as error:
        print(f"sparsevq: {error}", file=sys.stderr)
        return 1
    return 0


def _json_object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SparseVQError(f"--settings is not JSON ({error})", "write one JSON object") from None
    if not isinstance(values, dict):
        raise SparseVQError("--settings is no JSON object", "write one JSON object")
    return values


def _made_with(simulator: Simulator[Any], settings: SimulatedConfig) -> str:
    """Code and settings that a trajectory depends on: a kept one is only used if they have not changed."""
    relevant = settings.model_dump(mode="json", exclude={"shards", *LEARNING, *simulator.irrelevant})
    return json.dumps({"simulator": simulator.name, "version": VERSION, "settings": relevant}, sort_keys=True)


def _shown(value: float | str) -> str:
    """A parameter for a line of progress: whole numbers, such as seeds, in full."""
    return str(value) if isinstance(value, str) else f"{value:.0f}" if value.is_integer() else f"{value:.4g}"


def _keep(part: Path, made_with: str, trajectory: Trajectory) -> None:
    with written_whole(part) as whole:
        np.savez(
            whole,
            fields=trajectory.fields,
            mask=trajectory.mask,
            parameters=json.dumps(trajectory.parameters),
            made_with=made_with,
        )


def _kept(part: Path, made_with: str) -> Trajectory | None:
    """A trajectory that an earlier run with the same settings finished."""
    if not part.is_file():
        return None
    try:
        with np.load(part) as saved:
            if str(saved["made_with"]) == made_with:
                return Trajectory(saved["fields"], saved["mask"], json.loads(str(saved["parameters"])))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # damaged, or another file: simulated again
    return None
