"""Stage 1 on POD modes: what a model of this kind keeps beside the basis of its data set.

Its latents are coefficients of the modes. The encoder is an estimate from the readings at any sensors, in which the
examples kept here are all that was learned (`sparsevq.models.estimate`); the decoder is the modes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsevq.models.estimate import Estimator


@dataclass(frozen=True)
class ModalConfig:
    """Sizes; names as in `sparsevq.config.Stage1Config`.

    Attributes
    ----------
    channels
        Channels of the field.
    modes
        Coefficients of a frame, r.
    num_latents
        Latents that they are laid out in, by decreasing variance, with zeros after the last.
    readings
        Of the sensors that the model was made for, m; 0: latents are the projection of the dense field.
    examples, held_out
        Frames kept to learn from, and to choose by; none without sensors.
    """

    channels: int
    modes: int
    num_latents: int
    readings: int
    examples: int
    held_out: int

    @property
    def latent_channels(self) -> int:
        """Coefficients in each latent."""
        return -(-self.modes // self.num_latents)


class ModalLatents(nn.Module):
    """Estimate from the model's sensors, examples (S, r), held-out frames (V, r); coefficients laid out as latents."""

    def __init__(self, config: ModalConfig):
        super().__init__()
        self.config = config
        self.examples: Tensor
        self.held_out: Tensor
        self.register_buffer("examples", torch.zeros(config.examples, config.modes))
        self.register_buffer("held_out", torch.zeros(config.held_out, config.modes))
        self.estimator = Estimator(config.modes, config.readings, config.examples) if config.readings else None

    @property
    def device(self) -> torch.device:
        """Where the examples are."""
        return self.examples.device

    def to_latents(self, coefficients: Tensor) -> Tensor:
        """(b, r) -> (b, num_latents, latent_channels)."""
        size = self.config.num_latents * self.config.latent_channels
        return F.pad(coefficients, (0, size - self.config.modes)).unflatten(1, (self.config.num_latents, -1))

    def to_coefficients(self, latents: Tensor) -> Tensor:
        """(b, num_latents, latent_channels) -> (b, r)."""
        return latents.flatten(1)[:, : self.config.modes]
