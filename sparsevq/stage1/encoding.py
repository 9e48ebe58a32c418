"""A trained stage-1 model in use: frames to latents, latents to fields."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.models.autoencoder import SensorAutoencoder

FRAMES_AT_ONCE = 64
"""Bounds the memory of decoding: frames x points x channels of the decoder."""


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
    return torch.cat([model.autoencoder.decoder(part, model.features).float() for part in latents.split(FRAMES_AT_ONCE)])
