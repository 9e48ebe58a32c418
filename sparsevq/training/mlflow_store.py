"""Where MLflow keeps its runs: which store, made whole, and its experiments."""

import contextlib
import fcntl
import os
import re
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.files import unwritable, written_whole

LOCAL_FILE_SYSTEMS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "apfs"}


def store_uri(settings: TrackingConfig, results: str | Path) -> str:
    """Where runs are kept: the configuration, else ``MLFLOW_TRACKING_URI``, else SQLite in the results folder."""
    return settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(results).resolve()}/mlflow.db"


def without_password(uri: str) -> str:
    """The URI as one may show it."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.username or ''}:{parts.password}@", "***@") if parts.password else uri


def connect(uri: str) -> Any:
    """An `MlflowClient` of the store; a new SQLite store is made first."""
    if uri.startswith("sqlite:///"):
        _prepare_sqlite(Path(uri.removeprefix("sqlite:///")))
    from mlflow import MlflowClient

    if re.match(r"(postgresql|mysql|mssql)", uri):
        import sqlalchemy

        # MLflow retries for hours; once is enough to know.
        sqlalchemy.create_engine(uri).connect().close()
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _prepare_sqlite(path: Path) -> None:
    """Make the store if there is none, and see that it can be used: MLflow would retry for hours on a damaged file.

    A new store appears whole: killed half-way through its migrations, it would fail every later job. Its readers
    don't wait for writers (WAL), unless it is on a network, where WAL corrupts.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            from mlflow import MlflowClient

            with written_whole(path) as part:
                MlflowClient(tracking_uri=f"sqlite:///{part}", registry_uri=f"sqlite:///{part}").search_experiments()
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
            (mode,) = database.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal" and _file_system(path.parent) in LOCAL_FILE_SYSTEMS:
                database.execute("PRAGMA journal_mode=wal")
    except OSError as error:
        raise unwritable(path, error) from None
    except sqlite3.Error as error:
        raise SparseVQError(f"{path} cannot be MLflow's store ({error})", "move it away and run again") from None


def _file_system(folder: Path) -> str:
    """Type of the file system that a folder is on; empty if unknown."""
    best, kind = "", ""
    try:
        for line in Path("/proc/mounts").read_text().splitlines():
            point, of = line.split()[1:3]
            if folder.resolve().is_relative_to(point) and len(point) >= len(best):
                best, kind = point, of
    except OSError:  # not Linux
        pass
    return kind


def experiment_id(client: Any, uri: str, name: str) -> str:
    """The id of the experiment of this name, which is made, or restored if it was deleted."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None
        if uri.startswith("sqlite:///"):
            location = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts" / name).as_uri()
        return str(client.create_experiment(name, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def folder_id(results: Path) -> str:
    """A name for this results folder, so that two people with the same experiment share a server and not their runs."""
    path = results / ".tracking-id"
    if not path.exists():
        path.write_text(uuid.uuid4().hex[:12])
    return path.read_text().strip()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go of the lock when its holder ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise unwritable(path, error) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
