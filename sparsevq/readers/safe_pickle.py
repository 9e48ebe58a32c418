"""Pickles, read as data: arrays, containers, numbers and text. Nothing that a pickle names is imported or called.

A pickle is a program. Of the names that it may look up, `find_class` allows the few that NumPy's arrays need, and gives
a function of ours for each, which checks its arguments. Instructions that would make other objects are refused.

Arrays are views of the file, so a pickle may be larger than memory, and a length is compared with the file before
anything is allocated. Hence Python's unpickler in Python: the one in C copies, and allocates what the file claims.

References
----------
Python's documentation of `pickle` (Restricting Globals) and `pickletools`; NumPy's ``ndarray.__reduce__``.
"""

import math
import mmap
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.stored import reading
from sparsevq.runtime.hdf5 import Array

SMALL = 2**16
"""Parts of the file from this many bytes on are views; smaller ones are copied."""
_ALLOWED = {
    **{(f"{core}.multiarray", "_reconstruct"): "_empty_array" for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): "_scalar" for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): "_array" for core in ("numpy.core", "numpy._core")},
    ("numpy", "ndarray"): "_empty_array",  # only an argument of `_reconstruct`
    ("numpy", "dtype"): "_dtype",
    ("_codecs", "encode"): "_encoded",
    ("builtins", "bytes"): "_no_bytes",
    ("__builtin__", "bytes"): "_no_bytes",
    ("collections", "OrderedDict"): "_dictionary",
}
"""What a pickle may name -> the method of `_Reader` that stands for it."""
_MOVING_DATA = """
MARK STOP POP POP_MARK DUP FLOAT INT BININT BININT1 LONG BININT2 NONE BINFLOAT BINSTRING SHORT_BINSTRING STRING UNICODE
BINUNICODE APPEND GLOBAL EMPTY_DICT APPENDS GET BINGET LONG_BINGET LIST EMPTY_LIST PUT BINPUT LONG_BINPUT TUPLE
EMPTY_TUPLE PROTO TUPLE1 TUPLE2 TUPLE3 NEWTRUE NEWFALSE LONG1 LONG4 BINBYTES SHORT_BINBYTES SHORT_BINUNICODE
BINUNICODE8 BINBYTES8 STACK_GLOBAL MEMOIZE FRAME REDUCE
"""
"""Instructions that are carried out as they are: they move data, make containers, or call what `find_class` gave."""

_Unpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]  # private, in Python


class RefusedError(ValueError):
    """A pickle asks for more than arrays, containers, numbers and text."""


@dataclass(eq=False)
class _DType:
    """A type of numbers or text; its byte order comes later."""

    dtype: np.dtype[Any]


class _Pending:
    """An array whose content comes later."""


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
        held = _Reader(content).load()
        if isinstance(held, _Pending):
            raise RefusedError("an array without content")
    except RefusedError as error:
        raise SparseVQError(
            f"{path} is refused: {error}", "a pickle may hold NumPy arrays, containers, numbers and text only"
        ) from None
    except Exception as error:  # whatever a damaged program leads to; nothing of it was called
        reason = " ".join(str(error).split())[:200]
        raise SparseVQError(
            f"{path} is not a whole pickle ({type(error).__name__}: {reason})", "make or copy it again"
        ) from None
    return held


class _View:
    """The file as the unpickler sees it: large parts are views."""

    def __init__(self, content: mmap.mmap):
        self._content, self._view, self._at = content, memoryview(content), 0

    def read(self, size: int) -> bytes | memoryview:
        there = len(self._view) - self._at
        if not 0 <= size <= there:
            raise EOFError(f"{size} bytes are claimed at byte {self._at}, {there} are there")
        part = self._view[self._at : self._at + size]
        self._at += size
        return part if size >= SMALL else bytes(part)

    def readline(self) -> bytes:
        return bytes(self.read(self._content.find(b"\n", self._at) + 1 - self._at))


