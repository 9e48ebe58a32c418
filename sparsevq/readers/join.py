"""Several files as one source: as trajectories, or one after the other in time; all on the same points."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.readers.alike import differ, on_the_points_of
from sparsevq.readers.dates.clock import SAME, Timed, by_the_clock_of
from sparsevq.readers.finding.natural import first_gap
from sparsevq.runtime.hdf5 import Array

MOST_REPEATED = 4
"""Frames at the beginning of a file that may repeat the end of the one before."""


def join_trajectories(parts: Sequence[Timed], label: str) -> Timed:
    """Files of one or several trajectories each.

    Raises
    ------
    SparseVQError
        A file has other points, channels, units or times than the first.
    """
    first = parts[0]
    if len(parts) == 1:
        return replace(first, source=replace(first.source, label=label))
    parts = [by_the_clock_of(part, first) for part in [first, *on_the_points_of(first, parts[1:])]]
    for part in parts[1:]:
        _same_times(first, part)
    counts = [part.source.trajectories for part in parts]
    where = [(part.source, number) for part in parts for number in range(part.source.trajectories)]

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        source, number = where[trajectory]
        return source.read(number, start, stop)

    parameters = {
        name: np.concatenate([part.source.parameters[name] for part in parts])
        for name in first.source.parameters
        if all(name in part.source.parameters for part in parts)
    }
    source = replace(
        first.source,
        label=label,
        read=read,
        trajectories=sum(counts),
        parameters=parameters,
        files=_all_files(parts),
        ood=_together([part.source.ood for part in parts], counts, False),
        split=_together([part.source.split for part in parts], counts, None),
    )
    return Timed(source, first.clock, np.concatenate([part.starts for part in parts]))


def join_in_time(parts: Sequence[Timed], label: str, time: str | tuple[float, float] | None = None) -> Timed:
    """Files whose frames follow each other: in the order of their times, or where they have none, as they are named.

    Frames at the beginning of a file that repeat the end of the one before (as after a restart) are there once.

    Parameters
    ----------
    parts
        The files.
    label
        Name of the data set, for messages.
    time
        The user's times, if they are [first, step] of all frames together.

    Raises
    ------
    SparseVQError
        A file has other points, channels or units than the first, another number of trajectories, or starts before the
        end of the one before.
    """
    first = parts[0]
    if len(parts) == 1:
        return replace(first, source=replace(first.source, label=label))
    parts = [by_the_clock_of(part, first) for part in [first, *on_the_points_of(first, parts[1:])]]
    for part in parts[1:]:
        if part.source.trajectories != first.source.trajectories:
            differ(part, first, "trajectories", str(part.source.trajectories), str(first.source.trajectories))
    if first.clock.units == "frame" or (time is not None and not isinstance(time, str)):
        begin, step = (0.0, 1.0) if time is None or isinstance(time, str) else time
        frames = sum(len(part.source.time) for part in parts)
        starts, times = first.starts, begin + step * np.arange(frames, dtype=np.float64)
        _say_order(parts, time is None)
    else:
        parts = _in_order_of_time(parts)
        starts = parts[0].starts
        times = np.concatenate([_times(part) - starts[0] for part in parts])
    ends = np.cumsum([0, *(len(part.source.time) for part in parts)])

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        low = int(np.searchsorted(ends, start, side="right")) - 1
        if stop <= ends[low + 1]:
            return parts[low].source.read(trajectory, start - int(ends[low]), stop - int(ends[low]))
        out = np.empty((stop - start, *first.source.grid, len(first.source.channels)), np.float32)
        while start < stop:
            end = min(stop, int(ends[low + 1]))
            out[end - stop + len(out) - (end - start) : end - stop + len(out)] = parts[low].source.read(
                trajectory, start - int(ends[low]), end - int(ends[low])
            )
            start, low = end, low + 1
        return out

    source = replace(first.source, label=label, read=read, time=times, files=_all_files(parts))
    return Timed(source, first.clock, starts)


def _in_order_of_time(parts: Sequence[Timed]) -> list[Timed]:
    """Files of one clock in the order of their times, without frames that repeat the end of the one before."""
    ordered = sorted(parts, key=lambda part: float(_times(part)[0]))
    if [part.path for part in ordered] != [part.path for part in parts]:
        print(
            f"files are joined in the order of their times, {ordered[0].path} first, which is not that of their names",
            flush=True,
        )
    kept = ordered[:1]
    for part in ordered[1:]:
        before = kept[-1]
        ends, begins = _times(before), _times(part)
        every = np.diff(np.concatenate([ends, begins]))
        close = SAME * float(np.median(every[every > 0])) if (every > 0).any() else 0.0
        repeated = int((begins <= ends[-1] + close).sum())
        if not repeated:
            kept.append(part)
            continue
        if not _repeats(before, part, repeated, close):
            raise SparseVQError(
                f"{part.path} does not follow {before.path} in time: it starts at {part.clock.text(begins[0])}, "
                f"the other ends at {part.clock.text(ends[-1])}",
                "leave out one, choose frames without overlap by `window`, or give `join: trajectory`",
            )
        print(f"{part.path} begins with the last {repeated} of {before.path}: they are read once", flush=True)
        if repeated < len(begins):
            kept.append(_without(part, repeated))
    return kept


def _repeats(before: Timed, part: Timed, count: int, close: float) -> bool:
    """Whether the first frames of a file are the last ones of another: few, at the same times, with the same values."""
    frames = len(before.source.time)
    if count > min(MOST_REPEATED, frames) or np.abs(_times(before)[-count:] - _times(part)[:count]).max() > close:
        return False
    return all(
        np.array_equal(
            before.source.read(number, frames - count, frames), part.source.read(number, 0, count), equal_nan=True
        )
        for number in range(part.source.trajectories)
    )


def _without(part: Timed, count: int) -> Timed:
    """A file without its first frames."""
    source = part.source

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        return source.read(trajectory, start + count, stop + count)

    return replace(part, source=replace(source, time=source.time[count:], read=read))


def _times(part: Timed) -> npt.NDArray[np.float64]:
    """Times of a file's frames by its clock."""
    return part.starts[0] + part.source.time


