"""The flows that methods learn from: the training trajectories and their symmetry variants, read block by block."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.config import Symmetries
from sparsevq.data.field_data import FieldData
from sparsevq.data.symmetries import symmetry_group, variant_elements

Array = NDArray[Any]

BLOCK = 2**26
"""Bytes of fields that are in memory at once."""


class TrainingFlows:
    """The training trajectories and their symmetry variants, one after the other: memory holds a block of one.

    The variants are those that sparsevq learns from: the draws of `variant_elements`.

    Parameters
    ----------
    data
        The data set.
    symmetries, seed
        As of stage 1; by default the flows as simulated alone.
    together
        Frames of a flow that are in a block at least, though they have more than `BLOCK` bytes.
    """

    def __init__(self, data: FieldData, symmetries: Symmetries | None = None, seed: int = 0, together: int = 1):
        symmetries = symmetries or Symmetries()
        self._data, self._together = data, together
        self._training = data.trajectories("train")
        self._group = symmetry_group(data, symmetries)
        self._elements = variant_elements(len(self._group), len(data.fields), symmetries.variants, seed)

    def __len__(self) -> int:
        """How many flows there are."""
        return len(self._training) * len(self._elements)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Successive frames ``(f, N, C)`` of one flow in physical units, and where it is valid ``(N,)``.

        Values elsewhere mean nothing. A flow of more than `BLOCK` bytes comes in several blocks.
        """
        frames, points, channels = self._data.flat_fields.shape[1:]
        most = max(self._together, BLOCK // (4 * points * channels))
        every = np.arange(points)
        for elements in self._elements:
            for trajectory in self._training:
                element, valid = elements[trajectory], self._data.flat_mask[trajectory]
                source = self._group.source(element, every) if element else every  # 0 is the identity
                valid = valid[source] if element else valid
                for start in range(0, frames, most):
                    fields = self._data.flat_fields[trajectory, start : start + most]
                    if element:
                        fields = fields[:, source] * self._group.sign[element]
                    yield fields, valid
