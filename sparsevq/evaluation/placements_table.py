"""Placements of sensors side by side, where an experiment has several: what each gives from readings to forecast."""

import pandas as pd

from sparsevq.evaluation.scores import ENSEMBLE
from sparsevq.evaluation.table_files import markdown
from sparsevq.evaluation.table_texts import forecasts_of, over_seeds, setting_of, texts_of, title_of

LINKS = ("linear_estimate", "sparse_reconstruction", "quantized_reconstruction")
"""Links of the chain of errors that have a column."""
FORECAST = ("relative_l2", "relative_l2_anomalies", "crps", "ratio_to_best_baseline")
REFERENCE = "random"


def placements_table(summary: pd.DataFrame, chain: pd.DataFrame | None) -> pd.DataFrame:
    """A row a placement and seed: errors of the linear estimate, of the reconstructions and of the forecast.

    Parameters
    ----------
    summary
        A row a method and run, as in ``summary.csv`` before seeds are averaged.
    chain
        The same of links; None: there is none.

    Returns
    -------
    With ``ratio_to_random``, of the forecast's error to that from random places with the same seed, if there are any.
    """
    keys = forecasts_of(summary)
    ours = summary[summary["method"] == ENSEMBLE]
    found = ours[[*keys, *(name for name in FORECAST if name in ours)]].copy()
    for place, link in enumerate(LINKS if chain is not None else ()):
        assert chain is not None
        of_link = chain.loc[chain["link"] == link, [*keys, "relative_l2"]].rename(columns={"relative_l2": link})
        if len(of_link):
            found = found.merge(of_link, on=keys, how="left")
            found.insert(len(keys) + place, link, found.pop(link))
    others = [name for name in keys if name != "placement"]
    random = found.loc[found["placement"] == REFERENCE, [*others, "relative_l2"]].rename(columns={"relative_l2": "to"})
    if len(random):
        found = found.merge(random, on=others, how="left")
        found["ratio_to_random"] = found["relative_l2"] / found.pop("to")
    return found.dropna(axis=1, how="all").sort_values(keys, ignore_index=True)


def placements_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds, side by side."""
    mean, std, seeds = over_seeds(table, [])
    columns = {"seeds": seeds}
    for name in mean:
        columns[f"{name}_mean"], columns[f"{name}_std"] = mean[name], std[name]
    return pd.DataFrame(columns).reset_index()


def placements_markdown(table: pd.DataFrame) -> str:
    """One table for each data set, number of sensors and of observed frames: a row a placement."""
    mean, std, seeds = over_seeds(table, [])
    names = [name for name in setting_of(table) if name != "placement"]
    parts = []
    for setting, means in mean.groupby(level=names, sort=False):
        count = int(seeds[means.index].max())
        texts = texts_of(means, std)
        texts.index = pd.Index(means.index.get_level_values("placement"), name="placement")
        parts.append(f"### {title_of(names, setting)}, {count} seed{'s' if count > 1 else ''}\n\n{markdown(texts)}")
    return "\n".join(parts)
