"""Forecasts as files: NetCDF-4 and Zarr, block by block where they are computed when they are used."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import folder_written_whole, unwritable, written_whole

Progress = Callable[[int, int], None]
"""Takes how many of how many parts of the work are done."""

ZARR_BYTES = 2**22
"""Of a chunk of a Zarr store: a file; all members of some lead times."""
AT_ONCE = 2
"""Blocks that are computed, compressed and written at the same time: memory holds no more of them."""


def write_forecast(path: str | Path, forecast: xr.Dataset, command: str, progress: Progress | None = None) -> None:
    """Write a forecast as NetCDF-4 (``.nc``) or as a Zarr store (``.zarr``); errors are those of each.

    Raises
    ------
    SparseVQError
        The name ends otherwise.
    """
    writer_of(path)(path, forecast, command, progress)


def writer_of(path: str | Path) -> Callable[[str | Path, xr.Dataset, str, Progress | None], None]:
    """What writes a file of this name; the error of `write_forecast`, before anything is computed."""
    kinds = {".nc": write_netcdf, ".nc4": write_netcdf, ".zarr": write_zarr}
    suffix = Path(path).suffix.lower()
    if suffix not in kinds:
        raise SparseVQError(
            f"{path} is of no kind that a forecast is written as", "call it .nc (NetCDF) or .zarr (Zarr)"
        )
    return kinds[suffix]


def write_netcdf(path: str | Path, forecast: xr.Dataset, command: str, progress: Progress | None = None) -> None:
    """Write a forecast as compressed NetCDF-4; the file appears whole or not at all.

    Parameters
    ----------
    path
        The file.
    forecast
        What `sparsevq.forecasting.dataset.netcdf.as_dataset` made. What of it is computed when it is used is computed
        now, once, block by block.
    command
        The command that made it, for the attribute ``history``.
    progress
        Is told how far that is.

    Raises
    ------
    SparseVQError
        The folder can't be written, or the disk is full.
    """
    packed = {"zlib": True, "complevel": 4, "shuffle": True, "fletcher32": True}
    encoding = _encoding(forecast)
    for name, found in forecast.data_vars.items():
        encoding[name] |= packed
        if found.chunks is not None:  # a field of one member and lead time, in parts as they are computed
            encoding[name]["chunksizes"] = (1, 1, *(sizes[0] for sizes in found.chunks[2:]))
    with written_whole(path) as part, _told(progress, forecast):
        try:
            _with_history(forecast, command).to_netcdf(part, engine="netcdf4", encoding=encoding)
        except RuntimeError as error:  # how the NetCDF library reports a full disk
            raise unwritable(path, OSError(str(error))) from None


def write_zarr(path: str | Path, forecast: xr.Dataset, command: str, progress: Progress | None = None) -> None:
    """Write a forecast as a Zarr store, version 2 (which all readers know); as `write_netcdf`.

    A store of that name is replaced; another folder or file is not.
    """
    encoding = _encoding(forecast)
    for name, found in forecast.data_vars.items():
        encoding[name]["chunks"] = _zarr_chunks(found)
    with folder_written_whole(path, (".zgroup", ".zmetadata", "zarr.json")) as part, _told(progress, forecast):
        _with_history(forecast, command).to_zarr(part, mode="w", zarr_format=2, consolidated=True, encoding=encoding)


def _with_history(forecast: xr.Dataset, command: str) -> xr.Dataset:
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    now = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return forecast.assign_attrs(history=f"{now} {command}")


def _encoding(forecast: xr.Dataset) -> dict[Any, dict[str, Any]]:
    """Types, and dates in the units in which they were made; CF allows no missing coordinates."""
    kept = ("units", "calendar", "dtype")
    found: dict[Any, dict[str, Any]] = {
        name: {"dtype": variable.dtype, "_FillValue": variable.dtype.type(np.nan)}
        for name, variable in forecast.data_vars.items()
    }
    for name, at in forecast.coords.items():
        found[name] = {**{key: at.encoding[key] for key in kept if key in at.encoding}, "_FillValue": None}
    return found


def _zarr_chunks(found: xr.DataArray) -> tuple[int, ...]:
    """Sizes of a chunk: the first dimension whole, and as many along the second as make a file of some megabytes.

    Each is within one block of what is computed when it is used.
    """
    blocks = found.chunks or tuple((size,) for size in found.shape)
    first, second, *space = (sizes[0] for sizes in blocks)
    row = found.dtype.itemsize * first * int(np.prod(space))
    most = max(1, min(second, ZARR_BYTES // max(row, 1)))
    along = most if len(blocks[1]) == 1 else next(size for size in range(most, 0, -1) if second % size == 0)
    return first, along, *space


@contextlib.contextmanager
def _told(progress: Progress | None, forecast: xr.Dataset) -> Iterator[None]:
    """Tell how many tasks of dask are done, of which only a few are at work at the same time."""
    if not forecast.chunks:
        yield
        return
    import dask
    from dask.callbacks import Callback

    tasks = {"done": 0, "of": 0}

    def start(_: Any, state: Any) -> None:
        tasks.update(done=0, of=len(state["ready"]) + len(state["waiting"]))

    def finished(*_: Any) -> None:
        tasks["done"] += 1
        if progress is not None:
            progress(tasks["done"], tasks["of"])

    with dask.config.set(scheduler="threads", num_workers=AT_ONCE), Callback(start_state=start, posttask=finished):
        yield
