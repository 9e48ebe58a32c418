"""Whether a classic NetCDF file is whole: netCDF4 reads what is cut off as zeros, and SciPy does not know CDF-5.

References
----------
The NetCDF Classic Format Specification (versions CDF-1, CDF-2 and CDF-5), Unidata.
"""

import math
import mmap
from pathlib import Path

from sparsevq.errors import SparseVQError

VERSIONS = {b"CDF\x01": (4, 4), b"CDF\x02": (4, 8), b"CDF\x05": (8, 8)}
"""First bytes -> bytes of a count, and of an offset."""
TYPE_SIZES = dict(enumerate((1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8), start=1))
"""Of byte, char, short, int, float, double, ubyte, ushort, uint, int64 and uint64."""
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12
STREAMING = 2**32 - 1
"""A number of records that means `until the end of the file`."""
LONGEST = 2**20
"""Elements of a list in the header."""


def check_whole(path: Path) -> None:
    """Check that a classic NetCDF file is as long as its header says; files of other formats pass.

    Raises
    ------
    SparseVQError
        It is shorter.
    ValueError, KeyError
        Its header is damaged.
    """
    with open(path, "rb") as file:
        sizes = VERSIONS.get(file.read(4))
        if sizes is None:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            claimed, there = _Header(content, *sizes).end(), len(content)
    if there < claimed:
        raise SparseVQError(f"{path} is truncated (it has {there} of {claimed} bytes)", "make or copy it again")


class _Header:
    """A header, read from its beginning to its end."""

    def __init__(self, content: mmap.mmap, count_bytes: int, offset_bytes: int):
        self.content, self.count_bytes, self.offset_bytes = content, count_bytes, offset_bytes
        self.at = 4

    def end(self) -> int:
        """Where the last value of the file ends."""
        records = self._count()
        lengths = {number: self._dimension() for number in range(self._length_of(DIMENSIONS))}
        self._skip_attributes()
        variables = [self._variable(lengths) for _ in range(self._length_of(VARIABLES))]
        ends = [begin + size for begin, size, recorded in variables if not recorded]
        recorded = [(begin, size) for begin, size, in_records in variables if in_records]
        if recorded and 0 < records != STREAMING:
            stride = sum(_padded(size) for _, size in recorded) if len(recorded) > 1 else recorded[0][1]
            ends += [begin + (records - 1) * stride + size for begin, size in recorded]
        return max(ends, default=0)

    def _dimension(self) -> int:
        self._skip(self._count())  # its name
        return self._count()

    def _variable(self, lengths: dict[int, int]) -> tuple[int, int, bool]:
        """Where a variable begins, its bytes (of one record), and whether it is in records."""
        self._skip(self._count())  # its name
        own = [lengths[self._count()] for _ in range(self._count())]
        self._skip_attributes()
        size = TYPE_SIZES[self._number(4)]
        self._count()  # its bytes, which may not fit
        recorded = bool(own) and own[0] == 0
        return self._number(self.offset_bytes), size * math.prod(own[1:] if recorded else own), recorded

    def _skip_attributes(self) -> None:
        for _ in range(self._length_of(ATTRIBUTES)):
            self._skip(self._count())  # the name
            size = TYPE_SIZES[self._number(4)]
            self._skip(size * self._count())

    def _length_of(self, what: int) -> int:
        found, count = self._number(4), self._count()
        if (found != what and (found or count)) or count > LONGEST:
            raise ValueError("its header is damaged")
        return count

    def _count(self) -> int:
        return self._number(self.count_bytes)

    def _skip(self, size: int) -> None:
        self.at += _padded(size)

    def _number(self, size: int) -> int:
        content = self.content[self.at : self.at + size]
        self.at += size
        if len(content) < size:
            raise ValueError("its header is cut short")
        return int.from_bytes(content, "big")


def _padded(size: int) -> int:
    return -(-size // 4) * 4
