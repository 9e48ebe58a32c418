"""Views of arrays in a file: one entry of a dimension, several arrays as one, several dimensions as one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TypeVar

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.stored import ReadSlices, StoredArray
from sparsevq.runtime.hdf5 import Array

Part = tuple[slice, ...]
T = TypeVar("T")


def selected(array: StoredArray, axis: int, entry: int) -> StoredArray:
    """One entry of a dimension, which is then gone."""

    def read(part: Part) -> Array:
        return array.read((*part[:axis], slice(entry, entry + 1), *part[axis:])).squeeze(axis)

    return _less(array, axis, read)


def marked(array: StoredArray, missing: Sequence[float]) -> StoredArray:
    """The array with NaN for each of the values `missing`."""

    def read(part: Part) -> Array:
        values = array.read(part).astype(np.float32)  # in which users see them
        absent = np.zeros(values.shape, dtype=bool)
        for value in missing:
            absent |= values == np.float32(value)
        values[absent] = np.nan
        return values

    return replace(array, dtype=np.dtype(np.float32), read=read) if missing else array


def merged(array: StoredArray, axis: int, fault: Callable[[], SparseVQError]) -> StoredArray:
    """The value of the only entry of a dimension that has one, at each point; the dimension is then gone.

    Parameters
    ----------
    array
        NaN where there is no value.
    axis
        The dimension.
    fault
        The error to raise while reading, where two entries have different values.
    """

    def read(part: Part) -> Array:
        values = array.read((*part[:axis], slice(0, array.shape[axis]), *part[axis:]))
        entries = np.moveaxis(values, axis, 0)
        out = entries[0]
        for entry in entries[1:]:
            if (np.isfinite(out) & np.isfinite(entry) & (out != entry)).any():
                raise fault()
            out = np.where(np.isnan(out), entry, out)
        return out

    return _less(array, axis, read)


def flattened(array: StoredArray, axes: Sequence[int]) -> StoredArray:
    """Several dimensions as one that comes first; the last of them runs fastest.

    Its name is that of the first of them.
    """
    sizes = tuple(array.shape[axis] for axis in axes)
    others = [axis for axis in range(len(array.shape)) if axis not in axes]
    order = [*axes, *others]

    def read(part: Part) -> Array:
        pieces = []
        for row in range(part[0].start, part[0].stop):
            where = dict(zip(axes, np.unravel_index(row, sizes), strict=True))
            wanted: list[slice] = [slice(0, 0)] * len(array.shape)
            for axis, at in where.items():
                wanted[axis] = slice(int(at), int(at) + 1)
            for axis, along in zip(others, part[1:], strict=True):
                wanted[axis] = along
            values = array.read(tuple(wanted)).transpose(order)
            pieces.append(values.reshape(1, *values.shape[len(axes) :]))
        if pieces:
            return np.concatenate(pieces)
        return np.empty((0, *(along.stop - along.start for along in part[1:])), array.dtype)

    return replace(
        array,
        shape=(prod(sizes), *(array.shape[axis] for axis in others)),
        dimensions=tuple(array.dimensions[axis] for axis in (axes[0], *others)) if array.dimensions else (),
        chunks=array.chunks and (_together(array.chunks, array.shape, axes), *(array.chunks[axis] for axis in others)),
        read=read,
    )


def stacked(arrays: Sequence[StoredArray], name: str, lead: str = "", sizes: Sequence[int] = ()) -> StoredArray:
    """Arrays of one shape as one, whose first dimension runs over them.

    Parameters
    ----------
    arrays
        In order.
    name
        Of the whole.
    lead
        The name of the new dimension, where the arrays' dimensions have names.
    sizes
        Sizes of several new dimensions, the last fastest; empty: one.
    """
    first = arrays[0]
    sizes = tuple(sizes) or (len(arrays),)

    def read(part: Part) -> Array:
        numbers = np.arange(len(arrays)).reshape(sizes)[part[: len(sizes)]]
        inner = part[len(sizes) :]
        if not numbers.size:
            return np.empty((*numbers.shape, *(along.stop - along.start for along in inner)), first.dtype)
        values = np.stack([np.asarray(arrays[number].read(inner)) for number in numbers.ravel().tolist()])
        return values.reshape(*numbers.shape, *values.shape[1:])

    return replace(
        first,
        name=name,
        dtype=np.result_type(*{array.dtype for array in arrays}),
        shape=(*sizes, *first.shape),
        dimensions=(lead, *first.dimensions) if lead and (first.dimensions or not first.shape) else (),
        chunks=first.chunks and (*(1 for _ in sizes), *first.chunks),
        read=read,
    )


def _less(array: StoredArray, axis: int, read: ReadSlices) -> StoredArray:
    """The array without a dimension, as `read` gives it."""
    return replace(
        array,
        shape=_without(array.shape, axis),
        dimensions=_without(array.dimensions, axis),
        chunks=array.chunks and _without(array.chunks, axis),
        read=read,
    )


def _without(items: tuple[T, ...], axis: int) -> tuple[T, ...]:
    return items[:axis] + items[axis + 1 :]


def _together(chunks: tuple[int, ...], shape: tuple[int, ...], axes: Sequence[int]) -> int:
    """How many consecutive entries of flattened dimensions lie in one chunk."""
    count = 1
    for axis in reversed(axes):
        count *= min(chunks[axis], shape[axis])
        if chunks[axis] < shape[axis]:
            break
    else:
        return count
    outer = axes[: list(axes).index(axis)]
    return count if all(chunks[other] == 1 for other in outer) and shape[axis] % chunks[axis] == 0 else 1
