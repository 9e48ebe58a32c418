"""Forecasts of the Transformers without codes: what quantization costs, or gains."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from sparsevq.baselines.cost import read_cost
from sparsevq.baselines.networks.continuous import ContinuousConfig, ContinuousTransformer
from sparsevq.baselines.networks.continuous_stage import forecast_coefficients
from sparsevq.baselines.networks.registry import KIND
from sparsevq.baselines.ridge import physical
from sparsevq.baselines.task import Array, BaselineForecast, Task
from sparsevq.baselines.validation import Windows, dressed
from sparsevq.errors import SparseVQError
from sparsevq.runtime.integrity import require_made_from
from sparsevq.runtime.model_file import load_model

AT_ONCE = 32
"""Windows that are forecast together."""


def of_control(task: Task, path: Path) -> BaselineForecast:
    """Forecast with a Transformer without codes, from the coefficients and readings of the run's index dump.

    It makes one forecast, no draws: as all baselines it is dressed with the errors that it makes on the validation
    split.

    Raises
    ------
    SparseVQError
        The model or the index dump is missing or damaged, or the one was not made from the other.
    """
    if task.run is None:
        raise SparseVQError(
            "evaluation.baselines: the continuous control is of a run's index dump, and there is no run",
            "leave it out, or give the run",
        )
    device, cases = torch.device(task.device), task.cases
    codes = task.run.codes(device)
    file = load_model(path, KIND, device=device)
    require_made_from(path, file.made_from, {"codes": codes.digest}, "baseline_continuous")
    module = ContinuousTransformer(ContinuousConfig(**file.shape)).to(device)
    file.restore(module)
    module.eval()

    def forecast(windows: Windows, observed_frames: int) -> Iterator[Array]:
        trajectory, start = (torch.from_numpy(np.asarray(part)).to(device) for part in windows)
        for rows in torch.arange(len(trajectory), device=device).split(AT_ONCE):
            found = forecast_coefficients(module, codes, trajectory[rows], start[rows], observed_frames, cases.horizon)
            for coefficients in found.cpu().numpy():
                yield physical(task.basis, coefficients)

    fields = np.empty((len(cases), cases.horizon + 1, *task.basis.mean.shape), np.float32)
    for count in map(int, np.unique(cases.observed_frames)):
        which = np.flatnonzero(cases.observed_frames == count)
        windows = Windows(cases.trajectory[which], cases.start_frame[which])
        for case, field in zip(which, forecast(windows, count), strict=True):
            fields[case] = field
    chosen = {"validation_relative_l2_coefficients": float(file.extra["validation"]["val_loss"])}
    ensemble = dressed(task, forecast, cases.observed_frames)
    return BaselineForecast(fields, ensemble, chosen, cost=read_cost(path))
