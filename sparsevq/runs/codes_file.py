"""The file of the index dump, ``codes.h5``, for those who read parts of it, without torch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py

from sparsevq.runtime.hdf5 import Array, open_layout, read_dataset

SCHEMA = "sparsevq-codes"
VERSION = 2
READABLE = (1, VERSION)
"""In version 1 the codebook has no dimension for positions."""


@contextlib.contextmanager
def open_codes(path: str | Path) -> Iterator[h5py.File]:
    """Open `codes.h5` of any version that can be read; raises as `open_layout`."""
    with open_layout(path, SCHEMA, READABLE) as file:
        yield file


def codebook_in(file: h5py.File) -> Array:
    """The codebook (P', Q, K, D) of an open dump.

    Raises
    ------
    SparseVQError
        It is missing or has another shape.
    """
    if file.attrs["schema_version"] == 1:
        return read_dataset(file, "codebook", (None,) * 3)[None]
    return read_dataset(file, "codebook", (None,) * 4)
