"""What a job logs, on disk before it goes anywhere: an append-only file of JSON lines for each job, in the folder
``.tracking`` of the results.

Beside ``<name>.jsonl`` stand ``<name>.json`` (how far it has been delivered), ``<name>.files/`` (copies of the files
that were logged) and ``<name>.lock`` (held by whoever delivers it). The job holds a lock on the spool itself while it
lives; the kernel releases it however the job ends. One line is one record:

====== ==================================================================================================
kind   content
====== ==================================================================================================
open   an attempt at the job starts: which job, its settings, its store; `fresh` if it starts a new run
params settings that became known later
tags   the same as tags, which may change
inputs data sets that the job reads
metric numbers of one step
file   a file or folder, by its name in ``<name>.files/``
note   a description of the experiment
model  a trained model, which stays where it is, and how it is to be registered
final  what the parent run gets when the job has finished: figures, curves, files, a description
end    how the attempt ended
====== ==================================================================================================

Every record has its `time` (ms since 1970): it reaches MLflow as logged, however late.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import unwritable, written_whole

FOLDER = ".tracking"
Record = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a spool has been delivered."""

    attempt: str = ""  # the `open` record with `fresh` whose run this is
    offset: int = 0  # bytes of the spool that MLflow has
    run_id: str | None = None
    parent_id: str | None = None


@dataclass
class History:
    """What a spool says of the run that its last record belongs to."""

    start: int = 0  # offset of the record that made the run
    opened: Record | None = None  # the last `open` record
    status: str | None = None  # how the last attempt ended, if it did
    attempt: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: Counter[tuple[str, int]] = field(default_factory=Counter)  # how often each (name, step) is there
    final: Record | None = None  # what the parent run is to have

    def after(self, record: Record, start: int) -> "History":
        """With one more record, which starts at `start` (bytes)."""
        kind = record["kind"]
        history = History(start, attempt=record["attempt"]) if kind == "open" and record["fresh"] else self
        if kind == "open":
            history.opened, history.status = record, None
        if kind in ("open", "params"):
            history.params |= record["params"]
        elif kind == "metric":
            history.metrics.update((name, record["step"]) for name in record["values"])
        elif kind == "final":
            history.final = record
        elif kind == "end":
            history.status = record["status"]
        return history


class Spool:
    """One job's records.

    Parameters
    ----------
    path
        ``<results>/.tracking/<name>.jsonl``.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._progress = self.path.with_suffix(".json")
        self.files = self.path.with_suffix(".files")
        self.lock = self.path.with_suffix(".lock")

    @classmethod
    def of(cls, results: Path, key: str) -> "Spool":
        """The spool of the job with this key."""
        return cls(results / FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsonl")

    @property
    def results(self) -> Path:
        return self.path.parent.parent

    def read(self, offset: int = 0) -> Iterator[tuple[Record, int, int]]:
        """Records from `offset` on, each with its start and end (bytes). What was torn by a kill is passed over."""
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                start, offset = offset, offset + len(line)
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        yield record, start, offset

    def history(self, until: int | None = None) -> History:
        """What the records say together, of those before `until` (bytes)."""
        found = History()
        for record, start, end in self.read():
            if until is not None and end > until:
                break
            found = found.after(record, start)
        return found

    def waiting(self) -> int:
        """Number of records that MLflow does not have yet."""
        return sum(1 for _ in self.read(self.delivered(self.history()).offset))

    def progress(self) -> Progress:
        """What `keep` kept; nothing if it is not there or not sound."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Progress(**json.loads(self._progress.read_text()))
        return Progress()

    def delivered(self, history: History) -> Progress:
        """How far the run of `history` has been delivered; records of a run that it replaced count no more."""
        progress = self.progress()
        return progress if progress.attempt == history.attempt else Progress(history.attempt, history.start)

    def keep(self, progress: Progress) -> None:
        """Write down how far the spool has been delivered."""
        with written_whole(self._progress) as part:
            part.write_text(json.dumps(asdict(progress)))

    def settle(self, died: int | None = None) -> bool:
        """Whether the job has ended; if it did so without an `end` record, note that it was killed.

        Parameters
        ----------
        died
            When (ms); None: when it last logged something.
        """
        if (handle := hold(self.path, create=False)) is None:
            return False
        with handle:
            history = self.history()
            if history.opened is not None and history.status is None:
                when = died or int(os.fstat(handle.fileno()).st_mtime * 1000)
                append(handle.fileno(), {"kind": "end", "time": when, "status": "KILLED"})
        return True

    def remove_finished(self) -> None:
        """Remove the spool if its job is finished, all is delivered, and nobody has opened it again.

        That of an unfinished job stays: a rerun resumes the same run.
        """
        if (handle := hold(self.path, create=False)) is None:
            return
        with handle:
            history = self.history()
            delivered = self.delivered(history).offset == os.fstat(handle.fileno()).st_size
            if history.opened is None or (history.status == "FINISHED" and delivered):
                self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.files, ignore_errors=True)
        for path in (self._progress, self.lock, self.path):
            path.unlink(missing_ok=True)

    def abandon(self, size: int) -> None:
        """Take back what was written since the spool had `size` bytes, by the job that holds its lock."""
        if size:
            os.truncate(self.path, size)
        else:
            self._remove()


def spools(results: Path) -> list[Spool]:
    """All spools of a results folder, the one that was written to longest ago first."""
    found: list[tuple[float, Path]] = []
    for path in (results / FOLDER).glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # delivered and removed meanwhile
            found.append((path.stat().st_mtime, path))
    return [Spool(path) for _, path in sorted(found)]


def append(descriptor: int, record: Mapping[str, Any]) -> None:
    """Add a record to a spool, in one write, so that several processes may do so.

    Raises
    ------
    OSError
        The disk is full, or the like.
    """
    line = json.dumps(record).encode() + b"\n"
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a line was torn
        line = b"\n" + line
    written = os.write(descriptor, line)
    if written < len(line):
        os.write(descriptor, line[written:])


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def hold(path: Path, create: bool = True) -> BinaryIO | None:
    """Take the lock on a file, which its holder may remove; None if another process has it or there is no such file."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0), 0o666)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unwritable(path, error) from None
        handle = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
                return handle  # type: ignore[return-value]  # unbuffered, it is a FileIO, which has all of it
        except BlockingIOError:
            handle.close()
            return None
        except FileNotFoundError:
            pass
        except OSError as error:
            handle.close()
            raise SparseVQError(
                f"cannot lock {path} ({error.strerror})", "keep results on a file system with locks (flock)"
            ) from None
        handle.close()
