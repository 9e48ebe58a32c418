"""Missing values and packing, by one rule for NetCDF, Zarr and HDF5: what attributes say is undone as arrays are read.

The rule is that of the CF conventions (2.5.1, 8.1) and of the netCDF users' guide (attribute conventions). Where files
break it in a known way, and are plain all the same, they are read as they are meant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.readers.attributes import by_plain_name, is_whole, numbers, text_of
from sparsevq.readers.stored import StoredArray, unusable
from sparsevq.runtime.hdf5 import Array

DEFAULT_FILL = {
    "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295, "i8": -9223372036854775806,
    "u8": 18446744073709551614, "f4": 9.969209968386869e36, "f8": 9.969209968386869e36,
}  # fmt: skip
"""What the netCDF library fills arrays with that declare no `_FillValue` (netcdf.h); bytes have no such value."""
MISSING = ("fillvalue", "missingvalue", "missingvalues", "codemissingvalue", "nodata", "nodatavalue", "badvalue")
SCALES = ("scalefactor", "scale", "slope", "gain")
OFFSETS = ("addoffset", "offset", "intercept")
LOOKED_AT = 2**18
"""Values that are looked at where a valid range may be in either of two units."""
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
    low, high
        Bounds of valid stored values; None: there is none.
    scale, offset
        None: not packed.
    """

    dtype: np.dtype[Any]
    missing: tuple[Any, ...] = ()
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
        return absent


def refusal(array: StoredArray) -> str:
    """Why an array cannot be read as numbers: what it is, a colon, what to do; empty if it can (or is text)."""
    if array.dtype.kind not in "fiubUST":
        return unusable(array.dtype)
    known = by_plain_name(array.attributes)
    if array.dtype.kind in "iu" and "log" in text_of(known.get("scaling", "")).lower():
        return "packed by a logarithm (attribute Scaling): store the unpacked values"
    for name in (SCALES[0], OFFSETS[0]):
        given = set(numbers(known.get(name, ())))
        if array.is_number and (len(given) > 1 or not np.isfinite(list(given)).all()):
            return f"packed with {len(given)} numbers {name}, not one finite number: store the unpacked values"
    return ""


def decoded(raw: StoredArray, also_missing: Sequence[Any] = (), netcdf: bool = False) -> StoredArray:
    """An array as its attributes mean it.

    Parameters
    ----------
    raw
        As it is stored.
    also_missing
        Stored values that are missing by what the format says beside the attributes.
    netcdf
        Arrays that declare no `_FillValue` have the default one of their type, as the netCDF library gives it. Of
        floats (9.97e36) this holds in every format: copies of netCDF files have them.
    """
    if not raw.is_number or raw.dtype.kind == "b":
        return raw
    rule = _rule(raw, also_missing, netcdf)
    if rule.does_nothing and rule.dtype == raw.dtype:
        return raw
    doubtful = _doubtful(raw, rule)

    @cache
    def settled() -> Rule:
        return _settled(raw, rule, doubtful) if doubtful is not None else rule

    def read(part: tuple[slice, ...]) -> Array:
        return settled().decode(raw.read(part))

    return replace(raw, dtype=rule.result, read=read)


# ------------------------------------------------------------------------------------------------ what attributes say


def _rule(raw: StoredArray, also_missing: Sequence[Any], netcdf: bool) -> Rule:
    known = by_plain_name(raw.attributes)
    unsigned = text_of(known.get("unsigned", "")).lower()
    dtype = raw.dtype.newbyteorder("=")
    bounds = _bounds(known)
    if dtype.kind in "iu" and (unsigned in ("true", "1") or _unsigned_by_range(dtype, bounds)):
        dtype = np.dtype(f"u{dtype.itemsize}")
    elif dtype.kind == "u" and unsigned == "false":
        dtype = np.dtype(f"i{dtype.itemsize}")
    scale, offset = _packing(known, dtype)
    declared = [value for name in MISSING if name in known for value in numbers(known[name])]
    rule = Rule(dtype=dtype, scale=scale, offset=offset)
    missing = [stored for value in (*declared, *also_missing) for stored in _stored(value, rule, bool(unsigned))]
    default = DEFAULT_FILL.get(dtype.str[1:])
    if default is not None and not numbers(known.get("fillvalue", ())) and (netcdf or dtype.kind == "f"):
        missing.append(dtype.type(default))
    unique = tuple(dict.fromkeys(value for value in missing if not np.isnan(value)))
    low, high = (
        (None, None) if raw.dimensions == (raw.name,) else _stored_bounds(bounds, rule, _is_unpacked(bounds, rule))
    )
    return replace(rule, missing=unique, low=low, high=high)


