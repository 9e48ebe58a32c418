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
    """Forecasts to score. A *case* is a trajectory and the frames of it that were observed.

    Attributes
    ----------
    trajectory, start_frame, observed_frames
        ``(case,)`` int64: the last observed frame, and how many there are: they are the frames
        ``start_frame - observed_frames + 1 ... start_frame``.
    lead_time
        ``(L,)`` time from the last observed frame to each that is forecast, in `lead_units`; they are leads 1 ... L.
    lead_units
        The unit of `lead_time`.
    first_lead
        Of the forecasts in the file: 0 where they begin with an analysis of the last observed frame, else 1.
    """

    trajectory: NDArray[np.int64]
    start_frame: NDArray[np.int64]
    observed_frames: NDArray[np.int64]
    lead_time: NDArray[np.float64]
    lead_units: str
    first_lead: int

    def __len__(self) -> int:
        return len(self.trajectory)

    @property
    def horizon(self) -> int:
        """Frames that are forecast: ``L``."""
        return len(self.lead_time)

    def truth(self, data: FieldData, case: int) -> Array:
        """``(L + 1, N, C)``: the fields of one case in physical units, from the last observed frame (lead 0) on."""
        start = self.start_frame[case]
        return data.flat_fields[self.trajectory[case], start : start + self.horizon + 1]

    def name(self, case: int) -> str:
        """A case as messages and titles name it."""
        return f"trajectory {self.trajectory[case]}, frame {self.start_frame[case]}"


def read_cases(file: h5py.File, data: FieldData) -> Cases:
    """The cases of an open forecast (or baselines) file.

    In files of earlier versions one frame is observed, and leads begin at 1.

    Raises
    ------
    SparseVQError
        There is no case, or one names a trajectory or a frame that the data set does not have.
    """
    trajectory = read_dataset(file, "trajectory", (None,)).astype(np.int64)
    start_frame = read_dataset(file, "start_frame", (len(trajectory),)).astype(np.int64)
    observed_frames = np.ones_like(start_frame)
    if "observed_frames" in file:
        observed_frames = read_dataset(file, "observed_frames", (len(trajectory),)).astype(np.int64)
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
    if (bad := (observed_frames < 1) | (observed_frames > start_frame + 1)).any():
        case = int(np.argmax(bad))
        raise SparseVQError(
            f"{where}: case {case} has {observed_frames[case]} observed frames up to frame {start_frame[case]}",
            "forecast again: there must be one observed frame at least, and no more than there are up to the start",
        )
    units = str(file["lead_time"].attrs.get("units", ""))
    first_lead = int(file.attrs.get("first_lead", 1))
    return Cases(trajectory, start_frame, observed_frames, lead_time, units, first_lead)


def write_cases(file: h5py.File, cases: Cases) -> None:
    """Write what `read_cases` reads."""
    file["trajectory"], file["start_frame"] = cases.trajectory, cases.start_frame
    file["observed_frames"] = cases.observed_frames
    file["lead_time"] = cases.lead_time
    file["lead_time"].attrs["units"] = cases.lead_units
    file.attrs["first_lead"] = cases.first_lead


def same_cases(one: Cases, other: Cases) -> bool:
    """Whether two files hold forecasts of the same frames."""
    return (
        np.array_equal(one.trajectory, other.trajectory)
        and np.array_equal(one.start_frame, other.start_frame)
        and np.array_equal(one.observed_frames, other.observed_frames)
        and one.horizon == other.horizon
    )


def require_finite(
    prediction: Array,
    method: str,
    case: int,
    weights: Array | None = None,
    lead_axis: int = 0,
    first_lead: int = 1,
) -> None:
    """Refuse a prediction that is NaN or infinite at any point that is scored.

    Parameters
    ----------
    prediction
        ``(..., N, C)``, physical units; `lead_axis` runs over lead times, from `first_lead` up.
    method, case
        Whose prediction it is: the message names them.
    weights
        ``(N,)``; points of weight 0 are not checked.

    Raises
    ------
    SparseVQError
        Names the method, the case and the first lead time that is not finite.
    """
    everywhere = np.isfinite(prediction)
    if everywhere.all():
        return
    finite = np.asarray(everywhere.all(axis=-1))
    if weights is not None:
        finite |= np.asarray(weights) <= 0
    if bool(finite.all()):
        return
    others = tuple(axis for axis in range(finite.ndim) if axis != lead_axis % prediction.ndim)
    bad_lead = int(np.argmin(finite.all(axis=others))) + first_lead
    share = 1 - finite.mean()
    raise SparseVQError(
        f"{method}: case {case} is NaN or infinite from lead {bad_lead} on ({share:.2%} of all its values)",
        "a model that diverges can't be scored: train it longer or at a lower learning rate, or leave it out",
    )
