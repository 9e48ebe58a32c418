"""What values a source holds: one pass over its frames, in bounded memory."""

import sys
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sparsevq.data.marks import Mark, Watch
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError

Floats = npt.NDArray[np.float64]

BLOCK = 2**26
"""Bytes of fields that are read at once."""
PROGRESS = 5.0
"""Seconds between lines of progress."""


@dataclass
class Survey:
    """Values of a source; arrays are ``(C,)`` unless they say otherwise.

    Attributes
    ----------
    frames
        How many were looked at, of all trajectories.
    minimum, maximum, mean, std
        Of the finite values; mean and std by area.
    time_mean_share
        Share of the variance that the time mean of each point has: what climatology knows. NaN: there is no variance.
    missing
        Fraction of the values that are NaN.
    infinite
        Number of infinite values.
    masked
        ``(T,)`` fraction of the points that have no value in any frame and channel; NaN: not looked at.
    gaps
        ``(T,)`` fraction of the points that have values in some of the frames (or channels) that were looked at; frames
        and channels without any value do not count.
    empty_frames
        ``(T,)`` frames without any value.
    nothing
        ``(F,)`` whether that frame of any trajectory has no value.
    blank
        ``(T, C)`` whether a channel has no value in a trajectory.
    faults
        What could not be read, in one line each.
    marks
        Values that probably mark missing data, though nothing declares it.
    """

    frames: int
    minimum: Floats
    maximum: Floats
    mean: Floats
    std: Floats
    time_mean_share: Floats
    missing: Floats
    infinite: npt.NDArray[np.int64]
    masked: Floats
    gaps: Floats
    empty_frames: npt.NDArray[np.int64]
    nothing: npt.NDArray[np.bool_]
    blank: npt.NDArray[np.bool_]
    faults: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


class Progress:
    """Progress on the standard error, for work that takes longer than a few seconds."""

    def __init__(self) -> None:
        self._last = clock.monotonic()

    def __call__(self, message: str) -> None:
        """Print the message if the last one is long enough ago."""
        if clock.monotonic() - self._last > PROGRESS:
            self._last = clock.monotonic()
            print(message, file=sys.stderr, flush=True)


