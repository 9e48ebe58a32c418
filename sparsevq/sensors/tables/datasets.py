"""Data sets of xarray as tables of readings: from NetCDF and Zarr, from memory, or from an earlier forecast."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.memory import FRAME, NAME, SENSOR, Column, Expected, table_of_columns
from sparsevq.sensors.tables.source import Source
from sparsevq.sensors.tables.table import Table

READING = "_reading"
"""After the name of a channel: what sensors read of it, in a forecast."""
OBSERVED = "observed_frame"
"""The dimension of the frames that a forecast is from."""
OF_SENSOR = "sensor_"
"""Before the name of an axis: the places of sensors."""
_IN_WORDS = " in units of "
"""Before units that CF does not know, in a long name."""


@dataclass(frozen=True)
class InDataset(Source):
    """A data set of xarray; the key of a row is (frame, sensor)."""

    word: str = "entry"
    words: str = "entries"
    on: str = "at"
    nothing: str = "give NaN"
    frames: str = ""
    sensors: str = ""

    def at(self, key: Hashable) -> str:
        """A row, as xarray finds it."""
        assert isinstance(key, tuple)
        pairs = zip((self.frames, self.sensors), key, strict=True)
        return f".isel({', '.join(f'{name}={index}' for name, index in pairs if name)})"

    def row(self, key: Hashable) -> str:
        """A row, as xarray finds it."""
        return self.name + self.at(key)

    def cell(self, key: Hashable, column: str) -> str:
        """A row's cell, as xarray finds it."""
        return f"{self.name}[{column!r}]{self.at(key)}"


def open_dataset(path: Path) -> xr.Dataset:
    """Open a NetCDF file or a Zarr store.

    Raises
    ------
    SparseVQError
        It can't be read.
    """
    try:
        if path.is_dir():
            return xr.open_zarr(path, decode_timedelta=False)
        if h5py.is_hdf5(path) and not _is_netcdf(path):  # of which the NetCDF library makes what it can, or crashes
            raise SparseVQError(f"{path} is an HDF5 file, but no NetCDF", "write the readings as CSV, Excel or NetCDF")
        return xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SparseVQError(f"{path} cannot be read as NetCDF or Zarr ({reason})", "write it again") from None


def _is_netcdf(path: Path) -> bool:
    """Whether an HDF5 file has what the NetCDF library writes into each, or one of its dimensions."""
    with h5py.File(path) as file:
        scales = (array.attrs.get("CLASS") for array in file.values() if isinstance(array, h5py.Dataset))
        return "_NCProperties" in file.attrs or any(scale == b"DIMENSION_SCALE" for scale in scales)


def table_of_dataset(given: xr.Dataset, expected: Expected, path: Path | None = None) -> Table:
    """The table of a data set.

    Parameters
    ----------
    given
        Channels, and what else may be a column, along sensors, or along times (frames) and sensors; the places of
        sensors as coordinates called like the axes or ``sensor_<axis>``. Of a forecast the readings are taken.
    expected
        What the readings are of.
    path
        The NetCDF file or Zarr store that it is.

    Raises
    ------
    SparseVQError
        It has fields on a grid, no channel, or further dimensions.
    """
    name = NAME if path is None else str(path)
    variables = _channels(given, expected, name)
    frames, sensors = _dimensions(variables, given, expected, name)
    source = InDataset(name, path if path and path.is_file() else None, frames=frames, sensors=sensors)
    dimensions = {frames: FRAME, sensors: SENSOR}
    columns = {}
    for title, array in {**variables, **_others(given, variables, expected)}.items():
        if set(array.dims) <= {frames, sensors} - {""}:
            ordered = array.transpose(*(each for each in (frames, sensors) if each in array.dims))
            along = tuple(dimensions[str(each)] for each in ordered.dims)
            columns[title] = Column(ordered.to_numpy(), along, _units(array))
    date = None
    if frames == OBSERVED and "forecast_reference_time" in given.coords:
        date = _date(given["forecast_reference_time"])
    return table_of_columns(source, columns, expected, date, ordered=frames == OBSERVED)


# ------------------------------------------------------------------ parts