class _Reader(_Unpickler):
    """Python's unpickler, of which the instructions are left that data need."""

    def __init__(self, content: mmap.mmap):
        super().__init__(_View(content), fix_imports=False, encoding="latin1")
        self._room = len(content)

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """The method that stands for a name."""
        if (module, name) not in _ALLOWED:
            raise RefusedError(f"it names {module}.{name}"[:200])
        return getattr(self, _ALLOWED[module, name])  # type: ignore[no-any-return]  # a method of this class

    def load_build(self) -> None:
        """The state of an array or of a type; the array takes the place of what stood for it."""
        state, target = self.stack.pop(), self.stack[-1]
        match target, state:
            case _DType(), (int(), "<" | ">" | "=" | "|" as order, None, None, None, *_):
                target.dtype = target.dtype.newbyteorder(order)
            case _Pending(), (int(), shape, kind, fortran, data):
                self.stack[-1] = self._array(data, kind, shape, "F" if fortran else "C")
                for key in reversed(self.memo):
                    if self.memo[key] is target:
                        self.memo[key] = self.stack[-1]
                        break
            case _:
                raise RefusedError("it sets the state of what is not an array of numbers or text")

    def load_bytearray8(self) -> None:
        """Bytes, which are only viewed."""
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    def load_dict(self) -> None:
        """A dictionary of what lies above the mark."""
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def load_setitem(self) -> None:
        """One entry of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        """Several entries of a dictionary."""
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        # the hash of deeply nested tuples would overflow the stack
        if not isinstance(self.stack[-1], dict) or not all(isinstance(key, str | int | float) for key in items[::2]):
            raise RefusedError("a dictionary whose keys are not text or numbers")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def load_other(self) -> None:
        """Any other instruction."""
        raise RefusedError("it makes objects that are not arrays")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **dict.fromkeys(range(256), load_other),
        **{getattr(pickle, name)[0]: _Unpickler.dispatch[getattr(pickle, name)[0]] for name in _MOVING_DATA.split()},
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }

    # ------------------------------------------------------------------------------------- what stands for names

    def _decode_string(self, value: bytes | memoryview) -> str | memoryview:
        """A text of Python 2; a large one can only be an array's bytes."""
        return value if isinstance(value, memoryview) else value.decode("latin1")

    def _no_bytes(self) -> bytes:
        return b""

    def _dictionary(self) -> dict[Any, Any]:
        return {}

    def _encoded(self, text: str, codec: str) -> bytes:
        if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
            raise RefusedError("it encodes text otherwise than arrays do")
        self._copy(len(text))
        return text.encode("latin1")

    def _empty_array(self, *_: Any) -> _Pending:
        return _Pending()

    def _dtype(self, code: str, *_: Any) -> _DType:
        if not isinstance(code, str) or len(code) > 8 or np.dtype(code).kind not in "fiubUS":
            raise RefusedError("an array of a type that is not numbers or text")
        return _DType(np.dtype(code))

    def _scalar(self, kind: Any, data: Any) -> Any:
        self._copy(len(data))
        return self._array(data, kind, (), "C")[()].item()

    def _copy(self, size: int) -> None:
        """Account for bytes that are copied: a small file may refer to the same ones any number of times."""
        self._room -= size
        if self._room < 0:
            raise RefusedError("it copies more bytes than it has")

    def _array(self, data: Any, kind: Any, shape: Any, order: str) -> Array:
        """An array over bytes that are there."""
        if isinstance(data, str):
            data = self._encoded(data, "latin1")  # bytes of Python 2
        if not isinstance(data, bytes | memoryview) or not isinstance(kind, _DType):
            raise RefusedError("an array whose content is not bytes of numbers or text")
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            raise RefusedError("an array with an odd shape")
        claimed = math.prod(shape) * kind.dtype.itemsize
        if claimed != len(data):
            raise RefusedError(f"an array {shape} that claims {claimed} bytes and has {len(data)}")
        return np.frombuffer(data, kind.dtype).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]  # order is a str
