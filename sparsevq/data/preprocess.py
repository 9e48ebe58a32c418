"""From a source to one data set: channels, temporal stride, split, statistics. Frames stream through in blocks."""

import hashlib
import math
import time as clock
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sparsevq.config import DataSetConfig, FileConfig, PreprocessConfig
from sparsevq.data.faults import require_faultless
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import SCHEMA, VERSION, write_header
from sparsevq.data.marks import Guard
from sparsevq.data.source import Source, every, with_channels
from sparsevq.data.twins import Twins
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import created, stamp

BLOCK = 2**27
"""Bytes of fields that are in memory at a time. A larger trajectory is written as it is read, and read back
from the file when its mask is known."""
WELL_CONDITIONED = 8.0
"""Ratio of mean to standard deviation above which the mean is subtracted before values are squared."""
CONSTANT = 1e-9
"""Ratio of standard deviation to mean below which a channel is constant but for rounding (float32: 1e-7)."""
PROGRESS = 5.0
"""Seconds between lines of progress."""


def preprocess(source: Source, out: str | Path, name: str, data_set: DataSetConfig, settings: PreprocessConfig) -> None:
    """Write a source as a data set, in memory of a few times `BLOCK` and the masks. The source is read once.

    A point is valid in a trajectory if it has a value in every frame and channel.

    Parameters
    ----------
    source
        Where the trajectories are.
    out
        The file to write (``docs/data-format.md``: sparsevq-data); it appears whole or not at all.
    name
        Name of the data set.
    data_set
        Channels, and how many trajectories are held out.
    settings
        Temporal stride and the seed of the split.

    Raises
    ------
    SparseVQError
        The source is faulty, a channel is not known, constant or empty, a value is infinite or stands so far from all
        others that it must mark missing data, there are too few trajectories or frames, a trajectory is in two splits,
        or the file can't be written.
    """
    source = every(with_channels(source, data_set.channels), settings.time_sub)
    channels = len(source.channels)
    shape = (source.trajectories, len(source.time), *source.grid, channels)
    data = FieldData(
        name=name,
        fields=np.broadcast_to(np.float32(0), shape),  # never read: only for its shape
        mask=np.ones((source.trajectories, *source.grid), dtype=bool),
        split=source.split if source.split is not None else assign_splits(source, data_set, settings),
        mean=np.zeros(channels),
        std=np.ones(channels),
        **source.description(),
    )
    require_faultless(data, source.label, values=False)  # before the fields are read, which takes long
    digests: dict[str, str] = {}
    with created(out, digests) as file:
        stored = file.create_dataset("fields", shape, np.float32)  # contiguous: it can be mapped (docs/lab-notes.md)
        guard = Guard(source, data_set) if isinstance(data_set, FileConfig) else None
        twins = Twins(source.label, data.split, source.files)
        mask, moments, digests["fields"] = _stream(source, stored, data.split == "train", twins, guard)
        twins.check(stored)
        mean, std = moments.mean_and_std()
        data = replace(data, mask=mask, mean=mean, std=std)
        require_faultless(data, source.label, values=False)
        write_header(file, data)
        files = {
            path.name if len(source.files) == 1 else f"{index:04d}": path for index, path in enumerate(source.files)
        }
        stamp(file, SCHEMA, VERSION, files, {**settings.model_dump(mode="json"), **data_set.model_dump(mode="json")})


def assign_splits(source: Source, data_set: DataSetConfig, settings: PreprocessConfig) -> npt.NDArray[np.str_]:
    """``(T,)``: ``train``, ``val``, ``test`` or ``ood`` for each trajectory, drawn with `settings.split_seed`.

    Raises
    ------
    SparseVQError
        Nothing would be left for training.
    """
    ood = source.ood if source.ood is not None else np.zeros(source.trajectories, dtype=bool)
    inside = np.flatnonzero(~ood)
    held_out = data_set.validation + data_set.test
    if len(inside) <= held_out:
        raise SparseVQError(
            f"{source.label}: {len(inside)} trajectories are too few: validation={data_set.validation} and "
            f"test={data_set.test} leave none for training",
            f"give at least {held_out + 1}, hold out fewer, or hold out time blocks (split: time)",
        )
    order = np.random.default_rng(settings.split_seed % 2**32).permutation(inside)
    split = np.full(source.trajectories, "train", dtype="<U5")
    split[order[: data_set.test]] = "test"
    split[order[data_set.test : held_out]] = "val"
    split[ood] = "ood"
    return split


