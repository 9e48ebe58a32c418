"""The HDF5 layout that every data set has (``docs/data-format.md``)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from sparsevq.data.hdf5 import (
    Array,
    open_layout,
    read_attribute,
    read_dataset,
    read_json,
    read_strings,
    stamp,
    write_column,
    write_strings,
)
from sparsevq.errors import SparseVQError
from sparsevq.files import digest, written_whole

SCHEMA = "sparsevq-data"
VERSION = 1
SPLITS = ("train", "val", "test")

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class FieldData:
    """Fields of many trajectories on one fixed grid, in physical units.

    Letters in shapes: ``T`` trajectories, ``F`` frames, ``grid`` one size for each of the ``d`` axes (C order),
    ``N`` points of the grid, ``C`` channels.

    Attributes
    ----------
    name
        Name of the data set.
    fields
        ``(T, F, *grid, C)`` float32; 0 where `mask` is False.
    mask
        ``(T, *grid)`` bool; True where the field exists (not inside an obstacle).
    axes
        Axis -> its coordinates, 1-D, increasing; in the order of the grid.
    axis_units
        Axis -> unit of its coordinates.
    time, time_units
        ``(F,)`` time of the frames, and its unit.
    parameters, parameter_units
        What varies by trajectory: name -> ``(T,)`` float64 or str; and their units.
    split
        ``(T,)`` str: ``train``, ``val`` or ``test``.
    channels, units
        Names of the channels and their units.
    mean, std
        ``(C,)`` float64, over the valid points of the training split alone.
    periodic
        Axes along which the domain closes on itself.
    vector
        Channel -> axis that it points along, for mirror symmetries.
    provenance
        Where the data came from: solver, version, settings, seed.
    digest
        SHA-256 of the file that this was read from; empty if it was not read.
    """

    name: str
    fields: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    axes: dict[str, npt.NDArray[np.float64]]
    axis_units: dict[str, str]
    time: npt.NDArray[np.float64]
    time_units: str
    parameters: dict[str, Array]
    parameter_units: dict[str, str]
    split: npt.NDArray[np.str_]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    periodic: tuple[str, ...] = ()
    vector: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def grid(self) -> tuple[int, ...]:
        """Size of the grid along each axis."""
        return self.fields.shape[2:-1]

    @property
    def num_points(self) -> int:
        """Points of the grid, valid or not: ``N``."""
        return int(np.prod(self.grid))

    @cached_property
    def physical_coordinates(self) -> npt.NDArray[np.float64]:
        """``(N, d)``: coordinates of the grid's points in the axes' units, C order."""
        return grid_points(tuple(self.axes.values()))

    @cached_property
    def scaled_coordinates(self) -> npt.NDArray[np.float32]:
        """``(N, d)``: coordinates of the grid's points, each axis from -1 (first point) to 1 (last point), C order."""
        return grid_points(tuple(_scaled(values) for values in self.axes.values())).astype(np.float32)

    @property
    def flat_fields(self) -> npt.NDArray[np.float32]:
        """``(T, F, N, C)`` view of `fields`."""
        return self.fields.reshape(*self.fields.shape[:2], -1, self.fields.shape[-1])

    @property
    def flat_mask(self) -> npt.NDArray[np.bool_]:
        """``(T, N)`` view of `mask`."""
        return self.mask.reshape(len(self.mask), -1)

    def trajectories(self, split: Split) -> npt.NDArray[np.int64]:
        """Indices of the trajectories of one split, increasing."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: one of {SPLITS}")
        return np.flatnonzero(self.split == split)


def grid_points(axes: tuple[Array, ...]) -> npt.NDArray[np.float64]:
    """``(N, d)``: every combination of the axes' coordinates, the last axis fastest (C order)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(np.float64)


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
    _check(data, str(path))
    with written_whole(path) as part, h5py.File(part, "w") as file:
        stamp(file, SCHEMA, VERSION, made_from or {}, settings)
        file.attrs["name"] = data.name
        write_common(file, data)
        write_column(file, "split", data.split)
        file["normalisation/mean"] = data.mean.astype(np.float64)
        file["normalisation/std"] = data.std.astype(np.float64)


def read_data(path: str | Path) -> FieldData:
    """Read and check a data set.

    Values where the mask is False are set to 0, whatever the file holds there.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another schema; a dataset is missing or has a wrong shape; a valid point is
        not finite; a channel's standard deviation is not positive; no trajectory is for training.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        common = read_common(file)
        trajectories, *_, channels = common["fields"].shape
        data = FieldData(
            name=str(read_attribute(file, "name")),
            split=read_dataset(file, "split", (trajectories,)).astype(str),
            mean=read_dataset(file, "normalisation/mean", (channels,)).astype(np.float64),
            std=read_dataset(file, "normalisation/std", (channels,)).astype(np.float64),
            **common,
        )
    _check(data, str(path))
    for values, valid in zip(data.flat_fields, data.flat_mask, strict=True):
        values[:, ~valid] = 0
    return replace(data, digest=digest(path))


# ------------------------------------------------------------------------------------------------ shared with shards


def write_common(file: h5py.File, item: Any) -> None:
    """Write what data sets and simulators' shards both hold; `item` has the attributes of `FieldData` for it."""
    file.attrs["axes"] = list(item.axes)
    write_strings(file, "periodic", item.periodic)
    file.attrs["vector"] = json.dumps(item.vector, sort_keys=True)
    file.attrs["provenance"] = json.dumps(item.provenance, sort_keys=True)
    fields = file.create_dataset("fields", data=item.fields.astype(np.float32, copy=False))
    write_strings(fields, "channels", item.channels)
    write_strings(fields, "units", item.units)
    file["mask"] = item.mask.astype(bool, copy=False)
    for axis, values in item.axes.items():
        file[f"coordinates/{axis}"] = values.astype(np.float64)
        file[f"coordinates/{axis}"].attrs["units"] = item.axis_units.get(axis, "")
    file["time"] = item.time.astype(np.float64)
    file["time"].attrs["units"] = item.time_units
    file.create_group("parameters")
    for name, values in item.parameters.items():
        write_column(file, f"parameters/{name}", values)
        file[f"parameters/{name}"].attrs["units"] = item.parameter_units.get(name, "")


