"""What each method took: parameters, wall time, optimizer steps, device; of sparsevq the sums over its parts."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from sparsevq.baselines.cost import Cost
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.labels import in_usual_order, method_style
from sparsevq.evaluation.table_files import markdown, write_csv
from sparsevq.evaluation.table_texts import setting_of, title_of

COLUMNS = ("parameters", "seconds", "steps")


def cost_of_parts(models: Sequence[Path]) -> Cost:
    """Of sparsevq: of all its parts together.

    Wall times are those that Snakemake has noted in the run's ``benchmarks``, of the last attempt of each job; NaN
    where it has not.

    Parameters
    ----------
    models
        ``<run>/<part>/model.safetensors`` of each part.

    Raises
    ------
    SparseVQError
        A model can't be read.
    """
    parameters, steps, seconds, devices = 0, 0, 0.0, []
    for path in models:
        try:
            with safe_open(path, framework="np") as file:
                extra = json.loads((file.metadata() or {})["sparsevq"])["extra"]
                # names, since the file is no dictionary
                parameters += sum(math.prod(file.get_slice(name).get_shape()) for name in list(file.keys()))
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise SparseVQError(f"{path} is not a readable model file ({error})", "train it again") from None
        steps += int(extra.get("steps", 0))
        devices.append(str(extra.get("device", "")))  # models of earlier versions do not tell
        seconds += _seconds(path.parents[1] / "benchmarks" / f"{path.parent.name}.tsv")
    return Cost(parameters, seconds, steps, " ".join(dict.fromkeys(filter(None, devices))))


def _seconds(benchmark: Path) -> float:
    """Wall time of a job."""
    try:
        with open(benchmark, newline="") as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"])
    except (OSError, StopIteration, KeyError, ValueError):
        return math.nan


def write_costs(path: Path, identity: pd.DataFrame, costs: Mapping[str, Cost]) -> None:
    """The costs of a run's methods, ``costs.csv``; `identity`: one row with the columns that identify the run."""
    rows = pd.DataFrame([{"method": name, **asdict(cost)} for name, cost in costs.items()])
    write_csv(path, identity.merge(rows, how="cross"))


def costs_markdown(costs: pd.DataFrame) -> str:
    """A row a method, means over seeds."""
    parts = []
    names = [name for name in setting_of(costs) if name != "observed_frames"]
    for setting, rows in costs.groupby(names, sort=False):
        by_method = rows.groupby("method")
        means = by_method[list(COLUMNS)].mean()
        order = in_usual_order(means.index)
        means, device = means.loc[order], by_method["device"].first().fillna("").loc[order]
        texts = pd.DataFrame(
            {
                "parameters": [f"{count:,.0f}" for count in means["parameters"]],
                "seconds": ["" if np.isnan(time) else f"{time:.3g}" for time in means["seconds"]],
                "steps": [f"{steps:,.0f}" if steps else "" for steps in means["steps"]],
                "device": device.to_list(),
            },
            index=pd.Index([method_style(name).label for name in order], name="method"),
        )
        parts.append(f"### {title_of(names, setting)}\n\n{markdown(texts)}")
    return "\n".join(parts)
