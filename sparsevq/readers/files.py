"""The user's own files as a source: which files, their formats, and how they are joined."""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sparsevq.config import FileConfig
from sparsevq.data.clock import Clock
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.assemble import assemble
from sparsevq.readers.data_set import open_data_set
from sparsevq.readers.dates.clock import Timed, as_kept, check_even, dated_parameters, timed
from sparsevq.readers.finding.formats import format_of, schema_of
from sparsevq.readers.finding.matching import copies, matched, matching_files
from sparsevq.readers.finding.natural import name_of_all
from sparsevq.readers.join import join_in_time, join_trajectories
from sparsevq.readers.opening.hdf5_files import open_hdf5
from sparsevq.readers.opening.matlab import open_matlab
from sparsevq.readers.opening.numpy_files import open_numpy
from sparsevq.readers.opening.stored import Contents
from sparsevq.readers.opening.xarray_files import open_netcdf
from sparsevq.readers.opening.zarr_files import open_zarr
from sparsevq.readers.release import open_release, split_by_names
from sparsevq.readers.selection import (
    in_window,
    in_windows,
    numbered_through,
    time_blocks,
    with_overrides,
    with_stride,
)
from sparsevq.readers.shards import open_shards
from sparsevq.readers.slabs import SlabStore
from sparsevq.simulators import shards

OPENERS: dict[str, Callable[[Path], Contents]] = {
    "netcdf": open_netcdf,
    "zarr": open_zarr,
    "hdf5": open_hdf5,
    "matlab": open_matlab,
    "numpy": open_numpy,
}


def open_contents(path: Path, settings: FileConfig, called: str | None = None) -> Contents:
    """The arrays of one file, not read yet.

    Parameters
    ----------
    path, settings
        The file, and what the configuration says of all.
    called
        Name of the array in a .npy file, which has none inside; None: what the names of all files have in common.

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
    contents = _keeping(OPENERS[kind](path), settings.not_missing)
    if kind != "numpy" or path.stem not in contents.arrays or zipfile.is_zipfile(path):
        return contents
    called = called or _called(matching_files(settings)) or path.stem
    array = replace(contents.arrays[path.stem], name=called)
    return replace(contents, arrays={called: array}, fields=(called,))


def _keeping(contents: Contents, values: Sequence[float]) -> Contents:
    """The contents with values as data that the file declares missing."""
    kept = {
        name: array.keeping(values) if array.keeping is not None and values else array
        for name, array in contents.arrays.items()
    }
    return replace(contents, arrays=kept)


def _called(paths: Sequence[Path]) -> str | None:
    """One name for the arrays of numbered .npy files; None if they differ in more than numbers, or there is one."""
    return name_of_all([path.stem for path in paths]) if len(paths) > 1 else None


def open_files(settings: FileConfig, label: str) -> Source:
    """The files that the configuration names, as one source of the data set `label`.

    Raises
    ------
    SparseVQError
        A file cannot be read or understood, or does not fit the others or the configuration. While reading: a file is
        damaged.
    """
    paths, notes = matched(settings)
    for note in notes:
        print(note, flush=True)
    kinds = {format_of(path, settings): path for path in reversed(paths)}
    if len(kinds) > 1:
        several = ", ".join(f"{path} is {kind}" for kind, path in sorted(kinds.items()))
        raise SparseVQError(f"path: files of several formats: {several}", "name files of one format")
    _no_copies(paths, settings)
    parts = in_windows(_parts(paths, next(iter(kinds)), settings, label), settings)
    label = str(paths[0]) if len(paths) == 1 else label
    if settings.join == "trajectory":
        joined = join_trajectories([with_stride(part, settings.stride) for part in parts], label)
    else:
        joined = join_in_time(parts, label, settings.time)
        joined = in_window(joined, settings.window) if numbered_through(parts[0], settings) else joined
        joined = with_stride(joined, settings.stride)
    check_even(joined)
    if settings.split == "time":
        joined = time_blocks(joined, settings)
    source = with_overrides(dated_parameters(joined, also_numbers=settings.split == "time"), settings)
    return replace(source, provenance={"files": len(paths), "first": paths[0].name, **source.provenance})


def _no_copies(paths: Sequence[Path], settings: FileConfig) -> None:
    """Check that no trajectory is there twice: one copy would be trained on, the other held out.

    Frames that are the same may be true (a flow at rest), so of files along time it is only said.

    Raises
    ------
    SparseVQError
        Two files of trajectories are the same.
    """
    pairs = copies(paths)
    if not pairs:
        return
    first, copy = pairs[0]
    more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
    if settings.join == "trajectory":
        raise SparseVQError(
            f"{copy} is a copy of {first}{more}: the same trajectory would be in training and held out",
            "name each trajectory once: remove the copy, or list the files",
        )
    print(f"{copy} is the same, byte for byte, as {first}{more}", flush=True)


def _with_axis_units(source: Source, settings: FileConfig) -> Source:
    """The source with the units of axes that the configuration names, in formats whose units need no conversion."""
    return replace(
        source, axis_units={axis: settings.units.get(axis, unit) for axis, unit in source.axis_units.items()}
    )


def _parts(paths: tuple[Path, ...], kind: str, settings: FileConfig, label: str) -> list[Timed]:
    """Each file as a source of its own."""
    if settings.select and kind in ("sparsevq", "fds"):
        raise SparseVQError(f"select: files of the format {kind} have no dimensions to select from", "leave it out")
    if kind == "sparsevq":
        whole = schema_of(paths[0]) == shards.SCHEMA
        sources = [open_shards(paths, label)] if whole else [open_data_set(path) for path in paths]
        return [as_kept(_with_axis_units(source, settings)) for source in sources]
    if kind == "fds":
        from sparsevq.readers.fds.source import open_fds  # needs fdsreader; optional

        return [
            timed(_with_axis_units(source, settings), Clock(source.time_units))
            for source in (open_fds(path, settings, str(path)) for path in paths)
        ]
    store, told = SlabStore(), set[str]()
    chosen = settings if kind != "release" else settings.model_copy(update={"arrays": ()})  # its reader has chosen them
    called = _called(paths) if kind == "numpy" else None
    if called and paths[0].stem != called:
        print(f"the arrays of {paths[0].name} ... {paths[-1].name} are of one channel, {called}", flush=True)
    parts = [assemble(open_contents(path, settings, called or path.stem), chosen, store, told) for path in paths]
    named = split_by_names(paths) if kind == "release" else None
    if named is not None:
        parts = [
            replace(part, source=replace(part.source, split=np.full(part.source.trajectories, named[path])))
            for part, path in zip(parts, paths, strict=True)
        ]
    return parts
