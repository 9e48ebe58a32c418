"""Sensors where each lowers the expected error of the linear estimate the most, given those before.

The expected squared error of the field is the trace of the coefficients' posterior covariance C in the norm of the
fields, G: reading the modes h (q, r) at a point, with errors of variance R, takes ``tr[(h C h^T + R)^-1 h C G C h^T]``
off it. For all points that is kept up to date by what one reading changes, of rank q: one product of the modes with 2 q
vectors for each sensor, and no solve but of q equations. What is found is the best sensor at each step, which need not
be the best set.

    r modes, n points, q channels that are read

References
----------
Krause, Singh & Guestrin, Near-optimal sensor placements in Gaussian processes, JMLR 9, 2008 (greedy choice); the update
of the covariance is that of a Kalman filter.
"""

from copy import copy

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis
from sparsevq.basis.posterior import LEAST_ERROR, Posterior, blocks, inner_products, left_by_modes
from sparsevq.sensors.placements.sites import Flags, Indices, Sites

Floats = npt.NDArray[np.float64]

NOT_READ = 1e30
"""Variance of the error of a reading that is not taken."""


class ExpectedError:
    """The expected squared error of the field as the linear estimate makes it from readings of more and more sensors.

    Parameters
    ----------
    basis
        Of the data set.
    noise
        ``(C,)`` standard deviation of the readings' errors, normalised.
    importance
        ``(C,)`` how much the squared normalised error of each channel counts; None: 1, as in the norm of the basis.
    """

    def __init__(self, basis: Basis, noise: Floats, importance: Floats | None = None) -> None:
        weights = np.ones(len(noise)) if importance is None else importance
        self.basis, self.noise, self.posterior = basis, noise, Posterior(basis.std)
        self.products, self._left = inner_products(basis, weights), left_by_modes(basis, weights)
        self.plain = bool((weights == 1).all())

    def before_any(self) -> "ExpectedError":
        """The same before any sensor is read."""
        found = copy(self)
        found.posterior = Posterior(self.basis.std)
        return found

    @property
    def value(self) -> float:
        """Area-mean squared error of the normalised field, with what the modes leave."""
        return float(np.sum(self.products * self.posterior.covariance)) + self._left

    def read(self, point: int, reads: Flags) -> tuple[Floats, Floats]:
        """A sensor stands at a point (flat index) and reads channels ``(C,)``; as `Posterior.read`."""
        error = self.basis.residual[point] + np.square(self.noise)
        return self.posterior.read(self.basis.modes[:, point, reads].T, error[reads])


class ExpectedGain:
    """How much one more sensor at each of the points would take off the expected squared error.

    Parameters
    ----------
    error
        The expected error, before any sensor is read.
    points
        ``(n,)`` flat indices.
    reads
        ``(n, C)`` the channels that a sensor at each point reads.
    """

    def __init__(self, error: ExpectedError, points: Indices, reads: Flags) -> None:
        self.error, basis = error, error.basis
        used = reads.any(axis=0)
        self._shape = len(points), int(used.sum())
        rows = basis.modes[:, points][..., used]
        self._rows = rows.reshape(len(rows), -1)  # (r, n q)
        of_reading = basis.residual[points].astype(np.float64) + np.square(error.noise)
        of_reading = np.where(reads, np.maximum(of_reading, LEAST_ERROR), NOT_READ)[:, used]
        self._read = np.zeros((*self._shape, self._shape[1]))  # h C h^T + R
        self._gained = np.zeros_like(self._read)  # h C G C h^T
        self._begin(of_reading)

    def _begin(self, error: Floats) -> None:
        points, channels = self._shape
        variance = np.square(self.error.basis.std)
        step = max(1, 2**22 // max(len(self._rows) * channels, 1))
        for first in range(0, points, step):
            part = self._rows[:, first * channels : (first + step) * channels].astype(np.float64)
            part = part.reshape(len(part), -1, channels)
            seen = variance[:, None, None] * part
            self._read[first : first + step] = np.einsum("kic,kid->icd", part, seen, optimize=True)
            other = seen if self.error.plain else np.tensordot(self.error.products, seen, 1)
            self._gained[first : first + step] = np.einsum("kic,kid->icd", seen, other, optimize=True)
        each = np.arange(channels)
        self._read[:, each, each] += error

    def at_points(self) -> Floats:
        """``(n,)`` what a sensor at each point would take off the expected error."""
        if self._shape[1] == 1:
            found = self._gained[:, 0, 0] / self._read[:, 0, 0]
        else:
            found = np.trace(np.linalg.solve(self._read, self._gained), axis1=1, axis2=2)
        return np.maximum(found, 0)

    def read(self, point: int, reads: Flags) -> None:
        """A sensor stands at a point (flat index) and reads channels ``(C,)``."""
        before = self.error.posterior.covariance
        across, inverse = self.error.read(point, reads)
        by_field = across if self.error.plain else self.error.products @ across
        within, onwards = across.T @ by_field, before @ by_field  # (q', q'), (r, q')
        both = np.concatenate([across, onwards], axis=1).T  # (2 q', r)
        points, channels = self._shape
        count = len(within)
        found = np.concatenate([both @ self._rows[:, cut].astype(np.float64) for cut in blocks(*self._rows.shape)], 1)
        found = found.reshape(2 * count, points, channels)
        seen, further = found[:count].transpose(1, 2, 0), found[count:].transpose(1, 2, 0)  # (n, q, q')
        known = seen @ inverse  # (n, q, q')
        cross = known @ further.swapaxes(1, 2)
        self._read -= known @ seen.swapaxes(1, 2)
        self._gained += known @ within @ known.swapaxes(1, 2) - cross - cross.swapaxes(1, 2)


def greedy(gain: ExpectedGain, sites: Sites, reads: Flags, count: int) -> tuple[Indices, Floats]:
    """Sensors one after the other, each at the free point of the largest gain.

    Parameters
    ----------
    gain
        Of the points of the `sites`; sensors that are there already have been read.
    sites
        Where sensors may stand.
    reads
        ``(n, C)`` channels that a sensor at each of these points reads.
    count
        How many.

    Returns
    -------
    chosen
        ``(count,)`` flat indices.
    expected
        ``(count + 1,)`` expected squared error without them, and after each.

    Raises
    ------
    SparseVQError
        So many do not fit as far apart as they must be.
    """
    chosen: list[int] = []
    expected = [gain.error.value]
    for _ in range(count):
        sites.require_free(len(chosen), count)
        best = int(np.where(sites.free, gain.at_points(), -1.0).argmax())
        chosen.append(int(sites.points[best]))
        sites.take(chosen[-1])
        gain.read(chosen[-1], reads[best])
        expected.append(gain.error.value)
    return np.array(chosen, dtype=np.int64), np.array(expected)


def expected_errors(error: ExpectedError, points: Indices, reads: Flags) -> Floats:
    """``(n + 1,)`` expected squared error as it is, and after each of the sensors at points ``(n,)`` is read."""
    found = [error.value]
    for point, channels in zip(points.tolist(), reads, strict=True):
        error.read(point, channels)
        found.append(error.value)
    return np.array(found)