def survey(
    source: Source, sample: int | None = None, collect: bool = False, not_missing: Sequence[float] = ()
) -> Survey:
    """Look at all frames, or at `sample` of them, spread evenly over trajectories and time.

    Parameters
    ----------
    source
        Where the trajectories are.
    sample
        How many frames to look at; None: all.
    collect
        Collect what cannot be read, trajectory by trajectory, instead of raising.
    not_missing
        Values that are no marks of missing data, by the user's word.

    Raises
    ------
    SparseVQError
        A part cannot be read.
    """
    trajectories, frames, channels = source.trajectories, len(source.time), len(source.channels)
    chosen = np.arange(trajectories * frames)
    if sample is not None and sample < len(chosen):
        chosen = np.unique(np.linspace(0, len(chosen) - 1, sample).round().astype(np.int64))
    sums, watch = _Sums(source.weights, channels), Watch(source.channels, source.units, not_missing)
    masked, gaps = np.full((2, trajectories), np.nan)
    empty, blank = np.zeros(trajectories, dtype=np.int64), np.zeros((trajectories, channels), dtype=bool)
    nothing = np.zeros(frames, dtype=bool)
    weights, progress, faults, seen = source.weights, Progress(), [], 0
    for trajectory in np.unique(chosen // frames).tolist():
        some = np.zeros((len(weights), channels), dtype=bool)
        every = np.ones((len(weights), channels), dtype=bool)
        try:
            runs = _runs(chosen[chosen // frames == trajectory] % frames, len(weights) * channels)
            for start, stop in runs:
                block = source.read(trajectory, start, stop).reshape(stop - start, len(weights), channels)
                there = ~np.isnan(block)
                some |= there.any(axis=0)
                without = ~there.any(axis=(1, 2))
                every &= there[~without].all(axis=0)
                empty[trajectory] += int(without.sum())
                nothing[start:stop] |= without
                sums.add(block, there)
                watch.frames(block, (start, stop) == runs[0], (start, stop) == runs[-1])
                seen += len(block)
                progress(f"looked at {seen} of {len(chosen)} frames")
        except SparseVQError as error:
            if not collect:
                raise
            faults.append(str(error))
            continue
        masked[trajectory] = 1 - some.any(axis=1).mean()
        blank[trajectory] = ~some.any(axis=0)
        gaps[trajectory] = (some.any(axis=1) & ~every[:, ~blank[trajectory]].all(axis=1)).mean()
    missing = sums.missing / max(sums.values, 1)
    values = (sums.low, sums.high, *sums.mean_and_std(), sums.time_mean_share(), missing, sums.infinite)
    return Survey(seen, *values, masked, gaps, empty, nothing, blank, list(dict.fromkeys(faults)), watch.marks)


def _runs(frames: npt.NDArray[np.int64], values: int) -> list[tuple[int, int]]:
    """Frames as ranges of successive ones, each of at most `BLOCK` bytes; `values` are those of a frame."""
    most = max(1, BLOCK // (4 * values))
    breaks = np.flatnonzero(np.diff(frames) > 1) + 1
    return [
        (int(start), int(min(start + most, run[-1] + 1)))
        for run in np.split(frames, breaks)
        for start in range(run[0], run[-1] + 1, most)
    ]


class _Sums:
    """Sums over finite values, block by block."""

    def __init__(self, weights: Floats, channels: int):
        self._area = weights
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.infinite = np.zeros(channels, dtype=np.int64)
        self.missing = np.zeros(channels)
        self.values = 0
        self._weight, self._mean, self._squares = np.zeros((3, channels))
        self._of_points, self._frames = np.zeros((2, len(weights), channels))  # sums of values, and how many

    def add(self, block: npt.NDArray[np.float32], there: npt.NDArray[np.bool_]) -> None:
        """Values ``(f, n, C)``, and which of them are not NaN."""
        weights, finite = self._area, np.isfinite(block)
        self.values += block.shape[0] * block.shape[1]
        self.missing += (~there).sum(axis=(0, 1))
        self.infinite += (there & ~finite).sum(axis=(0, 1))
        self.low = np.minimum(self.low, np.where(finite, block, np.inf).min(axis=(0, 1)))
        self.high = np.maximum(self.high, np.where(finite, block, -np.inf).max(axis=(0, 1)))
        # Merged as in Chan, Golub & LeVeque (1983), so that a large mean costs the std no digits
        weight = np.einsum("n,fnc->c", weights, finite)
        known = np.where(finite, block, 0)
        mean = np.einsum("n,fnc->c", weights, known, dtype=np.float64) / np.where(weight > 0, weight, 1)
        self._of_points += known.sum(axis=0, dtype=np.float64)
        self._frames += finite.sum(axis=0)
        apart = np.where(finite, block - mean.astype(np.float32), 0)
        squares = np.einsum("n,fnc,fnc->c", weights, apart, apart, dtype=np.float64)
        total = np.where(self._weight + weight > 0, self._weight + weight, 1)
        step = mean - self._mean
        self._mean = self._mean + step * weight / total
        self._squares = self._squares + squares + step**2 * self._weight * weight / total
        self._weight = self._weight + weight

    def mean_and_std(self) -> tuple[Floats, Floats]:
        """NaN where there is no value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self._weight > 0, self._mean, np.nan), np.sqrt(self._squares / self._weight)

    def time_mean_share(self) -> Floats:
        """NaN where there is no variance."""
        of_points = self._of_points / np.maximum(self._frames, 1)
        weight = self._area[:, None] * self._frames
        with np.errstate(invalid="ignore", divide="ignore"):
            # Rounding may find a little more than all of it.
            return np.minimum((weight * (of_points - self._mean) ** 2).sum(axis=0) / self._squares, 1)
