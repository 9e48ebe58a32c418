"""Whether a classic NetCDF file is whole: the library reads what is cut off as zeros, without a word.

References
----------
The NetCDF Classic Format Specification (versions CDF-1, CDF-2 and CDF-5), Unidata.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from sparsevq.errors import SparseVQError

VERSIONS = {b"CDF\x01": (4, 4), b"CDF\x02": (4, 8), b"CDF\x05": (8, 8)}
"""First bytes -> bytes of a count, and of an offset."""
TYPE_SIZES = (1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8)
"""Of byte, char, short, int, float, double, ubyte, ushort, uint, int64 and uint64: types 1 to 11."""
Read = TypeVar("Read")
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12
STREAMING = 2**32 - 1
LONGEST = 2**20
"""Elements of a list in the header, or bytes of a name."""


def check_whole(path: Path) -> None:
    """Check that a classic NetCDF file is as long as its header says; files of other formats pass.

    Raises
    ------
    SparseVQError
        It is shorter.
    ValueError
        Its header is damaged.
    """
    with open(path, "rb") as file:
        sizes = VERSIONS.get(file.read(4))
        if sizes is None:
            return
        claimed = _Header(file, *sizes).end()
    there = path.stat().st_size
    if there < claimed:
        raise SparseVQError(f"{path} is truncated (it has {there} of {claimed} bytes)", "make or copy it again")


class _Header:
    def __init__(self, file: IO[bytes], count_bytes: int, offset_bytes: int):
        self.file, self.count_bytes, self.offset_bytes = file, count_bytes, offset_bytes

    def end(self) -> int:
        """Where the last value of the file ends."""
        records = self._number(self.count_bytes)
        lengths = [self._named(lambda: self._number(self.count_bytes)) for _ in range(self._list(DIMENSIONS))]
        self._attributes()
        variables = [self._named(lambda: self._variable(lengths)) for _ in range(self._list(VARIABLES))]
        ends = [begin + size for begin, size, recorded in variables if not recorded]
        recorded = [(begin, size) for begin, size, in_records in variables if in_records]
        if recorded and 0 < records != STREAMING:
            stride = sum(_padded(size) for _, size in recorded) if len(recorded) > 1 else recorded[0][1]
            ends += [begin + (records - 1) * stride + size for begin, size in recorded]
        return max(ends, default=0)

    def _variable(self, lengths: list[int]) -> tuple[int, int, bool]:
        """Where a variable begins, its bytes (of one record), and whether it is in records."""
        dimensions = [self._number(self.count_bytes) for _ in range(self._count())]
        self._attributes()
        size = TYPE_SIZES[self._type()]
        self._number(self.count_bytes)  # its bytes, which may not fit
        begin = self._number(self.offset_bytes)
        if any(number >= len(lengths) for number in dimensions):
            raise ValueError("a variable has a dimension that is not there")
        own = [lengths[number] for number in dimensions]
        recorded = bool(own) and own[0] == 0
        return begin, size * math.prod(own[1:] if recorded else own), recorded

    def _attributes(self) -> None:
        for _ in range(self._list(ATTRIBUTES)):
            self._named(self._values)

    def _values(self) -> None:
        size = TYPE_SIZES[self._type()]
        self.file.seek(_padded(size * self._number(self.count_bytes)), 1)

    def _named(self, read: Callable[[], Read]) -> Read:
        """A name, which is skipped, and what follows it."""
        self.file.seek(_padded(self._count()), 1)
        return read()

    def _list(self, tag: int) -> int:
        found, count = self._number(4), self._count()
        if found not in (0, tag) or (found == 0 and count):
            raise ValueError("its header is damaged")
        return count

    def _count(self) -> int:
        count = self._number(self.count_bytes)
        if count > LONGEST:
            raise ValueError("its header is damaged")
        return count

    def _type(self) -> int:
        kind = self._number(4)
        if not 1 <= kind <= len(TYPE_SIZES):
            raise ValueError(f"its header names a type {kind}")
        return kind - 1

    def _number(self, size: int) -> int:
        content = self.file.read(size)
        if len(content) < size:
            raise ValueError("its header is cut short")
        return int.from_bytes(content, "big")


def _padded(size: int) -> int:
    return -(-size // 4) * 4
