"""What a job tells MLflow: every job is one run, and runs that belong together share a parent.

A job is known by its identity: results folder, experiment, data set, number of sensors, seed, rule. Running it again
replaces its run, or resumes it if it did not finish, so that a killed job leaves nothing beside the good one. Runs
of one (data set, number of sensors, seed) are children of one parent, which holds the final figures, because that is
what a person compares in charts.

The job itself only writes to its spool (`spool.py`). A process beside it, the courier (`courier.py`), imports MLflow
and delivers from there (`delivery.py`), now or later. Without mlflow, everything works but the tracking.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import unwritable
from sparsevq.runtime.signals import Terminated, handled_signals, sigterm_ignored
from sparsevq.runtime.tracking.courier import Courier
from sparsevq.runtime.tracking.mlflow_store import (
    Unreachable,
    default_store,
    folder_id,
    looks_well,
    sqlite_file,
    store_uri,
    unusable,
    without_password,
)
from sparsevq.runtime.tracking.spool import History, Spool, append, hold, now
from sparsevq.version import VERSION

PARAM_LENGTH = 6000  # MLflow refuses longer ones
ANSWER_SECONDS = 15.0  # for the courier to tell whether a store is usable: MLflow's import and a login take 2 s or more
# How long a job that has ended waits for its courier to deliver the rest:
END_SERVER = 10.0  # some requests of a slow server; the job holds a device
END_LOCAL = 60.0  # a store in a file is slow only while many jobs start or end at once, and then for all
END_KILLED = 5.0  # told to end, it is killed by schedulers 10 to 30 s later; its courier may stay a while longer
HELD_SECONDS = 5.0  # a spool's lock may be held by others than the job, which read it


@dataclass(frozen=True)
class Job:
    """What a job is, however often it runs.

    Parameters
    ----------
    part
        Tells apart jobs of one rule, such as shards.
    """

    experiment: str
    rule: str
    data_set: str | None = None
    num_sensors: int | None = None
    seed: int | None = None
    part: str = ""

    @property
    def name(self) -> str:
        return f"{self.rule} {self.part}".strip()

    @property
    def group(self) -> dict[str, str]:
        """What its parent run stands for; empty for jobs over the whole experiment, which have no parent."""
        fields = ("data_set", "num_sensors", "seed")
        return {key: str(getattr(self, key)) for key in fields if getattr(self, key) is not None}

    @property
    def group_name(self) -> str:
        return " ".join(value if key == "data_set" else f"{key} {value}" for key, value in self.group.items())


class Tracker:
    """What a job may log. This one drops everything; `tracked` gives one that logs to MLflow."""

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers that belong to one step."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings; nested ones get dotted names."""

    def log_artifact(self, path: str | Path) -> None:
        """Keep a copy of a file with the run."""

    def conclude(self, metrics: Mapping[str, float]) -> None:
        """Give the parent run its final figures, and end it when this job ends."""


@contextlib.contextmanager
def tracked(
    job: Job,
    settings: TrackingConfig,
    results: str | Path,
    *,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    concludes: bool = False,
) -> Iterator[Tracker]:
    """Track what happens in the block as the run of `job`.

    The run ends as FINISHED, FAILED (an exception) or KILLED (SIGTERM, Ctrl-C or an end without notice). If the job
    did not finish, running it again with the same settings and inputs resumes its run; what it logs again is dropped.
    Otherwise an earlier run of the same job is deleted.

    Parameters
    ----------
    results
        Folder of the results: holds the default store, what is on its way to the store, and the name of this folder in
        a shared store.
    params
        Settings, nested ones allowed.
    inputs
        Name -> SHA-256 of what the job reads.
    concludes
        This is the last job of its parent, which ends with it.

    Raises
    ------
    SparseVQError
        The store can never be used, or the results folder cannot be written. No answer is no error.
    """
    with handled_signals():
        if not settings.enabled or _is_secondary():
            yield Tracker()
            return
        if find_spec("mlflow") is None:
            _say_once("tracking is off: mlflow is not installed (pip install 'sparsevq[workflow]')")
            yield Tracker()
            return
        store, certain = store_uri(settings, results), False
        with contextlib.suppress(Unreachable):
            certain = looks_well(store)
        tracker = _opened(job, settings, Path(results), store, params or {}, inputs or {}, concludes)
        if not certain:
            tracker.ask_courier()
        status = "FAILED"
        try:
            yield tracker
            status = "FINISHED"
        except (KeyboardInterrupt, Terminated):
            status = "KILLED"
            raise
        except SystemExit as leave:
            status = "FAILED" if leave.code else "FINISHED"
            raise
        finally:
            with sigterm_ignored():
                tracker.close(status)


