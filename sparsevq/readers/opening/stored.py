"""Arrays in a user's file, not read yet: what the reader of each format gives; and limits on their size."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.unreadable import explained, is_a_bug
from sparsevq.runtime.hdf5 import Array

LARGEST_CHUNK = 2**30
"""Bytes of one decompressed chunk: no part of it can be read without holding it whole."""
UNSUSPICIOUS = 2**32
"""Arrays of up to this many bytes are read however small the file is; see `MOST_EXPANSION`."""
MOST_EXPANSION = 2000
"""How many times larger than its file an array above `UNSUSPICIOUS` may be (deflate reaches 1032)."""
LARGEST_COORDINATE = 2**30
"""Bytes of an array of coordinates or times, which is held whole."""

LISTS = "of lists that may differ in length"
"""What arrays are whose entries are arrays (vlen)."""

ReadSlices = Callable[[tuple[slice, ...]], Array]


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredArray:
    """An array in a file.

    Attributes
    ----------
    name
        Its name in the file.
    shape, dtype
        As it is read.
    read
        ``read(slices)``: a part of it, one slice of step 1 for each dimension; NaN where values are missing.
    dimensions
        The file's names of its dimensions; empty where the file has none.
    units
        Its unit; empty if unknown.
    chunks
        Shape of its chunks; None: it is contiguous.
    attributes
        All its attributes.
    notes
        What of how it is read has to be said.
    keeping
        ``keeping(values)``: the same array with some values as data that the file declares missing; None: it declares
        none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: ReadSlices
    dimensions: tuple[str, ...] = ()
    units: str = ""
    chunks: tuple[int, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    keeping: "Callable[[Sequence[float]], StoredArray] | None" = None

    @property
    def nbytes(self) -> int:
        """Bytes of the whole."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def is_number(self) -> bool:
        """Whether its values are real numbers."""
        return self.dtype.kind in "fiub"


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """What a file holds.

    Attributes
    ----------
    path
        The file (or the folder, for Zarr).
    arrays
        All arrays that can be read, by name.
    fields
        Names of those that may hold channels.
    describes_itself
        The format has names and coordinates of dimensions; missing ones are an error.
    unreadable
        What cannot be read: name -> what it is, and after a colon what to do; without one: store it as an array of
        numbers.
    provenance
        Origin of the data, from the file.
    groups
        Attributes of its groups: name of the group -> attributes.
    """

    path: Path
    arrays: dict[str, StoredArray]
    fields: tuple[str, ...]
    describes_itself: bool = False
    unreadable: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def array(self, name: str, key: str) -> StoredArray:
        """The array `name`, which the configuration's `key` asks for.

        Raises
        ------
        SparseVQError
            It is not there, or cannot be read.
        """
        short = name.strip("/")
        if short not in self.arrays and short.replace(".", "/") in self.arrays:  # a field of a struct
            short = short.replace(".", "/")
        if short in self.arrays:
            return self.arrays[short]
        inside = [each for each in self.arrays if each.startswith(f"{short}/")]
        if inside:
            raise SparseVQError(
                f"{self.path}: {key}: {name} is a group or a struct, not an array",
                f"name an array in it, for instance `{key}: [{inside[0]}]`; it holds {', '.join(inside[:12])}",
            )
        if short in self.unreadable:
            what, _, do = self.unreadable[short].partition(": ")
            raise SparseVQError(f"{self.path}: {key}: {name} is {what}", do or "store it as an array of numbers")
        raise SparseVQError(f"{self.path}: {key}: there is no {name}", f"it holds {listing(self.arrays.values())}")


def from_array(name: str, values: Array, **about: Any) -> StoredArray:
    """An array in memory, or memory-mapped, with the interface of one in a file."""
    return StoredArray(
        name=name, shape=values.shape, dtype=values.dtype, read=lambda part: np.array(values[part]), **about
    )


def unusable(dtype: np.dtype[Any]) -> str:
    """What values of a type are, that are no real numbers, and after a colon what to do."""
    parts = tuple(name.lower() for name in dtype.names or ())
    if dtype.kind == "c" or parts in (("r", "i"), ("re", "im"), ("real", "imag"), ("real", "imaginary")):
        return "of complex numbers: store its real and its imaginary part as two arrays"
    if dtype.names:
        fields = ", ".join(dtype.names[:4]) + (", ..." if len(dtype.names) > 4 else "")
        return f"of records ({fields}): store each of their fields as an array of its own"
    if dtype.hasobject:
        return "of Python objects, which are never unpickled: store it as an array of numbers"
    if dtype.kind in "mM":
        what = "dates" if dtype.kind == "M" else "time intervals"
        return f"of {what} ({dtype}): it can only be the `time` of other arrays"
    if dtype.kind in "SUT":
        return "of text: store it as an array of numbers"
    return f"not of real numbers ({dtype}): store it as an array of numbers"


def listing(arrays: Iterable[StoredArray], most: int = 12) -> str:
    """Names, dimensions and sizes, for messages."""
    named = []
    for array in arrays:
        sizes = [
            f"{name} {size}" if name else str(size)
            for name, size in zip(array.dimensions or ("",) * len(array.shape), array.shape, strict=True)
        ]
        named.append(f"{array.name} ({', '.join(sizes)})")
    if not named:
        return "no array of numbers"
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def whole(path: Path, array: StoredArray) -> npt.NDArray[np.float64]:
    """All of an array of coordinates or times.

    Raises
    ------
    SparseVQError
        It is too large for that, not of numbers, or the file is damaged.
    """
    if not array.is_number:
        raise SparseVQError(f"{path}: {array.name} is not of numbers ({array.dtype})", "name an array of numbers")
    return everything(path, array).astype(np.float64)


def everything(path: Path, array: StoredArray) -> Array:
    """All of an array of coordinates or times, of any type.

    Raises
    ------
    SparseVQError
        It is too large for that, or the file is damaged.
    """
    if array.nbytes > LARGEST_COORDINATE:
        raise SparseVQError(
            f"{path}: {array.name} has shape {array.shape}, too large for coordinates", "name another array"
        )
    check_bounds(path, array)
    return array.read(tuple(slice(0, size) for size in array.shape))


def check_bounds(path: Path, array: StoredArray) -> None:
    """Check before reading that the claimed size of an array is plausible, against decompression bombs.

    Raises
    ------
    SparseVQError
        A chunk is larger than `LARGEST_CHUNK`, or the array more than `MOST_EXPANSION` times larger than its file.
    """
    if array.chunks is not None:
        chunk = int(np.prod(array.chunks, dtype=object)) * array.dtype.itemsize
        if chunk > LARGEST_CHUNK:
            raise SparseVQError(
                f"{path}: {array.name} has chunks of {size_text(chunk)} ({' x '.join(map(str, array.chunks))} values), "
                f"more than {size_text(LARGEST_CHUNK)}",
                "store it in smaller chunks",
            )
    if array.nbytes > UNSUSPICIOUS and array.nbytes > MOST_EXPANSION * stored_bytes(path):
        raise SparseVQError(
            f"{path}: {array.name} claims {size_text(array.nbytes)}, but the file has {size_text(stored_bytes(path))}",
            f"check how it was made: data that compress more than {MOST_EXPANSION} times are refused",
        )


def stored_bytes(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def size_text(count: float) -> str:
    """A number of bytes as text."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.3g} {unit}"


def print_once(message: str, told: set[str]) -> None:
    """Print a message, unless it was printed already for another file."""
    if message not in told:
        told.add(message)
        print(message, flush=True)


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn the many exceptions of libraries that read a file into an error of one line.

    What a damaged or odd file makes a library raise is of any class, so all are caught; only faults of this package
    itself pass (`unreadable.is_a_bug`), and errors that are in words already.

    Raises
    ------
    SparseVQError
        A library could not read the file.
    """
    try:
        yield
    except SparseVQError:
        raise
    except Exception as error:
        if is_a_bug(error):
            raise
        raise explained(path, kind, error) from error
