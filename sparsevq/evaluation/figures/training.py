"""Training curves of all stages."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from sparsevq.errors import SparseVQError
from sparsevq.plotting.style import new_figure, save, styled

LOOKS = {"train": ("#56B4E9", "training"), "val": ("#D55E00", "validation"), "": ("#444444", "")}
MOST_COLUMNS = 4

Curves = dict[str, pd.Series]
"""Kind (`train`, `val` or neither) -> one quantity by step."""


@styled
def draw_training(histories: Mapping[str, Path], path: Path) -> Path:
    """A block of panels for each stage, one for each quantity: its curves of training and of validation.

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
    found = {stage: _read(history) for stage, history in histories.items()}
    blocks = {stage: quantities for stage, quantities in found.items() if quantities}
    columns = min(MOST_COLUMNS, max(map(len, blocks.values()), default=1))
    heights = [-(-len(quantities) // columns) for quantities in blocks.values()]
    figure = new_figure(max(2.8 * columns, 5.6), max(2.3 * sum(heights), 2.0))
    if not blocks:
        figure.text(0.5, 0.5, "no training history", ha="center", va="center")
        return save(figure, path)
    panels = np.split(figure.subplots(sum(heights), columns, squeeze=False), np.cumsum(heights)[:-1])
    for (stage, quantities), block in zip(blocks.items(), panels, strict=True):
        block[0, 0].set_ylabel(stage, fontsize=10, fontweight="bold")
        for axes, (quantity, curves) in zip(block.flat, quantities.items(), strict=False):
            _draw_curves(axes, quantity.replace("_", " "), curves)
        for axes in block.flat[len(quantities) :]:
            axes.set_axis_off()
    return save(figure, path)


def _draw_curves(axes: Axes, quantity: str, curves: Curves) -> None:
    for kind, curve in curves.items():
        colour, label = LOOKS[kind]
        axes.plot(curve.index, curve, color=colour, label=label or None, linewidth=0.9 if kind == "train" else 1.3)
    values = pd.concat(curves.values())
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 5 * values.min():
        axes.set_yscale("log")
    only = LOOKS[next(iter(curves))][1] if len(curves) == 1 else ""
    axes.set_title(f"{quantity} ({only})" if only else quantity)
    axes.set_xlabel("optimizer step")
    if len(curves) > 1:
        axes.legend()


def _read(history: Path) -> dict[str, Curves]:
    """Quantity -> its curves; losses first."""
    try:
        table = pd.read_csv(history).set_index("step")
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise SparseVQError(
            f"{history} can't be read as a training history ({error})", "train that stage again"
        ) from None
    except KeyError:
        raise SparseVQError(f"{history} has no column `step`", "train that stage again") from None
    found: dict[str, Curves] = {}
    for column in table.select_dtypes("number"):
        kind, _, rest = str(column).partition("_")
        quantity, kind = (rest, kind) if rest and kind in LOOKS else (str(column), "")
        curve = table[column].dropna()
        if quantity != "epoch" and len(curve):
            found.setdefault(quantity, {})[kind] = curve
    return dict(sorted(found.items(), key=lambda item: (item[0] != "loss", "" in item[1])))
