"""What a simulator's job writes: some of a data set's trajectories (``docs/data-format.md``, sparsevq-shard)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.data.layout import read_common, write_common
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import Array, created, open_layout, read_dataset, stamp

SCHEMA = "sparsevq-shard"
VERSION = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Shard:
    """Trajectories as a simulator gives them, all of its channels and frames.

    Attributes are those of `sparsevq.data.field_data.FieldData`, without the split and what is derived from it.

    Attributes
    ----------
    trajectory
        ``(T,)`` int64: numbers of these trajectories in the whole data set, increasing.
    ood
        ``(T,)`` bool: which are from outside the training range; None: none of them.
    """

    trajectory: npt.NDArray[np.int64]
    fields: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    axes: dict[str, npt.NDArray[np.float64]]
    axis_units: dict[str, str]
    time: npt.NDArray[np.float64]
    time_units: str
    parameters: dict[str, Array]
    parameter_units: dict[str, str]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    periodic: tuple[str, ...] = ()
    vector: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    scattered: bool = False
    point_weights: npt.NDArray[np.float64] | None = None
    ood: npt.NDArray[np.bool_] | None = None


def write_shard(path: str | Path, shard: Shard, settings: Mapping[str, Any] | None = None) -> None:
    """Write a shard; the file appears whole or not at all."""
    with created(path) as file:
        stamp(file, SCHEMA, VERSION, {}, settings)
        file.create_dataset("fields", data=shard.fields.astype(np.float32, copy=False))
        write_common(file, shard)
        file["trajectory"] = shard.trajectory
        file["ood"] = np.zeros(len(shard.trajectory), dtype=bool) if shard.ood is None else shard.ood


def read_shard(path: str | Path) -> Shard:
    """Read a shard.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout, or a dataset is missing or has a wrong shape.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        common = read_common(file)
        held = (len(common["fields"]),)
        trajectory = read_dataset(file, "trajectory", held).astype(np.int64)
        ood = read_dataset(file, "ood", held).astype(bool)
    return Shard(trajectory=trajectory, ood=ood, **common)


def read_trajectory_numbers(path: str | Path) -> npt.NDArray[np.int64]:
    """Which trajectories a shard has, without reading them.

    Raises
    ------
    SparseVQError
        As for `read_shard`; or the shard is empty.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        numbers = read_dataset(file, "trajectory", (None,)).astype(np.int64)
    if not len(numbers):
        raise SparseVQError(f"{path} has no trajectories", "simulate the shard again")
    return numbers
