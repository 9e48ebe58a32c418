"""NetCDF, by xarray, which reads lazily; `decode.py` undoes fill values, scale and offset."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.attributes import units_in
from sparsevq.readers.opening.classic_netcdf import check_whole
from sparsevq.readers.opening.self_describing import in_groups, self_describing
from sparsevq.readers.opening.stored import LISTS, Contents, StoredArray, reading
from sparsevq.runtime.hdf5 import Array

KIND = "NetCDF"


def open_netcdf(path: Path) -> Contents:
    """A NetCDF file, with all its groups.

    Raises
    ------
    SparseVQError
        It cannot be read.
    """
    import xarray

    with reading(path, KIND):
        check_whole(path)
    with reading(path, KIND), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on odd attributes
        data = xarray.open_groups(
            path,
            engine="netcdf4",
            chunks=None,
            cache=False,
            decode_times=False,
            mask_and_scale=False,
            decode_coords=False,
        )
    groups = {group.strip("/"): found for group, found in data.items()}
    raw: dict[str, StoredArray] = {}
    for group, found in groups.items():
        for name, variable in found.variables.items():
            array = _raw(path, f"{group}/{name}".lstrip("/"), variable)
            raw[array.name] = array
    if len(groups) > 1:
        raw = in_groups(raw, _dimensions_of_groups(path))
    attributes = {group: found.attrs for group, found in groups.items() if group}
    return self_describing(path, raw, groups[""].attrs, groups=attributes)


def _dimensions_of_groups(path: Path) -> dict[str, set[str]]:
    """The names of the dimensions that each group defines; the file itself is the empty group."""
    import netCDF4

    found: dict[str, set[str]] = {}

    def visit(group: Any) -> None:
        found[group.path.strip("/")] = set(group.dimensions)
        for inner in group.groups.values():
            visit(inner)

    with reading(path, KIND), netCDF4.Dataset(path) as file:
        visit(file)
    return found


def _raw(path: Path, name: str, variable: Any) -> StoredArray:
    """A variable as it is stored."""
    in_memory = name.rsplit("/", 1)[-1] in variable.dims  # a coordinate, which xarray holds as an index

    def read(part: tuple[slice, ...]) -> Array:
        with reading(path, KIND):
            values = np.array(variable[part].to_numpy(), copy=True if in_memory else None)
        if values.dtype.kind == "O" and variable.dtype.kind != "O":  # xarray does not say so
            raise SparseVQError(f"{path}: {name} is {LISTS}", "store it as an array of numbers")
        return values

    chunks = variable.encoding.get("chunksizes")
    return StoredArray(
        name=name,
        shape=tuple(variable.shape),
        dtype=np.dtype(variable.dtype),
        read=read,
        dimensions=tuple(str(dimension) for dimension in variable.dims),
        units=units_in(variable.attrs),
        chunks=tuple(chunks) if chunks else None,
        attributes=dict(variable.attrs),
    )
