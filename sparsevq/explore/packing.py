"""Fields as short text that JavaScript reads: whole levels, their differences, deflated, in base64."""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Packed = dict[str, Any]

MOST, FEWEST = 4094, 254
"""Levels of a field: as many as its differences to others need."""


def packed(values: Array, finest: float = np.inf) -> Packed:
    """Pack ``(L, N)`` numbers, evenly quantised between the least and the largest; the error is half a step.

    A step is `finest` or less, within the limits of `FEWEST` and `MOST` levels.

    Level 0 is NaN; level ``k`` is ``low + (k - 1) * step``. Of the levels the differences along both axes are stored
    (modulo 2^8 or 2^16; neighbours are alike), low bytes before high bytes, deflated (RFC 1950), in base64.
    `template/packed.js` undoes it.
    """
    values = np.asarray(values, dtype=np.float64)
    there = np.isfinite(values)
    low, high = (float(values[there].min()), float(values[there].max())) if there.any() else (0.0, 0.0)
    levels = int(np.clip(np.ceil((high - low) / finest), FEWEST, MOST))
    step = (high - low) / (levels - 1)
    whole = np.zeros(values.shape, dtype=np.uint16 if levels > FEWEST else np.uint8)
    whole[there] = np.rint((values[there] - low) / (step or 1.0)).astype(whole.dtype) + 1
    zero = whole.dtype.type(0)
    differences = np.diff(np.diff(whole, axis=0, prepend=zero), axis=1, prepend=zero)
    rows = np.ascontiguousarray(differences.astype(differences.dtype.newbyteorder("<"))).view(np.uint8)
    by_byte = np.ascontiguousarray(rows.reshape(-1, whole.itemsize).T)
    text = base64.b64encode(zlib.compress(by_byte.tobytes(), 6)).decode("ascii")
    return {"shape": list(values.shape), "bytes": whole.itemsize, "low": low, "step": step, "data": text}


def unpacked(found: Packed) -> Array:
    """``(L, N)`` float64: what the page reads of it."""
    kind = np.dtype(f"<u{found['bytes']}")
    by_byte = np.frombuffer(zlib.decompress(base64.b64decode(found["data"])), dtype=np.uint8)
    rows = np.ascontiguousarray(by_byte.reshape(kind.itemsize, -1).T).view(kind).reshape(found["shape"])
    whole = np.cumsum(np.cumsum(rows, axis=1, dtype=kind), axis=0, dtype=kind)
    return np.where(whole == 0, np.nan, found["low"] + (whole.astype(np.float64) - 1) * found["step"])


def size(found: Any) -> int:
    """Bytes of everything that is packed in nested lists and dictionaries."""
    if isinstance(found, dict):
        return len(found["data"]) if "data" in found else sum(map(size, found.values()))
    return sum(map(size, found)) if isinstance(found, list | tuple) else 0


def rounded(values: Array, digits: int = 6) -> Any:
    """Nested lists of numbers with so many significant digits; None for what is not finite."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim:
        return [rounded(part, digits) for part in values]
    return float(f"{values:.{digits}g}") if np.isfinite(values) else None
