"""Times: units and calendars of a time axis, dates, and checks that frames are evenly spaced.

Sources have elapsed time. The date of each trajectory's first frame is kept beside it.
"""

import re
from dataclasses import dataclass, replace

import cftime
import numpy as np
import numpy.typing as npt

from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError

EVEN = 0.2
"""Relative tolerance for steps about their median: calendar months (28 to 31 days) pass, a gap does not."""
SAME = 0.05
"""Tolerance for equal times of two trajectories, as a fraction of a step."""

_SHORT = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "min": ("min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
}
_DATE = re.compile(r"(-?\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?Z?$")


@dataclass(frozen=True)
class Clock:
    """Unit and calendar of a time axis: ``hours since 1970-01-01`` in a calendar, or a plain unit such as ``s``."""

    units: str = ""
    calendar: str = "standard"

    @property
    def dated(self) -> bool:
        """Whether the numbers are dates."""
        if " since " not in self.units:
            return False
        try:
            cftime.num2date(0, self.units, self.calendar)
        except ValueError:  # such as months in a calendar whose months differ
            return False
        return True

    @property
    def elapsed_units(self) -> str:
        """Unit of the difference of two times."""
        unit = self.units.split(" since ")[0].strip()
        return next((short for short, names in _SHORT.items() if unit.lower() in names), unit)

    def text(self, time: float) -> str:
        """A time as text, for messages."""
        if not self.dated:
            return f"{time:g} {self.units}".rstrip()
        return str(cftime.num2date(time, self.units, self.calendar).isoformat())

    def number(self, moment: float | str, key: str) -> float:
        """A time of the configuration, a number or a date, in the units of this clock.

        Raises
        ------
        SparseVQError
            It is not a date, or this clock has none.
        """
        if not isinstance(moment, str):
            return float(moment)
        parts = _DATE.match(moment.strip())
        if parts is None or not self.dated:
            what = "is not a date (2006-04-16, or 2006-04-16 12:00)" if self.dated else f"but times are in {self.units}"
            raise SparseVQError(f"{key}: {moment!r} {what}", "give two numbers in the file's unit, or two dates")
        try:
            date = cftime.datetime(*(int(part or 0) for part in parts.groups()), calendar=self.calendar)
        except ValueError as error:
            raise SparseVQError(
                f"{key}: {moment!r} is not a date ({error})", "write it as 2006-04-16 or 2006-04-16 12:00"
            ) from None
        return float(cftime.date2num(date, self.units, self.calendar))

    def counted_as(self, other: "Clock", times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Times of this clock in the units of `other`; both are dated, in one calendar."""
        if self == other:
            return times
        dates = cftime.num2date(times, self.units, self.calendar)
        return np.asarray(cftime.date2num(dates, other.units, other.calendar), dtype=np.float64)


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
    """A source with the time axis of its file.

    Raises
    ------
    SparseVQError
        A time is not finite, or not later than the one before.
    """
    check_increasing(source.label, source.time, clock)
    start = float(source.time[0]) if clock.dated else 0.0
    if clock.dated:
        source = replace(source, time=source.time - start, time_units=clock.elapsed_units)
    return Timed(source, clock, np.full(source.trajectories, start))


def check_increasing(label: str, times: npt.NDArray[np.float64], clock: Clock) -> None:
    """Check that times are finite and increasing.

    Raises
    ------
    SparseVQError
        One is not; the message names the first.
    """
    bad = np.flatnonzero(~np.isfinite(times))
    if len(bad):
        raise SparseVQError(
            f"{label}: the time of frame {bad[0]} is {times[bad[0]]}", "correct or leave out that frame"
        )
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        frame = back[0] + 1
        raise SparseVQError(
            f"{label}: time does not increase: frame {frame} is at {clock.text(times[frame])}, "
            f"frame {frame - 1} at {clock.text(times[frame - 1])}",
            "sort the frames by time, and drop duplicates",
        )


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
        parameters={**source.parameters, "start": start},
        parameter_units={**source.parameter_units, "start": units},
    )
