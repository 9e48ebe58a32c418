"""From a spool to MLflow: each record once, in order, into the job's run and its parent.

What MLflow has is written down after each batch. If the process ends between the two, the batch goes out again, and
changes nothing: a run is known by its attempt, and a metric with the same step, time and value is the same metric.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

from sparsevq.runtime.tracking.calls import BATCH, Calls, Gone, points
from sparsevq.runtime.tracking.descriptions import NOTE, describe_experiment, log_data_sets
from sparsevq.runtime.tracking.mlflow_store import experiment_of, locked
from sparsevq.runtime.tracking.models import enter
from sparsevq.runtime.tracking.parents import Parent
from sparsevq.runtime.tracking.spool import History, Progress, Record, Spool


class Delivery:
    """The records of one spool on their way; the caller holds the spool's lock for couriers.

    Parameters
    ----------
    client
        An `MlflowClient` of the store at `uri`.
    """

    def __init__(self, spool: Spool, client: Any, uri: str):
        self._spool, self._calls, self._uri = spool, Calls(client), uri
        self._progress = spool.delivered(spool.history())
        self._history = spool.history(until=self._progress.offset)
        self._take: dict[str, Callable[[Record], None]] = {
            "open": self._open,
            "params": self._params,
            "tags": self._tags,
            "inputs": self._inputs,
            "file": self._file,
            "note": self._note,
            "model": self._model,
            "end": self._end,
        }

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
                    each = [point for record, *_ in part for point in points(record["values"], *_when(record))]
                    self._calls.log(self._progress.run_id, "metrics", each)
                elif take := self._take.get(part[0][0]["kind"]):
                    take(part[0][0])
                self._keep(replace(self._progress, offset=part[-1][2]))
                count += len(part)
        return count

    def _keep(self, progress: Progress) -> None:
        self._progress = progress
        self._spool.keep(progress)

    @property
    def _parent(self) -> Parent | None:
        found = self._progress.parent_id
        return None if found is None else Parent(self._calls, found)

    # ------------------------------------------------------------------------------------------ kinds of records

    def _open(self, record: Record) -> None:
        parent = None
        with locked(self._spool.results):
            # All that looks and then makes: concurrent jobs must not make two parents.
            calls = self._calls
            experiment = calls.call(experiment_of, calls.client, self._uri, record["experiment"])
            if NOTE not in experiment.tags and record.get("experiment_note"):
                describe_experiment(calls, experiment, record["experiment_note"])
            if record["group_name"]:  # earlier versions have jobs without
                parent = Parent.of(calls, experiment, record)
        if record["fresh"] or self._progress.run_id is None:
            run = self._new_run(experiment.experiment_id, parent, record)
        else:
            run = self._progress.run_id
            calls.call(calls.client.update_run, run, status="RUNNING")
            calls.log(run, "tags", [*record["tags"].items()])
        parent_id = None if parent is None else parent.run_id
        self._keep(replace(self._progress, attempt=self._history.attempt, run_id=run, parent_id=parent_id))
        calls.log(run, "params", [*record["params"].items()])

    def _new_run(self, experiment: str, parent: Parent | None, record: Record) -> str:
        """The run of this attempt; earlier ones of the same job are deleted."""
        calls, mine = self._calls, None
        for run in calls.runs(experiment, "sparsevq.job", record["key"]):
            if run.data.tags.get("sparsevq.attempt") == self._history.attempt:
                mine = run.info.run_id
            else:
                calls.call(calls.client.delete_run, run.info.run_id)
        if mine is None:
            tags = {"sparsevq.job": record["key"], "sparsevq.attempt": self._history.attempt, **record["tags"]}
            if parent is not None:
                tags["mlflow.parentRunId"] = parent.run_id
            made = calls.call(
                calls.client.create_run, experiment, start_time=record["time"], tags=tags, run_name=record["name"]
            )
            mine = made.info.run_id
        return str(mine)

    def _params(self, record: Record) -> None:
        self._calls.log(self._progress.run_id, "params", [*record["params"].items()])
        opened, parent = self._history.opened, self._parent
        if parent is not None and opened is not None:
            rule = opened["tags"].get("rule", opened["name"])
            parent.add_params({f"jobs.{rule}.{name}": value for name, value in record["params"].items()})

    def _tags(self, record: Record) -> None:
        self._calls.log(self._progress.run_id, "tags", [*record["tags"].items()])

    def _inputs(self, record: Record) -> None:
        log_data_sets(self._calls, self._progress.run_id, record["data_sets"])
        if record["of_parent"] and self._progress.parent_id is not None:
            log_data_sets(self._calls, self._progress.parent_id, record["data_sets"])

    def _file(self, record: Record) -> None:
        self._calls.upload(self._progress.run_id, self._spool.files / record["name"])

    def _note(self, record: Record) -> None:
        run = self._calls.call(self._calls.client.get_run, self._progress.run_id)
        experiment = self._calls.call(self._calls.client.get_experiment, run.info.experiment_id)
        describe_experiment(self._calls, experiment, record["text"])

    def _model(self, record: Record) -> None:
        run, parent, opened = self._progress.run_id, self._progress.parent_id, self._history.opened
        if run is not None and parent is not None and opened is not None:
            enter(self._calls, self._spool.results, run, parent, opened["key"], record)

    def _end(self, record: Record) -> None:
        calls, status, time, parent = self._calls, record["status"], record["time"], self._parent
        calls.call(calls.client.set_terminated, self._progress.run_id, status, end_time=time)
        opened = self._history.opened
        if parent is None or opened is None or (status == "FINISHED" and not opened["concludes"]):
            return
        with locked(self._spool.results):
            if status == "FINISHED" and self._history.final is not None:
                parent = parent.concluded(self._history.final, opened, self._spool.files)
                self._keep(replace(self._progress, parent_id=parent.run_id))
            parent.set_state(status, time)


def _when(record: Record) -> tuple[int, int]:
    return record["time"], record["step"]
