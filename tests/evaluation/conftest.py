"""A small experiment as evaluation finds it: data, sensors, a forecast whose errors are known, codes."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from sparsevq.basis.basis import compute_basis
from sparsevq.config import SensorsConfig
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import stamp
from sparsevq.sensors.placement import place_sensors
from tests.flows import travelling_waves

HORIZON, MEMBERS = 5, 4


def make_experiment(
    folder,
    grid=(16, 16),
    trajectories=12,
    frames=16,
    starts=(0, 6),
    noise=0.3,
    seed=0,
    sensors=8,
    data=None,
    first_lead=0,
):
    """Write forecast.h5 and codes.h5 beside synthetic data: every reconstruction and member is the truth plus noise.

    The noise is in units of each channel's joint scale. `data` stands for `travelling_waves`; `first_lead` 1: a file of
    an earlier version.
    """
    data = data or travelling_waves(trajectories=trajectories, frames=frames, grid=grid)
    trajectories, frames = data.fields.shape[:2]
    data.split[-3:] = ["val", "test", "test"]
    data.split[-5:-3] = "val"
    sets = place_sensors(data, SensorsConfig(num_semi_sparse=4), sensors, seed=seed)
    rng = np.random.default_rng(seed)
    cases = [(trajectory, start) for trajectory in data.trajectories("test") for start in starts]
    truth = np.stack([data.fields[t, s : s + HORIZON + 1] for t, s in cases])  # (case, L + 1, *grid, C)

    def noisy(scale, values):
        return (values + data.joint_scale * rng.normal(0, scale, values.shape)).astype(np.float32)

    forecast = folder / "forecast.h5"
    with h5py.File(forecast, "w") as file:
        stamp(file, "sparsevq-forecast", 1, {})
        file["trajectory"], file["start_frame"] = np.array(cases).T
        file["lead_time"] = 0.5 * np.arange(1, HORIZON + 1)
        file["lead_time"].attrs["units"] = "s"
        later = truth[:, first_lead:]
        if first_lead == 0:
            file.attrs["first_lead"] = 0
            file["observed_frames"] = np.ones(len(cases), np.int64)
        members = np.broadcast_to(later[:, None], (len(cases), MEMBERS, *later.shape[1:]))
        file["ensemble"] = noisy(noise, members)
        file["teacher_prompt"] = noisy(noise / 3, later)
        links = {"semi_sparse": 0.1, "sparse": 0.15, "quantized": 0.2, "linear": 0.25, "quantized_complete": 0.3}
        for level, (name, share) in enumerate(links.items()):
            file[f"reconstruction/{name}"] = noisy(noise * share + 0.001 * level, truth)
        file["rate_distortion_bound"] = 0.125
        file["tokens"] = rng.integers(0, 8, (len(cases), MEMBERS, later.shape[1], 4, 2), dtype=np.int32)

    codes = folder / "codes.h5"
    with h5py.File(codes, "w") as file:
        stamp(file, "sparsevq-codes", 2, {})
        for name in ("sparse", "semi_sparse"):
            indices = rng.integers(0, 8, (2, trajectories, frames, 4, 2), dtype=np.int16)
            indices[1, data.split != "train"] = -1
            file[name] = indices
        file["codebook"] = rng.normal(size=(1, 2, 8, 3)).astype(np.float32)
        file.create_dataset("split", data=data.split.astype(object), dtype=h5py.string_dtype())
    found = SimpleNamespace(
        data=data, sensors=sets, forecast=forecast, codes=codes, cases=cases, truth=truth, folder=folder
    )
    found.run = lambda: run_of(found)
    return found


def run_of(experiment):
    """The experiment as a run; its data, basis and sensors are in no file."""
    run = Run(experiment.folder)
    run.data, run.sensors = experiment.data, experiment.sensors
    run.basis = compute_basis(experiment.data, None, 80)
    return run


@pytest.fixture
def experiment(tmp_path):
    return make_experiment(tmp_path)
