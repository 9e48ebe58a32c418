"""Numbers that mark missing values although nothing declares them: -9999, 1e20, the limits of integer types."""

import re
from typing import Any

import numpy as np

HUGE = 1e15
"""Magnitudes from here on are no physical values (1e20, 1e30, 9.97e36)."""
_NINES = re.compile(r"-?(?:9{3,}|9{2,}\.9+)$")
_WIDTHS = (16, 32, 64)


def looks_like_a_mark(value: float) -> bool:
    """Whether a number is one of those by which programs mark missing values: nines, limits of integers, huge."""
    if not np.isfinite(value) or abs(value) >= HUGE:
        return True
    if _NINES.match(np.format_float_positional(np.float32(value), trim="-")):
        return True
    limits = {float(limit) for width in _WIDTHS for limit in _limits(np.dtype(f"i{width // 8}"))[:2]}
    return float(value) in limits or abs(value) in (65535.0, 4294967295.0)


def is_a_limit(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether an integer is at the limit of its type, within the two that netCDF's default fill values are off it.

    Bytes have no such values: all of theirs are in use.
    """
    return dtype.itemsize > 1 and int(value) in _limits(dtype)


def _limits(dtype: np.dtype[Any]) -> tuple[int, ...]:
    info = np.iinfo(dtype)
    low = (int(info.min), int(info.min) + 1, int(info.min) + 2) if info.min else ()
    return (*low, int(info.max), int(info.max) - 1)
