"""Frames of an array that is stored in chunks: each chunk is decompressed once, in whatever order frames are read."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

MOST_KEPT = 2**28
"""Bytes of frames that are kept because they were decompressed together."""


class SlabStore:
    """Least-recently-used cache of slabs, of all arrays of a source together at most `most` bytes."""

    def __init__(self, most: int = MOST_KEPT):
        self.most = most
        self._kept: OrderedDict[tuple[int, int, int], npt.NDArray[np.float32]] = OrderedDict()

    def get(
        self, key: tuple[int, int, int], nbytes: int, load: Callable[[], npt.NDArray[np.float32]]
    ) -> npt.NDArray[np.float32]:
        """The slab `key`, not to be written to; it is loaded if need be, after others made room."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        self._drop(self.most - nbytes)
        self._kept[key] = load()
        return self._kept[key]

    def _drop(self, most: int) -> None:
        while self._kept and sum(slab.nbytes for slab in self._kept.values()) > most:
            self._kept.popitem(last=False)


class Slabs(ABC):
    """One array, read by trajectory and frames.

    A slab is what is decompressed together: the frames of one chunk, and if a whole row of chunks fits the store, all
    frames of the trajectories that share it.

    Parameters
    ----------
    shape
        Trajectories and frames.
    chunk
        How many of each a chunk spans.
    frame_bytes
        Bytes of a frame as `load` gives it.
    store
        Cache that all arrays share.
    arrays
        How many share it.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        chunk: tuple[int, int],
        frame_bytes: int,
        store: SlabStore,
        arrays: int = 1,
    ):
        self.shape, self.store = shape, store
        together, frames = min(chunk[0], shape[0]), min(chunk[1], shape[1])
        room = max(store.most // (arrays * frame_bytes), 1)
        self.frame_bytes = frame_bytes
        if together > 1 and together * shape[1] <= room:
            self.slab = (together, shape[1])
        else:
            self.slab = (1, min(frames, room))
        self.times_read = -(-together // self.slab[0]) * -(-frames // self.slab[1])

    @abstractmethod
    def load(self, first: int, last: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Frames ``start ... stop - 1`` of trajectories ``first ... last - 1``, ``(t, f, *grid, C)``."""

    def read(self, trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Frames ``start ... stop - 1`` of one trajectory, ``(f, *grid, C)``; the caller owns them."""
        together, frames = self.slab
        if together > 1:
            return self._kept(trajectory, 0)[start:stop].copy()
        if frames == 1:
            return self.load(trajectory, trajectory + 1, start, stop)[0]
        pieces = []
        first, last = -(-start // frames), stop // frames  # slabs that are needed whole
        if stop == self.shape[1]:
            last = max(last, -(-stop // frames))
        if first >= last:
            for slab in range(start // frames, -(-stop // frames)):
                pieces.append(self._part(trajectory, slab, start, stop))
            return pieces[0].copy() if len(pieces) == 1 else np.concatenate(pieces)
        if start < first * frames:
            pieces.append(self._part(trajectory, first - 1, start, stop))
        pieces.append(self.load(trajectory, trajectory + 1, first * frames, min(last * frames, stop))[0])
        if last * frames < stop:
            pieces.append(self._part(trajectory, last, start, stop))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _part(self, trajectory: int, slab: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        at = slab * self.slab[1]
        return self._kept(trajectory, slab)[max(start - at, 0) : stop - at]

    def _kept(self, trajectory: int, slab: int) -> npt.NDArray[np.float32]:
        """A slab, of one trajectory."""
        together, frames = self.slab
        row = trajectory // together
        first, last = row * together, min((row + 1) * together, self.shape[0])
        start, stop = slab * frames, min((slab + 1) * frames, self.shape[1])
        nbytes = (last - first) * (stop - start) * self.frame_bytes
        kept = self.store.get((id(self), row, slab), nbytes, lambda: self.load(first, last, start, stop))
        return kept[trajectory - first]
