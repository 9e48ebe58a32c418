"""Where fields and errors are shown as anomalies: where their time mean would hide what changes."""

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis
from sparsevq.basis.posterior import channel_variances

OF_VARIANCE = 2 / 3
"""A picture is of anomalies from this share on of a channel's variance (about one number) that its time mean has."""
OF_ENERGY = 0.99
"""Spectra and curves are of anomalies from this share on of a channel's mean square that its time mean has."""


def hidden_in_pictures(basis: Basis) -> npt.NDArray[np.bool_]:
    """``(C,)``: channels whose pictures would show little but the pattern of the time mean."""
    return np.asarray(basis.time_mean_share > OF_VARIANCE)


def hidden_in_energy(basis: Basis) -> npt.NDArray[np.bool_]:
    """``(C,)``: channels whose energy is nearly all that of the time mean, such as a temperature in kelvin."""
    area = basis.weights[:, None] / len(basis.weights)
    of_mean = (area * basis.mean.astype(np.float64) ** 2).sum(axis=0)
    of_anomalies = channel_variances(basis) * basis.scale.astype(np.float64) ** 2
    return np.asarray(of_mean > OF_ENERGY * (of_mean + of_anomalies))
