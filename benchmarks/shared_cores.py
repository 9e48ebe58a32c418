"""What threads that wait cost: training steps of one job alone, and of two jobs at once on the same cores.

An OpenMP thread that has done its part of a product waits for the others, and for the next product. It may look again
and again (spin), which is quick and keeps the core from other jobs, or sleep, which takes some microseconds to wake.
Each variant says how long it spins before it sleeps. A step is forward and backward of four layers of a transformer as
small as quickstart's, in float32: hundreds of small products. Steps a second, relative to the first variant.

Intel's and LLVM's OpenMP (torch from conda) read KMP_BLOCKTIME in milliseconds instead of GOMP_SPINCOUNT.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median

from report import machine, parser, print_machine, print_table, write_json

VARIANTS: dict[str, dict[str, str]] = {
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"},
    "1000 looks": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"},
    "10 000 looks": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"},
    "100 000 looks": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "100000", "KMP_BLOCKTIME": "2"},
    "OpenMP's own": {},
    "always awake": {"OMP_WAIT_POLICY": "ACTIVE", "KMP_BLOCKTIME": "infinite"},
}
SECONDS_TO_START = 3.0
OURS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def main() -> None:
    """Run and print all variants."""
    made = parser(__doc__)
    made.add_argument("--threads", type=int, default=2, help="of each job")
    made.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    made.add_argument("--rounds", type=int, default=2, help="measurements of each variant, of which the median counts")
    made.add_argument("--start", type=float, help=argparse.SUPPRESS)
    arguments = made.parse_args()
    if arguments.start is not None:
        print(steps_a_second(arguments.threads, arguments.start, arguments.seconds))
        return
    about = machine() | {"threads of a job": arguments.threads}
    print_machine(about)
    measurements: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):  # one after the other, so that a slow minute is every variant's
        for name, variables in VARIANTS.items():
            measurements[name].append((measured(1, variables, arguments), measured(2, variables, arguments)))
    rates = {name: tuple(map(median, zip(*rounds, strict=True))) for name, rounds in measurements.items()}
    first = rates[next(iter(rates))]
    header = ("threads that wait are", "one job, steps/s", "two jobs, steps/s together", "one: ratio", "two: ratio")
    rows = [
        (name, f"{one:.2f}", f"{two:.2f}", f"{one / first[0]:.2f}", f"{two / first[1]:.2f}")
        for name, (one, two) in rates.items()
    ]
    print_table(header, rows)
    found = {name: {"one": one, "two": two} for name, (one, two) in rates.items()}
    write_json(arguments.json, about | {"steps a second": found})


def measured(jobs: int, variables: Mapping[str, str], arguments: argparse.Namespace) -> float:
    """Steps a second of so many jobs together."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS} | dict(variables)
    given = (f"--threads={arguments.threads}", f"--seconds={arguments.seconds}")
    # All measure the same seconds, after torch has been imported.
    command = [sys.executable, __file__, *given, f"--start={time.monotonic() + SECONDS_TO_START}"]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(jobs)]
    return sum(float(job.communicate()[0]) for job in running)


def steps_a_second(threads: int, start: float, seconds: float) -> float:
    """In this process, from `start` of the system's monotonic clock on; variables of OpenMP are set."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(192, 6, 768, dropout=0.0, batch_first=True)
    model, tokens = nn.TransformerEncoder(layer, 4), torch.randn(4, 84, 192)

    def steps_until(end: float) -> int:
        done = 0
        while time.monotonic() < end:
            model(tokens).square().mean().backward()
            done += 1
        return done

    steps_until(start)
    since = time.monotonic()
    done = steps_until(since + seconds)
    return done / (time.monotonic() - since)


if __name__ == "__main__":
    main()
