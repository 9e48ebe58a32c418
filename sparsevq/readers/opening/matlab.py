"""MATLAB's .mat files, of version 7.3 (HDF5, read part by part) and before (read by scipy, held whole).

Dimensions are in MATLAB's order, as ``size(u)`` prints them, whatever the version. Inside a file of version 7.3 they
are the other way round, since MATLAB's arrays have the first index fastest.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.decode import decoded
from sparsevq.readers.opening.hdf5_files import raw, text_attribute
from sparsevq.readers.opening.matlab_elements import check_elements
from sparsevq.readers.opening.matlab_nested import MOST_ITEMS, Node, arrays_in
from sparsevq.readers.opening.stored import Contents, StoredArray, from_array, reading, size_text, unusable
from sparsevq.runtime.hdf5 import Array

KIND = "MATLAB"
LARGEST = 2**31
"""Bytes of a variable in files before version 7.3, MATLAB's own limit."""
NUMBERS = {
    "double": np.float64, "single": np.float32, "logical": np.bool_,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}  # fmt: skip
DEEPEST = 8
"""Structs and cells within each other that are looked into."""


def open_matlab(path: Path) -> Contents:
    """A .mat file: arrays by their names, fields of structs as ``flow/u``, cells of equal matrices stacked.

    Raises
    ------
    SparseVQError
        It cannot be read, or holds a variable larger than MATLAB would write.
    """
    with reading(path, KIND):
        hdf5 = h5py.is_hdf5(path)
    arrays, unreadable = arrays_in(_nodes_7_3(path) if hdf5 else _nodes_older(path))
    fields = tuple(name for name, array in arrays.items() if sum(size > 1 for size in array.shape) > 1)
    return Contents(path=path, arrays=arrays, fields=fields, unreadable=unreadable)


# ------------------------------------------------------------------------------------------------ version 7.3


def _nodes_7_3(path: Path) -> dict[str, Node]:
    with reading(path, KIND), h5py.File(path, "r") as file:
        nodes = _Nodes7_3(path, file)
        # what starts with # is referred to by cells and objects
        return {name: nodes.node(item, 1) for name, item in file.items() if not name.startswith("#")}


class _Nodes7_3:
    """Values of an open file, each looked at once, however many cells refer to it."""

    def __init__(self, path: Path, file: h5py.File):
        self.path, self.file = path, file
        self._known: dict[int, Node] = {}

    def node(self, item: Any, depth: int) -> Node:
        """A value, which is `depth` structs and cells deep."""
        if depth > DEEPEST:
            return Node(f"a MATLAB value within {DEEPEST} structs or cells")
        address = h5py.h5o.get_info(item.id).addr
        if address not in self._known:
            self._known[address] = Node("a MATLAB cell or struct that holds itself")
            self._known[address] = self._looked_at(item, depth)
        return self._known[address]

    def _looked_at(self, item: Any, depth: int) -> Node:
        kind = text_attribute(item, "MATLAB_class")
        if isinstance(item, h5py.Group):
            if "MATLAB_sparse" in item.attrs:
                return Node("a MATLAB sparse matrix, not a full array")
            if kind not in ("", "struct"):
                return Node(f"a MATLAB {kind}, not an array of real numbers")
            return Node("a MATLAB struct", fields={key: self.node(each, depth + 1) for key, each in item.items()})
        if not isinstance(item, h5py.Dataset):
            return Node("no array")
        if "MATLAB_empty" in item.attrs or item.shape is None or 0 in item.shape:
            return Node(f"an empty MATLAB {kind or 'array'}")
        if h5py.check_ref_dtype(item.dtype) is h5py.Reference and kind in ("", "cell"):
            if item.size > MOST_ITEMS:
                return Node(f"a MATLAB cell of {item.size} values, more than {MOST_ITEMS}")
            references = item[()].T  # of a cell, or of one field of a struct array
            items = [self.node(self.file[each], depth + 1) if each else Node("nothing") for each in references.ravel()]
            return Node("a MATLAB cell", items=items, sizes=references.shape)
        if item.dtype.kind not in "fiub" or kind not in ("", *NUMBERS):
            if item.dtype.names:
                return Node("a MATLAB array " + unusable(item.dtype))
            return Node(f"a MATLAB {kind or item.dtype}, not an array of real numbers")
        return Node(f"a MATLAB {kind or 'array'}", array=_reversed(decoded(raw(self.path, item))))


