"""Readings expected from the others: the closed forms are those of solving again."""

import numpy as np
import pytest

from sparsevq.models.leave_one_out import contradicted, given, leave_one_out, precision_of


@pytest.fixture
def covariance():
    modes = np.random.default_rng(0).normal(size=(9, 4))
    return modes @ modes.T + 0.05 * np.eye(9)


def drawn(covariance, count, seed=1):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(len(covariance)), covariance, count)


def solved(covariance, readings, known, wanted):
    """Mean and std of a reading from those that are known, by conditioning."""
    across = covariance[wanted, known]
    solution = np.linalg.solve(covariance[np.ix_(known, known)], across)
    return solution @ readings[known], np.sqrt(covariance[wanted, wanted] - solution @ across)


def test_leaving_one_out_is_solving_without_it(covariance):
    (readings,) = drawn(covariance, 1)
    found = leave_one_out(precision_of(covariance), readings)
    for wanted in range(9):
        known = np.delete(np.arange(9), wanted)
        np.testing.assert_allclose((found.mean[wanted], found.std[wanted]), solved(covariance, readings, known, wanted))


def test_from_some_readings_all_others_are_expected(covariance):
    (readings,) = drawn(covariance, 1)
    known = np.array([0, 2, 3, 5, 7, 8])
    found = given(covariance, readings, np.isin(np.arange(9), known))
    for wanted in range(9):
        expected = solved(covariance, readings, np.setdiff1d(known, wanted), wanted)
        np.testing.assert_allclose((found.mean[wanted], found.std[wanted]), expected)
    nothing = given(covariance, readings, np.zeros(9, bool))
    np.testing.assert_array_equal(nothing.mean, 0)
    np.testing.assert_allclose(nothing.std, np.sqrt(np.diag(covariance)))


def test_true_readings_are_as_far_as_expected(covariance):
    readings = drawn(covariance, 4000)
    apart = leave_one_out(precision_of(covariance), readings).apart(readings)
    np.testing.assert_allclose(np.square(apart).mean(axis=0), 1, rtol=0.1)


@pytest.mark.parametrize("wrong", [[3], [0, 8], [1, 2, 6]])
def test_wrong_readings_are_found_and_no_others(covariance, wrong):
    (readings,) = drawn(covariance, 1, seed=3)
    readings[wrong] -= 9999 * np.arange(1, len(wrong) + 1)
    none = np.zeros(9, bool)
    found = contradicted(precision_of(covariance), readings, np.ones(9), 6, none)
    np.testing.assert_array_equal(np.flatnonzero(found), wrong)
    known = np.isin(np.arange(9), wrong[:1])
    np.testing.assert_array_equal(contradicted(precision_of(covariance), readings, np.ones(9), 6, known), found)


def test_a_single_reading_contradicts_nothing():
    assert not contradicted(np.eye(1), np.array([99.0]), np.ones(1), 6, np.zeros(1, bool)).any()
