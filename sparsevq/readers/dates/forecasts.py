"""Forecasts: trajectories that start at dates of their own, and whose frames are lead times."""

import re
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sparsevq.config import FileConfig
from sparsevq.data.clock import Clock, FloatArray
from sparsevq.data.dates import unit_named
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import TIME, counts_dates, said
from sparsevq.readers.dates.clock import Timed
from sparsevq.readers.dates.date_numbers import digits_of_dates
from sparsevq.readers.dates.moments import moments
from sparsevq.readers.dates.of_frames import EQUAL
from sparsevq.readers.dimensions.meaning import REFERENCE, coordinate_of, meaning
from sparsevq.readers.dimensions.roles import Field
from sparsevq.readers.opening.stored import Contents, StoredArray, print_once, whole

STARTS = ("forecast_reference_time",)
"""Standard names of the time at which a forecast starts."""


@dataclass(frozen=True)
class OwnTimes:
    """Elapsed times of the frames, ``(F,)``, and dates of the first frames of all trajectories, ``(T,)``."""

    times: FloatArray
    clock: Clock
    starts: FloatArray


def own_times(contents: Contents, field: Field, settings: FileConfig, told: set[str]) -> OwnTimes | None:
    """Times of a file in which only the dates of every frame of every trajectory are known; None: it is no such file.

    Raises
    ------
    SparseVQError
        The times since the start differ between trajectories.
    """
    along = field.stored(TIME) if TIME in field.roles else ""
    names, sizes = [name for name, _ in field.leads], [size for _, size in field.leads]
    dated = [array for array in contents.arrays.values() if along in array.dimensions and is_dated(array)]
    several = [array for array in dated if len(array.dimensions) > 1 and set(array.dimensions) <= {along, *names}]
    alone = coordinate_of(contents, along) is not None or any(array.dimensions == (along,) for array in dated)
    if not along or settings.time is not None or not several or alone:
        return None
    array, frames = several[0], field.size(TIME)
    dates, clock = moments(contents.path, array, settings.units.get("time", ""), partial(print_once, told=told))
    order = [array.dimensions.index(name) for name in (*names, along) if name in array.dimensions]
    shape = [size if name in array.dimensions else 1 for name, size in field.leads]
    rows = np.broadcast_to(dates.transpose(order).reshape(*shape, frames), (*sizes, frames)).reshape(-1, frames)
    elapsed = rows - rows[:, :1]
    differ = np.argwhere(~np.isclose(elapsed, elapsed[0], rtol=0, atol=EQUAL * float(np.ptp(elapsed))))
    if len(differ):
        row, frame = differ[0]
        raise SparseVQError(
            f"{contents.path}: {array.name} has other lead times for trajectory {row} than for trajectory 0: frame "
            f"{frame} is {elapsed[row, frame]:g} and {elapsed[0, frame]:g} {clock.units} after the first",
            "cut or interpolate them to the same lead times, or give `time: [first, step]` if only the steps count",
        )
    return OwnTimes(elapsed[0], clock, rows[:, 0].copy())


def is_dated(array: StoredArray) -> bool:
    """Whether an array holds dates."""
    return (counts_dates(array.units) and array.is_number) or array.dtype.kind == "M"


def started(contents: Contents, field: Field, source: Source, clock: Clock, told: set[str]) -> Timed | None:
    """A source of forecasts with the dates of their first frames; None: it has none.

    Parameters
    ----------
    contents
        The file.
    field
        One of its fields.
    source
        Its trajectories; their time is elapsed since they started (in the file's numbers).
    clock
        Of that time.
    told
        Messages that were printed already.

    Raises
    ------
    SparseVQError
        The dates mean nothing.
    """
    array = None if clock.dated else _starts(contents, field)
    if array is None:
        return None
    digits = "" if is_dated(array) else digits_of_dates(whole(contents.path, array)).upper()
    starts, since = moments(contents.path, array, digits, partial(print_once, told=told))
    unit = unit_named(clock.units) or _unit_by_name(field.stored(TIME) if TIME in field.roles else "")
    if not since.dated:
        return None
    if unit is None:
        print_once(
            f"{array.name} is when forecasts start, but their time has no unit: the dates are left out (give them one, "
            "for instance `units: {time: hours}`)",
            told,
        )
        return None
    common = Clock(unit[0], since.origin)
    time = unit[1] * source.time
    starts = since.counted_as(common, starts.ravel()) + time[0]
    for axis, (name, size) in enumerate(field.leads):
        if array.dimensions == (name,):
            inner = int(np.prod([size for _, size in field.leads[axis + 1 :]]))
            outer = source.trajectories // (size * inner)
            starts = np.tile(np.repeat(starts, inner), outer)
    starts = np.broadcast_to(starts, source.trajectories).copy()
    return Timed(replace(source, time=time - time[0], time_units=unit[0]), common, starts)


def _unit_by_name(name: str) -> tuple[str, float] | None:
    """The unit that the name of a lead time says (``forecast_hour``, ``fhr``, ``lead_month``); None: it says none."""
    found = re.search(r"(hours?|hr|days?|months?)\d*$", name.lower())
    return unit_named(found[1]) if found else None


def _starts(contents: Contents, field: Field) -> StoredArray | None:
    """The dates at which the trajectories start: along a dimension of them, or one for all."""
    dated = [array for array in contents.arrays.values() if is_dated(array)]
    for name, _ in field.leads:
        along = [array for array in dated if array.dimensions == (name,)]
        along.sort(key=lambda array: (said(array.attributes, "standard_name") not in STARTS, array.name != name))
        if along:
            return along[0]
        array = coordinate_of(contents, name)
        if array is None or not array.is_number or meaning(contents, name) != REFERENCE:
            continue
        if digits_of_dates(whole(contents.path, array)):  # 20010131
            return array
    scalars = [array for array in dated if not array.shape and said(array.attributes, "standard_name") in STARTS]
    return scalars[0] if scalars else None
