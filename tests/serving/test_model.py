"""A run as MLflow's model: the numbers of `Forecaster`, and one line for whatever is wrong."""

import json
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations

import sparsevq
from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Run as Files
from sparsevq.serving import table
from sparsevq.serving.model import REQUIRED, write_model
from tests.forecasting.wrong_inputs import SERVED, WRONG_INPUTS, check_message
from tests.serving.requests import payload, told


@pytest.fixture(scope="module")
def model(model_folder):
    before = list(sys.path)
    yield mlflow.pyfunc.load_model(str(model_folder), model_config={"device": "cpu"})
    sys.path[:] = before


@pytest.fixture(scope="module")
def own(modal_run):
    return sparsevq.load(modal_run.path, device="cpu")


def test_the_table_is_the_forecast(model, own, modal_run):
    readings = modal_run.history(0, 1)
    found = model.predict(readings, params={"frames": 4, "members": 3, "seed": 5, "quantiles": [0.1, 0.5]})
    forecast = own.forecast(readings, 4, 3, seed=5, quantiles=[0.1, 0.5])
    there = ~np.isnan(forecast["u"][0, 0]).to_numpy()
    assert list(found) == ["lead_time", "y", "x", "u_mean", "u_std", "u_q0.1", "u_q0.5", *(
        f"v_{part}" for part in ("mean", "std", "q0.1", "q0.5"))]  # fmt: skip
    assert len(found) == 5 * there.sum()
    last = found[found["lead_time"] == forecast["lead_time"].to_numpy()[-1]]
    for channel in ("u", "v"):
        members = forecast[channel].to_numpy()[:, -1, there]
        np.testing.assert_array_equal(last[f"{channel}_mean"], members.mean(axis=0))
        np.testing.assert_array_equal(last[f"{channel}_std"], members.std(axis=0, ddof=1))
        quantiles = forecast[f"{channel}_quantile"].to_numpy()[:, -1, there]
        np.testing.assert_array_equal(last[[f"{channel}_q0.1", f"{channel}_q0.5"]].to_numpy().T, quantiles)
    y, x = np.meshgrid(forecast["y"], forecast["x"], indexing="ij")
    np.testing.assert_array_equal(last[["y", "x"]], np.stack([y[there], x[there]], axis=-1))


def test_each_member_at_asked_places_and_times(model, own, modal_run):
    points, times = {"y": [0.2, 0.9], "x": [0.1, 0.75]}, [1.0, 0.0]
    params = {"frames": 3, "members": 2, "each_member": True, "lead_times": times}
    found = model.predict(modal_run.readings(), params={**params, "points_y": points["y"], "points_x": points["x"]})
    forecast = own.forecast(modal_run.readings(), 3, 2, points=points).sel(lead_time=sorted(times))
    expected = forecast[["u", "v"]].to_dataframe().reset_index()[["member", "lead_time", "y", "x", "u", "v"]]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)


def test_a_table_is_given_in_any_form(model, modal_run):
    readings, params = modal_run.readings(), {"frames": 1, "members": 2}
    expected = model.predict(readings, params=params)
    for form in ("records", "list"):
        pd.testing.assert_frame_equal(model.predict(readings.to_dict(form), params=params), expected)
    for form, said in (([], "are empty"), ("text", "are str, not a table"), ({"u": [1, 2], "v": [1]}, "are no table")):
        with pytest.raises(MlflowException, match=said):
            model.predict(form)


def test_dates_are_told(model, modal_run):
    found = model.predict(modal_run.readings(), params={"frames": 1, "members": 1, "date": "2006-04-16T12:00"})
    assert found["valid_time"].unique().tolist() == ["2006-04-16T12:00:00", "2006-04-16T12:00:00.500000"] or (
        found["valid_time"].str.startswith("2006-04-16T12:00:00").all()
    )
    assert (found.filter(like="_std") == 0).all(axis=None)


