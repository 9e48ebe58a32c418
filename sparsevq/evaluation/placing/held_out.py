"""The error of the linear estimate from sensors at any places, measured on held-out frames."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis
from sparsevq.basis.posterior import Posterior, blocks, inner_products
from sparsevq.data.field_data import FieldData, Split
from sparsevq.errors import SparseVQError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

MOST_FRAMES = 256
"""Frames that are looked at, spread evenly over trajectories and time."""
MOST_BYTES = 2**29
"""Of these frames in memory."""


class HeldOut:
    """Frames of a split as anomalies, and what is needed to compare fields of modes with them without making any.

    The squared error of coefficients a is ``|u|^2 - 2 a b + a G a``: b are the products of the frame with the modes,
    and G those of the modes with each other, over the points that are valid in the frame's trajectory.

    Parameters
    ----------
    data, basis
        The data set.
    split
        Which frames.
    importance
        ``(C,)`` how much the squared normalised error of each channel counts.

    Raises
    ------
    SparseVQError
        The split is empty.
    """

    def __init__(self, data: FieldData, basis: Basis, split: Split, importance: Floats):
        trajectories = data.trajectories(split)
        if not len(trajectories):
            raise SparseVQError(f"{data.name} has no trajectory of the split {split}", "measure on another split")
        self.split, self._basis = split, basis
        frames = data.flat_fields.shape[1]
        most = int(np.clip(MOST_BYTES // (4 * basis.mean.size), 1, MOST_FRAMES))
        trajectories = trajectories[_evenly(len(trajectories), most)]
        chosen = _evenly(frames, max(1, most // len(trajectories)))
        self._valid = np.repeat(data.flat_mask[trajectories], len(chosen), axis=0)  # (f, N)
        fields = np.concatenate([data.flat_fields[trajectory][chosen] for trajectory in trajectories])
        self._anomalies = basis.normalised(fields)
        self._anomalies[~self._valid] = 0
        area = (basis.weights[:, None] * importance / len(basis.weights)).astype(np.float32)  # (N, C)
        by_area = (self._anomalies * area).reshape(len(fields), -1)
        self._products = (by_area @ basis.modes.reshape(len(basis.modes), -1).T).astype(np.float64)  # (f, r)
        self._energy = np.einsum("fk,fk->f", by_area, self._anomalies.reshape(len(fields), -1), dtype=np.float64)
        self._of_modes = inner_products(basis, importance)
        self._masked = [
            (np.arange(len(chosen)) + row * len(chosen), self._of_masked(area, ~self._valid[row * len(chosen)]))
            for row in range(len(trajectories))
        ]

    def __len__(self) -> int:
        return len(self._energy)

    @property
    def anomalies(self) -> float:
        """Mean squared normalised anomaly: the squared error of the time mean."""
        return float(self._energy.mean())

    def _of_masked(self, area: Array, masked: Array) -> Floats | None:
        """Products of the modes over points that are not valid; None: all are."""
        if not masked.any():
            return None
        inside = self._basis.modes[:, masked].reshape(len(self._basis.modes), -1)
        weights, found = area[masked].ravel(), np.zeros((len(inside),) * 2)
        for cut in blocks(*inside.shape):
            found += ((inside[:, cut] * weights[cut]) @ inside[:, cut].T).astype(np.float64)
        return found

    def error(self, posterior: Posterior, points: Array, reads: Array, noise: Floats, seed: int = 0) -> float:
        """Mean squared error of the fields over the frames.

        Parameters
        ----------
        posterior
            Given the readings of these sensors.
        points
            ``(n,)`` flat indices of the sensors.
        reads
            ``(n, C)`` what they read.
        noise
            ``(C,)`` standard deviation of the readings' errors, normalised, which are added.
        seed
            Of these errors.
        """
        if not len(points):
            return self.anomalies
        modes = self._basis.modes[:, points][:, reads].T  # (m, r)
        errors = np.broadcast_to(noise, reads.shape)[reads]
        gain = posterior.gain(modes, self._basis.residual[points][reads] + np.square(errors))
        readings = self._anomalies[:, points][:, reads].astype(np.float64)
        readings += errors * np.random.default_rng(seed).standard_normal(readings.shape)
        found = readings @ gain.T  # (f, r)
        squares = self._energy - 2 * np.einsum("fk,fk->f", found, self._products)
        squares += np.einsum("fk,fk->f", found @ self._of_modes, found)
        for rows, masked in self._masked:
            if masked is not None:
                squares[rows] -= np.einsum("fk,fk->f", found[rows] @ masked, found[rows])
        return float(np.maximum(squares, 0).mean())


def _evenly(available: int, most: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, available - 1, min(available, most)).round().astype(np.int64))
