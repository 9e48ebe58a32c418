"""Inputs are read in processes of their own, so that a crash, a hang or a blow-up of memory is counted and named."""

import contextlib
import gc
import multiprocessing
import os
import resource
import shutil
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import xarray  # noqa: F401 (once, not in each process)
import zarr  # noqa: F401 (likewise)

from fuzzing import attempt as one
from fuzzing import damage, odd_files, odd_readings, odd_settings
from sparsevq.errors import SparseVQError

HANG = 20.0
"""Seconds after which reading one input counts as a hang."""
BLOW_UP = 1_500_000
"""KiB by which an input may raise the peak memory."""
MOST_MEMORY = 2**34
"""Bytes of address space of a process."""
BATCH = 4000
SHARES = {"damaged": 0.36, "odd": 0.2, "readings": 0.37, "settings": 0.07}


@dataclass
class Fault:
    """An input that was not read as it should be."""

    number: int
    kind: str
    what: str
    about: str = ""


@dataclass
class Outcome:
    """What became of some inputs."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    next: int = 0

    def add(self, other: "Outcome") -> None:
        """The outcome of further inputs."""
        self.counts += other.counts
        self.messages += other.messages
        self.faults += other.faults
        self.next = max(self.next, other.next)


def attempt_of(seed: int, number: int, folder: Path, pristine: dict[str, damage.Files]) -> one.Attempt:
    """The input of this number, whose files are written in an empty folder; it depends on seed and number alone."""
    dice = np.random.default_rng([seed, number])
    group = str(dice.choice(list(SHARES), p=list(SHARES.values())))
    if group == "damaged":
        return damage.attempts(dice, folder, pristine)
    if group == "odd":
        return odd_files.attempts(dice, folder)
    if group == "readings":
        return odd_readings.attempts(dice, folder)
    return odd_settings.attempts(dice, folder, pristine)


def judged(attempt: one.Attempt, number: int, folder: Path, outcome: Outcome) -> None:
    """Read one input, and count what became of it."""
    fault = None
    try:
        result = attempt.look()
    except one.Wrong as error:
        result, fault = "WRONG", str(error)
    except SparseVQError as error:
        result, fault = "refused", one.fault_of(error)
        outcome.messages[shape_of(str(error), folder)] += 1
        if fault:
            result, fault = "MESSAGE", f"{fault}: {str(error)[:600]}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        ours = [at for at in where if "/sparsevq/" in at.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "outside"
        result, fault = "TRACEBACK", f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:300]}"
    outcome.counts[attempt.kind, result] += 1
    if fault:
        outcome.faults.append(
            Fault(number, attempt.kind, f"{result}: {fault}".replace(str(folder), "FOLDER"), str(attempt.about))
        )


def shape_of(message: str, folder: Path) -> str:
    """A message without its names and numbers, to count those that are alike."""
    text = message.replace(str(folder), "FOLDER")
    return "".join("#" if letter.isdigit() else letter for letter in text)[:110]


def quiet() -> None:
    """Nothing that readers or libraries print is shown."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    warnings.simplefilter("ignore")


def _work(
    seed: int, first: int, last: int, root: Path, pristine: dict[str, damage.Files], at: Any, results: Connection
) -> None:
    """Read inputs ``first ... last - 1``; `at` has the number of the present one."""
    quiet()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(root)
    outcome = Outcome(next=last)
    sent = time.monotonic()
    with one.recorded_advice():
        for number in range(first, last):
            folder = root / f"{number}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            at.value = number
            attempt = attempt_of(seed, number, folder, pristine)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            judged(attempt, number, folder, outcome)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            if grown > BLOW_UP:
                outcome.counts[attempt.kind, "MEMORY"] += 1
                outcome.faults.append(Fault(number, attempt.kind, f"MEMORY: {grown / 1e6:.1f} GB", str(attempt.about)))
                gc.collect()
            shutil.rmtree(folder, ignore_errors=True)
            if time.monotonic() - sent > 5:  # what was done before a crash is kept
                outcome.next = number + 1
                results.send(outcome)
                outcome, sent = Outcome(next=last), time.monotonic()
    results.send(outcome)
    results.close()
    os._exit(0)  # threads of libraries are not waited for


def isolated(
    seed: int, first: int, last: int, root: Path, pristine: dict[str, damage.Files], report: Callable[[Outcome], None]
) -> None:
    """Read inputs in a process; `report` gets what became of them, piece by piece. A crash or a hang ends the piece."""
    context = multiprocessing.get_context("fork")
    at, (ours, theirs) = context.Value("q", first, lock=False), context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(seed, first, last, root, pristine, at, theirs))
    process.start()
    theirs.close()
    seen, since, done = first, time.monotonic(), first
    hung = False
    while done < last:
        try:
            if ours.poll(0.5):
                found = ours.recv()
                done = found.next
                report(found)
                continue
        except (EOFError, OSError):
            break
        if at.value != seen:
            seen, since = at.value, time.monotonic()
        elif time.monotonic() - since > HANG:
            hung = True
            process.kill()
            break
        if not process.is_alive() and not ours.poll():
            break
    process.join()
    if done < last:
        if done < at.value:  # what was read before, and not reported
            isolated(seed, done, at.value, root, pristine, report)
        _died(seed, at.value, root, pristine, process.exitcode, hung, report)


def _died(
    seed: int,
    number: int,
    root: Path,
    pristine: dict[str, damage.Files],
    code: int | None,
    hung: bool,
    report: Callable[[Outcome], None],
) -> None:
    """The input at which a process ended; inputs before it that were not reported are counted as such."""
    folder = root / f"again-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    attempt = attempt_of(seed, number, folder, pristine)
    what = f"HANG: more than {HANG:g} s" if hung else f"CRASH: the process ended with {code}"
    outcome = Outcome(next=number + 1, faults=[Fault(number, attempt.kind, what, str(attempt.about))])
    outcome.counts[attempt.kind, what.split(":")[0]] += 1
    report(outcome)
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
