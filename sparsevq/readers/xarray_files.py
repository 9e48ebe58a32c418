"""NetCDF and Zarr, by xarray: read lazily; fill values, scale and offset are decoded."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.classic_netcdf import check_whole
from sparsevq.readers.foreign import zarr_root
from sparsevq.readers.stored import Contents, StoredArray, reading
from sparsevq.runtime.hdf5 import Array

KIND = {"netcdf4": "NetCDF", "zarr": "Zarr"}
SAID = ("title", "institution", "source", "references", "Conventions", "history")
"""Global attributes of CF on the origin of the data."""
LONGEST = 500
ABOUT = ("bounds", "climatology", "grid_mapping", "ancillary_variables", "cell_measures", "coordinates")
"""Attributes that name other variables, which are then not fields."""


def open_netcdf(path: Path) -> Contents:
    """A NetCDF file.

    Raises
    ------
    SparseVQError
        It cannot be read.
    """
    return _open(path, "netcdf4")


def open_zarr(path: Path) -> Contents:
    """A Zarr store (a folder, or one zipped), of version 2 or 3.

    Raises
    ------
    SparseVQError
        It cannot be read, or the package zarr is missing.
    """
    try:
        import zarr  # noqa: F401 (checks that it is installed)
    except ImportError:
        raise SparseVQError(
            f"{path} is Zarr, but the package zarr is not installed", "install sparsevq[readers]"
        ) from None
    return _open(path, "zarr")


def _open(path: Path, engine: str) -> Contents:
    import xarray

    where = _zipped(path) if engine == "zarr" and path.is_file() else path
    if engine == "netcdf4":
        with reading(path, KIND[engine]):
            check_whole(path)
    with reading(path, KIND[engine]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on stores without consolidated metadata, and on odd attributes
        data = xarray.open_dataset(where, engine=engine, chunks=None, cache=False, decode_times=False)
    arrays = {str(name): _stored(path, engine, str(name), variable) for name, variable in data.variables.items()}
    named = {word for variable in data.variables.values() for word in _named_by(variable)}
    named.update(_mesh_coordinates(data))
    fields = tuple(
        str(name) for name in data.data_vars if name not in named and arrays[str(name)].is_number and data[name].dims
    )
    return Contents(
        path=path,
        arrays=arrays,
        fields=fields,
        describes_itself=True,
        provenance={key: str(data.attrs[key])[:LONGEST] for key in SAID if key in data.attrs},
    )


def _zipped(path: Path) -> Any:
    """A Zarr store in a zip archive, or in a folder of one."""
    import zarr

    with reading(path, KIND["zarr"]):
        with zipfile.ZipFile(path) as archive:
            root = zarr_root(archive.namelist()) or ""
        return zarr.open_group(zarr.storage.ZipStore(path, mode="r"), path=root, mode="r").store_path


def _stored(path: Path, engine: str, name: str, variable: Any) -> StoredArray:
    def read(part: tuple[slice, ...]) -> Array:
        with reading(path, KIND[engine]):
            return np.asarray(variable[part].to_numpy())

    chunks = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    return StoredArray(
        name=name,
        shape=tuple(variable.shape),
        dtype=np.dtype(variable.dtype),
        read=read,
        dimensions=tuple(str(dimension) for dimension in variable.dims),
        units=str(variable.attrs.get("units", "")),
        chunks=tuple(chunks) if chunks else None,
        attributes=dict(variable.attrs),
    )


def _named_by(variable: Any) -> list[str]:
    """Variables that this one names as its bounds, areas or the like."""
    attributes = {**variable.attrs, **variable.encoding}
    return [word for key in ABOUT if isinstance(attributes.get(key), str) for word in str(attributes[key]).split()]


def _mesh_coordinates(data: Any) -> list[str]:
    """Variables that describe an unstructured mesh (UGRID)."""
    named = []
    for name, variable in data.variables.items():
        if variable.attrs.get("cf_role") == "mesh_topology":
            named.append(str(name))
            for key, value in variable.attrs.items():
                if key.endswith(("_coordinates", "_connectivity")):
                    named += str(value).split()
    return named
