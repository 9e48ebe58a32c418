"""The outlook from a user's readings: by a run's own regressions, or by one that is fitted to other sensors."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import ForecastModel
from sparsevq.models.regression import Outlook, Regression
from sparsevq.sensors.history import History
from sparsevq.sensors.readings import Readings
from sparsevq.stage1.modal import ModalModel

KEPT = 4
"""Regressions for other sensors that are kept: forecasts that follow are mostly from the same."""


class OutlookFromReadings:
    """See the module's docstring.

    Parameters
    ----------
    model
        The stages of a run.
    data
        Its data set's grid.
    """

    def __init__(self, model: ForecastModel, data: FieldData):
        self._model, self._data = model, data
        self._fitted: dict[bytes, Regression] = {}

    @torch.no_grad()
    def __call__(self, history: History, known: Mapping[str, float]) -> tuple[Outlook, Regression] | None:
        """Of a history of readings, and parameters of its trajectory; None: the run's GPT has no first guess.

        With the regression that it is by.

        Parameters are used where the readings are those of the run's own sensors, without a gap.
        """
        outlooks = self._model.gpt.outlooks
        if outlooks is None:
            return None
        sparse = self._model.sparse
        assert isinstance(sparse, ModalModel)
        latest = 0  # frames up to the last one that are the own sensors', without a gap
        while latest < len(history.frames) and history.offsets[-1 - latest] == -latest:
            if not sparse.sees(self._data, history.frames[-1 - latest]):
                break
            latest += 1
        if latest == len(history.frames) and latest == 1 - history.offsets[0]:
            count, regression = outlooks.by(latest)
            readings = [self._readings(read, sparse, known) for read in history.frames[-count:]]
            return regression(torch.cat(readings)[None]), regression
        leads = outlooks.by(1)[1].leads
        if 1 - history.offsets[0] > outlooks.flows.shape[1] - leads + 1:
            raise SparseVQError(
                f"the readings begin {-history.offsets[0]} frames before the last, but the training flows are "
                f"{outlooks.flows.shape[1]} frames long",
                "leave out the oldest frames",
            )
        regression = self._regression(history, sparse)
        return regression(self._all(history, sparse)[None]), regression

    def _readings(self, read: Readings, sparse: ModalModel, known: Mapping[str, float]) -> Tensor:
        """(m + k,) of a frame of the own sensors."""
        standardised = sparse.standardised(known)
        values = sparse.normalised(self._data, read)
        return values if standardised is None else torch.cat([values, standardised])

    def _all(self, history: History, sparse: ModalModel) -> Tensor:
        """(m,) of all frames, one after the other."""
        return torch.cat([sparse.normalised(self._data, read) for read in history.frames])

    def _regression(self, history: History, sparse: ModalModel) -> Regression:
        """Fitted to sensors wherever they are; noise and missing channels count."""
        parts = [np.array(history.offsets), *(part for read in history.frames for part in (read.places, read.noise))]
        parts += [np.isnan(read.values) for read in history.frames]
        key = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        if key not in self._fitted:
            if len(self._fitted) >= KEPT:
                self._fitted.pop(next(iter(self._fitted)))
            outlooks = self._model.gpt.outlooks
            assert outlooks is not None
            seen = [sparse.seen_at(self._data, read) for read in history.frames]
            times = torch.tensor(history.offsets, device=sparse.device)
            self._fitted[key] = outlooks.fitted_to(times, [modes for modes, _ in seen], [error for _, error in seen])
        return self._fitted[key]
