"""The curves of the robustness of forecasts: error and CRPS over each thing that may be other than in training."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from sparsevq.evaluation.figures.curves import REFERENCE
from sparsevq.evaluation.labels import OURS, in_usual_order, method_style
from sparsevq.evaluation.robustness.conditions import BY_LEAD, OWN
from sparsevq.evaluation.robustness.table import LEADS, points_of
from sparsevq.evaluation.table_texts import run_of, title_of
from sparsevq.plotting.style import legend_below, new_figure, save, styled, title

WIDTH_OF_A_PANEL = 2.7
LINEAR = 6.0
"""Ratio of the largest mean to the least up to which an axis begins at 0."""
APART = 200.0
"""Of that ratio, what is shown."""


class Axis(NamedTuple):
    """What a curve is over, and whether the axis is logarithmic."""

    label: str
    logarithmic: bool


CURVES = {
    "sensors": Axis("number of sensors", True),
    "noise": Axis("signal to noise (dB)", False),
    "missing": Axis("share of sensors missing", False),
    "moved": Axis("cells that sensors are moved", True),
    "horizon": Axis("lead time (frames)", True),
    "outside": Axis("lead time outside training", True),
}
METRICS = {"relative_l2_anomalies": "error of anomalies", "crps": "CRPS"}


@styled
def draw_robustness(errors: pd.DataFrame, path: Path) -> Path:
    """A column a curve, two rows (error, CRPS) for each data set and number of sensors.

    Solid: methods are fitted to what is read; dashed: as trained, and not told. Bands: 95 % intervals over
    trajectories. The dotted line is sparsevq with its own sensors.

    Parameters
    ----------
    errors
        ``tables/robustness_forecast.csv``.
    """
    curves = [curve for curve in CURVES if curve in set(errors["curve"])] or [OWN]
    names = [name for name in run_of(errors) if name != "seed"]
    settings = list(errors.groupby(names, sort=False))
    width = max(WIDTH_OF_A_PANEL * len(curves), 5.0)
    figure = new_figure(width, 0.9 + 4.4 * len(settings))
    panels = figure.subplots(2 * len(settings), len(curves), squeeze=False)
    for pair, (setting, rows) in enumerate(settings):
        for row, metric in enumerate(METRICS):
            line = panels[2 * pair + row]
            for axes, curve in zip(line, curves, strict=True):
                _draw(axes, rows, curve, metric)
            line[0].set_ylabel(METRICS[metric])
        if len(settings) > 1:
            panels[2 * pair, 0].set_title(title_of(names, setting), loc="left")
    head = title_of(names, settings[0][0]) if len(settings) == 1 else "robustness of forecasts"
    bands = "bands: 95 % intervals over trajectories; dotted: sparsevq with its own sensors"
    title(figure, f"{head}; solid: fitted to what is read, dashed: as trained and not told; {bands}", width)
    legend_below(figure, panels[0, 0])
    return save(figure, path)


def _draw(axes: Axes, errors: pd.DataFrame, curve: str, metric: str) -> None:
    """One panel: the curves of all methods, and what sparsevq has with its own sensors."""
    found = []
    for (_, value, told, _), resampled in points_of(errors[errors["curve"] == curve], metric):
        for method, mean in resampled.mean.items():
            found.append((method, told, value, mean, *resampled.of(str(method))))
    table = pd.DataFrame(found, columns=["method", "told", "value", "mean", "low", "high"])
    for rank, method in enumerate(in_usual_order(table["method"])):
        style = method_style(method, rank)
        for fitted, rows in table[table["method"] == method].groupby("told"):
            rows = rows.sort_values("value")
            as_told = bool(fitted) or curve in (*BY_LEAD, OWN)
            label = style.label if as_told else None
            marker = style.marker if curve not in BY_LEAD else ""
            axes.plot(
                rows["value"], rows["mean"], "-" if as_told else "--", color=style.colour, marker=marker, label=label
            )
            if as_told:
                axes.fill_between(rows["value"], rows["low"], rows["high"], color=style.colour, alpha=0.12, linewidth=0)
    _reference(axes, errors, curve, metric)
    axis = CURVES.get(curve)
    if axis is not None:
        axes.set_xlabel(axis.label)
        if axis.logarithmic:
            axes.set_xscale("log")
            values = sorted(set(table["value"]))
            values = [value for value in values if value in LEADS] if curve in BY_LEAD else values
            axes.set_xticks(values, [f"{value:g}" for value in values])
            axes.xaxis.set_minor_locator(NullLocator())
    _scale(axes, float(table["mean"].min()), float(table["mean"].max()))


def _scale(axes: Axes, low: float, high: float) -> None:
    """From 0, or logarithmic where methods are far apart. What diverges must not flatten all the others."""
    low, high = max(low, 1e-12), min(high, APART * low)
    if high <= LINEAR * low:
        axes.set_ylim(0, 1.15 * high)
        return
    axes.set_yscale("log")
    axes.set_ylim(0.7 * low, 1.4 * high)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _reference(axes: Axes, errors: pd.DataFrame, curve: str, metric: str) -> None:
    """Sparsevq with its own sensors; over lead times where the trained ones end."""
    if curve in BY_LEAD:
        axes.axvline(float(errors["trained_frames"].iloc[0]), **REFERENCE)
        return
    own = errors[(errors["curve"] == OWN) & ~errors["told"] & (errors["method"] == OURS[0])][metric]
    if len(own) and np.isfinite(own.mean()):
        axes.axhline(float(own.mean()), color=method_style(OURS[0]).colour, linewidth=0.9, linestyle=":")
