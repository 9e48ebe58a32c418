"""Values of a few points in some frames of a data set, without reading all of it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData, Split
from sparsevq.data.layout import SCHEMA, VERSION
from sparsevq.runtime.hdf5 import open_layout

BYTES = 2**26
"""Of frames that are read."""


def sampled(
    path: Path,
    data: FieldData,
    points: npt.NDArray[np.int64],
    splits: tuple[Split, ...],
    most: int = 128,
    following: int = 0,
) -> list[npt.NDArray[np.float64]]:
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
    most = min(most, max(8, BYTES // (4 * data.num_points * len(data.channels))))
    mask, found = data.flat_mask, []
    with open_layout(path, SCHEMA, VERSION) as file:
        fields = file["fields"]
        frames = max(fields.shape[1] - following, 0)
        for split in splits:
            trajectories = data.trajectories(split)
            total = len(trajectories) * frames
            cases = np.unique(np.linspace(0, max(total - 1, 0), min(most, total)).round().astype(np.int64))
            chosen = np.stack([trajectories[cases // frames], cases % frames], axis=-1)
            values = np.full((len(chosen), 1 + following, len(points), len(data.channels)), np.nan)
            for rows, (trajectory, frame) in zip(values, chosen, strict=True):
                valid = mask[trajectory, points]
                for later, row in enumerate(rows):
                    whole = fields[trajectory, frame + later].reshape(-1, len(data.channels))
                    row[valid] = whole[points[valid]]
            found.append(values)
    return found
