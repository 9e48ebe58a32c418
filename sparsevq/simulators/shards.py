"""What a simulator's job writes: some of a data set's trajectories (``docs/data-format.md``, sparsevq-shard)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import Description
from sparsevq.data.layout import Fields, read_common, write_common
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import created, open_layout, read_dataset, stamp

SCHEMA = "sparsevq-shard"
VERSION = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Shard(Description):
    """Trajectories as a simulator gives them, all of its channels and frames.

    Attributes
    ----------
    trajectory
        ``(T,)`` int64: numbers of these trajectories in the whole data set, increasing.
    fields, mask
        As in `sparsevq.data.field_data.FieldData`.
    ood
        ``(T,)`` bool: which are from outside the training range; None: none of them.
    """

    trajectory: npt.NDArray[np.int64]
    fields: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    ood: npt.NDArray[np.bool_] | None = None


def write_shard(path: str | Path, shard: Shard, settings: Mapping[str, Any] | None = None) -> None:
    """Write a shard; the file appears whole or not at all."""
    with created(path) as file:
        stamp(file, SCHEMA, VERSION, {}, settings)
        file.create_dataset("fields", data=shard.fields.astype(np.float32, copy=False))
        write_common(file, shard, shard.mask)
        file["trajectory"] = shard.trajectory
        file["ood"] = np.zeros(len(shard.trajectory), dtype=bool) if shard.ood is None else shard.ood


def read_shard(path: str | Path, fields: Fields = "whole") -> Shard:
    """Read a shard, or all of it but its `fields`.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout; a dataset is missing or has a wrong shape; or there are no
        trajectories.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        common = read_common(file, fields)
        held = (len(common["fields"]),)
        trajectory = read_dataset(file, "trajectory", held).astype(np.int64)
        ood = read_dataset(file, "ood", held).astype(bool)
    if not len(trajectory):
        raise SparseVQError(f"{path} has no trajectories", "simulate the shard again")
    return Shard(trajectory=trajectory, ood=ood, **common)
