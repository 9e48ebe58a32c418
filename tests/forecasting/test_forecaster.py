"""`sparsevq.Forecaster`: what must and must not change a forecast."""

import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

import sparsevq
from sparsevq.data.layout import write_data
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import ForecastModel, doubt_about_members
from sparsevq.runtime.files import digest
from tests.flows import travelling_waves


@pytest.fixture(scope="module")
def model(run):
    return sparsevq.Forecaster(run.path, device="cpu")


def test_a_forecast_is_the_workflows(model, run):
    """Readings of a held-out frame at the run's sensors: the ensemble that the rule `forecast` wrote."""
    forecast = model.forecast(run.readings(), frames=9, members=3, seed=5)
    with h5py.File(run.workflows) as file:
        expected, lead_time = file["ensemble"][0], file["lead_time"][:]
    assert expected.std(axis=0).max() > 1e-4  # members differ, or the comparison says little
    found = np.stack([forecast[channel] for channel in run.data.channels], axis=-1)
    valid = ~np.isnan(found)
    assert valid.mean() > 0.8
    np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(forecast["lead_time"], lead_time)


def test_readings_become_the_codes_of_the_index_dump(model, run, monkeypatch):
    prompts = []
    generate = ForecastModel.generate

    def recorded(self, prompt, *args, **kwargs):
        prompts.append(prompt[0].numpy())
        return generate(self, prompt, *args, **kwargs)

    monkeypatch.setattr(ForecastModel, "generate", recorded)
    frames = range(run.data.fields.shape[1])
    for frame in frames:
        model.forecast(run.readings(frame), 1, 1)
    with h5py.File(run.path / "codes.h5") as file:
        expected = file["sparse"][0, run.trajectory]
    assert len(np.unique(expected, axis=0)) > 1  # frames differ, or the comparison says little
    np.testing.assert_array_equal(prompts, expected)


def test_the_order_of_the_readings_changes_nothing(model, run, tmp_path):
    run.readings().sample(frac=1, random_state=1).to_csv(tmp_path / "readings.csv", index=False)
    xr.testing.assert_equal(model.forecast(run.readings(), 4, 3), model.forecast(tmp_path / "readings.csv", 4, 3))


def test_numbers_and_places_of_sensors_mean_the_same(model, run):
    xr.testing.assert_equal(model.forecast(run.readings(), 4, 3), model.forecast(run.by_place(), 4, 3))


def test_a_seed_gives_one_forecast_and_another_seed_another(model, run):
    one, same, other = (model.forecast(run.readings(), 6, 4, seed=seed) for seed in (0, 0, 1))
    xr.testing.assert_equal(one, same)
    assert not np.array_equal(one["u"], other["u"], equal_nan=True)


