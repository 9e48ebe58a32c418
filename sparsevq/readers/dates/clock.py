"""Files with their time axes: dates of the first frames, and checks that frames are in order and evenly spaced.

Sources have elapsed time. The date of each trajectory's first frame is kept beside it.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sparsevq.data.clock import Clock, FloatArray
from sparsevq.data.dates import MONTHS, SECONDS, date_of
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.dates.written import NEVER

EVEN = 0.2
"""Relative tolerance for steps about their median: calendar months (28 to 31 days) pass, a gap does not."""
SAME = 0.05
"""Tolerance for equal times of two trajectories, as a fraction of a step."""
LARGE = 1e9
"""A time so large, and so many times larger than usual, is a fill value."""
MOST_YEARS = 1e7
"""Dates as many years from their origin are none."""


@dataclass(frozen=True)
class Timed:
    """A source and the times at which its trajectories start.

    Attributes
    ----------
    source
        The source; with a dated clock its time is 0 at the first frame.
    clock
        Unit and calendar of `starts`.
    starts
        ``(T,)``: offset from the source's time to the file's; 0 where the clock is not dated.
    """

    source: Source
    clock: Clock
    starts: npt.NDArray[np.float64]

    @property
    def path(self) -> str:
        """Name of the source, for messages."""
        return self.source.label


def timed(source: Source, clock: Clock) -> Timed:
    """A source with the time axis of its file, unchecked: its times may be missing or out of order (see `settled`)."""
    start = 0.0
    if clock.dated:
        there = source.time[~_absurd(source.time, clock)]
        start = float(there[0]) if len(there) else 0.0
        source = replace(source, time=source.time - start, time_units=clock.units)
    return Timed(source, clock, np.full(source.trajectories, start))


def as_kept(source: Source) -> Timed:
    """A source in the project's own layout, with the dates at which its trajectories start where it has them."""
    begin = source.parameters.get("start")
    if not source.calendar or begin is None or begin.dtype.kind != "U":
        return timed(source, Clock(source.time_units))
    dates = [date_of(text, source.calendar) for text in begin.tolist()]
    clock = Clock(source.time_units, dates[0])
    starts = np.array([clock.number(date) for date in dates]) + source.time[0]
    return Timed(replace(source, time=source.time - source.time[0]), clock, starts)


def settled(timed: Timed) -> Timed:
    """The same with times that increase; frames in descending order are turned round, and that is printed.

    Raises
    ------
    SparseVQError
        A time is missing or no time at all, or not later than the one before.
    """
    times = timed.source.time
    if len(times) > 1 and (np.diff(times) < 0).all() and not _absurd(times, timed.clock).any():
        print(f"{timed.path}: times descend: the frames are taken in the order of time", flush=True)
        timed = _turned(timed)
    check_increasing(timed)
    return timed


def _turned(timed: Timed) -> Timed:
    """The frames in the other order."""
    source, frames = timed.source, len(timed.source.time)
    begin = float(source.time[-1]) if timed.clock.dated else 0.0

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(source.read(trajectory, frames - stop, frames - start)[::-1])

    turned = replace(source, read=read, time=source.time[::-1] - begin)
    return replace(timed, source=turned, starts=timed.starts + begin)


def _absurd(times: FloatArray, clock: Clock) -> npt.NDArray[np.bool_]:
    """Which times are missing, or fill values: not finite, or far beyond all others or all calendars."""
    absurd = ~np.isfinite(times) | (np.abs(times) >= NEVER)
    usual = float(np.median(np.abs(times[~absurd]))) if (~absurd).any() else 0.0
    absurd |= (np.abs(times) >= LARGE) & (np.abs(times) > LARGE * usual)
    if clock.dated:
        longest = SECONDS.get(clock.units) or MONTHS[clock.units] * 30 * SECONDS["d"]
        absurd |= np.abs(times) * longest > MOST_YEARS * 366 * SECONDS["d"]
    return np.asarray(absurd)