def read_common(file: h5py.File) -> dict[str, Any]:
    """Read what `write_common` wrote, as keyword arguments; shapes are checked against each other.

    Raises
    ------
    SparseVQError
        A dataset or attribute is missing, or has a wrong shape.
    """
    axes = read_strings(file, "axes")
    fields = read_dataset(file, "fields", (None, None, *(None for _ in axes), None))
    trajectories, frames, *grid, _ = fields.shape
    names = sorted(file["parameters"]) if "parameters" in file else []
    return {
        "fields": fields.astype(np.float32, copy=False),
        "mask": read_dataset(file, "mask", (trajectories, *grid)).astype(bool),
        "axes": {
            axis: read_dataset(file, f"coordinates/{axis}", (size,)).astype(np.float64)
            for axis, size in zip(axes, grid, strict=True)
        },
        "axis_units": {axis: str(file[f"coordinates/{axis}"].attrs.get("units", "")) for axis in axes},
        "time": read_dataset(file, "time", (frames,)).astype(np.float64),
        "time_units": str(file["time"].attrs.get("units", "")),
        "parameters": {name: read_dataset(file, f"parameters/{name}", (trajectories,)) for name in names},
        "parameter_units": {name: str(file[f"parameters/{name}"].attrs.get("units", "")) for name in names},
        "channels": read_strings(file["fields"], "channels"),
        "units": read_strings(file["fields"], "units"),
        "periodic": read_strings(file, "periodic"),
        "vector": read_json(file, "vector"),
        "provenance": read_json(file, "provenance"),
    }


# ------------------------------------------------------------------------------------------------ checks


def _check(data: FieldData, where: str) -> None:
    """Raise what is wrong with a data set, as one line that starts with `where`."""
    trajectories, frames, *_, channels = data.fields.shape
    grid = tuple(len(values) for values in data.axes.values())
    wanted: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "fields": (
            data.fields.shape,
            (trajectories, frames, *(len(values) for values in data.axes.values()), channels),
        ),
        "mask": (data.mask.shape, (trajectories, *grid)),
        "time": (data.time.shape, (frames,)),
        "split": (data.split.shape, (trajectories,)),
        "channels": ((len(data.channels),), (channels,)),
        "units": ((len(data.units),), (channels,)),
        "normalisation/mean": (data.mean.shape, (channels,)),
        "normalisation/std": (data.std.shape, (channels,)),
    }
    wanted |= {f"parameters/{name}": (values.shape, (trajectories,)) for name, values in data.parameters.items()}
    for name, (found, expected) in wanted.items():
        if found != expected:
            raise SparseVQError(f"{where}: {name} has shape {found}, not {expected}", "see docs/data-format.md")
    for axis, values in data.axes.items():
        if not (np.isfinite(values).all() and (np.diff(values) > 0).all()):
            raise SparseVQError(f"{where}: coordinates/{axis} are not finite and increasing", "sort the grid along it")
    for name, known in (("periodic", set(data.periodic)), ("vector", set(data.vector.values()))):
        if not known <= set(data.axes):
            raise SparseVQError(
                f"{where}: {name} names {', '.join(sorted(known - set(data.axes)))}, which is no axis",
                f"the axes are {', '.join(data.axes)}",
            )
    odd = sorted(set(data.split.tolist()) - set(SPLITS))
    if odd:
        raise SparseVQError(f"{where}: split holds {odd[0]!r}", f"use {', '.join(SPLITS)}")
    if not (data.split == "train").any():
        raise SparseVQError(f"{where}: no trajectory is for training", "mark at least one `train` in split")
    raise_not_finite(data.flat_fields, data.flat_mask, data.channels, where)
    for channel, mean, std in zip(data.channels, data.mean, data.std, strict=True):
        if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
            raise SparseVQError(
                f"{where}: channel {channel} has mean {mean:g} and standard deviation {std:g} over the training split",
                "leave out a channel that is constant",
            )


def raise_not_finite(
    fields: Array,
    mask: Array,
    channels: tuple[str, ...],
    where: str,
    trajectories: npt.NDArray[np.int64] | None = None,
) -> None:
    """Raise if a valid point is NaN or infinite, naming the first and how many there are.

    Parameters
    ----------
    fields
        ``(T, F, N, C)``.
    mask
        ``(T, N)`` bool; other points never matter.
    channels
        Names of the channels.
    where
        The file, for the message.
    trajectories
        ``(T,)`` numbers of the trajectories, for the message; None: 0, 1, ...
    """
    first, count = "", 0
    numbers = np.arange(len(fields)) if trajectories is None else trajectories
    for number, values, valid in zip(numbers, fields, mask, strict=True):
        bad = ~np.isfinite(values[:, valid])  # (F, valid points, C)
        if bad.any():
            frame, _, channel = np.argwhere(bad)[0]
            first = first or f"trajectory {number}, frame {frame}, channel {channels[channel]}"
            count += int(bad.sum())
    if count:
        raise SparseVQError(
            f"{where}: {count} NaN or infinite value{'s' * (count > 1)} at valid points, first in {first}",
            "mend or leave out that trajectory",
        )


def _scaled(values: Array) -> Array:
    span = values[-1] - values[0]
    return 2 * (values - values[0]) / span - 1 if span else np.zeros_like(values)
