"""Stage 1: sensor readings -> latents -> the field at any coordinate.

The encoder is a Perceiver (Jaegle et al. 2021) over the set of sensors, as in the Senseiver (Santos et al. 2023): a
learned query array cross-attends to the sensors and mixes by self-attention, several times; the first block has its own
weights, later ones share theirs. The decoder evaluates the field at a coordinate by one cross-attention to the latents,
so that its output isn't tied to a grid.

    n_s sensors, c channels, p query points, f = 2 * d * space_bands features of a position
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.attention import (
    CrossAttention,
    CrossAttentionBlock,
    FeedForward,
    SelfAttentionBlock,
    learned_queries,
)


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the networks; names as in `sparsevq.config.Stage1Config`."""

    channels: int
    position_features: int
    enc_preproc_ch: int
    num_latents: int
    enc_num_latent_channels: int
    num_layers: int
    num_cross_attention_heads: int
    num_self_attention_heads: int
    num_self_attention_layers_per_block: int
    dec_preproc_ch: int
    dec_num_latent_channels: int
    mlp_ratio: int


READING_SCALE = 5.0
"""Scale of the readings' initial weights beside those of the position features (docs/lab-notes.md)."""


class EncoderBlock(nn.Module):
    """Cross-attention to the sensors, then self-attention among the latents."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        dim, ratio = config.enc_num_latent_channels, config.mlp_ratio
        self.look = CrossAttentionBlock(dim, config.enc_preproc_ch, config.num_cross_attention_heads, ratio)
        self.mix = nn.ModuleList(
            SelfAttentionBlock(dim, config.num_self_attention_heads, ratio)
            for _ in range(config.num_self_attention_layers_per_block)
        )

    def forward(self, latents: Tensor, keys_values: Tensor) -> Tensor:
        latents = self.look(latents, keys_values)
        for layer in self.mix:
            latents = layer(latents)
        return latents


class SensorEncoder(nn.Module):
    """Readings (b, n_s, c) at positions with features (n_s, f) or (b, n_s, f) -> latents (b, num_latents, dim)."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.num_layers = config.num_layers
        self.preprocess = nn.Linear(config.channels + config.position_features, config.enc_preproc_ch)
        with torch.no_grad():  # few channels beside many position features
            self.preprocess.weight[:, : config.channels] *= READING_SCALE
        self.queries = learned_queries(config.num_latents, config.enc_num_latent_channels)
        self.first = EncoderBlock(config)
        self.later = EncoderBlock(config) if config.num_layers > 1 else None

    def forward(self, readings: Tensor, features: Tensor) -> Tensor:
        sensors = self._sensors(readings, features)
        latents = self.queries.expand(len(readings), -1, -1)
        latents = self.first(latents, self.first.look.attention.keys_values(sensors))
        if self.later is not None:
            # Later blocks share their weights and see the same sensors: their keys and values are the same too.
            keys_values = self.later.look.attention.keys_values(sensors)
            for _ in range(self.num_layers - 1):
                latents = self.later(latents, keys_values)
        return latents

    def _sensors(self, readings: Tensor, features: Tensor) -> Tensor:
        """What the linear layer makes of readings and positions, (b, n_s, enc_preproc_ch).

        The positions' part is the same for all frames, and is computed once if they come without a batch dimension.
        """
        channels = readings.shape[-1]
        of_readings, of_positions = self.preprocess.weight.split([channels, features.shape[-1]], dim=1)
        return F.linear(readings, of_readings) + F.linear(features, of_positions, self.preprocess.bias)


class CoordinateDecoder(nn.Module):
    """Latents (b, num_latents, dim), positions with features (p, f) -> the normalised field there (b, p, c)."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        dim = config.dec_num_latent_channels
        self.query = learned_queries(1, dim)
        self.preprocess = nn.Linear(config.position_features + dim, config.dec_preproc_ch)
        self.attention = CrossAttention(
            config.dec_preproc_ch, config.enc_num_latent_channels, dim, config.num_cross_attention_heads
        )
        self.position = nn.Linear(config.dec_preproc_ch, dim)  # a direct path from the position to the output
        self.feed_forward = FeedForward(dim, config.mlp_ratio)
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, config.channels))

    def forward(self, latents: Tensor, features: Tensor) -> Tensor:
        return self.answer(latents, self.asked(features))

    def asked(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What positions (p, f) ask of any latents, (1, h, p, d), and their direct path, (1, p, dim).

        They are the same for all frames, and computed once.
        """
        queries = self.preprocess(torch.cat([features, self.query.expand(len(features), -1)], dim=-1))[None]
        return self.attention.projected(queries), self.position(queries)

    def answer(self, latents: Tensor, asked: tuple[Tensor, Tensor]) -> Tensor:
        """Latents (b, num_latents, dim), and what `asked` gave -> (b, p, c)."""
        queries, direct = asked
        values = direct + self.attention.mixed(queries, self.attention.keys_values(latents))  # (b, p, dim)
        values = values + self.feed_forward(values)
        return self.out(values)


class SensorAutoencoder(nn.Module):
    """Encoder and decoder, trained together in stage 1."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = SensorEncoder(config)
        self.decoder = CoordinateDecoder(config)

    def forward(self, readings: Tensor, sensor_features: Tensor, query_features: Tensor) -> Tensor:
        """(b, n_s, c), (n_s, f), (p, f) -> (b, p, c)."""
        return self.decoder(self.encoder(readings, sensor_features), query_features)