def _channels(given: xr.Dataset, expected: Expected, name: str) -> dict[str, xr.DataArray]:
    """Title -> variable of each channel that there is."""
    read = {channel: given[channel + READING] for channel in expected.channels if channel + READING in given}
    if read:
        return read
    found = {title: array for title, array in _titled(given.data_vars, expected) if _is_channel(title, expected)}
    if not found:
        have = ", ".join(map(str, given.data_vars)) or "no variable"
        raise SparseVQError(
            f"{name}: no variable is what the sensors read",
            f"name them {', '.join(expected.channels)}; there is {have}",
        )
    return found


def _titled(variables: Mapping[Any, xr.DataArray], expected: Expected) -> list[tuple[str, xr.DataArray]]:
    """Variables with a name that says what they are: their own, else their standard or long name."""
    titled = []
    for name, array in variables.items():
        names = (str(name), *(str(array.attrs.get(key, "")) for key in ("standard_name", "long_name")))
        titled.append((next((each for each in names if each and expected.meaning(each)), str(name)), array))
    return titled


def _is_channel(title: str, expected: Expected) -> bool:
    return expected.meaning(title) in expected.channels


def _dimensions(
    variables: Mapping[str, xr.DataArray], given: xr.Dataset, expected: Expected, name: str
) -> tuple[str, str]:
    """The dimensions of frames and of sensors; empty: there is none."""
    frames, sensors = "", ""
    for title, array in variables.items():
        gridded = [str(each) for each in array.dims if str(each) in expected.axes]
        if gridded:
            raise SparseVQError(
                f"{name}: {title} is on a grid ({', '.join(map(str, array.dims))}), but readings are of sensors",
                "select their places along one dimension: "
                f"ds.sel({', '.join(f'{axis}=xr.DataArray(..., dims={SENSOR!r})' for axis in gridded)})",
            )
        of_frames = [str(each) for each in array.dims if _is_clock(str(each), given, expected)]
        others = [str(each) for each in array.dims if str(each) not in of_frames]
        if len(of_frames) > 1 or len(others) > 1:
            raise SparseVQError(
                f"{name}: {title} is along {', '.join(map(str, array.dims))}, more than times and sensors",
                f"keep the dimensions time and {SENSOR}, or {SENSOR} alone",
            )
        for found, kept in ((of_frames, frames), (others, sensors)):
            if found and kept and found[0] != kept:
                raise SparseVQError(f"{name}: channels are along both {kept} and {found[0]}", "give all along one")
        frames, sensors = (*of_frames, frames)[0], (*others, sensors)[0]
    return frames, sensors


def _is_clock(dimension: str, given: xr.Dataset, expected: Expected) -> bool:
    dated = dimension in given.coords and np.issubdtype(given[dimension].dtype, np.datetime64)
    return dimension == OBSERVED or dated or expected.meaning(dimension) in ("time", FRAME)


def _others(given: xr.Dataset, variables: Mapping[str, xr.DataArray], expected: Expected) -> dict[str, xr.DataArray]:
    """Title -> what else may be a column: places, numbers, times and noise, and what is unknown."""
    found: dict[str, xr.DataArray] = {}
    there: dict[Any, xr.DataArray] = {**given.coords, **given.data_vars}
    if any(str(array.name).endswith(READING) for array in variables.values()):  # a forecast has much else
        kept = (OBSERVED, *(OF_SENSOR + axis for axis in expected.axes))
        there = {name: given[name] for name in kept if name in given}
    for title, array in _titled(there, expected):
        own = title.removeprefix(OF_SENSOR)
        if title == OBSERVED:
            found[FRAME] = array
        elif title.startswith(OF_SENSOR) and own in expected.axes:
            found[own] = array
        elif title not in variables and not (title in found and title != str(array.name)):
            found[title] = array
    return found


def _units(array: xr.DataArray) -> str:
    """Its units; such as CF does not know are in its long name."""
    units, told = str(array.attrs.get("units", "")), str(array.attrs.get("long_name", ""))
    return told.rpartition(_IN_WORDS)[2] if units == "1" and _IN_WORDS in told else units


def _date(array: xr.DataArray) -> str:
    """A date, ISO 8601."""
    value: Any = array.to_numpy()[()]
    return str(np.datetime_as_string(value) if isinstance(value, np.datetime64) else value.isoformat())
