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
from sparsevq.forecasting.model import Asked, ForecastModel, doubt_about_members, trained_in_bf16
from sparsevq.models.rollout import Drawn
from sparsevq.runs.run import Run
from sparsevq.runtime.files import digest
from sparsevq.runtime.model_file import load_model
from tests.chain import REGRESSION, Chain
from tests.edited import edited
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
    np.testing.assert_allclose(forecast["lead_time"], [0, *lead_time])  # the file tells those that are forecast


@pytest.mark.parametrize(
    ("asked", "came_to", "bf16"),
    [
        ("auto", "bf16-mixed", True),
        ("auto", "32-true", False),
        ("auto", None, True),
        ("bf16-mixed", None, True),
        ("32-true", None, False),
    ],
)
def test_a_model_says_the_precision_that_it_was_trained_in(guessing, asked, came_to, bf16):
    """Files of earlier versions do not say it: then what was asked for counts."""
    file = load_model(guessing.model("gpt"), "gpt")
    assert file.extra["precision"] == "32-true"
    extra = {} if came_to is None else {"precision": came_to}
    assert trained_in_bf16(replace(file, settings={"precision": asked}, extra=extra)) == bf16


def test_forecasts_are_float32_on_the_cpu_whatever_the_training(model, run):
    before, readings = model._model, run.readings()
    expected = model.forecast(readings, 2, 2)
    model._model = replace(before, bf16=True)
    try:
        assert model.forecast(readings, 2, 2).equals(expected)
    finally:
        model._model = before


