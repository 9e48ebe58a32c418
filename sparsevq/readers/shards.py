"""A simulator's shards as a source."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.data.faults import not_finite
from sparsevq.data.layout import read_common
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import Array, open_layout, read_dataset
from sparsevq.simulators.shards import SCHEMA, VERSION, read_trajectory_numbers

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
    numbers = [read_trajectory_numbers(path) for path in files]
    where = _places(files, numbers)
    total = len(where)
    headers = [_header(path) for path in files]
    for path, header in zip(files[1:], headers[1:], strict=True):
        _same_simulation(headers[0], header, files[0], path)
    parameters: dict[str, Array] = {}
    for name in headers[0]["parameters"]:
        values = np.empty(total, dtype=object)
        for header, some in zip(headers, numbers, strict=True):
            values[some] = header["parameters"][name]
        text = headers[0]["parameters"][name].dtype.kind == "U"
        parameters[name] = values.astype(str) if text else values.astype(np.float64)
    ood = np.zeros(total, dtype=bool)
    for header, some in zip(headers, numbers, strict=True):
        ood[some] = header.pop("ood")

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        path, row = where[trajectory]
        with open_layout(path, SCHEMA, VERSION, checked=False) as file:
            values = file["fields"][row, start:stop].astype(np.float32, copy=False)
            mask = np.asarray(file["mask"][row], dtype=bool)
        flat = values.reshape(1, len(values), -1, values.shape[-1])
        fault = next(not_finite(flat, mask.reshape(1, -1), headers[0]["channels"], np.array([trajectory])), None)
        if fault is not None:
            raise fault.error(str(path))
        values[:, ~mask] = np.nan
        return values

    shared = {key: value for key, value in headers[0].items() if key not in ("fields", "mask", "parameters")}
    return Source(
        label=label, trajectories=total, read=read, parameters=parameters, files=tuple(files), ood=ood, **shared
    )


def _header(path: Path) -> dict[str, Any]:
    with open_layout(path, SCHEMA, VERSION) as file:
        header = read_common(file, "none")
        held = (len(header["fields"]),)
        read_dataset(file, "trajectory", held)  # as many as there are fields
        return header | {"ood": read_dataset(file, "ood", held).astype(bool)}


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


def _same_simulation(first: dict[str, Any], other: dict[str, Any], first_path: Path, path: Path) -> None:
    """Check that two shards can be of one data set."""
    same = {key: np.array_equal(first[key], other[key]) for key in SAME}
    same["axes"] = list(first["axes"]) == list(other["axes"]) and all(
        np.array_equal(first["axes"][axis], other["axes"][axis]) for axis in first["axes"]
    )
    same["parameters"] = sorted(first["parameters"]) == sorted(other["parameters"])
    different = [what for what, equal in same.items() if not equal]
    if different:
        raise SparseVQError(
            f"{path} and {first_path} are of different simulations: their {', '.join(different)} differ",
            "simulate all shards with the same settings and versions",
        )
