"""What a job may log, whether or not anybody keeps it."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsevq.runtime.tracking.models import Entry


class Tracker:
    """What a job may log. This one drops everything; `tracked` gives one that logs to MLflow."""

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers that belong to one step."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings; nested ones get dotted names."""

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Log what is to be noticed of this attempt."""

    def log_artifact(self, path: str | Path) -> None:
        """Keep a copy of a file with the run."""

    def log_data_sets(self, data_sets: Sequence[Mapping[str, str]], of_parent: bool = True) -> None:
        """Log what the job reads, and so its parent, unless another of its jobs made it.

        Of each data set `name`, `digest` (at most 36 characters), `context` (what it is used for), `source_type`, and
        as JSON `source`, `schema` and `profile`.
        """

    def log_model(self, folder: Path, entry: Entry) -> None:
        """Log the folder of an MLflow model with the parent run, and register it; it is not copied."""

    def describe_experiment(self, text: str) -> None:
        """Describe the experiment (Markdown), before what is always said of it, unless a user has described it."""

    def conclude(
        self,
        metrics: Mapping[str, float],
        curves: Mapping[str, Mapping[int, float]] | None = None,
        *,
        headline: str = "",
        files: Sequence[str | Path] = (),
        tables: Sequence[str | Path] = (),
        folder: str = "",
    ) -> None:
        """Give the parent run, once this job has finished, what is to be seen of the result.

        Parameters
        ----------
        metrics, curves
            Numbers, and numbers by step.
        headline
            What is said of it in the description.
        files, tables
            Files to keep, in a folder of the parent's artefacts; tables are JSON as MLflow's `log_table` writes it.
        """


@functools.cache
def say_once(message: str) -> None:
    """Print a line, once in this process."""
    print(message, flush=True)
