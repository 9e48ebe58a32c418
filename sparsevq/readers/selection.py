"""Parts of a source: a window of time, every so manieth frame, time blocks; and what the user says beside the file."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.clock import Timed


def with_overrides(source: Source, settings: FileConfig) -> Source:
    """The source with the units, periodic axes and vector components that the configuration names.

    Raises
    ------
    SparseVQError
        It names an axis or a channel that is not there.
    """
    known = {"time", *source.channels, *source.axes}
    for key, named in (("units", settings.units), ("vector", settings.vector), ("periodic", settings.periodic)):
        among = {"units": known, "vector": set(source.channels), "periodic": set(source.axes)}[key]
        unknown = [name for name in named if name not in among]
        if unknown:
            raise SparseVQError(
                f"{key}: {unknown[0]} is not in {source.label}", f"there are {', '.join(sorted(among))}"
            )
    for channel, axis in settings.vector.items():
        if axis not in source.axes:
            raise SparseVQError(
                f"vector: {channel} points along {axis}, which is no axis", f"the axes are {', '.join(source.axes)}"
            )
    return replace(
        source,
        units=tuple(settings.units.get(name, unit) for name, unit in zip(source.channels, source.units, strict=True)),
        axis_units={axis: settings.units.get(axis, unit) for axis, unit in source.axis_units.items()},
        periodic=tuple(axis for axis in source.axes if axis in {*source.periodic, *settings.periodic}),
        vector={**source.vector, **settings.vector},
    )


def in_window(timed: Timed, window: tuple[float | str, float | str] | None) -> Timed:
    """Only frames within first and last time, in the file's unit or as dates; the first that is left starts the time.

    Raises
    ------
    SparseVQError
        No frame is in the window, or it is not the same frames for all trajectories.
    """
    if window is None:
        return timed
    first, last = (timed.clock.number(moment, "window") for moment in window)
    times = timed.source.time + timed.starts[0]
    if (timed.starts != timed.starts[0]).any():
        raise SparseVQError(
            f"{timed.path}: a window in time needs trajectories that start together", "leave it out or cut the files"
        )
    tolerance = 1e-9 * max(abs(first), abs(last), 1.0)
    inside = np.flatnonzero((times >= first - tolerance) & (times <= last + tolerance))
    if not len(inside):
        raise SparseVQError(
            f"window: no frame of {timed.path} is between {timed.clock.text(first)} and {timed.clock.text(last)}",
            f"it has {timed.clock.text(times[0])} to {timed.clock.text(times[-1])}",
        )
    return _starting_at(timed, int(inside[0]), int(inside[-1]) + 1)


def _starting_at(timed: Timed, low: int, high: int) -> Timed:
    source = timed.source
    begin = float(source.time[low]) if timed.clock.dated else 0.0

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        return source.read(trajectory, start + low, stop + low)

    return replace(
        timed, source=replace(source, read=read, time=source.time[low:high] - begin), starts=timed.starts + begin
    )
