"""Damaged MATLAB files before version 7.3: scipy crashes on types that there are not, so they are found before."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_files
from sparsevq.readers.opening.matlab_elements import check_elements
from tests.user_files import values


def cell(*items):
    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made


CONTENTS = {
    "matrix": {"u": values(4, 3, 5)},
    "complex": {"u": values(4, 3) + 1j * values(4, 3, seed=1)},
    "text": {"s": "some words", "u": np.arange(3)},
    "cell": {"c": cell(values(3, 5), "word", cell(1.0, np.zeros((0, 2))))},
    "struct": {"f": {"u": values(3, 5), "inner": {"a": 1, "name": "flow"}}, "dt": 0.5},
    "sparse": {"s": scipy.sparse.csc_array(np.eye(3))},
    "logical": {"m": np.ones((2, 3), bool), "k": np.arange(3, dtype="i2")},
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", CONTENTS)
def test_good_files_pass(tmp_path, name, packed):
    scipy.io.savemat(tmp_path / "a.mat", CONTENTS[name], do_compression=packed, long_field_names=packed)
    check_elements(tmp_path / "a.mat")


def test_files_of_version_4_pass(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"u": values(3, 5)}, format="4")
    check_elements(tmp_path / "a.mat")


@pytest.mark.parametrize("name", ["matrix", "struct"])
def test_any_damaged_byte_of_a_tag_is_one_line(tmp_path, name):
    """Each byte of the file, made large, whatever it means: nothing crashes."""
    scipy.io.savemat(tmp_path / "a.mat", CONTENTS[name])
    good = (tmp_path / "a.mat").read_bytes()
    key = next(iter(CONTENTS[name]))
    settings = FileConfig(path=str(tmp_path / "a.mat"), arrays=(key,), dimensions=("time", "y", "x"))
    refused = 0
    for at in range(128, min(len(good), 500)):
        (tmp_path / "a.mat").write_bytes(good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :])
        try:
            source = open_files(settings, "damaged")
            source.read(0, 0, len(source.time))
        except SparseVQError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("kind", [0, 8, 10, 19, 20, 1000, 2**15])
def test_an_unknown_type_is_named(tmp_path, kind):
    scipy.io.savemat(tmp_path / "a.mat", {"u": values(4, 3, 5)})
    content = bytearray((tmp_path / "a.mat").read_bytes())
    at = content.index(np.array([7, 4 * 60], "<u4").tobytes())  # single precision
    content[at : at + 4] = np.uint32(kind).tobytes()
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(SparseVQError, match=f"unknown type {kind}"):
        open_files(FileConfig(path=str(tmp_path / "a.mat"), arrays=("u",), dimensions=("time", "y", "x")), "damaged")


def test_deep_nesting_is_refused(tmp_path):
    inner = np.zeros(2)
    for _ in range(80):
        inner = cell(inner)
    scipy.io.savemat(tmp_path / "a.mat", {"c": inner})
    with pytest.raises(ValueError, match="within each other"):
        check_elements(tmp_path / "a.mat")
