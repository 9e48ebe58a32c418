"""Draws of a forecast as calibrated fields in physical units: on the grid, or at any places."""

import numpy as np
import numpy.typing as npt
import torch

from sparsevq.data.field_data import FieldData
from sparsevq.forecasting.model import ForecastModel
from sparsevq.models.rollout import Drawn
from sparsevq.sensors.readings import FloatArray
from sparsevq.stage1.model import decode_places

Fields = npt.NDArray[np.float32]


class FieldsOf:
    """Fields of the draws (M, L + 1, ...) of a forecast from `observed` frames.

    Members are as far from their mean as the calibration says: a number for each lead time and channel, so that a field
    is the same whether it is computed whole or in parts.

    Parameters
    ----------
    model
        The stages of a run.
    data
        Its data set's grid.
    """

    def __init__(self, model: ForecastModel, data: FieldData, drawn: Drawn, observed: int):
        self._model, self._data, self._observed = model, data, observed
        self._latents = model.latents(drawn)

    def __call__(self, where: FloatArray | slice) -> Fields:
        """(C, M, L + 1, p) at places (p, d) in the axes' units, or at some points of the grid."""
        with torch.no_grad():
            target = self._model.teacher.target(self._data, where)
            fields = decode_places(self._model.teacher, self._latents.flatten(0, 1), target)
            members = self._model.calibrated(fields.unflatten(0, self._latents.shape[:2]), self._observed)
        return members.movedim(-1, 0).contiguous().cpu().numpy()


def on_grid(fields: FieldsOf, data: FieldData) -> Fields:
    """(C, M, L + 1, *grid); NaN where no trajectory for training has a field."""
    found = fields(slice(None))
    found[..., ~data.flat_mask[data.split == "train"].any(axis=0)] = np.nan
    return found.reshape(*found.shape[:-1], *data.grid)
