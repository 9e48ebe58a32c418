"""The file of a basis (``docs/data-format.md``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.basis.basis import Basis, compute_basis
from sparsevq.config import BasisConfig, Symmetries
from sparsevq.data.layout import read_data
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest
from sparsevq.runtime.hdf5 import (
    created,
    give_back,
    map_dataset,
    open_layout,
    read_dataset,
    read_made_from,
    require_dataset,
    stamp,
)

SCHEMA = "sparsevq-basis"
VERSION = 1
IN_MEMORY = 2**29
"""Bytes of modes up to which they are read (see `read_basis`)."""


def make_basis(data: Path, out: Path, settings: BasisConfig, symmetries: Symmetries) -> None:
    """Compute the basis of a data set's file and write it; errors are those of reading the one and writing the other.

    Symmetry variants are drawn with one seed, whatever that of a run: all runs on a data set share its basis.
    """
    described = read_data(data)
    frames = len(described.trajectories("train")) * len(described.time) * symmetries.variants
    print(f"up to {settings.modes} modes of {frames} frames of {described.num_points} points", flush=True)
    basis = compute_basis(described, symmetries, settings.modes)
    shares = zip(described.channels, basis.time_mean_share, strict=True)
    print(
        "share of the variance that the time mean has:", *(f"{name} {share:.2%}" for name, share in shares), flush=True
    )
    kept = f"{len(basis.modes)} modes; what they leave of the variance: {1 - np.sum(basis.std**2) / basis.variance:.2e}"
    print(kept, flush=True)
    learned = {"symmetries": symmetries.model_dump(mode="json")}
    write_basis(out, basis, {"data": data}, {**settings.model_dump(mode="json"), **learned})


def write_basis(
    path: str | Path, basis: Basis, made_from: Mapping[str, Path], settings: Mapping[str, Any] | None = None
) -> None:
    """Write a basis; the file appears whole or not at all.

    Parameters
    ----------
    path
        The file.
    basis
        Its `digest` and `made_from` are not written.
    made_from
        Name -> file that it was made from; their digests are stored.
    settings
        What it depends on beside them; stored as JSON.
    """
    with created(path) as file:
        stamp(file, SCHEMA, VERSION, made_from, settings)
        for name in ("mean", "scale", "modes", "residual"):
            file[name] = getattr(basis, name).astype(np.float32, copy=False)
        for name in ("std", "time_mean_share", "weights"):
            file[name] = getattr(basis, name).astype(np.float64, copy=False)


def read_basis(path: str | Path, in_memory: int = IN_MEMORY) -> Basis:
    """Read and check what `write_basis` wrote.

    Modes of up to `in_memory` bytes are read; more are mapped: the system reads them from the file as they are used.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout; or a dataset has a wrong shape or is not finite.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        stored = require_dataset(file, "modes", (None, None, None))
        mapped = stored.dtype == np.float32 and 4 * stored.size > in_memory
        modes = map_dataset(stored) if mapped else np.asarray(stored[()]).astype(np.float32, copy=False)
        kept, points, channels = modes.shape
        float32 = {"mean": (points, channels), "scale": (channels,), "residual": (points, channels)}
        float64 = {"std": (kept,), "time_mean_share": (channels,), "weights": (points,)}
        found: dict[str, Any] = {"modes": modes}
        found |= {name: read_dataset(file, name, shape).astype(np.float32) for name, shape in float32.items()}
        found |= {name: read_dataset(file, name, shape).astype(np.float64) for name, shape in float64.items()}
        made_from = read_made_from(file)
    for name, values in found.items():
        for part in values if name == "modes" else (values,):
            if not np.isfinite(part).all():
                raise SparseVQError(f"{path}: {name} is not finite", "make the basis again")
            give_back(part)
    return Basis(**found, digest=digest(path), made_from=made_from)
