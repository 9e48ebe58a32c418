"""What each rule would need for data that no machine here holds: memory, traffic and time, and what breaks first.

    python benchmarks/scaling.py --threads 2 --json docs/benchmarks/scaling-cpu.json

First the rules run, by the package's own code, on small synthetic flows in space of three sizes; of each the peak of
memory and the processor's seconds, of all cores together, are compared with the formulas of `costs.py`. From the same
runs come this machine's rates. Then the formulas are printed for large data, with these rates, and with an H100's
published peaks times a share that is an assumption; and for each rule the largest grid that fits in a machine's memory.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from costs import Cost, Sizes, costs
from report import REPOSITORY, machine, parser, print_machine, print_table, write_json

from sparsevq.config import load

SIDES = (12, 18, 26)
"""Points along each of three axes of the flows that are measured."""
SMALL = Sizes(
    grid=(SIDES[0],) * 3,
    channels=2,
    trajectories=14,
    validation=4,
    test=2,
    frames=16,
    variants=1,
    modes=48,
    sensors=20,
    examples=100,
    horizon=7,
    starts=2,
    members=8,
)
"""What else is asked of them."""
TARGETS = {
    "quickstart": ("quickstart.yaml", {"grid": (64, 64), "channels": 2}),
    "128^3 x 1000": ("benchmarks.yaml", {"grid": (128,) * 3, "channels": 4, "trajectories": 1000, "variants": 1}),
    "256^3 x 10000": ("benchmarks.yaml", {"grid": (256,) * 3, "channels": 4, "trajectories": 10_000, "variants": 1}),
}
"""Name -> configuration of the stages, and the data."""
LIMITED = "128^3 x 1000"
"""Whose number of trajectories and channels the largest grids are told for."""
PEAKS = {"float32": 66.9e12, "TF32": 494.7e12, "bf16": 989.4e12, "memory": 3.35e12, "host": 64e9}
"""Published peaks of an H100 SXM5 with 80 GB: operations a second (dense), bytes a second of its memory, and from the
host (PCIe 5, one way)."""
SHARE = 0.4
"""ASSUMED share of the peak that large products reach."""
DISK = 5e9
"""ASSUMED bytes a second that one node reads from a parallel file system, and writes."""
GPU_MEMORY, HOSTS = 80e9, (64e9, 512e9)
"""Bytes of a GPU, and of hosts."""


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--threads", type=int, default=2, help="CPU threads")
    command.add_argument("--sides", type=int, nargs="+", default=SIDES, help="points along each axis of measured flows")
    command.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where flows are while it runs"
    )
    command.add_argument("--run", type=Path, help="a finished quickstart's data set (results/quickstart/cylinder)")
    command.add_argument("--one", type=int, help=argparse.SUPPRESS)  # a size, measured in a process of its own
    asked = command.parse_args()
    if asked.one:
        print(json.dumps(measure(replace(SMALL, grid=(asked.one,) * 3), asked)))
        return
    about = machine() | {"threads": asked.threads}
    print_machine(about)
    measured = [in_a_process(side, asked) for side in asked.sides]
    rates = rates_of(measured)
    compare(measured, rates)
    print("\nrates of one core:", *(f"{name} {rate / 1e9:.3g} G/s" for name, rate in rates.items()))
    found = {name: extrapolate(name, sizes, rates) for name, sizes in targets().items()}
    limits = largest()
    if asked.run:
        compare_with_run(asked.run, rates)
    write_json(asked.json, {"machine": about, "measured": measured, "rates": rates, "targets": found, "limits": limits})


def targets() -> dict[str, Sizes]:
    """Sizes of `TARGETS`."""
    return {name: Sizes.of(load(REPOSITORY / "config" / config), **data) for name, (config, data) in TARGETS.items()}


# ------------------------------------------------------------------------------------------------ measured


def in_a_process(side: int, asked: argparse.Namespace) -> dict[str, Any]:
    """What `measure` finds of flows of that size; freed arrays go back to the system: each rule's peak shows."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144"}
    given = [f"--one={side}", f"--threads={asked.threads}", f"--folder={asked.folder}"]
    made = subprocess.run([sys.executable, __file__, *given], env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return found


def measure(sizes: Sizes, asked: argparse.Namespace) -> dict[str, Any]:
    """Rule -> seconds of the processor, and peak memory above what the process had before (bytes)."""
    import torch

    sys.path.insert(0, str(REPOSITORY))
    torch.set_num_threads(asked.threads)
    rules: dict[str, dict[str, float]] = {}

    @contextmanager
    def rule(name: str) -> Iterator[None]:
        from measuring import peak_mb, reset_peak

        device = torch.device("cpu")
        reset_peak(device)
        before, since = peak_mb(device), time.process_time()
        yield
        rules[name] = {"seconds": time.process_time() - since, "memory": 1e6 * (peak_mb(device) - before)}

    where = tempfile.TemporaryDirectory(prefix=".scaling-", dir=asked.folder)
    with where as folder, redirect_stdout(io.StringIO()):
        run_rules(Path(folder), sizes, rule)
    return {"sizes": asdict(sizes), "rules": rules}


def run_rules(folder: Path, sizes: Sizes, rule: Callable[[str], Any]) -> None:
    """All rules whose costs grow with the data, as the workflow calls them."""
    import pandas as pd

    from sparsevq.baselines.registry import run_baselines
    from sparsevq.basis.layout import make_basis
    from sparsevq.config import (
        BasisConfig,
        DataSetConfig,
        EvaluationConfig,
        PreprocessConfig,
        SensorsConfig,
        Symmetries,
    )
    from sparsevq.data.layout import read_data, read_domain
    from sparsevq.data.preprocess import preprocess
    from sparsevq.evaluation.scores import score
    from sparsevq.evaluation.split_statistics import split_statistics
    from sparsevq.runs.run import FILES
    from sparsevq.sensors.placement import place_sensors, write_sensors
    from tests.chain import GROUPS, MODAL, Chain

    chain, forecast = Chain(folder), {"horizon": sizes.horizon, "members": sizes.members}
    modal = {**MODAL, "modes": sizes.modes, "examples": sizes.examples, "symmetries": {}}
    starts = (0, sizes.frames - 1 - sizes.horizon)[: sizes.starts]
    run_baselines_with = EvaluationConfig(members=sizes.members, pod_ranks=(5, 20))
    source = noisy_waves(sizes)
    with rule("preprocess"):
        held_out = DataSetConfig(validation=sizes.validation, test=sizes.test)
        preprocess(source, chain.data_path, "waves", held_out, PreprocessConfig())
    del source
    with rule("basis"):
        make_basis(chain.data_path, folder / FILES["basis"], BasisConfig(modes=sizes.modes), Symmetries())
    with rule("describe_data"):
        split_statistics(read_data(chain.data_path))
    with rule("sensors (qr)"):
        settings = SensorsConfig(placement="qr", num_semi_sparse=30)
        placed = place_sensors(read_domain(chain.data_path), settings, sizes.sensors, 1, chain.run().basis)
    write_sensors(chain.sensors_path, placed, {"data": chain.data_path})
    with rule("stage 1"):
        chain.encoder("sparse", **modal)
    chain.encoder("semi_sparse", **modal)
    with rule("tokenizer"):
        chain.tokenizer(**GROUPS)
    with rule("codes"):
        chain.codes()
    chain.gpt(first_guess="regression", stage2_frames=sizes.leads, batch_frames=4 * sizes.leads)
    with rule("calibrate"):
        chain.calibrate(starts=starts, **forecast)
    with rule("forecast"):
        chain.forecast(folder / FILES["forecast"], starts=starts, **forecast)
    with rule("baselines"):
        run_baselines(chain.run(), folder / FILES["baselines"], run_baselines_with)
    with rule("evaluate"):
        score(chain.run(), folder, pd.DataFrame([{"data_set": "waves", "num_sensors": sizes.sensors, "seed": 1}]))


def noisy_waves(sizes: Sizes) -> Any:
    """Travelling waves with noise, so that there are as many modes as are asked for; made as they are read."""
    from sparsevq.data.field_data import grid_points
    from sparsevq.data.source import Source

    rng = np.random.default_rng(0)
    axes = {name: np.linspace(0, 1, size) for name, size in zip("zyx", sizes.grid, strict=True)}
    places = grid_points(tuple(axes.values())).astype(np.float32)
    speeds, phases = rng.uniform(0.02, 0.1, sizes.trajectories), rng.uniform(0, 6, sizes.trajectories)
    patterns = rng.normal(size=(2 * sizes.modes, sizes.values)).astype(np.float32)

    def read(trajectory: int, start: int, stop: int) -> Any:
        wave = np.stack(
            [np.sin(6 * places.sum(1) + phases[trajectory] - speeds[trajectory] * t) for t in range(start, stop)]
        )
        weights = np.random.default_rng((trajectory, start)).normal(size=(stop - start, len(patterns)))
        fields = 1 + np.repeat(wave[..., None], sizes.channels, -1)
        fields += 0.05 * (weights.astype(np.float32) @ patterns).reshape(fields.shape)
        return fields.reshape(stop - start, *sizes.grid, sizes.channels).astype(np.float32)

    return Source(
        label="waves",
        trajectories=sizes.trajectories,
        read=read,
        axes=axes,
        axis_units=dict.fromkeys(axes, "m"),
        time=np.arange(sizes.frames, dtype=np.float64),
        time_units="s",
        channels=("u", "v"),
        units=("m/s", "m/s"),
        files=(),
        provenance={"solver": "none: synthetic"},
    )


def rates_of(measured: list[dict[str, Any]]) -> dict[str, float]:
    """Rate -> amount a second of one core: by what the largest flows take more than the smallest."""
    ends = measured[0], measured[-1]
    work = [{name: cost.work for name, cost in costs(sizes_of(one)).items()} for one in ends]
    rates = products_a_second()

    def more(rule: str, rate: str) -> float:
        return work[1][rule][rate] - work[0][rule][rate]

    def of(rate: str, rule: str) -> None:
        """By what is left of a rule's seconds when its other work is done."""
        seconds = ends[1]["rules"][rule]["seconds"] - ends[0]["rules"][rule]["seconds"]
        others = sum(more(rule, name) / rates[name] for name in work[1][rule] if name in rates)
        rates[rate] = more(rule, rate) / max(seconds - others, 0.1 * seconds, 1e-3)

    for rate, rule in (
        ("streamed", "preprocess"),
        ("described", "describe_data"),
        ("gathered", "codes"),
        ("scored", "evaluate"),
        ("dressed", "baselines"),
    ):
        of(rate, rule)
    return rates


def sizes_of(measured: dict[str, Any]) -> Sizes:
    """Of what was measured."""
    return Sizes(**{**measured["sizes"], "grid": tuple(measured["sizes"]["grid"])})


def products_a_second(rows: int = 512, columns: int = 32_768, directions: int = 554) -> dict[str, float]:
    """Operations a second of one core in the products that make a basis, in float32 and in float64."""
    rng, found = np.random.default_rng(0), {}
    for name, kind in (("products", np.float32), ("float64", np.float64)):
        block = rng.standard_normal((rows, columns)).astype(kind)
        sketch = rng.standard_normal((columns, directions)).astype(kind)
        taken = []
        for _ in range(3):
            since = time.process_time()
            block.T @ (block @ sketch)
            taken.append(time.process_time() - since)
        found[name] = 4 * rows * columns * directions / min(taken)
    return found


def compare(measured: list[dict[str, Any]], rates: dict[str, float]) -> None:
    """Print how memory and time grow, measured and by the formulas."""
    all_sizes = [sizes_of(one) for one in measured]
    by_formula = [costs(sizes) for sizes in all_sizes]
    print(f"\nmeasured at {', '.join(f'{sizes.grid[0]}^3' for sizes in all_sizes)} points; memory (MB), core seconds\n")
    rows = []
    for name in measured[0]["rules"]:
        memory = [one["rules"][name]["memory"] for one in measured]
        expected = [cost[name].memory for cost in by_formula]
        slope = (memory[-1] - memory[0]) / (expected[-1] - expected[0])
        taken = [one["rules"][name]["seconds"] for one in measured]
        more = core_seconds(by_formula[-1][name], rates) - core_seconds(by_formula[0][name], rates)
        rows.append(
            (
                name,
                " ".join(f"{value / 1e6:.0f}" for value in memory),
                " ".join(f"{value / 1e6:.0f}" for value in expected),
                slope,
                " ".join(f"{value:.2f}" for value in taken),
                more,
            )
        )
    print_table(("", "memory", "by formula", "growth / formula's", "core seconds", "growth by rates"), rows)


def compare_with_run(folder: Path, rates: dict[str, float]) -> None:
    """Print what the workflow measured of each job of a finished quickstart, beside the formulas."""
    named = {"sensors (qr)": "sensors", "stage 1": "sparse"}
    rows = []
    for rule, cost in costs(targets()["quickstart"]).items():
        (found,) = folder.glob(f"**/benchmarks/{named.get(rule, rule)}.tsv")
        names, *_, last = (line.split("\t") for line in found.read_text().splitlines())
        told = dict(zip(names, last, strict=True))
        memory = float(told["max_rss"]), cost.memory / 2**20
        rows.append((rule, *memory, float(told["cpu_time"]), core_seconds(cost, rates)))
    print(f"\n{folder}: measured by the workflow, libraries and start included\n")
    print_table(("", "memory (MiB)", "formula", "core seconds", "work / rates"), rows)


# ------------------------------------------------------------------------------------------------ extrapolated


def core_seconds(cost: Cost, rates: dict[str, float]) -> float:
    """Seconds of one core for the work, one thing after the other; what is read is in memory."""
    return sum(amount / rates[name] for name, amount in cost.work.items())


def extrapolate(name: str, sizes: Sizes, rates: dict[str, float]) -> dict[str, Any]:
    """Print what all rules need for data of these sizes."""
    gpu = {"products": SHARE * PEAKS["float32"], "gathered": SHARE * PEAKS["host"]}
    print(
        f"\n{name}: {sizes.values:,} values a frame, {sizes.trajectories} trajectories of {sizes.frames} frames, "
        f"{sizes.data / 1e9:,.3g} GB; {sizes.modes} modes of {sizes.basis / 1e9:,.3g} GB\n"
    )
    found = {}
    for rule, cost in costs(sizes).items():
        found[rule] = {
            "host_gb": cost.host / 1e9,
            "device_gb": cost.device / 1e9,
            "read_gb": cost.read / 1e9,
            "written_gb": cost.written / 1e9,
            "disk_h": (cost.read + cost.written) / DISK / 3600,
            "core_h": core_seconds(cost, rates) / 3600,
            "gpu_h": core_seconds(cost, {**rates, **gpu}) / 3600 if cost.device else None,
        }
    columns = ("", "host GB", "device GB", "read GB", "written GB", "disk h", "core h", "or H100 h", "memory grows as")
    print_table(columns, [(rule, *one.values(), costs(sizes)[rule].grows) for rule, one in found.items()])
    return found


def largest() -> dict[str, dict[str, float]]:
    """Print the largest cube whose fields each rule can work on, by the memory of host and GPU."""
    base = targets()[LIMITED]
    print(f"\nlargest cube: points along an axis, {base.trajectories} trajectories, {base.channels} channels\n")

    def side(fits: Callable[[Cost], bool], rule: str) -> int:
        low, high = 1, 4096
        while high - low > 1:
            middle = (low + high) // 2
            ok = fits(costs(replace(base, grid=(middle,) * 3))[rule])
            low, high = (middle, high) if ok else (low, middle)
        return low

    found = {}
    for rule, cost in costs(base).items():
        limits: dict[str, Any] = {
            f"{host / 1e9:.0f} GB, no GPU": side(lambda c, h=host: c.memory <= h, rule) for host in HOSTS
        }
        limits["GPU of 80 GB"] = side(lambda c: c.device <= GPU_MEMORY, rule) if cost.device else None
        found[rule] = limits
    print_table(("", *next(iter(found.values()))), [(rule, *limits.values()) for rule, limits in found.items()])
    return found


if __name__ == "__main__":
    main()
