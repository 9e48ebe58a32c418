"""The layers of the GPT: causal attention with rotary positions and kept keys, and projections by token position."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from sparsevq.models.attention import FeedForward, attend


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

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(dim)
        self.to_query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.feed_forward = FeedForward(dim, 4, dropout)

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


class PositionLinear(nn.Linear):
    """A linear layer; with several `positions` one for each token position of a frame, all in one product."""

    def __init__(self, inputs: int, outputs: int, positions: int = 1, bias: bool = True):
        super().__init__(inputs, outputs, bias)
        if positions > 1:
            bound = inputs**-0.5  # as nn.Linear begins
            self.weight = nn.Parameter(torch.empty(positions, outputs, inputs).uniform_(-bound, bound))
            if bias:
                self.bias = nn.Parameter(torch.empty(positions, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """Tokens (b, n, inputs), the first of them at position `first` of a frame -> (b, n, outputs)."""
        if self.weight.ndim == 2:
            return super().forward(x)
        made = by_position(x, self.weight.mT, first)
        bias: Tensor | None = self.bias
        if bias is None:
            return made
        return made + bias[(first + torch.arange(x.shape[1], device=x.device)) % len(bias)]


class Head(nn.Sequential):
    """Hidden states (b, n, dim) -> the vector that is expected (b, n, D); its last layer knows the token position.

    One that does not speak begins as zero.
    """

    def __init__(self, dim: int, outputs: int, positions: int, speaks: bool = True):
        last = PositionLinear(dim, outputs, positions)
        super().__init__(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), last)
        if not speaks:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, hidden: Tensor, first: int = 0) -> Tensor:
        *before, last = self
        for layer in before:
            hidden = layer(hidden)
        return last(hidden, first)


def by_position(x: Tensor, matrices: Tensor, first: int) -> Tensor:
    """Tokens (b, n, d) times the matrix (P, d, e) of each one's position -> (b, n, e).

    The first token is at position `first` of a frame, or at that plus some frames; if it is not a frame's first, all
    tokens are of one frame.
    """
    count, size = x.shape[1], len(matrices)
    first %= size
    if first:
        return torch.einsum("bnd,nde->bne", x, matrices[first : first + count])
    frames = F.pad(x, (0, 0, 0, -count % size)).unflatten(1, (-1, size))
    return torch.einsum("bspd,pde->bspe", frames, matrices).flatten(1, 2)[:, :count]
