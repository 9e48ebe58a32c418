"""Tidy tables of the scores of one run, from arrays of each case."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsevq.evaluation import metrics
from sparsevq.forecasting.cases import Cases

Array = NDArray[Any]

OF_CASES = ("relative_l2", "relative_l2_anomalies", "vrmse", "anomaly_correlation", "crps")
"""Metrics that ``cases.csv`` has of every case."""

Scores = Mapping[tuple[str, str], list[Array]]
"""(Method or link, metric) -> an array ``(lead, channel)`` for each case."""


def tidy(first: str, scores: Scores, channels: Sequence[str], leads: range) -> pd.DataFrame:
    """Averages over cases: ``<first>, channel, lead_time, metric, value, cases``, without what is never defined."""
    parts = []
    for (owner, metric), values in scores.items():
        stacked = np.stack(values)  # (case, lead, channel)
        defined = ~np.isnan(stacked)
        power = 2 if metric in ("spread", "skill") else 1
        count = defined.sum(axis=0)
        mean = (np.where(defined, stacked, 0) ** power).sum(axis=0) / np.maximum(count, 1)
        table = _table_of(mean ** (1 / power), channels, leads)
        parts.append(table.assign(**{first: owner, "metric": metric, "cases": count.T.ravel()}))
    table = pd.concat(parts)
    return table.loc[table["cases"] > 0, [first, "channel", "lead_time", "metric", "value", "cases"]]


def by_case(scores: Scores, cases: Cases, chosen: NDArray[np.int64], leads: range) -> pd.DataFrame:
    """``method, case, trajectory, start_frame, lead_time`` and `OF_CASES` of all channels, where there are any."""
    methods = dict.fromkeys(method for method, _ in scores)
    table = every(method=methods, case=chosen, lead_time=leads)
    table.insert(2, "trajectory", cases.trajectory[table["case"]])
    table.insert(3, "start_frame", cases.start_frame[table["case"]])
    for name in OF_CASES:
        errors = np.stack([scores[method, name] for method in methods])  # (method, case, lead, channel)
        table[name] = errors[..., -1].ravel()
    return table.dropna(subset=list(OF_CASES), how="all")


def calibration(
    scores: Scores, ranks: Mapping[str, list[Array]], channels: Sequence[str], leads: range
) -> pd.DataFrame:
    """``method, channel, lead_time, quantity, rank, value`` of each ensemble.

    Parameters
    ----------
    scores
        With `spread`, `skill` and coverage of the methods that have more than one member.
    ranks
        Method -> ``(M + 1, lead, channel)`` frequencies of the truth's rank in each case.
    """
    parts = []
    for method, of_cases in ranks.items():
        frequencies = np.mean(of_cases, axis=0)
        there = [lead for lead in leads if np.isfinite(frequencies[0, lead - leads[0], -1])]
        quantities: list[tuple[str, int | None, Array]] = []
        if (method, "spread") in scores:
            spread, skill = (
                metrics.root_mean_square(np.stack(scores[method, name])) for name in ("spread", "skill")
            )  # (lead, channel)
            ratio = metrics.spread_skill_ratio(spread, skill, len(frequencies) - 1)
            quantities += [("spread", None, spread), ("skill", None, skill), ("spread_skill_ratio", None, ratio)]
            for share in metrics.INTERVALS:
                name = coverage_name(share)
                quantities.append((name, None, np.mean(scores[method, name], axis=0)))
        quantities += [("rank_frequency", rank, values) for rank, values in enumerate(frequencies)]
        for quantity, rank, values in quantities:
            part = _table_of(values, channels, leads).assign(method=method, quantity=quantity, rank=rank)
            parts.append(part[part["lead_time"].isin(there)])
    table = pd.concat(parts)
    table["rank"] = table["rank"].astype("Int64")
    return table[["method", "channel", "lead_time", "quantity", "rank", "value"]]


def coverage_name(share: float) -> str:
    """The quantity's name."""
    return f"coverage_{100 * share:.0f}"


def every(**columns: Iterable[Any]) -> pd.DataFrame:
    """A row for each combination of what the columns hold, the last running fastest."""
    index = pd.MultiIndex.from_product([list(values) for values in columns.values()], names=list(columns))
    return index.to_frame(index=False)


def _table_of(values: Array, channels: Sequence[str], leads: range) -> pd.DataFrame:
    """``(lead, channel)`` as rows, channel by channel."""
    return every(channel=channels, lead_time=leads).assign(value=values.T.ravel())
