"""Train a sparse or a semi-sparse encoder together with its coordinate decoder."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sparsevq.config import Stage1Config
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData, Split
from sparsevq.data.layout import read_data
from sparsevq.errors import SparseVQError
from sparsevq.models.autoencoder import AutoencoderShape, SensorAutoencoder
from sparsevq.runtime.checkpoints import Checkpoints
from sparsevq.runtime.devices.parallel import require_rows, weights_of
from sparsevq.runtime.model_file import load_model, save_model
from sparsevq.sensors.placement import read_sensors
from sparsevq.stage1.encoding import (
    Role,
    Stage1Model,
    decode_at,
    encode_views,
    points_digest,
    position_features,
    sensor_points,
)
from sparsevq.training.loop import Logs, fit

VALIDATION_FRAMES = 128
"""Frames of the validation split at which training is judged: evenly spaced, the same at every validation."""


VALIDATION_POINTS = 4096
"""Points of a frame at which training is judged: a validation on a large grid would take longer than the training."""


class ReconstructionLoss(nn.Module):
    """Mean squared error of the normalised field at the drawn points, inside the flow only."""

    def __init__(self, autoencoder: SensorAutoencoder, sensor_features: Tensor, features: Tensor):
        super().__init__()
        self.autoencoder = autoencoder
        self.sensor_features, self.features = sensor_features, features

    def forward(self, readings: Tensor, points: Tensor, values: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """(b, n_s, c), (p,), (b, p, c), (b, p)."""
        guess = self.autoencoder(readings, self.sensor_features, self.features[points])
        error = (guess - values).square().mean(-1) * valid
        weight = weights_of(valid.sum())[0]
        return {"loss": weight * error.sum() / valid.sum().clamp_min(1)}


def train_encoder(
    data_path: Path,
    sensors_path: Path,
    out_dir: Path,
    *,
    role: Role,
    settings: Stage1Config,
    seed: int,
    fabric: Fabric,
    tracker: Logs,
    start_from: Path | None = None,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Stage 1. Writes ``model.safetensors`` and ``history.csv`` into `out_dir`.

    Parameters
    ----------
    role
        Which sensors the encoder sees.
    start_from
        A stage-1 model of the same shape whose weights to begin with.
    checkpoints
        Where to leave the state of the training, and to go on from.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit.
    """
    require_rows(settings.batch_frames, "stage1.batch_frames")
    fabric.seed_everything(seed, verbose=False)
    data = read_data(data_path)
    sensors = read_sensors(sensors_path, data)
    fields = DeviceFields(data, settings.symmetries, fabric.device)
    where = sensor_points(sensors, role).to(fabric.device)
    shape = autoencoder_shape(data, settings)
    autoencoder = SensorAutoencoder(shape)
    made_from = {"data": data.digest, "sensors": sensors.digest}
    if start_from is not None:  # which may be of another run, or of other data
        start = load_model(start_from, "sparse", "semi_sparse")
        start.restore(autoencoder)
        made_from["start"] = start.digest
    features = position_features(data, settings.space_bands, fabric.device)
    objective = ReconstructionLoss(autoencoder, features[where], features)

    frames = training_frames(data, settings, seed).to(fabric.device)  # (trajectory, frame)
    area = PointsByArea(data, fabric.device)
    batch = settings.batch_frames

    def draw(generator: torch.Generator, step: int) -> tuple[Tensor, ...]:
        chosen = frames[torch.randint(len(frames), (batch,), generator=generator, device=fabric.device)]
        symmetry = torch.randint(fields.num_symmetries, (batch,), generator=generator, device=fabric.device)
        points = area.draw(settings.batch_pixels, generator)
        views = Views(chosen[:, 0], chosen[:, 1], symmetry)[fabric.global_rank :: fabric.world_size]
        readings, _ = fields.gather(views, where)
        return readings, points, *fields.gather(views, points)

    model = Stage1Model(autoencoder, where, features, settings)
    val, at = validation_views(data, fields), validation_points(fields)

    def validate() -> dict[str, float]:
        with fabric.autocast():
            return reconstruction_metrics(fields, val, decode_at(model, encode_views(model, fields, val), at), at)

    out_dir.mkdir(parents=True, exist_ok=True)
    budget = settings
    if start_from is not None and settings.warm_steps is not None:
        budget = settings.model_copy(update={"max_steps": settings.warm_steps})
    best = fit(
        fabric, objective, draw, validate, budget,
        seed=seed, name=f"stage 1 {role}", tracker=tracker, history=out_dir / "history.csv",
        made_from=made_from, checkpoints=checkpoints,
    )  # fmt: skip
    if fabric.is_global_zero:
        save_model(
            out_dir / "model.safetensors",
            autoencoder,
            role,
            shape=asdict(shape),
            settings=settings.model_dump(mode="json"),
            made_from=made_from,
            extra={"seed": seed, "validation": best, "grid": list(data.grid), "points": points_digest(sensors, role)},
        )