def test_a_table_is_not_larger_than_a_server_should_send(model, modal_run, monkeypatch):
    monkeypatch.setattr(table, "MOST_ROWS", 100)
    with pytest.raises(
        MlflowException, match=r"more than 100: ask for places \(points_y, points_x\) or for fewer lead"
    ):
        model.predict(modal_run.readings())
    params = {"frames": 2, "points_y": [0.5], "points_x": [0.0]}
    assert len(model.predict(modal_run.readings(), params=params)) == 3


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"lead_times": [0.3]}, "lead_times: there is none of 0.3 s: give some of 0, 0.5"),
        ({"quantiles": [1.5]}, "1.5"),
        ({"parameters": ["speed"]}, "'speed' is not NAME=VALUE"),
        ({"points_y": [0.5]}, "several lengths"),
        ({"points_y": [7.0], "points_x": [0.0]}, "outside the domain"),
        ({"frames": "many"}, "Can not safely convert"),
    ],
)
def test_parameters_that_are_wrong(model, modal_run, params, said):
    with pytest.raises(MlflowException, match=said) as raised:
        model.predict(modal_run.readings(), params=params)
    assert raised.value.get_http_status_code() == 400


@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG_INPUTS if SERVED in wrong.ways], ids=str)
def test_a_wrong_input_is_answered_with_status_400_and_one_line(model, modal_run, tmp_path, wrong):
    body = json.dumps(payload(wrong.make(modal_run, tmp_path)))
    with pytest.raises(MlflowException) as raised:  # which the server makes its answer of
        invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert raised.value.get_http_status_code() == 400
    check_message(told(json.loads(raised.value.serialize_as_json())), wrong.words)


def test_readings_that_cannot_be_true_are_refused_unless_the_caller_wants_them(model, modal_run):
    wrong = modal_run.readings().assign(u=lambda found: found["u"] + np.where(found["sensor"] == 2, 40.0, 0))
    with pytest.raises(MlflowException, match="times its error away"):
        model.predict(wrong, params={"frames": 1, "members": 1})
    assert len(model.predict(wrong, params={"frames": 1, "members": 1, "strict": False}))


def test_what_the_folder_says(model, model_folder, modal_run):
    example = json.loads((model_folder / "input_example.json").read_text())["inputs"]
    assert len(example) == 6 and set(example[0]) == {"sensor", "u", "v"}
    request = json.loads((model_folder / "serving_input_example.json").read_text())
    assert request == {"inputs": example, "params": {"frames": 3}}
    answer = invocations(json.dumps(request), "application/json", model, model.metadata.get_input_schema())
    rows = json.loads(answer.response)["predictions"]
    assert answer.status == 200 and {row["lead_time"] for row in rows} == {0, 0.5, 1, 1.5}
    about = yaml.safe_load((model_folder / "MLmodel").read_text())
    assert about["metadata"]["sparsevq"]["data_set"] == modal_run.data.name
    assert about["metadata"]["sparsevq"]["seed"] == 1
    assert str(model_folder.parent) not in (model_folder / "MLmodel").read_text()
    names = [line.partition("==")[0] for line in (model_folder / "requirements.txt").read_text().splitlines()]
    assert names == ["mlflow-skinny", *REQUIRED]
    assert all(line.count("==") == 1 and "+" not in line for line in (model_folder / "requirements.txt").open())
    assert not (model_folder / "artifacts/run/data.h5").exists()


def test_load_opens_it(model_folder, own, modal_run):
    loaded = sparsevq.load(model_folder, device="cpu")
    readings = modal_run.readings()
    assert loaded.forecast(readings, 2, 2)["u"].identical(own.forecast(readings, 2, 2)["u"])


def test_what_is_in_its_way(modal_run, model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SparseVQError, match="is there already"):
        write_model(Files(modal_run.path), model_folder)
    with pytest.raises(SparseVQError, match="there is no run folder"):
        write_model(Files(tmp_path / "none"), tmp_path / "model")
    assert not list(tmp_path.iterdir())
