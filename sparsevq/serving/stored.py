"""Models in an MLflow store: which store, whether it answers, and what of it is missing, each as one line."""

from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.runtime.tracking.calls import first_line
from sparsevq.runtime.tracking.mlflow_store import (
    Unreachable,
    current_store,
    default_store,
    looks_well,
    sqlite_file,
    without_password,
)

NAMES = "models:/<name>/<version>, models:/<name>@<alias> or runs:/<run>/<path>"


def downloaded(uri: str, folder: Path) -> Path:
    """The files behind a URI of MLflow's, which are put into a folder unless they are on this machine already.

    Raises
    ------
    SparseVQError
        The store does not answer, or has no such model.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    store = _store()
    try:
        with current_store(store):
            return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except MlflowException as error:
        raise SparseVQError(
            f"MLflow at {without_password(store)} has no model {uri} ({_reason(error)})", f"give {NAMES}"
        ) from None
    except Exception as error:  # of its store and of where it keeps files: requests, SQLAlchemy, boto3, ...
        raise SparseVQError(
            f"cannot get {uri} from MLflow at {without_password(store)} ({first_line(error)})",
            "check MLFLOW_TRACKING_URI, and that its server runs",
        ) from None


def _store() -> str:
    """The URI of the store that MLflow is told, else that of the results folder.

    Raises
    ------
    SparseVQError
        There is none, or it does not answer: MLflow would make one, or try for minutes.
    """
    import mlflow

    store = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else default_store("results")
    path = sqlite_file(store)
    if path is not None and not path.is_file():
        raise SparseVQError(f"there is no MLflow store {path}", "set MLFLOW_TRACKING_URI to the one that has the model")
    if store.startswith(("/", ".", "file:")):
        return store
    try:
        looks_well(store)
    except Unreachable as error:
        raise SparseVQError(
            f"MLflow at {without_password(store)} does not answer ({error})",
            "check MLFLOW_TRACKING_URI, and that its server runs",
        ) from None
    return store


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return without_password(lines[0])[:300].rstrip(".") if lines else type(error).__name__
