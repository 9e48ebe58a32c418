"""Tables of many runs: everything tidy, and summaries over seeds for people and papers.

The same inputs give the same bytes, in whatever order they are named.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.labels import LINKS, METHODS, METRICS, OURS, method_style
from sparsevq.evaluation.metrics import correlation_time
from sparsevq.evaluation.scores import ALL
from sparsevq.runtime.files import written_whole

LEADS = (1, 5, 10, 20)
"""Lead times (frames) that summaries show beside the mean over all."""

RUN = ["data_set", "num_sensors", "seed"]
SETTING = RUN[:2]
TIME = "correlation_time"


def tabulate(
    scores: Sequence[Path],
    chains: Sequence[Path],
    calibrations: Sequence[Path],
    codebooks: Sequence[Path],
    out_dir: str | Path,
) -> None:
    """Put the tables of all runs together.

    Writes into `out_dir`:

    ``forecast.csv``, ``chain.csv``, ``calibration.csv``, ``codebook.csv``
        The runs' tables one under the other, tidy, by data set, number of sensors and seed.
    ``summary.csv``, ``summary.md``, ``summary.tex``
        A row for each method: relative L2 (mean over lead times, and at some), VRMSE, CRPS, correlation time (first
        lead with an anomaly correlation below 0.8, in frames; inf, or "never", if there is none), and the ratio of its
        mean relative L2 to that of the run's best baseline. Mean and standard deviation over seeds (median of the
        correlation time); the best of each column is bold.
    ``chain.md``, ``chain.tex``
        The chain of errors: relative L2 of each link, on the frames that are forecast.
    ``codebook.md``
        Codes in use.

    LaTeX needs the package booktabs.

    Parameters
    ----------
    scores, chains, calibrations, codebooks
        ``scores.csv``, ``chain.csv``, ``calibration.csv``, ``codebook.csv`` of each run; any but `scores` may be empty.
    out_dir
        Folder to write to.

    Raises
    ------
    SparseVQError
        A table is missing or empty.
    """
    out_dir = Path(out_dir)
    forecast = _concatenate(scores)
    _write_csv(out_dir / "forecast.csv", forecast)
    _write_summary(out_dir, "summary", _summary(forecast), "method", lambda name: method_style(name).label)
    if chains:
        chain = _concatenate(chains)
        _write_csv(out_dir / "chain.csv", chain)
        _write_texts(out_dir, "chain", _chain_summary(chain), "link", lambda name: LINKS.get(name, name))
    if calibrations:
        _write_csv(out_dir / "calibration.csv", _concatenate(calibrations))
    if codebooks:
        codebook = _concatenate(codebooks)
        _write_csv(out_dir / "codebook.csv", codebook)
        _write_text(out_dir / "codebook.md", _codebook_markdown(codebook))


# ------------------------------------------------------------------------------------------------ what is tabulated


def _concatenate(paths: Sequence[Path]) -> pd.DataFrame:
    tables = []
    for path in paths:
        try:
            tables.append(pd.read_csv(path))
        except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
            raise SparseVQError(f"{path} can't be read as a table ({error})", "evaluate that run again") from None
    if not tables:
        raise SparseVQError("there is no table of scores", "evaluate a run first")
    return pd.concat(tables).sort_values(RUN, kind="stable", ignore_index=True)


def _summary(forecast: pd.DataFrame) -> pd.DataFrame:
    """A row a method and run, a column a quantity."""
    table = forecast[forecast["channel"] == ALL]
    keys = [*RUN, "method"]
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
    best = baselines.groupby(RUN)["relative_l2"].min().rename("best")
    summary = summary.merge(best.reset_index(), on=RUN, how="left")
    summary["ratio_to_best_baseline"] = summary["relative_l2"] / summary.pop("best")
    return _in_order(summary.dropna(axis=1, how="all"), "method", list(METHODS))


def _chain_summary(chain: pd.DataFrame) -> pd.DataFrame:
    """A row a link and run: its relative L2 on the frames that are forecast."""
    table = chain.query("channel == @ALL and metric == 'relative_l2' and lead_time > 0")
    return _in_order(_mean_and_leads(table, [*RUN, "link"]).reset_index(), "link", list(LINKS))


def _mean_and_leads(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    columns = {"relative_l2": table.groupby(keys)["value"].mean()}
    for lead in LEADS:
        at_lead = table[table["lead_time"] == lead]
        if len(at_lead):
            columns[f"relative_l2_lead_{lead}"] = at_lead.set_index(keys)["value"]
    return pd.DataFrame(columns)


def _in_order(table: pd.DataFrame, column: str, order: list[str]) -> pd.DataFrame:
    """Known methods in their usual order, others after them by name."""
    place = {name: index for index, name in enumerate(order)}
    keys = table[column].map(lambda name: (place.get(name, len(place)), name))
    return table.assign(_place=keys).sort_values([*SETTING, "_place", "seed"], ignore_index=True).drop(columns="_place")


def _over_seeds(table: pd.DataFrame, first: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Mean and standard deviation over seeds, and how many, by setting and `first`, in the table's order."""
    groups = table.drop(columns="seed").groupby([*SETTING, first], sort=False)
    with np.errstate(invalid="ignore"):  # inf - inf, where a correlation never fell
        mean, deviation = groups.mean(), groups.std()
    if TIME in mean:
        # A seed whose correlation never falls has no time to average: the (lower) median can do with it.
        mean[TIME], deviation[TIME] = groups[TIME].quantile(0.5, interpolation="lower"), np.nan
    return mean, deviation, groups.size()


