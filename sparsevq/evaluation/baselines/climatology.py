"""Climatology: the training split's mean field, whatever the sensors read."""

import numpy as np

from sparsevq.evaluation.baselines.task import BaselineForecast, Task
from sparsevq.evaluation.reference import training_climatology


def climatology(task: Task) -> BaselineForecast:
    """The mean of each point over the training split, at every lead time."""
    mean = training_climatology(task.data, task.training)
    return BaselineForecast(np.broadcast_to(mean, (len(task.cases), task.cases.horizon, *mean.shape)))
