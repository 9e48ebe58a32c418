"""How many frames later readings are than those before them, by what both say of their time."""

import numpy as np

from sparsevq.data.clock import Clock
from sparsevq.errors import SparseVQError
from sparsevq.sensors.history import Counted, History
from sparsevq.sensors.readings import FloatArray

ON_FRAME = 0.25
"""Largest distance of a time from that of its frame, in steps: months are not as long as each other."""


def steps_later(
    before: History, after: History, clocks: tuple[Clock | None, Clock | None], times: FloatArray, given: int | None
) -> int:
    """Frames from the last one of a history to the last one of further readings.

    Parameters
    ----------
    before, after
        The history and the further readings.
    clocks
        Of both; None: the date is not known.
    times
        ``(L + 1,)`` lead times of the forecast from `before`.
    given
        What the user says; None: nothing. If neither tells it, the readings are of the next frame.

    Raises
    ------
    SparseVQError
        It is no frame of the forecast, or not the one that the user says.
    """
    anew = f"give readings of one of the {len(times) - 1} frames that are forecast, or forecast anew"
    if given is not None and not 1 <= given < len(times):
        raise SparseVQError(f"steps={given} is not allowed", f"give 1 ... {len(times) - 1}, or forecast anew")
    told = _elapsed(before, after, clocks)
    if told is None:
        return 1 if given is None else given
    elapsed, unit, what = told
    axis = np.arange(len(times), dtype=np.float64) if unit == "frame" else times
    found = int(np.abs(axis - elapsed).argmin())
    step = float(axis[max(found, 1)] - axis[max(found, 1) - 1])
    if found < 1 or abs(axis[found] - elapsed) > ON_FRAME * step:
        raise SparseVQError(f"{what}, {elapsed / step:.4g} frames later", anew)
    if given is not None and given != found:
        raise SparseVQError(f"steps={given}, but {what}, {found} frames later", "leave out steps")
    return found


def counted_on(before: History, after: History, steps: int, times: FloatArray) -> Counted | None:
    """What the last frame of further readings is counted as, though they do not say it."""
    if after.counted is not None or before.counted is None:
        return after.counted
    name, number = before.counted
    return name, number + (steps if name == "frame" else float(times[steps]))


def _elapsed(
    before: History, after: History, clocks: tuple[Clock | None, Clock | None]
) -> tuple[float, str, str] | None:
    """How much later, in what, and that in words; None: they do not both tell."""
    earlier, later = clocks
    if earlier is not None and earlier.origin is not None and later is not None and later.origin is not None:
        dates = f"{later.origin.isoformat()}, those before of {earlier.origin.isoformat()}"
        return earlier.number(later.origin), "time", f"the readings are of {dates}"
    if before.counted is not None and after.counted is not None and before.counted[0] == after.counted[0]:
        name, last = before.counted
        now = after.counted[1]
        return now - last, name, f"the readings are of {name} {now:g}, those before of {name} {last:g}"
    return None
