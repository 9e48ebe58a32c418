"""What readings leave open of a field, before any is taken: the posterior covariance of optimal interpolation.

Coefficients of the modes are Gaussian with the training flows' variances, readings are of the modes and have
independent errors: of the instrument, and of what the modes leave at the place. What the posterior leaves then does not
depend on the values that are read. The estimate itself is `sparsevq.models.estimate`.

References
----------
Gandin, Objective analysis of meteorological fields, 1965.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

LEAST_ERROR = 1e-6
"""Variance of a reading's error, normalised, below which the equations are badly conditioned: as in the estimate."""


class Posterior:
    """Covariance of the coefficients given what has been read; without readings the prior.

    Parameters
    ----------
    std
        ``(r,)`` standard deviation of the coefficients.

    Attributes
    ----------
    covariance
        ``(r, r)``.
    """

    def __init__(self, std: Array):
        self.covariance: Floats = np.diag(np.square(std, dtype=np.float64))

    def read(self, modes: Array, error: Array) -> tuple[Floats, Floats]:
        """Take q more readings into account: modes where they are taken ``(q, r)``, variance of each error ``(q,)``.

        Returns
        -------
        ``C H^T`` ``(r, q)`` of the covariance before, and ``(H C H^T + R)^-1`` ``(q, q)``: what is taken off the
        covariance is the one times the other times the first transposed.
        """
        at = modes.astype(np.float64)
        across = self.covariance @ at.T
        inverse = np.linalg.inv(at @ across + np.diag(np.maximum(error, LEAST_ERROR)))
        self.covariance = self.covariance - across @ inverse @ across.T
        return across, (inverse + inverse.T) / 2

    def gain(self, modes: Array, error: Array) -> Floats:
        """``(r, m)`` what makes the posterior mean of all readings, if these are all that have been read."""
        return (self.covariance @ modes.T.astype(np.float64)) / np.maximum(error, LEAST_ERROR)

    def variance(self, modes: Array) -> Floats:
        """``(...)`` posterior variance of the fields of modes ``(r, ...)``, without what the modes leave."""
        flat = modes.reshape(len(modes), -1)
        found = np.concatenate(
            [
                np.einsum("kn,kn->n", self.covariance @ part, part)
                for part in (flat[:, cut].astype(np.float64) for cut in blocks(*flat.shape))
            ]
        )
        return np.maximum(found, 0).reshape(modes.shape[1:])


def inner_products(basis: Basis, importance: Array) -> Floats:
    """``(r, r)`` area-mean products of the modes, channels weighted by `importance` ``(C,)``; if that is 1, identity.

    The expected squared error of fields in that norm is the trace of this times the posterior covariance, and
    `left_by_modes`.
    """
    if (importance == 1).all():
        return np.eye(len(basis.std))
    weights = (basis.weights[:, None] * importance / len(basis.weights)).ravel()
    flat = basis.modes.reshape(len(basis.modes), -1)
    found = np.zeros((len(flat), len(flat)))
    for cut in blocks(*flat.shape):
        part = flat[:, cut].astype(np.float64)
        found += (part * weights[cut]) @ part.T
    return found


def left_by_modes(basis: Basis, importance: Array) -> float:
    """Area-mean variance that the modes leave, channels weighted by `importance` ``(C,)``."""
    return float((basis.weights[:, None] * importance * basis.residual).sum() / len(basis.weights))


def channel_variances(basis: Basis) -> Floats:
    """``(C,)`` area-mean variance of the normalised anomalies of each channel."""
    at_points = np.einsum("k,knc,knc->nc", basis.std**2, basis.modes, basis.modes) + basis.residual
    found: Floats = (basis.weights[:, None] * at_points).mean(axis=0)
    return found


def blocks(rows: int, columns: int, at_once: int = 2**23) -> list[slice]:
    """Cuts of a matrix's columns: so many that at most `at_once` numbers are in float64 at a time."""
    step = max(1, at_once // max(rows, 1))
    return [slice(start, start + step) for start in range(0, columns, step)] or [slice(0, 0)]
