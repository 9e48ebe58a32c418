"""Damaged heaps of HDF5, on which the library never ends, are found before it reads them."""

import h5py
import numpy as np
import pytest

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_files
from sparsevq.readers.opening import hdf5_heaps
from sparsevq.readers.opening.hdf5_heaps import SIGNATURE, check_heaps
from tests.user_files import values


@pytest.fixture
def path(tmp_path):
    """A file with two heaps of texts: attributes, and an array of names."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = values(4, 3, 5)
        for number in range(20):
            file["u"].attrs[f"note{number}"] = "some words " * number
        file["names"] = np.array([f"station {number}" * 30 for number in range(30)], dtype=h5py.string_dtype())
    return tmp_path / "a.h5"


def test_good_heaps_pass(path):
    assert path.read_bytes().count(SIGNATURE) > 1
    check_heaps(path)


@pytest.mark.parametrize("size", [0, 1, 15, 16])
def test_short_files_pass(tmp_path, size):
    (tmp_path / "short").write_bytes(b"x" * size)
    check_heaps(tmp_path / "short")


def test_free_space_that_ends_too_early_is_one_line(tmp_path):
    """The library looks for the next object, of a size of 0, for ever."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = values(4, 3, 5)
        file["u"].attrs["units"] = "m/s"
    content = bytearray((tmp_path / "a.h5").read_bytes())
    heap = content.index(SIGNATURE)
    free = heap + 16 + 16 + 8  # behind the heap's header, and that of the one text with its eight bytes
    size = int.from_bytes(content[heap + 8 : heap + 16], "little")
    assert int.from_bytes(content[free + 8 : free + 16], "little") == heap + size - free
    content[free + 8] ^= 64
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(SparseVQError, match="heap of texts at byte"):
        open_files(FileConfig(path=str(tmp_path / "a.h5"), arrays=("u",), dimensions=("time", "y", "x")), "damaged")


@pytest.mark.parametrize("form", ["hdf5", "netcdf", "matlab"])
def test_whatever_format_is_told(path, form):
    content = bytearray(path.read_bytes())
    at = content.index(SIGNATURE) + 16 + 8
    content[at : at + 8] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(SparseVQError, match=r"heap of texts|not NetCDF|not MATLAB"):
        open_files(FileConfig(path=str(path), format=form, arrays=("u",), dimensions=("time", "y", "x")), "damaged")


def test_heaps_near_either_end_are_found(path, monkeypatch):
    content = path.read_bytes()
    heaps = [at for at in range(len(content)) if content.startswith(SIGNATURE, at)]
    for heap, reach in ((heaps[0], heaps[0] + len(SIGNATURE)), (heaps[-1], len(content) - heaps[-1])):
        changed = bytearray(content)
        changed[heap + 16 + 8 + 6] = 1  # a size beyond the heap
        path.write_bytes(changed)
        monkeypatch.setattr(hdf5_heaps, "REACH", reach)
        with pytest.raises(ValueError, match=f"byte {heap} "):
            check_heaps(path)
