"""What each of jointly Gaussian readings is expected to be, given the others; and those that the others contradict."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Expected:
    """`mean` and `std` (m,) of each reading, given others."""

    mean: Array
    std: Array

    def apart(self, readings: Array) -> Array:
        """How far readings (..., m) are from what is expected, in units of its std."""
        found: Array = np.abs(readings - self.mean) / self.std
        return found


def precision_of(covariance: Array) -> Array:
    """The inverse (m, m) of a covariance."""
    factor = np.linalg.cholesky(covariance)
    half = np.linalg.solve(factor, np.eye(len(covariance)))
    found: Array = half.T @ half
    return found


def leave_one_out(precision: Array, readings: Array) -> Expected:
    """Each of the readings (..., m) from all others, without solving again for each.

    Parameters
    ----------
    precision
        (m, m) inverse of the readings' covariance; their mean is 0.

    References
    ----------
    Rasmussen & Williams, Gaussian processes for machine learning, 2006, equation 5.12.
    """
    own = np.diag(precision)
    return Expected(readings - readings @ precision / own, 1 / np.sqrt(own))


def contradicted(precision: Array, readings: Array, inflation: Array, limit: float, already: Flags) -> Flags:
    """Which readings (m,) are more than `limit` standard deviations from what the others say.

    The worst is left out before the others are compared again: a wrong reading spoils what is expected of its
    neighbours, but never more than what is expected of itself.

    Parameters
    ----------
    inflation
        (m,) that each expected std is multiplied by.
    already
        (m,) readings that are known to be wrong, and are left out from the beginning.
    """
    wrong = already.copy()
    kept = np.arange(len(readings))
    for each in np.flatnonzero(already):
        kept, precision = _without(kept, precision, int(np.flatnonzero(kept == each)[0]))
    while len(kept) > 1:
        expected = leave_one_out(precision, readings[kept])
        apart = expected.apart(readings[kept]) / inflation[kept]
        worst = int(apart.argmax())
        if apart[worst] <= limit:
            break
        wrong[kept[worst]] = True
        kept, precision = _without(kept, precision, worst)
    return wrong


def given(covariance: Array, readings: Array, known: Flags) -> Expected:
    """All readings (m,), each from those that are `known`, itself left out."""
    mean, variance = np.zeros(len(readings)), np.diag(covariance).copy()
    if known.any():
        precision = precision_of(covariance[np.ix_(known, known)])
        across = covariance[:, known] @ precision
        mean, variance = across @ readings[known], variance - np.einsum("ij,ij->i", across, covariance[:, known])
        own = leave_one_out(precision, readings[known])
        mean[known], variance[known] = own.mean, own.std**2
    return Expected(mean, np.sqrt(np.maximum(variance, np.finfo(float).tiny)))


def _without(kept: npt.NDArray[np.int64], precision: Array, place: int) -> tuple[npt.NDArray[np.int64], Array]:
    """The precision of all readings but the one at a place."""
    column = precision[:, place]
    left = precision - np.outer(column, column) / column[place]
    return np.delete(kept, place), np.delete(np.delete(left, place, 0), place, 1)
