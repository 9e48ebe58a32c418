"""The layout: round trips, and one line for each fault of a user's file."""

import dataclasses
import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from sparsevq.data.faults import faults, not_finite
from sparsevq.data.field_data import FieldData, axis_weights
from sparsevq.data.layout import read_data, read_domain, write_data
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import open_layout, stamp
from tests.edited import edited
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_data(tmp_path / "data.h5", travelling_waves())
    return tmp_path / "data.h5"


@pytest.mark.parametrize(
    "written",
    [
        *(travelling_waves(grid=grid) for grid in ((12,), (7, 9), (4, 5, 6))),
        dataclasses.replace(travelling_waves(), split=np.array(["train", "val", "test", "ood", "ood", "train"])),
        on_a_sphere(),
        scattered_waves(points=20),
        dataclasses.replace(scattered_waves(points=20, dimensions=3), point_weights=np.linspace(1, 5, 20)),
    ],
)
def test_a_round_trip_keeps_every_attribute(tmp_path, written):
    write_data(tmp_path / "data.h5", written, {"input": Path(__file__)}, {"seed": 3})
    read = read_data(tmp_path / "data.h5")
    for name in (field.name for field in dataclasses.fields(FieldData) if field.name != "digest"):
        np.testing.assert_equal(getattr(read, name), getattr(written, name), err_msg=name)
    assert read.fields.dtype == np.float32
    assert read.digest == hashlib.sha256((tmp_path / "data.h5").read_bytes()).hexdigest()
    with h5py.File(tmp_path / "data.h5") as file:
        made_from = json.loads(file.attrs["made_from"])
        assert made_from == {"input": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}
        assert json.loads(file.attrs["settings"]) == {"seed": 3}
        assert file.attrs["sparsevq_version"]


def test_the_same_data_gives_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_data(tmp_path / name, travelling_waves())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_flat_points_are_in_the_order_of_the_coordinates():
    data = travelling_waves(grid=(4, 5, 6))
    index = np.ravel_multi_index((1, 2, 3), data.grid)
    place = [data.axes["z"][1], data.axes["y"][2], data.axes["x"][3]]
    np.testing.assert_array_equal(data.physical_coordinates[index], place)
    np.testing.assert_array_equal(data.flat_fields[:, :, index], data.fields[:, :, 1, 2, 3])
    np.testing.assert_array_equal(data.flat_mask[:, index], data.mask[:, 1, 2, 3])
    assert np.shares_memory(data.flat_fields, data.fields)
    assert data.num_points == 120


def test_scaled_coordinates_span_minus_one_to_one_along_each_axis():
    """On a periodic axis the first point's image, which is not stored, is at 1."""
    data = travelling_waves(grid=(3, 1, 5))
    scaled = data.scaled_coordinates.reshape(3, 1, 5, 3)
    np.testing.assert_allclose(scaled[:, 0, 0, 0], [-1, 0, 1])
    np.testing.assert_allclose(scaled[:, :, :, 1], 0)
    np.testing.assert_allclose(scaled[0, 0, :, 2], [-1, -0.6, -0.2, 0.2, 0.6], atol=1e-6)
    assert data.scaled_coordinates.dtype == np.float32
    np.testing.assert_allclose(data.scaled(np.array([[1.0, 0.0, 1.0]])), [[1, 0, 1]], atol=1e-6)


def test_scattered_points_are_scaled_by_their_extent():
    data = scattered_waves(points=30)
    places = data.physical_coordinates
    np.testing.assert_array_equal(places, np.stack([data.axes["y"], data.axes["x"]], axis=-1))
    expected = 2 * (places - places.min(axis=0)) / np.ptp(places, axis=0) - 1
    np.testing.assert_allclose(data.scaled_coordinates, expected, atol=1e-6)
    assert (data.grid, data.num_points, data.resolution) == ((30,), 30, (5, 5))


def test_a_point_weighs_what_it_stands_for():
    at = np.array([0.0, 1.0, 3.0, 7.0])
    np.testing.assert_allclose(axis_weights(at, "m"), [1, 1.5, 3, 4])  # half-way to the neighbours; ends: as inwards
    data = dataclasses.replace(travelling_waves(grid=(4, 6)), axes={"y": at, "x": np.arange(6) / 6})
    np.testing.assert_allclose(data.weights, np.repeat([1, 1.5, 3, 4], 6) / 2.375)
    np.testing.assert_allclose(travelling_waves().weights, 1)


