"""Figures of the tables of scores: curves and bars."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from sparsevq.data.field_data import Split
from sparsevq.data.lead_units import lead_unit
from sparsevq.evaluation.anomalies import OF_ENERGY
from sparsevq.evaluation.codebook import code_counts
from sparsevq.evaluation.labels import LINKS, METRICS, channels_title, in_usual_order, method_style
from sparsevq.evaluation.scores import ALL, ENSEMBLE
from sparsevq.evaluation.table_texts import setting_of, title_of
from sparsevq.forecasting.cases import Cases
from sparsevq.plotting.numbers import told_apart
from sparsevq.plotting.style import legend_below, new_figure, save, styled, title, with_unit
from sparsevq.runs.codes_file import codebook_in, open_codes
from sparsevq.runtime.hdf5 import read_dataset

WIDTH = 10.5
"""Of figures with panels beside each other (inches)."""
SHOWN = ("relative_l2", "vrmse", "anomaly_correlation")
ANOMALIES = "relative_l2_anomalies"
"""What is shown instead of the first where the time mean has nearly all of the fields' norm."""
REFERENCE: dict[str, Any] = {"color": "0.4", "linewidth": 0.8, "linestyle": (0, (4, 3))}
LINK_COLOURS = dict(
    zip(LINKS, ("0.45", "0.7", "#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#E69F00"), strict=True)
)
ENCODERS = {"sparse": "sparse", "semi_sparse": "teacher"}
ENCODER_COLOURS = {"sparse": ("#0072B2", "#56B4E9"), "semi_sparse": ("#D55E00", "#E69F00")}
"""On the training split and on the other."""
SPLITS = {"train": "training", "val": "validation", "test": "test", "ood": "out-of-distribution"}


# ------------------------------------------------------------------------------------------------ errors by lead time


@styled
def draw_lead_time(by_case: pd.DataFrame, cases: Cases, who: str, path: Path) -> Path:
    """Mean over cases of each error (`cases.csv`), and the middle 80 % of the cases as a band.

    A row for each number of observed frames. `who` says which run it is.
    """
    settings = list(by_case.groupby("observed_frames"))
    figure = new_figure(WIDTH, 0.9 + 2.9 * len(settings))
    panels = figure.subplots(len(settings), len(SHOWN), squeeze=False)
    unit = lead_unit(cases.lead_time.tolist(), cases.lead_units)
    per_frame = cases.lead_time[0] * unit.factor
    even = np.allclose(cases.lead_time * unit.factor, per_frame * np.arange(1, cases.horizon + 1), rtol=0.02)
    for row, (line, (_, rows)) in enumerate(zip(panels, settings, strict=True)):
        for axes, metric in zip(line, _told(rows), strict=True):
            _draw_methods(axes, rows, metric, (0.1, 0.9))
            if even and per_frame > 0 and row == 0:
                above = axes.secondary_xaxis("top", functions=(lambda x: x * per_frame, lambda x: x / per_frame))
                above.set_xlabel(with_unit("lead time", unit.plural), fontsize=8)
        if len(settings) > 1:
            line[0].set_title(_setting(rows), loc="left")
    text = f"{who}: mean of {rows['case'].nunique()} cases; bands: the middle 80 % of cases"
    title(figure, text, WIDTH)
    legend_below(figure, panels[0, 0])
    return save(figure, path)


