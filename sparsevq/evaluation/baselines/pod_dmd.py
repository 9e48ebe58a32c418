"""Gappy POD from the sensors' readings, propagated by DMD: the best linear forecast of this kind.

POD modes are those of the data set's basis, each point with the area (volume) that it stands for. The readings of one
frame give the modes' coefficients by least squares [1]_, regularised by the coefficients' training variances
(the statistical interpolation of weather forecasting: without it, a few sensors support a handful of modes only). DMD
[2]_ fitted on all pairs of consecutive training frames propagates them. The rank and the strength of the
regularisation are those with the smallest forecast error on the validation split.

References
----------
.. [1] Everson & Sirovich, Karhunen-Loeve procedure for gappy data, J. Opt. Soc. Am. A 1995.
.. [2] Schmid, Dynamic mode decomposition of numerical and experimental data, J. Fluid Mech. 2010;
   Ichinaga et al., PyDMD, JMLR 2024.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.basis.basis import Basis
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.baselines.task import BaselineForecast, Task

Array = NDArray[Any]

STRENGTHS = (0.0, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Variances of a reading's error, in units of the anomalies' variance, that the validation split chooses from."""


def pod_dmd(task: Task) -> BaselineForecast:
    """Forecast by gappy POD and DMD.

    Raises
    ------
    SparseVQError
        There is no validation trajectory to choose the rank on.
    """
    cases = task.cases
    basis = task.basis.leading(max(task.settings.pod_ranks))
    mean, modes = basis.mean, basis.modes.reshape(len(basis.modes), -1)  # (N, C), (r, N * C)
    coefficients = training_coefficients(task, len(modes))  # (flow, F, r)
    at_sensors = basis.modes[:, task.sparse][:, task.reads].T  # (m, r): a row for each channel that a sensor reads

    def estimate(readings: Array, rank: int, strength: float) -> Array:
        anomalies = ((readings - mean[task.sparse]) / basis.scale)[:, task.reads]
        return gappy_pod(anomalies, at_sensors[:, :rank], basis.std[:rank], strength)

    validation = _Validation(task, basis)
    best_error, rank, strength = np.inf, 1, 0.0
    for candidate in sorted({min(candidate, len(modes)) for candidate in task.settings.pod_ranks}):
        propagate = fit_dmd(coefficients[..., :candidate])
        for candidate_strength in STRENGTHS:
            start = estimate(validation.readings, candidate, candidate_strength)
            error = validation.relative_l2(propagate(start, cases.horizon))
            if error < best_error:
                best_error, rank, strength = error, candidate, candidate_strength

    start = estimate(task.readings, rank, strength)
    forecast = fit_dmd(coefficients[..., :rank])(start, cases.horizon)  # (case, L, r)
    fields = (forecast.astype(np.float32) @ modes[:rank]).reshape(len(cases), cases.horizon, *mean.shape)
    fields *= basis.scale
    fields += mean
    chosen: dict[str, float | int | str] = {
        "rank": rank,
        "regularisation": strength,
        "validation_relative_l2": best_error,
    }
    return BaselineForecast(fields, chosen)


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


def fit_dmd(coefficients: Array) -> Callable[[Array, int], Array]:
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


# ---------------------------------------------------------------------------------------------- training and validation


def training_coefficients(task: Task, modes: int) -> Array:
    """Coefficients ``(flow, F, r)`` of the training flows in the leading modes."""
    basis = task.basis.leading(modes)
    found = [basis.project(basis.normalised(fields), valid) for fields, valid in task.training]
    return np.concatenate(found).reshape(len(task.training), task.data.fields.shape[1], -1)


class _Validation:
    """Readings and truth of the validation split, from the same observed frames and to the same horizon as the cases.

    The truth is kept as its products with the modes, so that the error of a candidate costs no field.
    """

    def __init__(self, task: Task, basis: Basis):
        data, horizon = task.data, task.cases.horizon
        trajectories = data.trajectories("val")
        if not len(trajectories):
            raise SparseVQError(
                f"{data.name} has no validation trajectory, on which the rank of pod_dmd is chosen",
                "hold some out (preprocess.validation) or leave pod_dmd out of evaluation.baselines",
            )
        # from physical fields to what the error is measured in, with the area that each point stands for
        to_norm = np.sqrt(data.weights).astype(np.float32)[:, None] / data.joint_scale  # (N, C)
        readings, norm, residual, projection, gram = [], [], [], [], []
        for trajectory in trajectories:
            valid = data.flat_mask[trajectory]
            fields = data.flat_fields[trajectory]
            scaled = (basis.modes * (valid[:, None] * to_norm * basis.scale)).reshape(len(basis.modes), -1)
            of_modes = scaled @ scaled.T
            for start in np.unique(task.cases.start_frame):
                truth = fields[start + 1 : start + 1 + horizon].copy()  # (L, N, C)
                truth[:, ~valid] = 0
                anomaly = ((truth - basis.mean) * (valid[:, None] * to_norm)).reshape(horizon, -1)
                readings.append(fields[start, task.sparse])
                norm.append(np.square(truth * to_norm).sum(axis=(1, 2), dtype=np.float64))
                residual.append(np.square(anomaly).sum(axis=1, dtype=np.float64))
                projection.append(anomaly @ scaled.T)
                gram.append(of_modes)
        self.readings = np.stack(readings)  # (B, n_s, C)
        self._norm, self._residual = np.stack(norm), np.stack(residual)  # (B, L)
        self._projection = np.stack(projection).astype(np.float64)  # (B, L, r)
        self._gram = np.stack(gram).astype(np.float64)  # (B, r, r)

    def relative_l2(self, coefficients: Array) -> float:
        """Mean over cases and lead times of the forecast's relative L2, for coefficients ``(B, L, rank)``."""
        rank = coefficients.shape[-1]
        # |z - M a|^2 = |z|^2 - 2 a.(M z) + a.(M M^T) a
        error = (
            self._residual
            - 2 * (coefficients * self._projection[..., :rank]).sum(axis=-1)
            + (coefficients * (coefficients @ self._gram[:, :rank, :rank])).sum(axis=-1)
        )
        # A candidate that diverges has an infinite error, so that it is never chosen.
        score = np.sqrt(np.maximum(error, 0) / self._norm).mean()
        return float(score) if np.isfinite(score) else np.inf
