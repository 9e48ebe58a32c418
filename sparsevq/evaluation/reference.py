"""What predictions are measured against: the training climatology, and a scale on which channels are comparable."""

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


def joint_scale(data: FieldData) -> NDArray[np.float32]:
    """``(C,)``: what each channel is divided by before all channels are measured in one norm.

    1 where all channels have one unit (two components of a velocity: the norm is that of the vector); else each
    channel's standard deviation over the training split, since metres and metres per second have no common norm.
    """
    if len(set(data.units)) == 1:
        return np.ones(len(data.channels), dtype=np.float32)
    return data.std.astype(np.float32)
