"""Sensors are at points that are always valid, the sparse set inside the semi-sparse one."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsevq.basis.basis import compute_basis
from sparsevq.config import SensorsConfig
from sparsevq.errors import SparseVQError
from sparsevq.sensors.placement import place_sensors, read_sensors, write_sensors
from tests.edited import edited
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

REGION = ((0.5, 1.0), (0.0, 0.3))


def placed(data, given, num_sensors, seed):
    """Sensors, for ``qr`` with a basis of 20 modes."""
    basis = compute_basis(data, None, 20) if given.placement == "qr" else None
    return place_sensors(data, given, num_sensors, seed, basis)


def settings(placement="random", **changes) -> SensorsConfig:
    given = {"placement": placement, "num_semi_sparse": 30, "region": REGION if placement == "region" else None}
    return SensorsConfig(**given | changes)


@pytest.mark.parametrize("grid", [(16, 16), (120,), (7, 5, 9)])
@pytest.mark.parametrize("placement", ["random", "qr", "grid"])
@pytest.mark.parametrize("num_sensors", [1, 7, 20, 40])
def test_sets_are_nested_distinct_and_outside_every_obstacle(placement, num_sensors, grid):
    data = travelling_waves(grid=grid)
    sets = placed(data, settings(placement), num_sensors, seed=3)
    assert len(sets.sparse) == num_sensors
    assert len(np.unique(sets.semi_sparse)) == num_sensors + 30
    np.testing.assert_array_equal(sets.semi_sparse[:num_sensors], sets.sparse)
    assert data.flat_mask[:, sets.semi_sparse].all()
    np.testing.assert_array_equal(sets.coordinates, data.physical_coordinates[sets.semi_sparse])


@pytest.mark.parametrize("placement", ["random", "qr", "region", "grid"])
def test_a_seed_gives_the_same_sensors(placement):
    data = travelling_waves()
    one, same, other = (placed(data, settings(placement), 8, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.semi_sparse, same.semi_sparse)
    assert set(one.semi_sparse) != set(other.semi_sparse)


def test_a_regular_grid_is_regular_without_obstacles():
    data = travelling_waves(grid=(17, 17), obstacle=False)
    rows, columns = np.unravel_index(placed(data, settings("grid"), 16, 0).sparse, data.grid)
    assert np.unique(rows).tolist() == [2, 6, 10, 14]
    assert np.unique(columns).tolist() == [2, 6, 11, 15]  # x closes: its cells divide the whole circle


def test_region_holds_the_sparse_set_alone():
    data = travelling_waves()
    sets = placed(data, settings("region"), 10, 0)
    inside = ((sets.coordinates >= [0.5, 0.0]) & (sets.coordinates <= [1.0, 0.3])).all(axis=1)
    assert inside[:10].all()
    assert not inside[10:].all()


def test_qr_finds_the_points_that_distinguish_modes():
    """A flow of four blobs that oscillate independently: the best four sensors are at their centres."""
    data = travelling_waves(trajectories=6, frames=40, grid=(20, 20), obstacle=False)
    middles = [(4, 4), (4, 15), (14, 5), (15, 15)]
    row, column = np.indices((20, 20))
    blobs = [np.exp(-((row - y) ** 2 + (column - x) ** 2) / 4) for y, x in middles]
    beats = np.random.default_rng(0).normal(size=(6, 40, 2, 4))
    data.fields[:] = np.einsum("tfck,kyx->tfyxc", beats, np.array(blobs))
    sets = placed(data, settings("qr"), 4, seed=0)
    assert set(zip(*map(np.ndarray.tolist, np.unravel_index(sets.sparse, data.grid)), strict=True)) == set(middles)


def test_qr_takes_the_point_of_most_variance_after_those_before():
    """Gaussian elimination in closed form: the variance at each point given the readings of all channels before it."""
    data = travelling_waves(grid=(6, 8), obstacle=False)
    data.fields[...] += np.random.default_rng(0).normal(0, 0.3, data.fields.shape)
    basis = compute_basis(data, None, 20)
    rows = np.einsum("k,knc->nck", basis.std, basis.modes).reshape(-1, 20)
    found = place_sensors(data, settings("qr", num_semi_sparse=1), 5, 0, basis).sparse
    for step, point in enumerate(found):
        known = (2 * found[:step, None] + [0, 1]).ravel()
        gain = np.linalg.pinv(rows[known]) if step else np.zeros((20, 0))
        left = np.sum((rows - rows @ gain @ rows[known]) ** 2, axis=1) + basis.residual.ravel()
        assert left.reshape(-1, 2).sum(axis=1).argmax() == point


def test_qr_without_a_basis_is_an_error():
    with pytest.raises(SparseVQError, match="placement=qr needs the modes"):
        place_sensors(travelling_waves(), settings("qr"), 4, 0)


def test_qr_never_uses_held_out_trajectories():
    data = travelling_waves()
    before = placed(data, settings("qr"), 12, 0)
    data.fields[data.split != "train"] *= -7
    after = placed(data, settings("qr"), 12, 0)
    np.testing.assert_array_equal(before.sparse, after.sparse)


def test_sensors_survive_a_round_trip_and_have_a_csv(tmp_path):
    data = travelling_waves()
    sets = placed(data, settings(), 5, 9)
    write_sensors(tmp_path / "sensors.h5", sets, {"data": Path(__file__)})
    read = read_sensors(tmp_path / "sensors.h5")
    for name in ("sparse", "semi_sparse", "coordinates", "placement", "seed", "axes", "channels", "channel_names"):
        np.testing.assert_equal(getattr(read, name), getattr(sets, name))
    assert len(read.digest) == 64
    with open(tmp_path / "sensors.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sensor", "y", "x", "set"]
    assert [row["set"] for row in rows] == ["sparse"] * 5 + ["semi_sparse"] * 30
    assert [row["sensor"] for row in rows] == [str(number) for number in range(35)]
    np.testing.assert_array_equal([[float(row["y"]), float(row["x"])] for row in rows], sets.coordinates)


def test_sensors_read_all_channels_or_those_of_the_settings():
    data = travelling_waves()
    assert place_sensors(data, settings(), 5, 9).channels.shape == (35, 2)
    assert place_sensors(data, settings(), 5, 9).channels.all()
    sets = place_sensors(data, settings(channels=("v",)), 5, 9)
    np.testing.assert_array_equal(sets.channels[:5], [[False, True]] * 5)
    assert sets.channels[5:].all(), "the teacher's further sensors stand for the complete field"
    np.testing.assert_array_equal(sets.sparse, place_sensors(data, settings(), 5, 9).sparse)
    nested = sets.within(np.arange(200, 240), data.physical_coordinates[200:240])
    np.testing.assert_array_equal(nested.channels[:5], sets.channels[:5])
    assert nested.channels.shape == (len(nested.semi_sparse), 2)
    assert nested.channels[5:].all()


def test_sensors_of_a_csv_may_differ_in_what_they_read(tmp_path):
    data = travelling_waves(grid=(11, 10))
    (tmp_path / "mine.csv").write_text("x,y,channels\n0.1,0.0,v\n0.88,0.96,v; u\n0.03,0.41,\n")
    given = settings("csv", csv=tmp_path / "mine.csv", channels=("u",))
    sets = place_sensors(data, given, 3, 0)
    np.testing.assert_array_equal(sets.channels[:3], [[False, True], [True, True], [True, False]])
    assert sets.channels[3:].all()


def test_channels_survive_a_round_trip_and_are_in_the_csv(tmp_path):
    sets = place_sensors(travelling_waves(), settings(channels=("v",), num_semi_sparse=2), 2, 9)
    write_sensors(tmp_path / "sensors.h5", sets)
    read = read_sensors(tmp_path / "sensors.h5")
    np.testing.assert_array_equal(read.channels, sets.channels)
    assert read.channel_names == ("u", "v")
    with open(tmp_path / "sensors.csv") as file:
        assert [row["channels"] for row in csv.DictReader(file)] == ["v", "v", "u;v", "u;v"]


def test_sensors_of_earlier_versions_read_all_channels(tmp_path):
    data = travelling_waves()
    write_sensors(tmp_path / "sensors.h5", place_sensors(data, settings(), 5, 9))
    with edited(tmp_path / "sensors.h5") as file:
        del file["channels"]
    read = read_sensors(tmp_path / "sensors.h5", data.channels)
    assert read.channels.shape == (35, 2)
    assert read.channels.all()
    assert read.channel_names == ("u", "v")
    assert read_sensors(tmp_path / "sensors.h5").channels.all()


def test_qr_looks_at_the_channels_that_the_sensors_read():
    data = travelling_waves()
    basis = compute_basis(data, None, 20)
    modes, residual = basis.modes.copy(), basis.residual.copy()
    modes[..., 1] = np.random.default_rng(0).normal(size=modes.shape[:-1])
    residual[..., 1] = 9
    other = replace(basis, modes=modes, residual=residual)
    given = settings("qr", channels=("u",))
    one, same = (place_sensors(data, given, 8, 0, each).sparse for each in (basis, other))
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(place_sensors(data, settings("qr"), 8, 0, other).sparse)


def test_sets_that_are_not_nested_are_an_error(tmp_path):
    write_sensors(tmp_path / "sensors.h5", placed(travelling_waves(), settings(), 5, 0))
    with edited(tmp_path / "sensors.h5") as file:
        file["sparse"][0] = file["semi_sparse"][20]
    with pytest.raises(SparseVQError, match="does not start with sparse"):
        read_sensors(tmp_path / "sensors.h5")


def test_csv_places_go_to_the_nearest_grid_point(tmp_path):
    data = travelling_waves(grid=(11, 10))
    (tmp_path / "mine.csv").write_text("x,y\n0.1,0.0\n 0.88 , 0.96\n\n0.03,0.41\n")
    sets = placed(data, settings("csv", csv=tmp_path / "mine.csv"), 3, 0)
    np.testing.assert_allclose(sets.coordinates[:3], [[0.0, 0.1], [1.0, 0.9], [0.4, 0.0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("y,x\n", "no line below its header"),
        ("y,z\n0,0\n", "line 1: column x missing"),
        ("y\n0\n", "line 1: column x missing"),
        ("y,y\n0,0\n", "line 1: column 'y' is there twice"),
        ("y,x\n0,0\n0,left\n", "line 3: column x holds 'left', which is no number"),
        ("y,x\n0,\n", "line 2: column x holds ''"),
        ("y,x\n0,nan\n", "line 2: column x holds 'nan'"),
        ("y,x\n0,0\n0.2\n", "line 3: 1 cells, but the header has 2"),
        ("y,x\n0,0\n\n0.5,2.5\n", r"line 4: x=2.5 is outside the domain -1 \.\.\. 2"),
        ("y,x\n0,0\n0.5,0.5\n", "line 3: is inside an obstacle"),
        ("y,x\n0,0\n0.2,0.9\n0.001,0.001\n", "line 4: is at the same grid point as line 2"),
        ("y,x,channels\n0,0,u\n0,0.5,u;p\n", "line 3: column channels: the data has no channel 'p'.*name some of u, v"),
        ("y,x,channels\n0,0,u;\n", "line 2: column channels: the data has no channel ''"),
        ("y,x\n0,0\n0,0.5\n", "has 2 sensors but num_sensors is 3"),
    ],
)
def test_faults_in_a_csv_name_the_line(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(SparseVQError, match=message) as caught:
        placed(travelling_waves(), settings("csv", csv=path), 3, 0)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "num_sensors", "message"),
    [
        (settings(), 300, r"300 sparse \+ 30 sensors do not fit: only \d+ grid points"),
        (settings("region", region=((0.0, 0.1), (0.0, 0.1))), 9, "9 sensors do not fit: only 4 grid points in the"),
        (settings("region", region=((0.0, 1.0),)), 2, "has 1 .* pair.* but the data has 2 axes"),
        (
            settings(channels=("u", "p")),
            2,
            r"sensors.channels names 'p', which waves does not have: name some of u, v",
        ),
        (settings("csv", csv=Path("nowhere.csv")), 2, "cannot read nowhere.csv"),
    ],
)
def test_faults_in_the_settings(given, num_sensors, message):
    with pytest.raises(SparseVQError, match=message):
        placed(travelling_waves(), given, num_sensors, 0)


def test_sensors_on_a_sphere_are_uniform_over_its_area():
    """Half of the sphere's area is within 30 degrees of the equator, a third of the grid's points."""
    data = on_a_sphere(grid=(36, 72))
    near = [
        np.abs(placed(data, settings(num_semi_sparse=1), 200, seed).coordinates[:200, 0]) < 30 for seed in range(10)
    ]
    assert 0.46 < np.mean(near) < 0.54


def test_a_smaller_set_is_part_of_a_larger_one_with_the_same_seed():
    data = on_a_sphere()
    few, more = (set(placed(data, settings(), count, 5).sparse) for count in (10, 40))
    assert few < more


@pytest.mark.parametrize("placement", ["random", "qr", "grid"])
def test_scattered_points_take_sensors_too(placement):
    data = scattered_waves(trajectories=8)
    sets = placed(data, settings(placement), 12, 0)
    assert len(np.unique(sets.semi_sparse)) == 42
    np.testing.assert_array_equal(sets.coordinates, data.physical_coordinates[sets.semi_sparse])


def test_a_csv_place_is_the_nearest_point_also_around_the_date_line(tmp_path):
    data = on_a_sphere(grid=(12, 24))  # 15 degrees apart
    (tmp_path / "places.csv").write_text("lat,lon\n7,359\n-7.5,-16\n")
    sets = placed(data, settings("csv", csv=tmp_path / "places.csv"), 2, 0)
    np.testing.assert_allclose(sets.coordinates[:2], [[7.5, 0.0], [-7.5, 345.0]])
