"""What sensors measured as a table, in whatever the user has it: a file of any kind, a table, arrays, a data set."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.dialect import Known
from sparsevq.sensors.tables.memory import NAME, Expected
from sparsevq.sensors.tables.table import Table, read_table, table_of_lines

KINDS = "give a path (CSV, Excel, NetCDF, Zarr), a pandas table, a dictionary, an array, or a data set of xarray"
_HDF5, _NETCDF3, _ZIP = b"\x89HDF", b"CDF", b"PK\x03\x04"
_USER_BLOCK = 512
"""What may stand before an HDF5 file."""
_ZARR = (".zgroup", ".zmetadata", "zarr.json")


def table_of(observations: Any, expected: Expected) -> Table:
    """The table that readings are.

    Raises
    ------
    SparseVQError
        They are of no kind that is known, a file can't be read, or arrays have the wrong shape; with where it is.
    """
    if isinstance(observations, Table):
        return observations
    if isinstance(observations, str | os.PathLike):
        return _of_path(str(os.fspath(observations)), expected)
    return _of_memory(observations, expected)


def _of_path(path: str, expected: Expected) -> Table:
    """By what the file begins with, not by its name."""
    file = Path(path)
    if not path.strip() or "\0" in path:
        raise SparseVQError(f"{NAME}: {path!r} is no path", KINDS)
    if file.is_dir():
        if not any((file / name).exists() for name in _ZARR):
            raise SparseVQError(f"{file} is a folder, not a file of readings", KINDS)
        return _of_dataset(file, expected)
    begin = _beginning(file)
    if begin.startswith((_HDF5, _NETCDF3)) or begin[_USER_BLOCK:].startswith(_HDF5):
        return _of_dataset(file, expected)
    return table_of_file(path, expected.names, ",".join((*expected.axes, *expected.channels)))


def table_of_file(path: str, known: Known, example: str) -> Table:
    """The table of a CSV file, or of a sheet of an Excel workbook: the first, or the one that is named after a ``#``.

    Arguments and errors are as of `read_table`.
    """
    file, sheet = Path(path), None
    if not file.exists() and "#" in path:
        named, _, sheet = path.rpartition("#")
        file = Path(named)
    if file.suffix.lower() in (".xlsx", ".xlsm") and _beginning(file).startswith(_ZIP):
        from sparsevq.sensors.tables.spreadsheet import SEPARATOR, read_sheet

        return table_of_lines(*read_sheet(file, sheet), known, example, SEPARATOR)
    return read_table(path, known, example)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_USER_BLOCK + len(_HDF5))
    except OSError:
        return b""  # whoever reads it says why


def _of_dataset(path: Path, expected: Expected) -> Table:
    from sparsevq.sensors.tables.datasets import open_dataset, table_of_dataset

    with open_dataset(path) as dataset:
        return table_of_dataset(dataset, expected, path)


def _of_memory(given: Any, expected: Expected) -> Table:
    import pandas as pd
    import xarray as xr

    from sparsevq.sensors.tables.arrays import table_of_array, table_of_mapping
    from sparsevq.sensors.tables.datasets import table_of_dataset
    from sparsevq.sensors.tables.frames import table_of_frame

    if isinstance(given, xr.DataArray):
        by_channel = next((each for each in given.dims if str(each) in ("channel", "variable")), None)
        if by_channel is None and given.name is None:
            return table_of_array(given.to_numpy(), expected)
        given = given.to_dataset() if by_channel is None else given.to_dataset(by_channel)
    if isinstance(given, xr.Dataset):
        return table_of_dataset(given, expected)
    if isinstance(given, pd.Series):
        given = given.to_frame()
    if isinstance(given, Sequence) and given and all(isinstance(each, Mapping) for each in given):  # as of JSON
        given = pd.DataFrame(list(given))
    if isinstance(given, pd.DataFrame):
        return table_of_frame(given, expected)
    if isinstance(given, Mapping):
        return table_of_mapping(given, expected)
    if (isinstance(given, Sequence) and not isinstance(given, bytes)) or hasattr(given, "__array__"):
        return table_of_array(given, expected)
    raise SparseVQError(f"{NAME} are of the type {type(given).__name__}", KINDS)
