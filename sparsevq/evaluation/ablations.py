"""What each variant of a run costs or gains beside the base run: one row a variant, on the same cases."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from sparsevq.config.variants import BASE
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.costs import cost_of_parts
from sparsevq.evaluation.intervals import Interval, Resampled, errors_by_trajectory
from sparsevq.evaluation.labels import LINKS, method_style
from sparsevq.evaluation.scores import ENSEMBLE
from sparsevq.evaluation.table_files import latex, markdown, write_csv, write_text
from sparsevq.evaluation.table_texts import forecasts_of, number, over_seeds, run_of, setting_of, title_of
from sparsevq.evaluation.tables import chain_summary, stacked, summarize
from sparsevq.runs.lineage import model_header

CONTROLS = ("continuous", "continuous_frames", "outlook")
"""Methods of the base run that stand beside its variants, under their labels: those that leave the codes out."""
COMPARED = {"relative_l2_anomalies": "anomalies", "crps": "crps"}
"""Errors whose difference to the base run's is told -> its column is ``difference_<...>``."""
OF_CHAIN = (
    "teacher_reconstruction",
    "sparse_reconstruction",
    "quantized_teacher_reconstruction",
    "quantized_reconstruction",
)
"""Links of the chain of errors that have a column."""
HEADINGS = {
    "bits": "bits a frame",
    "relative_l2_anomalies": "error of anomalies",
    "difference_anomalies": "anomalies, to base",
    "crps": "CRPS",
    "difference_crps": "CRPS, to base",
    "spread_skill_ratio": "spread / skill",
    **{link: LINKS[link].removesuffix(" reconstruction") for link in OF_CHAIN},
    "parameters": "parameters",
    "training_seconds": "seconds",
}


@dataclass(frozen=True)
class EvaluatedRun:
    """A run or a variant's: its tables, and its models, some of which may be the base run's.

    Attributes
    ----------
    tables
        Each of `TABLES` -> its CSV file.
    models
        Part (`sparsevq.runs.run.PARTS`) -> its model file.
    """

    TABLES: ClassVar[tuple[str, ...]] = ("scores", "cases", "chain", "calibration")

    tables: Mapping[str, Path]
    models: Mapping[str, Path]


def tabulate_ablations(runs: Sequence[EvaluatedRun], out_dir: Path) -> None:
    """Write ``ablations.csv``, ``ablations.md`` and ``ablations.tex``: a table for each setting, a row a variant.

    The columns are those of `ablations`. In texts a difference is bold where its interval does not hold 0.

    Raises
    ------
    SparseVQError
        A table or a model is missing or damaged, or there is no base run.
    """
    table, differences = ablations(runs)
    write_csv(out_dir / "ablations.csv", _numbers(table, differences))
    markdowns, latexes = [], []
    names = [name for name in setting_of(table) if name != "variant"]
    for setting, rows in table.groupby(names, sort=False):
        texts, bold = _texts(rows, differences)
        seeds = rows["seed"].nunique()
        title = f"{title_of(names, setting)}, {seeds} seed{'s' if seeds > 1 else ''}"
        markdowns.append(f"### {title}\n\n{markdown(texts.mask(bold, '**' + texts + '**'))}")
        latexes.append(f"% {title}\n{latex(texts, bold)}")
    write_text(out_dir / "ablations.md", "\n".join(markdowns))
    write_text(out_dir / "ablations.tex", "\n".join(latexes))


