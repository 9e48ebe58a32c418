"""MATLAB's structs and cells, in both versions of .mat files."""

import h5py
import numpy as np
import pytest
import scipy.io

from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_contents
from tests.user_files import FileConfig, all_of, opened, values

U = values(5, 4, 6).astype(np.float64)
"""A field as MATLAB users have it, (y, x, t)."""


def cell(items, shape):
    """A cell array."""
    out = np.empty(shape, dtype=object)
    for index, item in zip(np.ndindex(*shape), items, strict=True):
        out[index] = item
    return out


def older(path, content):
    scipy.io.savemat(path, content)
    return path


def version_7_3(path, content):
    """A file as MATLAB writes it with -v7.3, of the same Python values that scipy.io.savemat takes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        for name, value in content.items():
            _write(file, refs, file, name, value)
    return path


def _write(file, refs, group, name, value):
    def referred(each):
        key = f"r{len(refs)}"
        _write(file, refs, refs, key, each)
        return refs[key].ref

    if isinstance(value, dict):
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, each in value.items():
            _write(file, refs, inner, key, each)
    elif getattr(value, "dtype", None) is not None and value.dtype.names:  # a struct array: references in each field
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        for key in value.dtype.names:
            pointers = np.array([referred(each[key]) for each in value.ravel()], dtype=h5py.ref_dtype)
            inner.create_dataset(key, data=pointers.reshape(value.shape).T, dtype=h5py.ref_dtype)
    elif getattr(value, "dtype", np.dtype(float)).hasobject:
        pointers = np.array([referred(each) for each in value.ravel()], dtype=h5py.ref_dtype)
        group.create_dataset(name, data=pointers.reshape(value.shape).T, dtype=h5py.ref_dtype)
        group[name].attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, str):
        group[name] = np.array([[ord(letter)] for letter in value], dtype=np.uint16)
        group[name].attrs["MATLAB_class"] = np.bytes_("char")
    else:
        matrix = np.atleast_2d(np.asarray(value, dtype=np.float64))
        group[name] = matrix.T
        group[name].attrs["MATLAB_class"] = np.bytes_("double")


VERSIONS = pytest.mark.parametrize("write", [older, version_7_3])


@VERSIONS
@pytest.mark.parametrize("spelling", ["flow/{}", "flow.{}", "/flow/{}"])
def test_fields_of_a_struct_with_their_coordinates_and_times(tmp_path, write, spelling):
    flow = {"u": U, "v": 2 * U, "x": np.arange(4) * 0.1, "y": np.arange(5) * 0.2, "t": np.arange(6) * 0.02}
    path = write(tmp_path / "a.mat", {"flow": flow, "x": np.arange(4) + 7.0, "note": "hello", "dt": 0.02})
    source = opened(path, arrays=(spelling.format("v"), spelling.format("u")), dimensions=("y", "x", "time"))
    assert source.channels == ("v", "u")
    np.testing.assert_array_equal(source.axes["x"], np.arange(4) * 0.1)  # the struct's own, not the file's
    np.testing.assert_array_equal(source.axes["y"], np.arange(5) * 0.2)
    np.testing.assert_array_equal(source.time, np.arange(6) * 0.02)
    expected = np.stack([2 * U, U], axis=-1).transpose(2, 0, 1, 3).astype(np.float32)
    np.testing.assert_array_equal(all_of(source)[0], expected)


@VERSIONS
def test_structs_in_structs(tmp_path, write):
    path = write(tmp_path / "a.mat", {"run": {"piv": {"u": U}, "setup": {"nu": 0.1, "who": "me"}}})
    source = opened(path, arrays=("run.piv.u",), dimensions=("y", "x", "time"))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], U.transpose(2, 0, 1).astype(np.float32))


@VERSIONS
@pytest.mark.parametrize("shape", [(6, 1), (1, 6)])
def test_a_cell_of_frames_is_one_array_whose_first_dimension_is_time(tmp_path, write, shape):
    x, y = np.meshgrid(np.arange(4) * 0.1, np.arange(5) * 0.2)
    frames = [U[..., frame] for frame in range(6)]
    path = write(tmp_path / "a.mat", {"u": cell(frames, shape), "x": cell([x] * 6, shape), "y": cell([y] * 6, shape)})
    contents = open_contents(path, FileConfig(path=str(path)))
    assert contents.arrays["u"].shape == (6, 5, 4)
    assert contents.arrays["x"].shape == (5, 4)  # the same for all frames
    with pytest.raises(SparseVQError, match=r"`arrays: \[u\]` and `dimensions: \[time, y, x\]`"):
        opened(path, arrays=("u",))
    source = opened(path, arrays=("u",), dimensions=("time", "y", "x"))
    np.testing.assert_array_equal(all_of(source, block=4)[0, ..., 0], U.transpose(2, 0, 1).astype(np.float32))


@VERSIONS
def test_a_cell_of_several_trajectories_of_frames(tmp_path, write):
    u = values(2, 3, 5, 4).astype(np.float64)
    path = write(tmp_path / "a.mat", {"u": cell(u.reshape(6, 5, 4), (2, 3))})
    source = opened(path, arrays=("u",), dimensions=("trajectory", "time", "y", "x"))
    np.testing.assert_array_equal(all_of(source)[..., 0], u.astype(np.float32))


@VERSIONS
def test_a_struct_array_a_sample(tmp_path, write):
    samples = np.zeros((1, 3), dtype=[("u", object), ("Re", object)])
    for index in range(3):
        samples[0, index] = (U + index, np.array([[100.0 * index]]))
    path = write(tmp_path / "a.mat", {"samples": samples})
    contents = open_contents(path, FileConfig(path=str(path)))
    assert contents.arrays["samples/Re"].shape == (3,)
    source = opened(path, arrays=("samples/u",), dimensions=("trajectory", "y", "x", "time"))
    for index in range(3):
        read = source.read(index, 0, 6)[..., 0]
        np.testing.assert_array_equal(read, (U + index).transpose(2, 0, 1).astype(np.float32))


@VERSIONS
def test_what_is_no_array_is_named(tmp_path, write):
    several = cell([U[..., 0], U[:3, :, 0]], (2, 1))
    mixed = cell([U[..., 0], "text"], (1, 2))
    path = write(tmp_path / "a.mat", {"u": U, "several": several, "mixed": mixed, "note": "text", "s": {"u": U}})
    for name, what in (
        ("several", r"a MATLAB cell or struct array of matrices of several sizes \(3 x 4, 5 x 4\)"),
        ("mixed", "a MATLAB cell of several kinds"),
        ("note", "a MATLAB"),
        ("s", r"a group or a struct, not an array: name an array in it, for instance `arrays: \[s/u\]`"),
    ):
        with pytest.raises(SparseVQError, match=f"arrays: {name} is {what}"):
            opened(path, arrays=(name,), dimensions=("y", "x", "time"))


def test_sparse_matrices_are_refused_by_name(tmp_path):
    path = older(
        tmp_path / "a.mat", {"s": {"m": scipy.sparse.eye(3).tocsc(), "u": U}, "m": scipy.sparse.eye(3).tocsc()}
    )
    for name in ("m", "s/m"):
        with pytest.raises(SparseVQError, match=f"{name} is a MATLAB sparse"):
            opened(path, arrays=(name,), dimensions=("y", "x"))


def test_cells_that_hold_themselves_or_each_other_many_times_end(tmp_path):
    path = version_7_3(tmp_path / "a.mat", {"u": U, "c": cell([U[..., 0]], (1, 1))})
    with h5py.File(path, "r+") as file:
        one = file["u"]
        for level in range(7):  # 10^7 paths to one matrix
            file[f"#refs#/many{level}"] = np.array([one.ref] * 10, dtype=h5py.ref_dtype)
            one = file[f"#refs#/many{level}"]
            one.attrs["MATLAB_class"] = np.bytes_("cell")
        file["many"] = np.array([one.ref], dtype=h5py.ref_dtype)
        file["loop"] = np.array([one.ref, one.ref], dtype=h5py.ref_dtype)
        file["loop"][:] = [file["loop"].ref, file["loop"].ref]
        for name in ("many", "loop"):
            file[name].attrs["MATLAB_class"] = np.bytes_("cell")
    contents = open_contents(path, FileConfig(path=str(path)))
    assert list(contents.arrays) == ["c", "u"] and contents.arrays["c"].name == "c"
    assert "more than" in contents.unreadable["many"] or "within 8" in contents.unreadable["many"]
    assert "holds itself" in contents.unreadable["loop"]
