"""A store to begin with, and couriers that work at once."""

import sqlite3
from pathlib import Path

import pytest

from sparsevq.config import TrackingConfig
from sparsevq.runtime.tracking import writer
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.tracker import tracked
from tests.in_process import AtOnce


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(writer, "Courier", AtOnce)


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory) -> Path:
    """A migrated store to copy: migrating takes seconds."""
    pytest.importorskip("mlflow")
    results = tmp_path_factory.mktemp("fresh")
    with tracked(Job("other", "none", "cylinder"), TrackingConfig(system_metrics=False), results):
        pass
    with sqlite3.connect(results / "mlflow.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return results / "mlflow.db"


@pytest.fixture
def results(tmp_path, fresh_store, monkeypatch, at_once) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(fresh_store.read_bytes())
    return tmp_path
