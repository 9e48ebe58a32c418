"""The parent of the runs of one (data set, number of sensors, seed): what a person looks at and compares.

It has the settings of all its jobs as parameters, their data sets, the state of the latest of them, and the final
figures. MLflow's parameters cannot change and its curves only grow, so the parent is replaced when a setting, the data
set or the final figures change: a new run takes over what still holds, and the children.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsevq.runtime.tracking.calls import Calls, points
from sparsevq.runtime.tracking.descriptions import NOTE, OUR_NOTE, copy_data_sets, may_describe, note_tags
from sparsevq.runtime.tracking.spool import Record

KEY = "sparsevq.job"
STATE_TIME = "sparsevq.state_time"
"""Tag: when it came into its present state (ms), so that records that come late do not undo later ones."""
FINAL = "sparsevq.final."
"""Tag of each rule that concluded: digest of the figures that it gave."""
DATA = "digest.data"
TABLES = "mlflow.loggedArtifacts"
"""Tag: the artefacts that MLflow shows as tables, and compares between runs."""
OF_THIS_RUN = ("mlflow.run", NOTE, OUR_NOTE, TABLES, "mlflow.log-model", STATE_TIME, FINAL, "rerun.", DATA)
"""Tags (their beginnings) that a parent's successor does not take over."""


class Parent:
    """One parent run, of which only the id is known for certain."""

    def __init__(self, calls: Calls, run_id: str):
        self._calls, self.run_id = calls, run_id

    @classmethod
    def of(cls, calls: Calls, experiment: Any, record: Record) -> "Parent":
        """The parent of a job that opens, RUNNING, with the settings of the job; made if there is none."""
        settings, time = record.get("shared", {}), record["time"]
        key = "/".join((record["folder"], *record["group"].values()))
        found = sorted(calls.runs(experiment.experiment_id, KEY, key), key=lambda run: int(run.info.start_time))
        if not found:
            # That of the whole experiment begins with it, and so stands below the others, which have what is compared.
            start = time if record["group"] else experiment.creation_time
            return _made(calls, experiment.experiment_id, record, {KEY: key, STATE_TIME: str(time)}, start)
        *replaced, run = found
        parent, params = cls(calls, run.info.run_id), run.data.params
        if replaced:  # somebody was interrupted
            for old in replaced:
                _hand_over(calls, old, parent.run_id, params)
            return cls.of(calls, experiment, record)
        if _state_time(run) <= time:
            data = record["tags"].get(DATA)
            same_data = data in (None, run.data.tags.get(DATA, data))
            changed = {name for name, value in settings.items() if params.get(name, value) != value}
            if changed or not same_data or OUR_NOTE not in run.data.tags:  # the last: of an earlier version
                rule = f"jobs.{_rule(record)}."
                drop = {*settings, *(name for name in params if name.startswith(rule))}
                return _instead_of(calls, run, record, drop, same_data)
            if data is not None and DATA not in run.data.tags:
                calls.call(calls.client.set_tag, parent.run_id, DATA, data)
        parent._change_state(run, "RUNNING", time)
        calls.log(parent.run_id, "params", [pair for pair in settings.items() if pair[0] not in params])
        return parent

    def add_params(self, params: Mapping[str, str]) -> None:
        """Settings that became known later, such as devices; one that was different before becomes a tag."""
        known = self._calls.call(self._calls.client.get_run, self.run_id).data.params
        new = [pair for pair in params.items() if pair[0] not in known]
        changed = [(f"rerun.{name}", value) for name, value in params.items() if known.get(name, value) != value]
        self._calls.log(self.run_id, "params", new)
        self._calls.log(self.run_id, "tags", changed)

    def set_state(self, status: str, time: int) -> None:
        """Set how the latest job ended, at a time (ms), unless a later one has started."""
        self._change_state(self._calls.call(self._calls.client.get_run, self.run_id), status, time)

    def _change_state(self, run: Any, status: str, time: int) -> None:
        calls = self._calls
        if _state_time(run) > time:
            return
        if status != "RUNNING":
            calls.call(calls.client.set_terminated, self.run_id, status, end_time=time)
        elif run.info.status != status:
            calls.call(calls.client.update_run, self.run_id, status=status)
        calls.call(calls.client.set_tag, self.run_id, STATE_TIME, str(time))

    def concluded(self, final: Record, opened: Record, files: Path) -> "Parent":
        """The parent with the figures, files and tables that a job concluded with.

        Parameters
        ----------
        final, opened
            The records of that kind of the job.
        files
            Folder of the files that the job logged.
        """
        calls, rule = self._calls, _rule(opened)
        run = calls.call(calls.client.get_run, self.run_id)
        figures = {"values": final["values"], "curves": final.get("curves", {})}
        digest = hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()[:16]
        before = run.data.tags.get(FINAL + rule)
        parent = self if before in (None, digest) else _instead_of(calls, run, opened, set(), same_data=True)
        if before != digest:
            each = points(figures["values"], final["time"], 0)
            for name, curve in figures["curves"].items():
                each += [(name, value, final["time"], step) for step, value in curve]
            calls.log(parent.run_id, "metrics", each)
            calls.call(calls.client.set_tag, parent.run_id, FINAL + rule, digest)
        tables = set(_tables(run) if parent is self else ())
        for name, folder, is_table in final.get("files", ()):
            if calls.upload(parent.run_id, files / name, folder) and is_table:
                tables.add("/".join(filter(None, (folder, Path(name).name))))
        if tables:
            listed = json.dumps([{"path": path, "type": "table"} for path in sorted(tables)])
            calls.call(calls.client.set_tag, parent.run_id, TABLES, listed)
        if final.get("headline") and (parent is not self or may_describe(run.data.tags)):
            text = f"{final['headline']}\n\n{opened.get('note', '')}".strip()
            calls.log(parent.run_id, "tags", [*note_tags(text).items()])
        return parent


