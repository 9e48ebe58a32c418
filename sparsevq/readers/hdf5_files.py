"""HDF5 files of any layout: datasets by their paths."""

from pathlib import Path

import h5py
import numpy as np

from sparsevq.readers.stored import Contents, StoredArray, reading
from sparsevq.runtime.hdf5 import Array

KIND = "HDF5"
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
"""How netCDF-4 marks a dimension without coordinates, which HDF5 has as an array of zeros."""


def open_hdf5(path: Path) -> Contents:
    """An HDF5 file; dimensions are in the order in which h5py (and h5dump) shows them.

    Raises
    ------
    SparseVQError
        It cannot be read.
    """
    arrays: dict[str, StoredArray] = {}
    unreadable: dict[str, str] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            if text_attribute(item, "NAME").startswith(NO_VARIABLE):
                return
            if item.dtype.kind in "fiub" and item.shape is not None:
                arrays[name] = stored(path, item)
            else:
                unreadable[name] = f"not of real numbers ({item.dtype})"

    with reading(path, KIND), h5py.File(path, "r") as file:
        file.visititems(visit)
    fields = tuple(name for name, array in arrays.items() if array.shape)
    return Contents(path=path, arrays=arrays, fields=fields, unreadable=unreadable)


def stored(path: Path, item: h5py.Dataset) -> StoredArray:
    """A dataset of an open file, to be read after the file was closed."""
    name, missing = item.name, _fill_value(item)

    def read(part: tuple[slice, ...]) -> Array:
        with reading(path, KIND), h5py.File(path, "r") as file:
            values = np.asarray(file[name][part])
        if missing is None:
            return values
        return np.where(values == missing, np.nan, values if values.dtype.kind == "f" else values.astype(np.float64))

    return StoredArray(
        name=name.strip("/"),
        shape=tuple(item.shape),
        dtype=item.dtype,
        read=read,
        dimensions=_dimensions(item),
        units=text_attribute(item, "units"),
        chunks=item.chunks,
        attributes={
            key: text_attribute(item, key) for key in ("standard_name", "axis", "calendar") if key in item.attrs
        },
    )


def text_attribute(item: h5py.Dataset | h5py.Group, name: str) -> str:
    """An attribute as text; empty where there is none."""
    value = item.attrs.get(name, "")
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size == 1 else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _fill_value(item: h5py.Dataset) -> float | None:
    """The value for missing data by the file's attributes."""
    for key in ("_FillValue", "missing_value"):
        value = np.asarray(item.attrs.get(key, np.nan)).ravel()
        if value.size == 1 and value.dtype.kind in "fiu" and np.isfinite(value[0]):
            return item.dtype.type(value[0])
    return None


def _dimensions(item: h5py.Dataset) -> tuple[str, ...]:
    """Names of the dimensions, where all have a label or a scale of their own."""
    if item.is_scale and len(item.shape) == 1:
        return (item.name.strip("/"),)
    names = []
    for dimension in item.dims:
        scales = [scale.name.strip("/") for scale in dimension.values()]
        names.append(scales[0] if len(scales) == 1 else dimension.label)
    return tuple(names) if all(names) else ()
