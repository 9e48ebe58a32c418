"""Files of the project as a test changes them on purpose: sealed anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from sparsevq.runtime.integrity import seal


@contextmanager
def edited(path: Path) -> Iterator[h5py.File]:
    """A file that is open for changes, and sealed when they are done."""
    with h5py.File(path, "r+") as file:
        yield file
    seal(path)
