"""Stage 2: latents -> a few discrete codes -> complete latents.

Three designs share one interface. `ConvTokenizer` is the published release's: the latents as a square picture, two
stride-2 convolutions, and mirrored. `AttentionTokenizer` pools the latents by learned queries, so that the number of
tokens is free. The quantizers of both are those of vector-quantize-pytorch (`quantizer.py`). `groups.py` cuts latents
that are coefficients into groups, each with a codebook of its own.

    n latents of c channels; P tokens a frame, each with Q codes (levels) of D = vq_embedding_dim channels
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from sparsevq.models.attention import CrossAttentionBlock, SelfAttentionBlock, learned_queries
from sparsevq.models.groups import GroupCodec, GroupQuantizer

if TYPE_CHECKING:
    from sparsevq.models.quantizer import Quantizer


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes; names as in `sparsevq.config.Stage2Config`. `groups`: coefficients of each token (tokenizer: groups)."""

    num_latents: int
    latent_channels: int
    tokenizer: Literal["conv", "attention", "groups"]
    tokens_per_frame: int
    quantizer: Literal["vq", "rvq", "fsq"]
    num_quantizers: int
    num_vq_embeddings: int
    vq_embedding_dim: int
    commitment_cost: float
    num_hiddens: int
    beam: int = 1
    groups: tuple[int, ...] = ()

    @property
    def levels(self) -> int:
        """Codes of a token."""
        return self.num_quantizers if self.quantizer == "rvq" else 1


class AttentionTokenizer(nn.Module):
    """P learned queries pool n latents; n learned queries unfold P tokens."""

    def __init__(self, config: TokenizerConfig, heads: int = 4, depth: int = 2):
        super().__init__()
        hidden, dim = config.num_hiddens, config.vq_embedding_dim

        def stack() -> nn.Sequential:
            return nn.Sequential(*(SelfAttentionBlock(hidden, heads, 2) for _ in range(depth)))

        self.read = nn.Linear(config.latent_channels, hidden)
        self.pool = CrossAttentionBlock(hidden, hidden, heads, 2)
        self.pool_queries = learned_queries(config.tokens_per_frame, hidden)
        self.mix = stack()
        self.to_tokens = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, dim))
        self.from_tokens = nn.Linear(dim, hidden)
        self.token_positions = learned_queries(config.tokens_per_frame, hidden)
        self.unmix = stack()
        self.unfold = CrossAttentionBlock(hidden, hidden, heads, 2)
        self.unfold_queries = learned_queries(config.num_latents, hidden)
        self.write = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, config.latent_channels))

    def encode(self, latents: Tensor) -> Tensor:
        """(b, n, c) -> (b, P, D)."""
        pooled = self.pool(
            self.pool_queries.expand(len(latents), -1, -1), self.pool.attention.keys_values(self.read(latents))
        )
        return self.to_tokens(self.mix(pooled))

    def decode(self, tokens: Tensor) -> Tensor:
        """(b, P, D) -> (b, n, c)."""
        mixed = self.unmix(self.from_tokens(tokens) + self.token_positions)
        return self.write(
            self.unfold(self.unfold_queries.expand(len(tokens), -1, -1), self.unfold.attention.keys_values(mixed))
        )


class ConvTokenizer(nn.Module):
    """Latents as a (side, side) picture, two stride-2 convolutions to (side / 4, side / 4), and mirrored."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.side = math.isqrt(config.num_latents)
        hidden, dim, channels = config.num_hiddens, config.vq_embedding_dim, config.latent_channels
        self.down = nn.Sequential(
            nn.Conv2d(channels, hidden // 2, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden // 2, hidden, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, dim, 3, padding=1),
        )
        self.up = nn.Sequential(
            nn.Conv2d(dim, hidden, 3, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(hidden, hidden // 2, 4, stride=2, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(hidden // 2, channels, 4, stride=2, padding=1),
        )

    def encode(self, latents: Tensor) -> Tensor:
        """(b, n, c) -> (b, P, D)."""
        picture = rearrange(latents, "b (h w) c -> b c h w", h=self.side)
        return rearrange(self.down(picture), "b d h w -> b (h w) d")

    def decode(self, tokens: Tensor) -> Tensor:
        """(b, P, D) -> (b, n, c)."""
        picture = rearrange(tokens, "b (h w) d -> b d h w", h=self.side // 4)
        return rearrange(self.up(picture), "b c h w -> b (h w) c")


def _quantizer(config: TokenizerConfig) -> "Quantizer":
    from sparsevq.models.quantizer import Quantizer  # imports for seconds what groups do without

    return Quantizer(config)


class LatentTokenizer(nn.Module):
    """Standardised latents, tokenizer encoder, quantizer, tokenizer decoder."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.config = config
        self.codec: ConvTokenizer | AttentionTokenizer | GroupCodec
        self.quantizer: Quantizer | GroupQuantizer
        if config.tokenizer == "groups":
            sizes = tuple(config.groups)
            self.codec = GroupCodec(sizes, config.num_latents, config.latent_channels)
            self.quantizer = GroupQuantizer(sizes, config.levels, config.num_vq_embeddings, config.beam)
        else:
            self.codec = ConvTokenizer(config) if config.tokenizer == "conv" else AttentionTokenizer(config)
            self.quantizer = _quantizer(config)
        self.center: Tensor
        self.spread: Tensor
        self.register_buffer("center", torch.zeros(config.num_latents, config.latent_channels))
        self.register_buffer("spread", torch.ones(config.num_latents, config.latent_channels))

    def standardise_by(self, latents: Tensor) -> None:
        """Take mean and standard deviation of the complete latents (b, n, c) of the training split.

        Coefficients in groups keep their unit: their squared error is the field's.
        """
        self.center.copy_(latents.mean(0))
        if self.config.tokenizer != "groups":
            self.spread.copy_(latents.std(0).clamp_min(1e-3))

    def encode(self, latents: Tensor) -> Tensor:
        """Latents (b, n, c) -> tokens before quantization (b, P, D)."""
        return self.codec.encode((latents - self.center) / self.spread)

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (b, P, D) -> completed latents (b, n, c)."""
        return self.codec.decode(tokens).float() * self.spread + self.center

    def forward(self, latents: Tensor, quantize: bool = True) -> tuple[Tensor, Tensor]:
        """Latents (b, n, c) -> completed latents (b, n, c), commitment loss ()."""
        tokens = self.encode(latents)
        commitment = tokens.new_zeros((), dtype=torch.float32)
        if quantize:
            tokens, _, commitment = self.quantizer(tokens)
        return self.decode(tokens), commitment

    @torch.no_grad()
    def tokenize(self, latents: Tensor) -> Tensor:
        """Latents (b, n, c) -> indices (b, P, Q). In training mode the codebook would learn from them."""
        _, indices, _ = self.quantizer(self.encode(latents))
        return indices

    @torch.no_grad()
    def detokenize(self, indices: Tensor) -> Tensor:
        """Indices (b, P, Q) -> completed latents (b, n, c)."""
        return self.decode(self.quantizer.lookup(indices))
