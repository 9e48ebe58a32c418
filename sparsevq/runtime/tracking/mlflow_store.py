"""Where MLflow keeps its runs: which store, whether it answers, made whole, and its experiments."""

import contextlib
import importlib.metadata
import os
import re
import socket
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import unwritable, written_whole

LOCAL_FILE_SYSTEMS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "apfs"}
DATABASES = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Database servers that MLflow can keep its runs in, and their ports."""
EXPERIMENT_KIND, MODEL_DEVELOPMENT = "mlflow.experimentKind", "custom_model_development"
GUESSED = ("_inferred", "no_inferred_type")
"""Ends of the kinds that MLflow's pages set by themselves; another one is a user's choice."""
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
    kind, parts = _kind(uri), urlsplit(uri)
    if kind in ("http", "https") and parts.hostname:
        return _within(LOOK_SECONDS, lambda: _answers(uri))
    if kind in DATABASES:
        if parts.hostname:
            where = (parts.hostname, parts.port or DATABASES[kind])
            _within(LOOK_SECONDS, lambda: socket.create_connection(where, LOOK_SECONDS).close())
        return False
    plugins = importlib.metadata.entry_points(group="mlflow.tracking_store")
    if kind not in {"databricks", *(plugin.name for plugin in plugins)}:
        raise unusable(uri, "no such kind of store")
    return False


def _within(seconds: float, look: Callable[[], Any]) -> Any:
    """What `look` returns. Time limits of sockets don't cover names that take long to resolve, nor slow answers."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(look())
        except OSError as error:  # those of requests too
            root: BaseException = error  # "Connection refused", which requests wraps in its own words
            while inner := root.__cause__ or root.__context__:
                root = inner
            found.append(Unreachable(str(root) or type(root).__name__))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    outcome = found[0] if found else Unreachable(f"no answer within {seconds} s")
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _kind(uri: str) -> str:
    return uri.partition(":")[0].partition("+")[0]


def _answers(uri: str) -> bool:
    """Whether a server answers as MLflow's; False if it does not, which may be for want of a login that MLflow has."""
    import requests  # comes with MLflow

    parts = urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    try:
        where = f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0"
        with requests.get(where, timeout=LOOK_SECONDS, stream=True) as answer:
            text = next(answer.iter_content(10_000), b"")
    except requests.exceptions.SSLError:
        return False
    except (requests.ConnectionError, requests.Timeout):
        raise
    except requests.RequestException:  # another kind of server
        return False
    return b'"experiment"' in text or b"RESOURCE_DOES_NOT_EXIST" in text


def connect(uri: str) -> Any:
    """An `MlflowClient` of the store; a new SQLite store is made first. Not for two processes at once."""
    if path := sqlite_file(uri):
        _prepare_sqlite(path)
    from mlflow import MlflowClient

    if _kind(uri) in DATABASES:
        import sqlalchemy

        sqlalchemy.create_engine(uri).connect().close()  # MLflow would retry for hours
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def current_store(uri: str) -> Iterator[None]:
    """MLflow looks models up in the store that is set for the process, whatever store a client was made for."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: as if none had been set


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
        if mode != "wal" and _file_system(path.parent) in LOCAL_FILE_SYSTEMS:
            database.execute("PRAGMA journal_mode=wal")


def _file_system(folder: Path) -> str:
    """Type of the file system that a folder is on; empty if unknown."""
    best, kind = "", ""
    with contextlib.suppress(OSError):  # not Linux
        for line in Path("/proc/mounts").read_text().splitlines():
            point, of = line.split()[1:3]
            if folder.resolve().is_relative_to(point) and len(point) >= len(best):  # the last mount at a point counts
                best, kind = point, of
    return kind


def experiment_of(client: Any, uri: str, name: str) -> Any:
    """The experiment of this name, which is made, or restored if it was deleted.

    It is of the kind that MLflow calls model development.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        path = sqlite_file(uri)
        location = (path.resolve().parent / "mlartifacts" / name).as_uri() if path else None
        tags = {EXPERIMENT_KIND: MODEL_DEVELOPMENT}
        return client.get_experiment(client.create_experiment(name, artifact_location=location, tags=tags))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    kind = experiment.tags.get(EXPERIMENT_KIND, "")
    if not kind or kind.endswith(GUESSED):
        client.set_experiment_tag(experiment.experiment_id, EXPERIMENT_KIND, MODEL_DEVELOPMENT)
    return experiment


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
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        yield
    finally:
        lock.release()
