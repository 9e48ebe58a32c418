"""Rules that every data set must satisfy."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import SPLITS, FieldData, evenly_spaced
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import Array

FRAMES_AT_ONCE = 64
"""Frames of a trajectory that are checked at a time: bounds the memory of checks."""


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
        Check every value of the fields too.
    """
    wrong_shapes = list(_wrong_shapes(data))
    yield from wrong_shapes
    if wrong_shapes:
        return
    yield from _wrong_axes(data)
    if len(set(data.channels)) < len(data.channels):
        yield Fault("two channels have one name", "name each differently")
    unknown = sorted(set(data.split.tolist()) - set(SPLITS))
    if unknown:
        yield Fault(f"split holds {unknown[0]!r}", f"use {', '.join(SPLITS)}")
    if not (data.split == "train").any():
        yield Fault("no trajectory is for training", "mark at least one `train` in split")
    if data.point_weights is not None and not (data.point_weights > 0).all():
        yield Fault("weights are not positive", "give each point the area that it stands for")
    empty = np.flatnonzero(~data.flat_mask.any(axis=1))
    if len(empty):
        yield Fault(f"trajectory {empty[0]} has no valid point", "fix its mask or leave it out")
    for channel, mean, std in zip(data.channels, data.mean, data.std, strict=True):
        if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
            yield Fault(
                f"channel {channel} has mean {mean:g} and standard deviation {std:g} over the training split",
                "leave out a channel that is constant",
            )
    if values:
        yield from not_finite(data.flat_fields, data.flat_mask, data.channels)


def require_faultless(data: FieldData, where: str, values: bool = True) -> None:
    """Raise the first fault of `faults`, as an error of the file `where`, if there is any."""
    fault = next(faults(data, values), None)
    if fault is not None:
        raise fault.error(where)


def expected_shapes(fields: tuple[int, ...], parameters: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Dataset -> the shape that it must have beside `fields` of shape ``(T, F, *grid, C)``."""
    trajectories, frames, *grid, channels = fields
    return {
        "mask": (trajectories, *grid),
        "time": (frames,),
        "split": (trajectories,),
        "normalisation/mean": (channels,),
        "normalisation/std": (channels,),
        "weights": tuple(grid),
        **{f"parameters/{name}": (trajectories,) for name in parameters},
    }


def _wrong_shapes(data: FieldData) -> Iterator[Fault]:
    trajectories, frames, *_, channels = data.fields.shape
    found = {
        "fields": data.fields.shape,
        "mask": data.mask.shape,
        "time": data.time.shape,
        "split": data.split.shape,
        "channels": (len(data.channels),),
        "units": (len(data.units),),
        "normalisation/mean": data.mean.shape,
        "normalisation/std": data.std.shape,
        **{f"parameters/{name}": values.shape for name, values in data.parameters.items()},
    }
    if data.point_weights is not None:
        found["weights"] = data.point_weights.shape
    expected = expected_shapes(data.fields.shape, data.parameters)
    expected |= {"fields": (trajectories, frames, *data.grid, channels), "channels": (channels,), "units": (channels,)}
    for name, shape in found.items():
        if shape != expected[name]:
            yield Fault(f"{name} has shape {shape}, not {expected[name]}", "see docs/data-format.md")


def _wrong_axes(data: FieldData) -> Iterator[Fault]:
    for axis, at in data.axes.items():
        if not np.isfinite(at).all():
            yield Fault(f"coordinates/{axis} are not finite", "fix the coordinates")
        elif not data.scattered and not (np.diff(at) > 0).all():
            yield Fault(f"coordinates/{axis} are not increasing", "sort the grid along it")
        elif axis in data.periodic and not data.scattered and not evenly_spaced(at):
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
            part = values[start : start + FRAMES_AT_ONCE]
            if np.isfinite(np.vdot(part, part)):  # most are, with those at points that don't matter: ten times as fast
                continue
            bad = ~np.isfinite(part[:, valid])  # (f, valid points, C)
            if bad.any():
                frame, _, channel = np.argwhere(bad)[0]
                first = first or f"trajectory {number}, frame {start + frame}, channel {channels[channel]}"
                count += int(bad.sum())
    if count:
        yield Fault(
            f"{count} NaN or infinite value{'s' * (count > 1)} at valid points, first in {first}",
            "fix or leave out that trajectory",
        )
