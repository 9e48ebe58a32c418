"""What a forecast needs to know of a data set: everything but its frames, which may be many gigabytes."""

from pathlib import Path

import numpy as np

from sparsevq.data.hdf5 import open_layout, read_attribute, read_dataset, read_json, read_strings
from sparsevq.data.layout import SCHEMA, VERSION, FieldData
from sparsevq.errors import SparseVQError
from sparsevq.files import digest


def read_domain(path: Path) -> FieldData:
    """A data set without its frames: `fields` is ``(T, 0, *grid, C)``.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        axes = read_strings(file, "axes")
        if "fields" not in file or len(file["fields"].shape) != len(axes) + 3:
            raise SparseVQError(f"{path}: /fields is missing or has not {len(axes)} axes", "see docs/data-format.md")
        trajectories, frames, *grid, channels = file["fields"].shape
        return FieldData(
            name=str(read_attribute(file, "name")),
            fields=np.empty((trajectories, 0, *grid, channels), np.float32),
            mask=read_dataset(file, "mask", (trajectories, *grid)).astype(bool),
            axes={
                axis: read_dataset(file, f"coordinates/{axis}", (size,)).astype(np.float64)
                for axis, size in zip(axes, grid, strict=True)
            },
            axis_units={axis: str(file[f"coordinates/{axis}"].attrs.get("units", "")) for axis in axes},
            time=read_dataset(file, "time", (frames,)).astype(np.float64),
            time_units=str(file["time"].attrs.get("units", "")),
            parameters={},
            parameter_units={},
            split=read_dataset(file, "split", (trajectories,)).astype(str),
            channels=read_strings(file["fields"], "channels"),
            units=read_strings(file["fields"], "units"),
            mean=read_dataset(file, "normalisation/mean", (channels,)).astype(np.float64),
            std=read_dataset(file, "normalisation/std", (channels,)).astype(np.float64),
            periodic=read_strings(file, "periodic"),
            vector=read_json(file, "vector"),
            digest=digest(path),
        )
