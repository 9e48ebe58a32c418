"""What predictions are measured against: the training climatology."""

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.layout import FieldData


def training_climatology(data: FieldData) -> NDArray[np.float32]:
    """``(N, C)``: mean of each point over the training frames in which it is valid, in physical units.

    A point that is valid in no training trajectory has the channel's mean over all the others.
    """
    train = data.trajectories("train")
    total = np.zeros(data.flat_fields.shape[2:])
    for trajectory in train:  # one at a time: a copy of the training split in float64 would not be small
        total += data.flat_fields[trajectory].sum(axis=0, dtype=np.float64) * data.flat_mask[trajectory, :, None]
    count = data.flat_mask[train].sum(axis=0)[:, None] * data.fields.shape[1]
    return np.where(count > 0, total / np.maximum(count, 1), data.mean).astype(np.float32)
