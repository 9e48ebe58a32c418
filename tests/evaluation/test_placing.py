"""What places of sensors are worth: measured as fields are, and expected as it then comes out."""

import csv

import numpy as np
import pytest
import xarray as xr

from sparsevq.basis.basis import compute_basis
from sparsevq.basis.posterior import Posterior
from sparsevq.config import SensorsConfig
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.placing.files import as_maps, write_places
from sparsevq.evaluation.placing.held_out import HeldOut
from sparsevq.evaluation.placing.picture import draw_places
from sparsevq.evaluation.placing.proposal import Wanted, compare, maps, measured, place, told
from sparsevq.sensors.placement import free_points, place_sensors
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

NONE = {"existing": np.zeros(0, np.int64), "existing_reads": np.zeros((0, 2), bool)}


def wanted(data, modes=8, **given):
    points = free_points(data)
    usual = {
        "points": points,
        "reads": np.ones((len(points), 2), bool),
        "noise": np.full(2, 0.05),
        "importance": np.ones(2),
        "min_distance": 0.0,
        **NONE,
    }
    return Wanted(data=data, basis=compute_basis(data, None, modes), **{**usual, **given})


@pytest.fixture(scope="module")
def waves():
    return travelling_waves(frames=20)


@pytest.mark.parametrize("importance", [(1.0, 1.0), (0.0, 3.0)])
def test_the_measured_error_is_that_of_the_fields(waves, importance):
    """Points inside an obstacle that moves from trajectory to trajectory do not count, as in every metric."""
    basis, weights = compute_basis(waves, None, 8), np.array(importance)
    points, reads, noise = np.array([3, 80, 200]), np.array([[True, True], [True, False], [False, True]]), np.zeros(2)
    posterior = Posterior(basis.std)
    modes, error = basis.modes[:, points][:, reads].T, basis.residual[points][reads]
    posterior.read(modes, error)
    found = HeldOut(waves, basis, "val", weights).error(posterior, points, reads, noise)
    squares = []
    trajectory = waves.trajectories("val")[0]
    for frame in waves.flat_fields[trajectory]:
        anomaly = (frame - basis.mean) / basis.scale
        guess = np.tensordot(posterior.gain(modes, error) @ anomaly[points][reads], basis.modes, 1)
        valid = waves.flat_mask[trajectory] * basis.weights
        squares.append((valid[:, None] * weights * (guess - anomaly) ** 2).sum() / len(valid))
    assert found == pytest.approx(np.mean(squares), rel=1e-4)


def test_on_the_training_split_what_is_expected_is_measured(waves):
    """Of a Gaussian whose covariance is that of the frames, the mean error is what the covariance says."""
    ask = wanted(travelling_waves(frames=20, obstacle=False), modes=40, noise=np.zeros(2))
    placed = place(ask, "variance", 3)
    held_out = HeldOut(ask.data, ask.basis, "train", ask.importance)
    found = measured(ask, held_out, placed, [0, 1, 3])
    np.testing.assert_allclose(found, placed.expected[[0, 1, 3]], rtol=1e-4, atol=1e-5)


def test_it_places_as_the_workflow_does(waves):
    ask = wanted(waves, noise=np.full(2, 0.1))
    for method in ("variance", "qr"):
        settings = SensorsConfig(placement=method, num_semi_sparse=1)
        sets = place_sensors(waves, settings, 6, 0, ask.basis, noise=0.1)
        np.testing.assert_array_equal(place(ask, method, 6).points, sets.sparse)


def test_sensors_that_are_there_are_continued(waves):
    """Greedy choice goes on where it stopped, and existing sensors count before the first proposed one."""
    ask = wanted(waves)
    five = place(ask, "variance", 5)
    rest = wanted(waves, existing=five.points[:2], existing_reads=five.reads[:2])
    for method in ("variance", "qr"):
        whole = place(ask, method, 5).points
        there = wanted(waves, existing=whole[:2], existing_reads=five.reads[:2])
        np.testing.assert_array_equal(place(there, method, 3).points, whole[2:])
    np.testing.assert_allclose(place(rest, "variance", 3).expected, five.expected[2:], rtol=1e-6)


