"""Tables over seeds as people and papers read them: Markdown and LaTeX, and the numbers beside them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sparsevq.evaluation.labels import METHODS, METRICS, in_usual_order, sensors_title
from sparsevq.evaluation.table_files import latex, markdown, write_text

LEADS = (1, 5, 10, 20)
"""Lead times (frames) that summaries show beside the mean over all."""

_RUN = ["data_set", "num_sensors", "placement", "variant", "seed"]
"""What identifies a run; `placement` and `variant` in experiments with several alone."""
TIME = "correlation_time"

HEADINGS = {
    **METRICS,
    "ratio_to_best_baseline": "error / best baseline",
    "crps_ratio_to_best_ensemble": "CRPS / best ensemble",
    "spread_skill_ratio": "spread / skill",
    "coverage_50": "in 50 %",
    "coverage_90": "in 90 %",
    "ratio_to_bound": "/ bound",
    "encoder": "relative L2 error",
    "linear": "linear estimate",
    "ratio_to_linear": "/ linear",
    "ratio_to_own": "/ own sensors",
    "ratio_to_random": "/ random places",
    "linear_estimate": "linear estimate",
    "sparse_reconstruction": "reconstruction",
    "quantized_reconstruction": "quantized",
    "codes_used": "used",
    "in_s_in_t": "In-s, In-t",
    "out_s_in_t": "Out-s, In-t",
    "in_s_out_t": "In-s, Out-t",
    "out_s_out_t": "Out-s, Out-t",
    "share_used": "share used",
    "share_of_top_code": "share of the commonest",
}


class Certainty(NamedTuple):
    """Ends of confidence intervals, and which cells are bold; rows and columns as those of the means, or fewer."""

    low: pd.DataFrame
    high: pd.DataFrame
    bold: pd.DataFrame


def run_of(table: pd.DataFrame) -> list[str]:
    """The columns that identify a run."""
    return [name for name in _RUN if name in table]


def forecasts_of(table: pd.DataFrame) -> list[str]:
    """Those that identify its forecasts: from each number of observed frames they are rows of their own."""
    return [*run_of(table), *(["observed_frames"] if "observed_frames" in table else [])]


def setting_of(table: pd.DataFrame) -> list[str]:
    """The columns that keep tables apart."""
    return [name for name in forecasts_of(table) if name != "seed"]


def over_seeds(table: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Mean and standard deviation over seeds, and how many, by setting and `keys`, in the table's order."""
    groups = table.drop(columns="seed").groupby([*setting_of(table), *keys], sort=False)
    with np.errstate(invalid="ignore"):  # inf - inf, where a correlation never fell
        mean, std = groups.mean(), groups.std()
    if TIME in mean:
        # A seed whose correlation never falls has an infinite time: the (lower) median, unlike the mean, allows for it.
        mean[TIME], std[TIME] = groups[TIME].quantile(0.5, interpolation="lower"), np.nan
    return mean, std, groups.size()


def mean_and_std(table: pd.DataFrame, first: str, certainty: Certainty | None = None) -> pd.DataFrame:
    """Mean, standard deviation over seeds and ends of the confidence interval side by side, as numbers."""
    mean, std, seeds = over_seeds(table, [first])
    columns = {"seeds": seeds}
    for column in mean:
        if column == TIME:
            columns[f"{column}_median"] = mean[column]
        else:
            columns[f"{column}_mean"], columns[f"{column}_std"] = mean[column], std[column]
        if certainty is not None and column in certainty.low:
            for name, ends in (("low", certainty.low), ("high", certainty.high)):
                columns[f"{column}_{name}"] = ends[column].reindex(mean.index)
    return pd.DataFrame(columns).reset_index()


def write_texts(
    out_dir: Path,
    name: str,
    table: pd.DataFrame,
    first: str,
    labels: Mapping[str, str],
    certainty: Certainty | None = None,
    horizons: Mapping[Any, int] | None = None,
) -> None:
    """The table as Markdown and as LaTeX: one for each setting; `horizons`: of each the last lead (frames)."""
    mean, std, seeds = over_seeds(table, [first])
    markdowns, latexes = [], []
    for setting, means in mean.groupby(level=setting_of(table), sort=False):
        count = seeds[means.index].max()
        title = f"{title_of(setting_of(table), setting)}, {count} seed{'s' if count > 1 else ''}"
        texts = texts_of(means, std, certainty)
        if TIME in means and horizons is not None:
            texts[_heading(TIME)] = [_frames(time, horizons[setting]) for time in means[TIME]]
        bold = pd.DataFrame(False, index=means.index, columns=means.columns)
        if certainty is not None:
            bold |= certainty.bold.reindex_like(bold).eq(True)
        bold.columns = texts.columns
        names = means.index.get_level_values(first)
        texts.index = bold.index = pd.Index([labels.get(key, key) for key in names], name=first)
        markdowns.append(f"### {title}\n\n{markdown(texts.mask(bold, '**' + texts + '**'))}")
        latexes.append(f"% {title}\n{latex(texts, bold)}")
    write_text(out_dir / f"{name}.md", "\n".join(markdowns))
    write_text(out_dir / f"{name}.tex", "\n".join(latexes))


