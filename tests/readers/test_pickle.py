"""Pickles are read as data: arrays come back, and nothing that a pickle asks for is ever run."""

import collections
import functools
import io
import operator
import os
import pickle
import pickletools
import struct
import sys
import tracemalloc

import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.readers import safe_pickle
from sparsevq.readers.safe_pickle import read_pickle
from tests.user_files import opened

SENTINEL = "SPARSEVQ_TEST_SENTINEL"


def written(path, content, protocol=None):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


def same(one, other):
    if isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in other)
    if isinstance(other, list | tuple):
        return type(one) is type(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "content",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.arange(24.0).reshape(4, 6)[::2, ::3],
        np.arange(5, dtype=">i4"),
        np.array([[True, False]]),
        np.zeros((0, 3)),
        np.random.default_rng(0).normal(size=(300, 300)),
        [{"data": np.arange(6.0), "coords": np.ones((3, 2), np.float32), "name": "one", "n": 3, "none": None}] * 2,
        {"a": (1, 2.5, -(2**70), True), "b": [np.float64(1.5), np.int8(3)], "c": b"bytes"},
        collections.OrderedDict(u=np.arange(3)),
    ],
    ids=lambda content: type(content).__name__,
)
def test_what_pickle_writes_comes_back(tmp_path, content, protocol):
    assert same(read_pickle(written(tmp_path / "a.pkl", content, protocol)), content)


def test_arrays_of_the_names_that_older_numpy_has(tmp_path):
    content = pickle.dumps(np.arange(6.0), 2)
    older = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert same(read_pickle(written(tmp_path / "a.pkl", older)), np.arange(6.0))


def test_arrays_as_python_2_wrote_them(tmp_path):
    data = np.arange(3, dtype="<i2").tobytes()
    content = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n(I3\ntcnumpy\ndtype\n(U\x02i2I0\n"
        b"I1\ntR(I3\nU\x01<NNNI-1\nI-1\nI0\ntbI00\nU\x06" + data + b"tb."
    )
    assert same(read_pickle(written(tmp_path / "a.pkl", content)), np.arange(3, dtype="<i2"))


def test_large_arrays_as_python_2_wrote_them(tmp_path):
    values = np.arange(100_000, dtype=">i2")
    content = (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01J"
        + struct.pack("<i", 100_000) + b"\x85cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01>NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", 200_000) + values.tobytes() + b"tbs."
    )  # fmt: skip
    assert same(read_pickle(written(tmp_path / "a.pkl", content)), {"data": values})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_array_that_is_there_twice(tmp_path, protocol):
    one, other = np.arange(3.0), np.arange(4, dtype=">f8")
    read = read_pickle(written(tmp_path / "a.pkl", [one, {"one": one, "other": (other, one)}], protocol))
    assert same(read, [one, {"one": one, "other": (other, one)}]) and read[0] is read[1]["other"][1]


@pytest.mark.parametrize("content", [b"\x80\x02]cnumpy\nndarray\na.", b"\x80\x02]q\x00h\x00a."])
def test_what_is_no_array_is_not_taken_for_one(tmp_path, content):
    """A name, and a list in itself."""
    with pytest.raises(SparseVQError, match=r"a.pkl holds a list: release pipe: give an array"):
        opened(written(tmp_path / "a.pkl", content), format="release", release="pipe")


def test_an_array_is_a_view_of_the_file(tmp_path):
    path = written(tmp_path / "a.pkl", {"data": np.zeros((1000, 100, 100), np.float32)})
    tracemalloc.start()
    data = read_pickle(path)["data"]
    assert data[500].sum() == 0 and not data.flags.writeable
    assert tracemalloc.get_traced_memory()[1] < data.nbytes / 50
    tracemalloc.stop()


