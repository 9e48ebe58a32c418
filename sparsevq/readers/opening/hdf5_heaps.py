"""Whether the heaps of an HDF5 file, which hold its texts, can be walked: the library never ends on damaged ones.

References
----------
HDF5 File Format Specification, version 3.0: III.E, global heap.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

SIGNATURE = b"GCOL\x01\x00\x00\x00"
HEADER = 16
"""Bytes of the header of a heap, and of each object in it, where lengths have eight bytes."""
REACH = 2**24
"""Bytes at either end of a file in which heaps are looked for: attributes are written with the arrays' descriptions."""


def check_heaps(path: Path) -> None:
    """Check that the objects of each global heap fill it.

    Raises
    ------
    ValueError
        They do not.
    """
    if path.stat().st_size < HEADER:
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for at in _heaps(content):
            (size,) = struct.unpack_from("<Q", content, at + 8)
            end = at + size
            if end <= len(content) and not _is_filled(content, at + HEADER, end):
                raise ValueError(f"the heap of texts at byte {at} is damaged")


def _heaps(content: mmap.mmap) -> Iterator[int]:
    """Where heaps begin, near either end of the file."""
    size = len(content)
    for begin, end in ((0, min(REACH, size)), (max(REACH, size - REACH), size)):
        at = content.find(SIGNATURE, begin, end)
        while 0 <= at <= size - HEADER:
            yield at
            at = content.find(SIGNATURE, at + 1, end)


def _is_filled(content: mmap.mmap, at: int, end: int) -> bool:
    """Whether objects follow each other up to the end; the one of number 0 is free space, its header included."""
    while end - at >= HEADER:
        number, size = struct.unpack_from("<H6xQ", content, at)
        needed = size if number == 0 else HEADER + size + -size % 8
        if needed < HEADER or at + needed > end:
            return False
        at += needed
    return True
