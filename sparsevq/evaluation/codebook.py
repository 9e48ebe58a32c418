"""How much of the codebook is in use."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsevq.data.field_data import Split
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import open_layout, read_dataset

SCHEMA = "sparsevq-codes"
VERSION = 1


def perplexity(counts: NDArray[Any]) -> float:
    """Effective number of codes: the exponential of the entropy of their use; all codes alike give their number.

    Parameters
    ----------
    counts
        ``(K,)`` how often each code occurs.
    """
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def codebook_use(codes_path: str | Path, split: Split = "test") -> pd.DataFrame:
    """Use of the codes of each level on the training split and on `split`, by the flows as simulated (variant 0).

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
    with open_layout(codes_path, SCHEMA, VERSION) as file:
        levels, codes = read_dataset(file, "codebook", (None, None, None)).shape[:2]
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
                chosen = indices[splits == name].reshape(-1, levels)
                for level in range(levels):
                    found = chosen[:, level]
                    counts = np.bincount(found[found >= 0], minlength=codes)
                    if not counts.any():
                        continue
                    used, top = counts > 0, counts.max() / counts.sum()
                    rows.append((encoder, name, level + 1, codes, used.sum(), used.mean(), perplexity(counts), top))
    columns = ["encoder", "split", "level", "codes", "codes_used", "share_used", "perplexity", "share_of_top_code"]
    return pd.DataFrame(rows, columns=columns)
