"""Runs as the workflow lays them out, with what their sensors measured: the data set is two folders above."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data
from sparsevq.sensors.placement import SensorSets, read_sensors
from tests.chain import Chain, make_chain, make_modal_chain


@dataclass(frozen=True)
class Run:
    """A run, its data set and sensors, and the workflow's forecast of the first test trajectory."""

    path: Path
    data: FieldData
    sensors: SensorSets
    workflows: Path

    @property
    def trajectory(self) -> int:
        """The first test trajectory."""
        return int(self.data.trajectories("test")[0])

    def history(self, *frames: int) -> pd.DataFrame:
        """What the sensors measured in several frames of it."""
        return pd.concat([self.readings(frame).assign(frame=frame) for frame in frames], ignore_index=True)

    def readings(self, frame: int = 0) -> pd.DataFrame:
        """What the sensors measured in a frame of that trajectory."""
        values = self.data.flat_fields[self.trajectory, frame, self.sensors.sparse].astype(float)
        return pd.DataFrame({"sensor": range(len(values)), "u": values[:, 0], "v": values[:, 1]})

    def by_place(self) -> pd.DataFrame:
        """The same, with the sensors' places instead of their numbers, and other columns first."""
        places = pd.DataFrame(self.sensors.coordinates[: len(self.sensors.sparse)], columns=["y", "x"])
        return pd.concat([self.readings()[["v", "u"]], places], axis=1)


def small_run(folder: Path) -> Run:
    """Of networks, from one frame; its forecast begins at frame 0."""
    return _run(folder, make_chain, start=0, horizon=9)


def small_modal_run(folder: Path) -> Run:
    """On modes, with a first guess from up to three observed frames; from frame 2, and not calibrated."""
    return _run(folder, make_modal_chain, start=2, horizon=6)


def _run(folder: Path, make: Callable[[Path], Chain], start: int, horizon: int) -> Run:
    folder /= "try/waves/n6/seed1"
    chain = make(folder)
    # With a single case, the workflow's draws are those of a user who forecasts it.
    alone = chain.data.trajectories("test")[:1], np.full(1, start), np.full(1, start + 1)
    with mock.patch("sparsevq.forecasting.held_out.cases", return_value=alone):
        workflows = chain.forecast(
            folder / "forecast.h5", seed=5, starts=(start,), observed_frames=(start + 1,), horizon=horizon
        )
    chain.data_path.rename(folder.parent.parent / "data.h5")
    return Run(folder, read_data(folder.parent.parent / "data.h5"), read_sensors(folder / "sensors.h5"), workflows)