def _made(calls: Calls, experiment: str, record: Record, before: Mapping[str, str], start: int) -> Parent:
    """A new parent for the job that opened with a record, with the tags of the one before and a start time (ms)."""
    data = {DATA: record["tags"][DATA]} if DATA in record["tags"] else {}
    tags = {**before, **record["group"], **record["origin"], **note_tags(record.get("note", "")), **data}
    name = record["group_name"]
    made = calls.call(calls.client.create_run, experiment, start_time=start, tags=tags, run_name=name)
    calls.log(made.info.run_id, "params", [*{**record["group"], **record.get("shared", {})}.items()])
    return Parent(calls, made.info.run_id)


def _instead_of(calls: Calls, run: Any, record: Record, drop: set[str], same_data: bool) -> Parent:
    """A new parent that takes over the children and what still holds: other parameters than those to `drop`."""
    tags = {name: value for name, value in run.data.tags.items() if not name.startswith(OF_THIS_RUN)}
    tags[STATE_TIME] = str(max(_state_time(run), record["time"]))
    if OUR_NOTE not in run.data.tags:  # earlier versions had settings as tags
        tags = {name: tags[name] for name in (KEY, STATE_TIME)}
    parent = _made(calls, run.info.experiment_id, record, tags, max(record["time"], run.info.start_time + 1))
    if same_data:
        copy_data_sets(calls, run.inputs, parent.run_id)
        if DATA in run.data.tags:
            calls.call(calls.client.set_tag, parent.run_id, DATA, run.data.tags[DATA])
    _hand_over(calls, run, parent.run_id, {*record["group"], *record.get("shared", {}), *drop})
    return parent


def _hand_over(calls: Calls, old: Any, heir: str, known: Mapping[str, str] | set[str]) -> None:
    """Give a run's parameters, but for those that its heir has, and its children to the heir; and delete it."""
    calls.log(heir, "params", [pair for pair in old.data.params.items() if pair[0] not in known])
    for child in calls.runs(old.info.experiment_id, "mlflow.parentRunId", old.info.run_id):
        calls.call(calls.client.set_tag, child.info.run_id, "mlflow.parentRunId", heir)
    calls.call(calls.client.delete_run, old.info.run_id)


def _state_time(run: Any) -> int:
    return int(run.data.tags.get(STATE_TIME, 0))


def _rule(record: Record) -> str:
    return str(record["tags"].get("rule", record["name"]))


def _tables(run: Any) -> list[str]:
    return [table["path"] for table in json.loads(run.data.tags.get(TABLES, "[]"))]