def _reversed(array: StoredArray) -> StoredArray:
    """The array with its dimensions in MATLAB's order."""
    return StoredArray(
        name=array.name,
        shape=array.shape[::-1],
        dtype=array.dtype,
        read=lambda part: array.read(part[::-1]).T,
        units=array.units,
        chunks=array.chunks and array.chunks[::-1],
        attributes=array.attributes,
    )


# ------------------------------------------------------------------------------------------------ before version 7.3


def _nodes_older(path: Path) -> dict[str, Node]:
    import scipy.io

    def by_scipy(read: Callable[[], Any]) -> Any:
        with reading(path, KIND):
            return read()

    @cache
    def load(name: str) -> Any:
        return by_scipy(lambda: scipy.io.loadmat(str(path), variable_names=[name])[name])

    by_scipy(lambda: check_elements(path))
    nodes = {}
    for name, shape, kind in by_scipy(lambda: scipy.io.whosmat(str(path))):
        if kind in ("struct", "cell"):
            nodes[name] = _node_older(path, name, load(name), 1)
        elif kind in NUMBERS:
            nodes[name] = Node(f"a MATLAB {kind}", array=_matrix(path, name, tuple(shape), kind, load))
        else:
            nodes[name] = Node(f"a MATLAB {kind}, not a full array of numbers")
    return nodes


def _matrix(path: Path, name: str, shape: tuple[int, ...], kind: str, load: Callable[[str], Any]) -> StoredArray:
    array = StoredArray(
        name=name, shape=shape, dtype=np.dtype(NUMBERS[kind]), read=partial(_part, path, name, lambda: load(name))
    )
    if array.nbytes > LARGEST:
        raise SparseVQError(
            f"{path}: {name} claims {size_text(array.nbytes)}, more than {size_text(LARGEST)}",
            "write it with `save -v7.3`, which is read part by part",
        )
    return array


def _part(path: Path, name: str, load: Callable[[], Any], part: tuple[slice, ...]) -> Array:
    values = np.asarray(load())
    if np.iscomplexobj(values):  # whosmat does not say so
        raise SparseVQError(f"{path}: {name} is complex", "store its real and imaginary parts as two arrays")
    return values[part]


def _node_older(path: Path, name: str, value: Any, depth: int) -> Node:
    import scipy.io.matlab as kinds

    if depth > DEEPEST:
        return Node(f"a MATLAB value within {DEEPEST} structs or cells")
    if isinstance(value, kinds.MatlabFunction | kinds.MatlabObject | kinds.MatlabOpaque):
        return Node("a MATLAB function handle or object, not an array of numbers")
    if not isinstance(value, np.ndarray):
        return Node("a MATLAB sparse matrix, not a full array")
    if not value.size:
        return Node("an empty MATLAB array")
    if value.dtype.names:
        elements = [
            Node(
                "a MATLAB struct",
                fields={key: _node_older(path, f"{name}/{key}", each[key], depth + 1) for key in each.dtype.names},
            )
            for each in value.ravel()
        ]
        return elements[0] if len(elements) == 1 else Node("a MATLAB struct array", items=elements, sizes=value.shape)
    if value.dtype == object:
        items = [_node_older(path, name, each, depth + 1) for each in value.ravel()]
        return Node("a MATLAB cell", items=items, sizes=value.shape)
    if value.dtype.kind not in "fiub":
        what = {"c": "complex", "U": "text", "S": "text"}.get(value.dtype.kind, str(value.dtype))
        return Node(f"a MATLAB array that is {what}, not of real numbers")
    return Node("a MATLAB matrix", array=from_array(name, value))
