"""The format of a file: by its content, whatever it is called; by its name where the content does not tell."""

import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import h5py

from sparsevq.config import FileConfig
from sparsevq.data import layout
from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.foreign import foreign, zarr_root
from sparsevq.readers.opening.hdf5_heaps import check_heaps
from sparsevq.readers.opening.stored import reading
from sparsevq.simulators import shards

SUFFIXES = {
    ".nc": "netcdf", ".nc4": "netcdf", ".cdf": "netcdf", ".zarr": "zarr", ".h5": "hdf5", ".hdf5": "hdf5",
    ".hdf": "hdf5", ".he5": "hdf5", ".mat": "matlab", ".npy": "numpy", ".npz": "numpy", ".pkl": "pickle",
    ".pickle": "pickle", ".smv": "fds",
}  # fmt: skip
ZARR_MARKS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
_FIRST_BYTES = {
    b"CDF\x01": "netcdf", b"CDF\x02": "netcdf", b"CDF\x05": "netcdf", b"\x93NUM": "numpy", b"MATL": "matlab",
}  # fmt: skip
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NETCDF = ("_NCProperties", "_nc3_strict", "_Netcdf4Dimid", "_Netcdf4Coordinates")
"""Attributes that the NetCDF library leaves in an HDF5 file."""
_MOST_LOOKED = 200
"""Datasets and groups of an HDF5 file in which such marks are looked for."""
_FORMATS = {"netcdf": "NetCDF", "zarr": "Zarr", "hdf5": "HDF5", "matlab": "MATLAB", "numpy": "NumPy"}

_ALSO = {"hdf5": ("netcdf", "matlab"), "matlab": ("hdf5",)}
"""Formats that a file may be read as too, since they are kinds of HDF5."""


def format_of(path: Path, settings: FileConfig) -> str:
    """Format of a file: from the configuration, or by its content, or by its name.

    Raises
    ------
    SparseVQError
        It is of none that is read: the message says what it is, and what to do; or it cannot be opened.
    """
    if settings.format != "auto":
        _check_format(path, settings.format)
        return settings.format
    kind = _of_folder(path) if path.is_dir() else _of_file(path)
    if kind == "pickle":
        raise SparseVQError(
            f"{path} is a pickle, whose arrays have no names",
            "give `format: release` and `release: <the loader that it was made for>`",
        )
    if not kind:
        raise SparseVQError(f"{path} is of no known format", f"give `format`; known endings are {', '.join(SUFFIXES)}")
    return kind


def _check_format(path: Path, given: str) -> None:
    """Check that the content of a file is of the format that the configuration gives it.

    Raises
    ------
    SparseVQError
        It is of another one.
    """
    if given not in _FORMATS or not path.is_file():
        return
    with reading(path, _FORMATS[given]):
        kind = _by_content(path)
        if kind in _ALSO:
            check_heaps(path)
    if kind and given not in (kind, *_ALSO.get(kind, ())):
        raise SparseVQError(f"{path} is {_FORMATS[kind]}, not {_FORMATS[given]}", "leave out `format`")


def _of_folder(path: Path) -> str:
    if any((path / mark).exists() for mark in ZARR_MARKS):
        return "zarr"
    return "fds" if any(path.glob("*.smv")) else SUFFIXES.get(path.suffix.lower(), "")


def _of_file(path: Path) -> str:
    by_name = SUFFIXES.get(path.suffix.lower(), "")
    with reading(path, _FORMATS.get(by_name, "data")):
        kind = _by_content(path)
        if kind != "hdf5":
            said = foreign(path) if not kind and by_name != "fds" else None
            if said:
                raise SparseVQError(f"{path} {said[0]}", said[1])
            return kind or by_name
        check_heaps(path)
        with h5py.File(path, "r") as file:
            if _schema(file) in (layout.SCHEMA, shards.SCHEMA):
                return "sparsevq"
            if _is_netcdf(file, by_name == "netcdf"):
                return "netcdf"
            return "matlab" if by_name == "matlab" else "hdf5"


def readable_by_content(path: Path) -> bool:
    """Whether a file's first bytes are those of a format that is read."""
    try:
        return bool(_by_content(path))
    except OSError:
        return False


def _by_content(path: Path) -> str:
    """The format by the first bytes; empty if they do not tell."""
    with open(path, "rb") as file:
        start = file.read(8)
        if start.startswith(b"PK\x03\x04"):
            return _of_archive(path)
        at = 512  # HDF5 may begin after a block of the user's, of 512 times a power of two
        while start[:4] not in _FIRST_BYTES and start != _HDF5:
            file.seek(at)
            start, at = file.read(8), 2 * at
            if len(start) < 8:
                return ""
    if start == _HDF5:
        with open(path, "rb") as file:
            return "matlab" if file.read(6) == b"MATLAB" else "hdf5"
    return _FIRST_BYTES[start[:4]] if at == 512 else ""


def _of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return ""  # `foreign` says that it is damaged
    if zarr_root(names) is not None:
        return "zarr"
    return "numpy" if names and all(name.endswith(".npy") for name in names) else ""


def schema_of(path: Path) -> str:
    """The project's own layout that an HDF5 file has; empty: none, or it cannot be read (its reader says why)."""
    try:
        with h5py.File(path, "r") as file:
            return _schema(file)
    except Exception:  # the reader of its format meets the same, and says it
        return ""


def _schema(file: h5py.File) -> str:
    return str(file.attrs["schema"]) if "schema" in file.attrs else ""


def _is_netcdf(file: h5py.File, called_so: bool) -> bool:
    """Whether an HDF5 file is one of NetCDF-4: it has the library's marks, or the ending and dimension scales."""
    if any(mark in file.attrs for mark in _NETCDF):
        return True

    looked = count()

    def marked(_: str, item: Any) -> bool | None:
        if next(looked) > _MOST_LOOKED:  # files of thousands of groups; NetCDF marks nearly all
            return False
        scaled = called_so and item.attrs.get("CLASS") == b"DIMENSION_SCALE"
        return True if scaled or any(mark in item.attrs for mark in _NETCDF) else None

    return bool(file.visititems(marked))