def test_latitudes_weigh_as_bands_of_a_sphere():
    """A band's share of the area is half the difference of its edges' sines (Archimedes)."""
    data = on_a_sphere(grid=(12, 24))
    edges = np.deg2rad(np.linspace(-90, 90, 13))
    band = data.weights.reshape(12, 24).sum(axis=1) / data.weights.sum()
    np.testing.assert_allclose(band, np.diff(np.sin(edges)) / 2, rtol=1e-12)
    assert data.weights.mean() == pytest.approx(1)
    # Points on the poles themselves stand for half a band: no cell reaches beyond.
    np.testing.assert_allclose(axis_weights(np.array([-90.0, 0.0, 90.0]), "degrees_north").sum(), 2)


def test_scattered_points_weigh_the_same_unless_the_data_set_says_otherwise():
    data = scattered_waves(points=4)
    np.testing.assert_array_equal(data.weights, np.ones(4))
    weighed = dataclasses.replace(data, point_weights=np.array([1.0, 2.0, 3.0, 10.0]))
    np.testing.assert_allclose(weighed.weights, [0.25, 0.5, 0.75, 2.5])


# ------------------------------------------------------------------------------------------------ larger than memory


def test_a_mapped_data_set_is_the_same_data_set(path):
    whole, mapped = read_data(path), read_data(path, in_memory=0)
    assert isinstance(mapped.fields, np.memmap)
    assert not isinstance(whole.fields, np.memmap)
    for name in (field.name for field in dataclasses.fields(FieldData)):
        np.testing.assert_equal(getattr(mapped, name), getattr(whole, name), err_msg=name)
    with pytest.raises(ValueError, match="read-only"):
        mapped.fields[0] = 1


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (
            {"compression": "lzf"},
            "fields is too large to be read whole, and cannot be mapped .*compressed or in chunks",
        ),
        ({"dtype": "f8"}, "cannot be mapped .it is float64, not float32.: write it contiguous"),
        ({"dtype": ">f4"}, "cannot be mapped .it is >f4, not float32.: write it contiguous"),
    ],
)
def test_what_cannot_be_mapped_is_read_whole_or_is_an_error(path, storage, message):
    before = read_data(path)
    with edited(path) as file:
        attributes = dict(file["fields"].attrs)
        del file["fields"]
        file.create_dataset("fields", data=before.fields, **storage).attrs.update(attributes)
    np.testing.assert_array_equal(read_data(path).fields, before.fields)
    with pytest.raises(SparseVQError, match=message):
        read_data(path, in_memory=0)


def test_of_a_mapped_data_set_everything_but_the_values_is_checked(path):
    with edited(path) as file:
        _not_finite(file)
    assert len(list(faults(read_data(path, in_memory=0)))) == 1
    with edited(path) as file:
        file["time"][1] = -1
    with pytest.raises(SparseVQError, match="time is not finite and increasing"):
        read_data(path, in_memory=0)


def test_every_fault_is_named():
    data = travelling_waves()
    data.fields[2, 3, ~data.mask[2], 0] = np.nan  # no fault
    data.fields[2, 3, data.mask[2], 0] = np.nan
    data = dataclasses.replace(
        data,
        axes=data.axes | {"y": np.zeros(16)},
        std=np.array([0.0, 1.0]),
        vector={"u": "r"},
        channels=("u", "u"),
        split=np.array(["val"] * 6),
    )
    whats = " | ".join(fault.what for fault in faults(data))
    for part in (
        *("coordinates/y", "names r, which is no axis", "channel u has mean", "two channels", "no trajectory is for"),
        f"{data.mask[2].sum()} NaN or infinite values",
    ):
        assert part in whats


def test_the_domain_alone_has_no_frames(path):
    domain, data = read_domain(path), read_data(path)
    assert domain.fields.shape == (6, 0, 16, 16, 2)
    assert domain.digest == data.digest
    np.testing.assert_array_equal(domain.weights, data.weights)
    np.testing.assert_array_equal(domain.mask, data.mask)


def test_values_inside_obstacles_never_matter(path):
    """A user's own file may hold anything there."""
    before = read_data(path)
    with edited(path) as file:
        fields = file["fields"][()]
        fields[~np.broadcast_to(before.mask[:, None, ..., None], fields.shape)] = np.nan
        file["fields"][...] = fields
    np.testing.assert_array_equal(read_data(path).fields, before.fields)


def test_trajectories_of_a_split():
    data = travelling_waves(trajectories=5)
    assert data.trajectories("train").tolist() == [0, 1, 2]
    assert data.trajectories("val").tolist() == [3]
    assert data.trajectories("test").tolist() == [4]


def _set(name, value):
    def damage(file):
        if name in file:
            del file[name]
        file[name] = value

    return damage


def _attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


