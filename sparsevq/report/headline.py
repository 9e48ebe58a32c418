"""What a result comes to, in a number and a few sentences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import pandas as pd

from sparsevq.evaluation.labels import NO_BASELINES, method_style

RATIO, CRPS_RATIO = "ratio_to_best_baseline", "crps_ratio_to_best_ensemble"


@dataclass(frozen=True)
class Headline:
    """The ratio of sparsevq's error to that of the best baseline, what it is of, and what else is to be said."""

    number: str
    text: str
    more: list[str]
    is_ratio: bool = True


def headline(methods: pd.DataFrame) -> Headline:
    """The headline of one setting.

    Parameters
    ----------
    methods
        The setting's rows of ``tables/summary.csv``: one a method.
    """
    rows: dict[str, Mapping[Any, Any]] = {row["method"]: row for row in methods.to_dict("records")}
    ours = rows["sparsevq"]
    baselines = {name: float(row["relative_l2_mean"]) for name, row in rows.items() if name not in NO_BASELINES}
    if not baselines:
        return Headline(
            _number(ours["relative_l2_mean"]), "is the relative L2 error; no baseline was made", [], is_ratio=False
        )
    best = min(baselines, key=lambda name: baselines[name])
    text = f"the error of the best baseline, {method_style(best).label}{_certainty(ours, RATIO)}"
    more = [_verdict(ours)]
    if _finite(ratio := ours.get(f"{CRPS_RATIO}_mean")):
        more.append(f"CRPS {_number(ratio)} × that of the best ensemble of a baseline{_certainty(ours, CRPS_RATIO)}.")
    if _finite(coverage := ours.get("coverage_90_mean")):
        spread = ours.get("spread_skill_ratio_mean")
        also = f"; spread over skill {_number(spread)}" if _finite(spread) else ""
        more.append(f"The ensemble's 90 % intervals hold the truth in {100 * coverage:.0f} %{also}.")
    return Headline(_number(ours[f"{RATIO}_mean"]), text, list(filter(None, more)))


def _verdict(ours: Mapping[Any, Any]) -> str:
    """Whether the ratio differs from 1, by its interval; empty where there is none."""
    low, high = ours.get(f"{RATIO}_low"), ours.get(f"{RATIO}_high")
    if not (_finite(low) and _finite(high)):
        return ""
    if low > 1:
        return "The best baseline is better."
    return "" if high < 1 else "The interval holds 1: no clear difference."


def _certainty(ours: Mapping[Any, Any], name: str) -> str:
    """The interval where there is one, the deviation over seeds where there are several."""
    low, high, std = (ours.get(f"{name}_{end}") for end in ("low", "high", "std"))
    told = []
    if _finite(low) and _finite(high):
        told.append(f"95 % confidence interval {_number(low)} to {_number(high)}")
    if _finite(std) and int(ours["seeds"]) > 1:
        told.append(f"± {std:.2g} over {int(ours['seeds'])} seeds")
    return f" ({'; '.join(told)})" if told else ""


def _finite(value: Any) -> TypeGuard[float]:
    return value is not None and math.isfinite(float(value))


def _number(value: Any) -> str:
    """Two decimals, or two digits of a smaller number."""
    value = float(value)
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
