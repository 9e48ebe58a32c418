"""One job of the workflow, from the first line of its log to its exit status.

Every script of the workflow does its work within `job`, so that all treat logs, threads, devices, tracking and errors
in the same way.
"""

import atexit
import contextlib
import errno
import functools
import gc
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from sparsevq.config import Config, number_and_placement, parse, variant_of
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.determinism import unordered_sums_named
from sparsevq.runtime.devices.device import Device, Lease, Precision, claim_devices, fabric_for, set_threads
from sparsevq.runtime.devices.gpus import unused
from sparsevq.runtime.devices.processes import is_first, together
from sparsevq.runtime.files import digest, unwritable
from sparsevq.runtime.signals import stop_with_snakemake
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.logs import Tracker
from sparsevq.runtime.tracking.tracker import tracked

if TYPE_CHECKING:
    from sparsevq.runtime.checkpoints import Checkpoints
    from sparsevq.runtime.devices.fabric import Fabric

ALLOCATIONS = 100_000
"""Objects made before Python looks for garbage: with its 700 that takes a tenth of an import of torch."""
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""Faults of the user's disk or folder, wherever they are noticed."""


class RuleCall(Protocol):
    """The object `snakemake` that Snakemake gives a script."""

    rule: str
    input: Any
    output: Any
    params: Any
    wildcards: Any
    resources: Any
    threads: int
    log: Any
    scriptdir: str
    config: dict[str, Any]


@dataclass
class Work:
    """What a job works with: the experiment's configuration, its tracker and, where it trains, its devices."""

    config: Config
    tracker: Tracker
    lease: Lease
    nodes: int = 1
    _checkpoints: "Checkpoints | None" = None
    _first: bool = True  # of the processes that train together

    def fabric(self, precision: Precision) -> "Fabric":
        """The job's devices, as Fabric; it imports torch, which jobs without training do not need."""
        fabric = fabric_for(self.lease, precision, nodes=self.nodes, deterministic=self.config.resources.deterministic)
        self._first = fabric.is_global_zero
        self.tracker.log_params(
            {"device": str(fabric.device), "devices": fabric.world_size, "precision": fabric._precision.precision}
        )
        if unused():
            self.tracker.log_tags({"gpu_unused": unused()})
        return fabric

    def checkpoints(self, model: Path) -> "Checkpoints":
        """Where the training of a model keeps its state until the job has succeeded.

        It is not an output of the rule, since the workflow removes the outputs of a job that failed.
        """
        from sparsevq.runtime.checkpoints import Checkpoints

        folder = model.parent.parent / "checkpoints" / model.parent.name
        self._checkpoints = Checkpoints(folder, self.config.resources.checkpoint_minutes)
        return self._checkpoints

    def finish(self) -> None:
        """Remove what only an interrupted job needs."""
        if self._checkpoints is not None and self._first:
            self._checkpoints.clear()
            with contextlib.suppress(OSError):  # other trainings of this run have theirs
                self._checkpoints.folder.parent.rmdir()


@contextlib.contextmanager
def job(call: RuleCall, *, part: str = "", concludes: bool = False) -> Iterator[Work]:
    """Frame of a rule's work, which is done in the block.

    The log file gets everything that the process and its children print; the console gets what the work prints to
    the standard output, each line after the job's name. A `SparseVQError` becomes one line and exit status 1.

    Parameters
    ----------
    call
        The object `snakemake` of a script.
    part
        Distinguishes the jobs of one rule, such as shards.
    concludes
        This is the last job of its data set or (data set, number of sensors, seed).
    """
    gc.set_threshold(ALLOCATIONS)  # before the imports of the work
    atexit.register(gc.freeze)  # otherwise the interpreter collects garbage for half a second at its end
    config = parse(Config, call.config, "configuration")
    config = config.of_variant(variant_of(dict(call.wildcards.items()).get("num_sensors", "")))
    identity = _identity(call, config.experiment, part)
    with _logged(Path(call.log[0]), identity) as console:
        try:
            set_threads(call.threads)
            stop_with_snakemake()
            gpus = gpus_of(call.resources)
            # `gpu` is what the scheduler counts, of all nodes; `processes` are those of each, on the CPU too.
            processes = int(call.resources.get("processes", max(1, gpus)))
            device: Device = config.resources.device if gpus else "cpu"
            lease = claim_devices(device, processes, jobs_per_gpu=config.resources.jobs_per_gpu)
            files = {name: Path(path) for name, path in call.input.items() if isinstance(path, str)}
            with (
                tracked(
                    identity,
                    config.tracking,
                    config.results,
                    params={**identity.group, **dict(call.params.items())},
                    shared={name: value for name, value in call.params.items() if isinstance(value, Mapping)},
                    inputs={name: digest(path) for name, path in files.items()} if config.tracking.enabled else {},
                    concludes=concludes,
                    source=_script(call),
                    files=Path(call.log[0]).parent.parent,
                    # The workflow waits at its end. SLURM ends what a job leaves behind.
                    waits="SLURM_JOB_ID" in os.environ,
                ) as tracker,
                together(functools.partial(_both, console)),
                unordered_sums_named(),
            ):
                tracker.log_params({"threads": call.threads})  # with others, a rerun still continues the same run
                since = time.perf_counter()
                work = Work(config, tracker, lease, int(call.resources.get("nodes", 1)))
                yield work
                work.finish()
                with contextlib.suppress(OSError):  # read by benchmarks/workflow_overhead.py alone
                    print(f"worked {time.perf_counter() - since:.2f} s", file=sys.stderr, flush=True)
        except Exception as error:
            _both(console, _last_line(error, identity.name, config.results, call.log[0]))
            raise SystemExit(1) from None


