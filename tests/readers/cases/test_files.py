"""Files by their names, in archives, and while they are written."""

import contextlib
import gzip
import subprocess
import sys
import zipfile

import netCDF4
import numpy as np
import pytest
import scipy.io
import xarray as xr
import zarr

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_files
from tests.readers.cases.table import NX, NY, Refused, Right, check, check_words, row, wave


def snapshots(form):
    """One snapshot a file, numbered without zeros in front."""

    def make(folder):
        for k in range(12):
            if form == "npy":
                np.save(folder / f"frame_{k + 1}.npy", wave(12)[k])
            else:
                scipy.io.savemat(folder / f"PIV_{k + 1}.mat", {"u": wave(12)[k]})
        return folder / f"*.{form}"

    return make


def data():
    return xr.Dataset(
        {"u": (("time", "y", "x"), wave(), {"units": "m s-1"})},
        {
            "time": ("time", np.arange(24.0), {"units": "hours since 2001-01-01"}),
            "y": ("y", np.arange(NY) * 0.5, {"units": "m"}),
            "x": ("x", np.arange(NX) * 0.5, {"units": "m"}),
        },
    )


def zarr_in_a_zip(folder):
    with zarr.storage.ZipStore(folder / "a.zarr.zip", mode="w") as store:
        data().to_zarr(store, zarr_format=2)
    return folder / "a.zarr.zip"


def netcdf_in(kind):
    """NetCDF as portals send it."""

    def make(folder):
        data().to_netcdf(folder / "a.nc")
        packed = folder / f"a.nc.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(packed, "w") as archive:
                archive.write(folder / "a.nc", "a.nc")
        else:
            packed.write_bytes(gzip.compress((folder / "a.nc").read_bytes()))
        return packed

    return make


READ = Right(wave(), axes={"y": np.arange(NY) * 0.5, "x": np.arange(NX) * 0.5}, start=("2001-01-01T00",))
ORDERED = Right(wave(12), about={"time": np.arange(12.0)})
ROWS = [
    row("numbered snapshots, npy", snapshots("npy"), ORDERED, join="time", dimensions=("y", "x")),
    row("numbered snapshots, MATLAB", snapshots("mat"), ORDERED, join="time", dimensions=("y", "x"), arrays=("u",)),
    row("zarr in a zip", zarr_in_a_zip, READ),
    row("zarr in a zip, told", zarr_in_a_zip, READ, format="zarr"),
    row("NetCDF in a zip", netcdf_in("zip"), Refused(("unzip|unpack|uncompress|extract|unzipped",))),
    row("NetCDF in gzip", netcdf_in("gz"), Refused(("unzip|unpack|uncompress|extract|gunzip",))),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_files_are_found_and_read_in_order(tmp_path, case):
    check(case, tmp_path)


WRITERS = {
    "a.h5": "import h5py, numpy; f = h5py.File(path, 'w'); f['u'] = numpy.ones((4, 3, 2)); f.flush()",
    "a.nc": "import netCDF4; f = netCDF4.Dataset(path, 'a')",
}


@contextlib.contextmanager
def written_to(path, code):
    """Another program has the file open for writing."""
    program = f"import sys; path = {str(path)!r}; {code}; print('open', flush=True); sys.stdin.read()"
    writer = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "open\n"
        yield
    finally:
        writer.communicate("")


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_another_program_writes_is_not_called_damaged(tmp_path, name):
    if name.endswith("nc"):
        netCDF4.Dataset(tmp_path / name, "w").close()
    settings = {"arrays": ("u",), "dimensions": ("time", "y", "x")} if name == "a.h5" else {}
    with written_to(tmp_path / name, WRITERS[name]), pytest.raises(SparseVQError) as caught:
        open_files(FileConfig(path=str(tmp_path / name), **settings), "case")
    check_words(str(caught.value), (name, "writ"))
    assert "damaged" not in str(caught.value)
