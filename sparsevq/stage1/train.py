"""Stage 1 as in the paper: train a sparse or a semi-sparse encoder together with its coordinate decoder."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sparsevq.config import Stage1Config, TrainingConfig
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData
from sparsevq.models.autoencoder import AutoencoderConfig, SensorAutoencoder
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.devices.memory import sent
from sparsevq.runtime.devices.parallel import require_rows, weights_of
from sparsevq.stage1.model import (
    PerceiverModel,
    Role,
    decode_at,
    points_digest,
    require_all_channels,
    sensor_points,
)
from sparsevq.training.fields import PointsByArea, Truth, validation_points, validation_views
from sparsevq.training.stage import Stage


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


class EncoderStage(Stage):
    """The paper's encoder: readings of the sensors of a frame in, values at random points of the same frame out.

    Parameters
    ----------
    run
        Its data set and sensors are read.
    role
        Which sensors the encoder sees.
    start_from
        A stage-1 model of the same sizes whose weights to begin with: of this or of another run.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit; or a sensor does not read all channels.
    """

    module: SensorAutoencoder
    config: AutoencoderConfig
    settings: Stage1Config

    def __init__(
        self,
        run: Run,
        role: Role,
        settings: Stage1Config,
        *,
        seed: int,
        fabric: Fabric,
        start_from: Path | None = None,
    ):
        require_rows(settings.batch_frames, "stage1.batch_frames")
        super().__init__(settings, seed, fabric)
        data, sensors, device = run.data, run.sensors, fabric.device
        require_all_channels(sensors, role)
        self.name, self.kind = f"stage 1 {role}", role
        self.config = autoencoder_config(data, settings)
        self.module = SensorAutoencoder(self.config)
        self.made_from = {"data": data.digest, "basis": run.basis.digest, "sensors": sensors.digest}
        self.start_from(start_from, "sparse", "semi_sparse")
        self.extra = {"grid": list(data.grid), "points": points_digest(sensors, role)}

        self.fields = DeviceFields(data, settings.symmetries, device, run.basis)
        self.frames = training_frames(data, settings, seed)  # (trajectory, frame)
        self.area = PointsByArea(data)
        self.where = sensor_points(sensors, role)
        self.model = PerceiverModel(
            settings=settings,
            basis=run.basis,
            autoencoder=self.module,
            where=self.where.to(device),
            grid=data,
        )
        self.objective = ReconstructionLoss(self.module, self.model.sensor_features, self.model.features)
        val, self.val_points = validation_views(data, self.fields), validation_points(self.fields).to(device)
        self.val_readings, self.truth = self.fields.gather(val, self.where)[0], Truth(self.fields, val, self.val_points)
        self._warm = start_from is not None

    @property
    def budget(self) -> TrainingConfig:
        """`warm_steps` steps where the weights are another model's."""
        warm = self.settings.warm_steps if self._warm else None
        return self.settings if warm is None else self.settings.model_copy(update={"max_steps": warm})

    def draw(self, generator: torch.Generator, step: int) -> tuple[Tensor, ...]:
        """Readings (b, n_s, c); points (p,), values there (b, p, c), and where there is a field (b, p)."""
        batch = self.settings.batch_frames
        chosen = self.frames[torch.randint(len(self.frames), (batch,), generator=generator)]
        symmetry = torch.randint(self.fields.num_symmetries, (batch,), generator=generator)
        points = self.area.draw(self.settings.batch_pixels, generator)
        views = Views(chosen[:, 0], chosen[:, 1], symmetry)[self.mine]
        readings, _ = self.fields.gather(views, self.where)
        return readings, sent(points, self.fabric.device), *self.fields.gather(views, points)

    def draws_ahead(self, step: int) -> bool:
        """Where fields come from a file or cross to a GPU."""
        return self.fields.slow

    def validate(self) -> dict[str, float]:
        """Error of the reconstruction of validation frames."""
        with self.fabric.autocast():
            latents = self.model.estimate(self.val_readings, None)
            return self.truth.metrics(decode_at(self.model, latents, self.val_points))


def autoencoder_config(data: FieldData, settings: Stage1Config) -> AutoencoderConfig:
    """The sizes that a data set and the configuration ask for."""
    names = AutoencoderConfig.__dataclass_fields__.keys() & Stage1Config.model_fields.keys()
    return AutoencoderConfig(
        channels=len(data.channels),
        position_features=2 * len(data.axes) * settings.space_bands,
        **{name: getattr(settings, name) for name in names},
    )


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
