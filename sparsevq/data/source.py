"""Input of `preprocess`: a description of trajectories, and a function that reads some of their frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError

Read = Callable[[int, int, int], npt.NDArray[np.float32]]

AT_ONCE = 2**26
"""Bytes of frames that `every` reads at a time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source(Description):
    """Trajectories that may be larger than memory.

    Attributes
    ----------
    label
        Name for messages: a file, or what several have in common.
    trajectories
        How many there are: ``T``.
    read
        ``read(trajectory, start, stop)`` gives the frames ``start ... stop - 1`` of one trajectory, ``(f, *grid, C)``
        float32 in physical units, NaN where there is no field. The caller owns the array.
    ood
        ``(T,)`` bool: which are out of distribution, for testing only.
    split
        ``(T,)`` str where the source says which trajectory is for what; None: it is drawn.
    files
        The files read, for their digests.
    """

    label: str
    trajectories: int
    read: Read
    files: tuple[Path, ...]
    ood: npt.NDArray[np.bool_] | None = None
    split: npt.NDArray[np.str_] | None = None


def with_channels(source: Source, channels: Sequence[str]) -> Source:
    """Only these channels, in this order; none named: all.

    Raises
    ------
    SparseVQError
        One is not there.
    """
    for channel in channels:
        if channel not in source.channels:
            raise SparseVQError(
                f"channels: {channel!r} is not in {source.label}", f"known are {', '.join(source.channels)}"
            )
    if not channels or tuple(channels) == source.channels:
        return source
    chosen = [source.channels.index(channel) for channel in channels]
    return replace(
        source,
        read=lambda trajectory, start, stop: source.read(trajectory, start, stop)[..., chosen],
        channels=tuple(channels),
        units=tuple(source.units[index] for index in chosen),
        vector={channel: axis for channel, axis in source.vector.items() if channel in channels},
        channel_about={channel: about for channel, about in source.channel_about.items() if channel in channels},
    )


def every(source: Source, stride: int) -> Source:
    """Only every `stride`-th frame; few of those between are in memory at a time.

    Raises
    ------
    SparseVQError
        Fewer than two frames are left.
    """
    if stride == 1:
        return source
    time = source.time[::stride]
    if len(time) < 2:
        raise SparseVQError(f"a stride of {stride} leaves {len(time)} of {len(source.time)} frames", "lower it")
    frame = 4 * int(np.prod(source.grid)) * len(source.channels)
    together = max(AT_ONCE // (frame * stride), 1)

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        out = np.empty((stop - start, *source.grid, len(source.channels)), np.float32)
        for low in range(start, stop, together):
            high = min(low + together, stop)
            out[low - start : high - start] = source.read(trajectory, low * stride, (high - 1) * stride + 1)[::stride]
        return out

    return replace(source, read=read, time=time)
