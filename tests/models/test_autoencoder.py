"""Encoder and decoder: a set of sensors has no order, and a point's answer is its own."""

from dataclasses import replace

import pytest
import torch

from sparsevq.models.autoencoder import AutoencoderConfig, SensorAutoencoder

SHAPE = AutoencoderConfig(
    channels=2,
    position_features=12,
    enc_preproc_ch=8,
    num_latents=6,
    enc_num_latent_channels=16,
    num_layers=3,
    num_cross_attention_heads=2,
    num_self_attention_heads=4,
    num_self_attention_layers_per_block=2,
    dec_preproc_ch=8,
    dec_num_latent_channels=12,
    mlp_ratio=2,
)


@pytest.fixture
def model() -> SensorAutoencoder:
    torch.manual_seed(0)
    return SensorAutoencoder(SHAPE).eval()


@pytest.fixture
def readings() -> torch.Tensor:
    return torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def places() -> torch.Tensor:
    return torch.randn(9, 12, generator=torch.Generator().manual_seed(2))


def test_the_order_of_the_sensors_changes_nothing(model, readings, places):
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    latents = model.encoder(readings, places)
    torch.testing.assert_close(model.encoder(readings[:, order], places[order]), latents, rtol=1e-4, atol=1e-5)
    moved = model.encoder(readings[:, order], places)
    assert (moved - latents).abs().max() > 1e-2, "a reading belongs to its place"


@pytest.mark.parametrize("count", [1, 4, 200])
def test_any_number_of_sensors_gives_the_same_number_of_latents(model, count):
    assert model.encoder(torch.randn(3, count, 2), torch.randn(count, 12)).shape == (3, 6, 16)


def test_each_frame_may_have_sensors_of_its_own(model, readings):
    places = torch.randn(3, 9, 12)
    together = model.encoder(readings, places)
    for frame in range(3):
        alone = model.encoder(readings[frame : frame + 1], places[frame])
        torch.testing.assert_close(together[frame : frame + 1], alone, rtol=1e-4, atol=1e-5)


def test_every_reading_is_heard(model, readings, places):
    latents = model.encoder(readings, places)
    for sensor in range(9):
        for channel in range(2):
            other = readings.clone()
            other[:, sensor, channel] += 1
            assert (model.encoder(other, places) - latents).abs().max() > 1e-3


def test_later_blocks_share_their_weights():
    def weights(layers: int) -> int:
        return sum(p.numel() for p in SensorAutoencoder(replace(SHAPE, num_layers=layers)).encoder.parameters())

    assert weights(1) < weights(2) == weights(3) == weights(6)


def test_more_blocks_look_again(model, readings, places):
    deeper = SensorAutoencoder(replace(SHAPE, num_layers=4)).eval()
    deeper.load_state_dict(model.state_dict())
    assert (deeper.encoder(readings, places) - model.encoder(readings, places)).abs().max() > 1e-3


def test_what_a_point_answers_does_not_depend_on_the_other_points(model, readings, places):
    latents = model.encoder(readings, places)
    asked = torch.randn(40, 12)
    answer = model.decoder(latents, asked)
    assert answer.shape == (3, 40, 2)
    pieces = torch.cat([model.decoder(latents, part) for part in asked.split(7)], dim=1)
    torch.testing.assert_close(pieces, answer, rtol=1e-4, atol=1e-5)
    order = torch.randperm(40)
    torch.testing.assert_close(model.decoder(latents, asked[order]), answer[:, order], rtol=1e-4, atol=1e-5)


def test_answers_differ_between_points_and_between_frames(model, readings, places):
    answer = model(readings, places, torch.randn(40, 12))
    assert answer.std(dim=1).min() > 1e-3
    assert answer.std(dim=0).max() > 1e-3


def test_frames_of_a_batch_do_not_see_each_other(model, readings, places):
    asked = torch.randn(5, 12)
    alone = torch.cat([model(frame[None], places, asked) for frame in readings])
    torch.testing.assert_close(model(readings, places, asked), alone, rtol=1e-4, atol=1e-5)


def test_every_weight_learns(model, readings, places):
    model.train()
    model(readings, places, torch.randn(40, 12)).square().sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []
