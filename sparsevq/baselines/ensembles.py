"""Ensembles of the baselines: stored as what they are drawn from, and rebuilt one case at a time.

Each baseline is scored as the best probabilistic forecast that it is without more training. Climatology is a draw of
training frames. A single forecast is *dressed* with errors that it made elsewhere [1]_: a member is the forecast plus
the whole error field, at all lead times, of the same method on a validation trajectory.

References
----------
.. [1] Roulston & Smith, Combining dynamical and statistical ensembles, Tellus A 2003.
"""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import FieldData
from sparsevq.runtime.hdf5 import read_dataset, require_dataset

Array = NDArray[Any]


GIVEN = "observed_frames"
"""Attribute of a method's forecasts: numbers of observed frames that there are forecasts from; without it, all."""


def forecasts_from(stored: h5py.Dataset, observed_frames: int) -> bool:
    """Whether a method's forecasts (``methods/<name>``) are of cases with so many observed frames, too."""
    return GIVEN not in stored.attrs or observed_frames in stored.attrs[GIVEN]


@dataclass(frozen=True, eq=False)
class Draws:
    """Frames of the training split, each a member.

    Attributes
    ----------
    trajectory, frame
        ``(case, L + 1, M)`` int64, into the data set. Where such a frame has no field, the single forecast stands.
    """

    trajectory: NDArray[np.int64]
    frame: NDArray[np.int64]

    def write(self, group: h5py.Group, data: FieldData) -> None:
        """Write what `members` reads."""
        group["trajectory"], group["frame"] = self.trajectory, self.frame


@dataclass(frozen=True, eq=False)
class Dressing:
    """Errors that are added to a single forecast.

    Attributes
    ----------
    errors
        ``(n, L + 1, N, C)`` float16: truth minus forecast over `scale`; 0 where there is no field.
    drawn
        ``(case, M)`` int64: which of them make a case's members.
    scale
        ``(C,)`` float32, physical units.
    """

    errors: NDArray[np.float16]
    drawn: NDArray[np.int64]
    scale: NDArray[np.float32]

    def write(self, group: h5py.Group, data: FieldData) -> None:
        """Write what `members` reads."""
        gridded = (*self.errors.shape[:2], *data.grid, self.errors.shape[-1])
        group.create_dataset("errors", data=self.errors.reshape(gridded), chunks=(1, *gridded[1:]))
        group["drawn"], group["scale"] = self.drawn, self.scale


def members(file: h5py.File, name: str, case: int, fields: Array, data: FieldData) -> Array | None:
    """``(M, L + 1, N, C)`` float32: the members of a baseline in one case; None in files of earlier versions.

    Parameters
    ----------
    file
        An open ``baselines.h5``.
    name, case
        Which baseline and case.
    fields
        ``(L + 1, N, C)`` its single forecast.
    data
        The data set.

    Raises
    ------
    SparseVQError
        A dataset is missing or has another shape.
    """
    group = file.get(f"ensembles/{name}")
    if group is None:
        return None
    if "errors" in group:
        drawn, scale = read_dataset(group, "drawn", (None, None))[case], read_dataset(group, "scale", (None,))
        errors = require_dataset(group, "errors", (None, len(fields), *data.grid, len(scale)))
        found = np.empty((len(drawn), *fields.shape), np.float32)
        for member, which in zip(found, drawn, strict=True):
            member[:] = fields + scale * errors[which].reshape(fields.shape).astype(np.float32)
        return found
    trajectory = read_dataset(group, "trajectory", (None, len(fields), None))[case]  # (L + 1, M)
    frame = read_dataset(group, "frame", (None, *trajectory.shape))[case]
    drawn = np.empty((trajectory.shape[1], *fields.shape), np.float32)
    for lead, member in np.ndindex(*trajectory.shape):
        flow = trajectory[lead, member]
        valid = data.flat_mask[flow][:, None]
        drawn[member, lead] = np.where(valid, data.flat_fields[flow, frame[lead, member]], fields[lead])
    return drawn