def _not_finite(file):
    valid = np.argwhere(file["mask"][2])[0]
    file["fields"][(2, 7, *valid, 1)] = np.inf
    file["fields"][(3, 0, *np.argwhere(file["mask"][3])[0], 0)] = np.nan


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_attribute("schema", "sparsevq-codes"), "is a sparsevq-codes file, not a sparsevq-data file"),
        (lambda file: file.attrs.__delitem__("schema"), "has no attribute `schema`"),
        (_attribute("schema_version", 1), "version 1 .* reads version 2"),
        (lambda file: file.__delitem__("fields"), "/fields is missing"),
        (lambda file: file.__delitem__("coordinates/x"), "/coordinates/x is missing"),
        (lambda file: file.__delitem__("normalisation/std"), "/normalisation/std is missing"),
        (lambda file: file["fields"].attrs.__delitem__("channels"), "/fields has no attribute `channels`"),
        (lambda file: file.attrs.__delitem__("axes"), "no attribute `axes`"),
        (_attribute("provenance", "{"), "`provenance` .* is not JSON"),
        (_set("mask", np.ones((6, 16, 15), bool)), r"/mask has shape \(6, 16, 15\), not \(6, 16, 16\)"),
        (_set("fields", np.zeros((6, 12, 16, 2))), r"/fields has shape .* not \(any, any, any, any, any\)"),
        (_set("time", np.arange(3.0)), r"/time has shape \(3,\), not \(12\)"),
        (_not_finite, "2 NaN or infinite values at valid points, first in trajectory 2, frame 7, channel v"),
        (_set("coordinates/y", np.zeros(16)), "coordinates/y are not increasing"),
        (_set("coordinates/y", np.full(16, np.nan)), "coordinates/y are not finite"),
        (_set("coordinates/x", np.arange(16.0) ** 2), "coordinates/x are not evenly spaced, but the axis is periodic"),
        (_set("time", np.zeros(12)), "time is not finite and increasing"),
        (_set("weights", np.ones((16, 15))), r"/weights has shape \(16, 15\), not \(16, 16\)"),
        (_set("weights", np.zeros((16, 16))), "weights are not positive"),
        (_set("mask", np.zeros((6, 16, 16), bool)), "trajectory 0 has no valid point"),
        (_attribute("scattered", True), r"/fields has shape .* not \(any, any, any, any\)"),
        (_set("normalisation/std", np.array([1.0, 0.0])), "channel v has mean .* standard deviation 0"),
        (_set("split", ["test"] * 6), "no trajectory is for training"),
        (_set("split", ["train"] * 5 + ["dev"]), "split holds 'dev'"),
        (_attribute("vector", '{"u": "r"}'), "vector names r, which is no axis"),
        (_attribute("periodic", ["x", "t"]), "periodic names t, which is no axis"),
    ],
)
def test_a_fault_is_one_line_that_names_file_and_fault(path, damage, message):
    with edited(path) as file:
        damage(file)
    with pytest.raises(SparseVQError, match=message) as caught:
        read_data(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
def test_a_truncated_file_is_reported_as_such(path, kept):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(SparseVQError, match="is truncated"):
        read_data(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "is missing"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("time,u\n0,1\n"), "is not an HDF5 file"),
        (lambda path: path.touch(), "is not an HDF5 file"),
    ],
)
def test_another_file_is_an_error(tmp_path, make, message):
    make(tmp_path / "mine.h5")
    with pytest.raises(SparseVQError, match=message):
        read_data(tmp_path / "mine.h5")


def test_faulty_data_is_not_written(tmp_path):
    data = travelling_waves()
    data.flat_fields[0, 3, np.flatnonzero(data.flat_mask[0])[5], 0] = np.nan
    with pytest.raises(SparseVQError, match=r"1 NaN or infinite value at valid points, .* frame 3, channel u"):
        write_data(tmp_path / "data.h5", data)
    assert not list(tmp_path.iterdir())


def test_values_whose_squares_are_too_large_and_nan_where_nothing_counts_are_no_fault():
    """A product of all values, which is fast, says which frames are to be looked at."""
    data = travelling_waves()
    data.flat_fields[0, 3, np.flatnonzero(data.flat_mask[0])[5], 0] = 1e30
    data.flat_fields[2, 1, ~data.flat_mask[2]] = np.nan
    assert not data.flat_mask[2].all()
    assert not list(not_finite(data.flat_fields, data.flat_mask, data.channels))
    data.flat_fields[2, 1, data.flat_mask[2]] = np.inf
    assert len(list(not_finite(data.flat_fields, data.flat_mask, data.channels))) == 1


def test_other_layouts_share_the_checks(tmp_path):
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        stamp(file, "sparsevq-codes", 1, {})
    with open_layout(tmp_path / "codes.h5", "sparsevq-codes", 1) as file:
        assert json.loads(file.attrs["made_from"]) == {}
    with pytest.raises(SparseVQError, match="not a sparsevq-data file"):
        read_data(tmp_path / "codes.h5")
