"""Forecasts: trajectories that start at dates of their own, and whose frames are lead times."""

from dataclasses import replace

import numpy as np

from sparsevq.data.source import Source
from sparsevq.readers.clock import Clock, Timed, check_increasing
from sparsevq.readers.roles import Field
from sparsevq.readers.stored import Contents, StoredArray, whole

STARTS = ("forecast_reference_time",)
"""Standard names of the time at which a forecast starts."""


def started(contents: Contents, field: Field, source: Source, clock: Clock) -> Timed | None:
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
    """
    array = None if clock.dated else _starts(contents, field)
    if array is None:
        return None
    check_increasing(source.label, source.time, clock)
    since = Clock(array.units, str(array.attributes.get("calendar", "standard")).lower())
    if not since.dated:
        return None
    common = Clock(f"{clock.units or 'hours'} since {array.units.split(' since ', 1)[1]}", since.calendar)
    common = common if common.dated else since
    first = float(source.time[0])
    starts = since.counted_as(common, whole(contents.path, array).ravel()) + first
    for axis, (name, size) in enumerate(field.leads):
        if array.dimensions == (name,):
            inner = int(np.prod([size for _, size in field.leads[axis + 1 :]]))
            outer = source.trajectories // (size * inner)
            starts = np.tile(np.repeat(starts, inner), outer)
    starts = np.broadcast_to(starts, source.trajectories).copy()
    source = replace(source, time=source.time - first, time_units=common.elapsed_units)
    return Timed(source, common, starts)


def _starts(contents: Contents, field: Field) -> StoredArray | None:
    """The dates at which the trajectories start: along a dimension of them, or one for all."""
    dated = [array for array in contents.arrays.values() if " since " in array.units and array.is_number]
    for name, _ in field.leads:
        along = [array for array in dated if array.dimensions == (name,)]
        along.sort(key=lambda array: (array.attributes.get("standard_name") not in STARTS, array.name != name))
        if along:
            return along[0]
    scalars = [array for array in dated if not array.shape and array.attributes.get("standard_name") in STARTS]
    return scalars[0] if scalars else None
