"""Forecasts: trajectories that start at dates of their own, and whose frames are lead times."""

import re
from dataclasses import replace
from functools import partial

import numpy as np

from sparsevq.data.clock import Clock
from sparsevq.data.dates import unit_named
from sparsevq.data.source import Source
from sparsevq.readers.clock import Timed
from sparsevq.readers.conventions import TIME, counts_dates, said
from sparsevq.readers.moments import moments
from sparsevq.readers.roles import Field
from sparsevq.readers.stored import Contents, StoredArray, print_once

STARTS = ("forecast_reference_time",)
"""Standard names of the time at which a forecast starts."""


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
    starts, since = moments(contents.path, array, "", partial(print_once, told=told))
    unit = unit_named(clock.units) or _unit_by_name(field.stored(TIME) if TIME in field.roles else "")
    if not since.dated or unit is None:
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
    dated = [
        array
        for array in contents.arrays.values()
        if (counts_dates(array.units) and array.is_number) or array.dtype.kind == "M"
    ]
    for name, _ in field.leads:
        along = [array for array in dated if array.dimensions == (name,)]
        along.sort(key=lambda array: (said(array.attributes, "standard_name") not in STARTS, array.name != name))
        if along:
            return along[0]
    scalars = [array for array in dated if not array.shape and said(array.attributes, "standard_name") in STARTS]
    return scalars[0] if scalars else None
