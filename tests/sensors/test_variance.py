"""Greedy choice by the posterior variance: closed forms, brute force, and what keeps sensors away from places."""

from dataclasses import replace

import numpy as np
import pytest

from sparsevq.basis.basis import compute_basis
from sparsevq.config import SensorsConfig
from sparsevq.errors import SparseVQError
from sparsevq.sensors.distance import Distance
from sparsevq.sensors.placement import place_sensors
from sparsevq.sensors.placements.sites import Sites
from sparsevq.sensors.placements.variance import ExpectedError, ExpectedGain, expected_errors, greedy
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

PLACEMENTS = ("random", "qr", "variance")


@pytest.fixture(scope="module")
def waves():
    data = travelling_waves(grid=(6, 8), obstacle=False)
    data.fields[...] += np.random.default_rng(0).normal(0, 0.3, data.fields.shape)
    return data


@pytest.fixture(scope="module")
def basis(waves):
    return compute_basis(waves, None, 10)


def settings(placement="variance", **given):
    return SensorsConfig(placement=placement, num_semi_sparse=1, **given)


def dense(basis, points, reads, noise, importance):
    """Expected squared error by one dense solve over all readings."""
    rows = basis.modes.transpose(1, 2, 0).astype(float)  # (N, C, r)
    prior = np.diag(basis.std**2)
    left = prior
    if len(points):
        h = np.concatenate([rows[point][which] for point, which in zip(points, reads, strict=True)])
        errors = [(basis.residual[point] + noise**2)[which] for point, which in zip(points, reads, strict=True)]
        r = np.diag(np.maximum(np.concatenate(errors), 1e-6))
        left = prior - prior @ h.T @ np.linalg.solve(h @ prior @ h.T + r, h @ prior)
    at_points = np.einsum("nck,kl,ncl->nc", rows, left, rows) + basis.residual
    return float((basis.weights[:, None] * importance * at_points).sum() / len(at_points))


@pytest.mark.parametrize("importance", [(1.0, 1.0), (0.0, 2.0)])
@pytest.mark.parametrize("channels", ["both", "one", "mixed"])
def test_greedy_is_brute_force_at_each_step(waves, basis, channels, importance):
    points = np.arange(0, 48, 2)
    reads = np.ones((len(points), 2), bool)
    if channels != "both":
        reads[:: 1 if channels == "one" else 3, 0] = False
    noise, weights = np.array([0.1, 0.3]), np.array(importance)
    error = ExpectedError(basis, noise, weights)
    error_before = error.value
    chosen, expected = greedy(ExpectedGain(error, points, reads), Sites(waves, points), reads, 4)
    assert expected[0] == error_before == pytest.approx(dense(basis, [], [], noise, weights), rel=1e-6)
    taken: list[int] = []
    for step, point in enumerate(chosen.tolist()):
        costs = [
            np.inf if place in taken else dense(basis, points[[*taken, place]], reads[[*taken, place]], noise, weights)
            for place in range(len(points))
        ]
        assert points[int(np.argmin(costs))] == point
        assert expected[step + 1] == pytest.approx(min(costs), rel=1e-6)
        taken.append(int(np.argmin(costs)))


def test_the_map_of_gains_is_what_one_more_sensor_would_gain(basis):
    points, noise = np.arange(48), np.array([0.1, 0.1])
    reads = np.ones((48, 2), bool)
    gain = ExpectedGain(ExpectedError(basis, noise), points, reads)
    gain.read(11, reads[0])  # a sensor that is there already
    gains, before = gain.at_points(), gain.error.value
    for point in (0, 11, 30):
        after = expected_errors(ExpectedError(basis, noise), np.array([11, point]), reads[:2])[-1]
        assert gains[point] == pytest.approx(before - after, rel=1e-5, abs=1e-9)


def test_an_order_of_readings_does_not_matter(basis):
    points, reads, noise = np.array([3, 30, 44]), np.ones((3, 2), bool), np.zeros(2)
    one, other = (expected_errors(ExpectedError(basis, noise), order, reads)[-1] for order in (points, points[::-1]))
    assert one == pytest.approx(other, rel=1e-6)


def test_of_noise_alone_nothing_is_learnt(basis):
    reads = np.ones((48, 2), bool)
    gain = ExpectedGain(ExpectedError(basis, np.full(2, 1e6)), np.arange(48), reads)
    assert gain.at_points().max() < 1e-9


def test_variance_is_never_expected_to_be_worse_than_qr_at_the_first_sensor(waves, basis):
    first = [place_sensors(waves, settings(name), 1, 0, basis).sparse for name in ("variance", "qr")]
    errors = [expected_errors(ExpectedError(basis, np.zeros(2)), at, np.ones((1, 2), bool))[-1] for at in first]
    assert errors[0] <= errors[1]


