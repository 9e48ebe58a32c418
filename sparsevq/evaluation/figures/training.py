"""Training curves of all stages."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from sparsevq.errors import SparseVQError
from sparsevq.plotting.numbers import significant
from sparsevq.plotting.style import lines_of, new_figure, save, styled, title

LOOKS = {"train": ("#56B4E9", "training"), "val": ("#D55E00", "validation"), "": ("#444444", "")}
NAMES = {
    "lr": "learning rate",
    "relative_l2": "relative L2 error",
    "linear_relative_l2": "relative L2 error, linear estimate",
}
MOST_COLUMNS = 4

Curves = dict[str, pd.Series]
"""Kind (`train`, `val` or neither) -> one quantity by step."""


@styled
def draw_training(histories: Mapping[str, Path], who: str, path: Path) -> Path:
    """A block of panels for each stage, one for each quantity: its curves of training and of validation.

    Of stages that are solved for, a line with what they ended with.

    Parameters
    ----------
    histories
        Stage -> ``history.csv``: a column ``step`` and one column a quantity, such as ``train_loss`` and ``val_loss``;
        cells may be empty.
    who
        Which run it is; what stands after a semicolon, the channels, is left out.
    path
        The picture.

    Raises
    ------
    SparseVQError
        A history is missing or has no column `step`.
    """
    found = {stage: _read(history) for stage, history in histories.items()}
    blocks = {stage: quantities for stage, quantities in found.items() if _took_steps(quantities)}
    solved = {stage: quantities for stage, quantities in found.items() if quantities and stage not in blocks}
    columns = min(MOST_COLUMNS, max(map(len, blocks.values()), default=1))
    heights = [-(-len(quantities) // columns) for quantities in blocks.values()]
    width = max(2.8 * columns, 7.0)
    figure = new_figure(width, 0.5 + 0.45 * len(solved) + 2.3 * sum(heights) + 0.6 * (not blocks and not solved))
    title(figure, f"{who.partition(';')[0]}: training", width)
    if not blocks and not solved:
        figure.text(0.5, 0.5, "no training history", ha="center", va="center")
        return save(figure, path)
    heights_of_parts = [max(0.45 * len(solved), 0.05), 2.3 * sum(heights)] if blocks else [1]
    told, *parts = figure.subfigures(len(heights_of_parts), 1, squeeze=False, height_ratios=heights_of_parts)[:, 0]
    for place, (stage, quantities) in enumerate(solved.items()):
        text = "\n".join(lines_of(_final(stage, quantities), 1.15 * width))
        told.text(0.02, 1 - (place + 0.5) / len(solved), text, ha="left", va="center", fontsize=8)
    if not blocks:
        return save(figure, path)
    panels = np.split(parts[0].subplots(sum(heights), columns, squeeze=False), np.cumsum(heights)[:-1])
    for (stage, quantities), block in zip(blocks.items(), panels, strict=True):
        block[0, 0].set_ylabel(stage, fontsize=10, fontweight="bold")
        for axes, (quantity, curves) in zip(block.flat, quantities.items(), strict=False):
            _draw_curves(axes, _name(quantity), curves)
        for axes in block.flat[len(quantities) :]:
            axes.set_axis_off()
    return save(figure, path)


def _name(quantity: str) -> str:
    return NAMES.get(quantity, quantity.replace("_", " "))


def _took_steps(quantities: dict[str, Curves]) -> bool:
    """Whether there is a curve: stages that are solved for have one number of each quantity."""
    return any(len(curve) > 1 for curves in quantities.values() for curve in curves.values())


def _final(stage: str, quantities: dict[str, Curves]) -> str:
    """What a stage without steps ended with."""
    told = []
    for quantity, curves in quantities.items():
        for kind, curve in curves.items():
            which = f" ({LOOKS[kind][1]})" if LOOKS[kind][1] else ""
            told.append(f"{_name(quantity)}{which} {significant(float(curve.iloc[-1]), 3)}")
    return f"{stage}, solved for without steps: {', '.join(told)}"


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