def test_readings_become_the_codes_of_the_index_dump(model, run, monkeypatch):
    prompts = []
    generate = ForecastModel.generate

    def recorded(self, seen, asked):
        prompts.append(seen.prompt[0, 0].numpy())
        return generate(self, seen, asked)

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
    xr.testing.assert_allclose(long.isel(lead_time=slice(3)), short, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(long["lead_time"], 0.5 * np.arange(16))  # past the 10 frames of the data


def test_without_temperature_all_members_are_equal(model, run):
    forecast = model.forecast(run.readings(), 5, 3, temperature=0)
    assert float(forecast["u"].std("member").max()) < 1e-6


def test_members_that_end_alike_are_told(model, run, monkeypatch):
    generate = ForecastModel.generate
    assert "warning" not in model.forecast(run.readings(), 3, 4).attrs

    def collapsed(self, *args):
        drawn = generate(self, *args)
        drawn.codes[:, :, -1] = drawn.codes[:, :1, -1]
        return drawn

    monkeypatch.setattr(ForecastModel, "generate", collapsed)
    assert "all 4 members have the same codes at the last" in model.forecast(run.readings(), 3, 4).attrs["warning"]
    for expected in ({"members": 1}, {"temperature": 0}, {"top_k": 1}):
        assert "warning" not in model.forecast(run.readings(), 3, **{"members": 4} | expected).attrs


def test_members_are_doubted_if_they_end_alike_in_most_forecasts():
    tokens = torch.arange(3 * 2 * 4).reshape(3, 2, 4, 1, 1)  # forecast, member, frame, token, level
    asked = Asked(frames=3, members=2, temperature=1.0, top_k=0, seed=0)
    assert doubt_about_members(Drawn(tokens), asked) is None
    tokens[0, 1, -1] = tokens[0, 0, -1]
    assert doubt_about_members(Drawn(tokens), asked) is None
    tokens[1, 1, -1] = tokens[1, 0, -1]
    assert "in 2 of 3 forecasts all 2 members" in doubt_about_members(Drawn(tokens), asked)
    # With a first guess members of the same codes differ by their coefficients.
    assert doubt_about_members(Drawn(tokens, torch.arange(3 * 2 * 4).reshape(3, 2, 4, 1)), asked) is None


def test_sensors_may_stand_between_grid_points(model, run):
    table = run.by_place()
    table["x"] = table["x"].clip(upper=0.9) + 0.0071
    forecast = model.forecast(table, 2, 2)
    assert model.trained_places(forecast) == 0
    assert model.trained_places(model.forecast(run.readings(), 2, 2)) == 6


@pytest.mark.parametrize("kind", ["run", "modal_run"])
def test_the_forecast_at_the_sensors_is_that_of_the_grid_there(kind, request):
    run = request.getfixturevalue(kind)
    forecast = sparsevq.Forecaster(run.path, device="cpu").forecast(run.readings(), 4, 3)
    fields = forecast["u"].stack(point=("y", "x"))[..., run.sensors.sparse[forecast["sensor_number"]]]
    np.testing.assert_allclose(forecast["u_at_sensors"], fields, rtol=1e-4, atol=1e-6)
    read = run.readings()["u"].to_numpy()[forecast["sensor_number"]]
    np.testing.assert_array_equal(forecast["u_reading"], read[None])


def test_sensors_of_all_observed_frames_are_in_the_forecast(modal, modal_run):
    history = modal_run.history(0, 2)
    part = history[(history["frame"] == 0) | (history["sensor"] > 1)]
    forecast = modal.forecast(part, 2, 2)
    assert forecast["observed_frame"].values.tolist() == [-2, 0]
    assert sorted(forecast["sensor_number"].values) == list(range(6))
    missing = np.isnan(forecast["u_reading"].sel(observed_frame=0))
    assert sorted(forecast["sensor_number"].values[missing]) == [0, 1]


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


def test_faults_of_a_table_name_its_row(model, run):
    table = run.readings().astype({"u": object})
    table.loc[2, "u"] = "high"
    with pytest.raises(SparseVQError, match="observations, row 2: column u holds 'high'"):
        model.forecast(table)


def test_a_sensor_that_lacks_a_channel_is_left_out_where_the_encoder_needs_all(model, run, capsys):
    table = run.readings()
    table.loc[2, "u"] = None
    found = model.forecast(table, 1, 1)
    assert "row 2: sensor 2 has no u (''): the sensor is left out" in capsys.readouterr().out
    xr.testing.assert_equal(found, model.forecast(table.dropna(), 1, 1))


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


# ------------------------------------------------------------------ several frames


@pytest.fixture(scope="module")
def modal(modal_run):
    """On modes, with a first guess from up to three frames."""
    return sparsevq.Forecaster(modal_run.path, device="cpu")


def values(forecast):
    """(member, lead time, point, channel), where there is a field."""
    found = np.stack([forecast[channel] for channel in ("u", "v")], axis=-1)
    found = found.reshape(*found.shape[:2], -1, 2)
    return found[:, :, ~np.isnan(found).any(axis=(0, 1, 3))].astype(float)


def test_a_forecast_from_several_frames_is_the_workflows(modal, modal_run):
    forecast = modal.forecast(modal_run.history(0, 1, 2), frames=6, members=3, seed=5)
    with h5py.File(modal_run.workflows) as file:
        expected = file["ensemble"][0]
    found = np.stack([forecast[channel] for channel in modal_run.data.channels], axis=-1)
    valid = ~np.isnan(found)
    np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-3, atol=1e-3)
    assert forecast.attrs["observed_frames"] == 3


@pytest.mark.parametrize("frames", [1, 6])
def test_a_forecast_begins_with_an_analysis(modal, modal_run, frames):
    forecast = modal.forecast(modal_run.history(0, 1, 2), frames=frames, members=9)
    np.testing.assert_allclose(forecast["lead_time"], 0.5 * np.arange(frames + 1))
    assert forecast["u"].sizes["lead_time"] == frames + 1
    truth = modal_run.data.fields[modal_run.trajectory, 2 : frames + 3]
    found = np.stack([forecast[channel] for channel in ("u", "v")], axis=-1).mean(0)
    valid = ~np.isnan(found[0]) & modal_run.data.mask[modal_run.trajectory][..., None]
    errors = [[np.abs(one - other)[valid].mean() for other in truth] for one in found]
    assert int(np.argmin(errors[0])) == 0, "lead 0 is nearest to the observed frame itself"


