"""Seconds of a simulated trajectory and megabytes of a data set, for each simulator.

    python benchmarks/simulation_cost.py --trajectories 2
    python benchmarks/simulation_cost.py cylinder shallow --config config/benchmarks.yaml

Runs a shard of a few trajectories of each as the workflow runs it: a process of its own, one thread. The cost of the
whole data set is extrapolated from them; its megabytes are exact except for the headers.
"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import h5py
from report import machine, parser, print_machine, print_table, write_json

from sparsevq.config import SimulatedConfig, SimulationConfig, load
from sparsevq.simulators.shard_job import LEARNING

NAMES = tuple(SimulationConfig.model_fields)
TOOK = re.compile(r": trajectory \d+ \(\d+/\d+\), ([\d.]+) s\b", re.MULTILINE)


def main() -> None:
    command = parser(__doc__)
    command.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    command.add_argument("--config", type=Path, help="configuration; default: every default of sparsevq/config/")
    command.add_argument("--trajectories", type=int, default=2, help="trajectories to simulate of each")
    arguments = command.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        command.error(f"no simulator {unknown[0]!r}: choose among {', '.join(NAMES)}")
    simulation = load(arguments.config).simulation if arguments.config else SimulationConfig()
    about = machine() | {"config": arguments.config.name if arguments.config else "defaults"}
    print_machine(about)
    found, missing = {}, {}
    for name in arguments.names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            cost = simulate(name, getattr(simulation, name), arguments.trajectories, Path(folder) / "0.h5")
        if isinstance(cost, str):
            missing[name] = cost
            print(f"{name}: not simulated", flush=True)
        else:
            found[name] = cost
            print(f"{name}: {cost['simulated']} trajectories in {cost['wall']:.1f} s", flush=True)

    print()
    print_table(
        (
            "",
            "simulated",
            "s each",
            "CPU s each",
            "start, writing (s)",
            "peak MB",
            "MB each",
            "whole set",
            "CPU h",
            "MB",
        ),
        [
            *(
                (
                    name,
                    cost["simulated"],
                    cost["seconds"],
                    cost["cpu_seconds"],
                    cost["overhead"],
                    cost["peak_mb"],
                    cost["megabytes"],
                    cost["whole"],
                    cost["whole"] * cost["cpu_seconds"] / 3600,
                    cost["whole"] * cost["megabytes"],
                )
                for name, cost in found.items()
            ),
            *((name, 0, *[None] * 8) for name in missing),
        ],
    )
    for name, why in missing.items():
        print(f"{name}: {why}")
    print(
        f"The hours of the whole set are extrapolated from {arguments.trajectories} of each"
        + (f"; the load was {about['load']} before, so that seconds are too many" if about["load"] > 0.5 else "")
        + ". CPU seconds include the start of the process."
    )
    write_json(arguments.json, {"machine": about, "simulators": found, "missing": missing})


def simulate(name: str, settings: SimulatedConfig, count: int, out: Path) -> dict[str, Any] | str:
    """Cost of a shard of `count` trajectories, or why it could not be simulated."""
    shards = max(settings.total // count, 1)
    values = settings.model_dump(mode="json", exclude=set(LEARNING)) | {"shards": shards}
    since = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", f"sparsevq.simulators.{name}"),
            *("--out", str(out), "--shard", "0", "--settings", json.dumps(values)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)  # includes the solver's own processes
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - since
    if process.returncode:
        *_, last = printed.strip().splitlines() or [f"exit status {process.returncode}"]
        return last.removeprefix("sparsevq: ")
    seconds = [float(took) for took in TOOK.findall(printed)]
    with h5py.File(out) as file:
        simulated, frames, *grid, stored = file["fields"].shape
        mask = file["mask"].nbytes / simulated
    channels = len(settings.channels) or stored
    return {
        "simulated": simulated,
        "seconds": mean(seconds),
        "first_seconds": seconds[0],
        "cpu_seconds": (usage.ru_utime + usage.ru_stime) / simulated,
        "overhead": wall - sum(seconds),
        "wall": wall,
        "peak_mb": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6,
        "megabytes": (4 * frames * math.prod(grid) * channels + mask) / 1e6,
        "whole": settings.total,
    }


if __name__ == "__main__":
    main()
