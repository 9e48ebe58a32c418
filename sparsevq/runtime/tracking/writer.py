"""The tracker that writes what a job logs to its spool, and starts the courier that brings it to MLflow."""

import hashlib
import json
import os
import shutil
import socket
import sys
import time
import uuid
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import unwritable
from sparsevq.runtime.tracking.courier import Courier
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.logs import Tracker, say_once
from sparsevq.runtime.tracking.mlflow_store import default_store, folder_id, sqlite_file, unusable, without_password
from sparsevq.runtime.tracking.models import Entry
from sparsevq.runtime.tracking.origin import origin
from sparsevq.runtime.tracking.params import allowed, as_params, split
from sparsevq.runtime.tracking.spool import History, Record, Spool, append, hold, now
from sparsevq.version import VERSION

ANSWER_SECONDS = 15.0  # for the courier to tell whether a store is usable: MLflow's import and a login take 2 s or more
# How long a job that has ended waits for its courier to deliver the rest:
END_SERVER = 10.0  # some requests of a slow server; the job holds a device
END_LOCAL = 60.0  # a store in a file is slow only while many jobs start or end at once, and then for all
END_KILLED = 5.0  # told to end, it is killed by schedulers 10 to 30 s later; its courier may stay a while longer
HELD_SECONDS = 5.0  # a spool's lock may be held by others than the job, which read it


def opened(
    job: Job,
    settings: TrackingConfig,
    results: Path,
    uri: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, str],
    of_parent: Record,
    source: Path | None,
    waits: bool = True,
) -> "SpoolTracker":
    """A tracker with the job's spool, which it has locked and given the record that opens this attempt.

    Parameters
    ----------
    waits
        Whether the job waits at its end until its records are delivered.
    """
    folder = folder_id(results)
    key = "/".join((folder, *job.group.values(), job.rule, job.part))
    spool = Spool.of(results, f"{job.experiment}/{key}")
    handle = _hold(spool, job)
    size = os.fstat(handle.fileno()).st_size
    history, flat = spool.history(), as_params(params)
    store = "" if uri == default_store(results) else without_password(uri)
    settings_of_run = {"params": flat, "inputs": dict(inputs), "version": VERSION, "store": store}
    made_of = hashlib.sha256(json.dumps(settings_of_run, sort_keys=True).encode()).hexdigest()
    fresh = history.opened is None or history.status == "FINISHED" or history.opened["made_of"] != made_of
    before = History() if fresh else history
    new, changed = split(flat, before.params)
    digests = {f"digest.{name}": value for name, value in inputs.items()}
    record = {
        "kind": "open",
        "time": now(),
        "fresh": fresh,
        "attempt": uuid.uuid4().hex if fresh else history.attempt,
        "experiment": job.experiment,
        "key": key,
        "name": job.run_name,
        "folder": folder,
        "experiment_note": job.experiment_note(results),
        **of_parent,
        "tags": {"rule": job.rule, **job.group, **origin(source), **digests, **changed},
        "params": new,
        "store": store,
        "made_of": made_of,
        "system_metrics": settings.system_metrics,
        "process": f"{os.getpid()} on {socket.gethostname()}",
    }
    try:
        append(handle.fileno(), record)
    except OSError as error:
        raise unwritable(spool.path, error) from None
    before.params |= new
    return SpoolTracker(job, uri, spool, handle, before, size, waits)


def end_seconds(uri: str) -> float:
    """How long an ended job, or a workflow, waits until a store has what was logged."""
    return END_SERVER if sqlite_file(uri) is None else END_LOCAL


def with_parent(
    job: Job, shared: Mapping[str, Any], concludes: bool, files: Path | None, source: Path | None
) -> Record:
    """What the record that opens an attempt says of the job's parent, whose source is the workflow."""
    workflow = None if source is None else source.parent.parent.parent / "Snakefile"
    return {
        "group": job.group,
        "group_name": job.parent_name,
        "note": job.note(files),
        "origin": origin(workflow if workflow is not None and workflow.is_file() else source),
        "shared": as_params(shared),
        "concludes": concludes or not job.group,
    }