def test_a_shorter_forecast_is_the_beginning_of_a_longer_one(model, run):
    long, short = model.forecast(run.readings(), 15, 3), model.forecast(run.readings(), 2, 3)
    xr.testing.assert_allclose(long.isel(lead_time=slice(2)), short, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(long["lead_time"], 0.5 * np.arange(1, 16))  # past the 10 frames of the data


def test_without_temperature_all_members_are_equal(model, run):
    forecast = model.forecast(run.readings(), 5, 3, temperature=0)
    assert float(forecast["u"].std("member").max()) < 1e-6


def test_members_that_end_alike_are_told(model, run, monkeypatch):
    generate = ForecastModel.generate
    assert "warning" not in model.forecast(run.readings(), 3, 4).attrs

    def collapsed(self, *args, **kwargs):
        tokens = generate(self, *args, **kwargs)
        tokens[:, :, -1] = tokens[:, :1, -1]
        return tokens

    monkeypatch.setattr(ForecastModel, "generate", collapsed)
    assert "all 4 members have the same codes at the last" in model.forecast(run.readings(), 3, 4).attrs["warning"]
    for expected in ({"members": 1}, {"temperature": 0}, {"top_k": 1}):
        assert "warning" not in model.forecast(run.readings(), 3, **{"members": 4} | expected).attrs


def test_members_are_doubted_if_they_end_alike_in_most_forecasts():
    tokens = torch.arange(3 * 2 * 4).reshape(3, 2, 4, 1, 1)  # forecast, member, frame, token, level
    assert doubt_about_members(tokens, 1.0, 0) is None
    tokens[0, 1, -1] = tokens[0, 0, -1]
    assert doubt_about_members(tokens, 1.0, 0) is None
    tokens[1, 1, -1] = tokens[1, 0, -1]
    assert "in 2 of 3 forecasts all 2 members" in doubt_about_members(tokens, 1.0, 0)


def test_sensors_may_stand_between_grid_points(model, run):
    table = run.by_place()
    table["x"] = table["x"].clip(upper=0.9) + 0.0071
    forecast = model.forecast(table, 2, 2)
    assert model.trained_places(forecast) == 0
    assert model.trained_places(model.forecast(run.readings(), 2, 2)) == 6


def test_readings_matter(model, run):
    """The encoder hears them: a channel's values go into that channel (a past bug elsewhere: columns in CSV order)."""
    heard = []
    hook = model._model.sparse.autoencoder.encoder.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    model.forecast(run.by_place(), 1, 1)
    hook.remove()
    values = run.readings()[["u", "v"]].to_numpy()[np.lexsort(run.sensors.coordinates[:6].T)]
    sensors = run.sensors.sparse[np.lexsort(run.sensors.coordinates[:6].T)]
    basis = model._model.sparse.basis
    expected = (values - basis.mean[sensors]) / basis.scale
    torch.testing.assert_close(heard[0][0], torch.tensor(expected, dtype=torch.float32))


def test_no_field_where_there_never_was_one(model, run):
    never = ~run.data.mask[run.data.split == "train"].any(axis=0)
    assert never.any()
    np.testing.assert_array_equal(np.isnan(model.forecast(run.readings(), 1, 1)["u"][0, 0]), never)


def test_a_forecast_says_what_it_was_made_from(model, run, tmp_path):
    run.readings().to_csv(tmp_path / "readings.csv", index=False)
    about = model.forecast(tmp_path / "readings.csv", 1, 1, seed=7, temperature=0.5).attrs
    assert (about["seed"], about["temperature"]) == (7, 0.5)
    assert about["digest_gpt"] == digest(run.path / "gpt/model.safetensors")
    assert about["digest_readings"] == digest(tmp_path / "readings.csv")
    assert about["digest_data"] == digest(run.path.parent.parent / "data.h5")


def test_faults_of_a_table_name_its_line(model, run):
    table = run.readings()
    table.loc[2, "u"] = None
    with pytest.raises(SparseVQError, match=r"readings \(as CSV\), line 4: column u"):
        model.forecast(table)


def test_noise_that_the_encoder_does_not_know_is_refused(model, run):
    exact = model.forecast(run.readings().assign(noise=0.0), 1, 1)
    xr.testing.assert_equal(exact, model.forecast(run.readings(), 1, 1))
    with pytest.raises(SparseVQError, match=r"the encoder takes readings as exact"):
        model.forecast(run.readings().assign(noise_u=0.1))


@pytest.mark.parametrize(
    ("needed", "given", "message"),
    [
        ((), {"speed": 1.0}, "the data set has no parameter 'speed': known are kind, wavelength"),
        ((), {"wavelength": 1.0}, "not trained with the parameter 'wavelength': leave it out: it takes none"),
        (("wavelength",), {}, "the model needs the trajectory's wavelength"),
        (("wavelength",), {"wavelength": float("nan")}, "wavelength=nan is not allowed"),
    ],
)
def test_faulty_parameters_are_named(model, run, needed, given, message, monkeypatch):
    monkeypatch.setattr(model, "_model", replace(model._model, parameters=needed))
    monkeypatch.setattr(model, "data", replace(model.data, parameters={"kind": np.zeros(1), "wavelength": np.ones(1)}))
    with pytest.raises(SparseVQError, match=message):
        model.forecast(run.readings(), parameters=given)


def test_a_forecast_records_the_parameters_that_the_model_takes(model, run, monkeypatch):
    monkeypatch.setattr(model, "_model", replace(model._model, parameters=("wavelength",)))
    monkeypatch.setattr(model, "data", replace(model.data, parameters={"wavelength": np.ones(1)}))
    assert model.forecast(run.readings(), 1, 1, parameters={"wavelength": 2}).attrs["parameter_wavelength"] == 2.0


def test_another_data_set_is_refused(run, tmp_path):
    write_data(tmp_path / "other.h5", travelling_waves(seed=1))
    with pytest.raises(SparseVQError, match=r"sensors\.h5 was made from another data set"):
        sparsevq.Forecaster(run.path, data=tmp_path / "other.h5", device="cpu")


def test_a_tokenizer_of_other_encoders_is_refused(run, tmp_path):
    odd = tmp_path / "waves/n6/seed1"
    shutil.copytree(run.path, odd)
    shutil.copy(run.path.parent.parent / "data.h5", tmp_path / "waves/data.h5")
    shutil.copy(run.path / "sparse/model.safetensors", odd / "semi_sparse/model.safetensors")
    with pytest.raises(SparseVQError, match="was trained with other sensors than the semi-sparse ones"):
        sparsevq.Forecaster(odd, device="cpu")


def test_importing_sparsevq_waits_for_nothing():
    code = "import sys, sparsevq; sys.exit('torch' in sys.modules or 'xarray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Forecast'"):
        _ = sparsevq.Forecast
