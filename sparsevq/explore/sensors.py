"""What a page tells of the sensors: where they are, what they read, and what the forecast is there."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsevq.explore.fields import interval
from sparsevq.explore.packing import rounded

Array = NDArray[Any]


class AtSensors(NamedTuple):
    """Readings of k frames by n sensors, and fields at their places.

    Attributes
    ----------
    names
        ``(n,)``: what each is called.
    places
        ``(n, d)`` in the axes' units.
    reads
        ``(n, C)``: whether a sensor reads a channel.
    times
        ``(k,)`` of the readings, in the unit of the lead times; the last is 0.
    readings
        ``(k, n, C)``, NaN where nothing was read.
    truth, mean, members
        ``(L, n, C)`` or None, ``(L, n, C)``, ``(M, L, n, C)``.
    """

    names: list[str]
    places: Array
    reads: Array
    times: Array
    readings: Array
    truth: Array | None
    mean: Array
    members: Array


def sensors_described(at: AtSensors) -> dict[str, Any]:
    """For the page's script: fields as lists by channel, sensor and lead time."""
    spread, low, high = interval(at.members)
    fields = {"readings": at.readings, "truth": at.truth, "mean": at.mean, "spread": spread, "low": low, "high": high}
    return {
        "names": at.names,
        "places": rounded(at.places, 6),
        "reads": at.reads.tolist(),
        "times": rounded(at.times),
        **{name: None if values is None else _by_channel(values) for name, values in fields.items()},
    }


def _by_channel(values: Array) -> Any:
    return rounded(np.moveaxis(values, -1, 0).swapaxes(1, 2), 7)
