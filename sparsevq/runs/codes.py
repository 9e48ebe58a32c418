"""The layout of the index dump, which stage 2 writes: all that stage 3 reads of the earlier stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest
from sparsevq.runtime.hdf5 import open_layout, read_dataset, read_made_from

SCHEMA = "sparsevq-codes"
VERSION = 1


@dataclass(frozen=True)
class Codes:
    """Code indices by both encoders, (V, T, F, P, Q) int64; see docs/data-format.md.

    The codebook is (P', Q, K, D): one for all token positions, or one for each. Of some tokenizers there are the tokens
    before quantization, too, (V, T, F, P, D) float16.
    """

    sparse: Tensor
    semi_sparse: Tensor
    codebook: Tensor
    split: list[str]
    digest: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)
    tokens_sparse: Tensor | None = None
    tokens_semi_sparse: Tensor | None = None

    def of(self, split: str) -> Tensor:
        """Indices of the trajectories of a split."""
        return torch.tensor([i for i, name in enumerate(self.split) if name == split], device=self.sparse.device)


def read_codes(path: Path, device: torch.device | str = "cpu") -> Codes:
    """Read `codes.h5`.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another schema, or an index points outside the codebook.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        codebook = torch.from_numpy(read_dataset(file, "codebook", (None, None, None)))[None]
        sparse, semi_sparse = (
            torch.from_numpy(read_dataset(file, name, (None,) * 5)).long() for name in ("sparse", "semi_sparse")
        )
        split = [str(name) for name in read_dataset(file, "split", (sparse.shape[1],))]
        made_from = read_made_from(file)
    if sparse.shape != semi_sparse.shape or sparse.shape[-1] != codebook.shape[1]:
        raise SparseVQError(f"{path}: sparse, semi_sparse and codebook do not fit each other", "dump the indices again")
    if max(sparse.max(), semi_sparse.max()) >= codebook.shape[2]:
        raise SparseVQError(
            f"{path}: an index is outside the codebook of {codebook.shape[2]}", "dump the indices again"
        )
    return Codes(sparse.to(device), semi_sparse.to(device), codebook.to(device), split, digest(path), made_from)
