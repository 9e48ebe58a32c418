"""Formats are known by the content of a file; what is no array file is named, with the way out."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile

import h5py
import netCDF4
import numpy as np
import pytest
import scipy.io
import xarray as xr
import zarr

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_contents
from sparsevq.readers.finding.formats import format_of
from sparsevq.readers.opening.stored import reading
from tests.user_files import all_of, opened, values


def grid():
    return xr.Dataset(
        {"u": (("time", "x"), values(6, 5), {"units": "m/s"})},
        coords={"time": ("time", np.arange(6.0), {"units": "s"}), "x": ("x", np.linspace(0, 1, 5), {"units": "m"})},
    )


def netcdf_4(path):
    grid().to_netcdf(path, engine="netcdf4")


def netcdf_4_by_another_library(path):
    grid().to_netcdf(path, engine="h5netcdf") if "h5netcdf" in xr.backends.list_engines() else netcdf_4(path)


def netcdf_4_without_attributes(path):
    netcdf_4(path)
    with h5py.File(path, "a") as file:
        del file.attrs["_NCProperties"]


def classic_netcdf(path):
    grid().to_netcdf(path, format="NETCDF3_64BIT")


def cdf_5(path):
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as file:
        file.createDimension("x", 5)
        file.createVariable("u", "f4", ("x",))[:] = 1


def plain_hdf5(path):
    with h5py.File(path, "w") as file:
        file["u"] = values(6, 5)


def hdf5_after_a_block(path):
    with h5py.File(path, "w", userblock_size=2048) as file:
        file["u"] = values(6, 5)


def matlab_5(path):
    with open(path, "wb") as file:
        scipy.io.savemat(file, {"u": values(6, 5)})


def matlab_7_3(path):
    hdf5_after_a_block(path)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def npy(path):
    with open(path, "wb") as file:
        np.save(file, values(6, 5))


def npz(path):
    with open(path, "wb") as file:
        np.savez(file, u=values(6, 5))


ENDINGS = [".nc", ".h5", ".dat", ".NC4", "", ".bin", ".hdf", ".npy", ".zip"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (netcdf_4, "netcdf"),
        (netcdf_4_by_another_library, "netcdf"),
        (netcdf_4_without_attributes, "netcdf"),
        (classic_netcdf, "netcdf"),
        (cdf_5, "netcdf"),
        (plain_hdf5, "hdf5"),
        (hdf5_after_a_block, "hdf5"),
        (matlab_5, "matlab"),
        (matlab_7_3, "matlab"),
        (npy, "numpy"),
        (npz, "numpy"),
    ],
)
def test_the_content_counts_not_the_name(tmp_path, write, kind, ending):
    path = tmp_path / f"a{ending}"
    write(path)
    assert format_of(path, FileConfig(path=str(path))) == kind
    assert "u" in open_contents(path, FileConfig(path=str(path))).arrays or kind == "numpy"


def test_netcdf_4_that_is_called_h5_has_its_times_and_units(tmp_path):
    netcdf_4(tmp_path / "a.h5")
    source = opened(tmp_path / "a.h5")
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], grid().u.values)
    assert source.units == ("m/s",) and source.time_units == "s"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("inside", ["", "a.zarr", "some/where/a.zarr"])
def test_a_zipped_zarr_store(tmp_path, version, inside):
    grid().to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=version == 2)
    for name in ("a.zarr.zip", "b.zip", "c"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for path in sorted((tmp_path / "a.zarr").rglob("*")):
                if path.is_file():
                    archive.write(path, os.path.join(inside, path.relative_to(tmp_path / "a.zarr")))
        for settings in ({}, {"format": "zarr"}):
            source = opened(tmp_path / name, **settings)
            np.testing.assert_array_equal(all_of(source)[0, ..., 0], grid().u.values)
            np.testing.assert_array_equal(source.axes["x"], np.linspace(0, 1, 5))


def test_a_store_that_zarr_wrote_into_a_zip_file(tmp_path):
    with zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="w") as store:
        grid().to_zarr(store, zarr_format=3, consolidated=False)
    np.testing.assert_array_equal(all_of(opened(tmp_path / "a.zarr.zip"))[0, ..., 0], grid().u.values)


def as_zip(content):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.nc", content)
        archive.writestr("b.nc", content)
    return packed.getvalue()


def as_tar(content):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.nc"), io.BytesIO(content))
    return packed.getvalue()


FOREIGN = [
    (b"", "is empty .0 bytes.: make or download it again"),
    (gzip.compress(b"CDF\x01"), "compressed with gzip: unpack it first: gunzip -k .*a.nc"),
    (bz2.compress(b"CDF\x01"), "compressed with bzip2: unpack it first: bunzip2"),
    (lzma.compress(b"CDF\x01"), "compressed with xz: unpack it first: xz -dk"),
    (b"7z\xbc\xaf\x27\x1c" + bytes(40), "a 7-Zip archive: unpack it first: 7z x"),
    (as_tar(b"CDF\x01"), "a tar archive: unpack it first: tar xf"),
    (as_zip(b"CDF\x01"), "a zip archive .of a.nc and 1 more.: unpack it first: unzip .*a.nc"),
    (b"PK\x03\x04" + bytes(20), "a zip archive that is damaged or cut short"),
    (b"GRIB\x00\x00\x01\x02" + bytes(20), "is GRIB: convert it to NetCDF: cdo -f nc4 copy .*a.nc out.nc"),
    (b"BUFR\x00\x00\x01\x02" + bytes(20), "is BUFR: convert it"),
    (b"\x0e\x03\x13\x01" + bytes(20), "is HDF4, another format than HDF5: convert it: h4toh5"),
    (b"\xcd\xf3\x00\x01" + bytes(20), "is NASA's CDF, another format than NetCDF: convert it"),
    (b"II*\x00" + bytes(20), "is a TIFF image: convert it: gdal_translate -of netCDF"),
    (b"\x89PNG\r\n\x1a\n", "is a PNG image: name the data"),
    (b"<!DOCTYPE html>\n<html><title>Earthdata Login</title>", "a web page .HTML., not data: the download went wrong"),
    (b"\n\n  <html>", "a web page .HTML., not data"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is XML, not data: if it is an error of a ser"),
    (b'<?xml version="1.0"?>\n<VTKFile type="ImageData">', "is VTK: convert it"),
    (b"# vtk DataFile Version 3.0\n", "is VTK: convert it"),
    (b'{"error": "no such product"}', "is JSON: convert it"),
    (b'{"version": 1, "refs": {}}', "references to files elsewhere .kerchunk.: name the files themselves"),
    (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a pointer of Git LFS.*git lfs pul",
    ),
    (b"netcdf a {\ndimensions:\n\tx = 5 ;\n", "a dump of NetCDF as text .CDL.: .*ncgen -o out.nc"),
    (b"time,u,v\n0,1,2\n", "a text file .it begins with 'time,u,v'.: name a file of arrays; numbers in a text"),
    ("Zeit;Höhe\n0,5;1,5\n".encode("latin-1"), "a text file .it begins with 'Zeit;H"),
    ("time\tu\n".encode("utf-16"), "a text file .it begins with 'time"),
    (bytes(4096), "begins with zeros only: it was not written to its end"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(20), "an Excel or Word file"),
    (b"SQLite format 3\x00", "an SQLite data base"),
    (b"PAR1" + bytes(20), "is Parquet: convert it"),
    (b"SIMPLE  =                    T", "is FITS: convert it"),
    (b"\x00\x05\x16\x07" + bytes(20), "a note of macOS beside a file"),
]


@pytest.mark.parametrize("settings", [{}, {"format": "netcdf"}, {"format": "hdf5"}, {"format": "matlab"}])
@pytest.mark.parametrize(("content", "message"), FOREIGN, ids=[message[:24] for _, message in FOREIGN])
def test_what_is_no_file_of_arrays_is_said(tmp_path, content, message, settings):
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(SparseVQError, match=message) as raised:
        opened(tmp_path / "a.nc", **settings)
    assert "\n" not in str(raised.value) and "a.nc" in str(raised.value)


@pytest.mark.parametrize(
    ("write", "given", "message"),
    [
        (classic_netcdf, "hdf5", "a.nc is NetCDF, not HDF5: leave out `format`"),
        (npy, "netcdf", "a.nc is NumPy, not NetCDF: leave out `format`"),
        (plain_hdf5, "numpy", "a.nc is HDF5, not NumPy"),
        (matlab_5, "zarr", "a.nc is MATLAB, not Zarr"),
    ],
)
def test_a_format_that_is_not_the_file_s(tmp_path, write, given, message):
    write(tmp_path / "a.nc")
    with pytest.raises(SparseVQError, match=message):
        opened(tmp_path / "a.nc", format=given)


@pytest.mark.parametrize("name", ["run[1].nc", "run#1.nc", "#mode=zarr.nc", "a b.nc", "ü€.nc", "c:x.nc", "zip::x.nc"])
@pytest.mark.parametrize("write", [netcdf_4, classic_netcdf])
def test_names_that_libraries_could_take_for_something_else(tmp_path, monkeypatch, write, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.nc")
    (tmp_path / "a.nc").rename(tmp_path / name)
    np.testing.assert_array_equal(all_of(opened(name))[0, ..., 0], grid().u.values)


@pytest.mark.parametrize("name", ["a\\b.nc", os.fsdecode(b"H\xf6he.nc")])
def test_names_that_the_netcdf_library_does_not_read(tmp_path, name):
    netcdf_4(tmp_path / "a.nc")
    (tmp_path / "a.nc").rename(tmp_path / name)
    with pytest.raises(SparseVQError, match=r"whose name has such characters: rename it"):
        opened(tmp_path / name)


WRITERS = {
    "h5py": "import h5py; f = h5py.File({path!r}, 'a'); f['v'] = 1; f.flush()",
    "h5py, a new file": "import h5py; f = h5py.File({path!r}, 'w')",
    "netCDF4": "import netCDF4; f = netCDF4.Dataset({path!r}, 'a')",
}


@pytest.mark.parametrize("name", ["a.nc", "a.h5"])
@pytest.mark.parametrize("writer", list(WRITERS))
def test_a_file_that_another_program_writes(tmp_path, writer, name):
    path = tmp_path / name
    netcdf_4(path)
    code = WRITERS[writer].format(path=str(path)) + "; print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"open\n"
            for settings in ({}, {"format": "netcdf"}, {"format": "hdf5"}):
                with pytest.raises(SparseVQError, match=rf"another program is writing .*{name}: wait until it is clos"):
                    opened(path, **settings)
        finally:
            process.kill()


def test_a_file_that_was_not_closed(tmp_path):
    code = f"import h5py, os; f = h5py.File({str(tmp_path / 'a.h5')!r}, 'w', libver='latest'); f['u'] = [1.0, 2.0]; "
    subprocess.run([sys.executable, "-c", code + "f.flush(); os._exit(0)"], check=True)
    with pytest.raises(SparseVQError, match=r"a.h5 was not closed by the program that writes it: .*h5clear -s .*a.h5"):
        opened(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "error",
    [
        TypeError("x"), IndexError(), AttributeError("y"), KeyError("z"), OverflowError("large"), RecursionError(),
        NotImplementedError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ZeroDivisionError("0"),
        OSError(-101, "NetCDF: HDF error"), MemoryError(), EOFError(), ImportError("no xyz"), StopIteration(),
    ],
    ids=repr,
)  # fmt: skip
def test_every_exception_of_a_library_is_one_line(tmp_path, error):
    (tmp_path / "a.nc").write_bytes(b"\x01\x02\x03\xff" * 9)
    with pytest.raises(SparseVQError, match=r"a.nc") as raised, reading(tmp_path / "a.nc", "NetCDF"):
        raise error
    assert "\n" not in str(raised.value)


def test_what_is_no_fault_of_a_file_passes(tmp_path):
    for error in (KeyboardInterrupt(), SparseVQError("said")):
        with pytest.raises(type(error)), reading(tmp_path / "a.nc", "NetCDF"):
            raise error
    with pytest.raises(NameError), reading(tmp_path / "a.nc", "NetCDF"):
        exec("undefined", {"__name__": "sparsevq.readers.somewhere"})
