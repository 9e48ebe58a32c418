"""One input of the fuzzer: what it is, how it is read, and whether that was right."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.config import FileConfig
from sparsevq.config.experiment import parse
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_files

LONGEST = 2000
"""Characters of a message."""
SWALLOWED = re.compile(
    r"Traceback|NoneType|object at 0x|<class |not subscriptable|unexpected keyword|positional arg|"
    r"Input should|Field required|valid tuple|unable to parse|TypeError|AttributeError"
)
"""What a message holds if an exception of ours, or the jargon of a library, was turned into a line."""
MOST_READ = 2**22
"""Values of one frame up to which frames are read: a damaged header may claim any size."""

LENGTHS = {
    "": 1.0,
    "m": 1.0,
    "metre": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "metres": 1.0,
    "km": 1e3,
    "cm": 1e-2,
    "mm": 1e-3,
}
SECONDS = {
    "s": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "min": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
    "milliseconds": 1e-3,
    "ms": 1e-3,
    "frame": 1.0,
    "": 1.0,
    "microseconds": 1e-6,
    "us": 1e-6,
    "ns": 1e-9,
    "nanoseconds": 1e-9,
    "weeks": 604800.0,
    "month": 1.0,
    "months": 1.0,
    "years": 12.0,
    "year": 12.0,
}


class Wrong(Exception):
    """A value that is not what was written."""


@dataclass
class Attempt:
    """An input.

    Attributes
    ----------
    kind
        What it is, for the table: ``format: what is odd or damaged``.
    look
        Reads it; returns ``right`` or ``read`` (nobody knows what is right), raises `Wrong` or whatever a reader does.
    about
        What reproduces it beside the files.
    """

    kind: str
    look: Callable[[], str]
    about: dict[str, Any] = field(default_factory=dict)


@dataclass
class Truth:
    """What a file holds, in the order of its dimensions.

    Attributes
    ----------
    values
        ``(T, F, *grid, C)`` float64, NaN where missing.
    axes
        Coordinates of each axis in metres or degrees; None: not known, points are counted.
    longitudes
        Which axes are longitudes, equal modulo 360.
    elapsed
        ``(F,)`` since the first frame in seconds; None: frames are counted.
    calendar_elapsed
        The same in calendar months, where the unit is months or years.
    start
        ISO date and time of the first frame (to the second), which must be among the parameters; None: no date.
    scattered
        Unit (``degrees_north``, ``degrees_east``) -> coordinates of each point; None: the points are a grid.
    """

    values: np.ndarray
    axes: list[np.ndarray | None]
    longitudes: tuple[int, ...] = ()
    elapsed: np.ndarray | None = None
    months: np.ndarray | None = None
    start: str | None = None
    scattered: dict[str, np.ndarray] | None = None


def opened(settings: dict[str, Any]) -> Source:
    """A source by settings as they stand in a configuration."""
    try:
        checked = parse(FileConfig, settings, "files.mine")
    except SparseVQError as error:
        error.advice = "what is allowed"  # type: ignore[attr-defined]  # of `recorded_advice`
        raise
    return open_files(checked, "mine")


def look_at_anything(settings: dict[str, Any]) -> str:
    """Open and read some frames; nobody knows what is right."""
    source = opened(settings)
    if source.num_points * len(source.channels) > MOST_READ:
        return "read"
    for trajectory in {0, source.trajectories - 1}:
        found = source.read(trajectory, 0, min(len(source.time), 4))
        if found.dtype != np.float32 or found.shape[1:] != (*source.grid, len(source.channels)):
            raise Wrong(f"frames of shape {found.shape}, {found.dtype}; the grid is {source.grid}")
    return "read"


def look_for(settings: dict[str, Any], truth: Truth) -> str:
    """Open and read everything, and compare with what was written."""
    source = opened(settings)
    check_times(source, truth)
    got = np.stack([source.read(number, 0, len(source.time)) for number in range(source.trajectories)])
    check_values(source, got.astype(np.float64), truth)
    return "right"


def check_values(source: Source, got: np.ndarray, truth: Truth) -> None:
    """Raise `Wrong` unless values and coordinates are the truth's, whatever the direction of an axis."""
    want = truth.values
    if truth.scattered is not None:
        _check_scattered(source, truth.scattered)
        want = want.reshape(*want.shape[:2], -1, want.shape[-1])
    if got.shape != want.shape:
        raise Wrong(f"shape {got.shape} instead of {want.shape}")
    axes = truth.axes if truth.scattered is None else [None] * len(source.axes)
    for index, ((name, at), true) in enumerate(zip(source.axes.items(), axes, strict=True)):
        if true is None:
            continue
        here = at * _factor(source.axis_units[name])
        if index in truth.longitudes:
            here, true = np.mod(here + 1e-4, 360), np.mod(true + 1e-4, 360)
        order, true_order = np.argsort(here), np.argsort(true)
        close(f"coordinates {name}", here[order], true[true_order])
        got, want = got.take(order, axis=2 + index), want.take(true_order, axis=2 + index)
    close("values", got, want)


