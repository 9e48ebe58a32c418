"""Use of the codebook: how the tokens are spread over the codes."""

from pathlib import Path

import numpy as np
import pandas as pd

from sparsevq.data.field_data import Split
from sparsevq.evaluation.codebook import SCHEMA, VERSION
from sparsevq.plotting.style import new_figure, save, styled
from sparsevq.runtime.hdf5 import open_layout, read_dataset

ENCODERS = {"sparse": "sparse", "semi_sparse": "teacher"}
COLOURS = {"sparse": ("#0072B2", "#56B4E9"), "semi_sparse": ("#D55E00", "#E69F00")}
"""On the training split and on the other."""
SPLITS = {"train": "training", "val": "validation", "test": "test", "ood": "out-of-distribution"}


@styled
def draw_codebook(codes_path: Path, use: pd.DataFrame, split: Split, path: Path) -> Path:
    """Left: share of the tokens that each code of the sparse encoder has, by rank. Right: perplexity of each level.

    Parameters
    ----------
    codes_path
        ``codes.h5``.
    use
        ``codebook.csv``.
    split
        Which split is shown beside the one for training.
    path
        The picture.
    """
    with open_layout(codes_path, SCHEMA, VERSION) as file:
        levels, codes = read_dataset(file, "codebook", (None, None, None)).shape[:2]
        splits = read_dataset(file, "split", (None,))
        indices = file["sparse"][0]  # (T, F, P, Q)
    figure = new_figure(10.5, 3.6)
    left, right = figure.subplots(1, 2)

    shades = np.linspace(1, 0.35, levels)
    for level in range(levels):
        for name, line in (("train", "-"), (split, "--")):
            found = indices[splits == name][..., level]
            counts = np.sort(np.bincount(found[found >= 0], minlength=codes))[::-1]
            if not counts.any():
                continue
            share = np.where(counts > 0, counts, np.nan) / counts.sum()  # codes that never occur end the line
            label = f"level {level + 1}" if name == "train" else None
            left.plot(np.arange(1, codes + 1), share, line, color="#0072B2", alpha=shades[level], label=label)
    left.axhline(1 / codes, color="0.4", linewidth=0.8, linestyle=":", label="all codes alike")
    left.set_yscale("log")
    left.set_xlim(0, codes + 1)
    left.set_xlabel("code, by falling use", labelpad=2)
    left.set_ylabel("share of tokens")
    left.set_title(f"sparse encoder; solid: training split, dashed: {SPLITS[split]} split", loc="left")
    left.legend()

    shown = ("train", split)
    groups = [(encoder, name) for encoder in ENCODERS for name in shown]
    width = 0.8 / len(groups)
    for place, (encoder, name) in enumerate(groups):
        rows = use[(use["encoder"] == encoder) & (use["split"] == name)]
        if not len(rows):
            continue
        at = rows["level"].to_numpy() + (place - (len(groups) - 1) / 2) * width
        colour = COLOURS[encoder][shown.index(name)]
        right.bar(at, rows["perplexity"], width, color=colour, label=f"{ENCODERS[encoder]}, {SPLITS[name]}")
        for x, height, share in zip(at, rows["perplexity"], rows["share_used"], strict=True):
            right.text(x, height, f"{share:.0%}", ha="center", va="bottom", fontsize=6.5)
    right.axhline(codes, color="0.4", linewidth=0.8, linestyle=":")
    right.set_xticks(range(1, levels + 1))
    right.set_ylim(0, 1.12 * codes)
    right.grid(visible=False, axis="x")
    right.set_xlabel("level of the quantizer")
    right.set_ylabel("perplexity (effective number of codes)")
    right.set_title(f"of {codes} codes (dotted); numbers: share of codes in use", loc="left")
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=4)
    return save(figure, path)
