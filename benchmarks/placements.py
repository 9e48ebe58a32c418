"""What places of sensors are worth: expected and measured error of the linear estimate, by placement and number.

    python benchmarks/placements.py results/quickstart/cylinder results/navier_stokes-quick/navier_stokes

For each data set (its folder, with its basis): sensors by the posterior variance, at QR pivots and at random places, of
all channels; errors are shares of the anomalies' standard deviation, measured on frames of the test split, which the
modes were not made from and nothing was chosen by.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from report import parser, print_table, write_json

from sparsevq.evaluation.placing.held_out import HeldOut
from sparsevq.evaluation.placing.proposal import Wanted, compare, place
from sparsevq.runs.run import Run
from sparsevq.sensors.placement import free_points

COUNTS = (5, 10, 20, 50, 100)


def compared(folder: Path, sensors: int, draws: int, noise: float) -> tuple[str, list[dict[str, Any]]]:
    """Rows of one data set: a number of sensors each."""
    run = Run(None, data=folder / "data.h5", basis=folder / "basis.h5")
    data, channels = run.data, len(run.data.channels)
    points, reads = free_points(data), np.ones((len(free_points(data)), channels), bool)
    wanted = Wanted(
        data=data,
        basis=run.basis,
        points=points,
        reads=reads,
        noise=np.full(channels, noise),
        importance=np.ones(channels),
        min_distance=0.0,
        existing=points[:0],
        existing_reads=reads[:0],
    )
    held_out = HeldOut(data, run.basis, "test", wanted.importance)
    rows: list[dict[str, Any]] = []
    for method in ("variance", "qr"):
        since = time.perf_counter()
        placed = place(wanted, method, sensors)
        seconds = time.perf_counter() - since
        errors = compare(wanted, placed, held_out, draws if method == "variance" else 1)
        for index, count in enumerate(errors.counts):
            if count not in COUNTS:
                continue
            if method == "variance":
                of_draws = errors.random_measured[:, index]
                row = {"sensors": count, "random_expected": errors.random_expected[:, index].mean()}
                row |= {"random": of_draws.mean(), "random_least": of_draws.min(), "random_most": of_draws.max()}
                rows.append(row)
            row = next(row for row in rows if row["sensors"] == count)
            row |= {f"{method}_expected": errors.expected[index], method: errors.measured[index]}
        rows[-1][f"{method}_seconds"] = seconds
    for row in rows:
        row["ratio"] = row["variance"] / row["random"]
    return data.name, rows


def main() -> None:
    command = parser(__doc__)
    command.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of a data set, with its basis")
    command.add_argument("--sensors", type=int, default=100, help="how many, at most (default: 100)")
    command.add_argument("--draws", type=int, default=10, help="random placements (default: 10)")
    command.add_argument("--noise", type=float, default=0.0, help="std of the readings' errors, over the anomalies'")
    arguments = command.parse_args()
    results = dict(
        compared(folder, arguments.sensors, arguments.draws, arguments.noise) for folder in arguments.folders
    )
    columns = ("sensors", "variance_expected", "variance", "qr_expected", "qr", "random_expected", "random")
    for name, rows in results.items():
        print(
            f"\n{name}, noise {arguments.noise:g}: error / std of the anomalies, expected and measured (test split)\n"
        )
        shown = [
            (
                *(f"{row[column]:.3f}" if column != "sensors" else row[column] for column in columns),
                f"{row['random_least']:.3f} to {row['random_most']:.3f}",
                f"{row['ratio']:.2f}",
            )
            for row in rows
        ]
        print_table((*columns, "range", "variance / random"), shown)
        last = rows[-1]
        print(f"{last['sensors']} sensors: variance {last['variance_seconds']:.2f} s, qr {last['qr_seconds']:.2f} s")
    write_json(arguments.json, {"noise": arguments.noise, "draws": arguments.draws, "data_sets": results})


if __name__ == "__main__":
    main()