def title_of(names: Sequence[str], setting: Any) -> str:
    """A setting, whose values are of the columns `names`, as people name it."""
    told = dict(zip(names, setting, strict=True))
    observed = f", {told['observed_frames']} observed frames" if told.get("observed_frames", 1) > 1 else ""
    return f"{sensors_title(told)}{observed}"


def calibration_markdown(calibration: pd.DataFrame) -> str:
    """Spread over skill at some lead times and as a mean over all, and coverage of the intervals, of each ensemble."""
    table = calibration[calibration["channel"] == "all"]
    keys = [*setting_of(table), "seed", "method"]
    ratio = table[table["quantity"] == "spread_skill_ratio"]
    wide = {"spread_skill_ratio": ratio.groupby(keys)["value"].mean()}
    for lead in (0, *LEADS):
        at_lead = ratio[ratio["lead_time"] == lead]
        if len(at_lead):
            wide[f"spread_skill_ratio_lead_{lead}"] = at_lead.set_index(keys)["value"]
    for name in ("coverage_50", "coverage_90"):
        wide[name] = table[table["quantity"] == name].groupby(keys)["value"].mean()
    found = pd.DataFrame(wide).reset_index()
    order = in_usual_order(found["method"])
    found = found.sort_values(
        [*setting_of(found), "method", "seed"],
        key=lambda values: values.map(order.index) if values.name == "method" else values,
    )
    mean, std, _ = over_seeds(found, ["method"])
    parts = []
    for setting, means in mean.groupby(level=setting_of(found), sort=False):
        texts = texts_of(means, std)
        names = means.index.get_level_values("method")
        texts.index = pd.Index([METHODS[key].label if key in METHODS else key for key in names], name="method")
        parts.append(f"### {title_of(setting_of(found), setting)}\n\n{markdown(texts)}")
    return "\n".join(parts)


def codebook_markdown(codebook: pd.DataFrame) -> str:
    keys = ["encoder", "split", "level"]
    mean, std, _ = over_seeds(codebook, keys)
    parts = []
    for setting, means in mean.groupby(level=setting_of(codebook), sort=False):
        texts = means.reset_index()[keys].astype(str)
        texts["codes"] = [f"{codes:.0f}" for codes in means.pop("codes")]
        texts = texts.join(texts_of(means, std)).set_index("encoder")
        parts.append(f"### {title_of(setting_of(codebook), setting)}\n\n{markdown(texts)}")
    return "\n".join(parts)


def robustness_markdown(errors: pd.DataFrame) -> str:
    """A row a condition, in the runs' order: both errors, their ratio, and that to the error with the own sensors."""
    keys = ["condition", "sensors", "noise"]
    columns = {"encoder": "relative_l2", "linear": "relative_l2", "ratio_to_own": "ratio"}
    wide = errors[[*run_of(errors), *keys]].drop_duplicates()
    for name, column in columns.items():
        of_method = errors[errors["method"] == ("linear" if name == "linear" else "encoder")]
        wide = wide.merge(
            of_method[[*run_of(errors), *keys, column]].rename(columns={column: name}),
            on=[*run_of(errors), *keys],
            how="left",
        )
    wide["ratio_to_linear"] = wide["encoder"] / wide["linear"]
    wide = wide.dropna(axis=1, how="all")
    mean, std, _ = over_seeds(wide, keys)
    parts = []
    for setting, means in mean.groupby(level=setting_of(errors), sort=False):
        texts = means.reset_index()[keys].astype(str)
        texts = texts.join(texts_of(means, std)).set_index("condition")
        parts.append(f"### {title_of(setting_of(errors), setting)}\n\n{markdown(texts)}")
    return "\n".join(parts)


def texts_of(mean: pd.DataFrame, std: pd.DataFrame, certainty: Certainty | None = None) -> pd.DataFrame:
    """The cells as people read them, under headings; `std` may have more rows. Ratios have their interval, too."""
    std = std.loc[mean.index]
    columns = {}
    for column in mean:
        cells = list(map(number, mean[column], std[column]))
        if certainty is not None and "ratio_to_best" in str(column) and column in certainty.low:
            ends = zip(*(of[column].reindex(mean.index) for of in (certainty.low, certainty.high)), strict=True)
            spans = [f" ({low:.2f} to {high:.2f})" if math.isfinite(high) else "" for low, high in ends]
            cells = [f"{cell}{span}" for cell, span in zip(cells, spans, strict=True)]
        columns[_heading(str(column))] = cells
    return pd.DataFrame(columns)


def _frames(time: float, horizon: int) -> str:
    """A correlation time; a correlation that never falls below the threshold says how far it was looked at."""
    if math.isnan(time):
        return ""
    return f"over {horizon}" if math.isinf(time) else f"{time:.0f}"


def _heading(column: str) -> str:
    if "_lead_" in column:
        return f"lead {column.rsplit('_', 1)[1]}"
    return HEADINGS.get(column, column)


def number(mean: float, std: float) -> str:
    """Three significant digits, and the standard deviation to the same decimal; none where there is but one seed."""
    if math.isnan(mean):
        return ""
    if math.isinf(mean):
        return "∞"
    decimals = min(max(2 - math.floor(math.log10(abs(mean))), 0), 6) if mean else 2
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(std) else f"{text} ± {std:.{decimals}f}"
