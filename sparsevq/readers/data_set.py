"""A data set in the project's own layout as a source, for instance to thin it in time."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data
from sparsevq.data.source import Source
from sparsevq.simulators.shards import Shard


def open_data_set(path: str | Path) -> Source:
    """A `sparsevq-data` file with its split as it is.

    Raises
    ------
    SparseVQError
        As `read_data`.
    """
    return as_source(read_data(path), path)


def as_source(data: FieldData | Shard, path: str | Path) -> Source:
    """A data set or a shard that was read from `path`, as a source; a data set with its split."""

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        values = np.array(data.fields[trajectory, start:stop])
        values[:, ~data.mask[trajectory]] = np.nan
        return values

    return Source(
        label=str(path),
        trajectories=len(data.fields),
        read=read,
        files=(Path(path),),
        split=data.split if isinstance(data, FieldData) else None,
        ood=data.ood if isinstance(data, Shard) else None,
        **data.description(),
    )
