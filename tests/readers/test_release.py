"""Files for the loaders of the method's public release, in the shapes that those expect."""

import pickle

import h5py
import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from tests.user_files import all_of, opened, values


def pickled(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def scenes(count, *shape, coords=None, seed=0):
    coords = (
        np.stack(np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 2, 5), indexing="ij"), -1)
        if coords is None
        else coords
    )
    return [{"data": values(*shape, seed=seed + n), "coords": coords} for n in range(count)]


def release(path, loader, **settings):
    return opened(path, format="release", release=loader, **settings)


def test_sea_as_matlab_wrote_it(tmp_path):
    """Each row is a frame whose points run from pole to pole first, then on to the next meridian; land is NaN."""
    sst = values(6, 4, 8)
    sst[:, 1, 2] = np.nan
    path = hdf5(tmp_path / "sst_weekly.mat", sst=np.stack([frame.ravel(order="F") for frame in sst]))
    source = release(path, "sea")
    np.testing.assert_array_equal(all_of(source, 4)[0, ..., 0], sst[:, ::-1])  # south first
    assert (source.channels, source.units, source.periodic) == (("sst",), ("degC",), ("longitude",))
    assert source.axes["latitude"].tolist() == [-67.5, -22.5, 22.5, 67.5]  # middles of 45 degrees each
    assert source.axes["longitude"][[0, -1]].tolist() == [22.5, 337.5]
    np.testing.assert_array_equal(source.time, 7.0 * np.arange(6))
    assert source.time_units == "d"


@pytest.mark.parametrize("shape", [(6, 4, 8), (6, 4, 8, 1)])
def test_sea_as_an_array_of_frames(tmp_path, shape):
    sst = values(*shape)
    read = all_of(release(pickled(tmp_path / "sea.pickle", sst), "sea"))
    np.testing.assert_array_equal(read[0], sst.reshape(6, 4, 8, 1)[:, ::-1])


@pytest.mark.parametrize(
    ("loader", "dataset", "channel", "shape"),
    [
        ("pipe", "pipe", "velocity", (6, 4, 5)),
        ("plume", "cs", "concentration", (6, 4, 5, 3)),
        ("pore", "rho", "density", (6, 4, 5, 3)),
        ("isotropic3D", "fields", "fields", (6, 4, 5, 3)),
        ("cylinder", "data", "vorticity", (6, 4, 5)),
    ],
)
@pytest.mark.parametrize("how", ["hdf5", "pickle", "pickle with channels", "npy"])
def test_one_array_of_frames(tmp_path, loader, dataset, channel, shape, how):
    array = values(*shape)
    path = tmp_path / "a.pickle"
    if how == "hdf5":
        path = hdf5(tmp_path / "a.h5", **{dataset: array, "other": np.zeros(3)})
    elif how == "npy":
        path = tmp_path / "a.npy"
        np.save(path, array)
    else:
        pickled(path, array[..., None] if "channels" in how else array)
    source = release(path, loader)
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], array)
    several = loader == "isotropic3D" and "channels" in how  # whose names are not known
    assert source.channels == ((f"{channel}_0",) if several else (channel,)) and source.time_units == "frame"
    assert list(source.axes) == ["x", "y", "z"][: len(shape) - 1]


def test_cylinder_scenes_with_the_split_of_their_files(tmp_path):
    parts = {name: scenes(n, 1, 6, 4, 5, seed=n) for name, n in {"train": 4, "valid": 2, "test": 3}.items()}
    for name, content in parts.items():
        pickled(tmp_path / f"{name}.pkl", content)
    source = release(tmp_path, "cylinder")
    assert source.split.tolist() == ["test"] * 3 + ["train"] * 4 + ["val"] * 2
    expected = [scene["data"][0] for name in ("test", "train", "valid") for scene in parts[name]]
    np.testing.assert_array_equal(all_of(source)[..., 0], expected)
    np.testing.assert_array_equal(source.axes["y"], np.linspace(0, 2, 5))


def test_shallow_has_two_channels(tmp_path):
    content = scenes(2, 6, 4, 5, 2)
    source = release(pickled(tmp_path / "train.pkl", content), "shallow")
    assert source.channels == ("height", "vorticity") and source.split is None
    np.testing.assert_array_equal(all_of(source), [scene["data"] for scene in content])


def test_fire_is_in_three_dimensions(tmp_path):
    content = scenes(2, 6, 4, 5, 3, coords=np.zeros((4, 5, 3, 3)))  # coordinates that say nothing
    source = release(pickled(tmp_path / "Fire.pkl", content), "fire", missing=(0.0,))
    assert source.channels == ("smoke",) and source.axes["z"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(all_of(source)[..., 0], [scene["data"] for scene in content])


def test_another_name_of_the_dataset(tmp_path):
    array = values(6, 4, 5)
    path = hdf5(tmp_path / "a.h5", flow=array, other=array)
    np.testing.assert_array_equal(all_of(release(path, "pipe", arrays=("flow",)))[0, ..., 0], array)


def test_dimensions_of_the_users_go_before_the_tables(tmp_path):
    array = values(4, 5, 6)
    source = release(pickled(tmp_path / "a.pkl", array), "pipe", dimensions=("x", "y", "time"))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], array.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("loader", "content", "message"),
    [
        ("plume", values(4, 5, 3), r"shape \(4, 5, 3\) \(one frame: there is nothing to forecast\).*\(time, x, y, z"),
        ("pipe", values(4, 5, 3, 2, 1), r"expects \(time, x, y\), with or without a last dimension of channels"),
        ("pipe", {"a": values(3, 2, 2), "b": values(3, 2, 2)}, r"there is no pipe; it holds a \(3, 2, 2\), b"),
        ("cylinder", [{"field": values(3, 4, 5)}], "scene 0 has no array `data` .it has field."),
        ("cylinder", [*scenes(1, 6, 4, 5), *scenes(1, 7, 4, 5)], r"scene 1 has shape \(7, 4, 5\), scene 0 \(6, 4, 5\)"),
        ("cylinder", 3.0, "holds a float"),
        ("sea", values(6, 33), "33 is not a number of latitudes"),
    ],
)  # fmt: skip
def test_other_shapes_are_refused_with_what_is_expected(tmp_path, loader, content, message):
    with pytest.raises(SparseVQError, match=message):
        release(pickled(tmp_path / "a.pkl", content), loader)
