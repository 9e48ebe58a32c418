"""What MLflow shows of a result: numbers, curves by lead time, a table, and a few sentences."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sparsevq.evaluation.labels import METHODS, OURS
from sparsevq.evaluation.scores import ALL
from sparsevq.evaluation.table_files import write_text
from sparsevq.evaluation.table_texts import HEADINGS, forecasts_of, mean_and_std, setting_of, title_of
from sparsevq.evaluation.tables import certainty_of, stacked, summarize
from sparsevq.report.headline import Headline, headline

ERRORS = ("relative_l2", "relative_l2_anomalies", "crps", "vrmse", "correlation_time")
RATIOS = ("ratio_to_best_baseline", "crps_ratio_to_best_ensemble")
CALIBRATION = ("spread_skill_ratio", "coverage_90")
OF_BASELINES = ("relative_l2", "relative_l2_anomalies", "crps", *CALIBRATION)
BY_LEAD_TIME = ("relative_l2", "relative_l2_anomalies", "anomaly_correlation", "crps", "vrmse", *CALIBRATION)
DIGITS = 4  # significant ones of the numbers in the table, of which MLflow shows all; of metrics 6


@dataclass
class Shown:
    """What is shown of one run.

    MLflow puts metrics into groups by what stands before the last slash, in order of the alphabet. Curves are named
    ``by_lead_time/<quantity>``, their steps are lead times in frames; metrics ``calibration/<quantity>`` and
    ``error/<quantity>``; of baselines ``reference/<quantity>/<method>`` and
    ``reference_by_lead_time/<quantity>/<method>``.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    sentences: str = ""
    table: dict[str, Any] = field(default_factory=dict)


def shown_of_run(folder: Path, split: str = "test") -> Shown:
    """What is shown of a run that is evaluated.

    Parameters
    ----------
    folder
        Of its ``scores.csv``, ``calibration.csv`` and ``cases.csv``.
    split
        Names of another split than `test` begin with it. So do those of forecasts from more observed frames than the
        fewest, with their number.

    Raises
    ------
    SparseVQError
        A table is missing or empty.
    """
    scores, calibration, cases = (stacked([folder / f"{name}.csv"]) for name in ("scores", "calibration", "cases"))
    summary = summarize(scores, calibration)
    numbers = mean_and_std(summary, "method", certainty_of(cases))
    shown, sentences = Shown(), []
    for observed in sorted(summary["observed_frames"].unique()):
        methods = summary[summary["observed_frames"] == observed]
        fewest = observed == summary["observed_frames"].min()
        prefix = "" if split == "test" else f"{split}/"
        prefix += "" if fewest else f"{observed} observed/"
        _add_means(shown.metrics, methods, prefix)
        _add_curves(shown.curves, scores[scores["observed_frames"] == observed], "metric", prefix)
        _add_curves(shown.curves, calibration[calibration["observed_frames"] == observed], "quantity", prefix)
        told = _sentence(headline(numbers[numbers["observed_frames"] == observed]))
        sentences.append(told if fewest else f"From {observed} observed frames: {told}")
    shown.sentences = ("" if split == "test" else f"Outside the training range ({split}): ") + "\n\n".join(sentences)
    shown.table = _table(summary)
    return shown


def write_table(path: Path, table: dict[str, Any]) -> None:
    """A table as MLflow's `log_table` writes it: JSON that its pages show, and compare between runs."""
    write_text(path, json.dumps(table))


def shown_of_experiment(tables: Path) -> str:
    """What is said of an experiment, in Markdown: the headline of each setting, over all seeds, and the table.

    Parameters
    ----------
    tables
        Folder of ``summary.csv`` and ``summary.md``.
    """
    summary = pd.read_csv(tables / "summary.csv")
    told = []
    for setting, methods in summary.groupby(setting_of(summary), sort=False):
        told.append(f"**{title_of(setting_of(summary), setting)}**: {_sentence(headline(methods))}")
    return "\n\n".join([*told, (tables / "summary.md").read_text(encoding="utf-8")])


def _sentence(found: Headline) -> str:
    ratio = f"**{found.number} ×** {found.text}." if found.is_ratio else f"**{found.number}** {found.text}."
    return " ".join([ratio, *found.more])


def _add_means(metrics: dict[str, float], methods: pd.DataFrame, prefix: str) -> None:
    for row in methods.to_dict("records"):
        method, ours = row["method"], row["method"] == OURS[0]
        if method in OURS and not ours:
            continue
        for quantity in (*ERRORS, *RATIOS, *CALIBRATION) if ours else OF_BASELINES:
            value = float(row.get(quantity, math.nan))
            if math.isfinite(value):
                group = "calibration" if quantity in CALIBRATION else "error"
                name = f"{group}/{quantity}" if ours else f"reference/{quantity}/{method}"
                metrics[f"{prefix}{name}"] = float(f"{value:.6g}")


def _add_curves(curves: dict[str, dict[int, float]], table: pd.DataFrame, column: str, prefix: str) -> None:
    """Curves of the quantities that a column names, in order of the lead time."""
    table = table[(table["channel"] == ALL) & table[column].isin(BY_LEAD_TIME) & table["value"].notna()]
    for (method, quantity), rows in table.groupby(["method", column], sort=False):
        if method == OURS[0] or (method not in OURS and quantity in OF_BASELINES):
            name = f"by_lead_time/{quantity}"
            if method != OURS[0]:
                name = f"reference_{name}/{method}"
            by_lead = rows.sort_values("lead_time")
            curve = dict(zip(by_lead["lead_time"].astype(int).tolist(), by_lead["value"].tolist(), strict=True))
            curves[f"{prefix}{name}"] = curve


def _table(summary: pd.DataFrame) -> dict[str, Any]:
    """The summary of one run, a row a method, under the headings that the other tables have."""
    numbers = summary.drop(columns=[name for name in forecasts_of(summary) if name != "observed_frames"])
    if numbers["observed_frames"].nunique() == 1:
        numbers = numbers.drop(columns="observed_frames")
    names = [_heading(name) for name in map(str, numbers.columns)]
    return {"columns": names, "data": [[_cell(cell) for cell in row] for row in numbers.to_numpy().tolist()]}


def _heading(column: str) -> str:
    if "_lead_" in column:
        return f"lead {column.rsplit('_', 1)[1]}"
    return HEADINGS.get(column, column.replace("_", " "))


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else ("never" if value > 0 else "")
    return METHODS[value].label if value in METHODS else value