def _say_order(parts: Sequence[Timed], without_times: bool) -> None:
    """Print in which order frames that do not say their times are taken, and where one seems to be missing."""
    names = [Path(part.path).name for part in parts]
    few = names if len(names) < 4 else [*names[:2], "...", names[-1]]
    print(f"frames are in the order of the files: {', '.join(few)}", flush=True)
    gap = first_gap([Path(part.path) for part in parts]) if without_times else None
    if gap:
        print(
            f"{gap[0].name} is followed by {gap[1].name}, other numbers are {gap[2]:g} apart: frames are taken as "
            "evenly spaced in time",
            flush=True,
        )


def _same_times(first: Timed, part: Timed) -> None:
    one, other = first.source.time, part.source.time
    if len(one) != len(other):
        differ(part, first, "frames", str(len(other)), str(len(one)))
    step = float(np.median(np.diff(one))) if len(one) > 1 else np.inf
    apart = np.abs(one - other)
    if apart.max() > SAME * step:
        frame = int((apart > SAME * step).argmax())
        units = first.source.time_units
        differ(part, first, f"frame {frame} at", f"{other[frame]:g} {units}", f"{one[frame]:g} {units}")


def _all_files(parts: Sequence[Timed]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(file for part in parts for file in part.source.files))


def _together(columns: Sequence[Array | None], counts: Sequence[int], absent: bool | None) -> Array | None:
    """Columns joined; one that is missing is filled with `absent`, or if that is None, leaves no column at all."""
    if all(column is None for column in columns):
        return None
    if absent is None and any(column is None for column in columns):
        return None
    return np.concatenate(
        [np.full(count, absent) if column is None else column for column, count in zip(columns, counts, strict=True)]
    )
