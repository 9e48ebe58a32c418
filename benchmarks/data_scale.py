"""A data set larger than memory, from its source to training steps, within a bound on memory that is enforced.

    python benchmarks/data_scale.py --gigabytes 30 --memory 2

Makes a synthetic data set (a few standing waves, computed when they are read), preprocesses it, draws batches of stage
1 from it and trains some steps, all by the package's own code. The bound is on the memory of the process itself
(`RLIMIT_DATA`): heap, stacks and writable private mappings, not the pages of mapped files, which the system reclaims
when it needs them. Speeds are compared with those of a small data set that is read into memory in the same run.
"""

import argparse
import contextlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from report import REPOSITORY, machine, parser, print_machine, print_table, write_json

from sparsevq.basis.layout import make_basis
from sparsevq.config import BasisConfig, DataSetConfig, PreprocessConfig, SensorsConfig, Stage1Config, Symmetries, load
from sparsevq.data.layout import read_data, read_domain
from sparsevq.data.preprocess import preprocess
from sparsevq.data.source import Source
from sparsevq.runtime.devices.device import claim_devices, fabric_for, set_threads
from sparsevq.runtime.files import SETTLED, digest
from sparsevq.sensors.placement import place_sensors, write_sensors

FRAMES = 400
CHANNELS = ("u", "v")
MODES = 6
BASIS_MODES = 12
SMALL = 0.25
"""Gigabytes of the data set that is read into memory, for comparison."""
GB = 1e9


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--gigabytes", type=float, default=30.0, help="size of the data set")
    command.add_argument("--memory", type=float, default=2.0, help="bound on the process' own memory (GB)")
    command.add_argument(
        "--grid", type=int, nargs=2, default=(128, 128), metavar=("NY", "NX"), help="points of a frame"
    )
    command.add_argument("--folder", type=Path, default=Path(), help="where the data set is while this runs")
    command.add_argument("--config", type=Path, default=REPOSITORY / "config/quickstart.yaml", help="stage 1's sizes")
    command.add_argument("--batches", type=int, default=100, help="batches to draw in each round")
    command.add_argument("--steps", type=int, default=10, help="training steps to time in each round")
    command.add_argument("--rounds", type=int, default=3, help="rounds in which mapped and read data sets alternate")
    command.add_argument("--threads", type=int, default=2, help="CPU threads")
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = command.parse_args()

    frame = 4 * len(CHANNELS) * arguments.grid[0] * arguments.grid[1]
    trajectories = {
        name: max(int(gigabytes * GB / (frame * FRAMES)), 3)
        for name, gigabytes in (("large", arguments.gigabytes), ("small", min(SMALL, arguments.gigabytes)))
    }
    needed, free = (
        1.02 * frame * FRAMES * sum(trajectories.values()) / GB,
        shutil.disk_usage(arguments.folder).free / GB,
    )
    if free < needed + 1:
        sys.exit(
            f"{arguments.folder.resolve()}:  {free:.1f} GB free, {needed + 1:.1f} are needed: choose another --folder"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the data set is deleted
    about = machine()
    set_threads(arguments.threads)
    bound = bounded(arguments.memory)
    print_machine(about | {"threads": arguments.threads})
    print(f"own memory: {arguments.memory:g} GB at most ({'enforced' if bound else 'this system cannot enforce it'})\n")
    with tempfile.TemporaryDirectory(prefix=".data-scale-", dir=arguments.folder) as folder:
        found = measure(Path(folder), trajectories, arguments)
    write_json(arguments.json, {"machine": about, "bound_gb": arguments.memory, "enforced": bound, **found})


def measure(folder: Path, trajectories: dict[str, int], arguments: argparse.Namespace) -> dict[str, Any]:
    """All phases, printed as they end."""
    settings = load(arguments.config).stage1
    phases = {}
    for name, count in trajectories.items():
        with phase(phases, f"preprocess {name}"):
            source = waves(count, tuple(arguments.grid))
            preprocess(source, folder / f"{name}.h5", name, DataSetConfig(validation=1, test=1), PreprocessConfig())
            drop_pages(folder / f"{name}.h5")  # waits until it is on the disk
    for name in trajectories:
        with phase(phases, f"basis {name}"):
            data, basis = folder / f"{name}.h5", folder / f"{name}_basis.h5"
            make_basis(data, basis, BasisConfig(modes=BASIS_MODES), Symmetries())
    size = {name: (folder / f"{name}.h5").stat().st_size / 1e6 for name in trajectories}
    with phase(phases, "frames alone"):
        for trajectory in range(trajectories["small"]):
            source.read(trajectory, 0, FRAMES)
    time.sleep(SETTLED + 1)  # a digest is kept of a file that has been at rest
    with phase(phases, "digest"):
        digest(folder / "large.h5")
    with phase(phases, "digest again"):
        digest(folder / "large.h5")
    drop_pages(folder / "large.h5")
    megabytes = {f"{work} {name}": size[name] for work in ("preprocess", "basis") for name in trajectories}
    megabytes |= {"frames alone": size["small"], "digest": size["large"], "digest again": size["large"]}
    print(f"\n{size['large'] / 1e3:.2f} GB: {trajectories['large']} trajectories of {FRAMES} frames")
    print_table(
        ("", "seconds", "MB/s", "peak own memory (MB)", "mapped file pages (MB)"),
        [
            (name, one["seconds"], megabytes[name] / one["seconds"], one["own_mb"], one["file_mb"])
            for name, one in phases.items()
        ],
    )

    sampling, memory = sample(folder, settings, arguments)
    reference = sampling["in memory"]
    print(f"\nstage 1, {settings.batch_frames} frames and {settings.batch_pixels} points a batch")
    print_table(
        ("", "batches/s", "frames/s", "ratio", "ms a step", "of it draw", "ratio", "drawn ahead", "ratio"),
        [
            (
                name,
                one["batches_per_second"],
                one["batches_per_second"] * settings.batch_frames,
                one["batches_per_second"] / reference["batches_per_second"],
                1e3 * one["step"],
                1e3 * one["draw"],
                one["step"] / reference["step"],
                1e3 * one["ahead"],
                one["ahead"] / one["at_once"],
            )
            for name, one in sampling.items()
        ],
    )
    peak = max(memory["own_mb"], *(one["own_mb"] for one in phases.values()))
    print(
        f"\nPeak own memory {memory['own_mb']:.0f} MB in training, {peak:.0f} MB in all, of a data set of "
        f"{size['large']:.0f} MB; mapped pages {memory['file_mb']:.0f} MB."
    )
    return {"megabytes": size, "phases": phases, "sampling": sampling, "training_memory": memory, "peak_own_mb": peak}


def sample(
    folder: Path, settings: Stage1Config, arguments: argparse.Namespace
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Draw batches and train, in turns: batches not read before (cold), the same again (warm), and in memory."""
    import torch
    from measuring import now
    from steps import Stopwatch, free_running, timed_steps

    lease = claim_devices(arguments.device)
    fabric = fabric_for(lease, settings.precision)
    states = ("mapped, cold", "mapped, warm", "in memory")
    seconds: dict[str, list[float]] = {state: [] for state in states}
    paces: dict[tuple[str, bool], list[float]] = {(state, ahead): [] for state in states for ahead in (False, True)}
    watches = {state: Stopwatch(fabric.device) for state in states}
    generator = torch.Generator()
    with Memory() as memory:
        large = opened(folder / "large.h5", settings, fabric, in_memory=0)
        small = opened(folder / "small.h5", settings, fabric, in_memory=2**32)
        timed_steps(small, fabric, 3, Stopwatch(fabric.device))  # the first steps of a process are slow
        for round_ in range(arguments.rounds):
            for state in states:
                stage = small if state == "in memory" else large
                since = now(fabric.device)
                for batch in range(arguments.batches):
                    stage.draw(generator.manual_seed(round_ * arguments.batches + batch), batch)
                seconds[state].append(now(fabric.device) - since)
                new = 3 * round_ + 1 if state == "mapped, cold" else 0  # the seed of frames never seen, or seen before
                timed_steps(stage, fabric, arguments.steps, watches[state], seed=new)
                for ahead in (False, True):
                    seed = new and new + 1 + ahead
                    paces[state, ahead].append(free_running(stage, fabric, arguments.steps, ahead=ahead, seed=seed))
        with torch.no_grad():
            large.validate()
    found = {}
    for state in reversed(states):
        timing = watches[state].timing()
        found[state] = {
            "batches_per_second": arguments.batches / median(seconds[state]),
            "step": timing.step,
            "draw": timing.draw,
            "at_once": median(paces[state, False]),
            "ahead": median(paces[state, True]),
        }
    return found, {"own_mb": memory.own_mb, "file_mb": memory.file_mb}


def opened(data: Path, settings: Stage1Config, fabric: Any, in_memory: int) -> Any:
    """Stage 1 before its training, its data set mapped or read."""
    from sparsevq.runs.run import Run
    from sparsevq.stage1.fit import encoder_stage

    sensors = data.with_name(f"{data.stem}_sensors.h5")
    write_sensors(sensors, place_sensors(read_domain(data), SensorsConfig(num_semi_sparse=100), 20, seed=1))
    # The paper's encoder, which draws batches; symmetries are those of the configuration's flow.
    settings = settings.model_copy(update={"symmetries": Symmetries(), "modes": 0})
    run = Run(data=data, basis=data.with_name(f"{data.stem}_basis.h5"), sensors=sensors)
    run.data = read_data(data, in_memory=in_memory)
    stage = encoder_stage(run, "sparse", settings, seed=1, fabric=fabric)
    stage.objective.to(fabric.device)
    return stage


# ------------------------------------------------------------------------------------------------ the data set


def waves(trajectories: int, grid: tuple[int, int]) -> Source:
    """Standing waves of a few lengths, each trajectory with amplitudes and frequencies of its own."""
    rng = np.random.default_rng(0)
    y, x = (np.linspace(0, 1, size, endpoint=False) for size in grid)
    k = rng.integers(1, 6, (2, MODES))
    pictures = np.sin(2 * np.pi * (k[0, :, None, None] * y[:, None] + k[1, :, None, None] * x))
    pictures = np.stack([pictures, np.roll(pictures, 3, axis=-1)], axis=-1).reshape(MODES, -1).astype(np.float32)
    frequency = rng.uniform(0.1, 0.5, (trajectories, MODES))
    phase_ = rng.uniform(0, 2 * np.pi, (trajectories, MODES))

    def read(trajectory: int, start: int, stop: int) -> np.ndarray:
        times = np.arange(start, stop)[:, None]
        beats = np.cos(frequency[trajectory] * times + phase_[trajectory]).astype(np.float32)
        return (beats @ pictures).reshape(stop - start, *grid, len(CHANNELS))

    return Source(
        label="waves",
        trajectories=trajectories,
        read=read,
        axes={"y": y, "x": x},
        axis_units={"y": "1", "x": "1"},
        time=np.arange(FRAMES, dtype=np.float64),
        time_units="1",
        channels=CHANNELS,
        units=("1",) * len(CHANNELS),
        files=(),
        provenance={"solver": "none: synthetic"},
    )


def drop_pages(path: Path) -> None:
    """Drop a file from the system's page cache, once it is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# ------------------------------------------------------------------------------------------------ memory


def bounded(gigabytes: float) -> bool:
    """Bound this process' own memory; whether the system enforces it (Linux does)."""
    limit = int(gigabytes * GB)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        return sys.platform == "linux"
    return False


class Memory:
    """Peaks of this process' resident memory in a block, sampled a hundred times a second.

    Attributes
    ----------
    own_mb
        Anonymous memory: allocated by the process itself.
    file_mb
        Pages of mapped files, libraries included: the system can reclaim them.
    """

    def __init__(self) -> None:
        self.own_mb = self.file_mb = 0.0
        self._over = threading.Event()

    def __enter__(self) -> "Memory":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            ended = self._over.wait(0.01)
            with contextlib.suppress(OSError):  # not Linux: 0 is reported
                lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
                self.own_mb = max(self.own_mb, int(lines["RssAnon"].split()[0]) * 1024 / 1e6)
                self.file_mb = max(self.file_mb, int(lines["RssFile"].split()[0]) * 1024 / 1e6)
            if ended:
                return


@contextlib.contextmanager
def phase(phases: dict[str, dict[str, float]], name: str) -> Iterator[None]:
    """Time a block and watch its memory."""
    memory, since = Memory(), time.perf_counter()
    with memory:
        yield
    phases[name] = {"seconds": time.perf_counter() - since, "own_mb": memory.own_mb, "file_mb": memory.file_mb}


if __name__ == "__main__":
    main()
