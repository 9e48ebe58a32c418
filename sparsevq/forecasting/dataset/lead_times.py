"""Lead times of forecasts, as people write them: 0.3, not 0.30000000000000004."""

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import Description, evenly_spaced

FloatArray = npt.NDArray[np.float64]

PRECISION = 1e-12
"""Of double-precision times, relative: sums of steps are less exact than a single rounding."""
DIGITS = {"single": 6, "double": 10}
"""Significant digits of a decimal number that may be meant by one that is nearly it; others stay as they are."""


def lead_times(data: Description, frames: int) -> FloatArray:
    """(frames + 1,): from 0 on as the data set's frames are spaced, and past its end as its frames are in the mean.

    Unevenly spaced ones go on as the last two are apart. Without the dust of floating-point numbers.
    """
    time = data.time
    known = _differences(time, time[0])
    step = float(_differences(time[-1:], time[-2])[0])
    if evenly_spaced(time):
        step = float(known[-1]) / (len(time) - 1)
    further = decimals(known[-1] + step * np.arange(1, frames + 1), np.full(frames, PRECISION * known[-1]), "double")
    return np.concatenate([known, further])[: frames + 1]


def decimals(values: FloatArray, error: FloatArray, precision: str) -> FloatArray:
    """The shortest decimal number within an error (n,) of each value (n,); if it has too many digits, the value."""
    found = values.copy()
    open_ = values != 0
    for digits in range(DIGITS[precision]):
        scale = np.floor(np.log10(np.abs(np.where(open_, values, 1)))).astype(int)
        for index in np.flatnonzero(open_):
            short = float(np.round(values[index], digits - int(scale[index])))
            if abs(short - values[index]) <= error[index]:
                found[index], open_[index] = short, False
    return found


def _differences(time: FloatArray, origin: float) -> FloatArray:
    """Of times and one of them, as exact as files have these: in single precision where all of them are."""
    both = np.append(time, origin)
    single = bool((both == both.astype(np.float32)).all())
    exact = np.spacing(np.abs(both).astype(np.float32)).astype(float) / 2 if single else PRECISION * np.abs(both)
    return decimals(time - origin, exact[:-1] + exact[-1], "single" if single else "double")