@styled
def draw_lead_time_over_seeds(forecast: pd.DataFrame, path: Path) -> Path:
    """Mean over seeds of each error (`tables/forecast.csv`), and their range as a band.

    A row for each data set, number of sensors and number of observed frames.
    """
    names = forecast.loc[forecast["channel"] != ALL].groupby("data_set")["channel"].unique()
    table = forecast[(forecast["channel"] == ALL) & forecast["metric"].isin({*SHOWN, ANOMALIES})]
    # Columns as in cases.csv: one a metric
    wide = table.pivot(
        index=[*setting_of(table), "seed", "method", "lead_time"],
        columns="metric",
        values="value",
    )
    settings = list(wide.groupby(level=setting_of(table), sort=True))
    figure = new_figure(WIDTH, 0.7 + 2.9 * len(settings))
    panels = figure.subplots(len(settings), len(SHOWN), squeeze=False)
    for line, (_, rows) in zip(panels, settings, strict=True):
        rows = rows.reset_index()
        for axes, metric in zip(line, _told(rows), strict=True):
            _draw_methods(axes, rows, metric, (0, 1))
        seeds = rows["seed"].nunique()
        of = channels_title(list(names.get(rows["data_set"].iloc[0], [])))
        line[0].set_title(f"{_setting(rows)}, {seeds} seed{'s' if seeds > 1 else ''}; {of}", loc="left")
    title(figure, "mean over seeds; bands: smallest and largest of the seeds", WIDTH)
    legend_below(figure, panels[0, 0])
    return save(figure, path)


def _told(table: pd.DataFrame) -> tuple[str, ...]:
    """The errors that are shown: of the anomalies where the time mean has nearly all of the fields' energy.

    The ratio of the two relative errors of any forecast is that of the norms of the anomalies and of the fields.
    """
    if ANOMALIES not in table:  # of earlier versions
        return SHOWN
    of_norm = table["relative_l2"].mean() / table[ANOMALIES].mean()
    return (ANOMALIES, *SHOWN[1:]) if of_norm < np.sqrt(1 - OF_ENERGY) else SHOWN


