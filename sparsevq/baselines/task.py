"""What a baseline is given, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.baselines.cost import Cost
from sparsevq.baselines.ensembles import Draws, Dressing
from sparsevq.baselines.validation import Validation, Windows
from sparsevq.basis.basis import Basis
from sparsevq.config import EvaluationConfig
from sparsevq.data.field_data import FieldData
from sparsevq.data.flows import TrainingFlows
from sparsevq.forecasting.cases import Cases
from sparsevq.runs.run import Run

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Task:
    """The forecasts that a baseline is asked for.

    A baseline learns from the training split, chooses its settings and takes its errors from the validation split, and
    sees of a test trajectory nothing but `anomalies`, what the sensors read, or what sparsevq itself made of it,
    `reconstruction` and the readings of the run's index dump. The test trajectory's mask is not given.

    Attributes
    ----------
    data
        The data set: its validation split to choose on.
    basis
        Time mean and modes of those flows.
    training
        The flows to learn from: the training split's and their symmetry variants.
    sparse
        ``(n_s,)`` flat indices of the sensors.
    reads
        ``(n_s, C)`` which channels each of them reads; the others are not to be used.
    cases
        What to forecast.
    reconstruction
        ``(case, N, C)`` in physical units: sparsevq's reconstruction of the last observed frame from the same sensors.
    settings
        Ranks to choose from, members, and the like.
    seed
        Of the members' draws.
    models
        Name -> model file of the trained baselines.
    digests
        Name -> SHA-256 of the data set, basis and sensors: trained baselines must be made from them.
    device
        Where those forecast.
    run
        The files of the run, for methods that are parts of sparsevq; None: there are none.
    """

    data: FieldData
    basis: Basis
    training: TrainingFlows
    sparse: NDArray[np.int64]
    reads: NDArray[np.bool_]
    cases: Cases
    reconstruction: NDArray[np.float32]
    settings: EvaluationConfig
    seed: int = 0
    models: Mapping[str, Path] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    device: "torch.device | str" = "cpu"
    run: Run | None = None

    def anomalies(self, trajectory: Array, last_frame: Array, observed_frames: int = 1) -> Array:
        """``(B, k, m)``: what the sensors read in the last `k` frames of trajectories ``(B,)``, normalised anomalies.

        There is one value for each channel that a sensor reads.
        """
        frames = np.asarray(last_frame)[:, None, None] + np.arange(1 - observed_frames, 1)[:, None]
        values = self.data.flat_fields[np.asarray(trajectory)[:, None, None], frames, self.sparse]
        return ((values - self.basis.mean[self.sparse]) / self.basis.scale)[..., self.reads]

    def validation(self, windows: Windows, basis: Basis, leads: int) -> Validation:
        """The truth of some windows, to choose by."""
        return Validation(self, windows, basis, leads)

    @cached_property
    def learned_from(self) -> tuple[Array, Array]:
        """The training flows as the sensors read them, ``(flow, F, m)``, and their coefficients ``(flow, F, r)``.

        Anomalies are normalised, and 0 where a flow has no field (a mirrored obstacle may cover a sensor).
        """
        readings, coefficients = [], []
        for fields, valid in self.training:
            anomalies = np.where(valid[:, None], self.basis.normalised(fields), 0)
            readings.append(anomalies[:, self.sparse][..., self.reads])
            coefficients.append(self.basis.project(anomalies, valid))
        shape = len(self.training), self.data.fields.shape[1], -1
        return np.concatenate(readings).reshape(shape), np.concatenate(coefficients).reshape(shape)


@dataclass(frozen=True, eq=False)
class BaselineForecast:
    """What a baseline gives back.

    Attributes
    ----------
    fields
        ``(case, L + 1, N, C)`` float32 in physical units, from its analysis of the last observed frame (lead 0) on: its
        best single forecast. May be a broadcast view.
    ensemble
        What it says of the uncertainty: how its members are made, without their fields.
    chosen
        What it chose on the validation split; stored as attributes beside the forecast.
    parameters
        Numbers that it learned and forecasts with; of what is solved for.
    cost
        What a training took; None: there was none.
    observed_frames
        Numbers of observed frames that it forecasts from; None: any. Of other cases `fields` mean nothing: they are
        not stored, and not scored.
    """

    fields: NDArray[np.float32]
    ensemble: Draws | Dressing
    chosen: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    cost: Cost | None = None
    observed_frames: tuple[int, ...] | None = None


Baseline = Callable[[Task], BaselineForecast]
