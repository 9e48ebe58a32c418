"""Models: logged with the parent run and registered by name, once, however often they are delivered."""

from dataclasses import replace
from pathlib import Path

import pytest

from sparsevq.config import TrackingConfig
from sparsevq.runtime.tracking import models
from sparsevq.runtime.tracking.calls import Calls, Gone, Refused, Rejected
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.mlflow_store import Unreachable
from sparsevq.runtime.tracking.models import Entry
from sparsevq.runtime.tracking.tracker import tracked

QUIET = TrackingConfig(system_metrics=False)
ENTRY = Entry(
    registered="flow-cylinder",
    about="Forecasts of **cylinder**.",
    name="cylinder-n20-seed1",
    content="one",
    alias="n20-seed1",
    note="From 20 sensors.",
    tags={"seed": "1", "num_sensors": "20"},
    metrics={"error/crps": 0.25},
    score="error/crps",
)


def client(results: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{results}/mlflow.db", f"sqlite:///{results}/mlflow.db")


def a_model(folder: Path, content: str = "weights") -> Path:
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "artifacts/weights").write_text(content)
    return folder


def run_job(results: Path, folder: Path, entry: Entry = ENTRY, seed: int = 1, inputs: str = "one") -> None:
    job = Job("flow", "model", "cylinder", 20, seed)
    with tracked(job, QUIET, results, inputs={"data": inputs}, concludes=True) as tracker:
        tracker.log_model(folder, entry)


def versions(results: Path) -> dict[str, str]:
    """Version -> run."""
    found = client(results).search_model_versions("name = 'flow-cylinder'")
    return {version.version: version.run_id for version in found}


def parent(results: Path, seed: int = 1):
    store = client(results)
    runs = store.search_runs([store.get_experiment_by_name("flow").experiment_id])
    return next(run for run in runs if run.info.run_name == f"s{seed} n20 cylinder")


def test_it_is_shown_on_the_parent_and_registered(results):
    run_job(results, a_model(results / "model"))
    store, run = client(results), parent(results)
    assert run.info.status == "FINISHED"
    (output,) = run.outputs.model_outputs
    model = store.get_logged_model(output.model_id)
    assert (model.name, str(model.status), model.source_run_id) == ("cylinder-n20-seed1", "READY", run.info.run_id)
    assert {(metric.key, metric.value) for metric in model.metrics} == {("error/crps", 0.25)}
    assert {file.path for file in store.list_logged_model_artifacts(model.model_id)} == {"MLmodel", "artifacts"}
    version = store.get_model_version_by_alias("flow-cylinder", "n20-seed1")
    assert (version.version, version.run_id, version.description) == (1, run.info.run_id, "From 20 sensors.")
    assert version.tags["seed"] == "1" and version.source == f"models:/{model.model_id}"
    assert store.get_registered_model("flow-cylinder").description == "Forecasts of **cylinder**."
    assert store.get_model_version_by_alias("flow-cylinder", "best").version == 1


def test_the_same_model_is_registered_once(results):
    folder = a_model(results / "model")
    run_job(results, folder)
    (folder / "MLmodel").write_text("made at another time")
    run_job(results, folder)
    assert len(versions(results)) == 1
    assert len(parent(results).outputs.model_outputs) == 1
    store = client(results)
    (job,) = [
        run
        for run in store.search_runs([store.get_experiment_by_name("flow").experiment_id])
        if run.data.tags.get("rule") == "model" and "mlflow.parentRunId" in run.data.tags
    ]
    assert job.data.metrics["error/crps"] == 0.25, "the run of the job that made it again has its figures, too"
    run_job(results, a_model(folder, "other weights"), replace(ENTRY, content="two"))
    assert len(versions(results)) == 2
    assert client(results).get_model_version_by_alias("flow-cylinder", "n20-seed1").version == 2


@pytest.mark.parametrize("request_", ["create_registered_model", "log_model_artifacts", "create_model_version"])
def test_a_courier_that_ended_half_way_leaves_nothing_twice(results, request_):
    """It is killed after a request and before it has noted that: the record goes out again."""
    store = client(results)
    experiment = store.create_experiment("flow", artifact_location=(results / "artifacts").as_uri())
    run, above = (store.create_run(experiment).info.run_id for _ in range(2))
    record = {**ENTRY.record(a_model(results / "model")), "time": 1}

    class Killed(BaseException):
        pass

    class Client:
        tracking_uri = store.tracking_uri

        def __getattr__(self, name):
            def call(*arguments, **options):
                found = getattr(store, name)(*arguments, **options)
                if name == request_:
                    raise Killed
                return found

            return call

    with pytest.raises(Killed):
        models.enter(Calls(Client()), results, run, above, "job", record)
    for _ in range(2):
        models.enter(Calls(store), results, run, above, "job", record)
    assert len(versions(results)) == 1
    assert len(store.search_logged_models([experiment])) == 1
    assert len(store.get_run(above).outputs.model_outputs) == 1


