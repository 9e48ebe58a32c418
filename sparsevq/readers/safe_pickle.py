"""Pickles, read as data: arrays, containers, numbers and text. Nothing that a pickle names is imported or called.

A pickle is a program, and Python's own reader runs it. Here the few names that NumPy's arrays need stand for markers of
ours, and the two instructions that would call something only build arrays from bytes that are there. Every other name,
and every other instruction that makes objects, is refused. Bytes of arrays are not copied: they are looked at in the
file, so that a pickle may be larger than memory.

References
----------
Python's documentation of `pickle` (Restricting Globals) and `pickletools`; NumPy's ``ndarray.__reduce__``.
"""

import mmap
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.stored import reading
from sparsevq.runtime.hdf5 import Array

SMALL = 2**16
"""Bytes from which on a part of the file is looked at instead of copied."""
LONGEST_TEXT = 2**30
"""Bytes of one text; arrays in old pickles are texts, which have to be decoded in memory."""
MOST_OBJECTS = 10_000_000
"""Things in a pickle that are gone through."""

_MOVING_DATA = """
MARK STOP POP POP_MARK DUP FLOAT INT BININT BININT1 LONG BININT2 NONE BINFLOAT BINSTRING SHORT_BINSTRING STRING UNICODE
BINUNICODE APPEND GLOBAL EMPTY_DICT APPENDS GET BINGET LONG_BINGET LIST EMPTY_LIST PUT BINPUT LONG_BINPUT TUPLE
EMPTY_TUPLE PROTO TUPLE1 TUPLE2 TUPLE3 NEWTRUE NEWFALSE LONG1 LONG4 BINBYTES SHORT_BINBYTES SHORT_BINUNICODE
BINUNICODE8 BINBYTES8 STACK_GLOBAL MEMOIZE FRAME
"""
"""Instructions of a pickle that move data and make nothing but containers; the names are those of `pickle`."""

_Unpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]  # private, in Python
_Handlers = dict[int, Callable[[Any], None]]


class _Name(Enum):
    """What a pickle may name; each is only a marker."""

    RECONSTRUCT, ARRAY, DTYPE, FROM_BUFFER, SCALAR, ENCODE, BYTES, DICT = range(8)


_NUMPY = ("numpy.core", "numpy._core")
_NAMES = {
    **{(f"{core}.multiarray", "_reconstruct"): _Name.RECONSTRUCT for core in _NUMPY},
    **{(f"{core}.multiarray", "scalar"): _Name.SCALAR for core in _NUMPY},
    **{(f"{core}.numeric", "_frombuffer"): _Name.FROM_BUFFER for core in _NUMPY},
    ("numpy", "ndarray"): _Name.ARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("_codecs", "encode"): _Name.ENCODE,
    ("builtins", "bytes"): _Name.BYTES,
    ("__builtin__", "bytes"): _Name.BYTES,
    ("collections", "OrderedDict"): _Name.DICT,
}


class RefusedError(ValueError):
    """A pickle asks for more than arrays, containers, numbers and text."""


@dataclass(eq=False)
class _DType:
    """A type of numbers, not yet of a byte order."""

    code: str
    order: str = "="

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]  # a str of one letter


@dataclass(eq=False)
class _Shell:
    """An array whose content is yet to come."""

    array: Array | None = None


def read_pickle(path: Path) -> Any:
    """What a pickle holds: dictionaries, lists, tuples, numbers, text, and arrays that are views of the file.

    Raises
    ------
    SparseVQError
        It is damaged, names anything but NumPy's arrays, or an array claims more bytes than it has.
    """
    with reading(path, "pickle"), open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _plain(_Reader(_View(content)).load())
    except RefusedError as error:
        raise SparseVQError(
            f"{path} is refused: {error}", "a pickle may hold NumPy arrays, containers, numbers and text only"
        ) from None
    except Exception as error:  # whatever a damaged program of a pickle leads to; nothing of it was called
        reason = " ".join(str(error).split())[:200]
        raise SparseVQError(
            f"{path} is no whole pickle ({type(error).__name__}: {reason})", "make or copy it again"
        ) from None


class _View:
    """The file as the reader sees it: long parts are looked at in place."""

    def __init__(self, content: mmap.mmap):
        self._content, self._view, self._at = content, memoryview(content), 0

    def read(self, size: int = -1) -> bytes | memoryview:
        there = len(self._view) - self._at
        if size < 0 or size > there:
            raise EOFError(f"{size} bytes are claimed at byte {self._at}, {there} are there")
        part = self._view[self._at : self._at + size]
        self._at += size
        return part if size >= SMALL else bytes(part)

    def readline(self) -> bytes:
        end = self._content.find(b"\n", self._at, self._at + LONGEST_TEXT)
        if end < 0:
            raise EOFError(f"a line without an end at byte {self._at}")
        return bytes(self.read(end + 1 - self._at))


