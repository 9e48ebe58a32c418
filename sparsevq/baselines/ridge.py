"""Ridge regression from the readings of the observed frames straight to the POD coefficients at each lead time.

The best linear forecast of this kind: nothing is propagated, so nothing that the sensors do not see has to be known.
One factorisation serves all lead times and strengths of the regularisation; for each lead time that with the smallest
error of the fields on the validation split is used.

References
----------
Hoerl & Kennard, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 1970; Hastie, Tibshirani
& Friedman, The elements of statistical learning, 2009, section 3.4.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsevq.baselines.task import Array, BaselineForecast, Task
from sparsevq.baselines.validation import Windows, dressed, windows_spread
from sparsevq.basis.basis import Basis

STRENGTHS = tuple(float(f"{strength:.2g}") for strength in np.logspace(-7, 1, 17))
"""Of the regularisation, in units of the mean variance of the readings' principal components."""


def ridge(task: Task) -> BaselineForecast:
    """Forecast by regressions from as many observed frames as each case has."""
    cases, shape = task.cases, task.basis.mean.shape
    regressions: dict[int, Regression] = {}
    chosen: dict[str, Any] = {}
    fields = np.empty((len(cases), cases.horizon + 1, *shape), np.float32)
    for count in map(int, np.unique(cases.observed_frames)):
        regression = regressions[count] = Regression(task, count, cases.horizon)
        chosen[f"validation_relative_l2_{count}_observed"] = regression.choose(task)
        chosen[f"regularisation_{count}_observed"] = regression.strength
        which = np.flatnonzero(cases.observed_frames == count)
        readings = task.anomalies(cases.trajectory[which], cases.start_frame[which], count)
        for case, coefficients in zip(which, regression.coefficients(readings), strict=True):
            fields[case] = physical(task.basis, coefficients)

    def forecast(windows: Windows, observed_frames: int) -> Iterator[Array]:
        readings = task.anomalies(*windows, observed_frames)
        for coefficients in regressions[observed_frames].coefficients(readings):
            yield physical(task.basis, coefficients)

    parameters = task.basis.modes.size + sum(regression.parameters for regression in regressions.values())
    return BaselineForecast(fields, dressed(task, forecast, cases.observed_frames), chosen, parameters)


def physical(basis: Basis, coefficients: Array) -> Array:
    """Fields ``(..., N, C)`` float32 in physical units of coefficients ``(..., r)`` of the leading modes."""
    rank = coefficients.shape[-1]
    flat = coefficients.astype(np.float32) @ basis.modes[:rank].reshape(rank, -1)
    found: Array = flat.reshape(*coefficients.shape[:-1], *basis.mean.shape) * basis.scale + basis.mean
    return found


class Regression:
    """``y_l = y0_l + W_l (x - x0)``: coefficients ``y_l`` at leads 0 ... horizon from readings ``x``, ``p`` numbers.

    ``W_l = Y_l^T X (X^T X + s I)^-1`` over all stretches of the training flows that are long enough, `X` and `Y`
    about their means ``x0``, ``y0_l``: the intercept is not regularised.

    Attributes
    ----------
    strength
        ``(horizon + 1,)``, of `STRENGTHS`: chosen by `choose`.
    """

    def __init__(self, task: Task, observed_frames: int, horizon: int):
        readings, coefficients = task.learned_from  # (flow, F, m), (flow, F, r)
        count = readings.shape[1] - (observed_frames - 1) - horizon  # starts of each flow
        seen = [readings[:, frame : frame + count] for frame in range(observed_frames)]
        x = np.concatenate(seen, axis=-1, dtype=np.float64).reshape(len(readings) * count, -1)
        self._readings_mean = x.mean(axis=0)
        x -= self._readings_mean
        variances, self._axes = np.linalg.eigh(x.T @ x)
        self._variances = np.maximum(variances, 0)
        along = x @ self._axes  # principal components
        means, products = [], []
        for lead in range(horizon + 1):
            first = observed_frames - 1 + lead
            y = coefficients[:, first : first + count].reshape(len(x), -1)
            means.append(y.mean(axis=0, dtype=np.float64))
            products.append((along.T @ y).astype(np.float32))  # the mean of y has no part in it
        self._means, self._products = np.stack(means), products
        self._observed = observed_frames
        self.strength = np.full(horizon + 1, STRENGTHS[0])

    @property
    def parameters(self) -> int:
        """Numbers in the weights and intercepts of all leads."""
        return int(self._means.size + sum(product.size for product in self._products))

    def coefficients(self, readings: Array, strength: float | None = None) -> Array:
        """``(B, horizon + 1, r)`` from normalised anomalies ``(B, k, m)``; `strength`: another than the chosen ones."""
        along = (readings.reshape(len(readings), -1) - self._readings_mean) @ self._axes
        strengths = self.strength if strength is None else np.full(len(self.strength), strength)
        # Readings that never change have no variance, and say nothing.
        added = np.maximum(strengths * self._variances.mean(), np.finfo(np.float64).tiny)
        of_leads = zip(self._means, self._products, added, strict=True)
        return np.stack([mean + along / (self._variances + more) @ product for mean, product, more in of_leads], axis=1)

    def choose(self, task: Task) -> float:
        """Take for each lead the strength with the smallest relative L2 on validation; its mean, without lead 0.

        Raises
        ------
        SparseVQError
            There is no validation trajectory.
        """
        windows = windows_spread(task, self._observed)
        leads = len(self.strength)
        validation = task.validation(windows, task.basis, leads)
        readings = task.anomalies(*windows, self._observed)
        errors = np.stack([validation.relative_l2(self.coefficients(readings, strength)) for strength in STRENGTHS])
        self.strength = np.array(STRENGTHS)[errors.argmin(axis=0)]
        best = errors.min(axis=0)
        return float(best[1:].mean() if leads > 1 else best[0])
