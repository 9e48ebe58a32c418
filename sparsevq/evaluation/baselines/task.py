"""What a baseline is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.basis.basis import Basis
from sparsevq.config import EvaluationConfig
from sparsevq.data.field_data import FieldData
from sparsevq.data.flows import TrainingFlows
from sparsevq.evaluation.cases import Cases

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Task:
    """The forecasts that a baseline is asked for.

    A baseline learns from the training split, chooses its settings on the validation split, and sees of a test
    trajectory nothing but `readings`, or what sparsevq itself made of them, `reconstruction`. The test trajectory's
    mask is not given.

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
        ``(case, N, C)`` in physical units: sparsevq's reconstruction of the observed frame from the same sensors.
    settings
        Ranks to choose from, and the like.
    """

    data: FieldData
    basis: Basis
    training: TrainingFlows
    sparse: NDArray[np.int64]
    reads: NDArray[np.bool_]
    cases: Cases
    reconstruction: NDArray[np.float32]
    settings: EvaluationConfig

    @property
    def readings(self) -> Array:
        """``(case, n_s, C)``: the sensors' readings of the observed frames, in physical units; NaN where not read."""
        values = self.data.flat_fields[self.cases.trajectory, self.cases.start_frame][:, self.sparse]
        return np.where(self.reads, values, np.nan)


@dataclass(frozen=True, eq=False)
class BaselineForecast:
    """What a baseline gives back.

    Attributes
    ----------
    fields
        ``(case, L, N, C)`` float32 in physical units; may be a broadcast view.
    chosen
        What it chose on the validation split; stored as attributes beside the forecast.
    """

    fields: NDArray[np.float32]
    chosen: dict[str, float | int | str] = field(default_factory=dict)


Baseline = Callable[[Task], BaselineForecast]
