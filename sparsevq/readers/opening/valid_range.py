"""Valid ranges, in packed or in unpacked units, as bounds of stored values (netCDF users' guide; CF 2.5.1)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.readers.opening.attributes import by_plain_name, is_whole, numbers
from sparsevq.readers.opening.packing import Rule, slack
from sparsevq.readers.opening.stored import StoredArray
from sparsevq.runtime.hdf5 import Array

LOOKED_AT = 2**18
"""Values that are looked at where a valid range may be in either of two units."""

Bounds = tuple[Any, Any]


def bounds_in(known: Mapping[str, Any]) -> Bounds:
    """Least and largest valid value as declared; None: not declared."""
    both = numbers(known.get("validrange", ()))
    if len(both) == 2:
        return both[0], both[1]
    lows, highs = (numbers(known.get(name, ())) for name in ("validmin", "validmax"))
    return lows[0] if len(lows) == 1 else None, highs[0] if len(highs) == 1 else None


def unsigned_by_range(dtype: np.dtype[Any], bounds: Bounds) -> bool:
    """Bytes whose valid range is 0 ... 255 are unsigned (CF 2.2)."""
    low, high = bounds
    return dtype == np.int8 and low is not None and high is not None and low >= 0 and high > np.iinfo(np.int8).max


def is_unpacked(bounds: Bounds, rule: Rule) -> bool:
    """Whether bounds of packed integers are in unpacked units: if they are floats (netCDF users' guide)."""
    given = [bound for bound in bounds if bound is not None]
    return rule.scale is not None and rule.dtype.kind in "iu" and any(not is_whole(bound) for bound in given)


def stored_bounds(bounds: Bounds, rule: Rule, unpacked: bool) -> Bounds:
    """Bounds as stored values; those that exclude nothing are None."""
    low, high = bounds
    if rule.dtype.kind == "u":  # GOES: the bounds of unsigned values are in the signed type, as the values are
        low, high = (_wrapped(low, rule.dtype), _wrapped(high, rule.dtype))
    if unpacked and rule.scale:
        low, high = ((float(bound) - rule.offset) / rule.scale if bound is not None else None for bound in (low, high))
        low, high = (high, low) if rule.scale < 0 else (low, high)
        low = np.ceil(low - slack(low)) if low is not None and np.isfinite(low) else None
        high = np.floor(high + slack(high)) if high is not None and np.isfinite(high) else None
    if low is not None and high is not None and low > high:
        low, high = high, low
    return _within(low, rule.dtype, -1), _within(high, rule.dtype, 1)


def _wrapped(bound: Any, dtype: np.dtype[Any]) -> Any:
    """A negative integer as the unsigned one of the same bits."""
    return int(bound) % 2 ** (8 * dtype.itemsize) if bound is not None and is_whole(bound) and bound < 0 else bound


def _within(bound: Any, dtype: np.dtype[Any], side: int) -> Any:
    """A bound in the type of the stored values; None if all are within it."""
    if bound is None or not np.isfinite(bound):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(bound)
    info = np.iinfo(dtype)
    if (side < 0 and bound <= info.min) or (side > 0 and bound >= info.max):
        return None
    bound = int(bound) if is_whole(bound) else int(np.ceil(bound) if side < 0 else np.floor(bound))
    return dtype.type(bound) if info.min <= bound <= info.max else float(bound)


def doubtful(raw: StoredArray, rule: Rule) -> Bounds | None:
    """The declared bounds, if they may be in packed or in unpacked units."""
    bounds = bounds_in(by_plain_name(raw.attributes))
    return bounds if rule.scale is not None and (rule.low is not None or rule.high is not None) else None


def settled(raw: StoredArray, rule: Rule, bounds: Bounds) -> Rule:
    """The rule with its bounds in the units in which they leave values: many files give unpacked ones as integers."""
    stored = replace(rule, scale=None, low=None, high=None).decode(raw.read(_middle(raw.shape)))
    there = np.asarray(stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored)
    if not there.size or _valid(there, (rule.low, rule.high)).any():
        return rule
    other = stored_bounds(bounds, rule, not is_unpacked(bounds, rule))
    return replace(rule, low=other[0], high=other[1]) if _valid(there, other).mean() > 0.5 else rule


def _valid(stored: Array, bounds: Bounds) -> npt.NDArray[np.bool_]:
    low, high = (np.inf * side if bound is None else float(bound) for side, bound in zip((-1, 1), bounds, strict=True))
    with np.errstate(over="ignore"):
        return (stored >= low) & (stored <= high)


def _middle(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A part of at most `LOOKED_AT` values in the middle of an array."""
    left, part = LOOKED_AT, []
    for size in reversed(shape):
        most = max(1, min(size, left))
        start = (size - most) // 2
        part.append(slice(start, start + most))
        left //= most
    return tuple(reversed(part))
