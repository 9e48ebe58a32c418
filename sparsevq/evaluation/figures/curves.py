"""Figures of the tables of scores: curves and bars."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparsevq.data.field_data import Split
from sparsevq.evaluation.cases import Cases
from sparsevq.evaluation.codebook import code_counts
from sparsevq.evaluation.labels import LINKS, METRICS, in_usual_order, method_style
from sparsevq.evaluation.metrics import BANDS, wavenumber_bands
from sparsevq.evaluation.scores import ALL, ENSEMBLE
from sparsevq.evaluation.spectrum import Spectrum
from sparsevq.plotting.style import new_figure, save, styled, with_unit
from sparsevq.runs.codes import codebook_in, open_codes
from sparsevq.runtime.hdf5 import read_dataset

SHOWN = ("relative_l2", "vrmse", "anomaly_correlation")
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
def draw_lead_time(by_case: pd.DataFrame, cases: Cases, path: Path) -> Path:
    """Mean over cases of each error (`cases.csv`), and the middle 80 % of the cases as a band.

    A row for each number of observed frames.
    """
    settings = list(by_case.groupby("observed_frames"))
    figure = new_figure(10.5, 0.7 + 2.9 * len(settings))
    panels = figure.subplots(len(settings), len(SHOWN), squeeze=False)
    per_frame = cases.lead_time[0]
    even = np.allclose(cases.lead_time, per_frame * np.arange(1, cases.horizon + 1))
    for row, (line, (_, rows)) in enumerate(zip(panels, settings, strict=True)):
        for axes, metric in zip(line, SHOWN, strict=True):
            _draw_methods(axes, rows, metric, (0.1, 0.9))
            if even and per_frame > 0 and row == 0:
                above = axes.secondary_xaxis("top", functions=(lambda x: x * per_frame, lambda x: x / per_frame))
                above.set_xlabel(with_unit("lead time", cases.lead_units), fontsize=8)
        if len(settings) > 1:
            line[0].set_title(_setting(rows), loc="left")
    title = f"mean of {rows['case'].nunique()} cases; bands: the middle 80 % of cases"
    who = f"{by_case['data_set'].iloc[0]}, {by_case['num_sensors'].iloc[0]} sensors"
    who = who if len(settings) > 1 else _setting(by_case)
    figure.suptitle(f"{who}, seed {by_case['seed'].iloc[0]}: {title}", fontsize=10)
    _legend_below(figure, panels[0, 0])
    return save(figure, path)


@styled
def draw_lead_time_over_seeds(forecast: pd.DataFrame, path: Path) -> Path:
    """Mean over seeds of each error (`tables/forecast.csv`), and their range as a band.

    A row for each data set, number of sensors and number of observed frames.
    """
    table = forecast[(forecast["channel"] == ALL) & forecast["metric"].isin(SHOWN)]
    # Columns as in cases.csv: one a metric
    wide = table.pivot(
        index=["data_set", "num_sensors", "observed_frames", "seed", "method", "lead_time"],
        columns="metric",
        values="value",
    )
    settings = list(wide.groupby(level=["data_set", "num_sensors", "observed_frames"], sort=True))
    figure = new_figure(10.5, 0.7 + 2.9 * len(settings))
    panels = figure.subplots(len(settings), len(SHOWN), squeeze=False)
    for line, (_, rows) in zip(panels, settings, strict=True):
        rows = rows.reset_index()
        for axes, metric in zip(line, SHOWN, strict=True):
            _draw_methods(axes, rows, metric, (0, 1))
        seeds = rows["seed"].nunique()
        line[0].set_title(f"{_setting(rows)}, {seeds} seed{'s' if seeds > 1 else ''}", loc="left")
    figure.suptitle("mean over seeds; bands: smallest and largest of the seeds", fontsize=10)
    _legend_below(figure, panels[0, 0])
    return save(figure, path)


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
    observed = table["observed_frames"].iloc[0]
    more = f", {observed} observed frames" if observed > 1 else ""
    return f"{table['data_set'].iloc[0]}, {table['num_sensors'].iloc[0]} sensors{more}"


def _legend_below(figure: Figure, axes: Axes, columns: int = 6) -> None:
    """One legend for the whole figure, under its panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, max(len(labels), 1)))


