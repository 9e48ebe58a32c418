"""A simulator's shards as a source."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.faults import not_finite
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import open_layout
from sparsevq.simulators.shards import SCHEMA, VERSION, Shard, read_shard

SAME = ("channels", "units", "time", "time_units", "provenance")


def open_shards(paths: Sequence[str | Path], label: str) -> Source:
    """Shards as one source; trajectories are in the order of their numbers, whatever the shards'.

    Parameters
    ----------
    paths
        Files of the layout sparsevq-shard that together hold trajectories 0 ... T-1, each once.
    label
        Name of the data set, for messages.

    Raises
    ------
    SparseVQError
        A shard is faulty or of another simulation than the first; a trajectory is missing or there twice. While
        reading: a valid point is not finite.
    """
    if not paths:
        raise SparseVQError(f"{label}: no shards", "name at least one")
    files = [Path(path) for path in paths]
    shards = [read_shard(path, "none") for path in files]
    where = _places(files, [shard.trajectory for shard in shards])
    for path, shard in zip(files[1:], shards[1:], strict=True):
        _same_simulation(shards[0], shard, files[0], path)
    order = np.argsort(np.concatenate([shard.trajectory for shard in shards]))
    parameters = {
        name: np.concatenate([shard.parameters[name] for shard in shards])[order] for name in shards[0].parameters
    }

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        path, row = where[trajectory]
        with open_layout(path, SCHEMA, VERSION, checked=False) as file:
            values = file["fields"][row, start:stop].astype(np.float32, copy=False)
            mask = np.asarray(file["mask"][row], dtype=bool)
        flat = values.reshape(1, len(values), -1, values.shape[-1])
        fault = next(not_finite(flat, mask.reshape(1, -1), shards[0].channels, np.array([trajectory])), None)
        if fault is not None:
            raise fault.error(str(path))
        values[:, ~mask] = np.nan
        return values

    return Source(
        label=label,
        trajectories=len(where),
        read=read,
        files=tuple(files),
        ood=np.concatenate([shard.ood for shard in shards])[order],
        **shards[0].description() | {"parameters": parameters},
    )


def _places(files: list[Path], numbers: list[npt.NDArray[np.int64]]) -> list[tuple[Path, int]]:
    """File and row of each trajectory; raises unless they are 0 ... T-1."""
    where: dict[int, tuple[Path, int]] = {}
    for path, some in zip(files, numbers, strict=True):
        for row, number in enumerate(some.tolist()):
            if number in where:
                raise SparseVQError(
                    f"trajectory {number} is in {where[number][0]} and in {path}", "name each shard once, of one run"
                )
            where[number] = (path, row)
    missing = sorted(set(range(len(where))) - set(where))
    if missing:
        raise SparseVQError(
            f"trajectory {missing[0]} is in none of the {len(files)} shards", "name all shards of the run"
        )
    return [where[number] for number in range(len(where))]


def _same_simulation(first: Shard, other: Shard, first_path: Path, path: Path) -> None:
    """Check that two shards can be of one data set."""
    same = {key: np.array_equal(getattr(first, key), getattr(other, key)) for key in SAME}
    same["axes"] = list(first.axes) == list(other.axes) and all(
        np.array_equal(first.axes[axis], other.axes[axis]) for axis in first.axes
    )
    same["parameters"] = sorted(first.parameters) == sorted(other.parameters)
    different = [what for what, equal in same.items() if not equal]
    if different:
        raise SparseVQError(
            f"{path} and {first_path} are of different simulations: their {', '.join(different)} differ",
            "simulate all shards with the same settings and versions",
        )
