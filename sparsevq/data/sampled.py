"""Some frames of a data set at a few points, without reading all of it: by them readings are judged."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData, Split
from sparsevq.data.layout import SCHEMA, VERSION
from sparsevq.runtime.hdf5 import open_layout

BYTES = 2**26
"""Of frames that are read."""
FRAMES = 128
"""Of each split, at most."""
STEPS = 64
"""Pairs of successive training frames, at most."""
SAMPLED: tuple[Split, ...] = ("train", "val")

Points = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Samples(Protocol):
    """Frames that are spread evenly over the training and over the validation split."""

    def at(self, points: Points) -> list[FloatArray]:
        """Of each split, values (b, n, C) at points (n,); NaN where there is no field."""

    def change(self, points: Points) -> FloatArray:
        """(n, C) what changes at points from one training frame to the next, rms; 0 where at times nothing does."""


class SamplesOfDataSet:
    """Read from a data set's file when they are asked for.

    Parameters
    ----------
    path, data
        The file, and what it says of points and trajectories.
    """

    def __init__(self, path: Path, data: FieldData):
        self._path, self._data = path, data

    def at(self, points: Points) -> list[FloatArray]:
        return [values[:, 0] for values in sampled(self._path, self._data, points, SAMPLED)]

    def change(self, points: Points) -> FloatArray:
        (pairs,) = sampled(self._path, self._data, points, SAMPLED[:1], most=STEPS, following=1)
        steps = np.nan_to_num(pairs[:, 1] - pairs[:, 0])
        found: FloatArray = np.where((steps == 0).any(axis=0), 0, np.sqrt(np.square(steps).mean(axis=0)))
        return found


def sampled(
    path: Path,
    data: FieldData,
    points: Points,
    splits: tuple[Split, ...],
    most: int = FRAMES,
    following: int = 0,
) -> list[FloatArray]:
    """Values (b, 1 + following, n, C) at points (n,) of frames that are spread evenly over each split.

    NaN where there is no field.

    Parameters
    ----------
    path, data
        A data set's file, and what it says of points and trajectories.
    most
        Frames of each split, at most; fewer where frames are large.
    following
        Frames after each of these.

    Raises
    ------
    SparseVQError
        The file is missing or damaged.
    """
    mask, found = data.flat_mask, []
    with open_layout(path, SCHEMA, VERSION) as file:
        fields = file["fields"]
        for split in splits:
            chosen = cases(data, fields.shape[1] - following, split, most)
            values = np.full((len(chosen), 1 + following, len(points), len(data.channels)), np.nan)
            for rows, (trajectory, frame) in zip(values, chosen, strict=True):
                valid = mask[trajectory, points]
                for later, row in enumerate(rows):
                    whole = fields[trajectory, frame + later].reshape(-1, len(data.channels))
                    row[valid] = whole[points[valid]]
            found.append(values)
    return found


def cases(data: FieldData, frames: int, split: Split, most: int) -> npt.NDArray[np.int64]:
    """(b, 2) trajectory and frame of those that are sampled, of so many frames of each trajectory."""
    most, frames = min(most, max(8, BYTES // (4 * data.num_points * len(data.channels)))), max(frames, 0)
    trajectories = data.trajectories(split)
    total = len(trajectories) * frames
    chosen = np.unique(np.linspace(0, max(total - 1, 0), min(most, total)).round().astype(np.int64))
    return np.stack([trajectories[chosen // max(frames, 1)], chosen % max(frames, 1)], axis=-1)