def _packing(known: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[float | None, float]:
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


def _stored(value: Any, rule: Rule, wraps: bool) -> list[Any]:
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
        if info.min <= round(packed) <= info.max and abs(packed - round(packed)) <= _slack(packed):
            found.append(rule.dtype.type(round(packed)))
    return found


def _slack(packed: float) -> float:
    return min(ROUNDING * max(1.0, ROUNDING * abs(packed)), 0.1)


# ------------------------------------------------------------------------------------------------ valid ranges

Bounds = tuple[Any, Any]


def _bounds(known: Mapping[str, Any]) -> Bounds:
    """Least and largest valid value as declared; None: not declared."""
    both = numbers(known.get("validrange", ()))
    if len(both) == 2:
        return both[0], both[1]
    lows, highs = (numbers(known.get(name, ())) for name in ("validmin", "validmax"))
    return lows[0] if len(lows) == 1 else None, highs[0] if len(highs) == 1 else None


def _unsigned_by_range(dtype: np.dtype[Any], bounds: Bounds) -> bool:
    """Bytes whose valid range is 0 ... 255 are unsigned (CF 2.2)."""
    low, high = bounds
    return dtype == np.int8 and low is not None and high is not None and low >= 0 and high > np.iinfo(np.int8).max


def _is_unpacked(bounds: Bounds, rule: Rule) -> bool:
    """Whether bounds of packed integers are in unpacked units: if they are floats (netCDF users' guide)."""
    given = [bound for bound in bounds if bound is not None]
    return rule.scale is not None and rule.dtype.kind in "iu" and any(not is_whole(bound) for bound in given)


def _stored_bounds(bounds: Bounds, rule: Rule, unpacked: bool) -> Bounds:
    """Bounds as stored values; those that exclude nothing are None."""
    low, high = bounds
    if rule.dtype.kind == "u":  # GOES: the bounds of unsigned values are in the signed type, as the values are
        low, high = (_wrapped(low, rule.dtype), _wrapped(high, rule.dtype))
    if unpacked and rule.scale:
        low, high = ((float(bound) - rule.offset) / rule.scale if bound is not None else None for bound in (low, high))
        low, high = (high, low) if rule.scale < 0 else (low, high)
        low = np.ceil(low - _slack(low)) if low is not None and np.isfinite(low) else None
        high = np.floor(high + _slack(high)) if high is not None and np.isfinite(high) else None
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
        return dtype.type(bound)
    info = np.iinfo(dtype)
    if (side < 0 and bound <= info.min) or (side > 0 and bound >= info.max):
        return None
    bound = np.ceil(bound) if side < 0 else np.floor(bound)
    return dtype.type(bound) if info.min <= bound <= info.max else float(bound)


def _doubtful(raw: StoredArray, rule: Rule) -> Bounds | None:
    """The declared bounds, if they may be in packed or in unpacked units."""
    bounds = _bounds(by_plain_name(raw.attributes))
    return bounds if rule.scale is not None and (rule.low is not None or rule.high is not None) else None


def _settled(raw: StoredArray, rule: Rule, bounds: Bounds) -> Rule:
    """The rule with its bounds in the units in which they leave values: many files give unpacked ones as integers."""
    stored = replace(rule, scale=None, low=None, high=None).decode(raw.read(_middle(raw.shape)))
    there = np.asarray(stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored)
    if not there.size or _valid(there, (rule.low, rule.high)).any():
        return rule
    other = _stored_bounds(bounds, rule, not _is_unpacked(bounds, rule))
    return replace(rule, low=other[0], high=other[1]) if _valid(there, other).mean() > 0.5 else rule


def _valid(stored: Array, bounds: Bounds) -> npt.NDArray[np.bool_]:
    low, high = (np.inf * side if bound is None else float(bound) for side, bound in zip((-1, 1), bounds, strict=True))
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
