"""Synthetic inputs of a data set's size: smooth travelling waves, sensors, random codes. Values change no time."""

from pathlib import Path

import h5py
import numpy as np
import torch

from sparsevq.basis.layout import make_basis, read_basis
from sparsevq.config import Config
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import write_data
from sparsevq.runtime.hdf5 import stamp
from sparsevq.sensors.placement import place_sensors, write_sensors

WAVES = 6


def smooth_fields(config: Config, trajectories: int, frames: int, seed: int = 0) -> FieldData:
    """Sums of waves of a few lengths on the grid of the configuration's first data set.

    A masked disc is the obstacle. The last trajectory is for testing, those before it are for validation as in
    the configuration, at most a third.
    """
    grid = config.data_set(config.data_sets[0]).grid
    rng = np.random.default_rng(seed)
    axes = {"y": np.linspace(0, 1, grid), "x": np.linspace(0, 1, grid)}
    channels = config.data_set(config.data_sets[0]).channels
    fields = np.empty((trajectories, frames, grid, grid, len(channels)), np.float32)
    for field in fields:
        for channel in range(len(channels)):
            kx, ky = rng.uniform(-12, 12, (2, WAVES))
            speed, phase = rng.uniform(0, 0.5, WAVES), rng.uniform(0, 6.3, WAVES)
            # cos(a + b + c) is the real part of a product, so that no cosine is taken at every point of every frame.
            time = np.exp(1j * (speed * np.arange(frames)[:, None] + phase))
            space = np.exp(1j * ky * axes["y"][:, None])[:, None] * np.exp(1j * kx * axes["x"][:, None])
            field[..., channel] = 1 + (time @ space.reshape(-1, WAVES).T).real.reshape(frames, grid, grid)
    y, x = np.meshgrid(axes["y"], axes["x"], indexing="ij")
    mask = np.broadcast_to(np.hypot(y - 0.5, x - 0.3) > 0.1, (trajectories, grid, grid)).copy()
    fields[:, :, ~mask[0]] = 0
    held_out = max(1, min(config.data_set(config.data_sets[0]).validation, (trajectories - 1) // 3))
    split = np.array(["train"] * (trajectories - 1 - held_out) + ["val"] * held_out + ["test"])
    training = fields[split == "train"][:, :, mask[0]]
    return FieldData(
        name=config.data_sets[0],
        fields=fields,
        mask=mask,
        axes=axes,
        axis_units={"y": "1", "x": "1"},
        time=np.arange(frames, dtype=np.float64),
        time_units="1",
        split=split,
        channels=channels,
        units=("1",) * len(channels),
        mean=training.mean((0, 1, 2), dtype=np.float64),
        std=training.std((0, 1, 2), dtype=np.float64),
        periodic=tuple(config.stage1.symmetries.roll),
        vector={channel: axis for channel, axis in (("u", "x"), ("v", "y")) if channel in channels},
        provenance={"solver": "none: synthetic", "seed": seed},
    )


def write_inputs(folder: Path, config: Config, trajectories: int | None) -> tuple[Path, Path]:
    """Write data.h5, basis.h5 and sensors.h5 of the configuration's sizes, or with fewer trajectories."""
    simulation = config.data_set(config.data_sets[0])
    data = smooth_fields(
        config, trajectories or simulation.trajectories, simulation.frames // config.preprocess.time_sub
    )
    write_data(folder / "data.h5", data)
    make_basis(folder / "data.h5", folder / "basis.h5", config.basis, config.stage1.symmetries)
    basis = read_basis(folder / "basis.h5") if config.sensors.needs_basis else None
    sensors = place_sensors(data, config.sensors, config.num_sensors[0], config.seeds[0], basis)
    write_sensors(folder / "sensors.h5", sensors)
    return folder / "data.h5", folder / "sensors.h5"


def write_codes(path: Path, data_path: Path, config: Config, codebook: torch.Tensor) -> Path:
    """Write codes.h5: random indices into `codebook` (P', Q, K, D), in the layout that stage 3 reads."""
    _, levels, codes, _ = codebook.shape
    with h5py.File(data_path, "r") as file:
        split = file["split"][:]
        trajectories, frames = file["fields"].shape[:2]
    shape = (config.stage1.symmetries.variants, trajectories, frames, config.stage2.tokens_per_frame, levels)
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        stamp(file, "sparsevq-codes", 2, {"data": data_path}, {})
        for name in ("sparse", "semi_sparse"):
            file.create_dataset(name, data=rng.integers(codes, size=shape, dtype=np.int32))
        file["codebook"] = codebook.float().cpu().numpy()
        file.create_dataset("split", data=split, dtype=h5py.string_dtype())
    return path
