"""Structs and cells of MATLAB as arrays with names: ``flow/u``, and matrices of one size stacked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sparsevq.readers.opening.stored import StoredArray
from sparsevq.readers.opening.views import selected, stacked

MOST_ITEMS = 10**5
"""Matrices in a cell, or in cells of cells."""
LARGEST_SHARED = 2**22
"""Bytes of a matrix in a cell up to which it is compared with the others."""
COORDINATES = ("x", "y", "z", "t", "time", "lat", "lon", "xx", "yy", "zz")
"""Names (in small letters) of what a cell may repeat for each of its frames."""


@dataclass(frozen=True, eq=False)
class Node:
    """A value in a .mat file: a matrix, a struct of one element, a cell, or what cannot be read.

    Attributes
    ----------
    array
        The matrix.
    fields
        Of the struct.
    items, sizes
        Of the cell (or of the field of a struct array), in the order of its indices, the last fastest.
    what
        Why it cannot be read, or what it is.
    """

    what: str
    array: StoredArray | None = None
    fields: Mapping[str, "Node"] | None = None
    items: Sequence["Node"] | None = None
    sizes: tuple[int, ...] = field(default=())


def arrays_in(nodes: Mapping[str, Node]) -> tuple[dict[str, StoredArray], dict[str, str]]:
    """All arrays, by their path, and what cannot be read: path -> what it is."""
    arrays: dict[str, StoredArray] = {}
    unreadable: dict[str, str] = {}
    for name, node in nodes.items():
        _gather(name, [node], (), arrays, unreadable)
    return arrays, unreadable


def _gather(
    name: str,
    nodes: Sequence[Node],
    sizes: tuple[int, ...],
    arrays: dict[str, StoredArray],
    unreadable: dict[str, str],
) -> None:
    """The arrays in equal places of several elements, of which there are `sizes`."""
    found = [node.array for node in nodes if node.array is not None]
    structs = [node.fields for node in nodes if node.fields is not None]
    cells = [node for node in nodes if node.items is not None]
    if nodes and len(found) == len(nodes):
        shapes = sorted({array.shape for array in found})
        if len(shapes) > 1:
            some = ", ".join(" x ".join(map(str, shape)) for shape in shapes[:3])
            unreadable[name] = f"a MATLAB cell or struct array of matrices of several sizes ({some})"
        else:
            arrays[name] = _as_one(name, found, sizes)
    elif nodes and len(structs) == len(nodes):
        for key in structs[0]:
            inner = [fields[key] for fields in structs if key in fields]
            if len(inner) == len(structs):
                _gather(f"{name}/{key}", inner, sizes, arrays, unreadable)
    elif nodes and len(cells) == len(nodes) and len({cell.sizes for cell in cells}) == 1:
        count = sum(len(cell.items or ()) for cell in cells)
        if count > MOST_ITEMS:
            unreadable[name] = f"a MATLAB cell of {count} values, more than {MOST_ITEMS}"
            return
        items = [item for cell in cells for item in cell.items or ()]
        _gather(name, items, (*sizes, *(size for size in cells[0].sizes if size > 1)), arrays, unreadable)
    else:
        kinds = _different(node.what for node in nodes)
        unreadable[name] = kinds[0] if len(kinds) == 1 else f"a MATLAB cell of several kinds ({', '.join(kinds[:3])})"


def _as_one(name: str, found: Sequence[StoredArray], sizes: tuple[int, ...]) -> StoredArray:
    """Matrices of one size stacked; coordinates that are the same for all, once."""
    first = found[0]
    if len(found) == 1 and not sizes:
        return replace(first, name=name)
    if name.rsplit("/", 1)[-1].lower() in COORDINATES and first.nbytes <= LARGEST_SHARED:
        everything = tuple(slice(0, size) for size in first.shape)
        values = [np.asarray(array.read(everything)) for array in found]
        if all(np.array_equal(values[0], other) for other in values[1:]):
            return replace(first, name=name)
    if set(first.shape) == {1}:  # a number in each
        found = [_number(array) for array in found]
    return stacked(found, name, sizes=sizes)


def _number(array: StoredArray) -> StoredArray:
    while array.shape:
        array = selected(array, 0, 0)
    return array


def _different(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
