"""Whether the elements of a MATLAB file before version 7.3 are of types that there are: scipy takes any, and crashes.

References
----------
MATLAB, MAT-File Format, version 5: data elements, their tags and subelements.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
"""Types of numbers, and their letters in `struct`."""
TEXTS = {1, 2, 4, 16, 17, 18}
"""Types of characters: bytes, 16-bit numbers, UTF-8, -16, -32."""
CELL, STRUCT, OBJECT, CHAR, SPARSE, FUNCTION, OPAQUE = 1, 2, 3, 4, 5, 16, 17
DEEPEST = 64
"""Matrices within each other."""
HEADER = 128
BLOCK = 2**20

Take = Callable[[int], bytes]
"""``take(n)``: the next n bytes of an element."""


def check_elements(path: Path) -> None:
    """Check the types and sizes of the elements of a file of version 5 to 7; files of other versions pass.

    Of compressed matrices only the beginning is decompressed, unless they hold others.

    Raises
    ------
    ValueError
        An element is of no known type, or longer than what it is in.
    """
    there = path.stat().st_size
    with open(path, "rb") as file:
        header = file.read(HEADER)
        if len(header) < HEADER or not any(header[:4]):  # version 4
            return
        order = "<" if header[126:128] == b"IM" else ">"
        while tag := file.read(8):
            if len(tag) < 8:
                raise ValueError("truncated: the last element has no size")
            kind, size = struct.unpack(f"{order}II", tag)
            end = file.tell() + size
            if end > there:
                raise ValueError(f"truncated: it has {there} of at least {end} bytes")
            if kind not in (MATRIX, COMPRESSED):
                raise ValueError(f"an element of the unknown type {kind}")
            if kind == MATRIX:
                _Element(_Stored(file, size), size, order).check_matrix()
            else:
                _check_compressed(_Inflated(file, size), order)
            file.seek(end)


def _check_compressed(content: "_Inflated", order: str) -> None:
    kind, size = struct.unpack(f"{order}II", content.take(8))
    if kind != MATRIX:
        raise ValueError(f"a compressed element of the type {kind}, not a matrix")
    _Element(content, size, order).check_matrix()


class _Stored:
    """The bytes of an element as they are in the file."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._end = file, file.tell() + size

    def take(self, count: int) -> bytes:
        """The next bytes."""
        found = self._file.read(min(count, max(self._end - self._file.tell(), 0)))
        if len(found) < count:
            raise ValueError("an element is cut short")
        return found

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        self._file.seek(count, 1)


class _Inflated:
    """The bytes of a compressed element, decompressed as they are taken."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left, self._inflate, self._held = file, size, zlib.decompressobj(), b""

    def take(self, count: int) -> bytes:
        """The next bytes."""
        while len(self._held) < count:
            packed = self._inflate.unconsumed_tail or self._file.read(min(self._left, BLOCK))
            self._left -= 0 if self._inflate.unconsumed_tail else len(packed)
            if not packed:
                raise ValueError("a compressed element is cut short")
            self._held += self._inflate.decompress(packed, BLOCK)
        found, self._held = self._held[:count], self._held[count:]
        return found

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        while count:
            count -= len(self.take(min(count, BLOCK)))


class _Element:
    """A matrix whose tag was read, with `size` bytes left of it."""

    def __init__(self, content: _Stored | _Inflated, size: int, order: str, depth: int = 0):
        self.content, self.left, self.order, self.depth = content, size, order, depth

    def check_matrix(self) -> None:
        """Check its subelements; of numbers, which end an element, only the tag is read.

        Raises
        ------
        ValueError
            One is of a type that it cannot be, or too long.
        """
        if not self.left and self.depth:
            return  # an empty cell
        flags = struct.unpack(f"{self.order}I", self._data({6})[:4])[0]
        kind, is_complex = flags & 0xFF, bool(flags >> 11 & 1)
        if kind == OPAQUE:  # it has no sizes
            for _ in range(3):
                self._data({1})
            self._check_matrices(1)
            return
        count = 1
        dimensions = self._data({5})
        for size in struct.unpack(f"{self.order}{len(dimensions) // 4}i", dimensions[: len(dimensions) // 4 * 4]):
            if size < 0:
                raise ValueError(f"a size of {size}")
            count *= size
        self._data({1})  # its name
        if kind == CELL:
            self._check_matrices(count)
        elif kind in (STRUCT, OBJECT):
            self._check_struct(kind, count)
        elif kind == FUNCTION:
            self._check_matrices(1)
        elif kind == CHAR:
            self._check_tag(TEXTS, self.depth > 0)
        elif kind == SPARSE:
            self._data(set(NUMBERS))
            self._data(set(NUMBERS))
            self._check_numbers(is_complex)
        else:
            self._check_numbers(is_complex)

    def _check_struct(self, kind: int, count: int) -> None:
        if kind == OBJECT:
            self._data({1})
        length = self._data({5})
        names = self._data({1})
        width = struct.unpack(f"{self.order}i", length[:4])[0] if len(length) >= 4 else 0
        if width < 1:
            raise ValueError(f"names of fields of {width} characters")
        self._check_matrices(count * (len(names) // width))

    def _check_matrices(self, count: int) -> None:
        if self.depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} matrices within each other")
        if count * 8 > self.left:
            raise ValueError(f"{count} matrices in {self.left} bytes")
        for _ in range(count):
            kind, size, inside = self._tag()
            if kind != MATRIX or inside is not None:
                raise ValueError(f"an element of the type {kind}, not a matrix")
            self._use(size)
            _Element(self.content, size, self.order, self.depth + 1).check_matrix()

    def _check_numbers(self, is_complex: bool) -> None:
        more = is_complex or self.depth > 0
        self._check_tag(set(NUMBERS), more)
        if is_complex:
            self._check_tag(set(NUMBERS), self.depth > 0)

    def _check_tag(self, kinds: set[int], more: bool) -> None:
        """Check the tag of the next subelement, and pass over it where more is to be read."""
        kind, size, inside = self._tag()
        if kind not in kinds:
            raise ValueError(f"an element of the unknown type {kind}")
        if inside is None:
            self._use(size)
            if more:
                padding = min(-size % 8, self.left)
                self._use(padding)
                self.content.skip(size + padding)

    def _data(self, kinds: set[int]) -> bytes:
        """The data of the next subelement, which is of one of these types."""
        kind, size, inside = self._tag()
        if kind not in kinds:
            raise ValueError(f"an element of the type {kind}, where {min(kinds)} is expected")
        if inside is not None:
            return inside[:size]
        self._use(size)
        found = self.content.take(size)
        padding = min(-size % 8, self.left)
        self._use(padding)
        self.content.take(padding)
        return found

    def _tag(self) -> tuple[int, int, bytes | None]:
        """Type and size of the next subelement, and its data if they are in the tag."""
        self._use(8)
        first, second = self.content.take(4), self.content.take(4)
        whole = struct.unpack(f"{self.order}I", first)[0]
        if whole >> 16:
            size = whole >> 16
            if size > 4:
                raise ValueError(f"{size} bytes in a tag")
            return whole & 0xFFFF, size, second
        return whole, struct.unpack(f"{self.order}I", second)[0], None

    def _use(self, count: int) -> None:
        if count > self.left:
            raise ValueError(f"{count} bytes in an element that has {self.left} left")
        self.left -= count
