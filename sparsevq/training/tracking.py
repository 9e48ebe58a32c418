"""The one place that talks to MLflow: every job is one run, and runs that belong together share a parent.

A job is known by its identity: results folder, experiment, data set, number of sensors, seed, rule. Running it again
replaces its run, so that a killed job leaves nothing beside the good one. Runs of one (data set, number of sensors,
seed) are children of one parent, which holds the final figures, because that is what a person compares in charts.

Without mlflow, everything works but the tracking.
"""

import contextlib
import functools
import os
import re
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.training.mlflow_store import connect, experiment_id, folder_id, locked, store_uri, without_password
from sparsevq.training.signals import Terminated, handled_signals, sigterm_ignored
from sparsevq.version import VERSION

FLUSH_SECONDS = 5.0  # a write costs 10 ms alone and 100 ms among four writers, so metrics are written in batches
BATCH_METRICS, BATCH_PARAMS, PARAM_LENGTH = 900, 90, 6000  # MLflow refuses more
ENVIRONMENT = {  # the user's own settings win
    # An unreachable server is an error within a minute.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "PGCONNECT_TIMEOUT": "10",
    # Nothing is looked up outside, and what MLflow does by itself is no news in a job's log.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}


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
        fields = {"data_set": self.data_set, "num_sensors": self.num_sensors, "seed": self.seed}
        return {key: str(value) for key, value in fields.items() if value is not None}

    @property
    def group_name(self) -> str:
        group = self.group
        name = group.get("data_set", "")
        return " ".join([name, *(f"{key} {group[key]}" for key in ("num_sensors", "seed") if key in group)])


class Tracker:
    """What a job may log. This one drops everything; `tracked` gives one that logs to MLflow."""

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers that belong to one step."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings; nested ones get dotted names."""

    def log_artifact(self, path: str | Path) -> None:
        """Keep a copy of a file with the run."""

    def log_artifacts(self, folder: str | Path) -> None:
        """Keep a copy of a folder's files with the run."""

    def conclude(self, metrics: Mapping[str, float]) -> None:
        """Give the parent run its final figures, and end it when this job ends."""


NullTracker = Tracker


@contextlib.contextmanager
def tracked(
    job: Job,
    settings: TrackingConfig,
    results: str | Path,
    *,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | None = None,
    concludes: bool = False,
) -> Iterator[Tracker]:
    """Track what happens in the block as the run of `job`.

    The run ends as FINISHED, FAILED (an exception) or KILLED (SIGTERM or Ctrl-C). An earlier run of the same job is
    deleted first.

    Parameters
    ----------
    results
        Folder of the results: holds the default store, the lock and the name of this folder in a shared store.
    params
        Settings, nested ones allowed.
    inputs
        Name -> SHA-256 of what the job reads.
    concludes
        This is the last job of its parent, which ends with it.

    Raises
    ------
    SparseVQError
        The store cannot be reached or written.
    """
    with handled_signals():
        if _is_secondary():
            yield Tracker()
            return
        if not settings.enabled:
            yield Tracker()
            return
        if find_spec("mlflow") is None:
            _say_once("tracking is off: mlflow is not installed (pip install 'sparsevq[workflow]')")
            yield Tracker()
            return
        tracker = _MLflowTracker.open(job, settings, Path(results), concludes)
        status = "FAILED"
        try:
            tracker.begin(params or {}, tags or {}, inputs or {}, settings.system_metrics)
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


class _MLflowTracker(Tracker):
    def __init__(self, client: Any, run_id: str, parent_id: str | None, uri: str, concludes: bool):
        self._client, self._run_id, self._parent_id, self._uri = client, run_id, parent_id, uri
        self._concludes = concludes
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()
        self._monitor: Any = None
        self._figures: dict[str, float] = {}

    @classmethod
    def open(cls, job: Job, settings: TrackingConfig, results: Path, concludes: bool) -> Self:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        uri = store_uri(settings, results)
        try:
            with locked(results / ".tracking.lock"):
                # Everything that looks and then writes is under the lock: concurrent jobs must not migrate a new
                # store at once, nor make two parents.
                client = connect(uri)
                experiment = experiment_id(client, uri, job.experiment)
                folder = folder_id(results)
                parent = _parent(client, experiment, folder, job) if job.group else None
                key = "/".join((folder, *job.group.values(), job.rule, job.part))
                for earlier in _runs(client, experiment, key):
                    client.delete_run(earlier.info.run_id)
                tags = {"sparsevq.job": key, "rule": job.rule, **job.group, **_origin()}
                if parent is not None:
                    tags["mlflow.parentRunId"] = parent
                run = client.create_run(experiment, tags=tags, run_name=job.name).info.run_id
        except SparseVQError:
            raise
        except Exception as error:
            raise SparseVQError(
                f"cannot use the MLflow store {without_password(uri)} ({_first_line(error)})",
                "check tracking.uri and MLFLOW_TRACKING_URI, or set tracking.enabled to false",
            ) from error
        return cls(client, run, parent, uri, concludes)

    def begin(
        self, params: Mapping[str, Any], tags: Mapping[str, str], inputs: Mapping[str, str], system_metrics: bool
    ) -> None:
        if system_metrics and find_spec("psutil") is not None:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self._monitor = SystemMetricsMonitor(self._run_id, tracking_uri=self._uri)
            self._monitor.start()
        self.log_params(params)
        with self._tolerated():
            from mlflow.entities import RunTag

            digests = {f"digest.{name}": value for name, value in inputs.items()}
            self._client.log_batch(self._run_id, tags=[RunTag(k, str(v)) for k, v in {**tags, **digests}.items()])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(_allowed(name), float(value), now, step) for name, value in metrics.items()]
        if time.monotonic() - self._flushed > FLUSH_SECONDS or len(self._waiting) >= BATCH_METRICS:
            self._flush()

    def log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        flat = [Param(_allowed(name), str(value)[:PARAM_LENGTH]) for name, value in flatten(params).items()]
        with self._tolerated():
            for first in range(0, len(flat), BATCH_PARAMS):
                self._client.log_batch(self._run_id, params=flat[first : first + BATCH_PARAMS])
        if self._parent_id is not None:
            self._tag_parent(flat)

    def _tag_parent(self, params: list[Any]) -> None:
        """A sweep is compared between parents: they carry the settings too, as tags, since parameters cannot change."""
        from mlflow.entities import RunTag

        with self._tolerated():
            for first in range(0, len(params), BATCH_PARAMS):
                tags = [RunTag(param.key, param.value) for param in params[first : first + BATCH_PARAMS]]
                self._client.log_batch(self._parent_id, tags=tags)

    def log_artifact(self, path: str | Path) -> None:
        with self._tolerated():
            self._client.log_artifact(self._run_id, str(path))

    def log_artifacts(self, folder: str | Path) -> None:
        with self._tolerated():
            self._client.log_artifacts(self._run_id, str(folder))

    def conclude(self, metrics: Mapping[str, float]) -> None:
        self.log_metrics(metrics)
        self._figures |= metrics

    def close(self, status: str) -> None:
        self._flush()
        if self._monitor is not None:
            self._monitor.finish()
            with self._tolerated():  # it samples every 10 s: the last piece, which is all of a short job
                self._monitor.collect_metrics()
                self._monitor.publish_metrics(self._monitor.aggregate_metrics())
                self._monitor.mlflow_logger.flush()
        with self._tolerated():
            self._client.set_terminated(self._run_id, status)
            if self._parent_id is not None and (self._concludes or status != "FINISHED"):
                if self._figures and status == "FINISHED":
                    from mlflow.entities import Metric

                    now = int(time.time() * 1000)
                    figures = [Metric(_allowed(k), float(v), now, 0) for k, v in self._figures.items()]
                    self._client.log_batch(self._parent_id, metrics=figures)
                self._client.set_terminated(self._parent_id, status)

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        with self._tolerated():
            while self._waiting:
                self._client.log_batch(self._run_id, metrics=self._waiting[:BATCH_METRICS])
                del self._waiting[:BATCH_METRICS]

    @contextlib.contextmanager
    def _tolerated(self) -> Iterator[None]:
        """Once a job works, hours of training are worth more than its record: keep going, and say so."""
        try:
            yield
        except Exception as error:
            warnings.warn(f"MLflow did not take a record ({_first_line(error)})", RuntimeWarning, stacklevel=3)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _parent(client: Any, experiment: str, folder: str, job: Job) -> str:
    from mlflow.entities import Param

    key = "/".join((folder, *job.group.values()))
    for run in _runs(client, experiment, key):
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)
    tags = {"sparsevq.job": key, **job.group, **_origin()}
    run = client.create_run(experiment, tags=tags, run_name=job.group_name)
    client.log_batch(run.info.run_id, params=[Param(name, value) for name, value in job.group.items()])
    return str(run.info.run_id)


def _runs(client: Any, experiment: str, key: str) -> list[Any]:
    return list(client.search_runs([experiment], filter_string=f"tags.`sparsevq.job` = '{key}'"))


# ------------------------------------------------------------------------------------------------ small parts


@functools.cache
def _origin() -> dict[str, str]:
    """Which code made a run."""
    here = Path(__file__).resolve().parent
    origin = {"sparsevq_version": VERSION, "mlflow.user": os.environ.get("USER", "unknown")}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        commit = subprocess.run(
            ("git", "-C", str(here), "rev-parse", "HEAD"), capture_output=True, text=True, check=True, timeout=10
        )
        changes = subprocess.run(
            ("git", "-C", str(here), "status", "--porcelain", "--untracked-files=no"),
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        origin["mlflow.source.git.commit"] = origin["git_commit"] = commit.stdout.strip()
        origin["git_clean"] = str(not changes.stdout.strip()).lower()
    return origin


@functools.cache
def _say_once(message: str) -> None:
    print(message, flush=True)


def _is_secondary() -> bool:
    """Of the processes that train together, the first one tracks."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0"


def _allowed(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {without_password(lines[0])[:300]}" if lines else type(error).__name__
