"""A trained stage-1 model in use: frames to latents, latents to fields."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsevq.config import Stage1Config, parse
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.models.autoencoder import AutoencoderConfig, SensorAutoencoder
from sparsevq.models.positions import sine_cosine_features
from sparsevq.runs.run import Run
from sparsevq.sensors.placement import SensorSets

Role = Literal["sparse", "semi_sparse"]

VALUES_AT_ONCE = 2**16
"""Points, over all frames, that are decoded together: bounds the memory. 16 frames of 4096 points fit a CPU's cache; 64
are 1.3 times slower."""


@dataclass(frozen=True)
class Stage1Model:
    """An autoencoder with its sensors.

    Attributes
    ----------
    where
        Grid points of the sensors, (n_s,).
    features
        g(x) of every grid point, (N, f).
    """

    autoencoder: SensorAutoencoder
    where: Tensor
    features: Tensor
    settings: Stage1Config
    digest: str = ""

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Latents of a frame, and channels of each."""
        config = self.autoencoder.config
        return config.num_latents, config.enc_num_latent_channels


def load_stage1(run: Run, role: Role, device: torch.device) -> Stage1Model:
    """A run's trained encoder and decoder, ready to use.

    Parameters
    ----------
    role
        Which sensors it is to see. A role is about use: an encoder that a run of its own trained as its sparse one may
        be the teacher of another run.

    Raises
    ------
    SparseVQError
        The file is missing, damaged, of another kind, or was trained on another grid, other channels, another data set
        or other sensors than the run's. Which file the sensors are from does not matter, nor their order.
    """
    data, sensors, file = run.domain, run.sensors, run.model(role)
    settings = parse(Stage1Config, file.settings, str(file.path))
    if file.extra["grid"] != list(data.grid) or file.shape["channels"] != len(data.channels):
        raise SparseVQError(
            f"{file.path} was trained on a grid {file.extra['grid']} with {file.shape['channels']} channels, "
            f"but {data.name} has {list(data.grid)} with {len(data.channels)}",
            "train it on this data set",
        )
    if file.extra.get("points", "") not in ("", points_digest(sensors, role)):
        raise SparseVQError(
            f"{file.path} was trained with other sensors than the {role.replace('_', '-')} ones that it is used with",
            f"train it again (snakemake --forcerun {file.kind}), or give the sensors.h5 that it was made from",
        )
    autoencoder = SensorAutoencoder(AutoencoderConfig(**file.shape))
    file.restore(autoencoder)
    return Stage1Model(
        autoencoder.to(device).eval().requires_grad_(False),
        sensor_points(sensors, role).to(device),
        position_features(data, settings.space_bands, device),
        settings,
        file.digest,
    )


def load_encoders(run: Run, device: torch.device) -> tuple[Stage1Model, Stage1Model]:
    """A run's sparse encoder and its teacher, whose latents are alike in shape.

    Raises
    ------
    SparseVQError
        As `load_stage1`; or the latents differ in shape.
    """
    sparse, teacher = load_stage1(run, "sparse", device), load_stage1(run, "semi_sparse", device)
    if sparse.latent_shape != teacher.latent_shape:
        raise SparseVQError(
            f"{run.file('sparse')} gives latents of shape {sparse.latent_shape}, {run.file('semi_sparse')} of shape "
            f"{teacher.latent_shape}",
            "train both encoders with the same num_latents and enc_num_latent_channels",
        )
    return sparse, teacher


def sensor_points(sensors: SensorSets, role: Role) -> Tensor:
    """Grid points of the sensors that an encoder of this role sees."""
    return torch.from_numpy(sensors.sparse if role == "sparse" else sensors.semi_sparse)


def points_digest(sensors: SensorSets, role: Role) -> str:
    """SHA-256 of the grid points that an encoder of this role sees, in increasing order."""
    points = np.sort(sensors.sparse if role == "sparse" else sensors.semi_sparse)
    return hashlib.sha256(points.astype("<i8").tobytes()).hexdigest()


def position_features(data: FieldData, space_bands: int, device: torch.device) -> Tensor:
    """g(x) of every grid point, (N, f)."""
    return features_at(data, data.physical_coordinates, space_bands).to(device)


def features_at(data: FieldData, places: npt.NDArray[np.float64], space_bands: int) -> Tensor:
    """g(x) at places (n, d) in the axes' units, on the CPU."""
    return sine_cosine_features(torch.from_numpy(data.scaled(places)), space_bands, data.resolution, data.closed)


@torch.no_grad()
def encode_views(model: Stage1Model, fields: DeviceFields, views: Views, frames_at_once: int = 512) -> Tensor:
    """Latents (b, num_latents, dim) of frames, float32."""
    features = model.features[model.where]
    parts = (views[start : start + frames_at_once] for start in range(0, len(views), frames_at_once))
    return torch.cat(
        [model.autoencoder.encoder(fields.gather(part, model.where)[0], features).float() for part in parts]
    )


@torch.no_grad()
def decode_everywhere(model: Stage1Model, latents: Tensor) -> Tensor:
    """Normalised fields (b, N, c) of latents (b, num_latents, dim), float32."""
    return _decode(model, latents, model.features)


@torch.no_grad()
def decode_at(model: Stage1Model, latents: Tensor, points: Tensor) -> Tensor:
    """Normalised values (b, p, c) at grid points (p,) of latents (b, num_latents, dim), float32."""
    return _decode(model, latents, model.features[points])


def _decode(model: Stage1Model, latents: Tensor, features: Tensor) -> Tensor:
    at_once = max(1, VALUES_AT_ONCE // len(features))
    return torch.cat([model.autoencoder.decoder(part, features).float() for part in latents.split(at_once)])