def _opened(
    job: Job,
    settings: TrackingConfig,
    results: Path,
    uri: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, str],
    concludes: bool,
) -> "SpoolTracker":
    """A tracker with the job's spool, which it has locked and given the record that opens this attempt."""
    folder = folder_id(results)
    key = "/".join((folder, *job.group.values(), job.rule, job.part))
    spool = Spool.of(results, f"{job.experiment}/{key}")
    handle = _hold(spool, job)
    size = os.fstat(handle.fileno()).st_size
    history, flat = spool.history(), _flat(params)
    store = "" if uri == default_store(results) else without_password(uri)
    settings_of_run = {"params": flat, "inputs": dict(inputs), "version": VERSION, "store": store}
    made_of = hashlib.sha256(json.dumps(settings_of_run, sort_keys=True).encode()).hexdigest()
    fresh = history.opened is None or history.status == "FINISHED" or history.opened["made_of"] != made_of
    before = History() if fresh else history
    new, changed = _split(flat, before.params)
    digests = {f"digest.{name}": value for name, value in inputs.items()}
    record = {
        "kind": "open",
        "time": now(),
        "fresh": fresh,
        "attempt": uuid.uuid4().hex if fresh else history.attempt,
        "experiment": job.experiment,
        "key": key,
        "name": job.name,
        "folder": folder,
        "group": job.group,
        "group_name": job.group_name,
        "origin": _origin(),
        "tags": {"rule": job.rule, **job.group, **_origin(), **digests, **changed},
        "params": new,
        "store": store,
        "made_of": made_of,
        "concludes": concludes,
        "system_metrics": settings.system_metrics,
        "process": f"{os.getpid()} on {socket.gethostname()}",
    }
    try:
        append(handle.fileno(), record)
    except OSError as error:
        raise unwritable(spool.path, error) from None
    before.params |= new
    return SpoolTracker(job, uri, spool, handle, before, size)