def ablations(runs: Sequence[EvaluatedRun]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors, calibration, links of the chain of errors and costs of each run, and differences to the base run.

    Parameters
    ----------
    runs
        The base runs and their variants, of any settings and seeds.

    Returns
    -------
    A row a setting, variant and seed: ``bits`` a frame, ``relative_l2_anomalies`` and ``crps`` (means over lead times
    from 1 on), ``spread_skill_ratio``, relative L2 of `OF_CHAIN`; ``parameters``, the numbers that its models keep,
    weights and examples alike; ``training_seconds``, wall time of the jobs that made its models, shared ones too. And
    a row a setting and variant: ``difference_...``, mean over seeds and cases of the error less that of the base run on
    the same case, with the ends ``..._low`` and ``..._high`` of a 95 % confidence interval over trajectories.
    `CONTROLS` of the base run are variants too, without codes.

    Raises
    ------
    SparseVQError
        As of `tabulate_ablations`.
    """
    tables = {name: _named(stacked([run.tables[name] for run in runs])) for name in EvaluatedRun.TABLES}
    for name in ("scores", "cases", "calibration"):
        tables[name] = _as_variants(tables[name])
    if BASE not in set(tables["scores"]["variant"]):
        raise SparseVQError("there is no base run to compare variants with", "evaluate the run without changes too")
    table = summarize(tables["scores"], tables["calibration"])
    keys = forecasts_of(table)
    wanted = [*COMPARED, "spread_skill_ratio"]
    table = table[[*keys, *(name for name in wanted if name in table)]]
    links = chain_summary(tables["chain"]).pivot(index=keys, columns="link", values="relative_l2")
    links = links.reindex(columns=list(OF_CHAIN)).reset_index()
    costs = pd.concat([_costs(run) for run in runs], ignore_index=True)
    table = table.merge(links, on=keys, how="left").merge(costs, on=run_of(table), how="left")
    labels = [method_style(name).label for name in CONTROLS]
    variants = list(dict.fromkeys([BASE, *(name for run in runs for name in _variants_in(run)), *labels]))
    table = table.sort_values(
        keys,
        key=lambda values: values.map(variants.index) if values.name == "variant" else values,
        ignore_index=True,
    )
    return table, _differences(tables["cases"])


# ------------------------------------------------------------------------------------------------ what is in the rows


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With the variant of each row, before its seed; a base run does not name it."""
    table = table.copy()
    variant = table.pop("variant").fillna(BASE) if "variant" in table else pd.Series(BASE, index=table.index)
    table.insert(list(table).index("seed"), "variant", variant)
    return table


def _variants_in(run: EvaluatedRun) -> list[str]:
    return list(_named(stacked([run.tables["scores"]]))["variant"].unique())


def _as_variants(table: pd.DataFrame) -> pd.DataFrame:
    """Ours of every run, and the controls of the base run as if they were variants of it."""
    control = table["method"].isin(CONTROLS) & (table["variant"] == BASE)
    table = table[(table["method"] == ENSEMBLE) | control].copy()
    named = table["method"].map({name: method_style(name).label for name in CONTROLS})
    table["variant"] = named.fillna(table["variant"])
    table["method"] = ENSEMBLE
    return table


def _costs(run: EvaluatedRun) -> pd.DataFrame:
    """One row: which run, bits a frame, numbers in its models, seconds that making them took."""
    scores = _named(stacked([run.tables["scores"]]))
    found: dict[str, Any] = {name: scores[name].iloc[0] for name in run_of(scores)}
    cost, tokenizer = cost_of_parts(list(run.models.values())), run.models["tokenizer"]
    shape = model_header(tokenizer)[0].get("shape", {})
    if not {"tokens_per_frame", "quantizer", "num_quantizers", "num_vq_embeddings"} <= shape.keys():
        raise SparseVQError(f"{tokenizer} is no tokenizer of sparsevq", "train it again")
    levels = shape["num_quantizers"] if shape["quantizer"] == "rvq" else 1
    found["bits"] = shape["tokens_per_frame"] * levels * math.log2(shape["num_vq_embeddings"])
    return pd.DataFrame([found | {"parameters": cost.parameters, "training_seconds": cost.seconds}])


def _differences(cases: pd.DataFrame) -> pd.DataFrame:
    """A row a setting and variant; nothing is told of those that have no case in common with the base run."""
    settings = [name for name in setting_of(cases) if name != "variant"]
    same = [*settings, "seed", "trajectory", "start_frame", "lead_time"]
    rows = []
    for setting, of_setting in cases.groupby(settings, sort=False):
        base = of_setting[of_setting["variant"] == BASE]
        for variant in of_setting["variant"].unique():
            other = of_setting[of_setting["variant"] == variant].merge(base[same], on=same)
            if variant == BASE or not len(other):
                continue
            both = pd.concat([base.merge(other[same], on=same), other])
            errors = errors_by_trajectory(
                both.assign(method=both["variant"]), {name: (name, None) for name in COMPARED}
            )
            row: dict[str, Any] = dict(zip(settings, setting, strict=True)) | {"variant": variant}
            for name, quantity in COMPARED.items():
                if name in errors:
                    of = Resampled(errors[name])
                    row[f"difference_{quantity}"] = of.mean[variant] - of.mean[BASE]
                    low, high = of.difference(variant, BASE)
                    row |= {f"difference_{quantity}_low": low, f"difference_{quantity}_high": high}
            rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else [*settings, "variant"])


# ------------------------------------------------------------------------------------------------ as files


def _numbers(table: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds side by side, and the differences."""
    mean, std, seeds = over_seeds(table, [])
    columns = {"seeds": seeds}
    for name in mean:
        columns[f"{name}_mean"] = mean[name]
        if name in COMPARED:
            columns[f"{name}_std"] = std[name]
    found = pd.DataFrame(columns).reset_index()
    return found.merge(differences, on=setting_of(found), how="left").dropna(axis=1, how="all")


def _texts(rows: pd.DataFrame, differences: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells of one setting as people read them, and which are bold; by variant."""
    mean, std, _ = over_seeds(rows, [])
    keys = mean.index.names
    differing = differences.set_index(keys).reindex(mean.index) if len(differences) else pd.DataFrame(index=mean.index)
    texts, bold = {}, {}
    for name in (name for name in HEADINGS if name in (*mean, *differing)):
        if name in differing:
            ends = zip(differing[name], differing[f"{name}_low"], differing[f"{name}_high"], strict=True)
            cells = [(value, Interval(low, high)) for value, low, high in ends]
            texts[name] = [_difference(value, interval) for value, interval in cells]
            bold[name] = [not interval.holds_zero for _, interval in cells]
        else:
            whole = name in ("bits", "parameters", "training_seconds")
            texts[name] = [_whole(value) for value in mean[name]] if whole else list(map(number, mean[name], std[name]))
            bold[name] = [False] * len(mean)
    index = pd.Index(mean.index.get_level_values("variant"), name="variant")
    found, strong = pd.DataFrame(texts, index=index), pd.DataFrame(bold, index=index)
    found.columns = [HEADINGS[str(name)] for name in found]
    return found, strong.set_axis(found.columns, axis=1)


def _whole(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f}"


def _difference(value: float, interval: Interval) -> str:
    """A difference with its sign and the ends of its interval, all to the same decimal."""
    if math.isnan(value):
        return ""
    ends = [] if np.isnan(interval).any() else list(interval)
    largest = max(abs(each) for each in (value, *ends))
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 6) if largest else 2
    told = f"{value:+.{decimals}f}"
    return f"{told} ({ends[0]:+.{decimals}f} to {ends[1]:+.{decimals}f})" if ends else told
