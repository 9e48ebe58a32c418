"""HDF5, MATLAB and NumPy: arrays that do not say what their dimensions are."""

import tracemalloc

import h5py
import numpy as np
import pytest
import scipy.io

from sparsevq.errors import SparseVQError
from sparsevq.readers.safe_pickle import read_pickle
from tests.user_files import all_of, opened, values

SPACE = {"x": (4,), "yx": (5, 4), "zyx": (3, 5, 4)}


def hdf5(path, **arrays):
    """A file whose datasets lie in groups; `__` in a name stands for `/`."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


def matlab_7_3(path, **arrays):
    """A file as MATLAB writes it: the first index fastest, so that HDF5 sees the dimensions the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = np.asarray(array).T
            file[name].attrs["MATLAB_class"] = np.bytes_({"f4": "single", "f8": "double"}[array.dtype.str[1:]])
    return path


def matlab_5(path, **arrays):
    scipy.io.savemat(path, arrays, do_compression=True)
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def packed_npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


WRITERS = [(hdf5, "a.h5"), (matlab_7_3, "a.mat"), (matlab_5, "a.mat"), (npz, "a.npz"), (packed_npz, "a.npz")]


@pytest.mark.parametrize(("write", "name"), WRITERS)
@pytest.mark.parametrize("axes", list(SPACE))
def test_values_come_back(tmp_path, write, name, axes):
    u, v = (values(2, 6, *SPACE[axes], seed=seed) for seed in (0, 1))
    path = write(tmp_path / name, u=u, v=v, x=np.linspace(0, 3, 4), when=np.arange(6) * 0.5)
    source = opened(path, arrays=("v", "u"), dimensions=("trajectory", "time", *axes), time="when", units={"u": "m/s"})
    assert (source.channels, source.units) == (("v", "u"), ("", "m/s"))
    np.testing.assert_array_equal(source.axes["x"], np.linspace(0, 3, 4))  # an array of the axis' name
    np.testing.assert_array_equal(source.time, np.arange(6) * 0.5)
    expected = np.stack([v, u], axis=-1)
    np.testing.assert_array_equal(all_of(source), expected)
    np.testing.assert_array_equal(all_of(source, block=4), expected)


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_scattered_points(tmp_path, write, name):
    u, points = values(6, 9, 2), np.random.default_rng(1).uniform(size=(9, 3))
    path = write(tmp_path / name, u=u, points=points, y=points[:, 1].copy())
    source = opened(
        path,
        arrays=("u",),
        dimensions=("time", "point", "channel"),
        coordinates=dict.fromkeys("xyz", "points"),
        channels=("p", "q"),
        units={"y": "m"},
    )
    assert source.scattered and source.grid == (9,) and source.channels == ("p", "q")
    np.testing.assert_array_equal(np.stack(list(source.axes.values()), -1), points)
    np.testing.assert_array_equal(all_of(source)[0], u)
    one = opened(path, arrays=("u",), dimensions=("time", "point", "channel"))  # by the array's name
    assert list(one.axes) == ["y"] and one.channels == ("u_0", "u_1")


@pytest.mark.parametrize("fortran", [False, True])
def test_npy_is_mapped(tmp_path, fortran):
    u = values(3, 50, 32, 32)
    np.save(tmp_path / "u.npy", np.asfortranarray(u) if fortran else u)
    dimensions = ("trajectory", "time", "y", "x")
    np.testing.assert_array_equal(all_of(opened(tmp_path / "u.npy", dimensions=dimensions))[..., 0], u)
    tracemalloc.start()
    source = opened(tmp_path / "u.npy", dimensions=dimensions)
    part = source.read(2, 10, 12)
    assert tracemalloc.get_traced_memory()[1] < 20 * part.nbytes < u.nbytes
    tracemalloc.stop()


