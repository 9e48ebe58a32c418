"""What rounding costs: forecasts of held-out trajectories by a run and by the small packed run made of it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sparsevq.config import Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.evaluation import metrics
from sparsevq.forecasting.model import Asked, ForecastModel, load_forecast_model, seen_of_frames
from sparsevq.runs.run import Run

TRAJECTORIES = 16
"""Test trajectories, at most, spread evenly over those that there are."""
STARTS = 2
"""Last observed frames of each, evenly spaced."""
MEMBERS = 16
"""Of each ensemble."""


@dataclass(frozen=True)
class PackingLoss:
    """Means over forecasts, and over lead times from 1 on.

    Attributes
    ----------
    forecasts, frames, members
        How many forecasts, of so many frames, by so many members.
    error, error_packed
        Relative L2 of anomalies of the mean, all channels.
    crps, crps_packed
        Fair CRPS, all channels, in the fields' unit (with several units over the training standard deviations).
    """

    forecasts: int
    frames: int
    members: int
    error: float
    error_packed: float
    crps: float
    crps_packed: float

    def lines(self) -> list[str]:
        """For people."""
        found = [
            f"{self.forecasts} forecasts of test trajectories, {self.frames} frames, {self.members} members, "
            "as trained and packed:"
        ]
        pairs = {
            "relative L2 (anomalies)": (self.error, self.error_packed),
            "CRPS": (self.crps, self.crps_packed),
        }
        for name, (trained, packed) in pairs.items():
            found.append(f"  {name} {trained:.4g}, {packed:.4g} ({100 * (packed / trained - 1):+.1f} %)")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON, six digits."""
        return {
            name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in asdict(self).items()
        }


def packing_loss(run: Run, small: Run, members: int = MEMBERS) -> PackingLoss:
    """Forecast the same frames of the test split by both, from one observed frame and from as many as they know.

    The lead times are those that the run was trained for; the draws have one seed.

    Parameters
    ----------
    run
        A run with its data set.
    small
        What was made of it.

    Raises
    ------
    SparseVQError
        A file is missing or damaged, or there is no test trajectory that is long enough.
    """
    data = run.data
    scored = [_scores(one, data, members) for one in (run, small)]
    (error, crps), (error_packed, crps_packed) = (np.mean(one, axis=0).tolist() for one in scored)
    frames = _frames(load_forecast_model(small, torch.device("cpu")))
    return PackingLoss(len(scored[0]), frames, members, error, error_packed, crps, crps_packed)


@torch.no_grad()
def _scores(run: Run, data: FieldData, members: int) -> list[tuple[float, float]]:
    """Error and CRPS of each forecast."""
    model = load_forecast_model(run, torch.device("cpu"))
    fields = DeviceFields(data, Symmetries(), model.device, model.teacher.basis)
    frames, scale = _frames(model), data.joint_scale
    basis = model.teacher.basis
    climatology = np.broadcast_to((data.mean if basis is None else basis.mean) / scale, data.flat_fields.shape[2:])
    found = []
    for trajectory, start, observed in _cases(data, model):
        seen = seen_of_frames(model, fields, trajectory, start, observed)
        drawn = model.generate(seen, Asked(frames, members, model.temperature, 0, 0, model.network)).case(0)
        valid = data.flat_mask[trajectory]
        truth = data.flat_fields[trajectory, start + 1 : start + frames + 1][:, valid] / scale
        best = (model.mean(drawn, fields)[1:].numpy() / scale)[:, valid]
        ensemble = (model.ensemble(drawn, fields, observed)[:, 1:].numpy() / scale)[:, :, valid]
        weights = data.weights[valid]
        error = metrics.relative_l2_anomalies(best, truth, climatology[valid], weights)
        crps = [metrics.fair_crps(metrics.rank(ensemble[:, lead]), truth[lead], weights) for lead in range(frames)]
        found.append((float(error[:, -1].mean()), float(np.mean(crps, axis=0)[-1])))
    return found


def _frames(model: ForecastModel) -> int:
    return model.gpt.config.leads - 1


def _cases(data: FieldData, model: ForecastModel) -> Iterator[tuple[int, int, int]]:
    """Trajectory, last observed frame and number of observed frames."""
    most, frames = model.gpt.config.observed_frames, data.fields.shape[1]
    held_out, last = data.trajectories("test"), frames - 1 - _frames(model)
    if not len(held_out) or last < most - 1:
        raise SparseVQError(
            f"{data.name} has no test trajectory of {most + _frames(model)} frames", "the loss cannot be measured"
        )
    for trajectory in held_out[_spread(len(held_out), TRAJECTORIES)].tolist():
        for start in (most - 1 + _spread(last - most + 2, STARTS)).tolist():
            for observed in sorted({1, most}):
                yield trajectory, start, observed


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))
