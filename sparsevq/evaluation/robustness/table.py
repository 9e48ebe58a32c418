"""The table of the robustness of forecasts, as people read it, and the numbers of its figure."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sparsevq.evaluation.intervals import Resampled
from sparsevq.evaluation.labels import METHODS, OURS, in_usual_order, method_style
from sparsevq.evaluation.robustness.conditions import BY_LEAD, OWN
from sparsevq.evaluation.table_files import markdown
from sparsevq.evaluation.table_texts import run_of, title_of

KEYS = ["curve", "value", "told", "sensors"]
"""Columns of a condition."""
ERRORS = {"relative_l2_anomalies": "error", "crps": "CRPS"}
LEADS = (1, 2, 5, 10, 20, 40, 80, 160)
"""Lead times of the curves over lead times that the table shows, beside the last."""


def points_of(errors: pd.DataFrame, metric: str) -> Iterator[tuple[tuple[str, float, bool, int], Resampled]]:
    """Condition (`KEYS`) and the errors of all methods under it, of one setting, in the table's order.

    Errors of several seeds on the same trajectory are averaged before trajectories are resampled.
    """
    keys: Any  # pandas types it as a single key
    for keys, rows in errors.groupby(KEYS, sort=False):
        curve, value, told, sensors = keys
        found = rows.pivot_table(index="method", columns="trajectory", values=metric, aggfunc="mean")
        yield (str(curve), float(value), bool(told), int(sensors)), Resampled(found)


def robustness_forecast_markdown(errors: pd.DataFrame) -> str:
    """A row a condition, in the runs' order: error (with its 95 % interval) and CRPS of each method, and ratios.

    Bold: the best, where the interval of its difference to the next best does not hold 0.
    """
    parts = []
    names = [name for name in run_of(errors) if name != "seed"]
    for setting, rows in errors.groupby(names, sort=False):
        methods = in_usual_order(rows["method"], METHODS)
        shown = rows[[_in_table(curve, value, rows) for curve, value in zip(rows["curve"], rows["value"], strict=True)]]
        texts: dict[str, list[str]] = {}
        index = []
        of_metrics = zip(*(points_of(shown, metric) for metric in ERRORS), strict=True)
        for points in of_metrics:
            index.append(condition_title(*points[0][0]))
            for (_, resampled), name in zip(points, ERRORS.values(), strict=True):
                for method in methods:
                    texts.setdefault(f"{name}, {method_style(method).label}", []).append(_cell(resampled, method, name))
                texts.setdefault(f"{name} / best baseline", []).append(_ratio(resampled))
        seeds = rows["seed"].nunique()
        table = pd.DataFrame(texts, index=pd.Index(index, name="condition"))
        title = f"{title_of(names, setting)}, {seeds} seed{'s' if seeds > 1 else ''}"
        parts.append(f"### {title}\n\n{markdown(table)}")
    return "\n".join(parts)


def condition_title(curve: str, value: float, told: bool, sensors: int) -> str:
    """A condition as people name it."""
    named = {
        OWN: "own sensors",
        "sensors": f"{sensors} sensors",
        "noise": f"noise {value:g} dB",
        "missing": f"{value:.0%} missing ({sensors} left)",
        "moved": f"moved {value:g} cell{'s' * (value != 1)}",
        "horizon": f"lead {value:g}",
        "outside": f"outside training, lead {value:g}",
    }[curve]
    return named if curve in BY_LEAD else f"{named}, {'fitted anew' if told else 'as trained'}"


def _in_table(curve: str, value: float, errors: pd.DataFrame) -> bool:
    if curve not in BY_LEAD:
        return True
    return value in LEADS or value == errors.loc[errors["curve"] == curve, "value"].max()


def _cell(resampled: Resampled, method: str, name: str) -> str:
    """Mean, and of the error its interval; empty where the method has no forecast."""
    if method not in resampled.mean:
        return ""
    low, high = resampled.of(method)
    span = f" ({low:.3g} to {high:.3g})" if np.isfinite(low) and name == "error" else ""
    text = f"{resampled.mean[method]:.3g}{span}"
    return f"**{text}**" if resampled.surely_best() == method else text


def _ratio(resampled: Resampled) -> str:
    """Of ours to the best baseline."""
    best = resampled.best([method for method in resampled.mean if method not in OURS])
    if best is None or OURS[0] not in resampled.mean:
        return ""
    return f"{resampled.mean[OURS[0]] / resampled.mean[best]:.2f}"
