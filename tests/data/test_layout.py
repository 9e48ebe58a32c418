"""The layout: what is written comes back, and each fault of a user's file is one line that names it."""

import dataclasses
import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from sparsevq.data.hdf5 import open_layout, stamp
from sparsevq.data.layout import FieldData, read_data, write_data
from sparsevq.errors import SparseVQError
from tests.flows import travelling_waves


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_data(tmp_path / "data.h5", travelling_waves())
    return tmp_path / "data.h5"


@pytest.mark.parametrize("grid", [(12,), (7, 9), (4, 5, 6)])
def test_what_is_written_comes_back(tmp_path, grid):
    written = travelling_waves(grid=grid)
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
    data = travelling_waves(grid=(3, 1, 5))
    scaled = data.scaled_coordinates.reshape(3, 1, 5, 3)
    np.testing.assert_allclose(scaled[:, 0, 0, 0], [-1, 0, 1])
    np.testing.assert_allclose(scaled[:, :, :, 1], 0)
    np.testing.assert_allclose(scaled[0, 0, :, 2], np.linspace(-1, 1, 5), atol=1e-6)
    assert data.scaled_coordinates.dtype == np.float32


def test_values_inside_obstacles_never_matter(path):
    """A user's own file may hold anything there."""
    before = read_data(path)
    with h5py.File(path, "r+") as file:
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
        (_attribute("schema_version", 2), "version 2 .* reads version 1"),
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
        (_set("coordinates/y", np.zeros(16)), "coordinates/y are not finite and increasing"),
        (_set("normalisation/std", np.array([1.0, 0.0])), "channel v has mean .* standard deviation 0"),
        (_set("split", ["test"] * 6), "no trajectory is for training"),
        (_set("split", ["train"] * 5 + ["dev"]), "split holds 'dev'"),
        (_attribute("vector", '{"u": "r"}'), "vector names r, which is no axis"),
        (_attribute("periodic", ["x", "t"]), "periodic names t, which is no axis"),
    ],
)
def test_a_fault_is_one_line_that_names_file_and_fault(path, damage, message):
    with h5py.File(path, "r+") as file:
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
def test_what_is_no_file_of_ours_is_refused(tmp_path, make, message):
    make(tmp_path / "mine.h5")
    with pytest.raises(SparseVQError, match=message):
        read_data(tmp_path / "mine.h5")


def test_faulty_data_is_not_written(tmp_path):
    data = travelling_waves()
    data.flat_fields[0, 3, np.flatnonzero(data.flat_mask[0])[5], 0] = np.nan
    with pytest.raises(SparseVQError, match=r"1 NaN or infinite value at valid points, .* frame 3, channel u"):
        write_data(tmp_path / "data.h5", data)
    assert not list(tmp_path.iterdir())


def test_other_layouts_share_the_checks(tmp_path):
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        stamp(file, "sparsevq-codes", 1, {})
    with open_layout(tmp_path / "codes.h5", "sparsevq-codes", 1) as file:
        assert json.loads(file.attrs["made_from"]) == {}
    with pytest.raises(SparseVQError, match="not a sparsevq-data file"):
        read_data(tmp_path / "codes.h5")
