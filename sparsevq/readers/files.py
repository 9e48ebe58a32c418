"""The user's own files as a source: which files, their formats, and how they are joined."""

import glob
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from sparsevq.config import FileConfig
from sparsevq.data import layout
from sparsevq.data.source import Source, every
from sparsevq.errors import SparseVQError
from sparsevq.readers.assemble import assemble
from sparsevq.readers.clock import Clock, Timed, check_even, dated_parameters, timed
from sparsevq.readers.data_set import open_data_set
from sparsevq.readers.hdf5_files import open_hdf5
from sparsevq.readers.join import join_in_time, join_trajectories
from sparsevq.readers.matlab import open_matlab
from sparsevq.readers.numpy_files import open_numpy
from sparsevq.readers.release import open_release, split_by_names
from sparsevq.readers.selection import in_window, time_blocks, with_overrides
from sparsevq.readers.shards import open_shards
from sparsevq.readers.slabs import SlabStore
from sparsevq.readers.stored import Contents, reading
from sparsevq.readers.xarray_files import open_netcdf, open_zarr
from sparsevq.simulators import shards

SUFFIXES = {
    ".nc": "netcdf", ".nc4": "netcdf", ".cdf": "netcdf", ".zarr": "zarr", ".h5": "hdf5", ".hdf5": "hdf5",
    ".hdf": "hdf5", ".he5": "hdf5", ".mat": "matlab", ".npy": "numpy", ".npz": "numpy", ".pkl": "pickle",
    ".pickle": "pickle", ".smv": "fds",
}  # fmt: skip
FIRST_BYTES = {
    b"\x89HDF": "hdf5", b"CDF\x01": "netcdf", b"CDF\x02": "netcdf", b"CDF\x05": "netcdf",
    b"\x93NUM": "numpy", b"MATL": "matlab", b"PK\x03\x04": "numpy",
}  # fmt: skip
ZARR_MARKS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
OPENERS: dict[str, Callable[[Path], Contents]] = {
    "netcdf": open_netcdf,
    "zarr": open_zarr,
    "hdf5": open_hdf5,
    "matlab": open_matlab,
    "numpy": open_numpy,
}


def matching_files(settings: FileConfig) -> tuple[Path, ...]:
    """The files (or folders, for formats that are folders) that the configuration names, in order of their names.

    Raises
    ------
    SparseVQError
        A name or pattern matches nothing, or a folder holds no file of a known format.
    """
    named = (settings.path,) if isinstance(settings.path, str) else settings.path
    found: list[Path] = []
    for pattern in named:
        matches = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern))
        if not matches:
            raise SparseVQError(
                f"path: {pattern} matches no file", "check the path; it is relative to the working directory"
            )
        for path in map(Path, matches):
            found += [path] if path.is_file() or _is_a_data_set(path, settings) else _files_in(path)
    return tuple(found)


def _is_a_data_set(folder: Path, settings: FileConfig) -> bool:
    """Whether a folder is one data set by its format."""
    if settings.format in ("zarr", "fds") or folder.suffix == ".zarr":
        return True
    return any((folder / mark).exists() for mark in ZARR_MARKS) or any(folder.glob("*.smv"))


def _files_in(folder: Path) -> list[Path]:
    found = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise SparseVQError(
            f"path: the folder {folder} holds no file of a known format",
            f"name a file or a pattern; known endings are {', '.join(SUFFIXES)}",
        )
    return found


def format_of(path: Path, settings: FileConfig) -> str:
    """Format of a file: from the configuration, or by its name and first bytes.

    Raises
    ------
    SparseVQError
        It is not known from either.
    """
    if settings.format != "auto":
        return settings.format
    if path.is_dir() and any((path / mark).exists() for mark in ZARR_MARKS):
        return "zarr"
    if path.is_dir() and any(path.glob("*.smv")):
        return "fds"
    kind = SUFFIXES.get(path.suffix.lower(), "")
    if not kind and path.is_file():
        with reading(path, "data"), open(path, "rb") as file:
            kind = FIRST_BYTES.get(file.read(4), "")
    if kind == "pickle":
        raise SparseVQError(
            f"{path} is a pickle, whose arrays have no names",
            "give `format: release` and `release: <the loader that it was made for>`",
        )
    if not kind:
        raise SparseVQError(f"{path} is of no known format", f"give `format`; known endings are {', '.join(SUFFIXES)}")
    return "sparsevq" if kind == "hdf5" and _schema(path) in (layout.SCHEMA, shards.SCHEMA) else kind


def _schema(path: Path) -> str:
    """The project's own layout that an HDF5 file has, if any."""
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("schema", ""))
    except OSError:
        return ""  # its reader raises the error


def open_contents(path: Path, settings: FileConfig) -> Contents:
    """The arrays of one file, not read yet.

    Raises
    ------
    SparseVQError
        It cannot be read, or is of a format that has no arrays to choose from (FDS, the project's own).
    """
    kind = format_of(path, settings)
    if kind == "release":
        return open_release(path, settings)
    if kind not in OPENERS:
        raise SparseVQError(f"{path} is of the format {kind}, which has no arrays to choose from", "leave out `arrays`")
    return OPENERS[kind](path)


def open_files(settings: FileConfig, label: str) -> Source:
    """The files that the configuration names, as one source of the data set `label`.

    Raises
    ------
    SparseVQError
        A file cannot be read or understood, or does not fit the others or the configuration. While reading: a file is
        damaged.
    """
    paths = matching_files(settings)
    kinds = {format_of(path, settings) for path in paths}
    if len(kinds) > 1:
        raise SparseVQError(f"path: files of several formats ({', '.join(sorted(kinds))})", "name files of one format")
    parts = _parts(paths, kinds.pop(), settings, label)
    label = str(paths[0]) if len(paths) == 1 else label
    if settings.join == "trajectory":
        parts = [_part_of(part, settings) for part in parts]
        joined = join_trajectories(parts, label)
    else:
        joined = _part_of(join_in_time(parts, label, settings.time), settings)
    check_even(joined)
    if settings.split == "time":
        joined = time_blocks(joined, settings)
    source = with_overrides(dated_parameters(joined, also_numbers=settings.split == "time"), settings)
    return replace(source, provenance={"files": len(paths), "first": paths[0].name, **source.provenance})


def _part_of(part: Timed, settings: FileConfig) -> Timed:
    """The frames of the window and stride."""
    part = in_window(part, settings.window)
    return replace(part, source=every(part.source, settings.stride))


def _parts(paths: tuple[Path, ...], kind: str, settings: FileConfig, label: str) -> list[Timed]:
    """Each file as a source of its own."""
    if kind == "sparsevq":
        whole = _schema(paths[0]) == shards.SCHEMA
        sources = [open_shards(paths, label)] if whole else [open_data_set(path) for path in paths]
        return [timed(source, Clock(source.time_units)) for source in sources]
    if kind == "fds":
        from sparsevq.readers.fds.source import open_fds  # needs fdsreader; optional

        return [
            timed(source, Clock(source.time_units))
            for source in (open_fds(path, settings, str(path)) for path in paths)
        ]
    store, told = SlabStore(), set[str]()
    chosen = settings if kind != "release" else settings.model_copy(update={"arrays": ()})  # its reader has chosen them
    parts = [assemble(open_contents(path, settings), chosen, store, told) for path in paths]
    named = split_by_names(paths) if kind == "release" else None
    if named is not None:
        parts = [
            replace(part, source=replace(part.source, split=np.full(part.source.trajectories, named[path])))
            for part, path in zip(parts, paths, strict=True)
        ]
    return parts
