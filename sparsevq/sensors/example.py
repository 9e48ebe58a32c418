"""Readings of a trajectory that is known, as a user would write them: what a run's forecast can be tried with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsevq.data.clock import frame_date
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest, written_whole
from sparsevq.sensors.placement import SensorSets

EXAMPLE = "readings_example.csv"
"""The file in the folder of a run."""
NO_UNIT = ("", "1", "-")


def example_readings(data: FieldData, sensors: SensorSets, trajectory: int, frame: int, observed: int) -> pd.DataFrame:
    """What the sparse sensors read in up to `observed` frames, the last of which is `frame`; a line for each reading.

    Columns: ``time`` (dates) where the data set has dates, else ``frame`` of several frames; ``sensor``, the axes and
    the channels, with their units in brackets. A cell is empty where a sensor does not read a channel.
    """
    frames = range(max(0, frame - observed + 1), frame + 1)
    points, read = sensors.sparse, sensors.channels[: len(sensors.sparse)]
    places = sensors.coordinates[: len(points)]
    units = dict(zip(data.channels, data.units, strict=True)) | dict(data.axis_units)
    tables = []
    for number in frames:
        values = np.where(read, data.flat_fields[trajectory, number, points], np.nan).astype(np.float32)
        date = frame_date(data, trajectory, number)
        when: dict[str, Any] = {} if date is None else {"time": date.isoformat()}
        if date is None and len(frames) > 1:
            when = {"frame": number}
        columns = dict(zip(data.axes, places.T, strict=True)) | dict(zip(data.channels, values.T, strict=True))
        named = {_with_unit(name, units[name]): column for name, column in columns.items()}
        tables.append(pd.DataFrame({"sensor": range(len(points)), **named}).assign(**when))
    table = pd.concat(tables, ignore_index=True)
    return table[[*(name for name in ("time", "frame") if name in table), *tables[0].columns.drop(list(when))]]


def write_example(
    csv: Path, data: FieldData, sensors: SensorSets, trajectory: int, frame: int, observed: int, chosen: str
) -> None:
    """Write `example_readings` as CSV, and beside it as JSON which frames they are of.

    Parameters
    ----------
    csv
        The file; that of the same name with the suffix ``.json`` has the trajectory and the last observed frame.
    data
        The data set; one trajectory's frames are read.
    chosen
        Why this trajectory, in words.

    Raises
    ------
    SparseVQError
        The trajectory has no such frame, or the files can't be written.
    """
    trajectories, frames = data.fields.shape[:2]
    if not (0 <= trajectory < trajectories and 0 <= frame < frames):
        raise SparseVQError(
            f"{data.name} has no frame {frame} of trajectory {trajectory}",
            f"there are {trajectories} trajectories of {frames} frames",
        )
    table = example_readings(data, sensors, trajectory, frame, observed)
    date = frame_date(data, trajectory, frame)
    about = {
        "what": "readings of the run's sensors in a trajectory that no model was trained on",
        "chosen": chosen,
        "data_set": data.name,
        "split": str(data.split[trajectory]),
        "trajectory": trajectory,
        "frame": frame,
        "observed_frames": min(observed, frame + 1),
        "frames_after": frames - 1 - frame,
        "parameters": {name: values[trajectory].item() for name, values in data.parameters.items()},
        **({} if date is None else {"date": date.isoformat()}),
    }
    with written_whole(csv) as part:
        part.write_text(table.to_csv(index=False, lineterminator="\n"))
    with written_whole(csv.with_suffix(".json")) as part:
        part.write_text(json.dumps({**about, "sha256": digest(csv)}, indent=1) + "\n")


def _with_unit(name: str, unit: str) -> str:
    return name if unit.strip() in NO_UNIT else f"{name} [{unit}]"
