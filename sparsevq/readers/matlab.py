"""MATLAB's .mat files, of version 7.3 (HDF5, read part by part) and before (read by scipy, held whole).

Dimensions are in MATLAB's order, as ``size(u)`` prints them, whatever the version. Inside a file of version 7.3 they
are the other way round, since MATLAB's arrays have the first index fastest.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import h5py
import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.hdf5_files import stored, text_attribute
from sparsevq.readers.stored import Contents, StoredArray, reading, size_text
from sparsevq.runtime.hdf5 import Array

KIND = "MATLAB"
LARGEST = 2**31
"""Bytes of a variable in files before version 7.3, MATLAB's own limit."""
NUMBERS = {
    "double": np.float64, "single": np.float32, "logical": np.bool_,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}  # fmt: skip


def open_matlab(path: Path) -> Contents:
    """A .mat file.

    Raises
    ------
    SparseVQError
        It cannot be read, or holds a variable larger than MATLAB would write.
    """
    with reading(path, KIND):
        hdf5 = h5py.is_hdf5(path)
    return _open_7_3(path) if hdf5 else _open_older(path)


def _open_7_3(path: Path) -> Contents:
    arrays, unreadable = {}, {}
    with reading(path, KIND), h5py.File(path, "r") as file:
        for name, item in file.items():
            kind = text_attribute(item, "MATLAB_class")
            if name.startswith("#"):  # referred to by cells and objects
                continue
            if isinstance(item, h5py.Group):
                what = "sparse matrix" if "MATLAB_sparse" in item.attrs else kind or "struct"
                unreadable[name] = f"a MATLAB {what}, not a full array"
            elif item.dtype.kind not in "fiub" or kind not in ("", *NUMBERS):
                complex_or = "complex" if item.dtype.names else kind or str(item.dtype)
                unreadable[name] = f"a MATLAB {complex_or}, not an array of real numbers"
            elif "MATLAB_empty" not in item.attrs:
                arrays[name] = _reversed(stored(path, item))
    return Contents(path=path, arrays=arrays, fields=_fields(arrays), unreadable=unreadable)


def _reversed(array: StoredArray) -> StoredArray:
    """The array with its dimensions in MATLAB's order."""
    return StoredArray(
        name=array.name,
        shape=array.shape[::-1],
        dtype=array.dtype,
        read=lambda part: array.read(part[::-1]).T,
        units=array.units,
        chunks=array.chunks and array.chunks[::-1],
    )


def _open_older(path: Path) -> Contents:
    import scipy.io

    with reading(path, KIND):
        try:
            listed = scipy.io.whosmat(str(path))
        except (TypeError, IndexError, NotImplementedError, AttributeError) as error:  # what it raises for damage
            raise ValueError(f"{type(error).__name__}: {error}") from error

    @cache
    def load(name: str) -> Array:
        with reading(path, KIND):
            try:
                return np.asarray(scipy.io.loadmat(str(path), variable_names=[name])[name])
            except (TypeError, IndexError, NotImplementedError, AttributeError) as error:  # as above
                raise ValueError(f"{type(error).__name__}: {error}") from error

    arrays, unreadable = {}, {}
    for name, shape, kind in listed:
        if kind not in NUMBERS:
            unreadable[name] = f"a MATLAB {kind}, not a full array of numbers"
            continue
        array = StoredArray(
            name=name, shape=tuple(shape), dtype=np.dtype(NUMBERS[kind]), read=partial(_part, path, name, load)
        )
        if array.nbytes > LARGEST:
            raise SparseVQError(
                f"{path}: {name} claims {size_text(array.nbytes)}, more than {size_text(LARGEST)}",
                "write it with `save -v7.3`, which is read part by part",
            )
        arrays[name] = array
    return Contents(path=path, arrays=arrays, fields=_fields(arrays), unreadable=unreadable)


def _part(path: Path, name: str, load: Callable[[str], Array], part: tuple[slice, ...]) -> Array:
    values = load(name)
    if np.iscomplexobj(values):  # whosmat does not say so
        raise SparseVQError(f"{path}: {name} is complex", "store its real and imaginary parts as two arrays")
    return values[part]


def _fields(arrays: dict[str, StoredArray]) -> tuple[str, ...]:
    """Arrays that are more than a row or a column."""
    return tuple(name for name, array in arrays.items() if sum(size > 1 for size in array.shape) > 1)
