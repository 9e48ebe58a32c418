"""Missing values and packing, by one rule for NetCDF, Zarr and HDF5: what attributes say is undone as arrays are read.

The rule is that of the CF conventions (2.5.1, 8.1) and of the netCDF users' guide (attribute conventions). Where files
break it in a known way, and are plain all the same, they are read as they are meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from sparsevq.readers.opening.attributes import by_plain_name, numbers, text_of
from sparsevq.readers.opening.packing import OFFSETS, SCALES, Rule, packing, stored_values
from sparsevq.readers.opening.stored import StoredArray, unusable
from sparsevq.readers.opening.valid_range import (
    bounds_in,
    doubtful,
    is_unpacked,
    settled,
    stored_bounds,
    unsigned_by_range,
)
from sparsevq.runtime.hdf5 import Array

DEFAULT_FILL = {
    "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295, "i8": -9223372036854775806,
    "u8": 18446744073709551614, "f4": 9.969209968386869e36, "f8": 9.969209968386869e36,
}  # fmt: skip
"""What the netCDF library fills arrays with that declare no `_FillValue` (netcdf.h); bytes have no such value."""
MISSING = ("fillvalue", "missingvalue", "missingvalues", "codemissingvalue", "nodata", "nodatavalue", "badvalue")


def refusal(array: StoredArray) -> str:
    """Why an array cannot be read as numbers: what it is, a colon, what to do; empty if it can (or is text, dates)."""
    if array.dtype.kind not in "fiubUSTmM":
        return unusable(array.dtype)
    known = by_plain_name(array.attributes)
    if array.dtype.kind in "iu" and "log" in text_of(known.get("scaling", "")).lower():
        return "packed by a logarithm (attribute Scaling): store the unpacked values"
    for name in (SCALES[0], OFFSETS[0]):
        count = len(set(numbers(known.get(name, ()))))
        if array.is_number and count > 1:
            return f"packed with {count} numbers {name}, not one: store the unpacked values"
    scale, offset = packing(known, array.dtype) if array.is_number else (None, 0.0)
    if not np.isfinite([scale or 1.0, offset]).all():
        return f"packed with the scale {scale} and the offset {offset}: store the unpacked values"
    return ""


def decoded(
    raw: StoredArray, also_missing: Sequence[Any] = (), netcdf: bool = False, kept: Sequence[float] = ()
) -> StoredArray:
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
    kept
        Values, as they are read or as they are stored, that are data whatever the file says.
    """
    if not raw.is_number or raw.dtype.kind == "b":
        return raw
    rule = _rule(raw, also_missing, netcdf, kept)
    if rule.does_nothing and rule.dtype == raw.dtype:
        return raw

    @cache
    def final() -> Rule:
        bounds = doubtful(raw, rule)
        return rule if bounds is None else settled(raw, rule, bounds)

    def read(part: tuple[slice, ...]) -> Array:
        return final().decode(raw.read(part))

    return replace(
        raw,
        dtype=rule.result,
        read=read,
        notes=(*raw.notes, *_notes(raw, rule)),
        keeping=lambda values: decoded(raw, also_missing, netcdf, values),
    )


def of_the_file(array: StoredArray, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Missing values that the attributes of the whole file declare, for an array that declares none of its own."""
    own, known = by_plain_name(array.attributes), by_plain_name(attributes)
    if any(numbers(own[name]) for name in MISSING if name in own):
        return ()
    return tuple(value for name in MISSING if name in known for value in numbers(known[name]) if value != 0)


# ------------------------------------------------------------------------------------------------ what attributes say


def _rule(raw: StoredArray, also_missing: Sequence[Any], netcdf: bool, kept: Sequence[float]) -> Rule:
    known = by_plain_name(raw.attributes)
    unsigned = text_of(known.get("unsigned", "")).lower()
    dtype = raw.dtype.newbyteorder("=")
    bounds = bounds_in(known)
    if dtype.kind in "iu" and (unsigned in ("true", "1") or unsigned_by_range(dtype, bounds)):
        dtype = np.dtype(f"u{dtype.itemsize}")
    elif dtype.kind == "u" and unsigned == "false":
        dtype = np.dtype(f"i{dtype.itemsize}")
    scale, offset = packing(known, dtype)
    declared = [value for name in MISSING if name in known for value in numbers(known[name])]
    rule = Rule(dtype=dtype, scale=scale, offset=offset)
    missing = [stored for value in (*declared, *also_missing) for stored in stored_values(value, rule, bool(unsigned))]
    default = DEFAULT_FILL.get(dtype.str[1:])
    if default is not None and not numbers(known.get("fillvalue", ())) and (netcdf or dtype.kind == "f"):
        missing.append(dtype.type(default))
    unique = tuple(dict.fromkeys(value for value in missing if not np.isnan(value)))
    low, high = (
        (None, None) if raw.dimensions == (raw.name,) else stored_bounds(bounds, rule, is_unpacked(bounds, rule))
    )
    stay = tuple(stored for value in kept for stored in _stored_kept(float(value), rule))
    return replace(rule, missing=unique, low=low, high=high, kept=stay)


def _stored_kept(value: float, rule: Rule) -> list[Any]:
    """The stored values that are `value` as they are read, or as they are stored."""
    found = stored_values(value, rule, False)
    if rule.scale and rule.dtype.kind in "iu":
        packed, info = (value - rule.offset) / rule.scale, np.iinfo(rule.dtype)
        found += [rule.dtype.type(round(packed))] if info.min <= packed <= info.max else []
    return found


def _notes(raw: StoredArray, rule: Rule) -> Iterator[str]:
    """What is not plain to a user who looks at the values."""
    low, high = bounds_in(by_plain_name(raw.attributes))
    if rule.low is not None or rule.high is not None:
        ends = " ".join(f"{word} {bound:g}" for word, bound in (("from", low), ("to", high)) if bound is not None)
        yield f"{raw.name}: values outside the valid range that the file gives ({ends}) count as missing"