class Calls:
    """Something that pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


SET = f"import os; os.environ[{SENTINEL!r}] = '1'"


def by_names(*names):
    """A program that looks a name up part by part and calls it."""
    module, *rest = names
    return b"\x80\x04" + b"".join(b"\x8c" + bytes([len(n)]) + n.encode() for n in (module, ".".join(rest))) + b"\x93)R."


HOSTILE = {
    "os.system": lambda: b"cos\nsystem\n(Vtrue\ntR.",
    "posix.system": lambda: pickle.dumps(Calls(os.system, "true")),
    "eval": lambda: pickle.dumps(Calls(eval, f"exec({SET!r})")),
    "exec": lambda: pickle.dumps(Calls(exec, SET), 0),
    "in a dictionary of arrays": lambda: pickle.dumps({"data": np.arange(3), "more": Calls(exec, SET)}),
    "getattr": lambda: pickle.dumps(Calls(getattr, "", "join")),
    "partial": lambda: pickle.dumps(Calls(functools.partial, exec, SET)),
    "attrgetter": lambda: pickle.dumps(Calls(operator.attrgetter, "system")),
    "nested attribute": lambda: by_names("numpy", "ndarray", "__class__"),
    "nested attribute of codecs": lambda: by_names("_codecs", "encode", "__self__"),
    "module in a module": lambda: by_names("numpy", "_core", "multiarray", "_reconstruct"),
    "numpy.load": lambda: pickle.dumps(Calls(np.load, "x.npy", None, True)),
    "numpy.f2py": lambda: b"cnumpy.testing._private.utils\nrunstring\n(VX\n}tR.",
    "numpy.distutils": lambda: b"cnumpy.distutils.exec_command\nexec_command\n(Vid\ntR.",
    "numpy.memmap": lambda: pickle.dumps(Calls(np.memmap, "/etc/passwd")),
    "numpy.fromfile": lambda: pickle.dumps(Calls(np.fromfile, "/etc/passwd")),
    "a class of another library": lambda: pickle.dumps(collections.Counter("aab")),
    "old instances": lambda: f"(S'{SENTINEL}'\nS'1'\nios\nsystem\n.".encode(),
    "objects from classes": lambda: b"\x80\x02cnumpy\nndarray\n(K\x02t\x81.",
    "objects from classes, by mark": lambda: b"(cnumpy\nndarray\nK\x02o.",
    "extension registry": lambda: b"\x80\x02\x82\x01.",
    "persistent identity": lambda: b"\x80\x02K\x01Q.",
    "buffers from elsewhere": lambda: b"\x80\x05\x97.",
    "type with another object": lambda: pickle.dumps(Calls(np.dtype, "O")),
    "type with fields": lambda: pickle.dumps(np.zeros(2, [("a", "f4")])),
    "array of objects": lambda: pickle.dumps(np.array([Calls(exec, SET)], dtype=object)),
    "array of objects by state": lambda: pickle.dumps(np.array([[1], None], dtype=object)),
    "reconstruct of another class": lambda: pickle.dumps(np.ma.zeros(3)),
    "reconstruct of an array of size": lambda: b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I9\ntVb\ntR.",
    "encode to a codec": lambda: b"c_codecs\nencode\n(Vabc\nVzlib\ntR.",
    "state of a dictionary": lambda: b"\x80\x02}}b.",
    "an array without content": lambda: b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR.",
    "tuples as keys": lambda: b"\x80\x02}(K\x01K\x02t]s.",
    "keys whose hash overflows the stack": lambda: b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns.",
    "sets": lambda: pickle.dumps({1, 2}, 4),
    "state of a function": lambda: b"\x80\x02cnumpy\ndtype\n}U\x01aK\x01sb.",
    "bytes of a size": lambda: b"\x80\x02cbuiltins\nbytes\nK\x09\x81.",
    "one text, encoded a thousand times": lambda: (
        b"\x80\x02]X"
        + struct.pack("<I", 10**4)
        + b"a" * 10**4
        + b"q\x010c_codecs\nencode\nq\x020"
        + b"h\x02h\x01U\x06latin1\x86Ra" * 1000
        + b"."
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_pickle_that_asks_for_more_is_refused_and_does_not_run(tmp_path, monkeypatch, name):
    monkeypatch.delenv(SENTINEL, raising=False)
    content = HOSTILE[name]()
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SparseVQError, match=r"is refused: .*a pickle may hold NumPy arrays"):
        read_pickle(written(tmp_path / "a.pkl", content))
    assert SENTINEL not in os.environ


def test_these_programs_do_run_in_pythons_own_reader(monkeypatch):
    monkeypatch.setenv(SENTINEL, "")
    pickle.loads(HOSTILE["in a dictionary of arrays"]())
    assert os.environ[SENTINEL] == "1"


def header(size, instruction):
    return b"\x80\x04" + instruction + struct.pack("<Q", size)


@pytest.mark.parametrize(
    "content",
    [
        header(2**40, pickle.BINBYTES8) + b"short",
        header(2**40, pickle.BYTEARRAY8) + b"short",
        header(2**40, pickle.BINUNICODE8) + b"short",
        header(2**40, pickle.FRAME) + b"short",
        b"\x80\x04" + pickle.BINBYTES + struct.pack("<I", 2**31) + b"short",
        b"\x80\x04" + pickle.LONG4 + struct.pack("<i", 2**30) + b"short",
        b"\x80\x02K\x01r" + struct.pack("<I", 2**32 - 1) + b"" + b"j\x00\x00\x00\x01.",
        pickle.dumps(np.zeros(10_000))[:5000],
        b"",
        b"no pickle at all",
        b"\x80\x02.",
        b"\x80\x02t.",
        b"Vabc\n(tR.",
        pickle.dumps(np.arange(3))[:-1] + b")R.",
        b"cnumpy\ndtype\n)R.",
        b"cbuiltins\nbytes\n(I1000000000\ntR.",
    ],
)
def test_claims_of_more_than_there_is_allocate_nothing(tmp_path, content):
    path = written(tmp_path / "a.pkl", content)
    tracemalloc.start()
    with pytest.raises(SparseVQError, match=r"not a whole pickle|cannot be read as pickle|is refused"):
        read_pickle(path)
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


def test_an_array_that_claims_more_than_its_bytes_is_refused(tmp_path):
    out = io.BytesIO()
    pickle.dump(np.zeros(7, np.float64), out, 2)
    content = out.getvalue()
    for claim in (b"M\xff\xff", b"J\xff\xff\xff\x7f", b"\x8a\x08" + struct.pack("<q", 2**60)):
        changed = content.replace(b"K\x07\x85", claim + b"\x85", 1)
        assert changed != content
        with pytest.raises(SparseVQError, match=r"claims .* bytes and has 56"):
            read_pickle(written(tmp_path / "a.pkl", changed))


def test_every_instruction_is_either_known_or_refused():
    made = {code.name for code in pickletools.opcodes} - set(safe_pickle._MOVING_DATA.split())
    known = {"BUILD", "BYTEARRAY8", "DICT", "SETITEM", "SETITEMS"}
    refused = {code.name for code in pickletools.opcodes if code.name in made - known}
    dispatch = safe_pickle._Reader.dispatch
    for code in pickletools.opcodes:
        is_refused = dispatch[ord(code.code)] is dispatch[0]
        assert is_refused == (code.name in refused), code.name
    assert {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "PERSID", "BINPERSID", "NEXT_BUFFER"} <= refused


def test_references_that_multiply_are_not_unrolled(tmp_path):
    """Each list holds the one before twice: 2^200 leaves if they were gone through one by one."""
    nested = [1]
    for _ in range(200):
        nested = [nested, nested]
    read = read_pickle(written(tmp_path / "a.pkl", nested))
    assert read[0] is read[1]
    deep = b"\x80\x02" + b"(" * 5000 + b"l" * 5000 + b"."
    assert sys.getrecursionlimit() < 5000 and read_pickle(written(tmp_path / "b.pkl", deep)) is not None
