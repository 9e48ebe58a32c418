"""Climatology: the training split's mean field, whatever the sensors read."""

import numpy as np

from sparsevq.evaluation.baselines.task import BaselineForecast, Task


def climatology(task: Task) -> BaselineForecast:
    """The mean of each point over the training flows, at every lead time."""
    mean = task.basis.mean
    return BaselineForecast(np.broadcast_to(mean, (len(task.cases), task.cases.horizon, *mean.shape)))
