"""Times of the frames of one file: which array holds them, and one time for each frame of all trajectories."""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from sparsevq.config import FileConfig
from sparsevq.data.clock import Clock, FloatArray
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import TIME, counts_dates, is_time, role_by_name, said
from sparsevq.readers.dates.moments import moments, of_numbers
from sparsevq.readers.dates.written import Written
from sparsevq.readers.opening.stored import Contents, StoredArray, print_once

EQUAL = 1e-6
"""Tolerance for equal times of several trajectories, as a fraction of their span."""
DATES_AS_TEXT = (
    "times",
    "date",
    "dates",
    "datetime",
    "timestamp",
    "timestamps",
    "xtime",
    "valid_time",
    "time_str",
    "time_string",
)
"""Names of arrays of text, beside those of dimensions of time, that may hold dates (`Times` of WRF)."""
VALID, REFERENCE, LEAD = "time", "forecast_reference_time", "forecast_period"
"""Standard names: of the time that a field is of, of the start of a forecast, of the time between."""


def frame_times(
    contents: Contents, dimension: str | None, frames: int, settings: FileConfig, told: set[str]
) -> tuple[FloatArray, Clock]:
    """Times of the frames as in the file, and their clock; not checked (see `sparsevq.readers.dates.clock.settled`).

    Parameters
    ----------
    contents
        The file.
    dimension
        The file's name of the dimension of frames, empty where it has none; None: the file is one frame.
    frames
        How many there are.
    settings
        The user's settings for it.
    told
        Messages that were printed already.

    Raises
    ------
    SparseVQError
        There are no times, not one for each frame, or their units mean nothing.
    """
    tell = partial(print_once, told=told)
    units = settings.units.get("time", "")
    array: StoredArray | None
    if settings.time is not None and not isinstance(settings.time, str):
        first, step = settings.time
        numbers = first + step * np.arange(frames, dtype=np.float64)
        return of_numbers(Written(contents.path, "time", numbers, units, ""), tell)
    if settings.time is not None:
        array = contents.array(settings.time, "time")
    elif dimension is not None:
        array = _along(contents, dimension, frames)
    else:
        array = _of_the_file(contents)
    if array is None:
        if contents.describes_itself and dimension is not None and not settings.dimensions:
            raise SparseVQError(
                f"{contents.path}: {dimension} ({frames} frames) has no coordinates",
                "give `time: [first, step]`, or write them into the file",
            )
        tell("no times are known: frames are numbered 0, 1, ... (give them by `time: [first, step]`)")
        numbers = np.arange(frames, dtype=np.float64)
        return (
            of_numbers(Written(contents.path, "time", numbers, units, ""), tell) if units else (numbers, Clock("frame"))
        )
    times, clock = moments(contents.path, array, units, tell)
    return _one_each(contents, array, times, clock, frames, tell), clock


def _one_each(
    contents: Contents, array: StoredArray, times: FloatArray, clock: Clock, frames: int, tell: partial[None]
) -> FloatArray:
    """``(frames,)``: one time a frame, of an array that may have them for each trajectory or as edges of intervals."""
    if times.size > frames and times.shape[-1:] == (frames,) and times.ndim > 1:
        return _same_rows(contents, array, times.reshape(-1, frames), clock)
    times = times.ravel()
    if len(times) == frames + 1 and frames > 1:
        steps = np.diff(times)
        if np.allclose(steps, steps[0], rtol=1e-3, atol=0):
            tell(
                f"{array.name} has one entry more than there are frames, as edges of {frames} even intervals: "
                "each frame is at the edge where its interval begins"
            )
            return times[:-1]
    if len(times) != frames:
        edges = ": they look like edges of intervals, which are not even" if len(times) == frames + 1 else ""
        raise SparseVQError(
            f"{contents.path}: {array.name} has {len(times)} times, but there are {frames} frames{edges}",
            "name the array with one time a frame by `time`, or give `time: [first, step]`",
        )
    return times


def _same_rows(contents: Contents, array: StoredArray, rows: FloatArray, clock: Clock) -> FloatArray:
    """Times that each trajectory has for itself, where they are the same.

    Raises
    ------
    SparseVQError
        They differ.
    """
    span = float(np.nanmax(rows) - np.nanmin(rows)) if np.isfinite(rows).any() else 0.0
    same = np.isclose(rows, rows[0], rtol=0, atol=EQUAL * span, equal_nan=True)
    if not same.all():
        row, frame = np.argwhere(~same)[0]
        raise SparseVQError(
            f"{contents.path}: {array.name} has other times for trajectory {row} than for trajectory 0: frame {frame} "
            f"is at {clock.text(rows[row, frame])} and {clock.text(rows[0, frame])}",
            "interpolate all to the same times, or give `time: [first, step]` if only the steps count",
        )
    return np.asarray(rows[0])


# ------------------------------------------------------------------------------------------------ which array


def _along(contents: Contents, dimension: str, frames: int) -> StoredArray | None:
    """The times along a dimension: the time that a field is of before that at which a forecast started.

    Dates are preferred to plain numbers, then the array named as the dimension.
    """
    if not dimension:
        return next(
            (array for array in contents.arrays.values() if not array.dimensions and _named_time(array, frames)), None
        )
    along = [array for array in contents.arrays.values() if array.dimensions == (dimension,)]
    times = [array for array in along if _may_be_times(array, dimension)]
    return _best([array for array in times if _dated(array)] or times, dimension)


def _best(times: Sequence[StoredArray], dimension: str) -> StoredArray | None:
    def rank(array: StoredArray) -> tuple[bool, ...]:
        standard = said(array.attributes, "standard_name")
        valid = standard == VALID or "valid" in _short(array.name)
        return standard in (REFERENCE, LEAD), not array.is_number, not valid, array.name != dimension

    return min(times, key=rank, default=None)


def _may_be_times(array: StoredArray, dimension: str) -> bool:
    """Whether an array along a dimension of time may hold its times."""
    if array.is_number:
        return array.name == dimension or is_time(array.attributes, array.units)
    return array.dtype.kind in "mM" or (_is_text(array) and _named_date(array, dimension))


def _dated(array: StoredArray) -> bool:
    """Whether the values of an array are dates."""
    return counts_dates(array.units) or array.dtype.kind == "M" or (_is_text(array))


def _named_date(array: StoredArray, dimension: str) -> bool:
    short = _short(array.name)
    return array.name == dimension or short in DATES_AS_TEXT or short.endswith("time") or role_by_name(short) == TIME


def _named_time(array: StoredArray, frames: int) -> bool:
    """Whether an array without names of dimensions is one of times: by its name and shape."""
    base = re.sub(r"[-_ ]?(coordinates?|coords?|axis|values?|series)$", "", _short(array.name))
    if not (array.is_number or array.dtype.kind in "mM" or _is_text(array)):
        return False
    sizes = tuple(size for size in array.shape if size > 1) or array.shape[-1:]
    fits = sizes in ((frames,), (frames + 1,)) or (len(array.shape) == 2 and array.shape[-1] == frames)
    return fits and (role_by_name(base) == TIME or base in DATES_AS_TEXT)


def _is_text(array: StoredArray) -> bool:
    return array.dtype.kind in "SUTO"


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1].lower()


def _of_the_file(contents: Contents) -> StoredArray | None:
    """The time of a file that is one frame."""
    scalars = [
        array
        for array in contents.arrays.values()
        if array.shape in ((), (1,))
        and (
            is_time(array.attributes, array.units)
            or array.dtype.kind == "M"
            or (_is_text(array) and _named_date(array, "time"))
        )
    ]
    return _best(scalars, "")
