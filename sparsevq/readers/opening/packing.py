"""How stored values become physical ones: scale, offset, and the stored values that mean that there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.readers.opening.attributes import is_whole, numbers
from sparsevq.runtime.hdf5 import Array

SCALES = ("scalefactor", "scale", "slope", "gain")
OFFSETS = ("addoffset", "offset", "intercept")
ROUNDING = 1e-3
"""How far a number in unpacked units may be from a packed integer, in steps of the packing; and its relative error."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How stored values become physical ones: ``scale * stored + offset``, NaN where they are missing.

    Attributes
    ----------
    dtype
        Of the stored values, after ``_Unsigned``.
    missing
        Stored values that mean that there is none.
    kept
        Stored values that are data, whatever else is said of them.
    low, high
        Bounds of valid stored values; None: there is none.
    scale, offset
        None: not packed.
    """

    dtype: np.dtype[Any]
    missing: tuple[Any, ...] = ()
    kept: tuple[Any, ...] = ()
    low: Any = None
    high: Any = None
    scale: float | None = None
    offset: float = 0.0

    @property
    def does_nothing(self) -> bool:
        """Whether values are read as they are stored."""
        return self.scale is None and not self.masks

    @property
    def masks(self) -> bool:
        """Whether some values may be missing."""
        return bool(self.missing) or self.low is not None or self.high is not None

    @property
    def result(self) -> np.dtype[Any]:
        """Type of what is read: float64 if it was packed, and wide enough for the stored values and NaN otherwise."""
        if self.scale is not None:
            return np.dtype(np.float64)
        if self.dtype.kind == "f" or not self.masks:
            return self.dtype
        return np.dtype(np.float32 if self.dtype.itemsize <= 2 else np.float64)

    def decode(self, stored: Array) -> Array:
        """Physical values; `stored` may be changed if it owns its memory."""
        if stored.dtype.kind in "iu" and stored.dtype != self.dtype:
            stored = stored.astype(stored.dtype.newbyteorder("="), copy=False).view(self.dtype)
        absent = self._absent(stored)
        if self.scale is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                out = np.asarray(np.multiply(stored, self.scale, dtype=np.float64))
                out += self.offset
        else:
            out = stored.astype(self.result, copy=False)
        if absent is not None and absent.any():
            if not (out.flags.owndata and out.flags.writeable):
                out = out.copy()
            out[absent] = np.nan
        return out

    def _absent(self, stored: Array) -> npt.NDArray[np.bool_] | None:
        absent = None
        with np.errstate(invalid="ignore"):
            tests = [stored == value for value in self.missing[:1]]
            absent = np.asarray(tests[0]) if tests else None
            for value in self.missing[1:]:
                absent |= stored == value
            for bound, beyond in ((self.low, np.less), (self.high, np.greater)):
                if bound is not None:
                    outside = np.asarray(beyond(stored, bound))
                    absent = outside if absent is None else absent | outside
            for value in self.kept if absent is not None else ():
                absent &= stored != value
        return absent


def packing(known: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[float | None, float]:
    """Scale (None: not packed) and offset. Names other than those of CF count for integers, or where both are there."""
    scale_name = next((name for name in SCALES if name in known and len(numbers(known[name])) > 0), None)
    offset_name = next((name for name in OFFSETS if name in known and len(numbers(known[name])) > 0), None)
    if scale_name not in (None, SCALES[0]) and offset_name is None and dtype.kind == "f":
        scale_name = None
    if offset_name not in (None, OFFSETS[0]) and scale_name is None:
        offset_name = None
    scale = float(numbers(known[scale_name])[0]) if scale_name else 1.0
    offset = float(numbers(known[offset_name])[0]) if offset_name else 0.0
    return (None, 0.0) if (scale, offset) == (1.0, 0.0) else (scale, offset)


def stored_values(value: Any, rule: Rule, wraps: bool) -> list[Any]:
    """The stored values that a declared missing value stands for; it may be of another type, or in unpacked units."""
    if rule.dtype.kind == "f":
        with np.errstate(over="ignore"):  # -999.99 of either precision in data of the other
            single = np.float32(value)
            texts = [str(value), str(single)] if single == value else [str(value)]
            return [rule.dtype.type(value), *(rule.dtype.type(float(text)) for text in texts)]
    if not np.isfinite(value):
        return []
    info, found = np.iinfo(rule.dtype), []
    if isinstance(value, np.integer) and value.dtype.itemsize == rule.dtype.itemsize:
        return [np.array(value).view(rule.dtype)[()]]
    whole = float(value).is_integer()
    if whole and info.min <= int(value) <= info.max:
        found.append(rule.dtype.type(int(value)))
    elif whole and wraps and abs(int(value)) < 2 ** (8 * rule.dtype.itemsize):
        found.append(np.array(int(value) % 2 ** (8 * rule.dtype.itemsize)).astype(rule.dtype)[()])
    if rule.scale and value and not is_whole(value):
        packed = (float(value) - rule.offset) / rule.scale
        if info.min <= packed <= info.max and abs(packed - round(packed)) <= slack(packed):
            found.append(rule.dtype.type(round(packed)))
    return found


def slack(packed: float) -> float:
    """How far a number in unpacked units may be from the packed integer that it means, in steps of the packing."""
    return min(ROUNDING * max(1.0, ROUNDING * abs(packed)), 0.1)
