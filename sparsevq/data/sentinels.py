"""Numbers that mark missing values although nothing declares them: -9999, 1e20, the limits of integer types."""

import re
from typing import Any

import numpy as np

HUGE = 1e15
"""Magnitudes from here on are no physical values (1e20, 1e30, 9.97e36)."""
_REPEATED = re.compile(r"-?(?:([789])\1{2,}|9{2,}\.9+|9{3,}0{5,})$")
_ROUND = re.compile(r"-?\d(?:\.\d{1,3})?e\+\d+$")
"""Huge numbers that somebody chose: 1e20, 9.999e20; not what is left of a calculation."""


def looks_like_a_mark(value: float) -> bool:
    """Whether a number is one that programs write for missing values: 999 and the like, limits of integers, huge."""
    if not np.isfinite(value):
        return True
    single = np.float32(value)
    if abs(value) >= HUGE and _ROUND.match(np.format_float_scientific(single, trim="-")):
        return True
    return bool(_REPEATED.match(np.format_float_positional(single, trim="-"))) or float(single) in _KNOWN


def is_a_limit(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether an integer is at the limit of its type, within the two that netCDF's default fill values are off it.

    Bytes have no such values: all of theirs are in use.
    """
    return dtype.itemsize > 1 and int(value) in _limits(dtype)


def _limits(dtype: np.dtype[Any]) -> tuple[int, ...]:
    info = np.iinfo(dtype)
    low = (int(info.min), int(info.min) + 1, int(info.min) + 2) if info.min else ()
    return (*low, int(info.max), int(info.max) - 1)


_KNOWN = {
    *(float(np.float32(limit)) for kind in ("i2", "u2", "i4", "u4") for limit in _limits(np.dtype(kind))),
    *(sign * float(np.finfo(np.float32).max) for sign in (-1, 1)),
    float(np.float32(9.969209968386869e36)),  # netCDF's default fill value
    float(np.float32(-273.15)),  # 0 K of which somebody made degrees Celsius
}
