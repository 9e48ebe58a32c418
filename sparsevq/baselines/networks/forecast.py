"""Forecasts of the trained baselines, and of the oracles that start their rollouts from the dense frame."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsevq.baselines.cost import read_cost
from sparsevq.baselines.networks.network import Network
from sparsevq.baselines.networks.registry import load_network
from sparsevq.baselines.networks.rollout import Rollout
from sparsevq.baselines.task import Array, BaselineForecast, Task
from sparsevq.baselines.validation import Windows, dressed
from sparsevq.errors import SparseVQError
from sparsevq.runtime.integrity import require_made_from

AT_ONCE = 8
"""Windows that are forecast together."""


def of_network(task: Task, path: Path, *, dense: bool = False) -> BaselineForecast:
    """Forecast with a trained network.

    Parameters
    ----------
    path
        Its model file.
    dense
        Start its rollout from the true, dense frame instead of the readings: an oracle.

    Raises
    ------
    SparseVQError
        The file is missing or damaged, the network has no rollout, or no case has as many observed frames as it needs.
    """
    network, file = load_network(path, task.data, task.basis, task.sparse, task.reads, torch.device(task.device))
    require_made_from(path, file.made_from, task.digests, f"baseline_network ({file.extra['network']})")
    if dense and not isinstance(network, Rollout):
        raise SparseVQError(f"{path} has no rollout to start from a dense frame", "leave its oracle out")
    cases, needed = task.cases, network.observed_frames
    given = cases.observed_frames >= needed
    if not given.any():
        raise SparseVQError(
            f"baseline {file.extra['network']} is given {needed} frames of readings, and no forecast has as many",
            f"add {needed} to forecast.observed_frames, or lower networks.{network.section}.observed_frames",
        )

    def forecast(windows: Windows, observed_frames: int) -> Iterator[Array]:
        yield from _forecasts(network, task, windows, dense)

    windows = Windows(cases.trajectory[given], cases.start_frame[given])
    fields = np.full((len(cases), cases.horizon + 1, *task.basis.mean.shape), np.nan, np.float32)
    for case, field in zip(np.flatnonzero(given), forecast(windows, needed), strict=True):
        fields[case] = field
    chosen = {"regularisation": float(file.extra["strength"]), "validation_relative_l2": _validated(file.extra)}
    ensemble = dressed(task, forecast, np.full(len(cases), needed))
    of = None if given.all() else tuple(np.unique(cases.observed_frames[given]).tolist())
    return BaselineForecast(fields, ensemble, chosen, cost=read_cost(path), observed_frames=of)


@torch.no_grad()
def _forecasts(network: Network, task: Task, windows: Windows, dense: bool) -> Iterator[Array]:
    """Fields ``(L + 1, N, C)`` float32 in physical units of each window."""
    horizon, scale, mean = task.cases.horizon, task.basis.scale, task.basis.mean
    for start in range(0, len(windows.trajectory), AT_ONCE):
        part = Windows(*(of[start : start + AT_ONCE] for of in windows))
        if dense:
            assert isinstance(network, Rollout)
            guess = network.forecast_from(_dense(task, part), horizon)
        else:
            readings = task.anomalies(*part, network.observed_frames)
            guess = network.forecast(torch.from_numpy(readings.astype(np.float32)).to(task.device), horizon)
        yield from guess.float().cpu().numpy() * scale + mean


def _dense(task: Task, windows: Windows) -> Tensor:
    """``(b, N, C)`` the true anomalies of the last observed frames, 0 where there is no field."""
    valid = task.data.flat_mask[windows.trajectory][..., None]
    fields = task.data.flat_fields[windows.trajectory, windows.start]
    return torch.from_numpy(np.where(valid, task.basis.normalised(fields), np.float32(0))).to(task.device)


def _validated(extra: dict[str, Any]) -> float:
    return float(extra["validation"]["val_loss"])
