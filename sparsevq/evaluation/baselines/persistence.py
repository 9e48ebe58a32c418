"""Persistence: the observed frame, as sparsevq reconstructs it from the sparse sensors, does not change."""

import numpy as np

from sparsevq.evaluation.baselines.task import BaselineForecast, Task


def persistence(task: Task) -> BaselineForecast:
    """The reconstruction of the observed frame, at every lead time."""
    cases, points, channels = task.reconstruction.shape
    return BaselineForecast(
        np.broadcast_to(task.reconstruction[:, None], (cases, task.cases.horizon, points, channels))
    )
