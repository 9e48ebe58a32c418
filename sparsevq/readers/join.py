"""Several files as one source: as trajectories, or one after the other in time; all on the same points."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.readers.clock import SAME, Timed, by_the_clock_of
from sparsevq.runtime.hdf5 import Array

CLOSE = 1e-4
"""Tolerance for coordinates of one grid in several files, as a fraction of the spacing (single precision)."""


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
    for part in parts[1:]:
        _same_fields(first, part)
    parts = [by_the_clock_of(part, first) for part in parts]
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
    """Files whose frames follow each other, in the order in which they are named.

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
    parts = [by_the_clock_of(part, first) for part in parts]
    ends = np.zeros(len(parts) + 1, dtype=np.int64)
    times = []
    begin, step = (0.0, 1.0) if time is None or isinstance(time, str) else time
    numbered = first.clock.units == "frame" or (time is not None and not isinstance(time, str))
    for index, part in enumerate(parts):
        _same_fields(first, part)
        if part.source.trajectories != first.source.trajectories:
            _differ(part, first, "trajectories", str(part.source.trajectories), str(first.source.trajectories))
        ends[index + 1] = ends[index] + len(part.source.time)
        if numbered:  # frames without times are numbered through
            times.append(begin + step * np.arange(ends[index], ends[index + 1]))
        else:
            times.append(part.starts[0] - first.starts[0] + part.source.time)
        if index and times[index][0] <= times[index - 1][-1]:
            before = parts[index - 1]
            raise SparseVQError(
                f"{part.path} does not follow {before.path} in time: it starts at "
                f"{first.clock.text(times[index][0] + first.starts[0])}, the other ends at "
                f"{first.clock.text(times[index - 1][-1] + first.starts[0])}",
                "name the files in order of time, without overlap, or give `join: trajectory`",
            )

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

    source = replace(first.source, label=label, read=read, time=np.concatenate(times), files=_all_files(parts))
    return replace(first, source=source)


def _same_fields(first: Timed, part: Timed) -> None:
    """Check that two files have the same channels, units and points; the message names the file and both values."""
    one, other = first.source, part.source
    if one.channels != other.channels:
        _differ(part, first, "channels", ", ".join(other.channels), ", ".join(one.channels))
    for channel, unit, wanted in zip(one.channels, other.units, one.units, strict=True):
        if unit != wanted:
            _differ(part, first, f"{channel} in", unit or "no unit", wanted or "no unit")
    if list(one.axes) != list(other.axes) or one.scattered != other.scattered:
        _differ(part, first, "axes", ", ".join(other.axes), ", ".join(one.axes))
    if one.grid != other.grid:
        _differ(part, first, "a grid of", *(" x ".join(map(str, source.grid)) for source in (other, one)))
    for axis, at in one.axes.items():
        if one.axis_units.get(axis) != other.axis_units.get(axis):
            _differ(part, first, f"{axis} in", *(source.axis_units.get(axis, "") for source in (other, one)))
        here = other.axes[axis]
        apart = np.abs(here - at)
        spacing = np.ptp(at) / max(len(at) - 1, 1)
        if apart.max() > CLOSE * spacing:
            point = int(apart.argmax())
            _differ(part, first, f"point {point} of {axis} at", f"{here[point]:g}", f"{at[point]:g}")


def _same_times(first: Timed, part: Timed) -> None:
    one, other = first.source.time, part.source.time
    if len(one) != len(other):
        _differ(part, first, "frames", str(len(other)), str(len(one)))
    step = float(np.median(np.diff(one))) if len(one) > 1 else np.inf
    apart = np.abs(one - other)
    if apart.max() > SAME * step:
        frame = int((apart > SAME * step).argmax())
        units = first.source.time_units
        _differ(part, first, f"frame {frame} at", f"{other[frame]:g} {units}", f"{one[frame]:g} {units}")


def _differ(part: Timed, first: Timed, what: str, here: str, there: str) -> None:
    raise SparseVQError(
        f"{part.path} and {first.path} do not go together: {what} {here} and {there}",
        "convert or interpolate it, or leave it out",
    )


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
