"""Parts of a source: a time window, time blocks; and settings of the user's that go before the file's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.data.source import Source, every
from sparsevq.errors import SparseVQError
from sparsevq.readers.dates.clock import Timed, settled


def with_overrides(source: Source, settings: FileConfig) -> Source:
    """The source with the channels' units, periodic axes and vector components that the configuration names.

    The units of axes are those of the reader, which has converted them.

    Raises
    ------
    SparseVQError
        It names an axis or a channel that is not there.
    """
    known = {"time", *source.channels, *source.axes}
    for key, named in (("units", settings.units), ("vector", settings.vector), ("periodic", settings.periodic)):
        among = {"units": known, "vector": set(source.channels), "periodic": set(source.axes)}[key]
        unknown = [name for name in named if name not in among]
        if unknown:
            raise SparseVQError(
                f"{key}: {unknown[0]} is not in {source.label}", f"there are {', '.join(sorted(among))}"
            )
    for channel, axis in settings.vector.items():
        if axis not in source.axes:
            raise SparseVQError(
                f"vector: {channel} points along {axis}, which is not an axis", f"the axes are {', '.join(source.axes)}"
            )
    return replace(
        source,
        units=tuple(settings.units.get(name, unit) for name, unit in zip(source.channels, source.units, strict=True)),
        periodic=tuple(axis for axis in source.axes if axis in {*source.periodic, *settings.periodic}),
        vector={**source.vector, **settings.vector},
    )


def in_windows(parts: Sequence[Timed], settings: FileConfig) -> list[Timed]:
    """The frames of each file within the window, with times that increase.

    Of files that are joined in time, those without such a frame are left out; where their frames are numbered through,
    the window is for all together (see `in_window`).

    Raises
    ------
    SparseVQError
        No frame is in the window, times within it are missing or do not increase, or they differ between trajectories.
    """
    if settings.window is None or numbered_through(parts[0], settings):
        return [settled(part) for part in parts]
    if settings.join == "time":
        parts = [part for part in parts if len(_inside(part, settings.window))] or parts[:1]
    return [settled(in_window(part, settings.window)) for part in parts]


def numbered_through(part: Timed, settings: FileConfig) -> bool:
    """Whether files that follow each other have no times of their own."""
    given = settings.time is not None and not isinstance(settings.time, str)
    return settings.join == "time" and (part.clock.units == "frame" or given)


def in_window(timed: Timed, window: tuple[float | str, float | str] | None) -> Timed:
    """Only frames within first and last time, in the file's unit or as dates; time starts at the first that is left.

    Raises
    ------
    SparseVQError
        No frame is in the window, or the frames differ between trajectories.
    """
    if window is None:
        return timed
    inside = _inside(timed, window)
    if not len(inside):
        first, last = (timed.clock.moment(moment, "window") for moment in window)
        times = timed.source.time + timed.starts[0]
        raise SparseVQError(
            f"window: no frame of {timed.path} is between {timed.clock.text(first)} and {timed.clock.text(last)}",
            f"it has {timed.clock.text(times[0])} to {timed.clock.text(times[-1])}",
        )
    return _starting_at(timed, int(inside[0]), int(inside[-1]) + 1)


def _inside(timed: Timed, window: tuple[float | str, float | str]) -> npt.NDArray[np.int64]:
    """Frames within a window, without those at the end whose time was never written but is 0."""
    first, last = (timed.clock.moment(moment, "window") for moment in window)
    if (timed.starts != timed.starts[0]).any():
        raise SparseVQError(
            f"{timed.path}: a window in time needs trajectories that start together", "leave it out or cut the files"
        )
    times = timed.source.time + timed.starts[0]
    tolerance = 1e-9 * max(abs(first), abs(last), 1.0)
    inside = (times >= first - tolerance) & (times <= last + tolerance)
    written = np.flatnonzero(times != 0)
    if len(written) and times[written[-1]] > 0:
        inside[written[-1] + 1 :] = False
    return np.flatnonzero(inside)


def _starting_at(timed: Timed, low: int, high: int) -> Timed:
    source = timed.source
    begin = float(source.time[low]) if timed.clock.dated else 0.0

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        return source.read(trajectory, start + low, stop + low)

    return replace(
        timed, source=replace(source, read=read, time=source.time[low:high] - begin), starts=timed.starts + begin
    )


def with_stride(timed: Timed, stride: int) -> Timed:
    """Only every `stride`-th frame."""
    return replace(timed, source=every(timed.source, stride))


def time_blocks(timed: Timed, settings: FileConfig) -> Timed:
    """Blocks of `settings.block` frames as trajectories, with their split: training, then validation, then the test.

    Of each trajectory, the last `settings.test` blocks are for the test, the `settings.validation` blocks before for
    validation, those before for training, with `settings.gap` frames left out between the three: the test is the
    future. Frames that fill no block are left out at the beginning. The time of each block starts at 0, in steps of
    the mean step (calendar months differ a little).

    Raises
    ------
    SparseVQError
        There are too few frames for one training block.
    """
    source, block = timed.source, settings.block
    assert block is not None  # the configuration checks it
    frames, held_out = len(source.time), settings.validation + settings.test
    training = (frames - 2 * settings.gap) // block - held_out
    if training < 1:
        needed = (held_out + 1) * block + 2 * settings.gap
        raise SparseVQError(
            f"{timed.path}: {frames} frames are too few for time blocks: validation={settings.validation}, "
            f"test={settings.test} and one for training of block={block} frames, and two gaps of gap={settings.gap}",
            f"give at least {needed}, or lower one of these",
        )
    counts = (training, settings.validation, settings.test)
    unused = frames - sum(counts) * block - 2 * settings.gap
    first = unused + block * np.arange(sum(counts)) + settings.gap * np.repeat(np.arange(3), counts)
    print(
        f"time blocks of {block} frames: {training} for training, {settings.validation} for validation, "
        f"{settings.test} for the test; unused: {unused} frames at the beginning, {settings.gap} in each gap",
        flush=True,
    )
    step = float(source.time[-1] - source.time[0]) / (frames - 1)
    blocks = len(first)

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        number, at = trajectory // blocks, int(first[trajectory % blocks])
        return source.read(number, at + start, at + stop)

    split = np.repeat(np.array(["train", "val", "test"]), counts)
    cut = replace(
        source,
        trajectories=source.trajectories * blocks,
        read=read,
        time=step * np.arange(block, dtype=np.float64),
        parameters={name: np.repeat(values, blocks, axis=0) for name, values in source.parameters.items()},
        split=np.tile(split, source.trajectories),
        ood=None,
    )
    starts = (timed.starts[:, None] + source.time[first]).ravel()
    return replace(timed, source=cut, starts=starts)
