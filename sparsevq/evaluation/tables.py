"""Tables of many runs: everything tidy, and summaries over seeds for people and papers.

The same inputs give the same bytes, in whatever order they are named.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.labels import LINKS, METHODS, METRICS, OURS, in_usual_order
from sparsevq.evaluation.metrics import correlation_time
from sparsevq.evaluation.scores import ALL, BOUND
from sparsevq.evaluation.table_files import latex, markdown, write_csv, write_text

LEADS = (1, 5, 10, 20)
"""Lead times (frames) that summaries show beside the mean over all."""

RUN = ["data_set", "num_sensors", "seed"]
FORECASTS = [*RUN, "observed_frames"]
"""What identifies the forecasts of a run: from each number of observed frames they are rows of their own."""
TIME = "correlation_time"

HEADINGS = {
    **METRICS,
    "ratio_to_best_baseline": "/ best baseline",
    "ratio_to_bound": "/ bound",
    "encoder": "relative L2 error",
    "linear": "linear estimate",
    "ratio_to_linear": "/ linear",
    "ratio_to_own": "/ own sensors",
    "codes_used": "used",
    "share_used": "share used",
    "share_of_top_code": "share of the commonest",
}


def tabulate(
    scores: Sequence[Path],
    chains: Sequence[Path],
    calibrations: Sequence[Path],
    codebooks: Sequence[Path],
    robustness: Sequence[Path],
    out_dir: str | Path,
) -> None:
    """Put the tables of all runs together.

    Writes into `out_dir`:

    ``forecast.csv``, ``chain.csv``, ``calibration.csv``, ``codebook.csv``, ``robustness.csv``
        The runs' tables one under the other, tidy, by data set, number of sensors, seed and number of observed frames.
    ``summary.csv``, ``summary.md``, ``summary.tex``
        A row for each method: relative L2 (mean over lead times, and at some), VRMSE, CRPS, correlation time (first
        lead with an anomaly correlation below 0.8, in frames; inf, or "never", if there is none), and the ratio of its
        mean relative L2 to that of the run's best baseline. Mean and standard deviation over seeds (median of the
        correlation time); the best of each column is bold.
    ``chain.md``, ``chain.tex``
        The chain of errors: relative L2 of each link, on the frames that are forecast; of the quantized reconstruction
        of the complete latents also its ratio to the rate-distortion bound.
    ``codebook.md``
        Codes in use.
    ``robustness.md``
        Relative L2 of reconstructions from other sensors than the run's own, by the encoder and by the linear estimate.

    LaTeX needs the package booktabs.

    Parameters
    ----------
    scores, chains, calibrations, codebooks, robustness
        ``scores.csv``, ``chain.csv``, ``calibration.csv``, ``codebook.csv``, ``robustness.csv`` of each run; any but
        `scores` may be empty.
    out_dir
        Folder to write to.

    Raises
    ------
    SparseVQError
        A table is missing or empty.
    """
    out_dir = Path(out_dir)
    forecast = _concatenate(scores)
    write_csv(out_dir / "forecast.csv", forecast)
    summary = _summary(forecast)
    write_csv(out_dir / "summary.csv", _mean_and_std(summary, "method"))
    _write_texts(out_dir, "summary", summary, "method", {name: style.label for name, style in METHODS.items()})
    if chains:
        chain = _concatenate(chains)
        write_csv(out_dir / "chain.csv", chain)
        _write_texts(out_dir, "chain", _chain_summary(chain), "link", LINKS)
    if calibrations:
        write_csv(out_dir / "calibration.csv", _concatenate(calibrations))
    if codebooks:
        codebook = _concatenate(codebooks)
        write_csv(out_dir / "codebook.csv", codebook)
        write_text(out_dir / "codebook.md", _codebook_markdown(codebook))
    if robustness:
        errors = _concatenate(robustness)
        write_csv(out_dir / "robustness.csv", errors)
        write_text(out_dir / "robustness.md", _robustness_markdown(errors))


# ------------------------------------------------------------------------------------------------ what is tabulated


def _concatenate(paths: Sequence[Path]) -> pd.DataFrame:
    tables = []
    for path in paths:
        try:
            table = pd.read_csv(path)
        except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
            raise SparseVQError(f"{path} can't be read as a table ({error})", "evaluate that run again") from None
        if "lead_time" in table and "observed_frames" not in table:
            table.insert(len(RUN), "observed_frames", 1)  # of earlier versions
        tables.append(table)
    if not tables:
        raise SparseVQError("there is no table of scores", "evaluate a run first")
    return pd.concat(tables).sort_values(RUN, kind="stable", ignore_index=True)


def _setting(table: pd.DataFrame) -> list[str]:
    """The columns that keep tables apart."""
    return [name for name in FORECASTS if name != "seed" and name in table]


def _summary(forecast: pd.DataFrame) -> pd.DataFrame:
    """A row a method and run, a column a quantity."""
    table = forecast[(forecast["channel"] == ALL) & (forecast["lead_time"] > 0)]
    keys = [*FORECASTS, "method"]
    l2 = table[table["metric"] == "relative_l2"]
    columns = _mean_and_leads(l2, keys)
    for metric in ("vrmse", "crps"):
        columns[metric] = table[table["metric"] == metric].groupby(keys)["value"].mean()
    correlation = table[table["metric"] == "anomaly_correlation"].pivot(index=keys, columns="lead_time", values="value")
    if len(correlation):
        times = correlation_time(correlation.to_numpy(), correlation.columns.to_numpy())
        columns[TIME] = pd.Series(times, index=correlation.index)
    summary = columns.reset_index()
    baselines = summary[~summary["method"].isin(OURS)]
    best = baselines.groupby(FORECASTS)["relative_l2"].min().rename("best")
    summary = summary.merge(best.reset_index(), on=FORECASTS, how="left")
    summary["ratio_to_best_baseline"] = summary["relative_l2"] / summary.pop("best")
    return _in_order(summary.dropna(axis=1, how="all"), "method", METHODS)


def _chain_summary(chain: pd.DataFrame) -> pd.DataFrame:
    """A row a link and run: its relative L2 on the frames that are forecast.

    What the codes make of complete latents is compared with what their bits could do at best.
    """
    table = chain.query("channel == @ALL and metric == 'relative_l2' and lead_time > 0")
    summary = _mean_and_leads(table, [*FORECASTS, "link"]).reset_index()
    bound = summary[summary["link"] == BOUND].set_index(FORECASTS)["relative_l2"].rename("bound")
    if len(bound):
        summary = summary.merge(bound.reset_index(), on=FORECASTS, how="left")
        of_bound = summary["relative_l2"] / summary.pop("bound")
        summary["ratio_to_bound"] = of_bound.where(summary["link"] == "quantized_teacher_reconstruction")
    return _in_order(summary, "link", LINKS)


def _mean_and_leads(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    columns = {"relative_l2": table.groupby(keys)["value"].mean()}
    for lead in LEADS:
        at_lead = table[table["lead_time"] == lead]
        if len(at_lead):
            columns[f"relative_l2_lead_{lead}"] = at_lead.set_index(keys)["value"]
    return pd.DataFrame(columns)


def _in_order(table: pd.DataFrame, column: str, order: Iterable[str]) -> pd.DataFrame:
    """Rows by setting, the names in `column` in their usual order, then by seed."""
    place = {name: index for index, name in enumerate(in_usual_order(table[column], order))}
    return table.sort_values(
        [*_setting(table), column, "seed"],
        key=lambda values: values.map(place) if values.name == column else values,
        ignore_index=True,
    )


def _over_seeds(table: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Mean and standard deviation over seeds, and how many, by setting and `keys`, in the table's order."""
    groups = table.drop(columns="seed").groupby([*_setting(table), *keys], sort=False)
    with np.errstate(invalid="ignore"):  # inf - inf, where a correlation never fell
        mean, std = groups.mean(), groups.std()
    if TIME in mean:
        # A seed whose correlation never falls has an infinite time: the (lower) median, unlike the mean, allows for it.
        mean[TIME], std[TIME] = groups[TIME].quantile(0.5, interpolation="lower"), np.nan
    return mean, std, groups.size()


