"""Gappy POD from the sensors' readings, propagated by DMD: the best linear forecast of this kind.

POD modes are those of the data set's basis, each point with the area (volume) that it stands for. The readings of one
frame give the modes' coefficients by least squares [1]_, regularised by the coefficients' training variances
(the statistical interpolation of weather forecasting: without it, a few sensors support a handful of modes only). DMD
[2]_ fitted on all pairs of consecutive training frames propagates them. The rank and the strength of the
regularisation are those with the smallest forecast error on the validation split, from the same frames and to the same
horizon as the cases. It looks at the last observed frame alone.

References
----------
.. [1] Everson & Sirovich, Karhunen-Loeve procedure for gappy data, J. Opt. Soc. Am. A 1995.
.. [2] Schmid, Dynamic mode decomposition of numerical and experimental data, J. Fluid Mech. 2010;
   Ichinaga et al., PyDMD, JMLR 2024.
"""

from collections.abc import Callable, Iterator

import numpy as np

from sparsevq.baselines.ridge import physical
from sparsevq.baselines.task import Array, BaselineForecast, Task
from sparsevq.baselines.validation import Windows, dressed, windows_from

Propagation = Callable[[Array, int], Array]

STRENGTHS = (0.0, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Variances of a reading's error, in units of the anomalies' variance, that the validation split chooses from."""


def pod_dmd(task: Task) -> BaselineForecast:
    """Forecast by gappy POD and DMD.

    Raises
    ------
    SparseVQError
        There is no validation trajectory to choose the rank on.
    """
    cases, model = task.cases, Propagated(task)

    def fields_of(windows: Windows, observed_frames: int) -> Iterator[Array]:
        for coefficients in model.coefficients(task.anomalies(*windows)):
            yield physical(model.basis, coefficients)

    fields = np.stack(list(fields_of(Windows(cases.trajectory, cases.start_frame), 1)))
    return BaselineForecast(fields, dressed(task, fields_of), model.chosen, model.parameters)


class Propagated:
    """Gappy POD of the last observed frame, propagated by DMD; both as the validation split prefers them.

    Attributes
    ----------
    basis
        With the modes that may be used.
    chosen
        Rank and strength, and their error on the validation split.
    """

    def __init__(self, task: Task):
        self._horizon = task.cases.horizon
        self.basis = task.basis.leading(max(task.settings.pod_ranks))
        coefficients = task.learned_from[1][..., : len(self.basis.modes)]  # (flow, F, r)
        self._at_sensors = self.basis.modes[:, task.sparse][:, task.reads].T  # (m, r): a row for each channel read
        windows = windows_from(task, np.unique(task.cases.start_frame))
        validation = task.validation(windows, self.basis, self._horizon + 1)
        readings = task.anomalies(*windows)
        best_error, rank, strength = np.inf, 1, 0.0
        for candidate in sorted({min(candidate, len(self.basis.modes)) for candidate in task.settings.pod_ranks}):
            propagate = fit_dmd(coefficients[..., :candidate])
            for candidate_strength in STRENGTHS:
                guess = self._forecast(readings, propagate, candidate, candidate_strength)
                error = float(validation.relative_l2(guess)[1:].mean())
                if error < best_error:
                    best_error, rank, strength = error, candidate, candidate_strength
        self._best = fit_dmd(coefficients[..., :rank])
        self._rank, self._strength = rank, strength
        self.chosen = {"rank": rank, "regularisation": strength, "validation_relative_l2": best_error}

    @property
    def parameters(self) -> int:
        """Numbers in the modes, their variances and the propagation."""
        return int(self.basis.modes[: self._rank].size + self._rank + self._rank**2)

    def coefficients(self, readings: Array) -> Array:
        """``(B, horizon + 1, r)`` from normalised anomalies ``(B, k, m)``, the last frame of which counts."""
        return self._forecast(readings, self._best, self._rank, self._strength)

    def _forecast(self, readings: Array, propagate: Propagation, rank: int, strength: float) -> Array:
        start = gappy_pod(readings[:, -1], self._at_sensors[:, :rank], self.basis.std[:rank], strength)
        return np.concatenate([start[:, None], propagate(start, self._horizon)], axis=1)  # (B, L + 1, rank)


# ------------------------------------------------------------------------------------------------ the three parts


def gappy_pod(readings: Array, at_sensors: Array, std: Array, strength: float) -> Array:
    """Coefficients of the modes from readings at a few points: ``min |y - P a|^2 + strength * sum (a / std)^2``.

    With Gaussian coefficients of that std and reading errors of variance `strength` it is their posterior mean. Of all
    solutions at strength 0 it takes the smallest in that norm.

    Parameters
    ----------
    readings
        ``(B, m)`` anomalies.
    at_sensors
        ``(m, r)`` the modes at the sensors.
    std
        ``(r,)`` standard deviation of each coefficient over the training flows.
    strength
        0 or above.

    Returns
    -------
    ``(B, r)``
    """
    scaled = at_sensors.astype(np.float64) * std
    if strength > 0:
        scaled = np.concatenate([scaled, np.sqrt(strength) * np.eye(len(std))])
        readings = np.concatenate([readings, np.zeros((len(readings), len(std)))], axis=1)
    return (np.linalg.pinv(scaled) @ readings.T.astype(np.float64)).T * std


def fit_dmd(coefficients: Array) -> Propagation:
    """DMD of many trajectories at once, fitted to all their pairs of consecutive frames, without truncation.

    Parameters
    ----------
    coefficients
        ``(trajectory, F, r)``.

    Returns
    -------
    A function ``(start (B, r), horizon L) -> (B, L, r)``: the coefficients at 1 ... L frames after the start.
    """
    # Imported here: it takes seconds, which whoever evaluates without this baseline need not wait.
    from pydmd import DMD

    rank = coefficients.shape[-1]
    before = coefficients[:, :-1].reshape(-1, rank).T.astype(np.float64)
    after = coefficients[:, 1:].reshape(-1, rank).T.astype(np.float64)
    dmd = DMD(svd_rank=-1).fit(before, after)
    eigenvalues, modes = dmd.eigs, dmd.modes  # (r,), (r, r)
    inverse = np.linalg.pinv(modes)

    def propagate(start: Array, horizon: int) -> Array:
        powers = eigenvalues ** np.arange(1, horizon + 1)[:, None]  # (L, r)
        amplitudes = start @ inverse.T  # (B, r)
        return ((amplitudes[:, None] * powers) @ modes.T).real

    return propagate
