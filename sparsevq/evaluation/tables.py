"""Tables of many runs: everything tidy, and summaries over seeds for people and papers.

The same inputs give the same bytes, in whatever order they are named.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.costs import costs_markdown
from sparsevq.evaluation.in_and_out import in_and_out
from sparsevq.evaluation.intervals import Resampled, errors_by_trajectory
from sparsevq.evaluation.labels import LINKS, METHODS, NO_BASELINES, ORACLES, in_usual_order
from sparsevq.evaluation.metrics import correlation_time
from sparsevq.evaluation.placements_table import placements_markdown, placements_summary, placements_table
from sparsevq.evaluation.robustness.table import robustness_forecast_markdown
from sparsevq.evaluation.scores import ALL, BOUND
from sparsevq.evaluation.table_files import write_csv, write_text
from sparsevq.evaluation.table_texts import (
    LEADS,
    TIME,
    Certainty,
    calibration_markdown,
    codebook_markdown,
    forecasts_of,
    mean_and_std,
    robustness_markdown,
    run_of,
    setting_of,
    write_texts,
)

RATIOS = {"ratio_to_best_baseline": "relative_l2", "crps_ratio_to_best_ensemble": "crps"}
"""Ratio to the best baseline -> of which quantity."""


def tabulate(
    scores: Sequence[Path],
    cases: Sequence[Path],
    chains: Sequence[Path],
    calibrations: Sequence[Path],
    codebooks: Sequence[Path],
    robustness: Sequence[Path],
    out_dir: str | Path,
    trained: int,
    costs: Sequence[Path] = (),
) -> None:
    """Put the tables of all runs together.

    Writes into `out_dir`:

    ``forecast.csv``, ``chain.csv``, ``calibration.csv``, ``codebook.csv``, ``robustness.csv``
        The runs' tables one under the other, tidy, by data set, number of sensors, seed and number of observed frames.
    ``summary.csv``, ``summary.md``, ``summary.tex``
        A row for each method: the ratio of its mean relative L2 to that of the run's best baseline, and of its CRPS to
        that of the best ensemble of a baseline; relative L2 of the anomalies, relative L2 (means over lead times from 1
        on, and at some), CRPS, spread over skill and coverage of the 90 % interval (means over lead times from 0 on),
        VRMSE, correlation time (first lead with an anomaly correlation below 0.8, in frames; if there is none inf, and
        "over 20" in texts, where 20 is the last lead). Mean and standard deviation over seeds (median of the
        correlation time); of what ``cases.csv`` has, also the ends of a 95 % confidence interval (``..._low``,
        ``..._high``), by resampling trajectories. The best of a column is bold where the interval of its difference to
        the next best does not hold 0.
    ``in_out.csv``, ``in_out.md``, ``in_out.tex``
        Relative L2 at the sensors' points and at others (In-s, Out-s), within the trained lead times and beyond (In-t,
        Out-t).
    ``calibration.md``
        Spread over skill at some lead times, and coverage.
    ``chain.md``, ``chain.tex``
        The chain of errors: relative L2 of each link, on the frames that are forecast; of the quantized reconstruction
        of the complete latents also its ratio to the rate-distortion bound.
    ``codebook.md``
        Codes in use.
    ``baselines.csv``, ``baselines.md``
        What each method took: parameters, wall time of its fit or training, optimizer steps, device.
    ``robustness.md``
        Relative L2 of reconstructions from other sensors than the run's own, by the encoder and by the linear estimate.
    ``placements.csv``, ``placements.md``
        Where the experiment has several placements of the sensors, which are then a column of every table: a row for
        each, with the errors from the linear estimate to the forecast.

    LaTeX needs the package booktabs.

    Parameters
    ----------
    scores, cases, chains, calibrations, codebooks, robustness
        ``scores.csv``, ``cases.csv``, ``chain.csv``, ``calibration.csv``, ``codebook.csv``, ``robustness.csv`` of each
        run; any but `scores` may be empty.
    out_dir
        Folder to write to.
    costs
        ``costs.csv`` of each run.
    trained
        The last lead time of a training sequence (frames).

    Raises
    ------
    SparseVQError
        A table is missing or empty.
    """
    out_dir = Path(out_dir)
    forecast = stacked(scores)
    write_csv(out_dir / "forecast.csv", forecast)
    calibration = stacked(calibrations) if calibrations else None
    summary = summarize(forecast, calibration)
    certainty = certainty_of(stacked(cases) if cases else None)
    write_csv(out_dir / "summary.csv", mean_and_std(summary, "method", certainty))
    labels = {name: style.label for name, style in METHODS.items()}
    horizons = forecast.groupby(setting_of(forecast))["lead_time"].max().to_dict()
    write_texts(out_dir, "summary", summary, "method", labels, certainty, horizons)
    places = _in_order(in_and_out(forecast, trained), "method", METHODS)
    write_csv(out_dir / "in_out.csv", mean_and_std(places, "method"))
    write_texts(out_dir, "in_out", places, "method", labels)
    of_links = None
    if chains:
        chain = stacked(chains)
        of_links = chain_summary(chain)
        write_csv(out_dir / "chain.csv", chain)
        write_texts(out_dir, "chain", of_links, "link", LINKS)
    if "placement" in summary:
        placements = placements_table(summary, of_links)
        write_csv(out_dir / "placements.csv", placements_summary(placements))
        write_text(out_dir / "placements.md", placements_markdown(placements))
    if calibration is not None:
        write_csv(out_dir / "calibration.csv", calibration)
        write_text(out_dir / "calibration.md", calibration_markdown(calibration))
    if codebooks:
        codebook = stacked(codebooks)
        write_csv(out_dir / "codebook.csv", codebook)
        write_text(out_dir / "codebook.md", codebook_markdown(codebook))
    if costs:
        took = stacked(costs)
        write_csv(out_dir / "baselines.csv", took)
        write_text(out_dir / "baselines.md", costs_markdown(took))
    if robustness:
        errors = stacked(robustness)
        write_csv(out_dir / "robustness.csv", errors)
        write_text(out_dir / "robustness.md", robustness_markdown(errors))


def tabulate_robustness(robustness_forecasts: Sequence[Path], out_dir: str | Path) -> pd.DataFrame:
    """Put ``robustness_forecast.csv`` of all runs together, and write it and ``robustness_forecast.md``.

    Raises
    ------
    SparseVQError
        There is none, or one is missing or empty.
    """
    errors = stacked(robustness_forecasts)
    write_csv(Path(out_dir) / "robustness_forecast.csv", errors)
    write_text(Path(out_dir) / "robustness_forecast.md", robustness_forecast_markdown(errors))
    return errors


# ------------------------------------------------------------------------------------------------ what is tabulated


def stacked(paths: Sequence[Path]) -> pd.DataFrame:
    """Tables of several runs one under the other, by run.

    Raises
    ------
    SparseVQError
        There is none, or one is missing or empty.
    """
    tables = []
    for path in paths:
        try:
            table = pd.read_csv(path)
        except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
            raise SparseVQError(f"{path} can't be read as a table ({error})", "evaluate that run again") from None
        if "lead_time" in table and "observed_frames" not in table:
            table.insert(len(run_of(table)), "observed_frames", 1)  # of earlier versions
        tables.append(table)
    if not tables:
        raise SparseVQError("there is no table of scores", "evaluate a run first")
    found = pd.concat(tables)
    return found.sort_values(run_of(found), kind="stable", ignore_index=True)


def summarize(forecast: pd.DataFrame, calibration: pd.DataFrame | None) -> pd.DataFrame:
    """A row a method and run, a column a quantity."""
    keys = [*forecasts_of(forecast), "method"]
    table = forecast[(forecast["channel"] == ALL) & (forecast["lead_time"] > 0)]
    columns = _mean_and_leads(table[table["metric"] == "relative_l2"], keys)
    for metric in ("relative_l2_anomalies", "vrmse", "crps"):
        columns[metric] = table[table["metric"] == metric].groupby(keys)["value"].mean()
    if calibration is not None:
        of_all = calibration[calibration["channel"] == ALL]
        for quantity in ("spread_skill_ratio", "coverage_90"):
            columns[quantity] = of_all[of_all["quantity"] == quantity].groupby(keys)["value"].mean()
    correlation = table[table["metric"] == "anomaly_correlation"].pivot(index=keys, columns="lead_time", values="value")
    if len(correlation):
        times = correlation_time(correlation.to_numpy(), correlation.columns.to_numpy())
        columns[TIME] = pd.Series(times, index=correlation.index)
    summary = columns.reset_index()
    baselines = summary[~summary["method"].isin(NO_BASELINES)]
    for name, quantity in RATIOS.items():
        best = baselines.groupby(forecasts_of(baselines))[quantity].min().rename("best")
        summary = summary.merge(best.reset_index(), on=forecasts_of(baselines), how="left")
        summary[name] = summary[quantity] / summary.pop("best")
    leads = [name for name in map(str, columns) if name.startswith("relative_l2_lead_")]
    order = [*keys, *RATIOS, "relative_l2_anomalies", "relative_l2", *leads, "crps"]
    order += [name for name in ("spread_skill_ratio", "coverage_90", "vrmse", TIME) if name in summary]
    return _in_order(summary[order].dropna(axis=1, how="all"), "method", METHODS)


def certainty_of(cases: pd.DataFrame | None) -> Certainty:
    """Confidence intervals and bold cells of the summary: by setting and method; none without ``cases.csv``."""
    quantities: dict[str, tuple[str, int | None]] = {
        name: (name, None) for name in ("relative_l2_anomalies", "relative_l2", "crps", "vrmse")
    }
    quantities |= {f"relative_l2_lead_{lead}": ("relative_l2", lead) for lead in LEADS}
    low, high, bold = {}, {}, {}
    names = [] if cases is None else setting_of(cases)
    for setting, rows in cases.groupby(names, sort=False) if cases is not None else ():
        resampled = {name: Resampled(errors) for name, errors in errors_by_trajectory(rows, quantities).items()}
        for name, of in resampled.items():
            for method in of.mean:
                low[(*setting, method), name], high[(*setting, method), name] = of.of(method)
                bold[(*setting, method), name] = method == of.surely_best(ORACLES)
        for name, quantity in RATIOS.items():
            of = resampled[quantity]
            best = of.best([method for method in of.mean if method not in NO_BASELINES])
            for method in of.mean:
                if best is None:
                    continue
                low[(*setting, method), name], high[(*setting, method), name] = of.ratio(method, best)
                bold[(*setting, method), name] = method == of.surely_best(ORACLES)
    return Certainty(*(_unstacked(cells, names) for cells in (low, high, bold)))


def _unstacked(cells: dict[tuple[tuple[Any, ...], str], Any], names: list[str]) -> pd.DataFrame:
    """Rows by setting, whose columns are `names`, and method; columns by quantity."""
    columns: dict[str, dict[tuple[Any, ...], Any]] = {}
    for (row, column), value in cells.items():
        columns.setdefault(column, {})[row] = value
    table = pd.DataFrame(columns)
    if len(table):
        table.index = table.index.set_names([*names, "method"])
    return table


def chain_summary(chain: pd.DataFrame) -> pd.DataFrame:
    """A row a link and run: its relative L2 on the frames that are forecast.

    What the codes make of complete latents is compared with what their bits could do at best.
    """
    table = chain.query("channel == @ALL and metric == 'relative_l2' and lead_time > 0")
    summary = _mean_and_leads(table, [*forecasts_of(table), "link"]).reset_index()
    bound = summary[summary["link"] == BOUND].set_index(forecasts_of(summary))["relative_l2"].rename("bound")
    if len(bound):
        summary = summary.merge(bound.reset_index(), on=forecasts_of(summary), how="left")
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
        [*setting_of(table), column, "seed"],
        key=lambda values: values.map(place) if values.name == column else values,
        ignore_index=True,
    )