class SpoolTracker(Tracker):
    """Writes what a job logs to its spool; a courier brings it to MLflow."""

    def __init__(self, job: Job, uri: str, spool: Spool, handle: BinaryIO, before: History, size: int, waits: bool):
        self._job, self._uri, self._spool, self._handle = job, uri, spool, handle
        self._params, self._earlier, self._size, self._waits = before.params, before.metrics, size, waits
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
            say_once(
                f"MLflow at {without_password(self._uri)} does not answer ({self._courier.reason}): the job continues, "
                f"and what it logs waits in {self._spool.path.parent}"
            )
        elif state == "refused":
            self._courier.stop()
            self._spool.abandon(self._size)
            self._handle.close()
            raise unusable(self._uri, self._courier.reason)

    def begin(self) -> None:
        """From here on nobody waits for what the courier says."""
        if not self._waits:
            self._courier.give_way()

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        values = {}
        for name, value in metrics.items():
            name = allowed(name)
            if self._earlier[name, step] > 0:  # an earlier attempt came further than its checkpoint
                self._earlier[name, step] -= 1
            else:
                values[name] = float(value)
        if values:
            self._write(kind="metric", step=step, values=values)

    def log_params(self, params: Mapping[str, Any]) -> None:
        new, changed = split(as_params(params), self._params)
        self._params |= new
        if new:
            self._write(kind="params", params=new)
        if changed:
            self._write(kind="tags", tags=changed)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        self._write(kind="tags", tags=dict(tags))

    def log_artifact(self, path: str | Path) -> None:
        if copy := self._copy(path):
            self._write(kind="file", name=copy)

    def _copy(self, path: str | Path) -> str | None:
        """Copy a file, which may be gone or another one by the time that it is delivered; the copy's name."""
        where = self._spool.files / uuid.uuid4().hex[:8]
        try:
            where.mkdir(parents=True)
            shutil.copy2(path, where / Path(path).name)
        except OSError as error:
            print(f"MLflow gets no copy of {path} ({error.strerror})", file=sys.stderr, flush=True)
            return None
        return f"{where.name}/{Path(path).name}"

    def log_data_sets(self, data_sets: Sequence[Mapping[str, str]], of_parent: bool = True) -> None:
        self._write(kind="inputs", data_sets=[dict(data_set) for data_set in data_sets], of_parent=of_parent)

    def log_model(self, folder: Path, entry: Entry) -> None:
        self._write(kind="model", **entry.record(folder))

    def describe_experiment(self, text: str) -> None:
        self._write(kind="note", text=f"{text}\n\n{self._job.experiment_note(self._spool.results)}")

    def conclude(
        self,
        metrics: Mapping[str, float],
        curves: Mapping[str, Mapping[int, float]] | None = None,
        *,
        headline: str = "",
        files: Sequence[str | Path] = (),
        tables: Sequence[str | Path] = (),
        folder: str = "",
    ) -> None:
        copies = [(self._copy(path), folder, path in tables) for path in (*files, *tables)]
        self._write(
            kind="final",
            values={allowed(name): float(value) for name, value in metrics.items()},
            curves={
                allowed(name): [(int(step), float(value)) for step, value in curve.items()]
                for name, curve in (curves or {}).items()
            },
            headline=headline,
            files=[copy for copy in copies if copy[0] is not None],
        )

    def close(self, status: str) -> None:
        """End the run; the courier delivers the rest, for which the job waits some time if it is to."""
        self._write(kind="end", status=status)
        self._handle.close()
        if status != "KILLED" and not self._waits:
            self._courier.leave()
            return
        patience = END_KILLED if status == "KILLED" else end_seconds(self._uri)
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
