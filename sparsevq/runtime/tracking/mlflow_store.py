"""Where MLflow keeps its runs: which store, whether it answers, made whole, and its experiments."""

import contextlib
import importlib.metadata
import os
import re
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import unwritable, written_whole

LOCAL_FILE_SYSTEMS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "apfs"}
DATABASES = {"postgresql", "mysql", "mssql"}
LOOK_SECONDS = 1.5
"""A server that is well answers in milliseconds; a job should not wait longer for one that is not."""


class Unreachable(Exception):
    """The store does not answer now; it may later."""


def store_uri(settings: TrackingConfig, results: str | Path) -> str:
    """Where runs are kept: the configuration, else ``MLFLOW_TRACKING_URI``, else SQLite in the results folder."""
    uri = settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or default_store(results)
    path = sqlite_file(uri)
    return f"sqlite:///{path.resolve()}" if path else uri


def default_store(results: str | Path) -> str:
    """SQLite in the results folder."""
    return f"sqlite:///{Path(results).resolve()}/mlflow.db"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def without_password(text: str) -> str:
    """A URI, or a text with URIs, as one may show it."""
    return re.sub(r"//[^/@\s]*:[^/@\s]*@", "//***@", text)


def unusable(uri: str, reason: str) -> SparseVQError:
    """The error to raise when the user's store is none."""
    return SparseVQError(
        f"cannot use the MLflow store {without_password(uri)} ({reason})",
        "check tracking.uri and MLFLOW_TRACKING_URI, or set tracking.enabled to false",
    )


def looks_well(uri: str) -> bool:
    """Look at a store without MLflow, whose import takes longer than many a job, and within `LOOK_SECONDS`.

    Returns
    -------
    True if it answers as it should; False if only MLflow can tell (a login, a proxy, a database).

    Raises
    ------
    Unreachable
        No answer.
    SparseVQError
        It can never be used: no such kind of store, or a file that is no database.
    """
    if path := sqlite_file(uri):
        _check_sqlite(path)
        return True
    kind = _kind(uri)
    if kind in ("http", "https") and urlsplit(uri).hostname:
        return _answers(uri)
    plugins = importlib.metadata.entry_points(group="mlflow.tracking_store")
    if kind not in {"databricks", *DATABASES, *(plugin.name for plugin in plugins)}:
        raise unusable(uri, "no such kind of store")
    return False


def _kind(uri: str) -> str:
    return uri.partition(":")[0].partition("+")[0]


def _answers(uri: str) -> bool:
    """Whether a server answers as MLflow's; False if it does not, which may be for want of a login that MLflow has."""
    import requests  # comes with MLflow

    parts = urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    try:
        answer = requests.get(f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=LOOK_SECONDS)
    except requests.RequestException as error:
        away = isinstance(error, requests.ConnectionError | requests.Timeout)
        if away and not isinstance(error, requests.exceptions.SSLError):
            raise Unreachable(str(error)) from None
        return False
    return '"experiment"' in answer.text or "RESOURCE_DOES_NOT_EXIST" in answer.text


def connect(uri: str) -> Any:
    """An `MlflowClient` of the store; a new SQLite store is made first. Not for two processes at once."""
    if path := sqlite_file(uri):
        _prepare_sqlite(path)
    from mlflow import MlflowClient

    if _kind(uri) in DATABASES:
        import sqlalchemy

        sqlalchemy.create_engine(uri).connect().close()  # MLflow would retry for hours
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _check_sqlite(path: Path) -> None:
    """See that the file can be used, or made: MLflow would retry for hours on a damaged one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(13, os.strerror(13))
        if path.exists():
            with contextlib.closing(sqlite3.connect(path, timeout=LOOK_SECONDS)) as database:
                database.execute("PRAGMA schema_version").fetchone()
    except OSError as error:
        raise unwritable(path, error) from None
    except sqlite3.Error as error:
        if "locked" not in str(error):  # else it is in use
            raise SparseVQError(f"{path} cannot be MLflow's store ({error})", "move it away and run again") from None


def _prepare_sqlite(path: Path) -> None:
    """Make the store if there is none.

    A new store appears whole: killed half-way through its migrations, it would fail every later job. Its readers
    don't wait for writers (WAL), unless it is on a network, where WAL corrupts.
    """
    if not path.exists() or path.stat().st_size == 0:
        from mlflow import MlflowClient

        with written_whole(path) as part:
            MlflowClient(tracking_uri=f"sqlite:///{part}", registry_uri=f"sqlite:///{part}").search_experiments()
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal" and _on_local_disk(path.parent):
            database.execute("PRAGMA journal_mode=wal")


def _on_local_disk(folder: Path) -> bool:
    import psutil  # comes with the workflow

    mounts = [mount for mount in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(mount.mountpoint)]
    return bool(mounts) and max(mounts, key=lambda mount: len(mount.mountpoint)).fstype in LOCAL_FILE_SYSTEMS


def experiment_id(client: Any, uri: str, name: str) -> str:
    """The id of the experiment of this name, which is made, or restored if it was deleted."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        path = sqlite_file(uri)
        location = (path.resolve().parent / "mlartifacts" / name).as_uri() if path else None
        return str(client.create_experiment(name, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def folder_id(results: Path) -> str:
    """A name for this results folder, so that two people with the same experiment share a server and not their runs."""
    path = results / ".tracking-id"
    if not path.exists():
        with locked(results):
            if not path.exists():
                with written_whole(path) as part:
                    part.write_text(uuid.uuid4().hex[:12])
    return path.read_text().strip()


@contextlib.contextmanager
def locked(results: Path) -> Iterator[None]:
    """One process of a results folder at a time: to look whether something is in the store, and then make it."""
    path = results / ".tracking.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            yield
    except OSError as error:
        raise unwritable(path, error) from None
