"""Stage 3: a decoder-only Transformer over code indices.

What is particular to it:

- A frame is P tokens of Q codes (residual levels). A token enters as its vector in the codebook, so that codes that
  mean nearly the same look nearly the same, plus a learned vector for each code.
- `next_frame`: attention is causal between frames and full within one, and position i predicts token i of the *next*
  frame (block-causal, as in BCAT); `next_token`: strictly causal, each position predicts the token that follows.
- The levels of a token are predicted one after the other by a small head that has seen the levels before it.
- Logits are dot products of a predicted vector with the codebook plus a learned bias: nearby codes have similar logits
  from the first step.
- Rotary positions over frames, learned positions within a frame; so a context can slide past the trained length.
- Generation keeps keys and values, and runs trajectories and ensemble members as one batch.

    b sequences, s frames, P tokens a frame, Q levels, K codes a level, D channels of a code
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from sparsevq.models.attention import FeedForward, attend


@dataclass(frozen=True)
class GPTConfig:
    """Sizes; names as in `sparsevq.config.Stage3Config`."""

    tokens_per_frame: int
    num_quantizers: int
    num_vq_embeddings: int
    vq_embedding_dim: int
    prediction: Literal["next_frame", "next_token"]
    context_frames: int
    time_transformer_layers: int
    time_transformer_heads: int
    time_transformer_dim: int
    dropout: float = 0.0

    @property
    def block(self) -> int:
        """Tokens that are predicted at once."""
        return self.tokens_per_frame if self.prediction == "next_frame" else 1


def rotate(x: Tensor, frame: Tensor) -> Tensor:
    """Rotary embedding (Su et al. 2021) of (b, h, n, d) by the frame number (n,) of each token."""
    half = x.shape[-1] // 2
    frequency = 100.0 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = frame[:, None].float() * frequency  # (n, d / 2)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Cache:
    """Keys and values of the frames seen so far, one layer's; the oldest frame leaves when `tokens` are full."""

    def __init__(self, tokens: int, frame: int):
        self.tokens, self.frame, self.length = tokens, frame, 0
        self.key = self.value = torch.empty(0)

    def add(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append (b, h, n, d) and return all that is kept."""
        if self.length == 0:
            room = (*key.shape[:2], self.tokens, key.shape[3])
            self.key, self.value = key.new_empty(room), value.new_empty(room)
        while self.length + key.shape[2] > self.tokens:
            kept = self.length - self.frame
            self.key[:, :, :kept] = self.key[:, :, self.frame : self.length].clone()
            self.value[:, :, :kept] = self.value[:, :, self.frame : self.length].clone()
            self.length = kept
        end = self.length + key.shape[2]
        self.key[:, :, self.length : end] = key
        self.value[:, :, self.length : end] = value
        self.length = end
        return self.key[:, :, :end], self.value[:, :, :end]


class Layer(nn.Module):
    """Pre-normalised causal attention and feed-forward."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        dim = config.time_transformer_dim
        self.heads, self.dropout = config.time_transformer_heads, config.dropout
        self.norm = nn.LayerNorm(dim)
        self.to_query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.feed_forward = FeedForward(dim, 4, config.dropout)

    def forward(self, x: Tensor, frame: Tensor, mask: Tensor | None, cache: Cache | None = None) -> Tensor:
        query, key, value = rearrange(
            self.to_query_key_value(self.norm(x)), "b n (three h d) -> three b h n d", three=3, h=self.heads
        )
        query, key = rotate(query, frame), rotate(key, frame)
        if cache is not None:
            key, value = cache.add(key, value)
        mixed = attend(query, key, value, mask, self.dropout if self.training else 0.0)
        x = x + self.out(rearrange(mixed, "b h n d -> b n (h d)"))
        return x + self.feed_forward(x)


class GPT(nn.Module):
    """See the module's docstring. `codebook` (Q, K, D) comes from the index dump and stays as it is."""

    def __init__(self, config: GPTConfig, codebook: Tensor):
        super().__init__()
        dim, levels, codes = config.time_transformer_dim, config.num_quantizers, config.num_vq_embeddings
        if codebook.shape != (levels, codes, config.vq_embedding_dim):
            raise ValueError(
                f"the codebook is {tuple(codebook.shape)}, "
                f"the GPT was made for {(levels, codes, config.vq_embedding_dim)}"
            )
        self.config = config
        # Scaled by the std of the first level, so that the codes of any tokenizer have about unit size.
        self.register_buffer("codebook", codebook / codebook[0].std().clamp_min(1e-8))
        self.codebook: Tensor
        self.from_code = nn.Linear(config.vq_embedding_dim, dim)
        self.code_vectors = nn.Parameter(torch.zeros(levels, codes, dim))
        self.token_position = nn.Parameter(torch.randn(config.tokens_per_frame, dim) * 0.02)
        self.prompt = nn.Parameter(torch.zeros(dim))  # added to the tokens of the observed frame
        layers = [Layer(config) for _ in range(config.time_transformer_layers)]
        self.layers = nn.ModuleList(layers)
        self.from_levels = nn.Linear(config.vq_embedding_dim, dim, bias=False)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, config.vq_embedding_dim))
            for _ in range(levels)
        )
        self.bias = nn.Parameter(torch.zeros(levels, codes))
        self.scale = nn.Parameter(torch.zeros(levels))
        for layer in layers:  # residual branches start small (GPT-2)
            for branch in (layer.out, layer.feed_forward.narrow):
                nn.init.normal_(branch.weight, std=0.02 / (2 * len(layers)) ** 0.5)

    # ------------------------------------------------------------------ training

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy (nats a code) of the codes that follow the observed frame.

        Parameters
        ----------
        inputs
            Sequences as the network sees them (perhaps with noise), (b, s, P, Q); the first frame is the observed one.
        targets
            Sequences as they are, (b, s, P, Q).
        """
        block, size = self.config.block, self.config.tokens_per_frame
        hidden = self.trunk(inputs.flatten(1, 2)[:, :-block])
        # Position i predicts token i + block; the observed frame's own tokens are given, not forecast.
        return self.cross_entropy(hidden[:, size - block :], targets.flatten(1, 2)[:, size:])

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Hidden states (b, n, dim) against codes (b, n, Q), the levels before each one given."""
        vectors = self.vectors(targets)  # (b, n, Q, D)
        seen = torch.zeros_like(vectors[..., 0, :])
        losses = []
        for level in range(self.config.num_quantizers):
            logits = self.logits(hidden, seen, level)
            losses.append(F.cross_entropy(logits.flatten(0, 1).float(), targets[..., level].flatten()))
            seen = seen + vectors[..., level, :]
        return torch.stack(losses).mean()

    def trunk(self, tokens: Tensor) -> Tensor:
        """Tokens (b, n, Q), the first of them the first token of a frame -> hidden states (b, n, dim)."""
        place = torch.arange(tokens.shape[1], device=tokens.device)
        frame, block = place // self.config.tokens_per_frame, place // self.config.block
        mask = block[:, None] >= block[None, :]
        x = self.embed(tokens, place)
        for layer in self.layers:
            x = layer(x, frame, mask)
        return x

    def embed(self, tokens: Tensor, place: Tensor) -> Tensor:
        """Tokens (b, n, Q) at places (n,) in the sequence -> (b, n, dim)."""
        size = self.config.tokens_per_frame
        levels = torch.arange(self.config.num_quantizers, device=tokens.device)
        x = self.from_code(self.vectors(tokens).sum(-2)) + self.code_vectors[levels, tokens].sum(-2)
        return x + self.token_position[place % size] + (place < size).to(x.dtype)[:, None] * self.prompt

    def vectors(self, tokens: Tensor) -> Tensor:
        """Codes (..., Q) -> their vectors (..., Q, D)."""
        levels = torch.arange(self.config.num_quantizers, device=tokens.device)
        return self.codebook[levels, tokens]

    def logits(self, hidden: Tensor, seen: Tensor, level: int) -> Tensor:
        """Scores (..., K) of the codes of one level, after `seen` (..., D), the sum of the levels before it."""
        guess = self.heads[level](hidden + self.from_levels(seen))
        return guess @ self.codebook[level].T.to(guess.dtype) * self.scale[level].exp() + self.bias[level]

    # ------------------------------------------------------------------ generation

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        frames: int,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        generator: torch.Generator | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Continue observed frames.

        Parameters
        ----------
        prompt
            Code indices of the observed frame, (b, P, Q).
        frames
            Frames to generate; past the trained context it slides.
        temperature
            Of the softmax; 0 takes the likeliest code.
        top_k
            Draw among this many likeliest codes; 0: among all.
        generator
            Source of randomness, on the prompt's device.

        Returns
        -------
        Indices (b, frames, P, Q).
        """
        config = self.config
        size, block = config.tokens_per_frame, config.block
        # As much as a position sees in training: the frames before the one that it predicts, and of that one the tokens
        # that are made.
        room = (config.context_frames + 1) * size - block
        caches = [Cache(room, size) for _ in self.layers]
        given, place = prompt, 0
        made: list[Tensor] = []
        while len(made) * block < frames * size:
            places = torch.arange(place, place + given.shape[1], device=prompt.device)
            x = self.embed(given, places)
            mask = None
            if block == 1 and given.shape[1] > 1:  # the prompt, token by token
                mask = torch.ones(size, size, dtype=torch.bool, device=prompt.device).tril()
            for layer, cache in zip(self.layers, caches, strict=True):
                x = layer(x, places // size, mask, cache)
            place += given.shape[1]
            given = self.sample(x[:, -block:], temperature, top_k, generator)
            made.append(given)
            if progress is not None and place % size == 0:
                progress(place // size)
        return rearrange(torch.cat(made, dim=1), "b (s p) q -> b s p q", p=size)

    def sample(self, hidden: Tensor, temperature: float, top_k: int, generator: torch.Generator | None) -> Tensor:
        """Draw the codes (b, n, Q) that follow hidden states (b, n, dim), level after level."""
        seen = torch.zeros(*hidden.shape[:2], self.config.vq_embedding_dim, device=hidden.device)
        drawn = []
        for level in range(self.config.num_quantizers):
            logits = self.logits(hidden, seen, level).float()
            if top_k and top_k < logits.shape[-1]:
                logits = logits.masked_fill(logits < logits.topk(top_k).values[..., -1:], -torch.inf)
            if temperature == 0:
                code = logits.argmax(-1)
            else:
                chance = (logits / temperature).softmax(-1)
                code = torch.multinomial(chance.flatten(0, 1), 1, generator=generator).view(logits.shape[:-1])
            drawn.append(code)
            seen = seen + self.codebook[level][code]
        return torch.stack(drawn, dim=-1)


def members_of(prompt: Tensor, members: int) -> Tensor:
    """Repeat prompts (b, P, Q) for every ensemble member: (b * members, P, Q), members of a case side by side."""
    return repeat(prompt, "b p q -> (b m) p q", m=members)