def test_frames_without_times_are_counted_and_points_numbered_and_both_said(tmp_path, capsys):
    np.save(tmp_path / "u.npy", values(6, 5))
    source = opened(tmp_path / "u.npy", dimensions=("time", "x"))
    assert source.time.tolist() == [0, 1, 2, 3, 4, 5] and source.time_units == "frame"
    assert source.axes["x"].tolist() == [0, 1, 2, 3, 4]
    told = capsys.readouterr().out
    assert "frames are numbered" in told and "axis x has no coordinates" in told


def test_matlab_order_is_that_of_size_whatever_the_version(tmp_path):
    u = values(4, 5, 6).astype(np.float64)
    for write in (matlab_5, matlab_7_3):
        read = all_of(opened(write(tmp_path / f"{write.__name__}.mat", u=u), dimensions=("x", "y", "time")))
        np.testing.assert_array_equal(read[0, ..., 0], u.transpose(2, 0, 1).astype(np.float32))


def test_hdf5_with_dimension_scales_needs_no_dimensions(tmp_path):
    u = values(6, 5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["fields/u"] = u
        for index, (name, at) in enumerate({"time": np.arange(6.0), "x": np.linspace(0, 1, 5)}.items()):
            file[name] = at
            file[name].make_scale(name)
            file["fields/u"].dims[index].attach_scale(file[name])
        file["time"].attrs["units"] = "s"
        file["fields/u"].attrs["units"] = "m/s"
    source = opened(tmp_path / "a.h5")
    assert (source.channels, source.units, source.time_units) == (("u",), ("m/s",), "s")
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u)


def test_integers_of_hdf5_with_a_fill_value(tmp_path):
    u = np.arange(30, dtype=np.int16).reshape(6, 5)
    with h5py.File(hdf5(tmp_path / "a.h5", u=u), "r+") as file:
        file["u"].attrs["_FillValue"] = np.int16(7)
    read = all_of(opened(tmp_path / "a.h5", dimensions=("time", "x")))[0, ..., 0]
    np.testing.assert_array_equal(read, np.where(u == 7, np.nan, u))


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_without_dimensions_the_arrays_are_listed_and_a_line_suggested(tmp_path, write, name):
    path = write(tmp_path / name, u=values(3, 6, 5, 8), x=np.arange(8.0))
    with pytest.raises(SparseVQError, match=r"u \(3, 6, 5, 8\), x .*`dimensions: \[trajectory, time, y, x\]`"):
        opened(path)


def _complex(file):
    file["s"] = np.zeros(3, dtype=[("real", "f8"), ("imag", "f8")])
    file["s"].attrs["MATLAB_class"] = np.bytes_("double")


def test_what_is_no_array_in_matlab_is_refused_by_name(tmp_path):
    path = matlab_7_3(tmp_path / "a.mat", u=values(6, 5))
    with h5py.File(path, "r+") as file:
        _complex(file)
    with pytest.raises(SparseVQError, match=r"arrays: s is a MATLAB array of complex numbers: store its real"):
        opened(path, arrays=("s",), dimensions=("time", "x"))
    assert opened(path, dimensions=("time", "x")).channels == ("u",)


def test_so_in_older_matlab_files(tmp_path):
    path = matlab_5(tmp_path / "a.mat", u=values(6, 5), s=values(6, 5) * 1j)
    with pytest.raises(SparseVQError, match="s is complex"):
        all_of(opened(path, arrays=("s",), dimensions=("x", "time")))


def test_the_type_is_told_by_the_first_bytes_where_the_name_does_not(tmp_path):
    u = values(6, 5)
    for path in (hdf5(tmp_path / "one.dat", u=u), npz(tmp_path / "two.npz", u=u).rename(tmp_path / "two.dat")):
        np.testing.assert_array_equal(all_of(opened(path, dimensions=("time", "x")))[0, ..., 0], u)


def test_objects_in_numpy_files_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SparseVQError, match="is of Python objects, which are never unpickled"):
        opened(tmp_path / "a.npy", dimensions=("time", "x"))
    np.savez(tmp_path / "a.npz", u=np.array([{}], dtype=object))
    with pytest.raises(SparseVQError, match="arrays: u is of Python objects"):
        opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "x"))
    with pytest.raises(SparseVQError):
        read_pickle(tmp_path / "a.npy")
