"""Frames of a large file, drawn at random: only pages that are asked for are read, all of a batch at once."""

import math
import mmap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsevq.errors import SparseVQError

PAGE_COST = 2**16
"""Bytes read in sequence in the time that one page at random takes (`docs/lab-notes.md`)."""


class MappedRows:
    """Frames ``(frames, N, C)`` float32 that stay in their file.

    A mapping of its own: the system does not read around each page that is looked at, as it does for readers in
    sequence. Where a batch needs a good part of its frames, all of them are asked for before the first is looked at.

    Parameters
    ----------
    fields
        ``(T, F, *grid, C)``, the whole of a mapped dataset.
    mask
        ``(T, N)`` bool; what the file holds elsewhere is never seen.
    name
        Of the data set, for messages.
    """

    def __init__(self, fields: "np.memmap[Any, Any]", mask: npt.NDArray[np.bool_], name: str):
        self._name = name
        self._frames, self._channels = fields.shape[1], fields.shape[-1]
        self._points = math.prod(fields.shape[2:-1])
        self._frame_bytes = 4 * self._points * self._channels
        assert fields.filename is not None
        with open(Path(fields.filename), "rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._mapping.madvise(mmap.MADV_RANDOM)
        self._offset = fields.offset
        rows = np.frombuffer(self._mapping, np.float32, fields.size, fields.offset).reshape(-1, self._channels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch has no tensor that can't be written; this one is not
            self._rows = torch.from_numpy(rows)
        self._mask = torch.from_numpy(mask.reshape(-1))

    def gather(self, trajectory: Tensor, frame: Tensor, points: Tensor) -> Tensor:
        """Values (b, p, C) of the frames (b,) at points (b, p), all on the CPU; 0 where the mask is False.

        Raises
        ------
        SparseVQError
            A value at a valid point is not finite.
        """
        frames = trajectory * self._frames + frame
        if self._frame_bytes <= points.shape[1] * PAGE_COST:
            self._read_ahead(frames)
        rows = frames[:, None] * self._points + points
        values = self._rows.index_select(0, rows.flatten()).view(*rows.shape, self._channels)
        valid = self._mask[trajectory[:, None] * self._points + points]
        values.masked_fill_(~valid[..., None], 0)
        finite = torch.isfinite(values)
        if not finite.all():  # a large file is not checked when it is read
            row = int(torch.nonzero(~finite)[0, 0])
            raise SparseVQError(
                f"{self._name}: NaN or infinite values at valid points of trajectory {int(trajectory[row])}, "
                f"frame {int(frame[row])}",
                "see all that is wrong with `sparsevq data validate`, and mend or leave out that trajectory",
            )
        return values

    def _read_ahead(self, frames: Tensor) -> None:
        for frame in frames.unique().tolist():
            start = self._offset + frame * self._frame_bytes
            aligned = start - start % mmap.PAGESIZE
            self._mapping.madvise(mmap.MADV_WILLNEED, aligned, start + self._frame_bytes - aligned)
