"""Reverse water-filling: closed forms of Cover & Thomas (2006), chapter 10."""

import math

import numpy as np
import pytest

from sparsevq.basis.bound import bits_needed, bits_per_component, levels_needed, rate_distortion, water_level

DECAYING = 1 / np.arange(1, 40) ** 1.7


@pytest.mark.parametrize("bits", [0, 0.5, 3, 20])
def test_one_gaussian_halves_its_deviation_with_each_bit(bits):
    """Theorem 10.3.2: D(R) = variance x 2^(-2R)."""
    assert rate_distortion([4.0], bits) == pytest.approx(4 * 2 ** (-2 * bits))


def test_equal_components_share_the_bits():
    assert bits_per_component([2.0] * 5, 10) == pytest.approx(np.full(5, 2.0))
    assert rate_distortion([2.0] * 5, 10) == pytest.approx(5 * 2 * 2**-4)


def test_two_components_by_hand():
    """Variances 16 and 1: up to 2 bits all go to the first, beyond that each bit is halved between them."""
    assert bits_per_component([1.0, 16.0], 2) == pytest.approx([0, 2])
    assert rate_distortion([1.0, 16.0], 2) == pytest.approx(2)
    assert bits_per_component([1.0, 16.0], 4) == pytest.approx([1, 3])
    assert rate_distortion([1.0, 16.0], 4) == pytest.approx(2 * 0.25)


@pytest.mark.parametrize("bits", [0, 0.1, 1, 8, 64, 500])
def test_bits_are_spent_and_the_water_is_level(bits):
    spent = bits_per_component(DECAYING, bits)
    assert spent.sum() == pytest.approx(bits)
    left = DECAYING * 2 ** (-2 * spent)
    assert left[spent > 0] == pytest.approx(water_level(DECAYING, bits))
    assert (DECAYING[spent == 0] <= water_level(DECAYING, bits) * (1 + 1e-12)).all()
    assert rate_distortion(DECAYING, bits) == pytest.approx(left.sum())


def test_the_slope_is_the_water_level():
    """dD/dR = -2 ln 2 x level: the last bit is worth the same wherever it goes."""
    slope = (rate_distortion(DECAYING, 30.001) - rate_distortion(DECAYING, 29.999)) / 0.002
    assert slope == pytest.approx(-2 * math.log(2) * water_level(DECAYING, 30), rel=1e-5)


def test_units_order_and_empty_components_do_not_matter():
    shuffled = np.random.default_rng(0).permutation(np.append(DECAYING, [0.0, 0.0]))
    assert rate_distortion(9 * shuffled, 12) == pytest.approx(9 * rate_distortion(DECAYING, 12))
    assert bits_per_component(9 * shuffled, 12).sum() == pytest.approx(12)
    assert rate_distortion([0.0, 0.0], 3) == 0
    assert bits_per_component([0.0, 0.0], 3).tolist() == [0, 0]


@pytest.mark.parametrize("bits", [0, 0.3, 2, 17, 300])
def test_bits_needed_undoes_rate_distortion(bits):
    assert bits_needed(DECAYING, rate_distortion(DECAYING, bits)) == pytest.approx(bits, abs=1e-9)


def test_bits_needed_at_the_ends():
    assert bits_needed(DECAYING, DECAYING.sum() * 2) == 0
    assert bits_needed(DECAYING, 0) == math.inf


def test_levels_are_the_fewest_that_suffice():
    for error in (0.5, 0.05, 0.005):
        levels = levels_needed(DECAYING, error, tokens=4, codes=16, share=0.25)
        assert rate_distortion(DECAYING, levels * 16) <= 0.25 * error
        assert levels == 1 or rate_distortion(DECAYING, (levels - 1) * 16) > 0.25 * error
    assert levels_needed(DECAYING, 1e9, tokens=4, codes=16) == 1
    with pytest.raises(ValueError, match="no number of bits leaves no error"):
        levels_needed(DECAYING, 0.0, tokens=4, codes=16)
