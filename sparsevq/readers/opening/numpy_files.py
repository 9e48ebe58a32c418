"""NumPy's .npy (mapped) and .npz; objects are never unpickled."""

import io
import struct
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.stored import (
    UNSUSPICIOUS,
    Contents,
    StoredArray,
    from_array,
    reading,
    size_text,
    unusable,
)
from sparsevq.runtime.hdf5 import Array

KIND = "NumPy"
LARGEST_COMPRESSED = UNSUSPICIOUS
"""Bytes of a compressed array, which has to be decompressed as one (into an unnamed temporary file)."""
PIECE = 2**24
"""Bytes that are decompressed at a time."""
LOCAL_HEADER = 30
"""Bytes of the header of a zip member, before its name."""

Layout = tuple[tuple[int, ...], str, "np.dtype[Any]"]
"""Shape, order (C or F) and type of an array."""


def open_numpy(path: Path) -> Contents:
    """A .npy or .npz file.

    Raises
    ------
    SparseVQError
        It cannot be read, claims more than it has, or holds Python objects.
    """
    with reading(path, KIND):
        if zipfile.is_zipfile(path):
            return _open_npz(path)
        with open(path, "rb") as file:
            layout, offset = _header(file), file.tell()
        if layout[2].kind not in "fiub":
            what, _, do = unusable(layout[2]).partition(": ")
            raise SparseVQError(f"{path} is {what}", do)
        values = _mapped(path, offset, layout)
    return Contents(path=path, arrays={path.stem: from_array(path.stem, values)}, fields=(path.stem,))


def _open_npz(path: Path) -> Contents:
    arrays, unreadable = {}, {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                layout, header = _header(file), file.tell()
            if layout[2].kind not in "fiubUSmM":
                unreadable[name] = unusable(layout[2])
                continue
            claimed = _bytes_of(layout)
            if claimed != member.file_size - header:
                raise SparseVQError(
                    f"{path}: {name} claims {claimed} bytes, but has {member.file_size - header}",
                    "it is damaged: make it again",
                )
            read_as = _stored_member if member.compress_type == zipfile.ZIP_STORED else _compressed_member
            arrays[name] = read_as(path, member, name, header, layout)
    fields = tuple(name for name, array in arrays.items() if len(array.shape) > 1 and array.is_number)
    return Contents(path=path, arrays=arrays, fields=fields, unreadable=unreadable)


def _stored_member(path: Path, member: zipfile.ZipInfo, name: str, header: int, layout: Layout) -> StoredArray:
    """An uncompressed array of an .npz file: mapped where it lies."""
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        local = file.read(LOCAL_HEADER)
    lengths = struct.unpack("<HH", local[26:30])  # of the member's name and of the extra fields
    start = member.header_offset + LOCAL_HEADER + sum(lengths)
    return from_array(name, _mapped(path, start + header, layout))


def _compressed_member(path: Path, member: zipfile.ZipInfo, name: str, header: int, layout: Layout) -> StoredArray:
    """A compressed array of an .npz file: decompressed when it is first read."""
    if member.file_size > LARGEST_COMPRESSED:
        raise SparseVQError(
            f"{path}: {name} is compressed and claims {size_text(member.file_size)}, more than "
            f"{size_text(LARGEST_COMPRESSED)}",
            "store it uncompressed (np.savez), as .npy or in HDF5, which are read part by part",
        )

    @cache
    def values() -> Array:
        with (
            reading(path, KIND),
            zipfile.ZipFile(path) as archive,
            archive.open(member) as packed,
            tempfile.TemporaryFile() as unpacked,
        ):
            packed.read(header)
            while piece := packed.read(PIECE):
                unpacked.write(piece)
            unpacked.flush()
            return _memmap(unpacked, 0, layout)

    shape, _, dtype = layout
    return StoredArray(name=name, shape=shape, dtype=dtype, read=lambda part: np.array(values()[part]))


def _mapped(path: Path, offset: int, layout: Layout) -> Array:
    """An array that lies uncompressed in a file."""
    claimed, there = _bytes_of(layout), path.stat().st_size - offset
    if claimed > there:
        raise SparseVQError(
            f"{path} claims an array of {size_text(claimed)} {layout[0]}, but has {size_text(there)}",
            "it is damaged, cut short or still being written: make or copy it again",
        )
    return _memmap(path, offset, layout)


def _memmap(file: Any, offset: int, layout: Layout) -> Array:
    shape, order, dtype = layout
    return np.memmap(file, dtype, "r", offset, shape, order) if _bytes_of(layout) else np.empty(shape, dtype)  # type: ignore[call-overload]  # order is a str


def _bytes_of(layout: Layout) -> int:
    return int(np.prod(layout[0], dtype=object)) * layout[2].itemsize


def _header(file: IO[bytes]) -> Layout:
    """What an array's header claims."""
    version = np.lib.format.read_magic(file)
    size = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(size, "little")
    if length > 2**16:
        raise ValueError(f"its header claims {length} bytes")
    text = io.BytesIO(size + file.read(length))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(text)
    return shape, "F" if fortran else "C", dtype
