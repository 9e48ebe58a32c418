"""From readings to a forecast: start-up, and the parts of a forecast, cold and from a warm forecaster.

    python benchmarks/forecast_latency.py results/quickstart/cylinder/n20/seed1 --threads 2

A cold forecast is that of a process of its own, which imports the package, loads the run, forecasts once and writes
NetCDF; the median of several processes. A warm one is of the same forecaster, which has forecast before: the median of
many, from the run's own sensors and from other places (of a forecaster that knows these, too). The whole command
`sparsevq forecast` is timed as a user waits for it. The processor's seconds, of all threads, say what the work takes
where the machine does other work, too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from report import machine, print_machine, print_table, write_json

PARTS = ("read", "encode", "outlook", "rollout", "decode")
OTHERS = ("rest", "all", "all, processor", "write NetCDF")


def main() -> None:
    """Print the figures."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("run", type=Path)
    command.add_argument("--members", type=int, default=16)
    command.add_argument("--frames", type=int, default=20)
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--processes", type=int, default=3, help="cold forecasts (median)")
    command.add_argument("--repeats", type=int, default=10, help="warm forecasts (median)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    command.add_argument("--readings", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    asked = command.parse_args()
    if asked.readings:
        print(json.dumps(cold_and_warm(asked)))
        return
    about = machine() | {"threads": asked.threads}
    print_machine(about)
    with tempfile.TemporaryDirectory() as folder:
        readings = Path(folder) / "readings.csv"
        readings.write_text(readings_of(asked.run))
        found = [in_a_process(asked, readings) for _ in range(asked.processes)]
        whole = median(as_a_command(asked, readings, Path(folder)) for _ in range(asked.processes))
    print(
        f"{asked.members} members, {asked.frames} frames, {found[0]['observed']} observed, {found[0]['grid']} points\n"
    )
    each = {
        way: {part: median(one[way][part] for one in found) for part in found[0][way]}
        for way in ("start", "first", "warm", "warm, other places")
    }
    rows = [(name, each["start"][name]) for name in each["start"]]
    print_table(("start-up", "seconds"), [*rows, ("all", sum(each["start"].values()))])
    print()
    ways = ("first", "warm", "warm, other places")
    print_table(
        ("of a forecast, seconds", *ways),
        [
            (part, *(each[way][part] for way in ways))
            for part in (*PARTS, "rest", "all", "all, processor", "write NetCDF")
        ],
    )
    print(f"\nThe command sparsevq forecast, from start to end: {whole:.2f} s")
    write_json(asked.json, {"machine": about, "seconds": each, "command_s": whole})


def readings_of(run: Path) -> str:
    """CSV of the first frames of a test trajectory, as many as the run's models were trained for, by their places."""
    import sparsevq

    model = sparsevq.Forecaster(run, device="cpu")
    data, sensors = model.run.data, model.sensors.sparse
    trajectory = int(data.trajectories("test")[0])
    lines = [",".join(("frame", "sensor", *data.channels))]
    for frame in range(model.observed_frames):
        for sensor, values in enumerate(data.flat_fields[trajectory, frame, sensors]):
            lines.append(",".join(map(str, (frame, sensor, *map(float, values)))))
    return "\n".join(lines) + "\n"


def in_a_process(asked: argparse.Namespace, readings: Path) -> dict[str, Any]:
    """Figures of one process."""
    given = [f"--{key}={getattr(asked, key)}" for key in ("members", "frames", "threads", "repeats")]
    command = [sys.executable, __file__, str(asked.run), *given, f"--readings={readings}"]
    made = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return found


def as_a_command(asked: argparse.Namespace, readings: Path, folder: Path) -> float:
    """Seconds of `sparsevq forecast`."""
    begin = time.perf_counter()
    given = [f"--members={asked.members}", f"--frames={asked.frames}", f"--threads={asked.threads}", "--device=cpu"]
    files = [f"--readings={readings}", f"--out={folder / 'forecast.nc'}"]
    command = [sys.executable, "-m", "sparsevq.cli.main", "forecast", str(asked.run), *files, *given]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def cold_and_warm(asked: argparse.Namespace) -> dict[str, Any]:
    """Figures of a process that does nothing else; `start` has those of the imports and of loading."""
    from sparsevq.runtime.devices.device import set_threads

    set_threads(asked.threads)
    times = [time.perf_counter()]
    import torch

    times.append(time.perf_counter())
    import sparsevq

    sparsevq.Forecaster  # noqa: B018 (imports the rest)
    times.append(time.perf_counter())
    model = sparsevq.Forecaster(asked.run, device="cpu")
    times.append(time.perf_counter())
    torch.set_num_threads(asked.threads)
    start = {
        name: after - before
        for name, before, after in zip(("import torch", "import the rest", "load"), times, times[1:], strict=False)
    }
    import pandas as pd

    table = pd.read_csv(asked.readings)
    elsewhere = table.drop(columns="sensor")
    for column, axis in enumerate(model.data.axes):
        at = model.sensors.coordinates[table["sensor"], column]
        step = abs(model.data.axes[axis][1] - model.data.axes[axis][0])
        elsewhere[axis] = at + 0.1 * step
    first = forecast(model, asked.readings, asked)
    warm = [forecast(model, asked.readings, asked) for _ in range(asked.repeats)]
    forecast(model, elsewhere, asked)
    others = [forecast(model, elsewhere, asked) for _ in range(asked.repeats)]
    return {
        "start": start,
        "first": first,
        "warm": medians(warm),
        "warm, other places": medians(others),
        "observed": model.observed_frames,
        "grid": " x ".join(map(str, model.data.grid)),
    }


def forecast(model: Any, readings: Any, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds of the parts of one forecast, and of writing it."""
    from sparsevq.forecasting.dataset.writing import write_netcdf

    with parts_of(model) as spent, tempfile.TemporaryDirectory() as folder:
        begin, processor = time.perf_counter(), time.process_time()
        found = model.forecast(readings, asked.frames, asked.members)
        spent["all"] = time.perf_counter() - begin
        spent["all, processor"] = time.process_time() - processor
        spent["rest"] = spent["all"] - sum(spent[part] for part in PARTS)
        begin = time.perf_counter()
        write_netcdf(Path(folder) / "forecast.nc", found, "forecast_latency.py")
        spent["write NetCDF"] = time.perf_counter() - begin
    return dict(spent)


@contextmanager
def parts_of(model: Any) -> Iterator[dict[str, float]]:
    """Seconds that a forecaster spends in each of its parts, while the block runs."""
    spent = dict.fromkeys(PARTS, 0.0)
    where = {"read": "_intake", "encode": "_prompt", "outlook": "_outlook", "decode": "_dataset"}

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            found = work(*given, **named)
            spent[part] += time.perf_counter() - begin
            return found

        return call

    kept = {name: model.__dict__.get(name) for name in where.values()}
    gpt, generate = model._model.gpt, model._model.gpt.generate
    for part, name in where.items():
        setattr(model, name, timed(part, getattr(model, name)))
    object.__setattr__(gpt, "generate", timed("rollout", generate))
    try:
        yield spent
    finally:
        object.__delattr__(gpt, "generate")
        for name, was in kept.items():
            if was is None:
                delattr(model, name)
            else:
                setattr(model, name, was)


def medians(of: list[dict[str, float]]) -> dict[str, float]:
    """Part by part."""
    return {part: median(one[part] for one in of) for part in of[0]}


if __name__ == "__main__":
    main()
