"""A data set in the project's own layout as a source, for instance to thin it in time."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data
from sparsevq.data.source import Source


def open_data_set(path: str | Path) -> Source:
    """A `sparsevq-data` file with its split as it is.

    Raises
    ------
    SparseVQError
        As `read_data`.
    """
    return as_source(read_data(path), path)


def as_source(data: FieldData, path: str | Path) -> Source:
    """A data set that was read from `path`, as a source."""

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        values = np.array(data.fields[trajectory, start:stop])
        values[:, ~data.mask[trajectory]] = np.nan
        return values

    return Source(
        label=str(path),
        trajectories=len(data.fields),
        read=read,
        axes=data.axes,
        axis_units=data.axis_units,
        time=data.time,
        time_units=data.time_units,
        channels=data.channels,
        units=data.units,
        files=(Path(path),),
        parameters=data.parameters,
        parameter_units=data.parameter_units,
        periodic=data.periodic,
        vector=data.vector,
        provenance=data.provenance,
        scattered=data.scattered,
        point_weights=data.point_weights,
        split=data.split,
    )