def test_the_best_of_the_latest_versions_has_an_alias(results):
    for seed, crps in ((1, 0.3), (2, 0.2), (3, 0.4)):
        entry = replace(ENTRY, alias=f"n20-seed{seed}", content=str(seed), metrics={"error/crps": crps})
        run_job(results, a_model(results / f"model{seed}", f"weights {seed}"), entry, seed)
    best = client(results).get_model_version_by_alias
    assert best("flow-cylinder", "best").run_id == parent(results, 2).info.run_id
    worse = replace(ENTRY, alias="n20-seed2", content="worse", metrics={"error/crps": 0.9})
    run_job(results, a_model(results / "model2", "worse"), worse, 2, inputs="others")
    assert best("flow-cylinder", "best").run_id == parent(results, 1).info.run_id


def test_a_model_that_has_changed_since_is_not_sent(results, capsys):
    store = client(results)
    experiment = store.create_experiment("flow", artifact_location=(results / "artifacts").as_uri())
    run, above = (store.create_run(experiment).info.run_id for _ in range(2))
    record = {**ENTRY.record(a_model(results / "model")), "time": 1}
    a_model(results / "model", "other")
    models.enter(Calls(store), results, run, above, "job", record)
    assert "model (it has changed since)" in capsys.readouterr().err
    assert not versions(results)


def test_a_model_is_sent_though_its_job_has_ended(results, capsys):
    """Snakemake then puts a file of its own into the folder."""
    store = client(results)
    experiment = store.create_experiment("flow", artifact_location=(results / "artifacts").as_uri())
    run, above = (store.create_run(experiment).info.run_id for _ in range(2))
    record = {**ENTRY.record(a_model(results / "model")), "time": 1}
    (results / "model/.snakemake_timestamp").touch()
    models.enter(Calls(store), results, run, above, "job", record)
    assert "changed" not in capsys.readouterr().err
    assert len(versions(results)) == 1


class Store:
    """One that has the job's run, and no registry; or that is away."""

    class client:
        get_run = search_registered_models = "requests"

    def __init__(self, error: Exception, has_run: bool):
        self._error, self._has_run = error, has_run

    def call(self, request, *arguments):
        if arguments != ("run",) or not self._has_run:
            raise self._error


def test_if_only_the_model_is_not_taken_that_is_said(results, capsys, monkeypatch):
    monkeypatch.setattr(models, "PAUSES", (0.0, 0.0))
    record = {**ENTRY.record(a_model(results / "model")), "time": 1}
    for error in (Rejected("no registry"), Refused("no registry"), Unreachable("no bucket")):
        models.enter(Store(error, has_run=True), results, "run", "parent", "job", record)
        assert f"MLflow did not take the model {results / 'model'} ({error})" in capsys.readouterr().err


def test_if_the_store_is_away_the_model_waits(results):
    record = {**ENTRY.record(a_model(results / "model")), "time": 1}
    with pytest.raises(Unreachable):
        models.enter(Store(Unreachable("away"), has_run=False), results, "run", "parent", "job", record)


class Failing:
    """A client whose requests of one name fail so many times before they are sent."""

    def __init__(self, store, request: str, error: Exception, times: int):
        self._store, self._request, self._error, self.left = store, request, error, times

    def __getattr__(self, name):
        if name == self._request and self.left:
            self.left -= 1

            def fail(*arguments, **options):
                raise self._error

            return fail
        return getattr(self._store, name)


@pytest.mark.parametrize("request_", ["create_registered_model", "create_model_version", "set_registered_model_alias"])
def test_a_model_waits_for_a_database_that_others_write_to(results, monkeypatch, request_):
    from sqlalchemy.exc import OperationalError

    monkeypatch.setattr(models, "PAUSES", (0.0,) * 3)
    store = client(results)
    experiment = store.create_experiment("flow", artifact_location=(results / "artifacts").as_uri())
    run, above = (store.create_run(experiment).info.run_id for _ in range(2))
    record = {**ENTRY.record(a_model(results / "model")), "time": 1}
    busy = Failing(store, request_, OperationalError("", None, Exception("database is locked")), times=3)
    models.enter(Calls(busy), results, run, above, "job", record)
    assert not busy.left
    for alias in (ENTRY.alias, "best"):
        assert store.get_model_version_by_alias(ENTRY.registered, alias).run_id == above


def test_a_model_of_a_parent_that_was_replaced_goes_to_the_new_one(results, capsys):
    store = client(results)
    experiment = store.create_experiment("flow", artifact_location=(results / "artifacts").as_uri())
    run, above = (store.create_run(experiment).info.run_id for _ in range(2))
    store.delete_run(above)
    record = {**ENTRY.record(a_model(results / "model")), "time": 1}
    with pytest.raises(Gone):  # after which the spool is delivered from its beginning
        models.enter(Calls(store), results, run, above, "job", record)
    assert "did not take" not in capsys.readouterr().err