def _check_scattered(source: Source, places: dict[str, np.ndarray]) -> None:
    if not source.scattered or sorted(source.axis_units.values()) != sorted(places):
        raise Wrong(f"scattered: {source.scattered}, axes in {source.axis_units}")
    for name, at in source.axes.items():
        apart = np.mod(at - places[source.axis_units[name]].ravel() + 180, 360) - 180
        if np.abs(apart).max() > 1e-3:
            raise Wrong(
                f"places {name}: {at[:6].tolist()} instead of {places[source.axis_units[name]].ravel()[:6].tolist()}"
            )


def check_times(source: Source, truth: Truth) -> None:
    """Raise `Wrong` unless times and the first date are the truth's."""
    if len(source.time) != truth.values.shape[1]:
        raise Wrong(f"{len(source.time)} frames instead of {truth.values.shape[1]}")
    units = source.time_units.split(" since ")[0].strip()
    if units not in SECONDS:
        raise Wrong(f"the time unit {source.time_units!r} of what is read")
    elapsed = (source.time - source.time[0]) * SECONDS[units]
    in_months = units.startswith(("month", "year"))
    true = truth.months if in_months else truth.elapsed
    if true is not None:
        close("times", elapsed, true, 1e-3 if truth.months is None or in_months else 0.1)
    if truth.start is not None:
        found = [str(source.parameters[key][0]) for key in ("start",) if key in source.parameters]
        if not found or found[0].replace(" ", "T")[: len(truth.start)] != truth.start:
            raise Wrong(f"the first frame is at {found or 'no date'} instead of {truth.start}")


def close(what: str, got: np.ndarray, want: np.ndarray, tolerance: float = 2e-5) -> None:
    """Raise `Wrong` unless two arrays are equal within rounding, NaN at the same places."""
    if (np.isnan(got) != np.isnan(want)).any():
        raise Wrong(f"{what}: {int(np.isnan(got).sum())} missing instead of {int(np.isnan(want).sum())}")
    if np.isnan(want).all():
        return
    error = np.nanmax(np.abs(got - want))
    if error > tolerance * max(np.nanmax(np.abs(want)), 1e-30):
        raise Wrong(f"{what}: {got.ravel()[:6].tolist()} instead of {want.ravel()[:6].tolist()}")


def _factor(units: str) -> float:
    if units.startswith("degree"):
        return 1.0
    if units not in LENGTHS:
        raise Wrong(f"the unit {units!r} of an axis")
    return LENGTHS[units]


@contextmanager
def recorded_advice() -> Iterator[None]:
    """Errors keep what they say to do in ``error.advice``."""
    original = SparseVQError.__init__

    def init(self: SparseVQError, what: str, do: str = "") -> None:
        original(self, what, do)
        self.advice = do  # type: ignore[attr-defined]

    SparseVQError.__init__ = init  # type: ignore[method-assign]
    try:
        yield
    finally:
        SparseVQError.__init__ = original  # type: ignore[method-assign]


def fault_of(error: SparseVQError) -> str | None:
    """What is wrong with a message; None: nothing."""
    text = str(error)
    if "\n" in text or not text.strip():
        return "a message that is not one line"
    if len(text) > LONGEST:
        return f"a message of {len(text)} characters"
    if found := SWALLOWED.search(text):
        return f"a message with {found.group()!r}"
    if not getattr(error, "advice", "given"):
        return "a message that does not say what to do"
    return None


def written(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by their relative paths."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
