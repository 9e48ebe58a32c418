"""How tables become files: CSV, Markdown and LaTeX, the same bytes for the same table."""

from pathlib import Path

import numpy as np
import pandas as pd

from sparsevq.runtime.files import written_whole


def identity_of(data_set: str, num_sensors: int, placement: str, seed: int, variant: str = "") -> pd.DataFrame:
    """One row with the columns that identify a run; `placement` is empty but in experiments with several."""
    parts = {"data_set": data_set, "num_sensors": num_sensors, "placement": placement, "variant": variant, "seed": seed}
    return pd.DataFrame([{name: value for name, value in parts.items() if value != ""}])


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table with seven significant digits; the file appears whole or not at all."""
    with written_whole(path) as part:
        table.to_csv(part, index=False, float_format="%.7g", lineterminator="\n")


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8; the file appears whole or not at all."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def markdown(texts: pd.DataFrame) -> str:
    """A table of strings: the levels of the index left-aligned, then the columns right-aligned.

    `DataFrame.to_markdown` would pad each cell to the width of its column.
    """
    table = texts.reset_index()
    header, *body = (f"| {' | '.join(row)} |\n" for row in [table.columns, *table.to_numpy()])
    return header + "|" + "---|" * texts.index.nlevels + "---:|" * len(texts.columns) + "\n" + "".join(body)


def latex(texts: pd.DataFrame, bold: pd.DataFrame) -> str:
    """A table of strings for the package booktabs; `bold` says of each cell, but not of the index, whether it is."""
    style = texts.reset_index().style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    # The sign is set in math mode, which every engine has.
    style = style.format(lambda text: str(text).replace("±", r"$\pm$"), subset=list(texts.columns))
    style = style.apply(lambda _: np.where(bold, "textbf:--rwrap;", ""), axis=None, subset=list(texts.columns))
    return style.to_latex(hrules=True, column_format="l" + "r" * len(texts.columns))
