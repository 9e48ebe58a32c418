"""One entry of a dimension, as the user's `select` names it."""

from collections.abc import Mapping

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.dimensions.meaning import base_of, coordinate_of, shown
from sparsevq.readers.opening.stored import Contents, StoredArray

PRECISION = 1e-5
"""Relative tolerance for coordinates: those of single precision are written by people in few digits."""
MOST_SHOWN = 12


def selection_of(select: Mapping[str, float | str], name: str, stored: str) -> str | None:
    """The key of `select` that names a dimension, by the file's name or the user's."""
    return next((key for key in select if key in (name, stored, base_of(stored))), None)


def entry_of(contents: Contents, array: StoredArray, axis: int, name: str, wanted: float | str) -> int:
    """The entry of a dimension with the coordinate `wanted`; without coordinates the entry of that number, from 0.

    Raises
    ------
    SparseVQError
        There is none.
    """
    size, stored = array.shape[axis], array.dimensions[axis] if array.dimensions else ""
    coordinate = coordinate_of(contents, stored) if stored else _without_dimensions(contents, name, size)
    word = f"select: {base_of(stored) or name}: {shown(wanted)}"
    if coordinate is None:
        if isinstance(wanted, str) or wanted != int(wanted) or not 0 <= wanted < size:
            raise SparseVQError(
                f"{contents.path}: {word} is no entry of {array.name}, which has {size} along it, without coordinates",
                f"give a number from 0 to {size - 1}",
            )
        return int(wanted)
    values = np.asarray(coordinate.read(tuple(slice(0, each) for each in coordinate.shape))).ravel()
    if coordinate.is_number and not isinstance(wanted, str):
        apart = np.abs(values.astype(np.float64) - wanted)
        found = np.flatnonzero(apart <= PRECISION * max(abs(wanted), 1e-30))
    else:
        found = np.flatnonzero([_same_text(shown(value), shown(wanted)) for value in values])
    if len(found) != 1:
        there = ", ".join(map(shown, values[:MOST_SHOWN])) + (", ..." if size > MOST_SHOWN else "")
        raise SparseVQError(
            f"{contents.path}: {word} is {'no' if not len(found) else 'more than one'} entry of {coordinate.name}",
            f"there are {there}",
        )
    return int(found[0])


def _without_dimensions(contents: Contents, name: str, size: int) -> StoredArray | None:
    """The array of a dimension's name, in formats whose dimensions have none."""
    array = contents.arrays.get(name)
    return array if array is not None and array.shape in ((size,), (1, size), (size, 1)) else None


def _same_text(one: str, other: str) -> bool:
    """Whether two texts are the same, or the same number (0001 and 1)."""
    one, other = one.strip(), other.strip()
    return one == other or (one.isdigit() and other.isdigit() and int(one) == int(other))
