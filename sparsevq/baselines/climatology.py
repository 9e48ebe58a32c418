"""Climatology: the training split's mean field, and as an ensemble its frames, whatever the sensors read."""

import numpy as np

from sparsevq.baselines.ensembles import Draws
from sparsevq.baselines.task import BaselineForecast, Task


def climatology(task: Task) -> BaselineForecast:
    """The mean of each point over the training flows; members are training frames as simulated, drawn for each lead.

    No frame is drawn twice for the same case and lead.
    """
    mean, leads = task.basis.mean, task.cases.horizon + 1
    training, frames = task.data.trajectories("train"), task.data.fields.shape[1]
    rng = np.random.default_rng([task.seed, 7])
    there = len(training) * frames
    members = min(task.settings.members, there)
    drawn = np.stack([rng.choice(there, members, replace=False) for _ in range(len(task.cases) * leads)])
    drawn = drawn.reshape(len(task.cases), leads, members)
    return BaselineForecast(
        np.broadcast_to(mean, (len(task.cases), leads, *mean.shape)),
        Draws(training[drawn // frames].astype(np.int64), drawn % frames),
        parameters=mean.size,
    )
