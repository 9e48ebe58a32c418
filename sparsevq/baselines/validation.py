"""The validation split as baselines use it: to choose their settings on, and for the errors that they make."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsevq.baselines.ensembles import Dressing
from sparsevq.basis.basis import Basis
from sparsevq.errors import SparseVQError

if TYPE_CHECKING:
    from sparsevq.baselines.task import Task

Array = NDArray[Any]

ERRORS_A_MEMBER = 2
"""Error fields that are kept for each member that is drawn from them."""


class Windows(NamedTuple):
    """Stretches of validation trajectories: ``(B,)`` which, and their last observed frame."""

    trajectory: NDArray[np.int64]
    start: NDArray[np.int64]


def windows_from(task: "Task", starts: Array) -> Windows:
    """Every validation trajectory from each of these frames.

    Raises
    ------
    SparseVQError
        There is no validation trajectory.
    """
    data = task.data
    if not len(data.trajectories("val")):
        raise SparseVQError(
            f"{data.name} has no validation trajectory, on which baselines choose their settings",
            "hold some out (validation), or leave all but climatology out of evaluation.baselines",
        )
    trajectory, start = np.meshgrid(data.trajectories("val"), starts, indexing="ij")
    return Windows(trajectory.ravel().astype(np.int64), start.ravel().astype(np.int64))


def windows_spread(task: "Task", observed_frames: int) -> Windows:
    """About `ERRORS_A_MEMBER` windows for each member: every validation trajectory, from frames spread over it.

    Where there are more validation trajectories than that, of each but the earliest.
    """
    first, last = observed_frames - 1, task.data.fields.shape[1] - 1 - task.cases.horizon
    wanted = ERRORS_A_MEMBER * task.settings.members
    each = max(1, wanted // max(1, len(task.data.trajectories("val"))))
    return windows_from(task, np.unique(np.linspace(first, last, each).round().astype(np.int64)))


class Validation:
    """Truth of some windows, kept as its products with modes: so the error of a candidate costs no field.

    Parameters
    ----------
    task
        Whose data set and horizon.
    windows
        Where it forecasts.
    basis
        With the modes that candidates use, at most.
    leads
        How many, from lead 0 on; below they are called ``L + 1``.
    """

    def __init__(self, task: "Task", windows: Windows, basis: Basis, leads: int):
        data = task.data
        # from physical fields to what the error is measured in, with the area that each point stands for
        to_norm = np.sqrt(data.weights).astype(np.float32)[:, None] / data.joint_scale  # (N, C)
        norm, residual, projection = [], [], []
        self._gram: list[Array] = []  # (r, r) of each mask
        self._of_mask: list[int] = []
        known: dict[bytes, tuple[int, Array]] = {}
        for trajectory, start in zip(*windows, strict=True):
            valid = data.flat_mask[trajectory]
            if valid.tobytes() not in known:
                scaled = (basis.modes * (valid[:, None] * to_norm * basis.scale)).reshape(len(basis.modes), -1)
                known = {valid.tobytes(): (len(self._gram), scaled)}  # trajectories follow one another
                self._gram.append((scaled @ scaled.T).astype(np.float64))
            which, scaled = known[valid.tobytes()]
            truth = data.flat_fields[trajectory, start : start + leads].copy()  # (L + 1, N, C)
            truth[:, ~valid] = 0
            anomaly = ((truth - basis.mean) * (valid[:, None] * to_norm)).reshape(leads, -1)
            norm.append(np.square(truth * to_norm).sum(axis=(1, 2), dtype=np.float64))
            residual.append(np.square(anomaly).sum(axis=1, dtype=np.float64))
            projection.append((anomaly @ scaled.T).astype(np.float64))
            self._of_mask.append(which)
        self._norm, self._residual = np.stack(norm), np.stack(residual)  # (B, L + 1)
        self._projection = np.stack(projection)  # (B, L + 1, r)

    def relative_l2(self, coefficients: Array) -> NDArray[np.float64]:
        """``(L + 1,)`` mean over windows of the forecast's relative L2, for coefficients ``(B, L + 1, rank)``.

        A candidate that diverges has an infinite error, so that it is never chosen.
        """
        rank = coefficients.shape[-1]
        # |z - M a|^2 = |z|^2 - 2 a.(M z) + a.(M M^T) a
        error = self._residual - 2 * (coefficients * self._projection[..., :rank]).sum(axis=-1)
        for window, which in enumerate(self._of_mask):
            of_modes = coefficients[window] @ self._gram[which][:rank, :rank]
            error[window] += (coefficients[window] * of_modes).sum(axis=-1)
        score = np.sqrt(np.maximum(error, 0) / self._norm).mean(axis=0)
        return np.where(np.isfinite(score), score, np.inf)


def dressed(
    task: "Task", forecast: Callable[[Windows, int], Iterable[Array]], observed_frames: Array | None = None
) -> Dressing:
    """A method's errors on the validation split, and which of them dress each case.

    No error is drawn twice for a case; where there are fewer than `EvaluationConfig.members`, there are fewer members.

    Parameters
    ----------
    forecast
        The method: windows and how many frames are observed -> the fields ``(L + 1, N, C)`` of each window.
    observed_frames
        ``(case,)``: a case is dressed with errors from as many observed frames; None: the method looks at the last one.
    """
    data, cases = task.data, task.cases
    observed = np.ones(len(cases), np.int64) if observed_frames is None else observed_frames
    rng = np.random.default_rng([task.seed, 11])
    errors: list[Array] = []
    pools: dict[int, Array] = {}
    for count in np.unique(observed):
        windows, first = windows_spread(task, int(count)), len(errors)
        for trajectory, start, fields in zip(*windows, forecast(windows, int(count)), strict=True):
            truth = data.flat_fields[trajectory, start : start + cases.horizon + 1]
            error = np.where(data.flat_mask[trajectory][:, None], (truth - fields) / task.basis.scale, 0)
            errors.append(error.astype(np.float16))
        pools[int(count)] = np.arange(first, len(errors))
    members = min(task.settings.members, *map(len, pools.values()))
    drawn = np.stack([rng.choice(pools[int(count)], members, replace=False) for count in observed])
    return Dressing(np.stack(errors), drawn, task.basis.scale)
