"""Random access to the frames of a large file: only the pages that are needed are read, all of a batch at once."""

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
"""Bytes that can be read sequentially in the time of one random page (`docs/lab-notes.md`)."""


class MappedRows:
    """Frames ``(frames, N, C)`` float32 that stay in their file.

    The file is mapped once more, for random access: the system does not read ahead around each page, as it does for
    sequential readers. Where a batch needs a large part of its frames, all of them are prefetched.

    Parameters
    ----------
    fields
        ``(T, F, *grid, C)``, the whole of a mapped dataset.
    mask
        ``(T, N)`` bool; values elsewhere are never used.
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
            warnings.simplefilter("ignore", UserWarning)  # torch warns of read-only memory; it is never written
            self._rows = torch.from_numpy(rows)
        self._mask = torch.from_numpy(mask.reshape(-1))

    def gather(self, trajectory: Tensor, frame: Tensor, points: Tensor, out: Tensor | None = None) -> Tensor:
        """Values (b, p, C) of the frames (b,) at points (b, p), all on the CPU; 0 where the mask is False.

        `out` (b, p, C) gets them, unless it is None.

        Raises
        ------
        SparseVQError
            A value at a valid point is not finite.
        """
        frames = trajectory * self._frames + frame
        if self._frame_bytes <= points.shape[1] * PAGE_COST:
            self._read_ahead(frames)
        rows = frames[:, None] * self._points + points
        flat = None if out is None else out.view(-1, self._channels)
        values = torch.index_select(self._rows, 0, rows.flatten(), out=flat).view(*rows.shape, self._channels)
        valid = self._mask[trajectory[:, None] * self._points + points]
        values.masked_fill_(~valid[..., None], 0)
        finite = torch.isfinite(values)
        if not finite.all():  # a large file is not checked when it is opened
            row = int(torch.nonzero(~finite)[0, 0])
            raise not_finite(self._name, int(trajectory[row]), int(frame[row]))
        return values

    def _read_ahead(self, frames: Tensor) -> None:
        for frame in frames.unique().tolist():
            start = self._offset + frame * self._frame_bytes
            aligned = start - start % mmap.PAGESIZE
            self._mapping.madvise(mmap.MADV_WILLNEED, aligned, start + self._frame_bytes - aligned)


def not_finite(name: str, trajectory: int, frame: int) -> SparseVQError:
    """What is said of a value of a mapped data set that only its use has found."""
    return SparseVQError(
        f"{name}: NaN or infinite values at valid points of trajectory {trajectory}, frame {frame}",
        "list all faults with `sparsevq data validate`, and fix or leave out that trajectory",
    )
