"""Arrays with no more digits than are needed, in few bytes: whole numbers times a step, deflated.

A whole number n is stored as 2 n, or as -2 n - 1 where it is negative, so that small ones have small bytes whatever
their sign; the bytes of equal significance of all numbers come one after the other (as HDF5's shuffle filter has them).
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError

Array = npt.NDArray[Any]

PLANES = 4
"""Bytes of a number."""
LARGEST = 2**30
"""Whole numbers are smaller than this."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """Whole `numbers` (int32) times `steps` (float32), which broadcast to them; the values are of `dtype`."""

    numbers: npt.NDArray[np.int32]
    steps: npt.NDArray[np.float32]
    dtype: str

    @property
    def values(self) -> Array:
        """What is meant."""
        if np.dtype(self.dtype).kind in "iub":
            return self.numbers.astype(self.dtype)
        return (self.numbers * self.steps).astype(self.dtype)


def rounded(values: Array, steps: Array | float) -> Rounded:
    """Values, each rounded to the nearest multiple of its step; whole numbers and booleans are kept as they are.

    Raises
    ------
    ValueError
        A value is not finite, or 2^30 steps or more from 0; a step is not positive.
    """
    steps = np.asarray(1.0 if values.dtype.kind in "iub" else steps, np.float32)
    if not (steps > 0).all():
        raise ValueError("steps must be positive")
    whole = np.rint(values / steps.astype(np.float64))
    if not (np.abs(whole) < LARGEST).all():
        raise ValueError(f"values are not finite, or {LARGEST} steps or more from 0")
    return Rounded(whole.astype(np.int32), steps, values.dtype.name)


def encoded(numbers: npt.NDArray[np.int32]) -> bytes:
    """Whole numbers in few bytes: the sizes of the four planes of bytes, the lowest first, and these, deflated."""
    unsigned = ((numbers << 1) ^ (numbers >> 31)).astype("<u4").ravel()
    planes = [_deflated(plane.tobytes()) for plane in unsigned.view(np.uint8).reshape(-1, PLANES).T]
    return np.array([len(plane) for plane in planes], "<u4").tobytes() + b"".join(planes)


def decoded(stored: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Whole numbers of what `encoded` gave.

    Raises
    ------
    SparseVQError
        It is damaged, or of another shape.
    """
    count = int(np.prod(shape, dtype=np.int64))
    found = np.empty((count, PLANES), np.uint8)
    at = 4 * PLANES
    for plane, size in enumerate(np.frombuffer(stored[:at], "<u4").tolist()):
        try:
            values = zlib.decompress(stored[at : at + size])
        except zlib.error as error:
            raise SparseVQError(f"rounded numbers cannot be read ({error})", "copy the file again") from None
        if len(values) != count:
            raise SparseVQError(f"there are {len(values)} rounded numbers, not {count}", "copy the file again")
        found[:, plane] = np.frombuffer(values, np.uint8)
        at += size
    unsigned = found.view("<u4").ravel()
    numbers = (unsigned >> 1).astype(np.int32) ^ -(unsigned & 1).astype(np.int32)
    return numbers.reshape(shape)


def _deflated(plane: bytes) -> bytes:
    """By whichever strategy gives less: repeats that are found by chance cost more than they save."""
    found = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        deflate = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
        found.append(deflate.compress(plane) + deflate.flush())
    return min(found, key=len)
