"""What all of the project's HDF5 files share: opening with checks, the common root attributes, reading by shape."""

import contextlib
import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest, written_whole
from sparsevq.runtime.integrity import SEAL_BYTES, Part, note_version, seal
from sparsevq.version import VERSION

Array = npt.NDArray[Any]

LONGEST_ATTRIBUTE = 60_000
"""Characters that an attribute may have: HDF5 keeps up to 64 KiB in its header."""


@contextlib.contextmanager
def created(path: str | Path, digests: Mapping[str, str] | None = None) -> Iterator[h5py.File]:
    """Write one of the project's HDF5 files: it appears complete and sealed (`integrity.py`), or not at all.

    Parameters
    ----------
    path
        The file.
    digests
        Name -> SHA-256 of contiguous datasets whose bytes were digested as they were written, so that a large file need
        not be read again to be sealed; it may be filled while the file is open.

    Raises
    ------
    SparseVQError
        The file can't be written.
    """
    with written_whole(path) as part:
        with h5py.File(part, "w", userblock_size=SEAL_BYTES) as file:
            yield file
            file.flush()
            known = []
            for name, sha256 in (digests or {}).items():
                stored = file[name].id
                known.append(Part(stored.get_offset(), stored.get_storage_size(), sha256))
        seal(part, tuple(known))


@contextlib.contextmanager
def remade(
    source: str | Path, path: str | Path, made_from: Mapping[str, str], without: tuple[str, ...] = ()
) -> Iterator[h5py.File]:
    """Write a copy of one of the project's HDF5 files, open to be added to, that is made from other files.

    Parameters
    ----------
    source
        The file to copy; it was checked when it was read.
    path
        The copy, as of `created`.
    made_from
        Name -> digest, instead of those that `source` states.
    without
        Datasets or groups, by name, that are not copied.

    Raises
    ------
    SparseVQError
        The file can't be written.
    """
    with h5py.File(source, "r") as read, created(path) as file:
        for name in read.attrs:
            file.attrs.create(name, read.attrs[name], dtype=read.attrs.get_id(name).dtype)
        file.attrs["made_from"] = json.dumps({**read_made_from(read), **made_from}, sort_keys=True)
        for name in read:
            if name not in without:
                read.copy(name, file)
        yield file


@contextlib.contextmanager
def open_layout(
    path: str | Path, schema: str, version: int | tuple[int, ...], *, checked: bool = True
) -> Iterator[h5py.File]:
    """Open one of the project's HDF5 files for reading, and check that it is undamaged and has the expected layout.

    Damage that shows only when a dataset is read inside the block is reported too.

    Parameters
    ----------
    path
        The file.
    schema, version
        What its root attributes `schema` and `schema_version` must be; of several versions, one.
    checked
        Compare the file with its seal first, which reads all of it unless its digest is known; False only for a file
        that was checked before.

    Raises
    ------
    SparseVQError
        The file is missing, not HDF5, truncated, damaged or edited, or of another schema or version.
    """
    path = Path(path)
    if not path.is_file():
        raise SparseVQError(f"{path} is {'a folder' if path.is_dir() else 'missing'}", f"give a {schema} file")
    try:
        if checked:
            digest(path)
        file = h5py.File(path, "r")
    except OSError as error:
        raise _unreadable(path, schema, error) from None
    with file:
        try:
            found, number = file.attrs.get("schema"), file.attrs.get("schema_version")
        except Exception as error:  # damaged: h5py raises anything
            raise _unreadable(path, schema, error) from error
        if found != schema:
            what = f"is a {found} file" if isinstance(found, str) else "has no attribute `schema`"
            raise SparseVQError(f"{path} {what}, not a {schema} file", f"give a {schema} file (docs/data-format.md)")
        readable = (version,) if isinstance(version, int) else version
        if number not in readable:
            raise SparseVQError(
                f"{path} has version {number} of the layout {schema}; this sparsevq reads version "
                f"{' or '.join(map(str, readable))}",
                "make the file again, or use the sparsevq that wrote it",
            )
        note_version(path, file.attrs.get("sparsevq_version"))
        try:
            yield file
        except Exception as error:
            if not _of_h5py(error):
                raise
            raise _unreadable(path, schema, error) from error


