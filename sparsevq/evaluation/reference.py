"""What predictions are measured against: the training climatology."""

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import FieldData
from sparsevq.data.flows import TrainingFlows


def training_climatology(data: FieldData, flows: TrainingFlows | None = None) -> NDArray[np.float32]:
    """``(N, C)``: mean of each point over the training frames in which it is valid, in physical units.

    A point that is valid in no training trajectory has the channel's mean over all the others.

    Parameters
    ----------
    data
        The data set.
    flows
        Training flows of it; None: those that it has.
    """
    total = np.zeros((data.num_points, len(data.channels)))
    count = np.zeros((data.num_points, 1))
    for fields, valid in flows or TrainingFlows(data):
        total[valid] += fields.sum(axis=0, dtype=np.float64)[valid]
        count[valid] += len(fields)
    return np.where(count > 0, total / np.maximum(count, 1), data.mean).astype(np.float32)
