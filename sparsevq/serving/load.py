"""`sparsevq.load`: a forecaster from wherever a trained run is kept."""

import re
import shutil
import tempfile
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import yaml

from sparsevq.errors import SparseVQError
from sparsevq.forecasting.forecaster import Forecaster
from sparsevq.runs.run import FILES
from sparsevq.runtime.tracking.mlflow_store import without_password
from sparsevq.serving.stored import downloaded

MODEL = "MLmodel"
"""The file that makes a folder an MLflow model."""
ARTIFACT = "run"
"""What the run is called in it."""
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
KINDS = "a run's folder, a packed run, an MLflow model's folder, or models:/<name>/<version> and the like"


def load(
    path_or_uri: str | Path, *, data: str | Path | None = None, device: Literal["auto", "cpu", "cuda"] = "auto"
) -> Forecaster:
    """A forecaster from a trained run, wherever it is.

    Parameters
    ----------
    path_or_uri
        The folder of a run (``results/<experiment>/<data_set>/n<num_sensors>/seed<seed>``), a run that was packed, the
        folder of an MLflow model, or the URI of one: ``models:/<name>/<version>``, ``models:/<name>@<alias>``,
        ``runs:/<run>/<path>``. MLflow's store is the one that it is told (``MLFLOW_TRACKING_URI``,
        ``mlflow.set_tracking_uri``), else ``results/mlflow.db``.
    data
        The data set that the run was trained on; None: where the run has it.
    device
        ``auto``: a GPU if there is one.

    Raises
    ------
    SparseVQError
        There is no such folder or model, it is none of sparsevq, the run is not finished, or a file is damaged; the
        store does not answer, or mlflow is not installed.

    Examples
    --------
    >>> import sparsevq
    >>> model = sparsevq.load("models:/quickstart-cylinder@n20-seed1")
    >>> forecast = model.forecast("readings.csv", frames=20, members=16)
    """
    text = str(path_or_uri)
    if not URI.match(text) or Path(text).exists():
        return Forecaster(run_in(Path(path_or_uri)), data=data, device=device)
    if find_spec("mlflow") is None:
        raise SparseVQError(f"{text} needs mlflow, which is not installed", "pip install 'sparsevq[workflow]'")
    folder = Path(tempfile.mkdtemp(prefix="sparsevq-"))
    try:
        found = Forecaster(run_in(downloaded(text, folder), text), data=data, device=device)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    found.called = without_password(text)
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)  # it reads its files as long as it lives
    return found


def run_in(folder: Path, called: str = "") -> Path:
    """The folder of the run in a folder: itself, or the run of an MLflow model.

    Raises
    ------
    SparseVQError
        There is none; the message calls the folder `called`.
    """
    called = called or str(folder)
    if folder.is_file() and folder.name == MODEL:
        folder = folder.parent
    if not folder.is_dir():
        what = f"{called} is a file" if folder.exists() else f"there is no folder {called}"
        raise SparseVQError(what, f"give {KINDS}")
    if not (folder / MODEL).is_file():
        return folder
    try:
        about = yaml.safe_load((folder / MODEL).read_text())
        path = about["flavors"]["python_function"]["artifacts"][ARTIFACT]["path"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        raise SparseVQError(f"{called} is an MLflow model, but none of sparsevq", f"give {KINDS}") from None
    if not (folder / path / FILES["gpt"]).is_file():
        raise SparseVQError(f"{called} lacks the run that it is to hold ({path})", "download it again, or log it again")
    return folder / path
