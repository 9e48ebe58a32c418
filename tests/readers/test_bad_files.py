"""Files that are damaged, hostile or do not go together: one line that names the file, and nothing is left behind."""

import io
import os
import pickle
import tracemalloc
import zipfile

import h5py
import netCDF4
import numpy as np
import pytest
import scipy.io
import xarray as xr
import zarr

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.preprocess import preprocess
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_files
from tests.user_files import values

SENTINEL = "SPARSEVQ_TEST_SENTINEL"


def grid(frames=12, **changes):
    """A good data set of one trajectory."""
    data = xr.Dataset(
        {"u": (("time", "y", "x"), values(frames, 8, 6, seed=changes.pop("seed", 0)), {"units": "m/s"})},
        coords={
            "time": ("time", np.arange(float(frames)), {"units": "s"}),
            "y": ("y", np.linspace(0, 1, 8)),
            "x": ("x", np.linspace(0, 1, 6)),
        },
    )
    return data.assign(changes)


def good(folder, name="a.nc"):
    grid().to_netcdf(folder / name)
    return folder / name


def cut(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def truncated_hdf5(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["u"] = values(12, 8, 6)
    cut(folder / "a.h5")


def truncated_netcdf(folder):
    cut(good(folder))


def truncated_classic_netcdf(folder):
    grid(200).to_netcdf(folder / "a.nc", format="NETCDF3_64BIT")
    cut(folder / "a.nc", 0.7)


def truncated_cdf_5(folder):
    data = grid(200)
    with netCDF4.Dataset(folder / "a.nc", "w", format="NETCDF3_64BIT_DATA") as file:
        for name, size in data.sizes.items():
            file.createDimension(name, size)
        for name, variable in data.variables.items():
            file.createVariable(name, variable.dtype, variable.dims)[:] = variable.to_numpy()
    open_files(FileConfig(path=str(folder / "a.nc")), "whole")
    cut(folder / "a.nc", 0.99)


def truncated_records(folder):
    """A frame is missing at the end."""
    data = grid(200)
    data["p"] = data.u.astype(np.int16)
    data.to_netcdf(folder / "a.nc", format="NETCDF3_CLASSIC", unlimited_dims=["time"])
    open_files(FileConfig(path=str(folder / "a.nc")), "whole")
    with open(folder / "a.nc", "r+b") as file:
        file.truncate((folder / "a.nc").stat().st_size - 8 * 6 * 2)


def truncated_matlab(folder):
    scipy.io.savemat(folder / "a.mat", {"u": values(12, 8, 6)})
    cut(folder / "a.mat")


def truncated_npy(folder):
    np.save(folder / "u.npy", values(12, 8, 6))
    cut(folder / "u.npy")


def truncated_npz(folder):
    np.savez(folder / "u.npz", u=values(12, 8, 6))
    cut(folder / "u.npz")


def truncated_pickle(folder):
    (folder / "a.pkl").write_bytes(pickle.dumps(values(12, 8, 6)))
    cut(folder / "a.pkl")


def damaged_chunk(folder):
    """The header is whole; a chunk of the data is not."""
    grid().to_netcdf(folder / "a.nc", encoding={"u": {"zlib": True, "fletcher32": True, "chunksizes": (4, 8, 6)}})
    with h5py.File(folder / "a.nc") as file:
        chunk = file["u"].id.get_chunk_info(1)
    content = bytearray((folder / "a.nc").read_bytes())
    for at in range(chunk.byte_offset + 8, chunk.byte_offset + chunk.size - 8):
        content[at] ^= 0xFF
    (folder / "a.nc").write_bytes(content)


def damaged_zarr(folder):
    grid().to_zarr(folder / "a.zarr", consolidated=False)
    for path in (folder / "a.zarr" / "u" / "c").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:20])


def without_coordinates(folder):
    grid().drop_vars(["x", "y"]).rename(y="lat").to_netcdf(folder / "a.nc")


def without_times(folder):
    grid().drop_vars("time").to_netcdf(folder / "a.nc")


def times(changed):
    def write(folder):
        data = grid()
        at = data.time.values.copy()
        changed(at)
        data.assign_coords(time=("time", at, {"units": "s"})).to_netcdf(folder / "a.nc")

    write.__name__ = changed.__name__
    return write


def back_in_time(at):
    at[7] = at[5]


