"""Trained models on their way into MLflow: logged with the run that they are of, and registered by name, once.

A model is known by a digest of what makes it and by its run's parent. If the courier ends half-way, what is there is
found again; so it is when the job runs again and nothing has changed. A model that has changed, or whose parent run was
replaced since its figures have, is a new version; earlier versions stay, as somebody may serve them.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sparsevq.runtime.files import digest
from sparsevq.runtime.tracking.calls import Calls, Gone, Refused, Rejected
from sparsevq.runtime.tracking.mlflow_store import Unreachable, current_store, locked

KEY = "sparsevq.model"
"""Tag of a logged model and of a version: its content, and its run's parent."""
JOB = "sparsevq.job"
"""Tag of both: the job that made it."""
VERSIONS = "mlflow.modelVersions"
"""Tag of a logged model, by which MLflow's pages show as what it is registered."""
SCORE = "sparsevq.score"
BEST = "best"
"""Alias of the version with the smallest score, of the latest ones of each run."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts: writers of an SQLite store may keep each other out for longer than its own patience."""


@dataclass(frozen=True)
class Entry:
    """How a model is entered in the registry.

    Attributes
    ----------
    registered, about
        Name of the registered model, of which this is a version, and its description (Markdown), once it is made.
    name
        Of the logged model.
    content
        Digest of what of its files makes the model: of two with the same one is registered.
    alias
        Of the latest version of this run.
    note
        Description of the version (Markdown).
    tags, metrics
        Of the version and of the logged model.
    score
        The metric by which the best version is found, the smaller the better; empty: none is.
    """

    registered: str
    about: str
    name: str
    content: str
    alias: str
    note: str
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    score: str = ""

    def record(self, folder: Path) -> dict[str, Any]:
        """What the spool keeps of it. The files, which are large, stay where they are."""
        return {**asdict(self), "path": str(folder.resolve()), "sha256": digest(folder)}


def enter(calls: Calls, results: Path, run: str, parent: str, job: str, record: Mapping[str, Any]) -> None:
    """Log and register the model of a record.

    Parameters
    ----------
    run, parent
        The job's run, which has the model's metrics, and the parent, which shows the model.
    job
        The job's key.

    Raises
    ------
    Unreachable, Gone
        The store is away, or one of the runs is gone. If only the model cannot be taken, that is printed.
    """
    for pause in (*PAUSES, None):
        try:
            _enter(calls, results, run, parent, job, record)
            return
        except (Rejected, Refused, Unreachable) as error:
            calls.call(calls.client.get_run, run)
            if isinstance(error, Gone) and _is_deleted(calls, parent):  # replaced since: the spool begins again
                raise
            if pause is None or not isinstance(error, Unreachable):
                print(f"MLflow did not take the model {record['path']} ({error})", file=sys.stderr, flush=True)
                return
            time.sleep(pause)


def _is_deleted(calls: Calls, run: str) -> bool:
    return bool(calls.call(calls.client.get_run, run).info.lifecycle_stage == "deleted")


def _enter(calls: Calls, results: Path, run: str, parent: str, job: str, record: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric

    key = f"{record['content']} {parent}"
    tags = {**record["tags"], KEY: key, JOB: job}
    if record["score"] in record["metrics"]:
        tags[SCORE] = repr(record["metrics"][record["score"]])
    with locked(results):  # all that looks and then makes
        if not calls.call(calls.client.search_registered_models, f"name = '{record['registered']}'"):
            calls.call(calls.client.create_registered_model, record["registered"], description=record["about"])
    version = next((found for found in _versions(calls, record["registered"]) if found.tags.get(KEY) == key), None)
    if version is None:
        model = _logged(calls, parent, tags, record)
        if model is None:
            return
        made = calls.client.create_model_version
        source, note = f"models:/{model}", record["note"]
        with current_store(calls.client.tracking_uri):
            version = calls.call(
                made, record["registered"], source, run_id=parent, tags=tags, description=note, model_id=model
            )
    model_id = version.source.removeprefix("models:/")
    metrics = [  # of a model that was there already, too: the run may be another
        Metric(name, value, record["time"], 0, model_id=model_id, run_id=run)
        for name, value in record["metrics"].items()
    ]
    calls.call(calls.client.log_batch, run, metrics=metrics)
    shown = json.dumps([{"name": record["registered"], "version": str(version.version)}])
    calls.call(calls.client.set_logged_model_tags, model_id, {VERSIONS: shown})
    with locked(results):
        alias = calls.client.set_registered_model_alias
        calls.call(alias, record["registered"], record["alias"], version.version)
        latest = {found.tags.get(JOB): found for found in _versions(calls, record["registered"])}
        scored = [found for found in latest.values() if SCORE in found.tags]
        if scored:
            best = min(scored, key=lambda found: float(found.tags[SCORE]))
            calls.call(alias, record["registered"], BEST, best.version)


def _versions(calls: Calls, name: str) -> list[Any]:
    """Versions of a registered model, in the order in which they were made."""
    found = calls.call(calls.client.search_model_versions, f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version))


def _logged(calls: Calls, parent: str, tags: Mapping[str, str], record: Mapping[str, Any]) -> str | None:
    """The id of the logged model, with all its files; None: these are no longer as they were."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    client = calls.client
    shown_on = calls.call(client.get_run, parent)
    experiment = shown_on.info.experiment_id
    wanted = f"tags.`{KEY}` = '{tags[KEY]}'"
    found = list(calls.call(client.search_logged_models, [experiment], filter_string=wanted))
    if not found or found[0].status != LoggedModelStatus.READY:
        folder = Path(record["path"])
        if not folder.is_dir() or digest(folder) != record["sha256"]:
            print(f"MLflow gets no copy of {folder} (it has changed since)", file=sys.stderr, flush=True)
            return None
        if not found:
            made = client.create_logged_model
            found = [calls.call(made, experiment, record["name"], parent, dict(tags), model_type="sparsevq")]
        calls.call(client.log_model_artifacts, found[0].model_id, str(folder))
        calls.call(client.finalize_logged_model, found[0].model_id, LoggedModelStatus.READY)
    model = str(found[0].model_id)
    if model not in [output.model_id for output in (shown_on.outputs.model_outputs if shown_on.outputs else ())]:
        calls.call(client.log_outputs, parent, [LoggedModelOutput(model, 0)])
    return model