def gpus_of(resources: Any) -> int:
    """GPUs that a job was given, all its nodes together; 1 for the share of one that a profile asks SLURM for."""
    share = re.search(r"\b(gpu|shard|mps)\b", str(resources.get("gres", "")))
    return int(resources.get("gpu", 0)) or int(share is not None)


def _last_line(error: Exception, name: str, results: Path, log: str) -> str:
    """What the console and the log are told of the error that ended a job."""
    if isinstance(error, SparseVQError):
        return f"error in {name}: {error}"
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return f"error in {name}: {unwritable(error.filename or results, error)}"
    traceback.print_exc()
    return f"bug in {name}: {type(error).__name__}: {error} (traceback in {log})"


def _script(call: RuleCall) -> Path:
    """The script that does the work, of which Snakemake started a copy: ``.snakemake/scripts/tmp<...>.<name>.py``."""
    name = Path(sys.argv[0]).name
    return Path(call.scriptdir).resolve() / (name.partition(".")[2] if name.startswith("tmp") else name)


def _identity(call: RuleCall, experiment: str, part: str) -> Job:
    wildcards = dict(call.wildcards.items())
    seed = int(wildcards["seed"]) if "seed" in wildcards else None
    number, placement, variant = None, "", ""
    if "num_sensors" in wildcards:
        number, placement = number_and_placement(wildcards["num_sensors"])
        variant = variant_of(wildcards["num_sensors"])
    return Job(
        experiment,
        call.rule,
        wildcards.get("data_set"),
        number,
        seed,
        part,
        placement=placement or None,
        variant=variant or None,
    )


def _both(console: TextIO, line: str) -> None:
    with contextlib.suppress(OSError):  # on a full disk only the console can say so
        print(line, file=sys.stderr, flush=True)
    print(line, file=console, flush=True)


@contextlib.contextmanager
def _logged(path: Path, identity: Job) -> Iterator[TextIO]:
    """Send all output to the log by its file descriptor, so that nothing is lost when the process is killed."""
    first = is_first()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if first else 0), 0o666)
    except OSError as error:
        print(f"error in {identity.name}: {unwritable(path, error)}", file=sys.stderr)
        raise SystemExit(1) from None
    sys.stdout.flush()
    sys.stderr.flush()
    console = os.fdopen(os.dup(2), "w", buffering=1)
    saved = os.dup(1), os.dup(2)
    stdout = sys.stdout
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        with contextlib.ExitStack() as others:
            if first:
                sys.stdout = _Tee(log, console, identity)  # type: ignore[assignment]  # has what print needs
            else:  # they would print the same
                sys.stdout = others.enter_context(open(os.devnull, "w"))
            yield console
    finally:
        sys.stdout = stdout
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        for target, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.close(log)
        console.close()


class _Tee:
    """A text stream that writes to the log and, line by line after a prefix, to the console."""

    encoding = "utf-8"
    errors = "strict"

    def __init__(self, log: int, console: TextIO, identity: Job):
        self._log, self._console, self._line = log, console, ""
        self._prefix = " ".join(part for part in (identity.group_name, identity.name) if part)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):  # the work reports a full disk better when it writes its results
            os.write(self._log, text.encode())
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line.strip():
                self._console.write(f"{self._prefix} | {line}\n")
        return len(text)

    def flush(self) -> None:
        self._console.flush()

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._log
