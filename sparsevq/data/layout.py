"""The HDF5 layout of data sets (``docs/data-format.md``)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from sparsevq.data.faults import require_faultless
from sparsevq.data.field_data import Description, FieldData
from sparsevq.runtime.files import digest
from sparsevq.runtime.hdf5 import (
    created,
    map_dataset,
    open_layout,
    read_attribute,
    read_dataset,
    read_json,
    read_strings,
    require_dataset,
    stamp,
    write_column,
    write_strings,
)

SCHEMA = "sparsevq-data"
VERSION = 2
IN_MEMORY = 2**32
"""Bytes of fields up to which a data set is read and checked whole; a larger one is mapped (see `read_data`)."""

Fields = Literal["whole", "mapped", "none"]
"""How a file's fields are read: whole, as an array mapped from the file, or not at all: ``(T, 0, *grid, C)``."""


def write_data(
    path: str | Path,
    data: FieldData,
    made_from: Mapping[str, Path] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a data set.

    Parameters
    ----------
    path
        The file to write; it appears whole or not at all.
    data
        The data set; its `digest` is not written.
    made_from
        Files that it was made from; their digests are stored.
    settings
        What it depends on beside them; stored as JSON.

    Raises
    ------
    SparseVQError
        A shape is wrong, a valid point is not finite, no trajectory is for training, or the file can't be written.
    """
    require_faultless(data, str(path))
    with created(path) as file:
        stamp(file, SCHEMA, VERSION, made_from or {}, settings)
        file.create_dataset("fields", data=data.fields.astype(np.float32, copy=False))
        write_header(file, data)


def write_header(file: h5py.File, data: FieldData) -> None:
    """Write all of a data set but its fields, which are in the file already (and perhaps its mask, compressed)."""
    file.attrs["name"] = data.name
    write_common(file, data, data.mask)
    write_column(file, "split", data.split)
    file["normalisation/mean"] = data.mean.astype(np.float64)
    file["normalisation/std"] = data.std.astype(np.float64)


def read_data(path: str | Path, in_memory: int = IN_MEMORY) -> FieldData:
    """Read and check a data set.

    Fields of up to `in_memory` bytes are read and checked, and values where the mask is False are set to 0. Larger ones
    are mapped: the system reads parts of `fields` from the file as they are accessed, so that memory stays bounded.
    Their values are not checked: that was done when they were written (by `preprocess`, or for a file of your own by
    `sparsevq data validate`).

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another schema; a dataset is missing or has a wrong shape; a valid point is
        not finite; a channel's standard deviation is not positive; no trajectory is for training; or the fields are
        large but compressed or in chunks, which cannot be mapped.
    """
    data, mapped = read_unchecked(path, in_memory)
    require_faultless(data, str(path), values=not mapped)
    if not mapped:
        for values, valid in zip(data.flat_fields, data.flat_mask, strict=True):
            values[:, ~valid] = 0
    return replace(data, digest=digest(path))


def read_unchecked(path: str | Path, in_memory: int = IN_MEMORY) -> tuple[FieldData, bool]:
    """A data set as the file has it, unchecked; and whether its fields are mapped."""
    with open_layout(path, SCHEMA, VERSION) as file:
        fields = file.get("fields")
        mapped = isinstance(fields, h5py.Dataset) and fields.size * 4 > in_memory
        return _read(file, "mapped" if mapped else "whole"), mapped


def read_domain(path: str | Path) -> FieldData:
    """A data set without its frames, which may be many gigabytes: `fields` is ``(T, 0, *grid, C)``.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        return replace(read_described(file), digest=digest(path))


def read_described(file: h5py.File) -> FieldData:
    """What an open file says of a data set, without its frames."""
    return _read(file, "none")


def _read(file: h5py.File, fields: Fields) -> FieldData:
    common = read_common(file, fields)
    trajectories, *_, channels = common["fields"].shape
    return FieldData(
        name=str(read_attribute(file, "name")),
        split=read_dataset(file, "split", (trajectories,)).astype(str),
        mean=read_dataset(file, "normalisation/mean", (channels,)).astype(np.float64),
        std=read_dataset(file, "normalisation/std", (channels,)).astype(np.float64),
        **common,
    )


# ------------------------------------------------------------------------------------------------ shared with shards


def write_common(file: h5py.File, item: Description, mask: npt.NDArray[np.bool_]) -> None:
    """Write what data sets and shards both hold, but for their fields."""
    file.attrs["axes"] = list(item.axes)
    file.attrs["scattered"] = item.scattered
    write_strings(file, "periodic", item.periodic)
    file.attrs["vector"] = json.dumps(item.vector, sort_keys=True)
    file.attrs["provenance"] = json.dumps(item.provenance, sort_keys=True)
    write_strings(file["fields"], "channels", item.channels)
    write_strings(file["fields"], "units", item.units)
    if item.channel_about:
        file["fields"].attrs["about"] = json.dumps(item.channel_about, sort_keys=True)
    if "mask" not in file:
        file["mask"] = mask.astype(bool, copy=False)
    if item.point_weights is not None:
        file["weights"] = item.point_weights.astype(np.float64)
    for axis, values in item.axes.items():
        file[f"coordinates/{axis}"] = values.astype(np.float64)
        file[f"coordinates/{axis}"].attrs["units"] = item.axis_units.get(axis, "")
        if item.axis_about.get(axis):
            file[f"coordinates/{axis}"].attrs["about"] = json.dumps(item.axis_about[axis], sort_keys=True)
    file["time"] = item.time.astype(np.float64)
    file["time"].attrs["units"] = item.time_units
    if item.calendar:
        file["time"].attrs["calendar"] = item.calendar
    file.create_group("parameters")
    for name, values in item.parameters.items():
        write_column(file, f"parameters/{name}", values)
        file[f"parameters/{name}"].attrs["units"] = item.parameter_units.get(name, "")


def read_common(file: h5py.File, fields: Fields = "whole") -> dict[str, Any]:
    """Read what `write_common` wrote, and the fields, as keyword arguments; shapes are checked against each other.

    Raises
    ------
    SparseVQError
        A dataset or attribute is missing, or has a wrong shape; or the fields cannot be mapped.
    """
    axes = read_strings(file, "axes")
    scattered = bool(file.attrs.get("scattered", False))
    dimensions = 1 if scattered else len(axes)
    stored = require_dataset(file, "fields", (None, None, *(None,) * dimensions, None))
    trajectories, frames, *grid, channels = stored.shape
    sizes = grid * len(axes) if scattered else grid
    names = sorted(file["parameters"]) if "parameters" in file else []
    if fields == "whole":
        values = np.asarray(stored[()]).astype(np.float32, copy=False)
    elif fields == "mapped":
        values = map_dataset(stored)
    else:
        values = np.empty((trajectories, 0, *grid, channels), np.float32)
    return {
        "fields": values,
        "mask": read_dataset(file, "mask", (trajectories, *grid)).astype(bool),
        "axes": {
            axis: read_dataset(file, f"coordinates/{axis}", (size,)).astype(np.float64)
            for axis, size in zip(axes, sizes, strict=True)
        },
        "axis_units": {axis: str(file[f"coordinates/{axis}"].attrs.get("units", "")) for axis in axes},
        "time": read_dataset(file, "time", (frames,)).astype(np.float64),
        "time_units": str(file["time"].attrs.get("units", "")),
        "calendar": str(file["time"].attrs.get("calendar", "")),
        "parameters": {name: read_dataset(file, f"parameters/{name}", (trajectories,)) for name in names},
        "parameter_units": {name: str(file[f"parameters/{name}"].attrs.get("units", "")) for name in names},
        "channels": read_strings(stored, "channels"),
        "units": read_strings(stored, "units"),
        "channel_about": _about(stored),
        "axis_about": {axis: about for axis in axes if (about := _about(file[f"coordinates/{axis}"]))},
        "periodic": read_strings(file, "periodic"),
        "vector": read_json(file, "vector"),
        "provenance": read_json(file, "provenance"),
        "scattered": scattered,
        "point_weights": read_dataset(file, "weights", tuple(grid)).astype(np.float64) if "weights" in file else None,
    }


def _about(item: h5py.Dataset) -> dict[str, Any]:
    """Names of channels or of an axis, optional, since earlier files have none."""
    return read_json(item, "about") if "about" in item.attrs else {}
