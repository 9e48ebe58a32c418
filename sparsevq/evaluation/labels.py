"""How methods, links and metrics are called and drawn: the one place, so that all tables and figures agree."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from sparsevq.config.networks import ORACLES as ORACLE_NAMES

MOST_NAMED = 4
"""Channels that a title names one by one."""


class MethodStyle(NamedTuple):
    """Name and look of a method."""

    label: str
    colour: str
    line: str
    marker: str


# Colours of Okabe & Ito (2008), which differ for every kind of colour vision.
METHODS = {
    "truth": MethodStyle("truth", "#000000", "-", ""),
    "sparsevq": MethodStyle("sparsevq (ensemble mean)", "#0072B2", "-", "o"),
    "sparsevq_member": MethodStyle("sparsevq (one member)", "#56B4E9", "--", "s"),
    "persistence": MethodStyle("persistence", "#E69F00", "-.", "v"),
    "climatology": MethodStyle("climatology", "#7F7F7F", ":", "^"),
    "pod_dmd": MethodStyle("gappy POD + DMD", "#009E73", "-", "D"),
    "ridge": MethodStyle("ridge regression", "#CC79A7", "-", "P"),
    "fno": MethodStyle("FNO rollout", "#D55E00", "-", "X"),
    "unet": MethodStyle("U-Net rollout", "#882255", "-", "h"),
    "voronoi_fno": MethodStyle("Voronoi + FNO rollout", "#D55E00", "--", "x"),
    "voronoi_unet": MethodStyle("Voronoi + U-Net rollout", "#882255", "--", "*"),
    "senseiver": MethodStyle("Senseiver", "#332288", "-", "p"),
    "shred": MethodStyle("SHRED (given a history)", "#117733", "--", "d"),
    "continuous_frames": MethodStyle("ours without codes, whole frames", "#AA4499", ":", ">"),
    "continuous": MethodStyle("ours without codes", "#AA4499", "-", "<"),
    "outlook": MethodStyle("our regression alone", "#0072B2", ":", "3"),
    "dense_fno": MethodStyle("oracle: FNO, dense first frame", "#D55E00", ":", "1"),
    "dense_unet": MethodStyle("oracle: U-Net, dense first frame", "#882255", ":", "2"),
}
_OTHERS = ("#999933", "#F0E442")

OURS = ("sparsevq", "sparsevq_member")
"""All other methods are baselines, oracles, or parts of it."""

ORACLES = tuple(ORACLE_NAMES)
"""They see what no sensors can: in tables for comparison, never the best of anything."""

PARTS = ("continuous", "outlook")
"""Parts of sparsevq, its regression among them: what the others add is how much it is better than these."""

NO_BASELINES = (*OURS, *ORACLES, *PARTS)

# First two that no training made.
LINKS = {
    "linear_estimate": "linear estimate",
    "rate_distortion_bound": "rate-distortion bound",
    "teacher_reconstruction": "teacher reconstruction",
    "sparse_reconstruction": "sparse reconstruction",
    "quantized_teacher_reconstruction": "quantized teacher reconstruction",
    "quantized_reconstruction": "quantized reconstruction",
    "forecast": "forecast",
    "forecast_teacher_prompt": "forecast, teacher's prompt",
}

METRICS = {
    "relative_l2": "relative L2 error",
    "relative_l2_anomalies": "error of anomalies",
    "vrmse": "VRMSE",
    "crps": "CRPS",
    "anomaly_correlation": "anomaly correlation",
    "correlation_time": "correlation time (frames)",
}


def in_usual_order(names: Iterable[str], order: Iterable[str] = METHODS) -> list[str]:
    """Each name once: those of `order` in that order, others after them by name."""
    place = {name: index for index, name in enumerate(order)}
    return sorted(set(names), key=lambda name: (place.get(name, len(place)), name))


def method_style(method: str, rank: int = 0) -> MethodStyle:
    """Name and look of a method; one that is not known here is called by its own name and takes a spare colour."""
    return METHODS.get(method) or MethodStyle(method, _OTHERS[rank % len(_OTHERS)], "-", "x")


def run_title(table: pd.DataFrame, channels: Sequence[str]) -> str:
    """Which run a figure is of: data set, sensors, seed and channels; `table` is any of the run's."""
    first = table.iloc[0].to_dict()
    return f"{sensors_title(first)}, seed {first['seed']}; {channels_title(channels)}"


def sensors_title(keys: Mapping[Any, Any]) -> str:
    """Data set and sensors, with their placement where an experiment has several."""
    placement = f" ({keys['placement']})" if "placement" in keys else ""
    return f"{keys['data_set']}, {keys['num_sensors']} sensors{placement}"


def channels_title(channels: Sequence[str]) -> str:
    """The channels that errors are of, as titles name them."""
    if len(channels) > MOST_NAMED:
        return f"{len(channels)} channels"
    return f"channel{'s' * (len(channels) > 1)} {', '.join(channels)}"
