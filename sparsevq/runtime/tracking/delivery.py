"""From a spool to MLflow: each record once, in order, into the job's run and its parent.

What MLflow has is written down after each batch. If the process ends between the two, the batch goes out again, and
changes nothing: a run is known by its attempt, and a metric with the same step, time and value is the same metric.
"""

import errno
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

from sparsevq.errors import SparseVQError
from sparsevq.runtime.tracking.mlflow_store import (
    Unreachable,
    connect,
    experiment_id,
    locked,
    looks_well,
    without_password,
)
from sparsevq.runtime.tracking.spool import History, Progress, Record, Spool

BATCH = {"metrics": 900, "params": 90, "tags": 90}
"""MLflow refuses more in one request."""
STATE_TIME = "sparsevq.state_time"
"""Tag of a parent: when it came into its present state (ms), so that records that come late do not undo later ones."""
NO_ENTRY = re.compile(r"authentication failed|password|pg_hba|access denied|does not exist|unknown database", re.I)
"""How database servers say no for good; what else they say may pass."""


class Refused(Exception):
    """The store is there, and says no."""


class Rejected(Exception):
    """The store takes records, but not this one."""


class Gone(Refused):
    """The run is no longer there."""


def reach(uri: str, spool: Spool) -> Any:
    """An `MlflowClient` of a store that answers.

    Raises
    ------
    Unreachable, Refused, SparseVQError
        There is none.
    """
    try:
        looks_well(uri)  # before the import of MLflow, which would be in vain
        with locked(spool.results):
            client = connect(uri)
        client.search_experiments(max_results=1)
        return client
    except (Unreachable, SparseVQError):
        raise
    except Exception as error:
        found = _classified(error)
        raise (Refused(str(found)) if isinstance(found, Rejected) else found) from error