def autoencoder_shape(data: FieldData, settings: Stage1Config) -> AutoencoderShape:
    """The sizes that a data set and the configuration ask for."""
    names = AutoencoderShape.__dataclass_fields__.keys() & Stage1Config.model_fields.keys()
    return AutoencoderShape(
        channels=len(data.channels),
        position_features=2 * len(data.axes) * settings.space_bands,
        **{name: getattr(settings, name) for name in names},
    )


class PointsByArea:
    """Draws points, each as likely as the area that it stands for: means over them are means over the domain."""

    def __init__(self, data: FieldData, device: torch.device):
        self._points, self._device = data.num_points, device
        even = np.allclose(data.weights, 1)
        share = np.cumsum(data.weights) / data.weights.sum()
        self._share = None if even else torch.tensor(share, dtype=torch.float32, device=device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) int64, with replacement."""
        if self._share is None:
            return torch.randint(self._points, (count,), generator=generator, device=self._device)
        at = torch.rand(count, generator=generator, device=self._device)
        return torch.searchsorted(self._share, at).clamp_max(self._points - 1)


def training_frames(data: FieldData, settings: Stage1Config, seed: int) -> Tensor:
    """(trajectory, frame) pairs to train on, (n, 2): all of the training split's, or `training_frames` of each."""
    generator = torch.Generator().manual_seed(seed)
    total = data.fields.shape[1]
    count = min(settings.training_frames or total, total)
    pairs = []
    for trajectory in data.trajectories("train").tolist():
        if settings.consecutive_train:
            start = int(torch.randint(total - count + 1, (), generator=generator))
            frames = torch.arange(start, start + count)
        else:
            frames = torch.randperm(total, generator=generator)[:count].sort().values
        pairs.append(torch.stack([torch.full_like(frames, trajectory), frames], dim=-1))
    return torch.cat(pairs)


def validation_views(data: FieldData, fields: DeviceFields, split: Split = "val") -> Views:
    """`VALIDATION_FRAMES` frames or fewer, spread over all validation trajectories (or those of another split).

    Raises
    ------
    SparseVQError
        The split has no trajectory.
    """
    trajectories = torch.from_numpy(data.trajectories(split)).to(fields.device)
    if not len(trajectories):
        raise SparseVQError(f"{data.name} has no trajectory of the split {split}", "give it at least one (/split)")
    each = max(1, min(fields.frames, VALIDATION_FRAMES // len(trajectories)))
    frames = torch.linspace(0, fields.frames - 1, each, device=fields.device).round().long()
    return fields.views(trajectories, frames)


def validation_points(fields: DeviceFields) -> Tensor:
    """(p,) points at which training is judged: all, or `VALIDATION_POINTS` at random, the same at every validation."""
    if fields.points <= VALIDATION_POINTS:
        return torch.arange(fields.points, device=fields.device)
    chosen = torch.randperm(fields.points, generator=torch.Generator().manual_seed(0))[:VALIDATION_POINTS]
    return chosen.sort().values.to(fields.device)


def reconstruction_metrics(
    fields: DeviceFields, views: Views, guess: Tensor, points: Tensor | None = None
) -> dict[str, float]:
    """`val_loss`, the normalised MSE, and the mean relative L2 in physical units, of a guess (b, p, c).

    `points` (p,) says where the guess is; None: everywhere.

    Means over space are by area; in the relative L2 channels of different units count alike, as in the evaluation.
    """
    if points is None:
        points = torch.arange(fields.points, device=fields.device)
    truth, valid = fields.gather(views, points)
    weight = (valid * fields.weights[points])[..., None]
    mse = ((guess - truth).square() * weight).sum() / weight.sum() / fields.channels
    error = ((guess - truth) * fields.std / fields.joint_scale).square() * weight
    size = (fields.physical(truth) / fields.joint_scale).square() * weight
    relative = (error.sum((1, 2)) / size.sum((1, 2))).sqrt()
    return {"val_loss": float(mse), "val_relative_l2": float(relative.mean())}