# ------------------------------------------------------------------------------------------------ spectra


@styled
def draw_spectra(spectra: pd.DataFrame, kind: Spectrum, energy_unit: str, path: Path) -> Path:
    """Spectra of all methods and of the truth at the first, a middle and the last lead time; or why there are none.

    Of the table ``spectra.csv``; `energy_unit` is empty where channels of different units were added.
    """
    if kind.missing:
        figure = new_figure(5.6, 2.0)
        figure.text(0.5, 0.5, f"{kind.data.name} has no energy spectrum: {kind.missing}", ha="center", va="center")
        return save(figure, path)
    last = int(spectra["lead_time"].max())
    leads = sorted({1, (last + 1) // 2, last})
    figure = new_figure(3.4 * len(leads) + 0.6, 3.6)
    panels = figure.subplots(1, len(leads), sharey=True, squeeze=False)[0]
    for lead, axes in zip(leads, panels, strict=True):
        at_lead = spectra[spectra["lead_time"] == lead]
        for rank, method in enumerate(in_usual_order(at_lead["method"])):
            rows, style = at_lead[at_lead["method"] == method], method_style(method, rank)
            look = {"color": style.colour, "label": style.label, "linewidth": 2.4 if method == "truth" else 1.4}
            axes.loglog(rows["wavenumber"], rows["energy"], style.line, **look)
        _mark_bands(axes, np.sort(spectra["wavenumber"].unique()))
        axes.set_title(f"lead {lead}")
        axes.set_xlabel(kind.label)
    # Below a billionth of the truth's largest energy there is rounding only.
    true = spectra.loc[spectra["method"] == "truth", "energy"]
    panels[0].set_ylim(max(float(true.min()) / 10, float(true.max()) * 1e-9), float(true.max()) * 5)
    energy = "energy in the shell" if kind.longitude is None else "energy of the wave"
    panels[0].set_ylabel(with_unit(energy, energy_unit))
    _legend_below(figure, panels[0], columns=7)
    return save(figure, path)


def _mark_bands(axes: Axes, wavenumber: np.ndarray[Any, Any]) -> None:
    """Names of the bands of wavenumbers that scores are taken over, and lines between them."""
    bands = wavenumber_bands(wavenumber)
    for edge in np.flatnonzero(np.diff(bands)):
        axes.axvline(np.sqrt(wavenumber[edge] * wavenumber[edge + 1]), color="0.6", linewidth=0.8, linestyle=":")
    for band, name in enumerate(BANDS):
        inside = wavenumber[bands == band]
        if len(inside):
            centre = np.sqrt(inside[0] * inside[-1])
            axes.text(centre, 0.98, name, transform=axes.get_xaxis_transform(), ha="center", va="top", color="0.4")


# ------------------------------------------------------------------------------------------------ calibration


@styled
def draw_calibration(calibration: pd.DataFrame, unit: str, path: Path) -> Path:
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
    figure = new_figure(10.5, 3.3)
    left, middle, right = figure.subplots(1, 3)
    members = int(ranks["rank"].max())
    if len(spread):
        corrected = np.sqrt((members + 1) / members) * spread["value"]
        left.plot(skill["lead_time"], skill["value"], color="#D55E00", marker="o", label="skill: RMSE of the mean")
        left.plot(spread["lead_time"], corrected, color="#0072B2", marker="s", label=r"spread $\sqrt{(M+1)/M}$")
        left.set_ylim(0)
        left.legend()
        middle.plot(ratio["lead_time"], ratio["value"], color="#0072B2", marker="o", zorder=3)
        for rank, method in enumerate(in_usual_order(others["method"])):
            rows, style = others[others["method"] == method], method_style(method, rank)
            look = {"color": style.colour, "linewidth": 0.9, "label": style.label}
            middle.plot(rows["lead_time"], rows["value"], style.line, **look)
        if len(others):
            middle.legend(fontsize=7)
        middle.axhline(1, **REFERENCE)
        middle.set_ylim(0, max(1.3, 1.1 * float(ratio["value"].max())))
        middle.text(0.98, 0.03, "overconfident", transform=middle.transAxes, ha="right", va="bottom", color="0.4")
    left.set_ylabel(with_unit("spread, skill", unit))
    middle.set_ylabel("spread / skill")
    for axes in (left, middle):
        axes.set_xlabel("lead time (frames)")

    frequency = ranks.groupby("rank")["value"].mean()
    right.bar(frequency.index, frequency, 0.9, color="#56B4E9", label="all lead times")
    for lead, colour in ((ranks["lead_time"].min(), "#009E73"), (ranks["lead_time"].max(), "#D55E00")):
        rows = ranks[ranks["lead_time"] == lead]
        right.plot(rows["rank"], rows["value"], color=colour, marker="o", linewidth=1, label=f"lead {lead}")
    right.axhline(1 / (members + 1), **REFERENCE | {"color": "0.2", "label": "reliable"})
    right.set_xticks(range(0, members + 1, max(1, (members + 1) // 10)))
    right.grid(visible=False, axis="x")
    right.set_xlabel(f"rank of the truth among {members} members")
    right.set_ylabel("frequency")
    right.legend()
    return save(figure, path)


# ------------------------------------------------------------------------------------------------ chain of errors


@styled
def draw_chain(chain: pd.DataFrame, path: Path) -> Path:
    """Relative L2 of every link (`chain.csv`): bars for the mean over the forecast frames, dots for each lead time."""
    table = chain[(chain["channel"] == ALL) & (chain["metric"] == "relative_l2") & (chain["lead_time"] > 0)]
    last = int(table["lead_time"].max())
    links = in_usual_order(table["link"], LINKS)
    figure = new_figure(1.5 + 1.2 * len(links), 3.8)
    axes = figure.subplots()
    look = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}
    for place, link in enumerate(links):
        values = table[table["link"] == link].sort_values("lead_time")
        mean = values["value"].mean()
        axes.bar(place, mean, 0.7, color=LINK_COLOURS[link])
        across = place + 0.6 * (values["lead_time"] - (1 + last) / 2) / max(last - 1, 1)
        axes.plot(across, values["value"], color="0.1", marker="o", markersize=2, linewidth=1)
        axes.annotate(f"{mean:.3f}", (place, 0), (0, 10), textcoords="offset points", ha="center", bbox=look)
    axes.set_xticks(range(len(links)), [LINKS[link].replace(" ", "\n") for link in links])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(METRICS["relative_l2"])
    title = f"all on the same frames; bars: mean of leads 1 to {last}; dots: lead 1 (left) to {last}"
    axes.set_title(title, loc="left")
    return save(figure, path)


# ------------------------------------------------------------------------------------------------ codebook


@styled
def draw_codebook(codes_path: Path, use: pd.DataFrame, split: Split, path: Path) -> Path:
    """Left: share of the tokens that each code of the sparse encoder has, by rank. Right: perplexity of each level.

    Of ``codes.h5`` and of the table ``codebook.csv``, for the training split and for `split`.
    """
    with open_codes(codes_path) as file:
        positions, levels, codes, _ = codebook_in(file).shape
        splits = read_dataset(file, "split", (None,))
        indices = file["sparse"][0]  # (T, F, P, Q)
    figure = new_figure(10.5, 3.6)
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
    left.set_xlim(0, codes + 1)
    left.set_xlabel("code, by decreasing use", labelpad=2)
    left.set_ylabel("share of tokens")
    left.set_title(f"sparse encoder; solid: training split, dashed: {SPLITS[split]} split", loc="left")
    left.legend()
    _draw_perplexity(right, use, split, codes)
    right.set_xticks(range(1, levels + 1))
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=4)
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