def a_gap_in_time(at):
    at[7:] += 3


def no_time(at):
    at[7] = np.nan


def two(change):
    def write(folder):
        good(folder)
        change(grid(seed=1)).to_netcdf(folder / "b.nc")

    write.__name__ = change.__name__
    return write


def mixed_units(data):
    data.u.attrs["units"] = "cm/s"
    return data


def another_shape(data):
    return data.isel(x=slice(0, 5))


def another_length(data):
    return data.isel(time=slice(0, 11))


def another_order_of_axes(data):
    return data.transpose("time", "x", "y")


def all_nan(folder):
    data = grid()
    data["v"] = data.u * np.nan
    data.to_netcdf(folder / "a.nc")


def infinite(folder):
    data = grid()
    data.u[3, 2, 1] = np.inf
    data.to_netcdf(folder / "a.nc")


class Runs:
    def __reduce__(self):
        return exec, (f"import os; os.environ[{SENTINEL!r}] = '1'",)


def pickle_that_runs(folder):
    (folder / "a.pkl").write_bytes(pickle.dumps([{"data": values(12, 8, 6), "coords": Runs()}]))


def hdf5_chunk_bomb(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        shape = (2**11, 2**10, 2**10 - 1)
        file.create_dataset("u", shape, "f2", chunks=shape, compression="gzip")


def hdf5_size_bomb(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("u", (2**30, 2**10, 2**10), "f8", chunks=(16, 64, 64), compression="gzip")


def netcdf_size_bomb(folder):
    with netCDF4.Dataset(folder / "a.nc", "w") as file:
        for name, size in (("time", 12), ("y", 2**20), ("x", 2**20)):
            file.createDimension(name, size)
        file.createVariable("u", "f4", ("time", "y", "x"), zlib=True, chunksizes=(1, 1024, 1024))


def coordinate_bomb(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["u"] = values(12, 8, 6)
        file.create_dataset("t", (2**40,), "f8", chunks=(1024,), compression="gzip")


def zarr_chunk_bomb(folder):
    group = zarr.open_group(folder / "a.zarr", mode="w")
    group.create_array(
        "u", shape=(2**20, 2**12, 2), chunks=(2**20, 2**12, 2), dtype="f4", dimension_names=("time", "y", "x")
    )
    for name, size in (("time", 2**20), ("y", 2**12), ("x", 2)):
        group.create_array(name, shape=(size,), dtype="f8", dimension_names=(name,))[:] = np.arange(size)


def npz_bomb(folder):
    """A header that claims 8 TB, and zeros that compress a thousand times."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**30, 2**5, 2**5)})
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("u.npy", header.getvalue() + bytes(2**20))


def npz_that_is_too_large(folder):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|i1", "fortran_order": False, "shape": (12, 2**15, 2**15)})
    with (
        zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("u.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
    path = folder / "a.npz"  # the directory claims what the header does; the content is not there
    content = path.read_bytes()
    size = len(header.getvalue()) + 12 * 2**30
    at = content.rindex(b"PK\x01\x02")
    extra = b"\x01\x00\x08\x00" + size.to_bytes(8, "little")
    entry = bytearray(content[at : at + 46 + 5])
    entry[24:28] = b"\xff\xff\xff\xff"
    entry[30:32] = len(extra).to_bytes(2, "little")
    end = bytearray(content[content.rindex(b"PK\x05\x06") :])
    end[12:16] = (len(entry) + len(extra)).to_bytes(4, "little")
    path.write_bytes(content[:at] + bytes(entry) + extra + bytes(end))


def npy_bomb(folder):
    with open(folder / "u.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (2**30, 2**10, 8)})
        file.write(bytes(100))


def matlab_bomb(folder):
    scipy.io.savemat(folder / "a.mat", {"u": np.zeros((2, 3, 4))})
    content = (folder / "a.mat").read_bytes()
    sizes = np.array([2, 3, 4], "<i4").tobytes()
    assert sizes in content
    (folder / "a.mat").write_bytes(content.replace(sizes, np.array([2**20, 2**10, 4], "<i4").tobytes(), 1))


def folder_in_place_of_a_file(folder):
    (folder / "a.nc").mkdir()
    (folder / "a.nc" / "b.nc").mkdir()


def empty_folder(folder):
    pass


def text_named_nc(folder):
    (folder / "a.nc").write_text("time,u\n0,1\n")


def of_no_known_format(folder):
    (folder / "a.dat").write_bytes(values(12, 8, 6).tobytes())


def a_pickle_without_a_loader(folder):
    (folder / "a.pkl").write_bytes(pickle.dumps(values(12, 8, 6)))


def two_formats(folder):
    good(folder)
    np.save(folder / "b.npy", values(3))


DIMENSIONS = {"dimensions": ("time", "y", "x")}
BLOCKS = {"split": "time", "block": 4}
RELEASE = {"format": "release", "release": "pipe"}
TABLE = [
    (truncated_hdf5, "a.h5", DIMENSIONS, "a.h5 is truncated .*make or copy it again"),
    (truncated_netcdf, "a.nc", {}, "a.nc is truncated .*make or copy it again"),
    (truncated_classic_netcdf, "a.nc", {}, "a.nc is truncated .it has"),
    (truncated_cdf_5, "a.nc", {}, "a.nc is truncated .it has"),
    (truncated_records, "a.nc", {}, "a.nc is truncated"),
    (truncated_matlab, "a.mat", DIMENSIONS, "a.mat is truncated .*make or copy it again"),
    (truncated_npy, "u.npy", DIMENSIONS, "u.npy claims an array of .* make or copy it again"),
    (truncated_npz, "u.npz", DIMENSIONS, "u.npz is a zip archive that is damaged or cut short: make or download"),
    (truncated_pickle, "a.pkl", RELEASE, "a.pkl is not a whole pickle .*make or copy it again"),
    (damaged_chunk, "a.nc", {}, "a.nc cannot be read as NetCDF"),
    (damaged_zarr, "a.zarr", {}, "a.zarr cannot be read as Zarr"),
    (without_coordinates, "a.nc", {}, r"a.nc: lat \(8 points\) has no coordinates: give `coordinates: {lat: \[first"),
    (without_times, "a.nc", {}, r"a.nc: time \(12 frames\) has no coordinates: give `time: \[first, step\]`"),
    (times(back_in_time), "a.nc", {}, "a.nc: time does not increase: frame 7 is at 5 s, frame 6 at 6 s: sort"),
    (times(a_gap_in_time), "a.nc", {}, r"a.nc: frames are not evenly spaced.* frame 7 \(10 s\) is 4 s after frame 6"),
    (times(no_time), "a.nc", {}, "a.nc: the time of frame 7 is missing, as if .* never been written: correct"),
    (two(mixed_units), "*.nc", {}, "b.nc and .*a.nc do not go together: u in cm/s and m/s: convert"),
    (two(another_shape), "*.nc", {}, "b.nc and .*a.nc do not go together: a grid of 8 x 5 and 8 x 6"),
    (two(another_length), "*.nc", {}, "b.nc and .*a.nc do not go together: frames 11 and 12"),
    (two(another_order_of_axes), "*.nc", {}, "b.nc and .*a.nc do not go together: axes x, y and y, x"),
    (all_nan, "a.nc", {}, "channel v of trajectory 0 is NaN everywhere: leave out"),
    (infinite, "a.nc", {}, "a.nc: 1 infinite value.*trajectory 0, frame 3, channel u"),
    (pickle_that_runs, "a.pkl", RELEASE, "a.pkl is refused: it names builtins.exec: a pickle may hold NumPy arrays"),
    (hdf5_chunk_bomb, "a.h5", DIMENSIONS, "a.h5: u has chunks of 4 GiB .*more than 1 GiB: store it in smaller chunks"),
    (hdf5_size_bomb, "a.h5", DIMENSIONS, "a.h5: u claims 8.19e.03 TiB, but the file has .* KiB"),
    (netcdf_size_bomb, "a.nc", {"coordinates": {"y": (0, 1), "x": (0, 1)}, "time": (0, 1)}, "a.nc: u claims 48 TiB"),
    (coordinate_bomb, "a.h5", {**DIMENSIONS, "arrays": ("u",), "time": "t"}, "a.h5: t has shape .* too large"),
    (zarr_chunk_bomb, "a.zarr", {}, "a.zarr: u has chunks of 32 GiB .*more than 1 GiB"),
    (npz_bomb, "a.npz", DIMENSIONS, "a.npz: u claims 8796093022208 bytes, but has 1048576"),
    (npz_that_is_too_large, "a.npz", DIMENSIONS, "a.npz: u is compressed and claims 12 GiB, more than 4 GiB"),
    (npy_bomb, "u.npy", DIMENSIONS, "u.npy claims an array of 64 TiB .*but has 100 bytes"),
    (matlab_bomb, "a.mat", DIMENSIONS, "a.mat: u claims 32 GiB, more than 2 GiB"),
    (folder_in_place_of_a_file, "a.nc/b.nc", {"format": "netcdf"}, "folder .*holds no file of a known format"),
    (folder_in_place_of_a_file, "a.nc", {}, "a.nc.b.nc.* .it is a folder."),
    (empty_folder, ".", {}, "the folder .* holds no file of a known format: name a file or a pattern"),
    (empty_folder, "*.nc", {}, r"\*.nc matches no file: check the path"),
    (good, "a.nc", {"arrays": ("w",)}, r"a.nc: arrays: there is no w: it holds u \(time 12, y 8, x 6\)"),
    (good, "a.nc", {"channels": ("w", "q")}, "channels: 'w' is not in .*known are u"),
    (text_named_nc, "a.nc", {}, "a.nc is a text file .it begins with 'time,u'.: name a file of arrays"),
    (of_no_known_format, "a.dat", {}, "a.dat is of no known format: give `format`"),
    (a_pickle_without_a_loader, "a.pkl", {}, "a.pkl is a pickle.*give `format: release`"),
    (two_formats, ".", {}, r"files of several formats: .*a.nc is netcdf, .*b.npy is numpy: name files of one format"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "name", "settings", "message"), TABLE, ids=[f"{write.__name__}-{name}" for write, name, *_ in TABLE]
)
def test_one_line_and_nothing_left_behind(tmp_path, monkeypatch, write, name, settings, message):
    monkeypatch.setenv(SENTINEL, "")
    for folder in ("in", "out", "tmp"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    write(tmp_path / "in")
    config = FileConfig(path=str(tmp_path / "in" / name), validation=1, test=1, **BLOCKS, **settings)
    tracemalloc.start()
    with pytest.raises(SparseVQError, match=message) as raised:
        preprocess(open_files(config, "mine"), tmp_path / "out" / "data.h5", "mine", config, PreprocessConfig())
    assert tracemalloc.get_traced_memory()[1] < 5e7
    tracemalloc.stop()
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 1000
    assert list((tmp_path / "out").iterdir()) == list((tmp_path / "tmp").iterdir()) == []
    assert not os.environ[SENTINEL]


@pytest.mark.parametrize("name", ["a.nc", "a.h5", "a.npy", "a.npz", "a.mat", "a.pkl"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    """As another user than root would see it: the system refuses to open the file."""
    (tmp_path / name).write_bytes(b"something")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / name))

    for where in ("xarray.open_dataset", "h5py.File", "h5py.is_hdf5", "builtins.open", "zipfile.is_zipfile"):
        monkeypatch.setattr(where, refused)
    settings = RELEASE if name == "a.pkl" else {}
    with pytest.raises(SparseVQError, match=rf"cannot read .*{name} \(Permission denied\): check the path"):
        open_files(FileConfig(path=str(tmp_path / name), **settings), "mine")


def test_a_damaged_fill_value_of_hdf5_is_one_line(tmp_path):
    """h5py crashes when it reads a fill value whose description is damaged."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("u", data=values(4, 3, 5), fillvalue=np.float32(-77.25))
    good = (tmp_path / "a.h5").read_bytes()
    at = good.index(np.float32(-77.25).tobytes())
    settings = FileConfig(path=str(tmp_path / "a.h5"), arrays=("u",), dimensions=("time", "y", "x"))
    for before in range(1, 17):
        for bit in range(8):
            changed = bytearray(good)
            changed[at - before] ^= 1 << bit
            (tmp_path / "a.h5").write_bytes(changed)
            try:
                open_files(settings, "damaged")
            except SparseVQError as error:
                assert "\n" not in str(error)


def test_a_message_is_one_line_of_letters_whatever_a_file_calls_its_arrays():
    said = str(
        SparseVQError("a.mat: there is\n u\x00\x00\x02\x1b[31m\x7f" + 900 * "\x00" + "v", "name another\x07 array\r\n")
    )
    assert said == "a.mat: there is u [31m v: name another array."
