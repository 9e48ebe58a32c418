"""How much of the codebook is in use."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsevq.data.field_data import Split
from sparsevq.errors import SparseVQError
from sparsevq.runs.codes_file import codebook_in, open_codes
from sparsevq.runtime.hdf5 import read_dataset


def perplexity(counts: NDArray[Any]) -> float:
    """Effective number of codes: the exponential of the entropy of their use; all codes alike give their number.

    Parameters
    ----------
    counts
        ``(K,)`` how often each code occurs.
    """
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def code_counts(indices: NDArray[Any], positions: int, codes: int) -> NDArray[Any]:
    """How often each code occurs, (P', K), in indices of one level (..., P); -1 counts as none."""
    of_codebook = indices.reshape(-1, positions) if positions > 1 else indices.reshape(-1, 1)
    return np.stack([np.bincount(column[column >= 0], minlength=codes) for column in of_codebook.T])


def codebook_use(codes_path: str | Path, split: Split = "test") -> pd.DataFrame:
    """Use of the codes of each level on the training split and on `split`, by the flows as simulated (variant 0).

    Means over token positions where each has a codebook of its own.

    Returns
    -------
    Columns ``encoder`` (whose latents were quantized: `sparse` or `semi_sparse`), ``split``, ``level`` (from 1),
    ``codes`` (in the codebook), ``codes_used``, ``share_used``, ``perplexity``, ``share_of_top_code``.

    Raises
    ------
    SparseVQError
        The file is no dump of codes, or an index lies beyond the codebook.
    """
    rows = []
    with open_codes(codes_path) as file:
        positions, levels, codes, _ = codebook_in(file).shape
        splits = read_dataset(file, "split", (None,))
        for encoder in ("sparse", "semi_sparse"):
            if encoder not in file:
                continue
            indices = file[encoder][0]  # (T, F, P, Q)
            if indices.max() >= codes:
                raise SparseVQError(
                    f"{codes_path}: /{encoder} holds code {indices.max()}, the codebook has {codes}",
                    "make the file again",
                )
            for name in ("train", split):
                for level in range(levels):
                    counts = code_counts(indices[splits == name][..., level], positions, codes)
                    if not counts.any():
                        continue
                    used, top = (counts > 0).sum(1).mean(), (counts.max(1) / counts.sum(1)).mean()
                    spread = np.mean([perplexity(count) for count in counts])
                    rows.append((encoder, name, level + 1, codes, used, used / codes, spread, top))
    columns = ["encoder", "split", "level", "codes", "codes_used", "share_used", "perplexity", "share_of_top_code"]
    return pd.DataFrame(rows, columns=columns)
