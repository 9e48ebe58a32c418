"""A trained encoder in use: it sees its own sensors alone, and how many frames go at once changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsevq.config import Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.errors import SparseVQError
from sparsevq.models.positions import sine_cosine_features
from sparsevq.runtime.model_file import load_model
from sparsevq.stage1 import model as stage1
from sparsevq.stage1.encoding import load_stage1
from sparsevq.stage1.model import decode_at, decode_everywhere, encode_views
from sparsevq.training.fields import reconstruction_metrics, validation_views
from tests.flows import travelling_waves

CPU = torch.device("cpu")


def loaded(trained, role, data=None):
    run = trained.run()
    if data is not None:
        run.domain = data
    return load_stage1(run, role, CPU)


def as_seen(data, trained):
    return DeviceFields(data, Symmetries(), CPU, trained.run().basis)


def all_views(fields):
    return fields.views(torch.arange(fields.trajectories), torch.arange(fields.frames))


@pytest.mark.parametrize("role", ["sparse", "semi_sparse"])
def test_latents_depend_on_the_encoders_own_sensors_alone(trained, role):
    data, sensors = trained.data, getattr(trained.sensors, role)
    model = loaded(trained, role)
    before = encode_views(model, fields := trained.fields(), all_views(fields))
    assert before.shape == (70, 16, 16)

    elsewhere = np.setdiff1d(np.arange(data.num_points), sensors)
    scrambled = data.fields.copy().reshape(data.flat_fields.shape)
    scrambled[:, :, elsewhere] = 1e3
    fields = as_seen(replace(data, fields=scrambled.reshape(data.fields.shape)), trained)
    torch.testing.assert_close(encode_views(model, fields, all_views(fields)), before)

    for sensor in sensors:
        moved = data.fields.copy().reshape(data.flat_fields.shape)
        moved[:, :, sensor] += 1
        fields = as_seen(replace(data, fields=moved.reshape(data.fields.shape)), trained)
        assert (encode_views(model, fields, all_views(fields)) - before).abs().amax((1, 2)).min() > 1e-5


def test_the_place_of_a_sensor_is_its_grid_points(trained):
    model = loaded(trained, "sparse")
    scaled = torch.from_numpy(trained.data.scaled_coordinates)
    assert model.where.tolist() == trained.sensors.sparse.tolist()
    expected = sine_cosine_features(scaled[model.where], 4, trained.data.grid, trained.data.closed)
    torch.testing.assert_close(model.features[model.where], expected)


@pytest.mark.parametrize("at_once", [1, 7, 70])
def test_how_many_frames_go_at_once_changes_nothing(trained, monkeypatch, at_once):
    model = loaded(trained, "semi_sparse")
    fields = trained.fields()
    latents = encode_views(model, fields, all_views(fields))
    torch.testing.assert_close(encode_views(model, fields, all_views(fields), at_once), latents, rtol=1e-4, atol=1e-5)
    guess = decode_everywhere(model, latents)
    assert guess.shape == (70, 96, 2)
    monkeypatch.setattr(stage1, "VALUES_AT_ONCE", at_once * 96)
    torch.testing.assert_close(decode_everywhere(model, latents), guess, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("role", ["sparse", "semi_sparse"])
def test_a_model_that_is_loaded_is_as_good_as_it_was_at_its_best_validation(trained, role):
    model = loaded(trained, role)
    fields = trained.fields()
    val = validation_views(trained.data, fields)
    again = reconstruction_metrics(fields, val, decode_everywhere(model, encode_views(model, fields, val)))
    file = load_model(trained.model(role), role)
    assert again == pytest.approx(file.extra["validation"], rel=1e-5)


def test_a_loaded_model_is_frozen(trained):
    autoencoder = loaded(trained, "sparse").autoencoder
    assert not autoencoder.training
    assert not any(weight.requires_grad for weight in autoencoder.parameters())


@pytest.mark.parametrize("grid", [(12, 8), (8, 13), (96,), (4, 8, 3)])
def test_a_model_of_another_grid_is_refused(trained, grid):
    with pytest.raises(SparseVQError, match=r"trained on a grid \[8, 12\] with 2 channels, but waves has") as caught:
        loaded(trained, "sparse", travelling_waves(grid=grid))
    assert "\n" not in str(caught.value)


def test_a_model_that_is_no_encoder_is_refused(trained):
    with pytest.raises(SparseVQError, match="is a tokenizer model, not sparse or semi_sparse"):
        load_stage1(trained.run(sparse=trained.model("tokenizer")), "sparse", CPU)


def test_decoding_at_some_points_is_decoding_everywhere_and_looking_there(trained):
    model = loaded(trained, "sparse")
    latents = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([5, 0, 95, 40])
    torch.testing.assert_close(decode_at(model, latents, points), decode_everywhere(model, latents)[:, points])


def test_what_points_ask_is_computed_once_for_all_frames(trained, monkeypatch):
    model = loaded(trained, "semi_sparse")
    latents = encode_views(model, fields := trained.fields(), all_views(fields))
    expected = model.autoencoder.decoder(latents, model.features)
    decoder, asked = type(model.autoencoder.decoder), []
    monkeypatch.setattr(
        decoder, "asked", lambda self, features, of=decoder.asked: asked.append(1) or of(self, features)
    )
    monkeypatch.setattr(stage1, "VALUES_AT_ONCE", 96)  # each frame alone
    torch.testing.assert_close(decode_everywhere(model, latents), expected, rtol=1e-4, atol=1e-5)
    assert len(asked) == 1
