"""Which forecasts are scored, and the truth of each: the cases of a forecast file, checked against its data set."""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import read_dataset

SCHEMA = "sparsevq-forecast"
VERSION = 1

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cases:
    """Forecasts to score. A *case* is a trajectory and the one frame of it that was observed.

    Attributes
    ----------
    trajectory, start_frame
        ``(case,)`` int64.
    lead_time
        ``(L,)`` time from the observed frame to each that is forecast, in `lead_units`; frames are counted 1 ... L.
    lead_units
        The unit of `lead_time`.
    """

    trajectory: NDArray[np.int64]
    start_frame: NDArray[np.int64]
    lead_time: NDArray[np.float64]
    lead_units: str

    def __len__(self) -> int:
        return len(self.trajectory)

    @property
    def horizon(self) -> int:
        """Frames that are forecast: ``L``."""
        return len(self.lead_time)

    def truth(self, data: FieldData, case: int) -> Array:
        """``(L + 1, N, C)``: the fields of one case in physical units, from the observed frame (lead 0) on."""
        start = self.start_frame[case]
        return data.flat_fields[self.trajectory[case], start : start + self.horizon + 1]

    def name(self, case: int) -> str:
        """A case as messages and titles name it."""
        return f"trajectory {self.trajectory[case]}, frame {self.start_frame[case]}"


def read_cases(file: h5py.File, data: FieldData) -> Cases:
    """The cases of an open forecast (or baselines) file.

    Raises
    ------
    SparseVQError
        There is no case, or one names a trajectory or a frame that the data set does not have.
    """
    trajectory = read_dataset(file, "trajectory", (None,)).astype(np.int64)
    start_frame = read_dataset(file, "start_frame", (len(trajectory),)).astype(np.int64)
    lead_time = read_dataset(file, "lead_time", (None,)).astype(np.float64)
    where = file.filename
    if not len(trajectory) or not len(lead_time):
        raise SparseVQError(
            f"{where} holds no forecast", "forecast at least one test trajectory for at least one frame"
        )
    trajectories, frames = data.fields.shape[:2]
    if trajectory.min() < 0 or trajectory.max() >= trajectories:
        raise SparseVQError(
            f"{where} forecasts trajectory {trajectory.max()}, the data set {data.name} has {trajectories}",
            "give the data set that the forecast was made from",
        )
    last = int(start_frame.max()) + len(lead_time)
    if start_frame.min() < 0 or last >= frames:
        raise SparseVQError(
            f"{where} forecasts up to frame {last}, the last frame of {data.name} is {frames - 1}",
            "forecast a shorter horizon or from earlier frames: only what has a truth can be scored",
        )
    return Cases(trajectory, start_frame, lead_time, str(file["lead_time"].attrs.get("units", "")))


def same_cases(one: Cases, other: Cases) -> bool:
    """Whether two files hold forecasts of the same frames."""
    return (
        np.array_equal(one.trajectory, other.trajectory)
        and np.array_equal(one.start_frame, other.start_frame)
        and one.horizon == other.horizon
    )
