"""SHRED: it begins near the mean, learns what a history says, and forecasts no further than it was trained for."""

import pytest
import torch

from sparsevq.baselines.networks.shred import Shred
from sparsevq.config.networks import ShredConfig
from sparsevq.errors import SparseVQError
from tests.baselines.scenes import small_waves

SMALL = {"layers": 1, "width": 16, "decoder": (32,), "dropout": 0.0, "modes": 8}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return small_waves(tmp_path_factory.mktemp("scene"))


def shred(scene, horizon=4, **changes):
    torch.manual_seed(0)
    settings = ShredConfig(**SMALL | {"observed_frames": 3} | changes)
    found = Shred(scene[0], Shred.sizes(scene[0], settings, horizon), settings)
    found.prepare(scene[1], seed=0)
    return found


def fitted(scene, frames: int) -> float:
    """Its error in windows of the training flows, trained with as many observed frames."""
    model = shred(scene, observed_frames=frames, batch_frames=160)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(200):
        optimizer.zero_grad()
        batch = model.draw(scene[1], torch.Generator().manual_seed(step), step / 200, slice(None))
        loss = model.loss(*batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


def test_the_loss_of_the_mean_is_one(scene):
    model = shred(scene)
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
        model.decoder[-1].bias.zero_()
        losses = [
            model.loss(*model.draw(scene[1], torch.Generator().manual_seed(seed), 0, slice(None)))["loss"].item()
            for seed in range(4)
        ]
    assert sum(losses) / 4 == pytest.approx(1, abs=0.1)


def test_it_learns_what_a_history_says(tmp_path):
    """Of two waves with phases and speeds of their own one sensor says more in four frames than in one."""
    scene = small_waves(tmp_path, sensors=1)
    one, four = fitted(scene, 1), fitted(scene, 4)
    assert four < 0.6 * one < 0.6


def test_its_fields_are_modes_times_its_coefficients(scene):
    model = shred(scene).eval()
    readings, true = model.draw(scene[1], torch.Generator().manual_seed(0), 0, slice(0, 2))
    assert readings.shape == (2, 3, 12) and true.shape == (2, 5, 8)
    found = model.forecast(readings, 2)
    assert found.shape == (2, 3, 96, 2)
    expected = torch.einsum("blr,rn->bln", model(readings)[:, :3], scene[0].modes[:8])
    torch.testing.assert_close(found.flatten(2), expected)


def test_windows_are_those_that_end_with_what_was_observed(scene):
    model = shred(scene)
    readings, true = model._given(scene[1], scene[1].held_out(2, 3, 4))
    exact = torch.einsum("blr,rn->bln", true, scene[0].modes[:8]).unflatten(-1, (96, 2))
    at_sensors = exact[:, 0, scene[0].sparse].flatten(1)
    apart = (readings[:, -1] - at_sensors).norm() / readings[:, -1].norm()
    assert apart < 0.35, "eight modes have most of what the sensors read in the last frame"
    assert (readings[:, 0] - at_sensors).norm() > 2 * (readings[:, -1] - at_sensors).norm()


def test_past_its_horizon_it_says_so(scene):
    with pytest.raises(SparseVQError, match="trained for 4 frames ahead, not for 5"):
        shred(scene).forecast(torch.zeros(1, 3, 12), 5)