def test_one_frame_may_have_any_number(modal, modal_run):
    plain, numbered = modal.forecast(modal_run.readings(2), 3, 2), modal.forecast(modal_run.history(2), 3, 2)
    xr.testing.assert_equal(plain, numbered)
    assert plain.attrs["observed_frames"] == numbered.attrs["observed_frames"] == 1


def test_frames_may_come_in_any_order_and_be_told_by_time(modal, modal_run, tmp_path):
    lines = modal_run.history(0, 1, 2)
    expected = modal.forecast(lines, 4, 3)
    lines.sample(frac=1, random_state=1).to_csv(tmp_path / "readings.csv", index=False)
    xr.testing.assert_equal(modal.forecast(tmp_path / "readings.csv", 4, 3), expected)
    in_time = lines.assign(time=20 + 0.5 * lines["frame"]).drop(columns="frame")
    xr.testing.assert_equal(modal.forecast(in_time, 4, 3), expected)


def test_frames_that_are_older_than_the_model_was_trained_for_are_left_out(modal, modal_run):
    assert modal.observed_frames == 3
    long, short = (modal.forecast(modal_run.history(*range(first, 6)), 3, 2) for first in (0, 3))
    xr.testing.assert_equal(long, short)
    assert long.attrs["observed_frames"] == 3
    gap = modal.forecast(modal_run.history(0, 5), 3, 2)
    xr.testing.assert_equal(gap, modal.forecast(modal_run.history(5), 3, 2))
    assert gap.attrs["observed_frames"] == 1


def test_a_model_of_one_frame_takes_the_last_of_several(model, run):
    assert model.observed_frames == 1
    xr.testing.assert_equal(model.forecast(run.history(0, 1, 2), 3, 2), model.forecast(run.readings(2), 3, 2))


@pytest.mark.parametrize("missing", ["a frame", "a sensor", "a channel"])
def test_gaps_and_dropouts_are_forecast_from_nearly_as_well(modal, modal_run, missing):
    lines = modal_run.history(0, 1, 2)
    if missing == "a frame":
        lines = lines[lines["frame"] != 1]
    elif missing == "a sensor":
        lines = lines[(lines["frame"] != 1) | (lines["sensor"] != 3)]
    else:
        lines.loc[(lines["frame"] == 2) & (lines["sensor"] == 1), "u"] = np.nan
    whole, partial = modal.forecast(modal_run.history(0, 1, 2), 3, 16), modal.forecast(lines, 3, 16)
    assert partial.attrs["observed_frames"] == lines["frame"].nunique()
    apart = np.abs(values(whole).mean(0) - values(partial).mean(0)).mean()
    assert 1e-6 < apart < 0.5 * values(whole)[0].std()


def test_noise_of_readings_widens_the_ensemble(modal, modal_run):
    lines = modal_run.history(0, 1, 2)
    exact = modal.forecast(lines.assign(noise=0.0), 3, 16)
    xr.testing.assert_equal(exact, modal.forecast(lines, 3, 16))
    noisy = modal.forecast(lines.assign(noise=1.0), 3, 16)
    assert values(noisy).std(0)[0].mean() > 1.2 * values(exact).std(0)[0].mean()


def test_too_long_a_history_at_other_sensors_is_one_line(modal_run, monkeypatch):
    model = sparsevq.Forecaster(modal_run.path, device="cpu")
    monkeypatch.setattr(type(model), "observed_frames", 99)
    lines = modal_run.history(0, 2).replace({"frame": {0: -40}})
    with pytest.raises(SparseVQError, match=r"begin 42 frames before the last, .*: leave out the oldest frames"):
        model.forecast(lines, 3, 2)


# ------------------------------------------------------------------ issued again


def outlooks(model):
    return model._issued.outlook, model._issued.drawn


def distances(model, leads):
    """(member, lead time, coefficient) of the last forecast from its outlook, in units of its std."""
    outlook, drawn = outlooks(model)
    guess = model._model.gpt.first_guess
    outlook = guess.until(outlook, drawn.states.shape[1])
    return ((drawn.states - outlook.mean) / outlook.std)[:, leads]