def test_variance_finds_the_points_that_see_the_most():
    """Four blobs that oscillate independently, one of them twice as strong: its centre comes first, then the others."""
    data = travelling_waves(trajectories=6, frames=40, grid=(20, 20), obstacle=False)
    middles = [(4, 4), (4, 15), (14, 5), (15, 15)]
    row, column = np.indices((20, 20))
    blobs = [np.exp(-((row - y) ** 2 + (column - x) ** 2) / 4) for y, x in middles]
    beats = np.random.default_rng(0).normal(size=(6, 40, 2, 4)) * [1, 1, 2, 1]
    data.fields[:] = np.einsum("tfck,kyx->tfyxc", beats, np.array(blobs))
    sets = place_sensors(data, settings(), 4, 0, compute_basis(data, None, 20), noise=0.1)
    found = list(zip(*map(np.ndarray.tolist, np.unravel_index(sets.sparse, data.grid)), strict=True))
    assert found[0] == (14, 5)
    assert set(found) == set(middles)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_least_distance_is_held(placement):
    data = travelling_waves(grid=(12, 12))
    basis = compute_basis(data, None, 10)
    chosen = place_sensors(data, settings(placement, min_distance=0.2), 8, 0, basis).sparse
    assert nearest_neighbours(data, chosen) >= 0.2 - 1e-9
    alone = place_sensors(data, settings(placement), 20, 0, basis).sparse
    assert nearest_neighbours(data, alone) < 0.2
    with pytest.raises(SparseVQError, match=r"only \d+ of 60 sensors fit at least 0.2 m apart: place fewer"):
        place_sensors(data, settings(placement, min_distance=0.2), 60, 0, basis)


def nearest_neighbours(data, points):
    distance, places = Distance.of(data), data.physical_coordinates[points]
    return min(distance(np.delete(places, k, 0), place).min() for k, place in enumerate(places))


@pytest.mark.parametrize("placement", [*PLACEMENTS, "grid"])
def test_a_region_holds_for_every_placement(placement):
    data = travelling_waves(grid=(17, 17))
    region = ((0.5, 1.0), (0.0, 0.3))
    sets = place_sensors(data, settings(placement, region=region), 6, 0, compute_basis(data, None, 10))
    places = sets.coordinates[:6]
    assert ((places >= [0.5, 0.0]) & (places <= [1.0, 0.3])).all()
    assert np.ptp(places, axis=0).min() > 0.1, "spread over the region"


def test_places_of_a_file_are_checked_too(tmp_path):
    data = travelling_waves(grid=(12, 12), obstacle=False)
    (tmp_path / "mine.csv").write_text("y,x\n0.1,0.1\n0.1,0.3\n")
    given = {"csv": tmp_path / "mine.csv"}
    assert len(place_sensors(data, settings("csv", min_distance=0.1, **given), 2, 0).sparse) == 2
    with pytest.raises(SparseVQError, match=r"sensors 0 and 1 are less than 0.5 m apart"):
        place_sensors(data, settings("csv", min_distance=0.5, **given), 2, 0)
    with pytest.raises(SparseVQError, match=r"mine.csv: sensor 1 is outside sensors.region: move it"):
        place_sensors(data, settings("csv", region=((0, 1), (0, 0.2)), **given), 2, 0)


def test_a_lattice_too_narrow_for_the_least_distance_is_an_error():
    data = travelling_waves(grid=(12, 12), obstacle=False)
    with pytest.raises(SparseVQError, match=r"placement=grid with 36 sensors: sensors \d+ and \d+ are less than 0.4 m"):
        place_sensors(data, settings("grid", min_distance=0.4), 36, 0)


@pytest.mark.parametrize("make", [travelling_waves, on_a_sphere, scattered_waves])
def test_variance_serves_every_geometry_and_is_deterministic(make):
    data = make()
    basis = compute_basis(data, None, 10)
    one, other = (place_sensors(data, settings(min_distance=0.01), 5, seed, basis).sparse for seed in (0, 1))
    np.testing.assert_array_equal(one, other)
    assert data.flat_mask[:, one].all()
    assert len(set(one.tolist())) == 5


def test_distances_go_the_short_way_around():
    data = travelling_waves(grid=(11, 10))
    along = Distance.of(data)(np.array([[0.0, 0.9], [0.0, 0.5], [0.3, 0.1]]), np.array([0.0, 0.1]))
    np.testing.assert_allclose(along, [0.2, 0.4, 0.3], atol=1e-12)


def test_distances_on_a_sphere_are_along_great_circles():
    distance = Distance.of(on_a_sphere())
    assert distance.unit == "degrees of arc"
    places = np.array([[0.0, 350.0], [80.0, 190.0], [90.0, 77.0], [0.0, 190.0]])
    np.testing.assert_allclose(distance(places, np.array([0.0, 10.0])), [20, 100, 90, 180], atol=1e-6)
    np.testing.assert_allclose(distance(places[1:2], np.array([80.0, 10.0])), [20], atol=1e-6)


def test_axes_of_different_units_have_no_distance(waves):
    other = replace(waves, axis_units={"y": "m", "x": "hPa"})
    with pytest.raises(SparseVQError, match=r"axes of one unit, but there are y \[m\], x \[hPa\]"):
        place_sensors(other, settings("random", min_distance=0.1), 2, 0)
