"""Stage 1 on POD modes: what a model of this kind keeps beside the basis of its data set.

Its latents are coefficients of the modes. The encoder is an estimate from the readings at any sensors, in which the
examples kept here are all that was learned (`sparsevq.models.estimate`); the decoder is the modes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsevq.models.estimate import Estimator, Examples


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
    parameters
        Of a trajectory that are known when it is read, k; none without examples.
    """

    channels: int
    modes: int
    num_latents: int
    readings: int
    examples: int
    held_out: int
    parameters: int = 0

    @property
    def latent_channels(self) -> int:
        """Coefficients in each latent."""
        return -(-self.modes // self.num_latents)


class Parameters(nn.Module):
    """Known parameters of the examples (S, k) and of the held-out frames (V, k), standardised by `mean`, `std` (k,)."""

    def __init__(self, config: ModalConfig):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.examples: Tensor
        self.held_out: Tensor
        self.register_buffer("mean", torch.zeros(config.parameters, dtype=torch.float64))
        self.register_buffer("std", torch.ones(config.parameters, dtype=torch.float64))
        self.register_buffer("examples", torch.zeros(config.examples, config.parameters))
        self.register_buffer("held_out", torch.zeros(config.held_out, config.parameters))

    def standardised(self, values: Tensor) -> Tensor:
        """(b, k) in the data set's units -> (b, k) float32."""
        return ((values.to(self.mean) - self.mean) / self.std).float()


class ModalLatents(nn.Module):
    """Estimate from the model's sensors, examples (S, r), held-out frames (V, r); coefficients laid out as latents.

    `known` has the known parameters of these frames; None: the estimate takes none.
    """

    def __init__(self, config: ModalConfig):
        super().__init__()
        self.config = config
        self.examples: Tensor
        self.held_out: Tensor
        self.register_buffer("examples", torch.zeros(config.examples, config.modes))
        self.register_buffer("held_out", torch.zeros(config.held_out, config.modes))
        self.known: Parameters | None = None
        self.estimator: Estimator | None = None
        if config.parameters:
            self.known = Parameters(config)
        if config.readings:
            self.estimator = Estimator(config.modes, config.readings, config.examples, config.parameters)

    def learned_from(self) -> Examples:
        """What an estimate from any sensors learns from."""
        if self.known is None:
            return Examples(self.examples, self.held_out)
        return Examples(self.examples, self.held_out, self.known.examples, self.known.held_out)

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
