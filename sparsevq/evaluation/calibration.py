"""Calibrate the ensembles of a run on its validation split: how members are drawn, then the size of the spread.

The weight of what the GPT's network adds to its first guess, where it has one, and then the temperature are those whose
ensembles have the smallest CRPS. Then, at each lead time and for each channel, the
distance of members from their mean is multiplied by one factor, with which the spread is as large as the error of the
mean over the validation forecasts (*variance inflation*; Wilks, Statistical Methods in the Atmospheric Sciences, 2019,
section 8.3). Factors are smooth over lead times, and near 1 where few trajectories say what they should be.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sparsevq.config import ForecastConfig, Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.evaluation import metrics
from sparsevq.forecasting.held_out import cases
from sparsevq.forecasting.model import Asked, ForecastModel, Seen, load_forecast_model, seen_by_sensors
from sparsevq.runs.calibration import SCHEMA, VERSION
from sparsevq.runs.codes import Codes
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.hdf5 import created, stamp

Floats = NDArray[np.float64]

TEMPERATURES = (0.5, 0.75, 1.25)
"""Temperatures, beside 1, that the validation split chooses from."""
NETWORKS = (0.0, 0.5)
"""Weights of the network, beside 1."""
POINTS = 1024
"""Points, drawn by area, at which members are scored."""
PRIOR = 8
"""Trajectories' worth of belief that a factor is 1."""
SMOOTH = 2
"""Lead times on each side that a factor is averaged with."""
LIMITS = (0.5, 2.0)
"""Least and largest factor."""


@torch.no_grad()
def calibrate(run: Run, out: Path, *, settings: ForecastConfig, seed: int, fabric: Fabric) -> dict[str, float]:
    """Write `calibration.h5` (docs/data-format.md) from forecasts of the validation split, as the test split's are.

    Parameters
    ----------
    run
        All its models and its index dump are read.
    out
        The file to write.
    settings
        Start frames, observed frames, horizon and members are those of the forecasts to come; a temperature that is set
        is taken.
    seed
        Of the draws.

    Returns
    -------
    Name -> what was chosen, and the CRPS and the ratio of spread to error on the validation split, before the factors.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit the others; or there is no validation trajectory.
    """
    data, model, codes = run.data, load_forecast_model(run, fabric.device, calibrated=False), run.codes(fabric.device)
    fields = DeviceFields(data, Symmetries(), fabric.device, model.teacher.basis)
    which = cases(data, settings, "val")
    points = _points(data)
    rows_of = {count: np.flatnonzero(which[2] == count) for count in settings.observed_frames}
    seen = {count: _seen(model, codes, which[0][rows], which[1][rows], count) for count, rows in rows_of.items()}
    fixed = 1.0 if settings.temperature is None else settings.temperature
    tried: dict[tuple[float, float], _Statistics] = {}
    print(
        f"{len(which[0])} validation forecasts of {settings.horizon} frames, {settings.members} members, several times",
        flush=True,
    )

    def best() -> tuple[float, float]:
        return min(tried, key=lambda pair: tried[pair].crps())

    def attempt(temperature: float, network: float) -> None:
        found = _Statistics(data, points)
        asked = Asked(settings.horizon, settings.members, temperature, settings.top_k, seed, network)
        for count, rows in rows_of.items():
            drawn = model.generate(seen[count], asked)
            for case, row in enumerate(rows):
                ensemble = model.decode(drawn.case(case), fields, points.to(fields.device)).cpu().numpy()
                found.add(count, which[0][row], which[1][row], ensemble)
        tried[temperature, network] = found
        weighted = "" if model.gpt.first_guess is None else f", weight of the network {network:g}"
        print(f"temperature {temperature:g}{weighted}: CRPS {found.crps():.4g} on the validation split", flush=True)

    with fabric.autocast():
        for network in (1.0,) if model.gpt.first_guess is None else (1.0, *NETWORKS):
            attempt(fixed, network)
        network = best()[1]
        for temperature in () if settings.temperature is not None else TEMPERATURES:
            attempt(temperature, network)
    temperature, network = best()
    chosen = tried[temperature, network]
    observed = np.array(sorted(settings.observed_frames))
    factors = np.stack([chosen.factors(count) for count in observed])
    with created(out) as file:
        names = ("data", "sensors", "tokenizer", "gpt", "codes")
        stamp(file, SCHEMA, VERSION, run.paths(*names), {**settings.model_dump(mode="json"), "seed": seed})
        file["temperature"], file["network"] = float(temperature), network
        file["observed_frames"], file["factors"] = observed, factors
        file["tried"] = np.array([(*pair, found.crps()) for pair, found in tried.items()])
    ratio = chosen.ratio()
    print(
        f"calibrated: temperature {temperature:g}, weight of the network {network:g}; spread over error {ratio:.2f} "
        f"before factors of {factors.min():.2f} to {factors.max():.2f}",
        flush=True,
    )
    found = {"temperature": float(temperature), "network": network}
    return {**found, "crps": chosen.crps(), "spread_skill_ratio": ratio}


