"""`sparsevq.load`: from wherever a run is kept, and what it says where there is none."""

import shutil

import pytest

import sparsevq
from sparsevq.errors import SparseVQError


@pytest.fixture
def trained_run(modal_run):
    return modal_run.path


@pytest.fixture
def own_model(model_folder, tmp_path):
    """A copy of a model, to change."""
    return shutil.copytree(model_folder, tmp_path / "model")


def test_a_run_and_a_model_of_mlflow(trained_run, model_folder):
    assert sparsevq.load(trained_run, device="cpu").run.path == trained_run
    assert sparsevq.load(str(trained_run), device="cpu").run.path == trained_run
    assert sparsevq.load(model_folder, device="cpu").run.packed
    assert sparsevq.load(model_folder / "MLmodel", device="cpu").run.path == model_folder / "artifacts/run"


def test_what_is_none(trained_run, own_model, tmp_path):
    def fails(what, match):
        with pytest.raises(SparseVQError, match=match) as error:
            sparsevq.load(what, device="cpu")
        assert "\n" not in str(error.value)

    fails(tmp_path / "nothing", "there is no folder .*nothing: give a run's folder, a packed run")
    fails(trained_run / "sensors.h5", "sensors.h5 is a file: give a run's folder")
    fails(trained_run.parent, "give the folder of one run, such as .*seed1")
    fails(tmp_path, "has no")
    (tmp_path / "unfinished/sparse").mkdir(parents=True)
    shutil.copy(trained_run / "sparse/model.safetensors", tmp_path / "unfinished/sparse")
    fails(tmp_path / "unfinished", "has no semi_sparse/model.safetensors, which stage 1 makes: train that stage first")
    (own_model / "artifacts/run/gpt/model.safetensors").unlink()
    fails(own_model, "lacks the run that it is to hold")
    (own_model / "MLmodel").write_text("flavors: {sklearn: {}}")
    fails(own_model, "is an MLflow model, but none of sparsevq")
    (own_model / "MLmodel").write_text("{")
    fails(own_model, "is an MLflow model, but none of sparsevq")


def test_what_is_none_in_a_store(tmp_path, monkeypatch):
    import mlflow

    def fails(uri, match):
        with pytest.raises(SparseVQError, match=match) as error:
            sparsevq.load(uri, device="cpu")
        assert "\n" not in str(error.value)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    fails("models:/flow/1", "there is no MLflow store .*results/mlflow.db: set MLFLOW_TRACKING_URI")
    assert not list(tmp_path.iterdir())  # it makes none
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    fails("models:/flow/1", "http://127.0.0.1:9 does not answer .*Connection refused.*: check MLFLOW_TRACKING_URI")
    store = tmp_path / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{store}", f"sqlite:///{store}").create_registered_model("flow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    fails("models:/flow/1", "has no model models:/flow/1 .*not found")
    fails("models:/flow@best", "has no model models:/flow@best")
    fails("models:/other/1", "has no model models:/other/1")
    fails("runs:/0123456789abcdef0123456789abcdef/model", "has no model runs:/")
    fails("models:/", "has no model models:/")
    fails("gopher:/x", "cannot get|has no model gopher:/x")
    monkeypatch.setattr("sparsevq.serving.load.find_spec", lambda name: None)
    fails("models:/flow/1", "needs mlflow, which is not installed: pip install")


def test_a_model_in_a_store_is_called_by_its_uri(model_folder, modal_run, tmp_path, monkeypatch):
    import mlflow

    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(store, store)
    client.create_registered_model("flow")
    client.create_model_version("flow", model_folder.as_uri())
    client.set_registered_model_alias("flow", "best", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    loaded = sparsevq.load("models:/flow@best", device="cpu")
    assert "models:/flow@best" in repr(loaded)
    folder = loaded.run.path
    forecast = loaded.forecast(modal_run.readings(), 1, 1)
    assert forecast.attrs["run"] == "models:/flow@best"
    assert folder.is_dir()
    del loaded
    assert not folder.exists()  # it was a copy