class _Reader(_Unpickler):
    """The part of Python's reader that only moves data (of that in Python; the one in C allocates what is claimed)."""

    def __init__(self, file: _View):
        super().__init__(file, fix_imports=False, encoding="latin1")

    def find_class(self, module: str, name: str) -> _Name:
        """A marker."""
        if (module, name) not in _NAMES:
            raise RefusedError(f"it names {module}.{name}"[:200])
        return _NAMES[module, name]

    def load_reduce(self) -> None:
        """What was a call: the few that arrays need."""
        arguments = self.stack.pop()
        name = self.stack[-1]
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise RefusedError("it calls what is no function of NumPy's arrays")
        self.stack[-1] = _made(name, arguments)

    def load_build(self) -> None:
        """What was an object's state: that of an array or of a type."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _Shell):
            target.array = _array_of_state(state)
        elif isinstance(target, _DType):
            target.order = _order_of_state(state)
        else:
            raise RefusedError("it sets the state of what is no array")

    def load_bytearray8(self) -> None:
        """Bytes, that are only looked at."""
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    def load_dict(self) -> None:
        """A dictionary of what lies above the mark."""
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def load_setitem(self) -> None:
        """One entry of a dictionary."""
        value = self.stack.pop()
        self._fill([self.stack.pop(), value])

    def load_setitems(self) -> None:
        """Several entries of a dictionary."""
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or not all(isinstance(key, str | int | float) for key in items[::2]):
            raise RefusedError("a dictionary whose keys are no text or numbers")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def load_other(self) -> None:
        """Any other instruction."""
        raise RefusedError("it makes objects that are no arrays")

    dispatch: ClassVar[_Handlers] = {
        **dict.fromkeys(range(256), load_other),
        **{getattr(pickle, name)[0]: _Unpickler.dispatch[getattr(pickle, name)[0]] for name in _MOVING_DATA.split()},
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


def _made(name: _Name, arguments: tuple[Any, ...]) -> Any:
    """What a call that arrays need would have made."""
    match name, arguments:
        case _Name.DICT, ():
            return {}
        case _Name.BYTES, ():
            return b""
        case _Name.ENCODE, (str() as text, "latin1" | "latin-1"):
            if len(text) > LONGEST_TEXT:
                raise RefusedError(f"a text of {len(text)} characters")
            return text.encode("latin1")
        case _Name.DTYPE, (str() as code, *_):
            return _DType(_checked_code(code))
        case _Name.RECONSTRUCT, (_Name.ARRAY, (0,), bytes() | str()):
            return _Shell()
        case _Name.FROM_BUFFER, (data, _DType() as kind, tuple() as shape, "C" | "F" as order):
            return _array(data, kind, shape, order)
        case _Name.SCALAR, (_DType() as kind, data):
            return _array(data, kind, (), "C")[()].item()
    raise RefusedError(f"it calls {name.name.lower()} with odd arguments")


def _checked_code(code: str) -> str:
    if len(code) > 8 or not code.lstrip("<>=|") or code.lstrip("<>=|")[0] not in "fiubUS":
        raise RefusedError(f"an array of type {code[:40]!r}, which is no number or text")
    return code


def _order_of_state(state: Any) -> str:
    match state:
        case (int(), "<" | ">" | "=" | "|" as order, None, None, None, *_):
            return str(order)
    raise RefusedError("a type with fields or objects in it")


def _array_of_state(state: Any) -> Array:
    match state:
        case (int(), tuple() as shape, _DType() as kind, bool() | 0 | 1 as fortran, data):
            return _array(data, kind, shape, "F" if fortran else "C")
    raise RefusedError("an array of objects, or with an odd state")


def _array(data: Any, kind: _DType, shape: tuple[Any, ...], order: str) -> Array:
    """An array over bytes that are there."""
    if isinstance(data, str):
        data = data.encode("latin1")  # bytes of Python 2
    if not isinstance(data, bytes | memoryview):
        raise RefusedError("an array whose content is no bytes")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise RefusedError("an array with an odd shape")
    claimed = kind.dtype.itemsize
    for size in shape:
        claimed *= size
    if claimed != len(data):
        raise RefusedError(f"an array {shape} that claims {claimed} bytes and has {len(data)}")
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]  # order is a str


def _plain(value: Any) -> Any:
    """The same with arrays in the place of shells; what contains itself is refused."""
    done: dict[int, Any] = {}
    stack: list[tuple[Any, Iterator[Any]]] = []
    opened: set[int] = set()
    count = 0

    def leaf(item: Any) -> bool:
        if isinstance(item, _Shell):
            if item.array is None:
                raise RefusedError("an array without content")
            done[id(item)] = item.array
            return True
        if isinstance(item, _Name | _DType):
            raise RefusedError("a name where a value should be")
        if isinstance(item, dict | list | tuple):
            return id(item) in done
        done[id(item)] = item
        return True

    if leaf(value):
        return done[id(value)]
    stack.append((value, _members(value)))
    opened.add(id(value))
    while stack:
        item, members = stack[-1]
        inner = next((each for each in members if not leaf(each)), None)
        count += 1
        if count > MOST_OBJECTS:
            raise RefusedError(f"more than {MOST_OBJECTS} objects")
        if inner is None:
            stack.pop()
            opened.discard(id(item))
            done[id(item)] = _rebuilt(item, done)
        elif id(inner) in opened:
            raise RefusedError("a container that holds itself")
        else:
            opened.add(id(inner))
            stack.append((inner, _members(inner)))
    return done[id(value)]


def _members(item: Any) -> Iterator[Any]:
    return iter(list(item.values()) if isinstance(item, dict) else item)


def _rebuilt(item: Any, done: dict[int, Any]) -> Any:
    if isinstance(item, dict):
        return {key: done[id(value)] for key, value in item.items()}
    return type(item)(done[id(value)] for value in item)
