"""What a user says that sensors measured, as a history that can be forecast from: read, checked and told."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from torch import Tensor

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.doubts.climate import Climates
from sparsevq.forecasting.doubts.plausibility import Plausibility
from sparsevq.forecasting.model import ForecastModel
from sparsevq.runs.run import Run
from sparsevq.sensors.form import Form
from sparsevq.sensors.history import History, history_of
from sparsevq.sensors.placement import SensorSets
from sparsevq.sensors.space import shown
from sparsevq.sensors.tables.table import print_note

Observations = (
    str
    | os.PathLike[str]
    | pd.DataFrame
    | pd.Series
    | xr.Dataset
    | xr.DataArray
    | Mapping[str, Any]
    | npt.NDArray[Any]
    | Tensor
    | Sequence[Any]
)
"""What a user may have readings in: `sparsevq.sensors.tables.observations.table_of`."""


FAR = 1e9
"""Standard deviations of a channel, as far as which from its mean no forecast can be computed from a reading."""


@dataclass(frozen=True, eq=False)
class Received:
    """Readings as they were received.

    Attributes
    ----------
    history
        Of the frames that the run's forecasts can be from, by place.
    digest
        SHA-256 of the file, or of what was given otherwise.
    doubts
        What of them cannot be true.
    """

    history: History
    digest: str
    doubts: tuple[str, ...] = ()


class Intake:
    """Receives readings for a run.

    Parameters
    ----------
    run, data, sensors, model
        The run, its grid, its sensors and its stages.
    """

    def __init__(self, run: Run, data: FieldData, sensors: SensorSets, model: ForecastModel):
        self._data, self._partial = data, model.sparse.partial
        self._form = Form.of(data, sensors.coordinates, self._partial, own=len(sensors.sparse))
        self._plausibility = Plausibility(Climates(model.sparse, data, run.samples), data, sensors)

    def __call__(self, observations: Any, span: int, strict: bool) -> Received:
        """Read, check and, where they cannot be true, doubt readings; of the frames, the last `span` are kept.

        Raises
        ------
        SparseVQError
            They are faulty (with where), or `strict` and in doubt.
        """
        table = self._form.table(observations, self._form.clocks)
        whole = history_of(table, self._form, self._data.time)
        if not self._partial and any(read.noise.any() for read in whole.frames):
            raise SparseVQError(f"{table.name}: the encoder takes readings as exact", "leave out the columns of noise")
        self._require_finite(whole, table.name)
        doubts = tuple(self._plausibility(whole))
        if doubts and strict:
            raise SparseVQError(
                f"{table.name}: {'; '.join(doubts)}",
                "correct the readings, or leave them out; without strict they are used",
            )
        for doubt in doubts:
            print(f"WARNING: {table.name}: {doubt}", flush=True)
        history = whole.latest(span)
        if len(history.frames) < len(whole.frames):
            print_note(
                f"{table.name}: {len(history.frames)} of {len(whole.frames)} frames are used, the last: the run's "
                f"forecasts are from {span} at most"
            )
        return Received(history, table.digest, doubts)

    def _require_finite(self, history: History, name: str) -> None:
        """Check that numbers of single precision can be computed from the readings."""
        data = self._data
        for read in history.frames:
            far = np.fmax(np.abs(read.values - data.mean), read.noise) > FAR * data.std
            for sensor, channel in np.argwhere(far)[:1].tolist():
                value = read.values[sensor, channel]
                raise SparseVQError(
                    f"{name}: {data.channels[channel]} = {value:g} at {shown(tuple(data.axes), read.places[sensor])}, "
                    f"more than {FAR:g} times the standard deviation of the data set from its mean",
                    "check its unit and its noise, or leave it out",
                )
