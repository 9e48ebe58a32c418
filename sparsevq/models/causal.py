"""The layers of the GPT: causal attention with rotary positions and kept keys, and projections by token position.

b sequences of n tokens, h heads of d channels; P token positions of a frame
"""

import contextlib
import copy
import functools
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.attention import FeedForward

Sight = Tensor | Literal["all", "before"]
"""What a token may see: all tokens; itself and those before it; or an additive mask (n, n) in the queries' type."""

MASK_STRIDE = 8
"""CUDA's fused kernel takes a mask whose rows are a multiple of this apart; others it copies each time."""


# ------------------------------------------------------------------ positions


def rotary_frequencies(channels: int) -> Tensor:
    """(d / 2,) radians a frame."""
    half = channels // 2
    return 100.0 ** (-torch.arange(half, dtype=torch.float32) / half)


class Rotation:
    """Rotary embedding (Su et al. 2021) by the frame of each token: cosine and sine (n, d / 2), for all layers.

    Parameters
    ----------
    times
        (s,) of the frames, in frames.
    frequencies
        `rotary_frequencies`.
    size, count
        Tokens of a frame, and of the sequence; the last frame may have fewer.
    """

    def __init__(self, times: Tensor, frequencies: Tensor, size: int, count: int):
        angle = (times[:, None].float() * frequencies).repeat_interleave(size, 0)[:count]
        self.cos, self.sin = angle.cos(), angle.sin()

    def at(self, place: int, count: int) -> "Rotation":
        """Of the tokens at places `place` ... of the sequence alone."""
        some = copy.copy(self)
        some.cos, some.sin = (table[place : place + count] for table in (self.cos, self.sin))
        return some

    def __call__(self, joined: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values side by side, (b, n, 3 h d) -> rotated queries and keys, values; (b, h, n, d)."""
        parts = joined.unflatten(-1, (3, heads, -1))
        cos, sin = (table.to(joined.dtype) for table in (self.cos, self.sin))
        # torch has no types for `apply`.
        found: tuple[Tensor, Tensor, Tensor] = _Rotated.apply(parts, cos, sin)  # type: ignore[no-untyped-call]
        return found


class _Rotated(torch.autograd.Function):
    """`Rotation` in as few passes over memory as there can be; its gradient is the rotation back."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        size = query.shape
        return (
            _turned(query, cos, sin, query.new_empty(size)),
            _turned(key, cos, sin, key.new_empty(size)),
            value.contiguous(),
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        query, key, value = gradients
        b, h, n, d = query.shape
        found = query.new_empty(b, n, 3, h, d)
        to_query, to_key, to_value = found.permute(2, 0, 3, 1, 4).unbind(0)
        _turned(query, cos, -sin, to_query)
        _turned(key, cos, -sin, to_key)
        to_value.copy_(value)
        return found, None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor) -> Tensor:
    (first, second), (to_first, to_second) = x.chunk(2, -1), out.chunk(2, -1)
    torch.mul(first, cos, out=to_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=to_second).addcmul_(first, sin)
    return out


# ------------------------------------------------------------------ attention


def block_causal(count: int, block: int, like: Tensor) -> Sight:
    """Of `count` tokens in blocks each sees its own block and those before it; a mask of `like`'s type and device."""
    if count <= block:
        return "all"
    return "before" if block == 1 else _block_mask(count, block, like.dtype, like.device)


@functools.lru_cache(maxsize=16)
def _block_mask(count: int, block: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(n, n), made once for all layers and steps: 0 where a token may see, minus infinity elsewhere."""
    order = torch.arange(count, device=device) // block
    hidden = order[:, None] < order[None, :]
    room = torch.zeros(count, -(-count // MASK_STRIDE) * MASK_STRIDE, dtype=dtype, device=device)
    return room[:, :count].masked_fill_(hidden, -torch.inf)


def attend_causally(query: Tensor, key: Tensor, value: Tensor, sight: Sight, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention of (b, h, n, d) with (b, h, k, d)."""
    on_processor = query.device.type == "cpu" and torch.is_grad_enabled()
    if on_processor:  # in the backward pass the fused kernel is 1.4 times slower in bf16 than in float32
        query, key, value = query.float(), key.float(), value.float()
        sight = sight.float() if isinstance(sight, Tensor) else sight
    mask = sight if isinstance(sight, Tensor) else None
    with torch.autocast("cpu", enabled=False) if on_processor else contextlib.nullcontext():
        if on_processor and dropout:
            return _attention_with_dropout(query, key, value, sight, dropout)
        before = mask is None and sight == "before"
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=before)


def _attention_with_dropout(query: Tensor, key: Tensor, value: Tensor, sight: Sight, dropout: float) -> Tensor:
    """On the CPU, where no fused kernel drops weights out: in as few passes over the weights as there can be."""
    if sight == "before":
        sight = _block_mask(query.shape[2], 1, query.dtype, query.device)
    mask = sight if isinstance(sight, Tensor) else query.new_zeros(())
    scores = torch.baddbmm(mask, query.flatten(0, 1), key.flatten(0, 1).mT, alpha=query.shape[-1] ** -0.5)
    keep, scale = kept(scores.shape, dropout)
    weights = torch.where(keep, scores.softmax(-1), 0.0)
    return (weights @ (scale * value.flatten(0, 1))).view(query.shape)


def dropped(x: Tensor, share: float) -> Tensor:
    """A tensor with a share of its entries zero, at random, and the others raised so that their mean stays."""
    if x.device.type != "cpu":
        return F.dropout(x, share)
    keep, scale = kept(x.shape, share)
    return torch.where(keep, scale * x, 0.0)


def kept(size: torch.Size, dropout: float) -> tuple[Tensor, float]:
    """Entries to keep, at random, on the CPU; and what the others are raised by.

    One random number of 64 bits decides on four entries: random numbers are drawn one by one and would take a tenth of
    a step. The share is rounded to a 65,536th.
    """
    count = size.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    fewer = round(dropout * 2**16)
    return (bits.view(torch.int16)[:count] >= fewer - 2**15).view(size), 2**16 / (2**16 - fewer)


class Cache:
    """Keys and values of the tokens seen so far, one layer's; the oldest frame leaves when `tokens` are full.

    Parameters
    ----------
    tokens
        Kept at most.
    frame
        Tokens of a frame.
    ever
        Tokens that will be added at most: where all fit, nothing is ever moved.
    """

    def __init__(self, tokens: int, frame: int, ever: int):
        self.tokens, self.frame = tokens, frame
        self.room = min(ever, 2 * tokens + frame)
        self.begin = self.end = 0
        self.kept = torch.empty(0)

    def add(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append (b, h, n, d) and return all that is kept."""
        count = key.shape[2]
        if not self.kept.numel():
            self.kept = key.new_empty(2, *key.shape[:2], max(self.room, count), key.shape[3])
        while self.end + count - self.begin > self.tokens and self.end > self.begin:
            self.begin += self.frame
        if self.end + count > self.kept.shape[3]:  # back to the front, once in as many frames as are kept
            self.kept[:, :, :, : self.end - self.begin] = self.kept[:, :, :, self.begin : self.end]
            self.begin, self.end = 0, self.end - self.begin
        self.kept[0, :, :, self.end : self.end + count] = key
        self.kept[1, :, :, self.end : self.end + count] = value
        self.end += count
        found = self.kept[:, :, :, self.begin : self.end]
        return found[0], found[1]


# ------------------------------------------------------------------ layers


class Layer(nn.Module):
    """Pre-normalised causal attention and feed-forward."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(dim)
        self.to_query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.feed_forward = FeedForward(dim, 4)

    def forward(self, x: Tensor, rotation: Rotation, block: int, cache: Cache | None = None) -> Tensor:
        """Tokens (b, n, dim) in blocks that see themselves and what is before them; with a cache, all that it keeps."""
        query, key, value = rotation(self.to_query_key_value(self.norm(x)), self.heads)
        sight = block_causal(x.shape[1], block, query)
        if cache is not None:
            key, value = cache.add(key, value)
        dropout = self.dropout if self.training else 0.0
        mixed = attend_causally(query, key, value, sight, dropout)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        further = self.feed_forward(x)
        return x + (dropped(further, dropout) if dropout else further)


class PositionLinear(nn.Linear):
    """A linear layer; with several `positions` one for each token position of a frame, all in one product."""

    def __init__(self, inputs: int, outputs: int, positions: int = 1, bias: bool = True):
        super().__init__(inputs, outputs, bias)
        if positions > 1:
            bound = inputs**-0.5  # as nn.Linear begins
            self.weight = nn.Parameter(torch.empty(positions, outputs, inputs).uniform_(-bound, bound))
            if bias:
                self.bias = nn.Parameter(torch.empty(positions, outputs).uniform_(-bound, bound))

    def matrices(self) -> Tensor:
        """(P', inputs, outputs): P' is 1 or `positions`."""
        return (self.weight if self.weight.ndim == 3 else self.weight[None]).mT


class Head(nn.Sequential):
    """The weights that make of hidden states the vector that is expected; its last layer knows the token position.

    One that does not speak begins as zero. `sparsevq.models.code_scores` applies those of all levels together.
    """

    def __init__(self, dim: int, outputs: int, positions: int, speaks: bool = True):
        last = PositionLinear(dim, outputs, positions)
        super().__init__(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), last)
        if not speaks:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


def by_position(x: Tensor, matrices: Tensor) -> Tensor:
    """Tokens (n, R, d) of n positions times matrices (P', d, e): one for each position, or one for all -> (n, R, e)."""
    return (x.flatten(0, 1) @ matrices[0]).view(*x.shape[:2], -1) if len(matrices) == 1 else torch.bmm(x, matrices)


def positions_first(x: Tensor, size: int) -> Tensor:
    """Tokens (b, s P, ...) of whole frames -> (P, b s, ...), as products by position take them."""
    frames = x.unflatten(1, (-1, size))
    return frames.movedim(2, 0).flatten(1, 2)


def positions_last(x: Tensor, sequences: int) -> Tensor:
    """`positions_first` undone: (P, b s, ...) -> (b, s P, ...)."""
    return x.unflatten(1, (sequences, -1)).movedim(0, 2).flatten(1, 2)
