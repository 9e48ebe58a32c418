"""How a run's model is entered in MLflow: its names, what is said of it, and how good it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sparsevq.data.field_data import Description
from sparsevq.runtime.files import digest
from sparsevq.runtime.tracking.models import Entry
from sparsevq.version import VERSION

SCORES = ("crps", "relative_l2", "relative_l2_anomalies")
"""Metrics of a model, the smaller the better; by the first the best version is found."""


@dataclass(frozen=True)
class Which:
    """Which run of an experiment."""

    experiment: str
    data_set: str
    num_sensors: int
    seed: int
    placement: str = ""

    @property
    def registered(self) -> str:
        """Name of the registered model, whose versions are the runs of an experiment on one data set."""
        return f"{self.experiment}-{self.data_set}".replace("/", "-").replace(":", "-")

    @property
    def alias(self) -> str:
        """Of the latest version of this run."""
        return "-".join(filter(None, (f"n{self.num_sensors}", self.placement, f"seed{self.seed}")))


def entry_of(folder: Path, which: Which, data: Description, metrics: Mapping[str, float]) -> Entry:
    """The entry of the model in a folder that `sparsevq.serving.model.write_model` wrote.

    Parameters
    ----------
    data
        The data set, for its channels.
    metrics
        How good its forecasts are (`metrics_of`).
    """
    units = zip(data.channels, data.units, strict=True)
    channels = ", ".join(f"{name} ({unit})" if unit not in ("", "1") else name for name, unit in units)
    uri = f"models:/{which.registered}@{which.alias}"
    about = (
        f"Forecasts of **{which.data_set}**: {channels}, from the readings of a few sensors. A version is the run of "
        f"one number of sensors and one seed of the experiment {which.experiment}; the alias `n20-seed1` is the latest "
        "of the run with 20 sensors and seed 1, `best` that with the smallest error on the test split."
    )
    note = (
        f"Trained for {which.num_sensors} sensors with seed {which.seed}. Readings of other sensors, fewer or more, "
        f"are taken too.\n\n    mlflow models serve -m {uri} --env-manager local\n\n"
        f'    sparsevq.load("{uri}").forecast("readings.csv")'
    )
    tags = {"data_set": which.data_set, "num_sensors": str(which.num_sensors), "seed": str(which.seed)}
    tags |= {"placement": which.placement} if which.placement else {}
    return Entry(
        registered=which.registered,
        about=about,
        name=f"{which.data_set}-{which.alias}",
        content=f"{digest(folder / 'artifacts')[:32]} {VERSION}",
        alias=which.alias,
        note=note,
        tags={**tags, "sparsevq_version": VERSION},
        metrics=metrics,
        score=f"error/{SCORES[0]}",
    )


def metrics_of(scores: Path) -> dict[str, float]:
    """Error of a run's forecasts on the test split, by its ``scores.csv``: of all channels, mean over lead times.

    Of forecasts from the fewest observed frames; named as the metrics of its parent run are.
    """
    table = pd.read_csv(scores).query("method == 'sparsevq' and channel == 'all' and lead_time > 0")
    table = table[table["observed_frames"] == table["observed_frames"].min()]
    means = table.groupby("metric")["value"].mean()
    return {f"error/{name}": float(means[name]) for name in SCORES if name in means}