def check_increasing(timed: Timed) -> None:
    """Check that times are there and increasing.

    Raises
    ------
    SparseVQError
        One is not; the message names the first, and a window without it.
    """
    times, clock = timed.source.time, timed.clock
    absurd = _absurd(times, clock)
    if absurd.any():
        frame = int(absurd.argmax())
        value = "missing" if np.isnan(times[frame]) else f"{times[frame]:g}"
        raise SparseVQError(
            f"{timed.path}: the time of frame {frame} is {value}, as if its record had never been written",
            f"correct it{_window_without(timed, absurd)}",
        )
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        frame, at = back[0] + 1, timed.starts[0]
        raise SparseVQError(
            f"{timed.path}: time does not increase: frame {frame} is at {clock.text(times[frame] + at)}, "
            f"frame {frame - 1} at {clock.text(times[frame - 1] + at)}",
            f"sort the frames by time, drop duplicates{_window_without(timed, np.arange(len(times)) >= frame)}",
        )


def _window_without(timed: Timed, out: npt.NDArray[np.bool_]) -> str:
    """How to leave out frames at the beginning or the end, in words; empty: others lie between."""
    kept = np.flatnonzero(~out)
    whole = len(kept) > 1 and len(kept) == kept[-1] - kept[0] + 1
    times = timed.source.time[kept] + timed.starts[0]
    if not whole or (np.diff(times) <= 0).any():
        return ""
    first, last = (timed.clock.text(time) if timed.clock.dated else f"{time:.12g}" for time in (times[0], times[-1]))
    if first == last:  # finer than microseconds
        return ""
    return f", or leave it out by `window: [{first}, {last}]`"


def check_even(timed: Timed) -> None:
    """Check that frames are evenly spaced in time, since the networks count frames.

    Raises
    ------
    SparseVQError
        There are fewer than two frames, or a step differs from the median one by more than `EVEN`; the message
        names the first.
    """
    times = timed.source.time
    if len(times) < 2:
        raise SparseVQError(f"{timed.path}: {len(times)} frame is not enough", "a forecast needs at least two")
    steps = np.diff(times)
    usual = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps - usual) > EVEN * usual)
    if len(uneven):
        frame, before = uneven[0] + 1, uneven[0]
        at = timed.starts[0]
        raise SparseVQError(
            f"{timed.path}: frames are not evenly spaced in time: frame {frame} "
            f"({timed.clock.text(times[frame] + at)}) is {steps[before]:g} {timed.source.time_units} after frame "
            f"{before}, others are {usual:g}",
            "interpolate to even times, or choose a `window` without gaps",
        )


def by_the_clock_of(part: Timed, first: Timed) -> Timed:
    """The same frames, with times as another file counts them.

    Raises
    ------
    SparseVQError
        Only one of them has dates, their calendars differ, or their units do and have no fixed ratio.
    """
    if part.clock == first.clock:
        return part
    if not part.clock.agrees_with(first.clock, part.starts):
        raise SparseVQError(
            f"{part.path} and {first.path} do not go together: time in {_said(part)} and {_said(first)}",
            "convert one, or say what they are by `units: {time: ...}`",
        )
    starts = part.clock.counted_as(first.clock, part.starts)
    times = part.source.time
    if part.clock.dated:
        times = part.clock.counted_as(first.clock, part.starts[0] + times) - starts[0]
    else:
        times = part.clock.counted_as(first.clock, times)
    return Timed(replace(part.source, time=times, time_units=first.source.time_units), first.clock, starts)


def _said(timed: Timed) -> str:
    """Unit, origin and calendar in words."""
    clock = timed.clock
    if clock.origin is None:
        return f"{clock.units or 'no unit'} without a date"
    return f"{clock.units} since {clock.origin.isoformat()} ({clock.calendar})"


def dated_parameters(timed: Timed, also_numbers: bool) -> Source:
    """The source, with the start time of each trajectory as its parameter ``start``.

    Parameters
    ----------
    timed
        A source and its clock.
    also_numbers
        Also add times that are plain numbers, not only dates.
    """
    source = timed.source
    if timed.clock.dated:
        start = np.array([timed.clock.text(at) for at in timed.starts])
        units = ""
    elif also_numbers:
        start, units = timed.starts, timed.clock.units
    else:
        return source
    return replace(
        source,
        calendar=timed.clock.calendar,
        parameters={**source.parameters, "start": start},
        parameter_units={**source.parameter_units, "start": units},
    )
