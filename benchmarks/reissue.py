"""A forecast that is issued again when a further frame arrives, against a new one from the longer history.

    python benchmarks/reissue.py results/quickstart/cylinder/n20/seed1 --members 16 --frames 20

Both in one process, with models loaded: the median of several, and their ratio. Once with the run's own sensors, whose
regressions are stored, and once with one of them missing, which are solved for once, before. Then the errors of both,
over the test trajectories.
"""

import argparse
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
import xarray as xr
from measuring import seconds

import sparsevq
from sparsevq.data.field_data import FieldData
from sparsevq.evaluation.metrics import relative_l2


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--start", type=int, help="frame before the one that arrives; default: the first that can be")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = sparsevq.Forecaster(given.run, device="cpu")
    data, device = model.run.data, torch.device("cpu")
    start = model.observed_frames - 1 if given.start is None else given.start
    trajectories = data.trajectories("test")
    asked = {"frames": given.frames, "members": given.members}
    for said, sensors in (("own sensors", model.sensors.sparse), ("one missing", model.sensors.sparse[1:])):
        earlier = range(max(0, start - model.observed_frames + 1), start + 1)
        before = table_of(data, trajectories[0], list(earlier), sensors)
        further = table_of(data, trajectories[0], [start + 1], sensors)
        both = pd.concat([before, further])
        model.forecast(both, **asked)  # sensors that are new are solved for once
        new = seconds(partial(model.forecast, both, **asked), device, given.repeats)
        taken = []
        for _ in range(given.repeats):
            model.forecast(before, **asked)
            taken.append(seconds(partial(model.update, further), device, 1))
        again = median(taken)
        print(f"{said}: new forecast {new:.3f} s, issued again {again:.3f} s, ratio {again / new:.2f}", flush=True)
    errors = {"new": [], "issued again": []}
    for trajectory in trajectories:
        before = table_of(data, trajectory, [start], model.sensors.sparse)
        further = table_of(data, trajectory, [start + 1], model.sensors.sparse)
        model.forecast(before, **asked)
        errors["issued again"].append(error(data, trajectory, start + 1, model.update(further)))
        errors["new"].append(error(data, trajectory, start + 1, model.forecast(pd.concat([before, further]), **asked)))
    for said, found in errors.items():
        print(f"{said}: relative L2 {np.mean(found):.4f}, mean over {len(found)} trajectories and all lead times")


def error(data: FieldData, trajectory: int, start: int, forecast: xr.Dataset) -> float:
    """Relative L2 of the members' mean, all channels, over the lead times that have a truth."""
    valid = data.flat_mask[trajectory]
    mean = np.stack([forecast[channel].mean("member").to_numpy() for channel in data.channels], axis=-1)
    truth = data.flat_fields[trajectory, start : start + len(mean)][:, valid]
    mean = mean.reshape(len(mean), data.num_points, -1)[: len(truth), valid]
    found = relative_l2(mean / data.joint_scale, truth / data.joint_scale, data.weights[valid])
    return float(found[:, -1].mean())


def table_of(data: FieldData, trajectory: int, frames: list[int], sensors: np.ndarray) -> pd.DataFrame:
    """Readings of some frames of a trajectory."""
    parts = []
    for frame in frames:
        values = data.flat_fields[trajectory, frame][sensors]
        columns = dict(zip(data.axes, data.physical_coordinates[sensors].T, strict=True))
        parts.append(pd.DataFrame({**columns, **dict(zip(data.channels, values.T, strict=True)), "frame": frame}))
    return pd.concat(parts)


if __name__ == "__main__":
    main()
