"""What a trained encoder, and what linear theory, makes of other sensors than its own: fewer, more, others, noisy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from sparsevq.config import SensorsConfig, Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.sensors.placement import SensorSets, place_sensors
from sparsevq.stage1.encoding import load_stage1
from sparsevq.stage1.modal import ModalModel, linear_theory
from sparsevq.stage1.model import Stage1Model, decode_at
from sparsevq.training.fields import reconstruction_metrics, validation_points, validation_views

SHARES = (0.75, 0.5)
"""Shares of its own sensors that are left."""
NOISES = (0.1, 0.3)
"""Std of the readings' errors, in units of the anomalies' (`sparsevq.basis.basis.Basis.scale`): 20 and 10 dB."""
NUMBERS = (5, 10, 20, 40, 80, 160, 320)
"""Sensors at random places, each set part of the next."""

OWN, TOLD = "own", "noise, told"

Estimate = tuple[str, Stage1Model, Callable[[Tensor, Tensor | None], Tensor]]


@dataclass(frozen=True, eq=False)
class Condition:
    """Sensors at points (n,) that read channels (n, C), with errors of a std, normalised, that is told or not."""

    name: str
    points: npt.NDArray[np.int64]
    reads: npt.NDArray[np.bool_]
    noise: float = 0.0

    @property
    def told(self) -> float:
        """The std of errors that the encoder is told."""
        return self.noise if self.name == TOLD else 0.0


def conditions(data: FieldData, sensors: SensorSets, seed: int) -> list[Condition]:
    """The sensors of a run, and what may become of them; others read the channels that some of its own read.

    Where the grid has too few points for a condition it is left out. Other places are valid in every trajectory, each
    as likely as the area that it stands for.
    """
    own, reads = sensors.sparse, sensors.channels[: len(sensors.sparse)]
    count, all_points = len(own), int(data.flat_mask.all(axis=0).sum())
    order = place_sensors(data, SensorsConfig(num_semi_sparse=1), all_points - 1, seed).semi_sparse
    others = order[~np.isin(order, own)]
    as_own = reads.any(axis=0)

    def elsewhere(name: str, number: int) -> Condition:
        return Condition(name, others[:number], np.tile(as_own, (number, 1)))

    found = [Condition(OWN, own, reads)]
    left = np.random.default_rng(seed).permutation(count)
    for share in SHARES:
        kept = np.sort(left[: max(1, round(share * count))])
        found.append(Condition(f"{share:.0%} of own", own[kept], reads[kept]))
    if len(others) >= count:
        other = elsewhere("as many others", count)
        both = np.concatenate([own, other.points]), np.concatenate([reads, other.reads])
        found += [Condition("own and as many others", *both), other]
    found += [Condition(name, own, reads, noise) for noise in NOISES for name in ("noise", TOLD)]
    return found + [elsewhere("random places", number) for number in NUMBERS if number <= len(others)]


@torch.no_grad()
def robustness(run: Run, *, seed: int, fabric: Fabric) -> pd.DataFrame:
    """Relative L2 of reconstructions of test frames from other sensors than the encoder's own.

    Parameters
    ----------
    run
        Its data set, basis, sensors and sparse encoder are read.
    seed
        Of the other places and of the readings' errors.

    Returns
    -------
    ``condition, sensors, noise, method, relative_l2, ratio``: `noise` is the std of the readings' errors in units of
    the anomalies' std; `method` is `encoder` or `linear` (optimal interpolation from the same readings, where the
    encoder has a basis); `ratio` that to the encoder's error with the run's own sensors. All channels, mean over
    frames. An encoder that cannot be told of errors has no row for that.

    Raises
    ------
    SparseVQError
        A file of the run is missing, damaged or doesn't fit the others, or its data set has no test split.
    """
    data, device = run.data, fabric.device
    model = load_stage1(run, "sparse", device)
    fields = DeviceFields(data, Symmetries(), device, model.basis)
    views, points = validation_views(data, fields, "test"), validation_points(fields)
    rows, other = [], conditions(data, run.sensors, seed)
    print(f"{len(views)} test frames from {len(other)} sets of sensors", flush=True)
    with fabric.autocast():
        estimators = _Estimators(model)
        for condition in other:
            for method, seen, estimate in estimators.of(condition):
                readings = seen.readings(fields, views)
                noise = torch.randn(readings.shape, generator=torch.Generator().manual_seed(seed)).to(readings)
                latents = estimate(readings + condition.noise * noise, seen.known(fields, views))
                guess = decode_at(estimators.decoders[method], latents, points)
                error = reconstruction_metrics(fields, views, guess, points)["val_relative_l2"]
                rows.append((condition.name, len(condition.points), condition.noise, method, error))
    table = pd.DataFrame(rows, columns=["condition", "sensors", "noise", "method", "relative_l2"])
    return table.assign(ratio=table["relative_l2"] / table["relative_l2"][0])


class _Estimators:
    """The encoder, and linear theory, for the sensors of each condition; fitted once for the same sensors and noise."""

    def __init__(self, model: Stage1Model):
        self._model, self._theory = model, linear_theory(model)
        self.decoders = {"encoder": model} | ({"linear": self._theory} if self._theory is not None else {})
        self._fitted: dict[tuple[bytes, float], list[Estimate]] = {}

    def of(self, condition: Condition) -> list[Estimate]:
        """Method, the model that has the readings, and the latents that it makes of them."""
        key = condition.points.tobytes(), condition.told
        if key not in self._fitted:
            self._fitted[key] = self._fit(condition)
        return self._fitted[key]

    def _fit(self, condition: Condition) -> list[Estimate]:
        where, reads = torch.from_numpy(condition.points).to(self._model.device), torch.from_numpy(condition.reads)
        noise = condition.told or self._model.settings.noise
        if isinstance(self._model, ModalModel):
            as_trained = condition.name == OWN
            seen = self._model if as_trained else self._model.seeing(where, reads, noise)
            return [("encoder", seen, seen.estimate), ("linear", seen, seen.linear)]
        found: list[Estimate] = []
        if not condition.told:
            moved = self._model.seeing(where, reads)
            found.append(("encoder", moved, moved.estimate))
        if self._theory is not None:
            theory = self._theory.seeing(where, reads, noise)
            found.append(("linear", theory, theory.linear))
        return found
