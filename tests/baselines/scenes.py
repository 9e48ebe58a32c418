"""A run of synthetic flows for trained baselines, and their trainings."""

from types import SimpleNamespace

import numpy as np
import torch

from sparsevq.baselines.networks.registry import settings_of
from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.networks.stage import NetworkStage
from sparsevq.baselines.networks.windows import Flows
from sparsevq.basis.basis import compute_basis
from sparsevq.config import SensorsConfig, Symmetries
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.sensors.placement import place_sensors
from tests.flows import travelling_waves


def make_scene(folder, data=None, sensors=10, modes=40, held_out=2):
    """A run whose data, basis and sensors are in no file: the last flows are for testing, those before to validate."""
    data = data or travelling_waves(trajectories=20, frames=16)
    data.split[-2 * held_out : -held_out], data.split[-held_out:] = "val", "test"
    run = Run(folder)
    run.data, run.basis = data, compute_basis(data, None, modes)
    run.sensors = place_sensors(data, SensorsConfig(num_semi_sparse=4), sensors, seed=0)
    reads = run.sensors.channels[: len(run.sensors.sparse)]
    return SimpleNamespace(run=run, data=data, basis=run.basis, sparse=run.sensors.sparse, reads=reads)


def stage_of(made, network, horizon=4, symmetries=None, seed=1, **settings):
    """The training of a network on it, on the CPU."""
    fabric = fabric_for(Lease("cpu", (), "cpu"), "32-true")
    wanted = settings_of(network, {"precision": "32-true", **settings})
    return NetworkStage(
        made.run, network, wanted, symmetries=symmetries or Symmetries(), horizon=horizon, seed=seed, fabric=fabric
    )


def persistence_error(stage):
    """What repeating the first frame, as it is estimated, would give in the stage's validation."""
    starts = stage.flows.held_out(32, 1, stage.horizon)
    first = stage.module.scene.estimate(stage.flows.readings(starts, 1)[:, 0])
    off = stage._norm(first[:, None] - stage.val_truth)[:, 1:]
    return float((off / stage._anomaly[:, 1:]).mean())


def as_numpy(tensor):
    return np.asarray(tensor.detach())


def small_waves(folder, data=None, sensors=6):
    """A scene, and its flows with their mirror images: of few points and frames."""
    data = data or travelling_waves(trajectories=10, frames=12, grid=(8, 12))
    made = make_scene(folder, data, sensors=sensors, modes=20, held_out=1)
    scene = Scene.of(data, made.basis, made.sparse, made.reads, torch.device("cpu"))
    symmetries = Symmetries(reflect=("y",), variants=2) if data.vector else Symmetries()
    return scene, Flows(scene, symmetries, seed=0)