class Delivery:
    """The records of one spool on their way; the caller holds the spool's lock for couriers.

    Parameters
    ----------
    client
        An `MlflowClient` of the store at `uri`.
    """

    def __init__(self, spool: Spool, client: Any, uri: str):
        self._spool, self._client, self._uri = spool, client, uri
        self._progress = spool.delivered(spool.history())
        self._history = spool.history(until=self._progress.offset)

    def deliver(self) -> int:
        """Deliver what there is; the number of records.

        Raises
        ------
        Unreachable, Refused
            The rest waits, for another `Delivery`.
        """
        try:
            return self._deliver()
        except Gone:  # somebody removed the run, or the whole store: it is made again from the spool
            history = self._spool.history()
            self._keep(Progress(history.attempt, history.start))
            self._history = History()
            return self._deliver()

    def _deliver(self) -> int:
        count = 0
        records = self._spool.read(self._progress.offset)
        for is_metric, group in groupby(records, key=lambda item: item[0]["kind"] == "metric"):
            while part := list(islice(group, BATCH["metrics"] if is_metric else 1)):
                for record, start, _ in part:
                    self._history = self._history.after(record, start)
                if is_metric:
                    points = [point for record, _, _ in part for point in _points(record)]
                    self._log(self._progress.run_id, "metrics", points)
                else:
                    self._take(part[0][0])
                self._keep(replace(self._progress, offset=part[-1][2]))
                count += len(part)
        return count

    def _keep(self, progress: Progress) -> None:
        self._progress = progress
        self._spool.keep(progress)

    # ------------------------------------------------------------------------------------------ kinds of records

    def _take(self, record: Record) -> None:
        kind, run = record["kind"], self._progress.run_id
        if kind == "open":
            self._open(record)
        elif kind == "params":
            self._log_params(record["params"])
        elif kind == "tags":
            self._log(run, "tags", [*record["tags"].items()])
        elif kind == "file":
            self._upload(record["name"])
        elif kind == "end":
            self._end(record)

    def _open(self, record: Record) -> None:
        parent = None
        with locked(self._spool.results):
            # All that looks and then makes: concurrent jobs must not make two parents.
            experiment = self._call(experiment_id, self._client, self._uri, record["experiment"])
            if record["group"]:
                parent = self._parent(experiment, record)
        if record["fresh"] or self._progress.run_id is None:
            run = self._new_run(experiment, parent, record)
        else:
            run = self._progress.run_id
            self._call(self._client.update_run, run, status="RUNNING")
            self._log(run, "tags", [*record["tags"].items()])
        self._keep(replace(self._progress, attempt=self._history.attempt, run_id=run, parent_id=parent))
        self._log_params(record["params"])

    def _new_run(self, experiment: str, parent: str | None, record: Record) -> str:
        """The run of this attempt; earlier ones of the same job are deleted."""
        mine = None
        for run in self._runs(experiment, record["key"]):
            if run.data.tags.get("sparsevq.attempt") == self._history.attempt:
                mine = run.info.run_id
            else:
                self._call(self._client.delete_run, run.info.run_id)
        if mine is None:
            tags = {"sparsevq.job": record["key"], "sparsevq.attempt": self._history.attempt, **record["tags"]}
            if parent is not None:
                tags["mlflow.parentRunId"] = parent
            made = self._call(
                self._client.create_run, experiment, start_time=record["time"], tags=tags, run_name=record["name"]
            )
            mine = made.info.run_id
        return str(mine)

    def _parent(self, experiment: str, record: Record) -> str:
        group, time = record["group"], record["time"]
        key = "/".join((record["folder"], *group.values()))
        for run in self._runs(experiment, key):
            self._set_parent_state(run, "RUNNING", time)
            return str(run.info.run_id)
        tags = {"sparsevq.job": key, STATE_TIME: str(time), **group, **record["origin"]}
        run = self._call(self._client.create_run, experiment, start_time=time, tags=tags, run_name=record["group_name"])
        self._log(run.info.run_id, "params", [*group.items()])
        return str(run.info.run_id)

    def _set_parent_state(self, run: Any, status: str, time: int) -> None:
        if int(run.data.tags.get(STATE_TIME, 0)) > time:
            return
        if status == "RUNNING":
            if run.info.status != status:
                self._call(self._client.update_run, run.info.run_id, status=status)
        else:
            self._call(self._client.set_terminated, run.info.run_id, status, end_time=time)
        self._call(self._client.set_tag, run.info.run_id, STATE_TIME, str(time))

    def _log_params(self, params: dict[str, str]) -> None:
        self._log(self._progress.run_id, "params", [*params.items()])
        if self._progress.parent_id is not None:
            # A sweep is compared between parents: they carry the settings too, as tags, since parameters cannot change.
            self._log(self._progress.parent_id, "tags", [*params.items()])

    def _end(self, record: Record) -> None:
        status, time, parent = record["status"], record["time"], self._progress.parent_id
        self._call(self._client.set_terminated, self._progress.run_id, status, end_time=time)
        opened = self._history.opened
        if parent is None or opened is None or (status == "FINISHED" and not opened["concludes"]):
            return
        if status == "FINISHED":
            self._log(parent, "metrics", _points({"time": time, "step": 0, "values": self._history.figures}))
        with locked(self._spool.results):
            self._set_parent_state(self._call(self._client.get_run, parent), status, time)

    # ------------------------------------------------------------------------------------------ requests

    def _runs(self, experiment: str, key: str) -> list[Any]:
        return list(self._call(self._client.search_runs, [experiment], filter_string=f"tags.`sparsevq.job` = '{key}'"))

    def _log(self, run: str | None, kind: str, items: Sequence[tuple[Any, ...]]) -> None:
        """Log in as few requests as MLflow allows; an item that it will not have is dropped, not the others."""
        from mlflow.entities import Metric, Param, RunTag

        make: Callable[..., Any] = {"metrics": Metric, "params": Param, "tags": RunTag}[kind]
        for first in range(0, len(items), BATCH[kind]):
            part = items[first : first + BATCH[kind]]
            try:
                self._call(self._client.log_batch, run, **{kind: [make(*item) for item in part]})
            except Rejected as error:
                if len(part) == 1:
                    print(f"MLflow did not take {part[0][0]} ({error})", file=sys.stderr, flush=True)
                else:
                    middle = len(part) // 2
                    self._log(run, kind, part[:middle])
                    self._log(run, kind, part[middle:])

    def _upload(self, name: str) -> None:
        """Files may go elsewhere than runs do (a bucket, a disk): if only that fails, other records are delivered."""
        path, run = self._spool.files / name, self._progress.run_id
        request = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        for attempt in (1, 2):
            try:
                self._call(request, run, str(path))
                return
            except (Rejected, Refused, Unreachable) as error:
                self._call(self._client.get_run, run)
                if attempt == 2 or not isinstance(error, Unreachable):
                    print(f"MLflow did not take {path} ({error})", file=sys.stderr, flush=True)
                    return

    def _call(self, request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return request(*arguments, **options)
        except Exception as error:
            raise _classified(error) from error


def _points(record: Record) -> list[tuple[str, float, int, int]]:
    return [(name, value, record["time"], record["step"]) for name, value in record["values"].items()]


def _classified(error: Exception) -> Exception:
    """What an error of MLflow or below it means: try again, give up, drop the record, or start over."""
    text, status = first_line(error), 400
    module = type(error).__module__.partition(".")[0]
    if module == "mlflow":
        code, status = error.error_code, error.get_http_status_code()  # type: ignore[attr-defined]  # MlflowException
        if code == "RESOURCE_DOES_NOT_EXIST" or "must be in the 'active' state" in str(error):
            return Gone(text)
    elif module == "requests":
        status = getattr(getattr(error, "response", None), "status_code", 503)
    elif module in ("sqlalchemy", "sqlite3"):
        may_pass = type(error).__name__ == "OperationalError" and not NO_ENTRY.search(str(error))
        status = 503 if may_pass else 403
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        status = 503
    if status in (401, 403, 404):
        return Refused(text)
    return Rejected(text) if status == 400 else Unreachable(text)


def first_line(error: BaseException) -> str:
    """An error as one line, without passwords."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {without_password(lines[0])[:300]}" if lines else type(error).__name__
