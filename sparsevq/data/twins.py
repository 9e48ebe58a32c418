"""Trajectories that are there twice: one that is trained on must not be held out as well."""

import zlib
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import Array

AT_ONCE = 2**26
"""Bytes of two trajectories that are compared at a time."""


class Twins:
    """Checksums of frames as they are read, and what they tell.

    Parameters
    ----------
    label
        Name of the source, for messages.
    split
        ``(T,)`` str: what each trajectory is for.
    files
        The files of the source; if there are as many as trajectories, messages name them.
    """

    def __init__(self, label: str, split: npt.NDArray[np.str_], files: tuple[Path, ...]):
        self.label, self.split = label, split.tolist()
        self.files = files if len(files) == len(self.split) else ()
        self.sums: list[list[int]] = [[] for _ in self.split]

    def note(self, trajectory: int, block: npt.NDArray[np.float32]) -> None:
        """Frames ``(f, *grid, C)`` of a trajectory, in order."""
        for frame in np.ascontiguousarray(block).reshape(len(block), -1):
            half = len(frame) // 2  # 32 bits are too few for millions of frames
            self.sums[trajectory].append(zlib.crc32(frame[:half].data) << 32 | zlib.crc32(frame[half:].data))

    def check(self, stored: h5py.Dataset | Array) -> None:
        """Refuse trajectories with the same values in different splits; say it of others, and of single frames.

        Parameters
        ----------
        stored
            ``(T, F, *grid, C)``: the fields, to be sure.

        Raises
        ------
        SparseVQError
            A trajectory is in two splits.
        """
        first: dict[tuple[int, ...], int] = {}
        for trajectory, sums in enumerate(self.sums):
            other = first.setdefault(tuple(sums), trajectory)
            if other == trajectory or not _equal(stored, other, trajectory):
                continue
            said = f"{self._name(trajectory)} has the same values as {self._name(other)}"
            if self.split[other] != self.split[trajectory]:
                raise SparseVQError(
                    f"{self.label}: {said}, but one is for {self.split[other]}, the other for {self.split[trajectory]}",
                    "leave out one of them: a forecast of what was trained on shows nothing",
                )
            print(f"{self.label}: {said}: both are kept, for {self.split[other]}", flush=True)
        self._say_frames()

    def _say_frames(self) -> None:
        """Print how many held-out frames are in training too, if it is more than where trajectories begin."""
        trained = {
            sums: (trajectory, frame)
            for trajectory, frames in enumerate(self.sums)
            for frame, sums in enumerate(frames)
            if self.split[trajectory] == "train"
        }
        held_out = [trajectory for trajectory, split in enumerate(self.split) if split != "train"]
        again = [
            (trajectory, frame)
            for trajectory in held_out
            for frame, sums in enumerate(self.sums[trajectory])
            if sums in trained
        ]
        if len(again) > len(held_out):
            trajectory, frame = again[-1]
            other, at = trained[self.sums[trajectory][frame]]
            print(
                f"{self.label}: {len(again)} held-out frames are in training too, for instance frame {frame} of "
                f"{self._name(trajectory)}, which is frame {at} of {self._name(other)}: their scores say little",
                flush=True,
            )

    def _name(self, trajectory: int) -> str:
        return str(self.files[trajectory]) if self.files else f"trajectory {trajectory}"


def _equal(stored: h5py.Dataset | Array, one: int, other: int) -> bool:
    frames, size = stored.shape[1], 4 * int(np.prod(stored.shape[2:]))
    step = max(AT_ONCE // size, 1)
    return all(
        np.array_equal(stored[one, start : start + step], stored[other, start : start + step])
        for start in range(0, frames, step)
    )