def test_an_update_has_the_outlook_of_the_longer_history(modal, modal_run):
    modal.forecast(modal_run.history(0, 1), 6, 4)
    updated = modal.update(modal_run.readings(2))
    mine, _ = outlooks(modal)
    anew = modal.forecast(modal_run.history(0, 1, 2), 6, 4)
    theirs, _ = outlooks(modal)
    torch.testing.assert_close(mine.mean, theirs.mean)
    torch.testing.assert_close(mine.std, theirs.std)
    assert updated.attrs["observed_frames"] == anew.attrs["observed_frames"] == 3
    np.testing.assert_allclose(updated["lead_time"], anew["lead_time"])
    assert updated["u"].shape == anew["u"].shape
    np.testing.assert_allclose(updated["sensor_x"], anew["sensor_x"])


@pytest.mark.parametrize("steps", [1, 3])
def test_a_member_keeps_its_distance_from_the_outlook(modal, modal_run, steps):
    modal.forecast(modal_run.history(0, 1), 6, 4)
    before = distances(modal, slice(steps, 7))
    modal.update(modal_run.readings(1 + steps), steps)
    torch.testing.assert_close(distances(modal, slice(0, 7 - steps)), before, rtol=1e-3, atol=1e-3)
    further = distances(modal, slice(7 - steps, 7))
    assert torch.isfinite(further).all()
    assert further.std(0).mean() > 0.2, "what is new is drawn"


def test_many_members_have_the_mean_of_a_new_forecast(modal, modal_run):
    modal.forecast(modal_run.history(0, 1), 4, 400)
    updated = values(modal.update(modal_run.readings(2)))
    anew = values(modal.forecast(modal_run.history(0, 1, 2), 4, 400))
    spread = anew.std(0)
    apart = np.abs(updated.mean(0) - anew.mean(0))
    assert apart.mean() < 0.25 * spread.mean()
    np.testing.assert_allclose(updated.std(0).mean((1, 2)), spread.mean((1, 2)), rtol=0.35)


def test_an_update_with_readings_as_they_were_expected_changes_little(modal, modal_run):
    """Successive forecasts are of the same members: they differ by what was learnt, not by chance."""
    before = values(modal.forecast(modal_run.history(0, 1, 2), 6, 8))
    after = values(modal.update(modal_run.readings(3)))
    other = values(modal.forecast(modal_run.history(1, 2, 3), 6, 8, seed=99))
    assert np.abs(after[:, :6] - before[:, 1:]).mean() < np.abs(other[:, :6] - before[:, 1:]).mean()


def test_updates_follow_each_other(modal, modal_run):
    modal.forecast(modal_run.history(0), 4, 3)
    for frame in range(1, 5):
        found = modal.update(modal_run.readings(frame))
        assert found.attrs["observed_frames"] == min(frame + 1, 3)
    mine, _ = outlooks(modal)
    modal.forecast(modal_run.history(2, 3, 4), 4, 3)
    torch.testing.assert_close(mine.mean, outlooks(modal)[0].mean)


def test_an_update_keeps_the_arguments_and_is_the_same_again(modal, modal_run):
    found = []
    for _ in range(2):
        modal.forecast(modal_run.history(0, 1), 4, 3, seed=7, temperature=0.5, top_k=4)
        found.append(modal.update(modal_run.readings(2)))
    xr.testing.assert_identical(*found)
    assert {name: found[0].attrs[name] for name in ("seed", "temperature", "top_k")} == {
        "seed": 7,
        "temperature": 0.5,
        "top_k": 4,
    }


def test_without_temperature_an_update_is_the_outlook_for_all_members(modal, modal_run):
    modal.forecast(modal_run.history(0, 1), 4, 3, temperature=0)
    assert np.abs(np.ptp(values(modal.update(modal_run.readings(2))), axis=0)).max() < 1e-5


