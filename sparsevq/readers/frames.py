"""Frames of one array in a file, on the points of its space; each chunk is decompressed once."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.readers.conventions import CHANNEL, TIME, TRAJECTORY
from sparsevq.readers.dimensions.roles import Field
from sparsevq.readers.opening.stored import print_once, reading
from sparsevq.readers.opening.views import marked
from sparsevq.readers.points.space import Space
from sparsevq.readers.slabs import Slabs, SlabStore
from sparsevq.runtime.hdf5 import Array

AT_ONCE = 2**26
"""Bytes of frames that are read from a file at a time."""


class FrameReader(Slabs):
    """Frames of one array, on the points of its space.

    Parameters
    ----------
    path
        The file, for messages.
    field
        The array.
    first
        The one whose order of axes is that of the frames.
    space
        The points.
    missing
        Values that count as NaN.
    store
        Cache that all arrays share.
    arrays
        How many share it.
    """

    def __init__(
        self,
        path: Path,
        field: Field,
        first: Field,
        space: Space,
        missing: Sequence[float],
        store: SlabStore,
        arrays: int,
    ):
        self.path, self.field, self.space = path, field, space
        self.array = marked(field.array, missing)
        order = [TRAJECTORY, TIME, *(dimension.name for dimension in first.dimensions), CHANNEL]
        self.order = [field.roles.index(role) for role in order if role in field.roles]
        self.absent = [index for index, role in enumerate(order) if role not in field.roles]
        frame_bytes = 4 * field.size(CHANNEL) * int(np.prod(space.sizes))
        chunks = dict(zip(field.roles, field.array.chunks or (), strict=False))
        chunk = (chunks.get(TRAJECTORY, 1), chunks.get(TIME, 1))
        shape = (field.size(TRAJECTORY), field.size(TIME))
        self.piece = max(1, AT_ONCE // (frame_bytes // 4 * field.array.dtype.itemsize))
        super().__init__(shape, chunk, frame_bytes, store, arrays)
        self.chunk = chunk

    def note_chunks(self, told: set[str]) -> None:
        """Print a note if chunks are decompressed several times."""
        if self.times_read > 1:
            print_once(
                f"{self.field.array.name}: chunks of {self.chunk[0]} trajectories x {self.chunk[1]} frames are "
                f"decompressed {self.times_read} times each; chunks of fewer frames would be read faster",
                told,
            )

    def load(self, first: int, last: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Frames straight from the file, in pieces that end where chunks do."""
        out = np.empty((last - first, stop - start, *self.space.grid, self.field.size(CHANNEL)), np.float32)
        frames, together = min(self.chunk[1], max(self.slab[1], 1)), min(self.chunk[0], last - first)
        step = max(self.piece // together // frames, 1) * frames
        edges = [start, *range((start // step + 1) * step, stop, step), stop]
        for low, high in pairwise(edges):
            for row in range(first, last, together):
                end = min(row + together, last)
                out[row - first : end - first, low - start : high - start] = self._piece(row, end, low, high)
        return out

    def _piece(self, first: int, last: int, start: int, stop: int) -> Array:
        wanted = {TRAJECTORY: slice(first, last), TIME: slice(start, stop)}
        part = tuple(
            wanted.get(role, slice(0, size))
            for role, size in zip(self.field.roles, self.field.array.shape, strict=True)
        )
        with reading(self.path, "data"):
            values = self.array.read(part)
        values = np.expand_dims(values.transpose(self.order), tuple(self.absent))
        return self.space.arranged(values)