@dataclass
class Moments:
    """Mean and second moment of each channel, merged block by block (Chan, Golub & LeVeque 1983), in float64."""

    weight: float
    mean: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def none(cls, channels: int) -> "Moments":
        """Of nothing yet."""
        return cls(0.0, np.zeros(channels), np.zeros(channels))

    def add(self, values: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> None:
        """Frames ``(f, n, C)`` at n points with weights ``(n,)``."""
        total = float(weights.sum()) * len(values)
        if not total:
            return
        flat = values.reshape(len(values), -1)

        def average(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return weights @ sums.reshape(len(weights), -1) / total

        mean = average(flat.sum(axis=0, dtype=np.float64))
        variance = average(np.einsum("fk,fk->k", flat, flat, dtype=np.float64)) - np.square(mean)
        small = variance < np.square(mean / WELL_CONDITIONED)
        if small.any():
            shift = np.where(small, mean, 0).astype(np.float32)
            apart = flat - np.tile(shift, len(weights))  # exact: no rounding within a factor of two of the mean
            variance = average(np.einsum("fk,fk->k", apart, apart, dtype=np.float64)) - np.square(mean - shift)
        between = mean - self.mean
        merged = self.weight + total
        self.mean = self.mean + between * (total / merged)
        self.squares = self.squares + variance * total + np.square(between) * (self.weight * total / merged)
        self.weight = merged

    def mean_and_std(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """``(C,)`` each; the standard deviation of a constant is 0, whatever its rounding error."""
        if not self.weight:
            raise SparseVQError("no point of the training split is valid", "check the masks")
        std = np.sqrt(np.maximum(self.squares, 0) / self.weight)
        return self.mean, np.where(std > CONSTANT * np.abs(self.mean), std, 0)


def _stream(
    source: Source,
    stored: h5py.Dataset,
    training: npt.NDArray[np.bool_],
    twins: Twins,
    guard: Guard | None,
) -> tuple[npt.NDArray[np.bool_], Moments, str]:
    """Write all fields; the mask ``(T, *grid)``, the moments of the training split, the digest of what was written."""
    at_once = max(1, BLOCK // (4 * math.prod(stored.shape[2:])))
    blocks = [slice(start, min(start + at_once, stored.shape[1])) for start in range(0, stored.shape[1], at_once)]
    mask = np.empty((source.trajectories, *source.grid), dtype=bool)
    moments, progress, gaps = Moments.none(len(source.channels)), _Progress(stored.shape), 0
    written = hashlib.sha256()  # in the order of the file
    for trajectory in range(source.trajectories):
        every_frame = np.ones(source.grid, dtype=bool)
        some_frame = np.zeros((*source.grid, len(source.channels)), dtype=bool)
        as_read = written.copy()
        for frames in blocks:
            block = _read(source, trajectory, frames, every_frame, some_frame)
            if guard is not None:
                guard.note(block, frames.start)
            stored[trajectory, frames] = block
            twins.note(trajectory, block)
            as_read.update(np.ascontiguousarray(block, np.float32).data)
            progress.report(trajectory, frames.stop)
        _not_empty(source, trajectory, some_frame)
        mask[trajectory] = every_frame
        gaps += int((some_frame.any(axis=-1) & ~every_frame).sum())
        whole = bool(every_frame.all())
        written = as_read if whole else written
        if whole and not training[trajectory]:
            continue
        for frames in blocks:
            block = block if len(blocks) == 1 else stored[trajectory, frames]
            if not whole:
                block[:, ~every_frame] = 0
                stored[trajectory, frames] = block
                written.update(np.ascontiguousarray(block, np.float32).data)
            if training[trajectory]:
                moments.add(block.reshape(len(block), -1, block.shape[-1]), source.weights * every_frame.ravel())
    progress.report(source.trajectories - 1, stored.shape[1], last=True)
    if gaps:
        print(f"{gaps / mask.size:.2%} of the points have gaps in some frames: they count as not valid", flush=True)
    return mask, moments, written.hexdigest()


def _read(
    source: Source,
    trajectory: int,
    frames: slice,
    every_frame: npt.NDArray[np.bool_],
    some_frame: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """Frames of a trajectory; which points (and channels) have values in them is noted in the last two arguments."""
    block = source.read(trajectory, frames.start, frames.stop)
    if np.isfinite(block).all():  # most blocks
        some_frame[:] = True
        return block
    infinite = np.isinf(block)
    if infinite.any():
        frame, *_, channel = np.argwhere(infinite)[0]
        raise SparseVQError(
            f"{source.label}: {int(infinite.sum())} infinite values, first in trajectory {trajectory}, frame "
            f"{frames.start + frame}, channel {source.channels[channel]}",
            "fix or leave out that trajectory",
        )
    there = ~np.isnan(block)
    every_frame &= there.all(axis=(0, -1))
    some_frame |= there.any(axis=0)
    return block


class _Progress:
    """Lines every `PROGRESS` seconds: share done, speed, time left."""

    def __init__(self, shape: tuple[int, ...]):
        self._trajectories, self._frames = shape[:2]
        self._megabytes = 4e-6 * math.prod(shape)
        self._began = self._printed = clock.perf_counter()

    def report(self, trajectory: int, frames: int, last: bool = False) -> None:
        now = clock.perf_counter()
        if now - self._printed < PROGRESS and not last:
            return
        self._printed = now
        share = (trajectory + frames / self._frames) / self._trajectories
        speed = self._megabytes * share / (now - self._began)
        left = (now - self._began) * (1 - share) / share
        print(
            f"trajectory {trajectory + 1}/{self._trajectories}, {self._megabytes * share:.0f} of "
            f"{self._megabytes:.0f} MB, {speed:.0f} MB/s" + ("" if last else f", {left:.0f} s left"),
            flush=True,
        )


def _not_empty(source: Source, trajectory: int, some_frame: npt.NDArray[np.bool_]) -> None:
    for channel, there in zip(source.channels, np.moveaxis(some_frame, -1, 0), strict=True):
        if not there.any():
            raise SparseVQError(
                f"{source.label}: channel {channel} of trajectory {trajectory} is NaN everywhere",
                "leave out the channel or the trajectory",
            )
