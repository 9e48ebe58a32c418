"""The index dump, which stage 2 writes, as tensors: all that stage 3 reads of the earlier stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from sparsevq.errors import SparseVQError
from sparsevq.runs.codes_file import codebook_in, open_codes
from sparsevq.runtime.devices.memory import fits
from sparsevq.runtime.files import digest
from sparsevq.runtime.hdf5 import read_dataset, read_made_from


@dataclass(frozen=True)
class Codes:
    """Code indices by both encoders, (V, T, F, P, Q) int64; see docs/data-format.md.

    The codebook is (P', Q, K, D): one for all token positions, or one for each. Of some tokenizers there are the tokens
    before quantization, too, (V, T, F, P, D) float16; and what the sparse encoder sees of each frame (V, T, F, m)
    float32, with the complete coefficients (V, T, F, r) float16, less their `center` (r,). These are on the device if
    they fit there, else on the host.
    """

    sparse: Tensor
    semi_sparse: Tensor
    codebook: Tensor
    split: list[str]
    digest: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)
    tokens_sparse: Tensor | None = None
    tokens_semi_sparse: Tensor | None = None
    readings: Tensor | None = None
    coefficients: Tensor | None = None
    center: Tensor | None = None
    groups: tuple[int, ...] = ()

    def of(self, split: str) -> Tensor:
        """Indices of the trajectories of a split, on the host."""
        return torch.tensor([i for i, name in enumerate(self.split) if name == split], dtype=torch.long)


def read_codes(path: Path, device: torch.device | str = "cpu") -> Codes:
    """Read `codes.h5`.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another schema, or an index points outside the codebook.
    """
    with open_codes(path) as file:
        codebook = torch.from_numpy(codebook_in(file))
        sparse, semi_sparse = (
            torch.from_numpy(read_dataset(file, name, (None,) * 5)).long() for name in ("sparse", "semi_sparse")
        )
        split = [str(name) for name in read_dataset(file, "split", (sparse.shape[1],))]
        made_from = read_made_from(file)
        shape = (*sparse.shape[:-1], codebook.shape[-1])
        tokens: dict[str, Any] = {
            name: torch.from_numpy(read_dataset(file, name, shape))
            for name in ("tokens_sparse", "tokens_semi_sparse")
            if name in file
        }
        if "coefficients" in file:
            tokens |= _coefficients(file, sparse.shape[:3])
    positions, levels, codes, _ = codebook.shape
    agree = sparse.shape == semi_sparse.shape and sparse.shape[-1] == levels and positions in (1, sparse.shape[-2])
    if not agree:
        raise SparseVQError(f"{path}: sparse, semi_sparse and codebook do not fit each other", "dump the indices again")
    if max(sparse.max(), semi_sparse.max()) >= codes:
        raise SparseVQError(f"{path}: an index is outside the codebook of {codes}", "dump the indices again")
    device = codebook.to(device).device
    found = Codes(sparse.to(device), semi_sparse.to(device), codebook.to(device), split, digest(path), made_from)
    size = sum(part.nbytes for part in tokens.values() if isinstance(part, Tensor))
    if device.type != "cpu" and fits(size, device):
        tokens = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in tokens.items()}
    return replace(found, **tokens)


def _coefficients(file: h5py.File, shape: tuple[int, ...]) -> dict[str, Any]:
    """What a regression learns from, of all frames (V, T, F)."""
    found: dict[str, Any] = {
        name: torch.from_numpy(read_dataset(file, name, (*shape, None))) for name in ("readings", "coefficients")
    }
    found["center"] = torch.from_numpy(read_dataset(file, "center", found["coefficients"].shape[-1:]))
    found["groups"] = tuple(read_dataset(file, "groups", (None,)).tolist())
    return found
