"""What a demonstration has beside its small packed run: readings of a flow that was held out, and how this went on."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import created, open_layout, read_attribute, read_dataset, stamp
from sparsevq.sensors.example import EXAMPLE, write_example

SCHEMA, VERSION = "sparsevq-truth", 1
TRUTH = "truth.h5"
"""The file in the folder of a demonstration."""
DIGITS = 2.0**-9
"""Step of the fields, in units of a channel's standard deviation: less than a forecast's error by far."""
PACKED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


@dataclass(frozen=True, eq=False)
class Truth:
    """Fields (L + 1, N, C) from the last observed frame on, NaN where there is none; and where they are from."""

    fields: npt.NDArray[np.float32]
    trajectory: int
    frame: int

    @property
    def frames(self) -> int:
        """Frames after the last observed one."""
        return len(self.fields) - 1


@dataclass(frozen=True)
class Case:
    """A trajectory, its last observed frame, and why it was chosen."""

    trajectory: int
    frame: int
    chosen: str


def case_of(run: Run, frames: int, observed: int) -> Case:
    """The case of the run's example of readings, if it has one that goes on for so many frames; else a test trajectory.

    Raises
    ------
    SparseVQError
        The data set has no test trajectory that is long enough.
    """
    data = run.data
    about = (run.path / EXAMPLE).with_suffix(".json")
    if about.is_file():
        told = json.loads(about.read_text())
        case = Case(int(told["trajectory"]), int(told["frame"]), str(told["chosen"]))
        if case.frame + frames < data.fields.shape[1] and data.split[case.trajectory] == "test":
            return case
    held_out, last = data.trajectories("test"), data.fields.shape[1] - 1 - frames
    if not len(held_out) or last < 0:
        raise SparseVQError(f"{data.name} has no test trajectory of {frames + 1} frames", "forecast fewer frames")
    return Case(int(held_out[0]), min(observed - 1, last), "the first test trajectory")


def add_example(run: Run, folder: Path, frames: int, observed: int) -> Case:
    """Write readings of a held-out trajectory, and the truth of `frames` frames after them, into a packed run.

    Parameters
    ----------
    run
        The run with its data set.
    folder
        Of what was packed; the example that it has is replaced.
    observed
        Frames that the readings are of.

    Raises
    ------
    SparseVQError
        As of `case_of`, or a file can't be written.
    """
    case = case_of(run, frames, observed)
    (folder / EXAMPLE).unlink(missing_ok=True)  # perhaps another name of the run's own file
    write_example(folder / EXAMPLE, run.data, run.sensors, case.trajectory, case.frame, observed, case.chosen)
    write_truth(folder / TRUTH, run.data, case, frames, run.file("data"))
    return case


def write_truth(path: Path, data: FieldData, case: Case, frames: int, source: Path) -> None:
    """Write the fields of a case; they are rounded."""
    steps = 2.0 ** np.floor(np.log2(DIGITS * data.std))
    fields = data.flat_fields[case.trajectory, case.frame : case.frame + frames + 1]
    rounded = (np.rint(fields / steps) * steps).astype(np.float32)
    rounded[:, ~data.flat_mask[case.trajectory]] = np.nan
    with created(path) as file:
        stamp(file, SCHEMA, VERSION, {"data": source})
        file.attrs["trajectory"], file.attrs["frame"] = case.trajectory, case.frame
        file.create_dataset("fields", data=rounded, chunks=(1, *rounded.shape[1:]), **PACKED)


def read_truth(folder: Path, data: FieldData) -> Truth:
    """Read what `add_example` wrote.

    Raises
    ------
    SparseVQError
        The file is missing, damaged, or of another grid.
    """
    with open_layout(folder / TRUTH, SCHEMA, VERSION) as file:
        fields = read_dataset(file, "fields", (None, data.num_points, len(data.channels))).astype(np.float32)
        return Truth(fields, int(read_attribute(file, "trajectory")), int(read_attribute(file, "frame")))
