"""What a job tells MLflow: every job is one run, and runs that belong together share a parent.

A job is known by its identity: results folder, experiment, data set, number of sensors, seed, rule. Running it again
replaces its run, or resumes it if it did not finish, so that a killed job leaves nothing beside the good one. Runs
of one (data set, number of sensors, seed) are children of one parent, which holds the final figures, because that is
what a person compares in charts.

The job itself only writes to its spool (`spool.py`). A process beside it, the courier (`courier.py`), imports MLflow
and delivers from there (`delivery.py`), now or later. Without mlflow, everything works but the tracking.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sparsevq.config import TrackingConfig
from sparsevq.runtime.signals import Terminated, handled_signals, sigterm_ignored
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.logs import Tracker, say_once
from sparsevq.runtime.tracking.mlflow_store import Unreachable, looks_well, store_uri
from sparsevq.runtime.tracking.writer import opened, with_parent


@contextlib.contextmanager
def tracked(
    job: Job,
    settings: TrackingConfig,
    results: str | Path,
    *,
    params: Mapping[str, Any] | None = None,
    shared: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    concludes: bool = False,
    source: Path | None = None,
    files: Path | None = None,
    waits: bool = True,
) -> Iterator[Tracker]:
    """Track what happens in the block as the run of `job`.

    The run ends as FINISHED, FAILED (an exception) or KILLED (SIGTERM, Ctrl-C or an end without notice). If the job
    did not finish, running it again with the same settings and inputs resumes its run; what it logs again is dropped.
    Otherwise an earlier run of the same job is deleted.

    Parameters
    ----------
    results
        Folder of the results: holds the default store, what is on its way to the store, and the name of this folder in
        a shared store.
    params
        Settings, nested ones allowed.
    shared
        Settings that are its parent's too: of all jobs with this parent, each has one value.
    inputs
        Name -> SHA-256 of what the job reads.
    concludes
        This is the last job of its parent, which ends with it.
    source
        The script that does the job.
    files
        Folder of the results that the parent stands for.
    waits
        At its end the job waits until MLflow has what it logged. Otherwise its courier brings that by itself, when the
        processors are free, and `wait_for_couriers` (`leftovers.py`) waits for those of all jobs.

    Raises
    ------
    SparseVQError
        The store can never be used, or the results folder cannot be written. No answer is no error.
    """
    with handled_signals():
        if not settings.enabled or _is_secondary():
            yield Tracker()
            return
        if find_spec("mlflow") is None:
            say_once("tracking is off: mlflow is not installed (pip install 'sparsevq[workflow]')")
            yield Tracker()
            return
        store, certain = store_uri(settings, results), False
        with contextlib.suppress(Unreachable):
            certain = looks_well(store)
        of_parent = with_parent(job, shared or {}, concludes, files, source)
        tracker = opened(job, settings, Path(results), store, params or {}, inputs or {}, of_parent, source, waits)
        if not certain:
            tracker.ask_courier()
        tracker.begin()
        status = "FAILED"
        try:
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


def _is_secondary() -> bool:
    """Of the processes that train together, the first one tracks."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0"
