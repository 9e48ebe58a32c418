"""Calls to MLflow: in the sizes that it takes, with its errors sorted by what is to be done about them."""

import errno
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sparsevq.errors import SparseVQError
from sparsevq.runtime.tracking.mlflow_store import Unreachable, connect, locked, looks_well, without_password
from sparsevq.runtime.tracking.spool import Spool

BATCH = {"metrics": 900, "params": 90, "tags": 90}
"""MLflow refuses more in one request."""
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
        found = classified(error)
        raise (Refused(str(found)) if isinstance(found, Rejected) else found) from error


class Calls:
    """What a store is asked.

    Parameters
    ----------
    client
        An `MlflowClient`.
    """

    def __init__(self, client: Any):
        self.client = client

    def call(self, request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the client.

        Raises
        ------
        Unreachable, Refused, Rejected, Gone
        """
        try:
            return request(*arguments, **options)
        except Exception as error:
            raise classified(error) from error

    def runs(self, experiment: str, tag: str, value: str) -> list[Any]:
        """Runs with a tag of this value that are not deleted."""
        return list(self.call(self.client.search_runs, [experiment], filter_string=f"tags.`{tag}` = '{value}'"))

    def log(self, run: str | None, kind: str, items: Sequence[tuple[Any, ...]]) -> None:
        """Log in as few requests as MLflow allows; an item that it will not have is dropped, not the others."""
        from mlflow.entities import Metric, Param, RunTag

        make: Callable[..., Any] = {"metrics": Metric, "params": Param, "tags": RunTag}[kind]
        for first in range(0, len(items), BATCH[kind]):
            part = items[first : first + BATCH[kind]]
            try:
                self.call(self.client.log_batch, run, **{kind: [make(*item) for item in part]})
            except Rejected as error:
                if len(part) == 1:
                    print(f"MLflow did not take {part[0][0]} ({error})", file=sys.stderr, flush=True)
                else:
                    middle = len(part) // 2
                    self.log(run, kind, part[:middle])
                    self.log(run, kind, part[middle:])

    def upload(self, run: str | None, path: Path, folder: str | None = None) -> bool:
        """Keep a file, or the files of a folder, with a run, in a folder of its artefacts; whether MLflow took it.

        Files may go elsewhere than runs do (a bucket, a disk): if only that fails, other records are delivered.
        """
        request = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        for attempt in (1, 2):
            try:
                self.call(request, run, str(path), folder)
                return True
            except (Rejected, Refused, Unreachable) as error:
                self.call(self.client.get_run, run)
                if attempt == 2 or not isinstance(error, Unreachable):
                    print(f"MLflow did not take {path} ({error})", file=sys.stderr, flush=True)
                    return False
        return False


def points(values: dict[str, float], time: int, step: int) -> list[tuple[str, float, int, int]]:
    """Numbers of one step and time (ms) as MLflow's metrics."""
    return [(name, value, time, step) for name, value in values.items()]


def classified(error: Exception) -> Exception:
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
