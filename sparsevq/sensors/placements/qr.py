"""Sensors at QR pivots of the modes (Manohar et al., IEEE Control Systems 38(3), 2018)."""

import numpy as np

from sparsevq.basis.basis import Basis
from sparsevq.sensors.placements.sites import Flags, Indices, Sites

ROUNDING = 1e-6
"""Share of the largest variance of a point below which nothing is left but the rounding of float32."""


def pivots(basis: Basis, sites: Sites, num_sensors: int, reads: Flags, before: Indices | None = None) -> Indices:
    """The first pivots.

    The modes are scaled by their deviations, so that a pivot is the point at which the readings of those before leave
    the most variance; a sensor measures the channels that it reads (C,), so that these columns of a point are
    eliminated together. What the modes leave of a point's variance is its own: where all modes are seen, it decides.

    Parameters
    ----------
    before
        Points of sensors that are there already, which need not be among the sites.
    """
    modes = basis.modes if reads.all() else basis.modes[..., reads]  # (r, N, channels that are read)
    scaled = basis.std.astype(np.float32)
    own_variance = basis.residual[:, reads].sum(axis=1)
    left = (np.einsum("k,knc,knc->n", basis.std**2, modes, modes) + own_variance)[sites.points]
    least = ROUNDING * left.max()
    seen = np.zeros((0, len(scaled)), np.float32)  # orthonormal directions among the scaled coefficients
    chosen: list[int] = []
    there = [] if before is None else before.tolist()
    for number in range(len(there) + num_sensors):
        if number < len(there):
            point = there[number]
        else:
            sites.require_free(len(chosen), num_sensors)
            point = int(sites.points[np.where(sites.free, left, -np.inf).argmax()])
            chosen.append(point)
        sites.take(point)
        own = modes[:, point].T * scaled  # (channels, r)
        own = own - own @ seen.T @ seen
        _, values, directions = np.linalg.svd(own, full_matrices=False)
        new = directions[values**2 > least]
        seen = np.concatenate([seen, new])
        left -= np.square(np.tensordot(new * scaled, modes, 1)[:, sites.points]).sum(axis=(0, 2))
    return np.array(chosen, dtype=np.int64)