def _draw_methods(axes: Axes, table: pd.DataFrame, metric: str, band: tuple[float, float]) -> None:
    """The mean of each method against lead time, and a band between two quantiles."""
    largest = 0.0
    for rank, method in enumerate(in_usual_order(table["method"])):
        by_lead = table[table["method"] == method].groupby("lead_time")[metric]
        mean, style = by_lead.mean(), method_style(method, rank)
        axes.plot(mean.index, mean, style.line, color=style.colour, marker=style.marker, label=style.label)
        low, high = (by_lead.quantile(edge) for edge in band)
        alpha = 0.2 if method == "sparsevq" else 0.08
        axes.fill_between(mean.index, low, high, color=style.colour, alpha=alpha, linewidth=0)
        largest = max(largest, float(mean.max()))
    axes.set_xlabel("lead time (frames)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(METRICS[metric])
    if metric == "anomaly_correlation":
        axes.axhline(0.8, **REFERENCE)
        axes.set_ylim(max(axes.get_ylim()[0], -1.02), 1.02)
        return
    if metric == "vrmse":
        axes.axhline(1, **REFERENCE)
    # A baseline that diverges must not flatten all the others.
    axes.set_ylim(0, min(1.25 * largest, 2.5))


def _setting(table: pd.DataFrame) -> str:
    names = setting_of(table)
    return title_of(names, [table[name].iloc[0] for name in names])


# ------------------------------------------------------------------------------------------------ calibration


@styled
def draw_calibration(calibration: pd.DataFrame, unit: str, who: str, path: Path) -> Path:
    """Spread and skill by lead time, their ratio beside that of the baselines, the rank histogram (`calibration.csv`).

    Of the fewest observed frames. `unit` is that of the fields; empty where channels of different units are pooled.
    """
    pooled = calibration[calibration["channel"] == ALL]
    pooled = pooled[pooled["observed_frames"] == pooled["observed_frames"].min()]
    table = pooled[pooled["method"] == ENSEMBLE]
    others = pooled[(pooled["method"] != ENSEMBLE) & (pooled["quantity"] == "spread_skill_ratio")]
    ranks, spread, skill, ratio = (
        table[table["quantity"] == name] for name in ("rank_frequency", "spread", "skill", "spread_skill_ratio")
    )
    figure = new_figure(WIDTH, 3.8)
    left, middle, right = figure.subplots(1, 3)
    members = int(ranks["rank"].max())
    if len(spread):
        corrected = np.sqrt((members + 1) / members) * spread["value"]
        left.plot(skill["lead_time"], skill["value"], color="#D55E00", marker="o", label="skill: RMSE of the mean")
        left.plot(spread["lead_time"], corrected, color="#0072B2", marker="s", label=r"spread $\sqrt{(M+1)/M}$")
        left.set_ylim(0)
        left.legend()
        _draw_ratios(middle, ratio, others)
    left.set_ylabel(with_unit("spread, skill", unit))
    for axes in (left, middle):
        axes.set_xlabel("lead time (frames)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _draw_ranks(right, ranks, members)
    title(figure, f"{who}: calibration of the ensemble", WIDTH)
    return save(figure, path)


def _draw_ratios(axes: Axes, ours: pd.DataFrame, others: pd.DataFrame) -> None:
    """Spread over skill by lead time, of sparsevq and of the baselines."""
    style = method_style(ENSEMBLE)
    axes.plot(ours["lead_time"], ours["value"], color=style.colour, marker=style.marker, zorder=3, label="sparsevq")
    for rank, method in enumerate(in_usual_order(others["method"])):
        rows, style = others[others["method"] == method], method_style(method, rank)
        look: dict[str, Any] = {"color": style.colour, "linewidth": 0.9, "label": style.label}
        axes.plot(rows["lead_time"], rows["value"], style.line, **look)
    axes.legend(fontsize=7, loc="lower left")
    axes.axhline(1, **REFERENCE)
    axes.set_ylim(0, max(1.3, 1.1 * float(ours["value"].max())))
    axes.set_ylabel("spread / skill (above 1: spread too large)")


def _draw_ranks(axes: Axes, ranks: pd.DataFrame, members: int) -> None:
    """How often the truth has each rank among the members."""
    frequency = ranks.groupby("rank")["value"].mean()
    axes.bar(frequency.index, frequency, 0.9, color="#56B4E9", label="all lead times")
    for lead, colour in ((ranks["lead_time"].min(), "#009E73"), (ranks["lead_time"].max(), "#D55E00")):
        rows = ranks[ranks["lead_time"] == lead]
        axes.plot(rows["rank"], rows["value"], color=colour, marker="o", linewidth=1, label=f"lead {lead}")
    axes.axhline(1 / (members + 1), **REFERENCE | {"color": "0.2", "label": "reliable"})
    axes.set_xticks(range(0, members + 1, max(1, (members + 1) // 10)))
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(f"rank of the truth among {members} members")
    axes.set_ylabel("frequency")
    axes.set_ylim(0, 1.35 * float(ranks["value"].max()))  # the legend stands above
    axes.legend(fontsize=7, ncols=2, loc="upper center")


# ------------------------------------------------------------------------------------------------ chain of errors


@styled
def draw_chain(chain: pd.DataFrame, who: str, path: Path) -> Path:
    """Relative L2 of every link (`chain.csv`): bars for the mean over the forecast frames, dots for each lead time.

    Of the fewest observed frames.
    """
    chain = chain[chain["observed_frames"] == chain["observed_frames"].min()]
    table = chain[(chain["channel"] == ALL) & (chain["metric"] == "relative_l2") & (chain["lead_time"] > 0)]
    last = int(table["lead_time"].max())
    means = table.groupby("link")["value"].mean()
    links = in_usual_order(means.index, LINKS)
    width = 1.5 + 1.2 * len(links)
    figure = new_figure(width, 4.1)
    axes = figure.subplots()
    top = float(table["value"].max())
    for place, (link, text) in enumerate(zip(links, told_apart(means[links]), strict=True)):
        values = table[table["link"] == link].sort_values("lead_time")
        axes.bar(place, means[link], 0.7, color=LINK_COLOURS[link])
        across = place + 0.6 * (values["lead_time"] - (1 + last) / 2) / max(last - 1, 1)
        axes.plot(across, values["value"], color="0.1", marker="o", markersize=2, linewidth=1)
        over = max(float(values["value"].max()), means[link]) + 0.02 * top  # neither bar nor dots are hidden
        axes.text(place, over, text, ha="center", va="bottom")
    axes.set_ylim(0, 1.1 * top)
    axes.set_xticks(range(len(links)), [LINKS[link].replace(" ", "\n") for link in links])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(METRICS["relative_l2"])
    bars = f"bars and numbers: mean of leads 1 to {last}; dots: lead 1 (left) to {last}"
    axes.set_title(f"all on the same frames; {bars}", loc="left")
    title(figure, f"{who}: where the error comes from", width)
    return save(figure, path)


# ------------------------------------------------------------------------------------------------ codebook


@styled
def draw_codebook(codes_path: Path, use: pd.DataFrame, split: Split, who: str, path: Path) -> Path:
    """Left: share of the tokens that each code of the sparse encoder has, by rank. Right: perplexity of each level.

    Of ``codes.h5`` and of the table ``codebook.csv``, for the training split and for `split`.
    """
    with open_codes(codes_path) as file:
        positions, levels, codes, _ = codebook_in(file).shape
        splits = read_dataset(file, "split", (None,))
        indices = file["sparse"][0]  # (T, F, P, Q)
    figure = new_figure(WIDTH, 3.9)
    left, right = figure.subplots(1, 2)
    for level, shade in enumerate(np.linspace(1, 0.35, levels)):
        for name, line in (("train", "-"), (split, "--")):
            found = code_counts(indices[splits == name][..., level], positions, codes)
            counts = np.sort(found, axis=1)[:, ::-1].sum(0)  # of several codebooks, by the rank in each
            if not counts.any():
                continue
            share = np.where(counts > 0, counts, np.nan) / counts.sum()  # codes that never occur end the line
            label = f"level {level + 1}" if name == "train" else None
            left.plot(np.arange(1, codes + 1), share, line, color="#0072B2", alpha=shade, label=label)
    left.axhline(1 / codes, color="0.4", linewidth=0.8, linestyle=":", label="uniform")
    left.set_yscale("log")
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_xlim(0, codes + 1)
    left.set_xlabel("code, by decreasing use", labelpad=2)
    left.set_ylabel("share of tokens")
    left.set_title(f"sparse encoder; solid: training split, dashed: {SPLITS[split]} split", loc="left")
    left.legend()
    _draw_perplexity(right, use, split, codes)
    right.set_xticks(range(1, levels + 1))
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=4)
    title(figure, f"{who.partition(';')[0]}: use of the codebook", WIDTH)
    return save(figure, path)


def _draw_perplexity(axes: Axes, use: pd.DataFrame, split: Split, codes: int) -> None:
    """A bar for each level, encoder and split."""
    groups = [(encoder, name) for encoder in ENCODERS for name in ("train", split)]
    width = 0.8 / len(groups)
    for place, (encoder, name) in enumerate(groups):
        rows = use[(use["encoder"] == encoder) & (use["split"] == name)]
        if not len(rows):
            continue
        colour = ENCODER_COLOURS[encoder][place % 2]
        at = rows["level"].to_numpy() + (place - (len(groups) - 1) / 2) * width
        axes.bar(at, rows["perplexity"], width, color=colour, label=f"{ENCODERS[encoder]}, {SPLITS[name]}")
        for x, height, share in zip(at, rows["perplexity"], rows["share_used"], strict=True):
            axes.text(x, height, f"{share:.0%}", ha="center", va="bottom", fontsize=6.5)
    axes.axhline(codes, color="0.4", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 1.12 * codes)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("level of the quantizer")
    axes.set_ylabel("perplexity (effective number of codes)")
    axes.set_title(f"of {codes} codes (dotted); numbers: share of codes in use", loc="left")