# ------------------------------------------------------------------------------------------------ how it is written


def _mean_and_std(table: pd.DataFrame, first: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds side by side, as numbers."""
    mean, std, seeds = _over_seeds(table, [first])
    columns = {"seeds": seeds}
    for column in mean:
        if column == TIME:
            columns[f"{column}_median"] = mean[column]
        else:
            columns[f"{column}_mean"], columns[f"{column}_std"] = mean[column], std[column]
    return pd.DataFrame(columns).reset_index()


def _write_texts(out_dir: Path, name: str, table: pd.DataFrame, first: str, labels: Mapping[str, str]) -> None:
    """The table as Markdown and as LaTeX: one for each data set and number of sensors."""
    mean, std, seeds = _over_seeds(table, [first])
    markdowns, latexes = [], []
    for setting, means in mean.groupby(level=_setting(table), sort=False):
        count = seeds[means.index].max()
        title = f"{_title(setting)}, {count} seed{'s' if count > 1 else ''}"
        best = means.min(skipna=False)
        if TIME in means:
            best[TIME] = means[TIME].max(skipna=False)
        texts = _texts(means, std)
        bold = means.eq(best).set_axis(texts.columns, axis=1) & (first == "method" and len(means) > 1)
        names = means.index.get_level_values(first)
        texts.index = bold.index = pd.Index([labels.get(key, key) for key in names], name=first)
        markdowns.append(f"### {title}\n\n{markdown(texts.mask(bold, '**' + texts + '**'))}")
        latexes.append(f"% {title}\n{latex(texts, bold)}")
    write_text(out_dir / f"{name}.md", "\n".join(markdowns))
    write_text(out_dir / f"{name}.tex", "\n".join(latexes))


def _title(setting: Any) -> str:
    """A setting as people name it."""
    data_set, num_sensors, observed_frames = setting
    observed = f", {observed_frames} observed frames" if observed_frames > 1 else ""
    return f"{data_set}, {num_sensors} sensors{observed}"


def _codebook_markdown(codebook: pd.DataFrame) -> str:
    keys = ["encoder", "split", "level"]
    mean, std, _ = _over_seeds(codebook, keys)
    parts = []
    for (data_set, num_sensors), means in mean.groupby(level=RUN[:2], sort=False):
        texts = means.reset_index()[keys].astype(str)
        texts["codes"] = [f"{codes:.0f}" for codes in means.pop("codes")]
        texts = texts.join(_texts(means, std)).set_index("encoder")
        parts.append(f"### {data_set}, {num_sensors} sensors\n\n{markdown(texts)}")
    return "\n".join(parts)


def _robustness_markdown(errors: pd.DataFrame) -> str:
    """A row a condition, in the runs' order: both errors, their ratio, and that to the error with the own sensors."""
    keys = ["condition", "sensors", "noise"]
    columns = {"encoder": "relative_l2", "linear": "relative_l2", "ratio_to_own": "ratio"}
    wide = errors[[*RUN, *keys]].drop_duplicates()
    for name, column in columns.items():
        of_method = errors[errors["method"] == ("linear" if name == "linear" else "encoder")]
        wide = wide.merge(of_method[[*RUN, *keys, column]].rename(columns={column: name}), on=[*RUN, *keys], how="left")
    wide["ratio_to_linear"] = wide["encoder"] / wide["linear"]
    wide = wide.dropna(axis=1, how="all")
    mean, std, _ = _over_seeds(wide, keys)
    parts = []
    for (data_set, num_sensors), means in mean.groupby(level=RUN[:2], sort=False):
        texts = means.reset_index()[keys].astype(str)
        texts = texts.join(_texts(means, std)).set_index("condition")
        parts.append(f"### {data_set}, {num_sensors} sensors\n\n{markdown(texts)}")
    return "\n".join(parts)


def _texts(mean: pd.DataFrame, std: pd.DataFrame) -> pd.DataFrame:
    """The cells as people read them, under headings; `std` may have more rows."""
    std = std.loc[mean.index]
    return pd.DataFrame({_heading(str(column)): list(map(_number, mean[column], std[column])) for column in mean})


def _heading(column: str) -> str:
    if column.startswith("relative_l2_lead_"):
        return f"lead {column.rsplit('_', 1)[1]}"
    return HEADINGS.get(column, column)


def _number(mean: float, std: float) -> str:
    """Three significant digits, and the standard deviation to the same decimal; none where there is but one seed."""
    if math.isnan(mean):
        return ""
    if math.isinf(mean):
        return "never"
    decimals = min(max(2 - math.floor(math.log10(abs(mean))), 0), 6) if mean else 2
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(std) else f"{text} ± {std:.{decimals}f}"
