"""HDF5 files of any layout: datasets by their paths."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sparsevq.data.sentinels import is_a_limit, looks_like_a_mark
from sparsevq.readers.opening.attributes import text_of, units_in
from sparsevq.readers.opening.decode import decoded, of_the_file, refusal
from sparsevq.readers.opening.stored import LISTS, Contents, StoredArray, reading
from sparsevq.runtime.hdf5 import Array

KIND = "HDF5"
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
"""How netCDF-4 marks a dimension without coordinates, which HDF5 has as an array of zeros."""
LONGEST_TEXT = 32
"""Characters that texts of any length are assumed to have, for the size of their array."""


def open_hdf5(path: Path) -> Contents:
    """An HDF5 file; dimensions are in the order in which h5py (and h5dump) shows them.

    Raises
    ------
    SparseVQError
        It cannot be read.
    """
    arrays: dict[str, StoredArray] = {}
    unreadable: dict[str, str] = {}
    groups: dict[str, Mapping[str, Any]] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Group):
            groups[name] = attributes_of(item)
        if not isinstance(item, h5py.Dataset) or is_phantom(item):
            return
        array = raw(path, item)
        why = _of_no_numbers(item) or refusal(array)
        if why:
            unreadable[name] = why
        else:
            arrays[name] = decoded(array, (*initial_mark(item), *of_the_file(array, groups[""])))

    with reading(path, KIND), h5py.File(path, "r") as file:
        groups[""] = attributes_of(file)
        file.visititems(visit)
    fields = tuple(name for name, array in arrays.items() if array.shape and array.is_number)
    return Contents(path=path, arrays=arrays, fields=fields, unreadable=unreadable, groups=groups)


def _of_no_numbers(item: h5py.Dataset) -> str:
    """What a dataset of HDF5's own types is; empty: it is of none of these."""
    if item.shape is None:
        return "empty"
    if h5py.check_ref_dtype(item.dtype) is not None:
        return "of references to other datasets"
    lists = h5py.check_vlen_dtype(item.dtype) is not None and h5py.check_string_dtype(item.dtype) is None
    return LISTS if lists else ""


def raw(path: Path, item: h5py.Dataset) -> StoredArray:
    """A dataset of an open file, to be read after the file was closed; not decoded."""
    name, text = item.name, h5py.check_string_dtype(item.dtype)

    def read(part: tuple[slice, ...]) -> Array:
        with reading(path, KIND), h5py.File(path, "r") as file:
            return np.asarray(file[name].asstr()[part] if text else file[name][part], dtype=str if text else None)

    attributes = attributes_of(item)
    return StoredArray(
        name=name.strip("/"),
        shape=tuple(item.shape or ()),
        dtype=np.dtype(f"U{text.length or LONGEST_TEXT}") if text else item.dtype,
        read=read,
        dimensions=_dimensions(item),
        units=units_in(attributes),
        chunks=item.chunks,
        attributes=attributes,
    )


def is_phantom(item: h5py.Dataset) -> bool:
    """Whether a dataset only stands for a dimension of netCDF-4 that has no variable: h5py shows it as zeros."""
    return text_attribute(item, "NAME").startswith(NO_VARIABLE)


def initial_mark(item: h5py.Dataset) -> tuple[Any, ...]:
    """What stands where nothing was written, if that is no ordinary number: such as netCDF's default fill values."""
    if item.dtype.kind not in "fiu":
        return ()
    if item.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED:  # raises where it is damaged,
        return ()  # while fillvalue crashes
    value = item.fillvalue
    extreme = is_a_limit(value, item.dtype) if item.dtype.kind in "iu" else looks_like_a_mark(float(value))
    return (value,) if value != 0 and extreme else ()


def attributes_of(item: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """All attributes that are text or numbers: str, numbers, and arrays of several of them."""
    found: dict[str, Any] = {}
    for name in item.attrs:
        try:
            value = item.attrs[name]
        except (OSError, TypeError, ValueError, UnicodeDecodeError):
            continue  # of a type that h5py cannot read: it is neither
        kind = np.asarray(value).dtype.kind
        if isinstance(value, h5py.Empty | h5py.Reference) or kind not in "fiubSUO":
            continue
        if kind in "SUO" and not isinstance(value, np.ndarray):
            found[name] = text_of(value)
        elif kind != "O" or all(isinstance(each, str | bytes) for each in np.ravel(value)):
            single = isinstance(value, np.ndarray) and value.size == 1
            found[name] = (text_of(value) if kind in "SUO" else value.ravel()[0]) if single else value
    return found


def text_attribute(item: h5py.Dataset | h5py.Group, name: str) -> str:
    """An attribute as text; empty where there is none."""
    return text_of(item.attrs.get(name, ""))


def _dimensions(item: h5py.Dataset) -> tuple[str, ...]:
    """Names of the dimensions, where all have a label or a scale of their own."""
    if item.is_scale and len(item.shape) == 1:
        return (item.name.strip("/"),)
    names = []
    for dimension in item.dims:
        scales = [scale.name.strip("/") for scale in dimension.values()]
        names.append(scales[0] if len(scales) == 1 else dimension.label)
    return tuple(names) if all(names) else ()
