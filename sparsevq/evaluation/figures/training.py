"""Training curves of all stages."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sparsevq.errors import SparseVQError
from sparsevq.plotting.style import new_figure, save, styled

LOOKS = {"train": ("#56B4E9", "training"), "val": ("#D55E00", "validation"), "": ("#444444", "")}
MOST_COLUMNS = 4


@styled
def draw_training(histories: Mapping[str, Path], path: Path) -> Path:
    """A block of panels for each stage: what training and validation have of one quantity is drawn in one panel.

    Parameters
    ----------
    histories
        Stage -> ``history.csv``: a column ``step`` and one column a quantity, such as ``train_loss`` and ``val_loss``;
        cells may be empty.
    path
        The picture.

    Raises
    ------
    SparseVQError
        A history is missing or has no column `step`.
    """
    blocks = {stage: _quantities(_read(history)) for stage, history in histories.items()}
    blocks = {stage: panels for stage, panels in blocks.items() if panels}
    heights = [-(-len(panels) // MOST_COLUMNS) for panels in blocks.values()]
    columns = min(MOST_COLUMNS, max((len(panels) for panels in blocks.values()), default=1))
    figure = new_figure(max(2.8 * columns, 5.6), max(2.3 * sum(heights), 2.0))
    if not blocks:
        figure.text(0.5, 0.5, "no training history", ha="center", va="center")
        return save(figure, path)
    everything = figure.subplots(sum(heights), columns, squeeze=False)
    for (stage, panels), rows, above in zip(blocks.items(), heights, np.cumsum([0, *heights[:-1]]), strict=True):
        grid = everything[above : above + rows].ravel()
        grid[0].set_ylabel(stage, fontsize=10, fontweight="bold")
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes, (quantity, curves) in zip(grid, panels.items(), strict=False):
            for kind, curve in curves.items():
                colour, label = LOOKS[kind]
                axes.plot(
                    curve.index, curve, color=colour, label=label or None, linewidth=1.3 if kind != "train" else 0.9
                )
            values = np.concatenate([curve.to_numpy() for curve in curves.values()])
            values = values[np.isfinite(values)]
            if len(values) and values.min() > 0 and values.max() > 5 * values.min():
                axes.set_yscale("log")
            axes.set_title(quantity.replace("_", " "))
            axes.set_xlabel("optimizer step")
            if len(curves) > 1:
                axes.legend()
            elif "val" in curves or "train" in curves:
                axes.set_title(f"{quantity.replace('_', ' ')} ({LOOKS[next(iter(curves))][1]})")
    return save(figure, path)


def _read(history: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(history)
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise SparseVQError(
            f"{history} can't be read as a training history ({error})", "train that stage again"
        ) from None
    if "step" not in table:
        raise SparseVQError(f"{history} has no column `step`", "train that stage again")
    return table.set_index("step")


def _quantities(table: pd.DataFrame) -> dict[str, dict[str, pd.Series]]:
    """Quantity -> kind (`train`, `val` or neither) -> its curve; losses first."""
    found: dict[str, dict[str, pd.Series]] = {}
    for column in table.select_dtypes("number"):
        kind, _, rest = str(column).partition("_")
        quantity, kind = (rest, kind) if rest and kind in LOOKS else (str(column), "")
        curve = table[column].dropna()
        if quantity != "epoch" and len(curve):
            found.setdefault(quantity, {})[kind] = curve
    return dict(sorted(found.items(), key=lambda item: (item[0] != "loss", "" in item[1])))