def test_an_update_without_a_first_guess_is_the_forecast_from_the_longer_history(model, run):
    model.forecast(run.readings(0), 4, 3)
    updated = model.update(run.readings(1))
    anew = model.forecast(run.readings(1), 4, 3)
    xr.testing.assert_equal(updated, anew)


def test_a_forecast_has_the_date_that_is_given_or_read_and_an_update_goes_on(model, run):
    assert "valid_time" not in model.forecast(run.readings(), 2, 1)
    assert run.data.time_units == "s"
    at = np.datetime64("2001-02-28T23:59:59", "ns")
    forecast = model.forecast(run.readings(), 2, 1, date="2001-02-28T23:59:59")
    assert forecast["forecast_reference_time"].values == at
    elapsed = (forecast["lead_time"].values * 1e9).round().astype("m8[ns]")
    np.testing.assert_array_equal(forecast["valid_time"], at + elapsed)
    read = model.forecast(run.readings().assign(time="2001-02-28T23:59:59"), 2, 1)
    np.testing.assert_array_equal(read["valid_time"], forecast["valid_time"])
    later = model.update(run.readings(1))
    assert later["forecast_reference_time"].values == forecast["valid_time"].values[1]
    with pytest.raises(SparseVQError, match="leave out one of the two"):
        model.forecast(run.readings().assign(time="2001-02-28T23:59:59"), 2, 1, date="2001-03-01")


def test_an_update_needs_a_forecast(modal_run):
    with pytest.raises(SparseVQError, match="there is no forecast to issue again: call forecast first"):
        sparsevq.Forecaster(modal_run.path, device="cpu").update(modal_run.readings(1))


@pytest.mark.parametrize("steps", [0, -1, 5])
def test_faulty_steps_of_an_update_are_named_and_change_nothing(modal, modal_run, steps):
    modal.forecast(modal_run.history(0, 1), 4, 3)
    with pytest.raises(SparseVQError, match=rf"steps={steps} is not allowed: give 1 \.\.\. 4, or forecast anew"):
        modal.update(modal_run.readings(2), steps)
    faulty = modal_run.readings(2).assign(u=np.nan, v=np.nan)
    with pytest.raises(SparseVQError, match="observations: no sensor has a value"):
        modal.update(faulty)
    with pytest.raises(SparseVQError, match="have the frame 1 before the last one: give each frame once"):
        modal.update(modal_run.history(1, 2))
    found = modal.update(modal_run.readings(2))
    modal.forecast(modal_run.history(0, 1), 4, 3)
    xr.testing.assert_equal(found, modal.update(modal_run.readings(2)))


# ------------------------------------------------------------------ calibration


@pytest.fixture
def calibrated(modal_run, tmp_path):
    """The run with a calibration of given numbers."""
    folder = tmp_path / "try/waves/n6/seed1"
    shutil.copytree(modal_run.path, folder)
    shutil.copy(modal_run.path.parent.parent / "data.h5", folder / "data.h5")
    shutil.copy(modal_run.path / "basis.h5", folder / "basis.h5")
    chain = Chain(folder)

    def made(temperature=1.0, network=1.0, factors=1.0):
        path = chain.calibrate(starts=(2, 4), observed_frames=(1, 3))
        with edited(path) as file:
            file["temperature"][...], file["network"][...], file["factors"][...] = temperature, network, factors
        return sparsevq.Forecaster(folder, device="cpu")

    return made


@pytest.mark.parametrize("updated", [False, True])
def test_a_factor_moves_members_from_their_mean(calibrated, modal, modal_run, updated):
    by = {1: modal, 2: calibrated(factors=2.0)}
    found = {}
    for factor, model in by.items():
        forecast = model.forecast(modal_run.history(0, 1), 7, 5)  # past the 5 frames that there are factors for
        found[factor] = values(model.update(modal_run.readings(2)) if updated else forecast)
    np.testing.assert_allclose(found[2].mean(0), found[1].mean(0), atol=1e-4)
    apart = {factor: each - each.mean(0) for factor, each in found.items()}
    np.testing.assert_allclose(apart[2], 2 * apart[1], atol=1e-4)


