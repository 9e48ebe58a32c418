"""The index dump as stage 3 reads it: each fault is one line."""

import shutil

import h5py
import numpy as np
import pytest
import torch

from sparsevq.errors import SparseVQError
from sparsevq.runs.codes import read_codes
from tests.edited import edited


@pytest.fixture
def path(trained, tmp_path):
    return shutil.copy(trained.codes_path, tmp_path / "codes.h5")


def test_codes_are_read_as_they_were_written(path):
    codes = read_codes(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(codes.sparse, file["sparse"][()])
        np.testing.assert_array_equal(codes.semi_sparse, file["semi_sparse"][()])
        np.testing.assert_array_equal(codes.codebook, file["codebook"][()])
    assert codes.sparse.dtype == torch.int64
    assert codes.codebook.dtype == torch.float32
    assert [codes.of(split).tolist() for split in ("train", "val", "test")] == [[0, 1, 2, 3], [4], [5, 6]]


def test_a_dump_of_version_1_has_one_codebook_for_all_positions(path):
    now = read_codes(path)
    with edited(path) as file:
        codebook = file["codebook"][0]
        del file["codebook"]
        file["codebook"] = codebook
        file.attrs["schema_version"] = 1
    before = read_codes(path)
    assert torch.equal(before.codebook, now.codebook)
    assert torch.equal(before.sparse, now.sparse)


def test_a_dump_of_a_later_version_is_one_line(path):
    with edited(path) as file:
        file.attrs["schema_version"] = 3
    with pytest.raises(
        SparseVQError, match="has version 3 of the layout sparsevq-codes; this sparsevq reads version 1 or"
    ):
        read_codes(path)


def _set(name, value):
    def damage(file):
        if name in file:
            del file[name]
        file[name] = value

    return damage


def _too_high(file):
    file["semi_sparse"][0, 0, 0, 0, 0] = 16


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_too_high, "an index is outside the codebook of 16"),
        (_set("codebook", np.zeros((1, 2, 9, 8), np.float32)), "an index is outside the codebook of 9"),
        (
            _set("codebook", np.zeros((1, 3, 16, 8), np.float32)),
            "sparse, semi_sparse and codebook do not fit each other",
        ),
        (_set("semi_sparse", np.zeros((2, 7, 9, 4, 2), np.int16)), "do not fit each other"),
        (_set("codebook", np.zeros((3, 2, 16, 8), np.float32)), "do not fit each other"),
        (_set("tokens_sparse", np.zeros((2, 7, 10, 4, 9), np.float16)), r"/tokens_sparse has shape"),
        (_set("sparse", np.zeros((2, 7, 10, 8), np.int16)), "/sparse has shape"),
        (_set("split", ["train"] * 3), r"/split has shape \(3,\), not \(7\)"),
        (lambda file: file.__delitem__("codebook"), "/codebook is missing"),
        (lambda file: file.attrs.__setitem__("schema", "sparsevq-data"), "is a sparsevq-data file"),
    ],
)
def test_a_fault_is_one_line(path, damage, message):
    with edited(path) as file:
        damage(file)
    with pytest.raises(SparseVQError, match=message) as caught:
        read_codes(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_set("readings", np.zeros((2, 7, 9, 12), np.float32)), r"/readings has shape \(2, 7, 9, 12\)"),
        (_set("coefficients", np.zeros((2, 7, 10), np.float16)), "/coefficients has shape"),
        (_set("center", np.zeros(3, np.float32)), r"/center has shape \(3,\), not \(\d+\)"),
        (lambda file: file.__delitem__("readings"), "/readings is missing"),
        (lambda file: file.__delitem__("center"), "/center is missing"),
        (lambda file: file.__delitem__("groups"), "/groups is missing"),
    ],
)
def test_a_fault_in_what_a_regression_learns_from_is_one_line(guessing, tmp_path, damage, message):
    path = shutil.copy(guessing.codes_path, tmp_path / "codes.h5")
    with edited(path) as file:
        damage(file)
    with pytest.raises(SparseVQError, match=message) as caught:
        read_codes(path)
    assert "\n" not in str(caught.value)


def test_a_dump_of_groups_without_coefficients_is_read(guessing, tmp_path):
    """As earlier ones of version 2 are."""
    path = shutil.copy(guessing.codes_path, tmp_path / "codes.h5")
    with edited(path) as file:
        for name in ("readings", "coefficients", "center", "groups"):
            del file[name]
    before, now = read_codes(path), read_codes(guessing.codes_path)
    assert before.coefficients is None and before.groups == ()
    assert torch.equal(before.sparse, now.sparse) and torch.equal(before.tokens_sparse, now.tokens_sparse)


def test_a_missing_dump_is_one_line(tmp_path):
    with pytest.raises(SparseVQError, match=r"codes\.h5 is missing"):
        read_codes(tmp_path / "codes.h5")
