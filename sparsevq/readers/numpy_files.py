"""NumPy's .npy (mapped) and .npz; objects are never unpickled."""

import io
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.stored import UNSUSPICIOUS, Contents, from_array, reading, size_text
from sparsevq.runtime.hdf5 import Array

KIND = "NumPy"
LARGEST_COMPRESSED = UNSUSPICIOUS
"""Bytes of a compressed array, which has to be decompressed as one (into an unnamed temporary file)."""
PIECE = 2**24
LOCAL_HEADER = 30  # bytes of a zip member's header, before its name


def open_numpy(path: Path) -> Contents:
    """A .npy or .npz file.

    Raises
    ------
    SparseVQError
        It cannot be read, claims more than it has, or holds Python objects.
    """
    with reading(path, KIND):
        packed = zipfile.is_zipfile(path)
    if packed:
        return _open_npz(path)
    with reading(path, KIND):
        with open(path, "rb") as file:
            shape, order, dtype = _header(file)
            offset = file.tell()
        if _objects(dtype):
            raise SparseVQError(f"{path} holds Python objects, which are never unpickled", "store an array of numbers")
        values = _mapped(path, offset, shape, order, dtype)
    name = path.stem
    return Contents(path=path, arrays={name: from_array(name, values)}, fields=(name,))


def _open_npz(path: Path) -> Contents:
    arrays, odd = {}, {}
    with reading(path, KIND), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                shape, order, dtype = _header(file)
                header = file.tell()
            if _objects(dtype):
                odd[name] = "of Python objects, which are never unpickled"
                continue
            claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if claimed != member.file_size - header:
                raise SparseVQError(
                    f"{path}: {name} claims {claimed} bytes, but has {member.file_size - header}",
                    "it is damaged: make it again",
                )
            arrays[name] = _member(path, archive, member, name, header, (shape, order, dtype))
    fields = tuple(name for name, array in arrays.items() if len(array.shape) > 1 and array.is_number)
    return Contents(path=path, arrays=arrays, fields=fields, odd=odd)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, header: int, what: Any) -> Any:
    """An array of an .npz file: mapped where it lies as it is, else decompressed when it is asked for."""
    shape, order, dtype = what
    if member.compress_type == zipfile.ZIP_STORED:
        with open(path, "rb") as file:
            file.seek(member.header_offset)
            local = file.read(LOCAL_HEADER)
        lengths = struct.unpack("<HH", local[26:30])  # of the member's name and of what else its header says
        start = member.header_offset + LOCAL_HEADER + sum(lengths)
        return from_array(name, _mapped(path, start + header, shape, order, dtype))
    if member.file_size > LARGEST_COMPRESSED:
        raise SparseVQError(
            f"{path}: {name} is compressed and claims {size_text(member.file_size)}, more than "
            f"{size_text(LARGEST_COMPRESSED)}",
            "store it uncompressed (np.savez), as .npy or in HDF5, which are read part by part",
        )
    stand_in = np.broadcast_to(np.zeros((), dtype), shape)
    array = from_array(name, stand_in)
    kept: list[Array] = []

    def read(part: tuple[slice, ...]) -> Array:
        if not kept:
            with reading(path, KIND):
                kept.append(_decompressed(path, member, header, shape, order, dtype))
        return np.array(kept[0][part])

    object.__setattr__(array, "read", read)
    return array


def _decompressed(
    path: Path, member: zipfile.ZipInfo, header: int, shape: tuple[int, ...], order: str, dtype: np.dtype[Any]
) -> Array:
    with zipfile.ZipFile(path) as archive, archive.open(member) as packed, tempfile.TemporaryFile() as unpacked:
        packed.read(header)
        while piece := packed.read(PIECE):
            unpacked.write(piece)
        unpacked.flush()
        return np.memmap(unpacked, dtype, "r", 0, shape, order)  # type: ignore[call-overload,no-any-return]  # order is a str


def _mapped(path: Path, offset: int, shape: tuple[int, ...], order: str, dtype: np.dtype[Any]) -> Array:
    claimed, there = int(np.prod(shape, dtype=object)) * dtype.itemsize, path.stat().st_size - offset
    if claimed > there:
        raise SparseVQError(
            f"{path} claims an array of {size_text(claimed)} {shape}, but has {size_text(there)}",
            "it is damaged or cut short: make or copy it again",
        )
    if not claimed:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape, order)  # type: ignore[call-overload,no-any-return]  # order is a str


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], str, np.dtype[Any]]:
    """Shape, order and type that an array's header claims."""
    version = np.lib.format.read_magic(file)
    start = io.BytesIO(file.read(2 if version == (1, 0) else 4))
    length = int.from_bytes(start.getvalue(), "little")
    if length > 2**16:
        raise ValueError(f"its header claims {length} bytes")
    text = io.BytesIO(start.getvalue() + file.read(length))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(text)
    return shape, "F" if fortran else "C", dtype


def _objects(dtype: np.dtype[Any]) -> bool:
    return dtype.hasobject
