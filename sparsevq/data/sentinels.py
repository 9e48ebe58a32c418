"""Numbers that mark missing values although nothing declares them: -9999, 1e20, the limits of integer types."""

import re
from typing import Any

import numpy as np

HUGE = 1e15
"""Magnitudes from here on are no physical values (1e20, 1e30, 9.97e36)."""
_REPEATED = re.compile(r"-?(?:([789])\1{2,}|9{2,}\.9+)$")


def looks_like_a_mark(value: float) -> bool:
    """Whether a number is one that programs write for missing values: 999 and the like, limits of integers, huge."""
    if not np.isfinite(value) or abs(value) >= HUGE:
        return True
    if _REPEATED.match(np.format_float_positional(np.float32(value), trim="-")):
        return True
    return float(np.float32(value)) in _OF_INTEGERS


def is_a_limit(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether an integer is at the limit of its type, within the two that netCDF's default fill values are off it.

    Bytes have no such values: all of theirs are in use.
    """
    return dtype.itemsize > 1 and int(value) in _limits(dtype)


def _limits(dtype: np.dtype[Any]) -> tuple[int, ...]:
    info = np.iinfo(dtype)
    low = (int(info.min), int(info.min) + 1, int(info.min) + 2) if info.min else ()
    return (*low, int(info.max), int(info.max) - 1)


_OF_INTEGERS = {float(np.float32(limit)) for kind in ("i2", "u2", "i4", "u4") for limit in _limits(np.dtype(kind))}
