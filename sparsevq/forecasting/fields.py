"""Draws of a forecast as calibrated fields in physical units: on the grid or at any places, whole or block by block."""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparsevq.data.field_data import FieldData
from sparsevq.forecasting.model import ForecastModel, apart
from sparsevq.forecasting.wanted import Chunks
from sparsevq.models.rollout import Drawn
from sparsevq.sensors.readings import FloatArray
from sparsevq.stage1.model import Box, decode_places

Fields = npt.NDArray[np.float32]
Sizes = tuple[tuple[int, ...], ...]
"""Of each dimension the sizes of its blocks."""

BLOCK_BYTES = 2**27
"""Of the fields that are decoded together, all channels."""
IN_MEMORY = 2**29
"""Bytes of fields up to which ``chunks="auto"`` computes a forecast at once."""


class FieldsOf:
    """Fields of the draws of a forecast from `observed` frames.

    Members are as far from their mean as the calibration says: by a factor for each lead time and channel, so that a
    field is the same whether it is computed whole or block by block.

    Parameters
    ----------
    model
        The stages of a run.
    data
        Its data set's grid.
    drawn
        Members (M, L + 1, ...).
    places
        ``(p, d)`` where fields are asked for, in the axes' units; None: on the grid.

    Attributes
    ----------
    space
        Names of the fields' dimensions in space.
    shape
        ``(C, M, L + 1, *space)``.
    """

    def __init__(
        self, model: ForecastModel, data: FieldData, drawn: Drawn, observed: int, places: FloatArray | None = None
    ):
        self._model, self._data, self._places = model, data, places
        with torch.no_grad(), model.as_trained():
            self._latents = model.latents(drawn)
        members, leads = self._latents.shape[:2]
        self._factor = model.factor(observed, leads)
        self._one_at_a_time = threading.Lock()
        self.space = tuple(data.axes) if places is None and not data.scattered else ("point",)
        self.shape = (len(data.channels), members, leads, *(data.grid if places is None else (len(places),)))

    def arrays(self, chunks: Chunks = "auto") -> list[Any]:
        """Of each channel ``(M, L + 1, *space)``, computed now, or when and where they are used (dask).

        Parameters
        ----------
        chunks
            Block sizes by dimension (``{"lead_time": 1}``; others are chosen): computed later; None: now; ``auto``:
            later where they would have more than `IN_MEMORY` bytes.
        """
        sizes = self._sizes(chunks if isinstance(chunks, Mapping) else {})
        if chunks is None or (chunks == "auto" and 4 * np.prod(self.shape, dtype=float) <= IN_MEMORY):
            found = np.empty(self.shape, np.float32)
            for block in _blocks(sizes):
                found[block] = self.block(block)
            return list(found)
        import dask.array as da

        whole = da.map_blocks(
            self._located,
            chunks=sizes,
            dtype=np.float32,
            meta=np.empty((0,) * len(self.shape), np.float32),
            name=f"forecast-{uuid.uuid4().hex}",
        )
        return [whole[channel] for channel in range(self.shape[0])]

    def block(self, block: Box) -> Fields:
        """A part of the array of `shape`, all channels and members of it; NaN where there is no field."""
        leads, box = block[2], block[3:]
        where = box if self._places is None else self._places[box[0]]
        with (
            self._one_at_a_time,
            torch.no_grad(),
            self._model.as_trained(),
        ):  # it has all threads; memory holds one block
            fields = self._decoded(where, leads)
        if self._places is None:
            nowhere = ~self._data.learned.reshape(self._data.grid)[box].ravel()
        else:
            nowhere = ~self._data.learned[self._data.nearest(self._places[box[0]])]
        fields[..., nowhere] = np.nan
        sizes = [len(range(*part.indices(size))) for part, size in zip(box, self.shape[3:], strict=True)]
        return fields.reshape(*fields.shape[:3], *sizes)

    def _decoded(self, where: FloatArray | Box, leads: slice) -> Fields:
        """(C, M, l, p)."""
        teacher, latents = self._model.teacher, self._latents[:, leads]
        fields = decode_places(teacher, latents.flatten(0, 1), teacher.target(self._data, where))
        members = apart(fields.unflatten(0, latents.shape[:2]), self._factor[leads])
        return members.movedim(-1, 0).contiguous().cpu().numpy()

    def _located(self, block_info: Any) -> Fields:
        return self.block(tuple(slice(*at) for at in block_info[None]["array-location"]))

    def _sizes(self, chunks: Mapping[str, int]) -> Sizes:
        """Blocks along the first axis, all lead times together where a block is not too large."""
        channels, members, leads, first, *others = self.shape
        row = int(np.prod(others))
        places = max(1, BLOCK_BYTES // (4 * channels * members * leads * row))
        rows = min(places, max(1, self._model.teacher.places_at_once // row))
        at_once = max(1, BLOCK_BYTES // (4 * channels * members * rows * row))
        wanted = {"lead_time": at_once, self.space[0]: rows, **chunks}
        sizes = zip(("lead_time", *self.space), (leads, first, *others), strict=True)
        return ((channels,), (members,), *(_cut(size, wanted.get(name, -1)) for name, size in sizes))


def quantiles_of(fields: Sequence[Any], quantiles: Sequence[float]) -> list[Any]:
    """Quantiles ``(q, L + 1, *space)`` of the members of each channel, computed when these are."""

    def of(members: Fields) -> Fields:
        return np.quantile(members, quantiles, axis=0).astype(np.float32)

    if isinstance(fields[0], np.ndarray):
        return [of(members) for members in fields]
    import dask.array as da

    return [
        da.map_blocks(of, members, chunks=((len(quantiles),), *members.chunks[1:]), dtype=np.float32)
        for members in fields
    ]


def _cut(size: int, at_most: int) -> tuple[int, ...]:
    """A size as a sum of equal ones and a rest."""
    if at_most == -1 or at_most >= size:
        return (size,)
    rest = size % at_most
    return (at_most,) * (size // at_most) + ((rest,) if rest else ())


def _blocks(sizes: Sizes) -> Iterator[Box]:
    """The part of an array that each block is."""
    ends = [np.cumsum(of) for of in sizes]
    for which in product(*(range(len(of)) for of in sizes)):
        yield tuple(
            slice(int(end[index] - of[index]), int(end[index]))
            for index, of, end in zip(which, sizes, ends, strict=True)
        )
