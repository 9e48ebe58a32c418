"""The HDF5 layout that every data set has (``docs/data-format.md``)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from sparsevq.data.hdf5 import (
    Array,
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
from sparsevq.errors import SparseVQError
from sparsevq.files import digest, written_whole

SCHEMA = "sparsevq-data"
VERSION = 2
SPLITS = ("train", "val", "test", "ood")
"""`ood`: out of distribution, a test set from outside the training range."""

IN_MEMORY = 2**32
"""Bytes of fields up to which a data set is read and checked whole; a larger one is mapped (see `read_data`)."""

Split = Literal["train", "val", "test", "ood"]


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
        Axis -> its coordinates, 1-D, increasing; in the order of the grid. Of scattered points: axis -> ``(N,)``, the
        points' coordinates along it, and ``grid`` is ``(N,)``.
    axis_units
        Axis -> unit of its coordinates.
    time, time_units
        ``(F,)`` time of the frames, and its unit.
    parameters, parameter_units
        What varies by trajectory: name -> ``(T,)`` float64 or str; and their units.
    split
        ``(T,)`` str: ``train``, ``val``, ``test`` or ``ood``.
    channels, units
        Names of the channels and their units.
    mean, std
        ``(C,)`` float64, over the valid points of the training split alone.
    periodic
        Axes along which the domain closes on itself; evenly spaced, without the point that repeats.
    vector
        Channel -> axis that it points along, for mirror symmetries.
    provenance
        Where the data came from: solver, version, settings, seed.
    scattered
        The points are not a grid: `axes` has the coordinates of each.
    point_weights
        ``(*grid)`` float64, positive: the area (volume) that each point stands for; None: what the axes say.
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
    scattered: bool = False
    point_weights: npt.NDArray[np.float64] | None = None
    digest: str = ""

    @property
    def grid(self) -> tuple[int, ...]:
        """Size of the grid along each axis."""
        return self.fields.shape[2:-1]

    @property
    def num_points(self) -> int:
        """Points of the grid, valid or not: ``N``."""
        return int(np.prod(self.grid))

    @property
    def resolution(self) -> tuple[int, ...]:
        """Points along each axis; of scattered points, those of a regular grid that has as many."""
        if not self.scattered:
            return self.grid
        return (max(round(self.num_points ** (1 / len(self.axes))), 1),) * len(self.axes)

    @property
    def closed(self) -> tuple[bool, ...]:
        """Whether the domain closes on itself, for each axis."""
        return tuple(axis in self.periodic for axis in self.axes)

    @cached_property
    def physical_coordinates(self) -> npt.NDArray[np.float64]:
        """``(N, d)``: coordinates of the points in the axes' units, C order."""
        if self.scattered:
            return np.stack(list(self.axes.values()), axis=-1).astype(np.float64)
        return grid_points(tuple(self.axes.values()))

    def scaled(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Places ``(n, d)`` in the axes' units as the networks see them, ``(n, d)``.

        Each axis runs from -1 (first point) to 1: the last point, or on a periodic axis the first point's image.
        """
        columns = []
        for column, (axis, at) in zip(places.T, self.axes.items(), strict=True):
            low, span = axis_span(at, axis in self.periodic)
            columns.append(2 * (column - low) / span - 1 if span else np.zeros_like(column))
        return np.stack(columns, axis=-1).astype(np.float32)

    @cached_property
    def scaled_coordinates(self) -> npt.NDArray[np.float32]:
        """``(N, d)``: coordinates of the points as `scaled` gives them, C order."""
        return self.scaled(self.physical_coordinates)

    @property
    def joint_scale(self) -> npt.NDArray[np.float32]:
        """``(C,)``: what each channel is divided by before all channels are measured in one norm.

        1 where all channels have one unit (two components of a velocity: the norm is that of the vector); else each
        channel's standard deviation over the training split, since metres and metres per second have no common norm.
        """
        if len(set(self.units)) == 1:
            return np.ones(len(self.channels), dtype=np.float32)
        return self.std.astype(np.float32)

    @property
    def domain(self) -> dict[str, tuple[float, float]]:
        """Axis -> where places may be; on an axis that closes also one turn further, such as 30 degrees west for 330."""
        reach = {}
        for axis, at in self.axes.items():
            turn = axis_span(at, True)[1] if axis in self.periodic else 0.0
            reach[axis] = (float(at.min()) - turn, float(at.max()) + turn)
        return reach

    def nearest(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """``(n,)``: the point nearest to each of the places ``(n, d)``; distances are in spacings of each axis."""
        tree, period = self._tree
        return np.asarray(tree.query(self._in_spacings(places, period))[1], dtype=np.int64)

    @cached_property
    def _tree(self) -> tuple[Any, npt.NDArray[np.float64]]:
        """The points by place, and the length of each axis that closes on itself (0: it does not)."""
        from scipy.spatial import cKDTree

        period = np.where(self.closed, np.array(self.resolution, dtype=np.float64), 0)
        return cKDTree(self._in_spacings(self.physical_coordinates, period), boxsize=period), period

    def _in_spacings(self, places: npt.NDArray[np.float64], period: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        length = np.maximum(np.array(self.resolution) - (period == 0), 1)
        # Twice modulo: a place just below 0 is rounded to the period itself, which lies outside.
        found = (self.scaled(places).astype(np.float64) + 1) / 2 * length
        for axis, size in enumerate(period):
            if size:
                found[:, axis] = np.mod(np.mod(found[:, axis], size), size)
        return found

    @cached_property
    def weights(self) -> npt.NDArray[np.float64]:
        """``(N,)``: the area (volume) that each point stands for, with mean 1: what means over space are taken with.

        On a grid the product of the cells' widths, on a sphere the sine of the latitude between a cell's edges
        (`axis_weights`); of scattered points 1, unless the data set says otherwise.
        """
        if self.point_weights is not None:
            weights = self.point_weights.ravel().astype(np.float64)
        elif self.scattered:
            weights = np.ones(self.num_points)
        else:
            along = [axis_weights(at, self.axis_units.get(axis, "")) for axis, at in self.axes.items()]
            weights = grid_points(tuple(along)).prod(axis=-1)
        return weights / weights.mean()

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


def axis_span(at: Array, periodic: bool) -> tuple[float, float]:
    """First coordinate of an axis and its length; a periodic axis is one spacing longer than its points reach."""
    low, high = float(at.min()), float(at.max())
    return low, (high - low) * (len(at) / (len(at) - 1) if periodic and len(at) > 1 else 1)


def axis_weights(at: Array, units: str) -> npt.NDArray[np.float64]:
    """``(size,)``: width of the cell around each point of an axis; of a latitude, of its sine.

    Cells meet half-way between neighbours; the outer ones are as wide outwards as inwards, but end at the poles.
    """
    if len(at) < 2:
        return np.ones(len(at))
    middle = (at[1:] + at[:-1]) / 2
    edges = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    if units in LATITUDE_UNITS:
        edges = np.sin(np.deg2rad(np.clip(edges, -90, 90)))
    return np.abs(np.diff(edges))


LATITUDE_UNITS = ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN")
"""Units by which the CF conventions tell a latitude."""


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
    fault = next(faults(data), None)
    if fault is not None:
        raise fault.error(str(path))
    with written_whole(path) as part, h5py.File(part, "w") as file:
        stamp(file, SCHEMA, VERSION, made_from or {}, settings)
        file.create_dataset("fields", data=data.fields.astype(np.float32, copy=False))
        write_header(file, data)


def write_header(file: h5py.File, data: FieldData) -> None:
    """Write all of a data set but its fields, which are in the file already."""
    file.attrs["name"] = data.name
    write_common(file, data)
    write_column(file, "split", data.split)
    file["normalisation/mean"] = data.mean.astype(np.float64)
    file["normalisation/std"] = data.std.astype(np.float64)


def read_data(path: str | Path, in_memory: int = IN_MEMORY) -> FieldData:
    """Read and check a data set.

    Fields of up to `in_memory` bytes are read and checked, and values where the mask is False set to 0, whatever the
    file holds there. Larger ones are mapped: `fields` is an array that the system reads from the file part by part as
    it is looked at, and forgets again, so that memory stays bounded. What their values are was checked by whoever wrote
    them (`preprocess`, or `sparsevq data validate` for a file of your own).

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another schema; a dataset is missing or has a wrong shape; a valid point is
        not finite; a channel's standard deviation is not positive; no trajectory is for training; or the fields are
        large but compressed or in chunks, which cannot be mapped.
    """
    data, mapped = read_unchecked(path, in_memory)
    fault = next(faults(data, values=not mapped), None)
    if fault is not None:
        raise fault.error(str(path))
    if not mapped:
        for values, valid in zip(data.flat_fields, data.flat_mask, strict=True):
            values[:, ~valid] = 0
    return replace(data, digest=digest(path))


def read_unchecked(path: str | Path, in_memory: int = IN_MEMORY) -> tuple[FieldData, bool]:
    """A data set as the file has it, unchecked; and whether its fields are mapped."""
    with open_layout(path, SCHEMA, VERSION) as file:
        fields = file.get("fields")
        mapped = isinstance(fields, h5py.Dataset) and fields.size * 4 > in_memory
        common = read_common(file, "mapped" if mapped else "whole")
        trajectories, *_, channels = common["fields"].shape
        return FieldData(**_header(file, trajectories, channels), **common), mapped


def read_domain(path: str | Path) -> FieldData:
    """A data set without its frames, which may be many gigabytes: `fields` is ``(T, 0, *grid, C)``.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        common = read_common(file, "none")
        trajectories, *_, channels = common["fields"].shape
        return FieldData(**_header(file, trajectories, channels), **common, digest=digest(path))


def _header(file: h5py.File, trajectories: int, channels: int) -> dict[str, Any]:
    return {
        "name": str(read_attribute(file, "name")),
        "split": read_dataset(file, "split", (trajectories,)).astype(str),
        "mean": read_dataset(file, "normalisation/mean", (channels,)).astype(np.float64),
        "std": read_dataset(file, "normalisation/std", (channels,)).astype(np.float64),
    }


# ------------------------------------------------------------------------------------------------ shared with shards


def write_common(file: h5py.File, item: Any) -> None:
    """Write what data sets and shards both hold, but for their fields; `item` has the attributes of `FieldData`."""
    file.attrs["axes"] = list(item.axes)
    file.attrs["scattered"] = item.scattered
    write_strings(file, "periodic", item.periodic)
    file.attrs["vector"] = json.dumps(item.vector, sort_keys=True)
    file.attrs["provenance"] = json.dumps(item.provenance, sort_keys=True)
    write_strings(file["fields"], "channels", item.channels)
    write_strings(file["fields"], "units", item.units)
    file["mask"] = item.mask.astype(bool, copy=False)
    if item.point_weights is not None:
        file["weights"] = item.point_weights.astype(np.float64)
    for axis, values in item.axes.items():
        file[f"coordinates/{axis}"] = values.astype(np.float64)
        file[f"coordinates/{axis}"].attrs["units"] = item.axis_units.get(axis, "")
    file["time"] = item.time.astype(np.float64)
    file["time"].attrs["units"] = item.time_units
    file.create_group("parameters")
    for name, values in item.parameters.items():
        write_column(file, f"parameters/{name}", values)
        file[f"parameters/{name}"].attrs["units"] = item.parameter_units.get(name, "")


def read_common(file: h5py.File, fields: Literal["whole", "mapped", "none"] = "whole") -> dict[str, Any]:
    """Read what `write_common` wrote, as keyword arguments; shapes are checked against each other.

    Parameters
    ----------
    file
        An open file.
    fields
        Read them whole; map them (`map_dataset`); or leave them out, ``(T, 0, *grid, C)``.

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
        "parameters": {name: read_dataset(file, f"parameters/{name}", (trajectories,)) for name in names},
        "parameter_units": {name: str(file[f"parameters/{name}"].attrs.get("units", "")) for name in names},
        "channels": read_strings(stored, "channels"),
        "units": read_strings(stored, "units"),
        "periodic": read_strings(file, "periodic"),
        "vector": read_json(file, "vector"),
        "provenance": read_json(file, "provenance"),
        "scattered": scattered,
        "point_weights": read_dataset(file, "weights", tuple(grid)).astype(np.float64) if "weights" in file else None,
    }


# ------------------------------------------------------------------------------------------------ checks


class Fault(NamedTuple):
    """Something that is wrong with a data set: what, and what to do."""

    what: str
    do: str

    def error(self, where: str) -> SparseVQError:
        """As an error of the file `where`."""
        return SparseVQError(f"{where}: {self.what}", self.do)


def faults(data: FieldData, values: bool = True) -> Iterator[Fault]:
    """What is wrong with a data set, rule by rule; wrong shapes come alone, since no other rule can be applied then.

    Parameters
    ----------
    data
        The data set.
    values
        Look at every value of the fields too.
    """
    wrong_shapes = list(_wrong_shapes(data))
    yield from wrong_shapes
    if wrong_shapes:
        return
    for axis, at in data.axes.items():
        if not np.isfinite(at).all():
            yield Fault(f"coordinates/{axis} are not finite", "mend the coordinates")
        elif not data.scattered and not (np.diff(at) > 0).all():
            yield Fault(f"coordinates/{axis} are not increasing", "sort the grid along it")
        elif axis in data.periodic and not data.scattered and not _evenly_spaced(at):
            yield Fault(
                f"coordinates/{axis} are not evenly spaced, but the axis is periodic", "interpolate, or drop it"
            )
    if not (np.isfinite(data.time).all() and (np.diff(data.time) > 0).all()):
        yield Fault("time is not finite and increasing", "sort the frames by time")
    for name, known in (("periodic", set(data.periodic)), ("vector", set(data.vector.values()))):
        if not known <= set(data.axes):
            yield Fault(
                f"{name} names {', '.join(sorted(known - set(data.axes)))}, which is no axis",
                f"the axes are {', '.join(data.axes)}",
            )
    if len(set(data.channels)) < len(data.channels):
        yield Fault("two channels have one name", "name each differently")
    odd = sorted(set(data.split.tolist()) - set(SPLITS))
    if odd:
        yield Fault(f"split holds {odd[0]!r}", f"use {', '.join(SPLITS)}")
    if not (data.split == "train").any():
        yield Fault("no trajectory is for training", "mark at least one `train` in split")
    if data.point_weights is not None and not (data.point_weights > 0).all():
        yield Fault("weights are not positive", "give each point the area that it stands for")
    empty = np.flatnonzero(~data.flat_mask.any(axis=1))
    if len(empty):
        yield Fault(f"trajectory {empty[0]} has no valid point", "mend its mask or leave it out")
    for channel, mean, std in zip(data.channels, data.mean, data.std, strict=True):
        if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
            yield Fault(
                f"channel {channel} has mean {mean:g} and standard deviation {std:g} over the training split",
                "leave out a channel that is constant",
            )
    if values:
        yield from not_finite(data.flat_fields, data.flat_mask, data.channels)


def _wrong_shapes(data: FieldData) -> Iterator[Fault]:
    trajectories, frames, *grid, channels = data.fields.shape
    expected_grid = tuple(len(at) for at in data.axes.values())
    if data.scattered:
        expected_grid = expected_grid[:1]
    wanted: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "fields": (data.fields.shape, (trajectories, frames, *expected_grid, channels)),
        "mask": (data.mask.shape, (trajectories, *grid)),
        "time": (data.time.shape, (frames,)),
        "split": (data.split.shape, (trajectories,)),
        "channels": ((len(data.channels),), (channels,)),
        "units": ((len(data.units),), (channels,)),
        "normalisation/mean": (data.mean.shape, (channels,)),
        "normalisation/std": (data.std.shape, (channels,)),
    }
    if data.point_weights is not None:
        wanted["weights"] = (data.point_weights.shape, tuple(grid))
    wanted |= {f"parameters/{name}": (values.shape, (trajectories,)) for name, values in data.parameters.items()}
    for name, (found, expected) in wanted.items():
        if found != expected:
            yield Fault(f"{name} has shape {found}, not {expected}", "see docs/data-format.md")


def _evenly_spaced(at: Array) -> bool:
    spacing = np.diff(at)
    return len(at) < 2 or bool(np.allclose(spacing, spacing[0], rtol=1e-3))


def not_finite(
    fields: Array,
    mask: Array,
    channels: tuple[str, ...],
    trajectories: npt.NDArray[np.int64] | None = None,
) -> Iterator[Fault]:
    """A fault if a valid point is NaN or infinite, naming the first and how many there are.

    Parameters
    ----------
    fields
        ``(T, F, N, C)``.
    mask
        ``(T, N)`` bool; other points never matter.
    channels
        Names of the channels.
    trajectories
        ``(T,)`` numbers of the trajectories, for the message; None: 0, 1, ...
    """
    first, count = "", 0
    numbers = np.arange(len(fields)) if trajectories is None else trajectories
    for number, values, valid in zip(numbers, fields, mask, strict=True):
        for start in range(0, len(values), FRAMES_AT_ONCE):
            bad = ~np.isfinite(values[start : start + FRAMES_AT_ONCE][:, valid])  # (f, valid points, C)
            if bad.any():
                frame, _, channel = np.argwhere(bad)[0]
                first = first or f"trajectory {number}, frame {start + frame}, channel {channels[channel]}"
                count += int(bad.sum())
    if count:
        yield Fault(
            f"{count} NaN or infinite value{'s' * (count > 1)} at valid points, first in {first}",
            "mend or leave out that trajectory",
        )


FRAMES_AT_ONCE = 64
"""Frames of a trajectory that are looked at together: bounds the memory of checks."""
