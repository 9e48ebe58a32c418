"""NetCDF, by xarray, which reads lazily; `decode.py` undoes fill values, scale and offset."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.readers.attributes import units_in
from sparsevq.readers.classic_netcdf import check_whole
from sparsevq.readers.self_describing import self_describing
from sparsevq.readers.stored import Contents, StoredArray, reading
from sparsevq.runtime.hdf5 import Array

KIND = "NetCDF"


def open_netcdf(path: Path) -> Contents:
    """A NetCDF file.

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
        data = xarray.open_dataset(
            path,
            engine="netcdf4",
            chunks=None,
            cache=False,
            decode_times=False,
            mask_and_scale=False,
            decode_coords=False,
        )
    raw = {str(name): _raw(path, str(name), variable) for name, variable in data.variables.items()}
    return self_describing(path, raw, data.attrs)


def _raw(path: Path, name: str, variable: Any) -> StoredArray:
    """A variable as it is stored."""
    in_memory = name in variable.dims  # a coordinate, which xarray holds as an index

    def read(part: tuple[slice, ...]) -> Array:
        with reading(path, KIND):
            return np.array(variable[part].to_numpy(), copy=True if in_memory else None)

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
