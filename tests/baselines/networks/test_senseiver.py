"""The Senseiver: a set of readings, whose places and times matter and whose order does not."""

import dataclasses

import numpy as np
import pytest
import torch

from sparsevq.baselines.networks.senseiver import Senseiver
from sparsevq.config.networks import SenseiverConfig
from sparsevq.errors import SparseVQError
from tests.baselines.scenes import small_waves
from tests.flows import scattered_waves

SMALL = SenseiverConfig(
    space_bands=4,
    time_bands=3,
    width=16,
    latents=8,
    layers=2,
    heads=2,
    leads_a_batch=2,
    batch_pixels=64,
    batch_frames=16,
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return small_waves(tmp_path_factory.mktemp("scene"))


def senseiver(scene, horizon=4, **changes):
    torch.manual_seed(0)
    settings = SMALL.model_copy(update=changes)
    return Senseiver(scene[0], Senseiver.sizes(scene[0], settings, horizon), settings)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_order_of_sensors_does_not_matter(scene):
    model = senseiver(scene).eval()
    readings = torch.randn(2, 1, 12, generator=seeded())
    before = model.forecast(readings, 4)
    assert before.shape == (2, 5, 96, 2)
    order = torch.randperm(6, generator=seeded(1))
    other = dataclasses.replace(scene[0], sparse=scene[0].sparse[order.numpy()])
    model = senseiver((other, None)).eval()
    moved = readings.unflatten(-1, (6, 2))[:, :, order].flatten(-2)
    torch.testing.assert_close(model.forecast(moved, 4), before, rtol=1e-4, atol=1e-5)


def test_readings_are_where_their_sensors_read_them(scene):
    """A sensor without one of the channels reads its mean, 0, in it."""
    reads = np.ones((6, 2), bool)
    reads[[0, 3], [1, 0]] = False
    some = dataclasses.replace(scene[0], reads=reads)
    readings = torch.randn(2, 1, 10, generator=seeded())
    whole = torch.zeros(2, 1, 12)
    whole[..., torch.from_numpy(reads.ravel())] = readings
    found = senseiver((some, None)).eval().forecast(readings, 1)
    torch.testing.assert_close(found, senseiver(scene).eval().forecast(whole, 1))


def test_lead_times_and_the_times_of_readings_matter(scene):
    model = senseiver(scene, observed_frames=3).eval()
    readings = torch.randn(2, 3, 12, generator=seeded())
    found = model.forecast(readings, 4)
    assert not torch.allclose(found[:, 0], found[:, 4], atol=1e-3)
    assert not torch.allclose(model.forecast(readings.flip(1), 4), found, atol=1e-4)


def test_an_axis_that_is_periodic_closes(scene):
    model = senseiver(scene)
    places, lead = torch.tensor([[0.3, -1.0], [0.3, 1.0], [-1.0, 0.2], [1.0, 0.2]]), torch.zeros(1)
    left, right, bottom, top = model.features(places, lead)
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(bottom, top, atol=0.1)


@pytest.mark.parametrize("at_once", [1, 3, 2**15])
def test_piece_by_piece_is_the_same(scene, at_once, monkeypatch):
    model, readings = senseiver(scene).eval(), torch.randn(2, 1, 12, generator=seeded())
    with torch.no_grad():
        whole = model.decoder(model.latents(readings), model.features(model._places, torch.arange(3)))
        monkeypatch.setattr("sparsevq.baselines.networks.senseiver.QUERIES_AT_ONCE", at_once)
        found = model.forecast(readings, 2)
    torch.testing.assert_close(found, whole.unflatten(1, (3, 96)), rtol=1e-4, atol=1e-5)


def test_what_it_is_trained_on_is_the_flow_at_its_points_and_lead_times(scene):
    model, flows = senseiver(scene), scene[1]
    readings, points, leads, truth, valid = model.draw(flows, seeded(), 0, slice(None))
    starts_generator = seeded()
    assert leads.tolist() == torch.randperm(5, generator=starts_generator)[:2].sort().values.tolist()
    starts = flows.draw(8, starts_generator, 1, 4)
    fields, there = flows.truth(starts, 4)
    assert torch.equal(readings, flows.readings(starts, 1))
    assert torch.equal(truth, fields[:, leads][:, :, points])
    assert torch.equal(valid, there[:, None, points].expand(-1, 2, -1))
    # What is masked has no part in the loss.
    other = torch.where(valid[..., None], truth, 7.0)
    assert (
        model.loss(readings, points, leads, other, valid)["loss"]
        == model.loss(readings, points, leads, truth, valid)["loss"]
    )


def test_it_learns_to_forecast(tmp_path):
    """Better than the mean on flows that it has not seen: a wave that travels over scattered points."""
    scene = small_waves(tmp_path, scattered_waves(trajectories=60, frames=8, points=60))
    model, flows = senseiver(scene, horizon=3, batch_frames=32, batch_pixels=32), scene[1]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(200):
        optimizer.zero_grad()
        model.loss(*model.draw(flows, seeded(step), 0, slice(None)))["loss"].backward()
        optimizer.step()
    starts = flows.held_out(8, 1, 3)
    truth, _ = flows.truth(starts, 3)
    with torch.no_grad():
        error = model.eval().forecast(flows.readings(starts, 1), 3) - truth
    assert error.norm() < 0.7 * truth.norm()


def test_past_its_horizon_it_says_so(scene):
    with pytest.raises(SparseVQError, match="trained for 4 frames ahead, not for 5"):
        senseiver(scene).forecast(torch.zeros(1, 1, 12), 5)