def test_the_map_is_highest_where_the_next_sensor_goes(waves):
    ask = wanted(waves)
    three = place(ask, "variance", 3)
    found = maps(ask, three)
    assert np.nanargmax(found.gain_before) == three.points[0]
    assert np.nanmax(found.gain_before) == pytest.approx(1 - three.expected[1] / three.expected[0], rel=1e-5)
    assert np.nanargmax(found.gain_after) == place(ask, "variance", 4).points[3]
    assert np.isnan(found.gain_before[~waves.flat_mask.all(axis=0)]).all()
    assert (found.std_after[three.points] < 0.3 * found.std[three.points]).all(), "where it is read, little is open"


def test_more_noise_expects_more_error(waves):
    errors = [place(wanted(waves, noise=np.full(2, noise)), "variance", 4).expected[-1] for noise in (0, 0.1, 1, 1e6)]
    assert (np.diff(errors) > 0).all()
    assert errors[-1] == pytest.approx(compute_basis(waves, None, 8).variance, rel=1e-5)


def test_places_are_compared_with_random_ones_of_the_same_kind(waves):
    points = np.flatnonzero(waves.flat_mask.all(axis=0) & (waves.physical_coordinates[:, 1] < 0.5))
    ask = wanted(waves, points=points, reads=np.ones((len(points), 2), bool), min_distance=0.1)
    placed = place(ask, "variance", 7)
    errors = compare(ask, placed, HeldOut(waves, ask.basis, "val", ask.importance), 4)
    assert errors.counts == [0, 1, 2, 5, 7]
    assert errors.expected[0] == errors.measured[0] == 1
    assert errors.random_expected.shape == errors.random_measured.shape == (4, 5)
    assert (errors.expected[1:3] < errors.random_expected[:, 1:3].min(axis=0)).all()
    np.testing.assert_allclose(errors.curve[errors.counts], errors.expected)
    for seed in range(3):
        assert np.isin(place(ask, "random", 7, seed).points, points).all()
    assert told(1) == [0, 1]
    assert told(100) == [0, 1, 2, 5, 10, 20, 50, 100]


def test_without_held_out_frames_nothing_is_measured(waves):
    ask = wanted(waves)
    errors = compare(ask, place(ask, "qr", 2), None, 2)
    assert not len(errors.measured)
    with pytest.raises(SparseVQError, match="has no trajectory of the split ood"):
        HeldOut(waves, ask.basis, "ood", ask.importance)


@pytest.mark.parametrize("make", [travelling_waves, on_a_sphere, scattered_waves])
def test_files_of_every_geometry(make, tmp_path):
    data = make()
    ask = wanted(data)
    placed = place(ask, "variance", 3)
    ask = wanted(data, existing=placed.points[:1], existing_reads=np.array([[True, False]]))
    placed, found = place(ask, "variance", 2), maps(ask, place(ask, "variance", 2))
    write_places(tmp_path / "places.csv", ask, placed)
    with open(tmp_path / "places.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["set"] for row in rows] == ["existing", "proposed", "proposed"]
    assert [row["channels"] for row in rows] == [data.channels[0], *[";".join(data.channels)] * 2]
    settings = SensorsConfig(placement="csv", csv=tmp_path / "places.csv", num_semi_sparse=1)
    sets = place_sensors(data, settings, 3, 0)
    np.testing.assert_array_equal(sets.sparse, [*ask.existing, *placed.points])
    np.testing.assert_array_equal(sets.channels[0], [True, False])
    dataset = as_maps(data, found, "places")
    assert isinstance(dataset, xr.Dataset)
    np.testing.assert_array_equal(dataset["gain"].to_numpy().ravel(), found.gain_before)
    errors = compare(ask, placed, HeldOut(data, ask.basis, "val", ask.importance), 2)
    places = data.physical_coordinates[placed.points], data.physical_coordinates[ask.existing]
    written = draw_places(tmp_path / "places.png", data, found, *places, errors, "variance")
    assert written.read_bytes()[:4] == b"\x89PNG"


def test_sensors_that_read_different_channels_are_not_for_qr(waves):
    reads = np.ones((len(free_points(waves)), 2), bool)
    reads[0, 1] = False
    with pytest.raises(SparseVQError, match="take --method variance"):
        place(wanted(waves, reads=reads), "qr", 2)
