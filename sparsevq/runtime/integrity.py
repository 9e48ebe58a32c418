"""Damaged and mixed-up files are detected: seals, what a file was made from, and by which version.

A seal is the first 512 bytes of an HDF5 file, which HDF5 leaves to its users (the *user block*). It states how many
bytes the file has and their SHA-256 digests, so that a truncated, damaged or edited file is rejected before anything is
read from it.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.version import VERSION

SEAL_BYTES = 512
"""Length of a seal."""
CHUNK = 2**18
"""Bytes that are digested together."""

_MARK = b"sparsevq-seal 1\n"
_DIGEST = "[0-9a-f]{64}"
_SEAL = re.compile(rf"sparsevq-seal 1\nbytes (\d+)\nsha256 ({_DIGEST})\n((?:part \d+ \d+ {_DIGEST}\n)*)\0*")

NAMES = {
    "data": "data set",
    "basis": "basis.h5",
    "sensors": "sensors.h5",
    "sparse": "sparse model",
    "semi_sparse": "semi-sparse model",
    "codes": "codes.h5",
    "forecast": "forecast.h5",
}
"""What messages call an input; others go by their own name."""
SHOWN = 12
"""Digits of a digest that messages show."""


@dataclass(frozen=True)
class Part:
    """Some bytes of a file, and their SHA-256 digest."""

    start: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Seal:
    """The content of a seal.

    Attributes
    ----------
    size
        Bytes of the whole file.
    rest
        SHA-256 of all bytes after the seal that are in no part.
    parts
        Parts with a digest of their own, in order: they were digested while they were written.
    """

    size: int
    rest: str
    parts: tuple[Part, ...] = ()

    def encoded(self) -> bytes:
        """The first `SEAL_BYTES` bytes of the file."""
        text = f"bytes {self.size}\nsha256 {self.rest}\n"
        text += "".join(f"part {part.start} {part.size} {part.sha256}\n" for part in self.parts)
        found = _MARK + text.encode()
        assert len(found) <= SEAL_BYTES, "few datasets are digested on their own"
        return found.ljust(SEAL_BYTES, b"\0")


def seal(path: str | Path, parts: tuple[Part, ...] = ()) -> None:
    """Seal an HDF5 file whose user block is free, or replace its seal.

    Parameters
    ----------
    path
        The file.
    parts
        Parts that are digested already; they are not read again.

    Raises
    ------
    SparseVQError
        The file begins with something else.
    """
    ordered = tuple(sorted(parts, key=lambda part: part.start))
    with open(path, "r+b") as file:
        first = file.read(SEAL_BYTES)
        if (not first.startswith(_MARK) and first.strip(b"\0")) or len(first) < SEAL_BYTES:
            raise SparseVQError(f"{path} has no room for a seal", "only files that sparsevq wrote have a seal")
        size = os.fstat(file.fileno()).st_size
        rest = hashlib.sha256()
        for start, stop, part in _segments(Seal(size, "", ordered)):
            if part is None:
                file.seek(start)
                for chunk in _chunks(file, stop - start):
                    rest.update(chunk)
        file.seek(0)
        file.write(Seal(size, rest.hexdigest(), ordered).encoded())


def checked_digest(file: BufferedReader) -> str:
    """SHA-256 of a whole file, which is read once; if it has a seal, the file is checked against it.

    Parameters
    ----------
    file
        Open for reading, at its beginning.

    Raises
    ------
    SparseVQError
        The file does not match its seal.
    """
    first = file.read(SEAL_BYTES)
    if not first.startswith(_MARK):
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
    told, size = _parsed(first, file.name), os.fstat(file.fileno()).st_size
    if size < told.size:
        raise SparseVQError(
            f"{file.name} is truncated (only part of it was written or copied: {size} of {told.size} bytes)",
            "make or copy it again",
        )
    whole, rest = hashlib.sha256(first), hashlib.sha256()
    sound = size == told.size
    for start, stop, part in _segments(told):
        own = rest if part is None else hashlib.sha256()
        for chunk in _chunks(file, stop - start):
            whole.update(chunk)
            own.update(chunk)
        sound = sound and (part is None or own.hexdigest() == part.sha256)
    if not sound or rest.hexdigest() != told.rest:
        raise _changed(file.name)
    return whole.hexdigest()


def require_made_from(path: str | Path, recorded: Mapping[str, str], given: Mapping[str, str], rule: str) -> None:
    """Check that a file was made from the very files that it is used with.

    Parameters
    ----------
    path
        The file.
    recorded
        Name -> digest of what it was made from; missing names are not checked (files that users wrote have none).
    given
        Name -> digest of what it is used with; empty for what was not read from a file.
    rule
        The rule of the workflow that makes the file.

    Raises
    ------
    SparseVQError
        A digest differs; the message names the first.
    """
    for name, found in given.items():
        made_from = recorded.get(name)
        if made_from and found and made_from != found:
            raise SparseVQError(
                f"{path} was made from another {NAMES.get(name, name)} (SHA-256 {made_from[:SHOWN]}...) than the one "
                f"that it is used with ({found[:SHOWN]}...)",
                f"make it again (snakemake --forcerun {rule}), or give the one that it was made from",
            )


def note_version(path: str | Path, version: object) -> None:
    """Print a line, once for each file, if another version of sparsevq wrote it; that is no error."""
    if version not in (None, VERSION) and (str(path), version) not in _noted:
        _noted.add((str(path), version))
        print(f"note: {path} was written by sparsevq {version}; this is {VERSION}", file=sys.stderr, flush=True)


_noted: set[tuple[str, object]] = set()


def _segments(told: Seal) -> Iterator[tuple[int, int, Part | None]]:
    """Segments that cover all bytes after the seal, in order: start, stop, and the part, if it is one."""
    at = SEAL_BYTES
    for part in told.parts:
        yield at, part.start, None
        at = part.start + part.size
        yield part.start, at, part
    yield at, told.size, None


def _chunks(file: BufferedReader | BufferedRandom, size: int) -> Iterator[bytes]:
    """The next bytes of a file; fewer if it ends before."""
    while size > 0 and (chunk := file.read(min(CHUNK, size))):
        size -= len(chunk)
        yield chunk


def _parsed(first: bytes, path: str) -> Seal:
    match = _SEAL.fullmatch(first.decode("latin-1"))
    if match is None:
        raise _changed(path)
    parts = tuple(
        Part(int(start), int(size), sha256)
        for _, start, size, sha256 in (line.split() for line in match[3].splitlines())
    )
    told = Seal(int(match[1]), match[2], parts)
    if any(stop < start or stop > told.size for start, stop, _ in _segments(told)):
        raise _changed(path)
    return told


def _changed(path: str) -> SparseVQError:
    return SparseVQError(
        f"{path} is not as sparsevq wrote it (its bytes do not have the SHA-256 digest that it states): "
        "it is damaged, or was edited",
        f"make or copy it again; if you edited it on purpose, say so: sparsevq data seal {path}",
    )
