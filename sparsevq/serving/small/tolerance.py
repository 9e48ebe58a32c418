"""How exact the numbers of a run need to be, for fields that differ by no more than a share of their anomalies.

What is stored is coefficients of modes, or makes coefficients. Their squared error is that of the normalised field, so
an error of variance `theta` in each coefficient, or the whole of a coefficient that varies less, is the least that
could be stored for its sum (reverse water-filling: Cover & Thomas, Elements of information theory 2006, section
10.3.3). Rounding to multiples of a step has the variance of its square over 12.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis

Floats = npt.NDArray[np.float64]


def water_level(variances: Floats, total: float) -> float:
    """The level whose part of each of the variances, at most the whole of it, adds to `total` (below their sum)."""
    ordered = np.sort(variances)
    below = np.concatenate([[0.0], np.cumsum(ordered)[:-1]])  # of those that are left out whole
    levels = (total - below) / np.arange(len(ordered), 0, -1)
    fits = levels <= ordered
    return float(levels[fits][0]) if fits.any() else float(ordered[-1])


@dataclass(frozen=True, eq=False)
class Tolerance:
    """What errors are allowed.

    Attributes
    ----------
    share
        Of the rms of anomalies: the rms of the error that rounding one thing alone may make.
    variance
        Of the normalised anomalies, area mean, summed over channels.
    std
        ``(r,)`` of the coefficients.
    channels
        Of the field.
    """

    share: float
    variance: float
    std: Floats
    channels: int

    @classmethod
    def of(cls, basis: Basis, share: float) -> "Tolerance":
        """By the modes and variances of a basis."""
        return cls(share, basis.variance, basis.std, basis.mean.shape[1])

    @property
    def allowed(self) -> float:
        """Variance of the error of a frame, summed over its coefficients."""
        return self.share**2 * self.variance

    @property
    def step(self) -> float:
        """Of coefficients, the same for all."""
        return (12 * water_level(self.std**2, self.allowed)) ** 0.5

    def of_modes(self) -> Floats:
        """``(r,)`` steps of the modes' values: what varies little may be rounded much."""
        return self.step / (self.std.clip(1e-30) * self.channels**0.5)