def stamp(
    file: h5py.File,
    schema: str,
    version: int,
    made_from: Mapping[str, Path],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the root attributes that all of the project's HDF5 files carry.

    Parameters
    ----------
    file
        A file that is open for writing.
    schema, version
        The layout.
    made_from
        Name -> input file; the files' SHA-256 digests are stored, or one of all digests where they would not fit.
    settings
        What else the content depends on; stored as JSON.
    """
    file.attrs["schema"] = schema
    file.attrs["schema_version"] = version
    file.attrs["sparsevq_version"] = VERSION
    digests = json.dumps({name: digest(made_from[name]) for name in sorted(made_from)})
    if len(digests) > LONGEST_ATTRIBUTE:
        digests = json.dumps({f"{len(made_from)} files": hashlib.sha256(digests.encode()).hexdigest()})
    file.attrs["made_from"] = digests
    if settings is not None:
        file.attrs["settings"] = json.dumps(settings, sort_keys=True, default=str)


def read_made_from(file: h5py.File) -> dict[str, str]:
    """Name -> SHA-256 digest of the files that an open file was made from; empty if it does not say."""
    found = read_json(file, "made_from") if "made_from" in file.attrs else {}
    return {str(name): str(sha256) for name, sha256 in found.items()} if isinstance(found, dict) else {}


def require_dataset(group: h5py.Group, name: str, shape: tuple[int | None, ...] | None = None) -> h5py.Dataset:
    """A dataset that must be there, without reading it.

    Parameters
    ----------
    group
        The file, or a group of it.
    name
        Path of the dataset in `group`.
    shape
        The shape that it must have, with None for a size that is free; None: any shape.

    Raises
    ------
    SparseVQError
        The dataset is missing or has another shape.
    """
    found = group.get(name)
    where = f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
    if not isinstance(found, h5py.Dataset):
        raise SparseVQError(f"{where} is missing", "make the file again, or see docs/data-format.md")
    if shape is not None and (
        len(shape) != found.ndim or any(want not in (None, size) for want, size in zip(shape, found.shape, strict=True))
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise SparseVQError(f"{where} has shape {found.shape}, not ({wanted})", "see docs/data-format.md")
    return found


def read_dataset(group: h5py.Group, name: str, shape: tuple[int | None, ...] | None = None) -> Array:
    """The whole of a dataset that must be there, as `require_dataset`; text comes as `numpy.str_`."""
    found = require_dataset(group, name, shape)
    if h5py.check_string_dtype(found.dtype) is not None:
        return np.asarray(found.asstr()[()]).astype(str)
    return np.asarray(found[()])


def map_dataset(stored: h5py.Dataset) -> Array:
    """A dataset as a read-only array that the system reads from the file when elements are accessed.

    Raises
    ------
    SparseVQError
        It is compressed or in chunks, or not of 32-bit floats in this machine's byte order.
    """
    offset = stored.id.get_offset()
    if offset is None or stored.dtype != np.float32:
        raise SparseVQError(
            f"{stored.file.filename}: {stored.name} is too large to be read whole, and cannot be mapped "
            f"({'it is compressed or in chunks' if offset is None else f'it is {stored.dtype}, not float32'})",
            "write it contiguous and as float32, or bring the file in by the configuration's `files`",
        )
    # Read-only: for a private copy that could be written to, Linux reserves memory, though nothing is written.
    return np.memmap(stored.file.filename, np.float32, "r", offset, stored.shape)


def read_attribute(item: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute that must be there.

    Raises
    ------
    SparseVQError
        It is missing.
    """
    if name not in item.attrs:
        raise SparseVQError(f"{item.file.filename}: {item.name} has no attribute `{name}`", "see docs/data-format.md")
    return item.attrs[name]


def read_strings(item: h5py.Group | h5py.Dataset, name: str) -> tuple[str, ...]:
    """An attribute that is a list of str."""
    return tuple(str(value) for value in np.atleast_1d(read_attribute(item, name)))


def read_json(item: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute that is JSON.

    Raises
    ------
    SparseVQError
        It is missing, or not JSON.
    """
    text = read_attribute(item, name)
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        raise SparseVQError(
            f"{item.file.filename}: attribute `{name}` of {item.name} is not JSON ({text!r})", "see docs/data-format.md"
        ) from None


def write_strings(item: h5py.Group | h5py.Dataset, name: str, values: tuple[str, ...] | list[str]) -> None:
    """Write a list of str as an attribute; unlike with h5py's own conversion, it may be empty."""
    item.attrs.create(name, np.array(list(values), dtype=object), dtype=h5py.string_dtype())


def write_column(file: h5py.Group, name: str, values: Array) -> None:
    """Write a 1-D array of text (as variable-length str) or of numbers (as float64)."""
    if values.dtype.kind in "UO":
        file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
    else:
        file.create_dataset(name, data=values.astype(np.float64))


def _of_h5py(error: Exception) -> bool:
    """Whether h5py raised it, or a system call: of a damaged file, since we ask for what the layout has."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return isinstance(error, OSError) or where.startswith("h5py.")


def _unreadable(path: Path, schema: str, error: Exception) -> SparseVQError:
    reason = str(error)
    if "truncated" in reason:
        return SparseVQError(f"{path} is truncated (only part of it was written or copied)", "make or copy it again")
    if "signature" in reason:
        return SparseVQError(f"{path} is not an HDF5 file", f"give a {schema} file (docs/data-format.md)")
    if isinstance(error, OSError) and error.strerror and not path.is_file():
        return SparseVQError(f"cannot read {path} ({error.strerror})", "check the path")
    return SparseVQError(f"{path} cannot be read ({reason})", "it may be damaged: make or copy it again")


def give_back(mapped: Array) -> None:
    """Give the pages of a mapped array, or of a part of one, back to the system; they are read again when needed.

    They would count as this process's memory until the system needs them itself.
    """
    mapping = getattr(mapped, "_mmap", None)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
