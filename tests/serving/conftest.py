"""A run as the workflow lays it out, with a small flow, and its model; tests only read them."""

import sys
from pathlib import Path

import pytest

from sparsevq.runs.run import Run as Files
from tests.forecasting.runs import Run, small_modal_run


@pytest.fixture(scope="session")
def modal_run(tmp_path_factory) -> Run:
    """On modes, with a first guess; its data set is two folders above."""
    return small_modal_run(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def model_folder(modal_run, tmp_path_factory) -> Path:
    """Its MLflow model."""
    from sparsevq.serving.model import write_model

    folder = tmp_path_factory.mktemp("models") / "model"
    before = list(sys.path)
    write_model(Files(modal_run.path), folder, {"num_sensors": 6, "seed": 1})
    sys.path[:] = before  # MLflow leaves the folder of the code there
    return folder