def _seen(
    model: ForecastModel, codes: Codes, trajectory: NDArray[np.int64], start: NDArray[np.int64], count: int
) -> Seen:
    """What forecasts begin with, the same for all that is tried."""
    device = codes.sparse.device
    return seen_by_sensors(
        model.gpt, codes, torch.from_numpy(trajectory).to(device), torch.from_numpy(start).to(device), count
    )


def _points(data: FieldData) -> torch.Tensor:
    chance = torch.from_numpy(data.weights / data.weights.sum())
    count = min(POINTS, int((chance > 0).sum()))
    return torch.multinomial(chance, count, generator=torch.Generator().manual_seed(0)).sort().values


class _Statistics:
    """Squared spread and error, and CRPS, of the ensembles of one temperature, at points."""

    def __init__(self, data: FieldData, points: torch.Tensor):
        self._data, self._points = data, points.numpy()
        self._scale = data.joint_scale
        self._found: dict[int, list[tuple[int, Floats, Floats]]] = {}
        self._crps: list[float] = []
        self._members = 2

    def add(self, count: int, trajectory: int, start: int, ensemble: NDArray[np.float32]) -> None:
        """An ensemble (M, L + 1, p, C) from `count` observed frames."""
        valid = self._data.flat_mask[trajectory][self._points]
        truth = self._data.flat_fields[trajectory, start : start + ensemble.shape[1]][:, self._points][:, valid]
        members, truth = ensemble[:, :, valid] / self._scale, truth / self._scale
        self._members = len(members)
        # Points are drawn by area, so that all count alike.
        spread = np.square(metrics.ensemble_spread(members))[:, :-1]
        skill = np.square(metrics.rmse(members.mean(axis=0), truth))[:, :-1]
        self._found.setdefault(count, []).append((trajectory, spread, skill))
        self._crps.append(float(metrics.fair_crps(metrics.rank(members), truth)[:, -1].mean()))

    def crps(self) -> float:
        """Mean over forecasts and lead times, channels on their joint scale."""
        return float(np.mean(self._crps))

    def ratio(self) -> float:
        """Spread over error, mean over lead times, all channels and numbers of observed frames together."""
        of_all = [row for rows in self._found.values() for row in rows]
        spread = np.mean([row[1] for row in of_all], axis=(0, 2))
        skill = np.mean([row[2] for row in of_all], axis=(0, 2))
        return float(np.mean(metrics.spread_skill_ratio(np.sqrt(spread), np.sqrt(skill), self._members)))

    def factors(self, count: int) -> Floats:
        """(L + 1, C) of forecasts from `count` observed frames."""
        rows = self._found[count]
        spread, skill = np.mean([row[1] for row in rows], axis=0), np.mean([row[2] for row in rows], axis=0)
        ratio = metrics.spread_skill_ratio(np.sqrt(spread), np.sqrt(skill), self._members)
        log = -np.log(np.where(np.isfinite(ratio) & (ratio > 0), ratio, 1))
        trajectories = len({row[0] for row in rows})
        return np.clip(np.exp(_smooth(log) * trajectories / (trajectories + PRIOR)), *LIMITS)


def _smooth(values: Floats) -> Floats:
    """Means (L + 1, C) over `SMOOTH` lead times on each side, fewer at the ends."""
    found: Sequence[Floats] = [
        values[max(0, lead - SMOOTH) : lead + SMOOTH + 1].mean(axis=0) for lead in range(len(values))
    ]
    return np.stack(found)
