"""Shards of a small synthetic flow, as a simulator would leave them."""

import dataclasses
from pathlib import Path

import numpy as np

from sparsevq.simulators.shards import Shard, write_shard
from tests.flows import travelling_waves


def shards_of(folder: Path, count: int = 3, **changes) -> list[Path]:
    """Eight trajectories with a third channel in `count` files: trajectories i, i + count, ..."""
    flow = travelling_waves(trajectories=8)
    speed = np.linalg.norm(flow.fields, axis=-1, keepdims=True)
    paths = []
    for index in range(count):
        numbers = np.arange(index, 8, count)
        shard = Shard(
            trajectory=numbers,
            fields=np.concatenate([flow.fields, speed], axis=-1)[numbers],
            mask=flow.mask[numbers],
            axes=flow.axes,
            axis_units=flow.axis_units,
            time=flow.time,
            time_units="s",
            parameters={
                "strength": flow.parameters["strength"][numbers],
                "shape": np.array(["disc", "interval"])[numbers % 2],
            },
            parameter_units={"strength": "m/s", "shape": ""},
            channels=("u", "v", "speed"),
            units=("m/s", "m/s", "m/s"),
            periodic=("x",),
            vector=flow.vector,
            provenance={"solver": "waves"},
            ood=numbers >= 7,
        )
        paths.append(folder / f"{count}_{index}.h5")
        write_shard(paths[-1], dataclasses.replace(shard, **changes))
    return paths
