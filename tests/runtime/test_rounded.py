"""Rounded arrays: errors of half a step at most, few bytes, and damage that shows."""

import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.runtime.rounded import Rounded, decoded, encoded, rounded


def test_values_are_off_by_half_a_step_at_most():
    values = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    steps = np.geomspace(0.001, 1, 40)[:, None]
    found = rounded(values, steps).values
    assert found.dtype == np.float32
    assert (np.abs(found - values) <= steps / 2 + 1e-6).all()
    assert np.abs(found - values).max() > 0.4  # and no better than asked for


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_whole_numbers_stay(dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    found = rounded(values, 5.0).values
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


def test_numbers_come_back():
    numbers = np.array([[0, 1, -1, 127], [-128, 2**29, -(2**29), 3]], np.int32)
    np.testing.assert_array_equal(decoded(encoded(numbers), numbers.shape), numbers)
    assert decoded(encoded(numbers[:0]), (0, 4)).shape == (0, 4)


def test_few_bytes_are_near_the_entropy():
    """Of Gaussian values with steps of their std it is 2.05 bits a value."""
    values = np.random.default_rng(0).normal(size=100_000)
    bits = 8 * len(encoded(rounded(values, 1.0).numbers)) / len(values)
    assert 2.05 < bits < 2.3


def test_what_cannot_be_rounded_is_refused():
    for values in (np.array([np.nan]), np.array([np.inf]), np.array([1e12])):
        with pytest.raises(ValueError, match="not finite, or"):
            rounded(values, 1.0)
    with pytest.raises(ValueError, match="steps must be positive"):
        rounded(np.ones(3), np.array([1.0, 0.0, 1.0]))


def test_damage_shows():
    stored = encoded(np.arange(100, dtype=np.int32))
    with pytest.raises(SparseVQError, match="cannot be read"):
        decoded(stored[:-9], (100,))
    with pytest.raises(SparseVQError, match="there are 100 rounded numbers, not 101"):
        decoded(stored, (101,))


def test_float16_stays_float16():
    half = np.linspace(-1, 1, 9).astype(np.float16)
    found = Rounded(rounded(half, 0.25).numbers, np.float32(0.25), "float16").values
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, half)