def test_factors_are_those_of_the_lead_time_the_channel_and_the_observed_frames(calibrated, modal, modal_run):
    factors = np.ones((2, 6, 2))
    factors[1, 3, 1] = 1.5  # from three frames, lead time 3, v
    model = calibrated(factors=factors)
    for frames in ((2,), (1, 2), (0, 1, 2)):
        found, plain = (values(each.forecast(modal_run.history(*frames), 5, 4)) for each in (model, modal))
        ratio = found.std(0).mean(1) / plain.std(0).mean(1)
        expected = factors[1] if len(frames) == 3 else np.ones((6, 2))
        np.testing.assert_allclose(ratio, expected, rtol=1e-3)


def test_a_calibrated_temperature_is_taken_where_none_is_given(calibrated, modal, modal_run):
    model, lines = calibrated(temperature=0.25), modal_run.history(0, 1, 2)
    found = model.forecast(lines, 4, 3)
    assert found.attrs["temperature"] == 0.25
    xr.testing.assert_allclose(found, modal.forecast(lines, 4, 3, temperature=0.25), rtol=1e-4, atol=1e-5)
    xr.testing.assert_allclose(model.forecast(lines, 4, 3, temperature=1), modal.forecast(lines, 4, 3), atol=1e-5)
    assert modal.forecast(lines, 4, 3).attrs["temperature"] == 1


def test_a_calibrated_weight_of_the_network_is_taken(calibrated, modal_run):
    model = calibrated(network=0.0)
    heard = []
    hook = model._model.gpt.layers[0].register_forward_pre_hook(lambda *given: heard.append(given))
    model.forecast(modal_run.history(0, 1, 2), 4, 3)
    hook.remove()
    assert not heard, "the network need not be computed"


def test_a_faulty_calibration_is_one_line(calibrated):
    for faulty in ({"factors": 0.0}, {"factors": np.nan}, {"temperature": -1.0}, {"network": 2.0}):
        with pytest.raises(SparseVQError, match=r"calibration\.h5: .*: calibrate the run again"):
            calibrated(**faulty)


def test_a_calibration_of_another_run_is_refused(calibrated, modal_run, tmp_path):
    calibrated()
    folder = tmp_path / "try/waves/n6/seed1"
    Chain(folder).gpt(seed=9, **REGRESSION)
    with pytest.raises(SparseVQError, match=r"calibration\.h5 was made from another gpt"):
        sparsevq.Forecaster(folder, device="cpu")


def test_a_gpt_of_an_earlier_version_is_one_line(run, monkeypatch):
    file = Run(run.path).model("gpt")
    old = replace(file, shape={name: size for name, size in file.shape.items() if name != "observed_frames"})
    read = Run.model
    monkeypatch.setattr(Run, "model", lambda self, part: old if part == "gpt" else read(self, part))
    with pytest.raises(SparseVQError, match=r"trained by an earlier version, .*: train stage 3 again") as caught:
        sparsevq.Forecaster(run.path, device="cpu")
    assert "\n" not in str(caught.value)


def test_importing_sparsevq_waits_for_nothing():
    code = "import sys, sparsevq; sys.exit('torch' in sys.modules or 'xarray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Forecast'"):
        _ = sparsevq.Forecast


def test_a_forecaster_says_what_it_is(modal, modal_run, calibrated):
    shown = repr(modal)
    for words in (
        "data set     waves",
        "8 x 12 points: y 0 ... 1 [m], x 0 ... 0.91667 [m]",
        "u [m/s], v [m/s]",
        "sensors      6, placed by random",
        "up to 3 frames, 0.5 s apart",
        "4 frames ahead, 0.5 s apart: 2 s",
        "not calibrated",
        "device       cpu",
        str(modal_run.path),
    ):
        assert words in shown, shown
    assert "calibrated on the validation split, temperature 0.5" in repr(calibrated(temperature=0.5))
    assert modal._repr_html_().count("<tr>") == shown.count("\n")
