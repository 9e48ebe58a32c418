"""What the pages of MLflow say of runs and experiments beside their numbers: descriptions, and data sets."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from sparsevq.runtime.tracking.calls import Calls

NOTE = "mlflow.note.content"
OUR_NOTE = "sparsevq.note"
"""Tag: digest of the description that was written last. One that a user has changed since is left alone."""
WITH_RESULT = quote_plus("metrics.`error/relative_l2` > 0")
"""The search for runs that have a result, in an address."""
NOTE_LENGTH = 7500  # MLflow refuses tags of runs above 8000 characters


def note_tags(text: str) -> dict[str, str]:
    """The tags that make a text the description of a run or of an experiment."""
    text = text[:NOTE_LENGTH]
    return {NOTE: text, OUR_NOTE: _digest(text)}


def may_describe(tags: Mapping[str, str]) -> bool:
    """Whether the description is ours to change, or there is none."""
    return not tags.get(NOTE) or _digest(tags[NOTE]) == tags.get(OUR_NOTE)


def describe_experiment(calls: Calls, experiment: Any, text: str) -> None:
    """Describe an experiment, unless a user has; with links to its runs.

    Pages of MLflow 3.17 open as for language models, whatever the kind of the experiment, until a user chooses
    `Model training` at their left: the links do so.
    """
    if may_describe(experiment.tags):
        runs = f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
        links = f"[Runs]({runs}) · [Charts]({runs}&compareRunsMode=CHART&searchFilter={WITH_RESULT})"
        for name, value in note_tags(f"{links} · {text}").items():  # MLflow shows the first line
            calls.call(calls.client.set_experiment_tag, experiment.experiment_id, name, value)


def log_data_sets(calls: Calls, run: str | None, data_sets: Sequence[Mapping[str, str]]) -> None:
    """Log data sets as inputs of a run; those that it has already stay as they are.

    Parameters
    ----------
    data_sets
        Of each `name`, `digest`, `context` (what it is used for), `source_type`, and as JSON `source`, `schema` and
        `profile`.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for data_set in data_sets:
        about = dict(data_set)
        context = InputTag("mlflow.data.context", about.pop("context"))
        inputs.append(DatasetInput(Dataset(**about), [context]))
    calls.call(calls.client.log_inputs, run, datasets=inputs)


def copy_data_sets(calls: Calls, inputs: Any, run: str) -> None:
    """Log the data sets of another run (its `inputs`) as inputs of a run."""
    if inputs is not None and inputs.dataset_inputs:
        calls.call(calls.client.log_inputs, run, datasets=list(inputs.dataset_inputs))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
