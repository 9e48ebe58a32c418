"""The numbers that a result is first asked for, and its errors against lead time, from the tables of a run."""

from typing import Any, NamedTuple

import pandas as pd

from sparsevq.evaluation.intervals import Resampled, errors_by_trajectory
from sparsevq.evaluation.labels import METHODS, NO_BASELINES, OURS, in_usual_order, method_style
from sparsevq.evaluation.scores import ALL
from sparsevq.explore.packing import rounded

ENSEMBLE = "sparsevq"


class Number(NamedTuple):
    """A number with what it is and what it says."""

    value: str
    range: str
    name: str
    explained: str


def headline(scores: pd.DataFrame, cases: pd.DataFrame, calibration: pd.DataFrame) -> list[Number]:
    """Error and CRPS against those of the best baseline, and how far the spread can be trusted.

    Parameters
    ----------
    scores, cases, calibration
        ``scores.csv``, ``cases.csv`` and ``calibration.csv`` of forecasts from one number of observed frames.
    """
    found = []
    table = scores[(scores["channel"] == ALL) & (scores["lead_time"] > 0)]
    means = table.groupby(["metric", "method"])["value"].mean()
    resampled = {
        name: Resampled(errors)
        for name, errors in errors_by_trajectory(
            cases, {"relative_l2": ("relative_l2", None), "crps": ("crps", None)}
        ).items()
    }
    for metric, name in (("relative_l2", "error"), ("crps", "CRPS")):
        of = means[metric].dropna() if metric in means else pd.Series(dtype=float)
        baselines = of.drop(list(NO_BASELINES), errors="ignore")
        if ENSEMBLE not in of or not len(baselines):
            continue
        best = str(baselines.idxmin())
        interval = ""
        if metric in resampled and {ENSEMBLE, best} <= set(resampled[metric].mean):
            low, high = resampled[metric].ratio(ENSEMBLE, best)
            interval = f"({_ratio(low)} to {_ratio(high)})" if low == low else ""
        explained = (
            f"mean over lead times from 1 on; {interval or 'no'} 95 % confidence interval by resampling trajectories"
        )
        against = f"× the {name} of {method_style(best).label}"
        found.append(Number(_ratio(of[ENSEMBLE] / of[best]), interval, against, explained))
    if ("relative_l2", ENSEMBLE) in means:
        found.append(
            Number(f"{means['relative_l2', ENSEMBLE]:.3g}", "", "relative L2 error", "mean over lead times from 1 on")
        )
    rows = calibration[(calibration["channel"] == ALL) & (calibration["method"] == ENSEMBLE)]
    of_spread = rows.groupby("quantity")["value"].mean().dropna()
    if "spread_skill_ratio" in of_spread:
        ratio = of_spread["spread_skill_ratio"]
        found.append(Number(f"{ratio:.2f}", "", "spread / skill", "1: the spread is as large as the error"))
    if "coverage_90" in of_spread:
        share = of_spread["coverage_90"]
        found.append(
            Number(f"{100 * share:.0f} %", "", "in the 90 % interval", "90 %: the interval is as wide as it says")
        )
    return found


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.3g}"


def error_curves(scores: pd.DataFrame, channels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each method's relative L2 by lead time, for each channel and, last, for all of them."""
    table = scores[scores["metric"] == "relative_l2"]
    curves = []
    for rank, method in enumerate(in_usual_order(table["method"].unique(), METHODS)):
        rows = table[table["method"] == method]
        values = [
            rows[rows["channel"] == channel].sort_values("lead_time")[["lead_time", "value"]]
            for channel in (*channels, ALL)
        ]
        style = method_style(method, rank)
        errors = [dict(zip(each["lead_time"].tolist(), each["value"].tolist(), strict=True)) for each in values]
        leads = range(int(table["lead_time"].max()) + 1)
        curves.append(
            {
                "name": style.label,
                "colour": style.colour,
                "ours": method in OURS,
                "values": [[rounded(of.get(lead, float("nan"))) for lead in leads] for of in errors],
            }
        )
    return curves