class SpoolTracker(Tracker):
    """Writes what a job logs to its spool; a courier brings it to MLflow."""

    def __init__(self, job: Job, uri: str, spool: Spool, handle: BinaryIO, before: History, size: int):
        self._job, self._uri, self._spool, self._handle = job, uri, spool, handle
        self._params, self._earlier, self._size = before.params, before.metrics, size
        self._full_disk_said = False
        self._courier = Courier(spool, uri)
        _trackers.add(self)

    def leave_to_parent(self) -> None:
        """In a forked child: copies of the descriptors would say that the job lives when it is dead."""
        self._handle.close()
        self._courier.leave_to_parent()

    def ask_courier(self) -> None:
        """Ask the courier whether the store can be used, before the work begins; warn if it does not answer.

        Raises
        ------
        SparseVQError
            It can never be used.
        """
        state = self._courier.answer(ANSWER_SECONDS)
        if state == "waits":
            _say_once(
                f"MLflow at {without_password(self._uri)} does not answer ({self._courier.reason}): the job continues, "
                f"and what it logs waits in {self._spool.path.parent}"
            )
        elif state == "refused":
            self._courier.stop()
            self._spool.abandon(self._size)
            self._handle.close()
            raise unusable(self._uri, self._courier.reason)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        values = {}
        for name, value in metrics.items():
            name = _allowed(name)
            if self._earlier[name, step] > 0:  # an earlier attempt came further than its checkpoint
                self._earlier[name, step] -= 1
            else:
                values[name] = float(value)
        if values:
            self._write(kind="metric", step=step, values=values)

    def log_params(self, params: Mapping[str, Any]) -> None:
        new, changed = _split(_flat(params), self._params)
        self._params |= new
        if new:
            self._write(kind="params", params=new)
        if changed:
            self._write(kind="tags", tags=changed)

    def log_artifact(self, path: str | Path) -> None:
        where = self._spool.files / uuid.uuid4().hex[:8]
        try:  # a copy: the file may be gone or another one by the time that it is delivered
            where.mkdir(parents=True)
            shutil.copy2(path, where / Path(path).name)
        except OSError as error:
            print(f"MLflow gets no copy of {path} ({error.strerror})", file=sys.stderr, flush=True)
        else:
            self._write(kind="file", name=f"{where.name}/{Path(path).name}")

    def conclude(self, metrics: Mapping[str, float]) -> None:
        self.log_metrics(metrics)
        self._write(kind="final", values={_allowed(name): float(value) for name, value in metrics.items()})

    def close(self, status: str) -> None:
        """End the run, and give the courier some time to deliver the rest."""
        self._write(kind="end", status=status)
        self._handle.close()
        local = sqlite_file(self._uri) is not None
        patience = END_KILLED if status == "KILLED" else END_LOCAL if local else END_SERVER
        self._courier.finish(patience, leave=status == "KILLED")
        waiting = self._spool.waiting()
        if waiting:
            print(
                f"{waiting} records of {self._job.name} wait for MLflow in {self._spool.path.parent} "
                f"({self._courier.reason}): they are delivered with the next job, or by `sparsevq deliver`",
                flush=True,
            )

    def _write(self, **record: Any) -> None:
        """A full disk must not end hours of training: that is said, and the record is lost."""
        try:
            append(self._handle.fileno(), {"kind": record.pop("kind"), "time": now(), **record})
        except OSError as error:
            if not self._full_disk_said:
                print(f"cannot write {self._spool.path} ({error.strerror}): MLflow misses records", flush=True)
            self._full_disk_said = True


_trackers: "weakref.WeakSet[SpoolTracker]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    for tracker in _trackers:
        tracker.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _hold(spool: Spool, job: Job) -> BinaryIO:
    """The spool, locked."""
    until = time.monotonic() + HELD_SECONDS
    while (handle := hold(spool.path)) is None:
        if time.monotonic() > until:
            process = (spool.history().opened or {}).get("process", "another process")
            message = f"{job.group_name} {job.name} runs already (process {process})"
            raise SparseVQError(message, "wait for it, or end it")
        time.sleep(0.02)
    return handle


def _flat(params: Mapping[str, Any]) -> dict[str, str]:
    return {_allowed(name): str(value)[:PARAM_LENGTH] for name, value in flatten(params).items()}


def _split(params: dict[str, str], known: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters that are new; and as tags, those that have changed since an earlier attempt, which MLflow forbids."""
    new = {name: value for name, value in params.items() if name not in known}
    changed = {f"rerun.{name}": value for name, value in params.items() if known.get(name, value) != value}
    return new, changed


@functools.cache
def _origin() -> dict[str, str]:
    """Which code made a run."""
    origin = {"sparsevq_version": VERSION, "mlflow.user": os.environ.get("USER", "unknown")}
    options = ("--always", "--dirty", "--exclude=*", "--abbrev=40")
    describe = ("git", "-C", str(Path(__file__).parent), "describe", *options)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(describe, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        commit, _, dirty = found.partition("-")
        origin |= {"mlflow.source.git.commit": commit, "git_commit": commit, "git_clean": str(not dirty).lower()}
    return origin


@functools.cache
def _say_once(message: str) -> None:
    print(message, flush=True)


def _is_secondary() -> bool:
    """Of the processes that train together, the first one tracks."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0"


def _allowed(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name)