# ------------------------------------------------------------------------------------------------ how it is written


def _write_summary(out_dir: Path, name: str, table: pd.DataFrame, first: str, label: Callable[[str], str]) -> None:
    mean, deviation, seeds = _over_seeds(table, first)
    columns = {"seeds": seeds}
    for column in mean:
        if column == TIME:
            columns[f"{column}_median"] = mean[column]
        else:
            columns[f"{column}_mean"], columns[f"{column}_std"] = mean[column], deviation[column]
    _write_csv(out_dir / f"{name}.csv", pd.DataFrame(columns).reset_index())
    _write_texts(out_dir, name, table, first, label)


def _write_texts(out_dir: Path, name: str, table: pd.DataFrame, first: str, label: Callable[[str], str]) -> None:
    """The table as Markdown and as LaTeX: one for each data set and number of sensors."""
    mean, deviation, seeds = _over_seeds(table, first)
    markdown, latex = [], []
    for data_set, num_sensors in dict.fromkeys((index[0], index[1]) for index in mean.index):
        rows = [index for index in mean.index if index[:2] == (data_set, num_sensors)]
        count = int(seeds.loc[rows].max())
        title = f"{data_set}, {num_sensors} sensors, {count} seed{'s' if count > 1 else ''}"
        table_mean, table_deviation = mean.loc[rows], deviation.loc[rows]
        # One text a cell, column by column
        cells: list[list[tuple[str, bool]]] = [[] for _ in rows]
        for column in mean:
            means, deviations = table_mean[column].to_numpy(), table_deviation[column].to_numpy()
            best = means.max() if column == TIME else means.min()
            for row, value, spread in zip(cells, means.tolist(), deviations.tolist(), strict=True):
                row.append((_number(value, spread), first == "method" and len(rows) > 1 and value == best))
        header = [first, *(_heading(str(column)) for column in mean)]
        body = [(label(str(index[-1])), row) for index, row in zip(rows, cells, strict=True)]
        markdown.append(_markdown(title, header, body))
        latex.append(_latex(title, header, body))
    _write_text(out_dir / f"{name}.md", "\n".join(markdown))
    _write_text(out_dir / f"{name}.tex", "\n".join(latex))


Body = list[tuple[str, list[tuple[str, bool]]]]


def _markdown(title: str, header: list[str], body: Body) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += [
        f"| {name} | " + " | ".join(f"**{text}**" if bold else text for text, bold in cells) + " |"
        for name, cells in body
    ]
    return "\n".join(lines) + "\n"


def _latex(title: str, header: list[str], body: Body) -> str:
    def escaped(text: str) -> str:
        for character in "\\&%$#_{}":
            text = text.replace(character, "\\" + character)
        return text

    def cell(text: str, bold: bool) -> str:
        # The sign is set in math mode, which every engine has.
        text = text.replace(" ± ", r" $\pm$ ")
        return rf"\textbf{{{text}}}" if bold else text

    lines = [f"% {title}", rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule"]
    lines += [" & ".join(escaped(name) for name in header) + r" \\", r"\midrule"]
    lines += [" & ".join([escaped(name), *(cell(text, bold) for text, bold in cells)]) + r" \\" for name, cells in body]
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _codebook_markdown(codebook: pd.DataFrame) -> str:
    keys = [*SETTING, "encoder", "split", "level"]
    groups = codebook.drop(columns="seed").groupby(keys, sort=False)
    # A row a level, a pair of columns (mean, std) a quantity
    table = groups.agg(["mean", "std"]).reset_index()
    header = ["encoder", "split", "level", "codes", "used", "share used", "perplexity", "share of the commonest"]
    parts = []
    for data_set, num_sensors in dict.fromkeys(zip(table["data_set"], table["num_sensors"], strict=True)):
        rows = table[(table["data_set"] == data_set) & (table["num_sensors"] == num_sensors)]
        body = []
        for row in rows.to_dict("records"):
            texts = [str(row["split", ""]), str(row["level", ""]), f"{row['codes', 'mean']:.0f}"]
            for column in ("codes_used", "share_used", "perplexity", "share_of_top_code"):
                texts.append(_number(row[column, "mean"], row[column, "std"]))
            body.append((str(row["encoder", ""]), [(text, False) for text in texts]))
        parts.append(_markdown(f"{data_set}, {num_sensors} sensors", header, body))
    return "\n".join(parts)


def _heading(column: str) -> str:
    if column.startswith("relative_l2_lead_"):
        return f"lead {column.rsplit('_', 1)[1]}"
    if column == "ratio_to_best_baseline":
        return "/ best baseline"
    return METRICS.get(column, column)


def _number(mean: float, deviation: float) -> str:
    """Three significant digits, and the deviation to the same decimal; no deviation where there is but one seed."""
    if math.isnan(mean):
        return ""
    if math.isinf(mean):
        return "never"
    decimals = min(max(2 - math.floor(math.log10(abs(mean))), 0), 6) if mean else 2
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(deviation) else f"{text} ± {deviation:.{decimals}f}"


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with written_whole(path) as part:
        table.to_csv(part, index=False, float_format="%.7g", lineterminator="\n")


def _write_text(path: Path, text: str) -> None:
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
