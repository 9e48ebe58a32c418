"""Read very many damaged or odd files, tables of readings and settings, and list what was not read as it should be.

    python benchmarks/fuzz_readers.py --inputs 1000000 --seed 0 --minutes 60

Each input is read right (odd but valid files, whose values the generator knows), refused in one line that says what to
do, or, where it is damaged, read as anything at all: but never with a traceback, a crash, a hang, gigabytes of memory
or a wrong value. Kinds that are read quickly are drawn more often; the table says how many there were of each. What
went wrong is listed and kept, an input a folder; ``--only NUMBER`` reads one again. Exit status 1 if anything did.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from fuzzing import workers
from fuzzing.attempt import recorded_advice
from fuzzing.damage import Files, good_files
from report import machine, parser, print_machine, print_table, write_json

BAD = ("WRONG", "TRACEBACK", "MESSAGE", "MEMORY", "HANG", "CRASH")
SHOWN = 60


def folder_for_files() -> Path:
    """An empty folder, in memory where there is such a file system."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if os.access(memory, os.W_OK) else None))


def run(
    inputs: int, seed: int, minutes: float, root: Path, pristine: dict[str, Files], first: int = 0
) -> workers.Outcome:
    """Read inputs until there were so many, or the time is over."""
    total, began, shown, listed = workers.Outcome(next=first), time.monotonic(), time.monotonic(), 0
    while total.next < first + inputs and time.monotonic() - began < 60 * minutes:
        last = min(total.next + workers.BATCH, first + inputs)
        workers.isolated(seed, total.next, last, root, pristine, total.add)
        for fault in total.faults[listed:]:
            print(f"input {fault.number}, {fault.kind}: {fault.what[:300]}", flush=True)
        listed = len(total.faults)
        if time.monotonic() - shown > 30:
            shown, done = time.monotonic(), total.next - first
            print(f"{done} inputs, {done / (shown - began):.0f} a second, {listed} faults", flush=True)
        for left in root.iterdir():  # of a process that was ended
            shutil.rmtree(left, ignore_errors=True)
    return total


def kept(faults: list[workers.Fault], seed: int, root: Path, pristine: dict[str, Files], out: Path) -> None:
    """Write the files of the first faults of each sort, to read them again."""
    seen: Counter[str] = Counter()
    for fault in faults:
        seen[_sort(fault)] += 1
        if seen[_sort(fault)] > 2 or len(seen) > SHOWN:
            continue
        folder = out / str(fault.number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        workers.attempt_of(seed, fault.number, folder, pristine)
        (folder / "about.txt").write_text(f"seed {seed}\n{fault.kind}\n{fault.what}\n{fault.about}\n")


def _sort(fault: workers.Fault) -> str:
    """Faults that are alike: the same place, or the same format and words."""
    words = re.sub(r"0x\w+|[-+]?\d[\d.e+-]*", "#", fault.what)[:60]
    return words if fault.what.startswith("TRACEBACK") else f"{fault.kind.split(':')[0]} | {words}"


def print_outcome(outcome: workers.Outcome, messages: int) -> None:
    """A table by kind, the faults, and the messages that came most often."""
    kinds = sorted({kind for kind, _ in outcome.counts})
    results = ("right", "read", "refused", *(each for each in BAD if any(name == each for _, name in outcome.counts)))
    rows = [(kind, *(outcome.counts[kind, result] for result in results)) for kind in kinds]
    rows.append(("all", *(sum(outcome.counts[kind, result] for kind in kinds) for result in results)))
    print_table(("kind", *results), rows)
    if messages:
        print("\nmessages:")
        for message, count in outcome.messages.most_common(messages):
            print(f"{count:8d}  {message}")
    sorts = Counter(_sort(fault) for fault in outcome.faults)
    for sort, count in sorts.most_common(SHOWN):
        example = next(fault for fault in outcome.faults if _sort(fault) == sort)
        print(f"\n{count} x {example.kind}: {example.what}\n    input {example.number}: {example.about[:700]}")


def again(seed: int, number: int, root: Path, pristine: dict[str, Files]) -> None:
    """Read one input here, with its traceback."""
    folder = root / str(number)
    folder.mkdir()
    with recorded_advice():
        attempt = workers.attempt_of(seed, number, folder, pristine)
        print(attempt.kind, attempt.about, sep="\n", flush=True)
        print(attempt.look())


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--inputs", type=int, default=100_000, help="how many to read")
    command.add_argument("--first", type=int, default=0, help="number of the first input")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--minutes", type=float, default=60.0, help="stop after this time")
    command.add_argument(
        "--messages", type=int, default=0, metavar="N", help="list the N messages that came most often"
    )
    command.add_argument("--only", type=int, metavar="NUMBER", help="read this input alone, with its traceback")
    command.add_argument(
        "--keep", type=Path, default=Path("fuzz-faults"), metavar="FOLDER", help="for inputs that went wrong"
    )
    arguments = command.parse_args()

    root = folder_for_files()
    try:
        pristine = good_files(root / "good")
        if arguments.only is not None:
            again(arguments.seed, arguments.only, root, pristine)
            return
        shutil.rmtree(root / "good")
        about = machine()
        print_machine(about)
        since = time.monotonic()
        outcome = run(arguments.inputs, arguments.seed, arguments.minutes, root, pristine, arguments.first)
        seconds = time.monotonic() - since
        kept(outcome.faults, arguments.seed, root, pristine, arguments.keep)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print_outcome(outcome, arguments.messages)
    count = sum(outcome.counts.values())
    print(f"\n{count} inputs in {seconds:.0f} s, {len(outcome.faults)} went wrong.")
    counts = {f"{kind}: {result}": number for (kind, result), number in sorted(outcome.counts.items())}
    faults = [vars(fault) for fault in outcome.faults]
    write_json(
        arguments.json,
        json.loads(json.dumps({"machine": about, "seconds": seconds, "counts": counts, "faults": faults})),
    )
    if outcome.faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
