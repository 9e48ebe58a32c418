"""The flows that methods learn from, and what predictions are measured against: the training climatology."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.config import Symmetries
from sparsevq.data.field_data import FieldData
from sparsevq.data.symmetries import symmetry_group, variant_elements

Array = NDArray[Any]


class TrainingFlows:
    """The training trajectories and their symmetry variants, one after the other: memory holds one at a time.

    The variants are those that sparsevq learns from: the draws of `variant_elements`.

    Parameters
    ----------
    data
        The data set.
    symmetries, seed
        As of stage 1; by default the flows as simulated alone.
    """

    def __init__(self, data: FieldData, symmetries: Symmetries | None = None, seed: int = 0):
        symmetries = symmetries or Symmetries()
        self._data = data
        self._training = data.trajectories("train")
        self._group = symmetry_group(data, symmetries)
        self._elements = variant_elements(len(self._group), len(data.fields), symmetries.variants, seed)

    def __len__(self) -> int:
        return len(self._training) * len(self._elements)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Fields ``(F, N, C)`` in physical units, and where they are valid ``(N,)``; other values mean nothing."""
        for elements in self._elements:
            for trajectory in self._training:
                fields, valid = self._data.flat_fields[trajectory], self._data.flat_mask[trajectory]
                if elements[trajectory]:  # 0 is the identity
                    source = self._group.source[elements[trajectory]]
                    fields, valid = fields[:, source] * self._group.sign[elements[trajectory]], valid[source]
                yield fields, valid


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
