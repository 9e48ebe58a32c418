"""Errors against lead time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sparsevq.evaluation.cases import Cases
from sparsevq.evaluation.labels import METRICS, in_usual_order, method_style
from sparsevq.evaluation.scores import ALL
from sparsevq.plotting.style import legend_below, new_figure, save, styled, with_unit

SHOWN = ("relative_l2", "vrmse", "anomaly_correlation")


@styled
def draw_lead_time(by_case: pd.DataFrame, cases: Cases, path: Path) -> Path:
    """Mean over cases of each error, and the middle 80 % of the cases as a band.

    Parameters
    ----------
    by_case
        ``cases.csv``.
    cases
        For the unit of the lead time.
    path
        The picture.
    """
    figure = new_figure(10.5, 3.6)
    panels = figure.subplots(1, len(SHOWN))
    per_frame = cases.lead_time[0]
    even = np.allclose(cases.lead_time, per_frame * np.arange(1, cases.horizon + 1))
    for axes, metric in zip(panels, SHOWN, strict=True):
        _draw_methods(axes, by_case, metric, lambda values: (values.mean(), values.quantile(0.1), values.quantile(0.9)))
        if even and per_frame > 0:
            above = axes.secondary_xaxis("top", functions=(lambda x: x * per_frame, lambda x: x / per_frame))
            above.set_xlabel(with_unit("lead time", cases.lead_units), fontsize=8)
    title = f"mean of {len(cases)} cases; bands: the middle 80 % of cases"
    figure.suptitle(f"{_setting(by_case)}, seed {by_case['seed'].iloc[0]}: {title}", fontsize=10)
    legend_below(figure, panels[0])
    return save(figure, path)


@styled
def draw_lead_time_over_seeds(forecast: pd.DataFrame, path: Path) -> Path:
    """Mean over seeds of each error, and their range as a band: a row for each data set and number of sensors.

    Parameters
    ----------
    forecast
        ``tables/forecast.csv``.
    path
        The picture.
    """
    table = forecast[(forecast["channel"] == ALL) & forecast["metric"].isin(SHOWN)]
    # Columns as in cases.csv: one a metric
    wide = table.pivot(
        index=["data_set", "num_sensors", "seed", "method", "lead_time"], columns="metric", values="value"
    )
    settings = list(wide.groupby(level=["data_set", "num_sensors"], sort=True))
    figure = new_figure(10.5, 0.7 + 2.9 * len(settings))
    panels = figure.subplots(len(settings), len(SHOWN), squeeze=False)
    for row, (_, rows) in zip(panels, settings, strict=True):
        rows = rows.reset_index()
        for axes, metric in zip(row, SHOWN, strict=True):
            _draw_methods(axes, rows, metric, lambda values: (values.mean(), values.min(), values.max()))
        seeds = rows["seed"].nunique()
        row[0].set_title(f"{_setting(rows)}, {seeds} seed{'s' if seeds > 1 else ''}", loc="left")
    figure.suptitle("mean over seeds; bands: smallest and largest of the seeds", fontsize=10)
    legend_below(figure, panels[0, 0])
    return save(figure, path)


Band = Callable[[pd.Series], tuple[Any, Any, Any]]
"""Values at one lead time -> the line, and the lower and upper edge of its band."""


def _draw_methods(axes: Axes, table: pd.DataFrame, metric: str, band: Band) -> None:
    """One line and band a method against lead time."""
    largest = 0.0
    for rank, method in enumerate(in_usual_order(table["method"])):
        rows = table[table["method"] == method]
        leads = np.sort(rows["lead_time"].unique())
        mean, low, high = np.array([band(rows.loc[rows["lead_time"] == lead, metric]) for lead in leads]).T
        style = method_style(method, rank)
        axes.plot(leads, mean, style.line, color=style.colour, marker=style.marker, label=style.label)
        axes.fill_between(
            leads, low, high, color=style.colour, alpha=0.2 if method == "sparsevq" else 0.08, linewidth=0
        )
        largest = max(largest, float(np.nanmax(mean)))
    axes.set_xlabel("lead time (frames)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(METRICS[metric])
    if metric == "anomaly_correlation":
        axes.axhline(0.8, color="0.4", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylim(max(axes.get_ylim()[0], -1.02), 1.02)
        return
    if metric == "vrmse":
        axes.axhline(1, color="0.4", linewidth=0.8, linestyle=(0, (4, 3)))
    # A baseline that diverges must not flatten all the others.
    axes.set_ylim(0, min(1.25 * largest, 2.5))


def _setting(table: pd.DataFrame) -> str:
    return f"{table['data_set'].iloc[0]}, {table['num_sensors'].iloc[0]} sensors"
