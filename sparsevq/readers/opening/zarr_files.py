"""Zarr stores of versions 2 and 3, by the package zarr: read chunk by chunk, and decoded by `decode.py`.

Zarr's ``fill_value`` is what stands where nothing was written. Whether it means that values are missing depends on who
wrote the store: xarray writes the ``_FillValue`` of a variable there in version 2, and null where there is none; zarr
itself writes 0 unless told otherwise, and then zeros are values (https://github.com/pydata/xarray/issues/5475).
"""

import base64
import json
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.data.sentinels import is_a_limit, looks_like_a_mark
from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.attributes import units_in
from sparsevq.readers.opening.foreign import zarr_root
from sparsevq.readers.opening.self_describing import in_groups, self_describing
from sparsevq.readers.opening.stored import Contents, StoredArray, reading
from sparsevq.runtime.hdf5 import Array

KIND = "Zarr"
DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute with the names of the dimensions, in version 2."""


ZEROS = "0, the fill_value of the store, counts as missing (if it is a value, write `not_missing: [0]`)"


def open_zarr(path: Path) -> Contents:
    """A Zarr store (a folder, or one zipped) with all its groups, of version 2 or 3.

    Raises
    ------
    SparseVQError
        It cannot be read, or the package zarr is missing.
    """
    try:
        import zarr
    except ImportError:
        raise SparseVQError(
            f"{path} is Zarr, but the package zarr is not installed", "install sparsevq[readers]"
        ) from None
    with reading(path, KIND), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on metadata that are not consolidated
        store = _zipped(path) if path.is_file() else zarr.open(str(path), mode="r")
        groups = {}
        items: dict[str, Any] = {path.stem: store}
        if isinstance(store, zarr.Group):
            members = dict(store.members(max_depth=None))
            items = {name: item for name, item in members.items() if not isinstance(item, zarr.Group)}
            groups = {name: item.attrs.asdict() for name, item in members.items() if isinstance(item, zarr.Group)}
        raw = in_groups({name: _raw(path, name, item) for name, item in items.items()})
        by_xarray = any(item.metadata.zarr_format == 2 and item.fill_value is None for item in items.values())
        marks = {name: _marks(raw[name], item, by_xarray) for name, item in items.items()}
        for name in (name for name, values in marks.items() if 0 in values):
            raw[name] = replace(raw[name], notes=(f"{name}: {ZEROS}",))
        attributes = store.attrs.asdict() if isinstance(store, zarr.Group) else {}
    return self_describing(path, raw, attributes, marks, groups)


def _zipped(path: Path) -> Any:
    """A store in a zip archive, or in a folder of one."""
    import zarr

    with zipfile.ZipFile(path) as archive:
        root = zarr_root(archive.namelist()) or ""
    return zarr.open(zarr.storage.ZipStore(path, mode="r"), path=root, mode="r")


def _raw(path: Path, name: str, item: Any) -> StoredArray:
    """An array as it is stored."""

    def read(part: tuple[slice, ...]) -> Array:
        with reading(path, KIND):
            return np.asarray(item[part])

    attributes = dict(item.attrs.asdict())
    dimensions = attributes.pop(DIMENSIONS, None) or getattr(item.metadata, "dimension_names", None)
    dimensions = dimensions or _of_netcdf(path, name, attributes)
    names = tuple(map(str, dimensions)) if dimensions and all(dimensions) else ()
    if "_FillValue" in attributes:
        attributes["_FillValue"] = _number(attributes["_FillValue"], item.dtype)
    return StoredArray(
        name=name,
        shape=tuple(item.shape),
        dtype=np.dtype(item.dtype),
        read=read,
        dimensions=names if len(names) == len(item.shape) else (),
        units=units_in(attributes),
        chunks=_chunks(item),
        attributes=attributes,
    )


def _chunks(item: Any) -> tuple[int, ...] | None:
    try:
        return tuple(item.chunks) if item.chunks else None
    except NotImplementedError:  # chunks of several sizes
        return None


def _number(value: Any, dtype: np.dtype[Any]) -> Any:
    """A declared fill value: xarray writes those of floats as the base64 of a double in version 3."""
    if isinstance(value, str) and dtype.kind == "f" and len(value) == 12:
        try:
            return struct.unpack("<d", base64.b64decode(value, validate=True))[0]
        except (ValueError, struct.error):
            return value
    return value


def _of_netcdf(path: Path, name: str, attributes: Mapping[str, Any]) -> list[str] | None:
    """Names of the dimensions as the netCDF library writes them (NCZarr), where that is the only place."""
    about = attributes.get("_nczarr_array") or attributes.get("_NCZARR_ARRAY")
    described = path / name / ".zarray"
    if about is None and described.is_file():
        about = json.loads(described.read_text()).get("_NCZARR_ARRAY")
    names = (about or {}).get("dimension_references") or (about or {}).get("dimrefs")
    return [str(each).rsplit("/", 1)[-1] for each in names] if names else None


def _marks(array: StoredArray, item: Any, by_xarray: bool) -> tuple[Any, ...]:
    """The fill value, if it marks missing values.

    Parameters
    ----------
    array, item
        The array, and as zarr has it.
    by_xarray
        An array of the store has none, which zarr itself never writes: then a 0 was meant too, but not in coordinates.
    """
    value = item.fill_value
    if value is None or array.dtype.kind not in "fiu" or np.isnan(value):
        return ()
    if value == 0:
        return (value,) if by_xarray and array.dimensions != (array.name,) else ()
    if item.metadata.zarr_format == 2:
        return (value,)
    extreme = looks_like_a_mark(float(value)) if array.dtype.kind == "f" else is_a_limit(value, array.dtype)
    return (value,) if extreme else ()
