"""Attention as all networks here use it: pre-normalised, residual, through PyTorch's fused kernel."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

QUERY_SCALE = 4.0
"""Scale of a cross-attention's initial query weights. PyTorch's default leaves attention nearly uniform over its
context: every latent is then the same mean over the sensors, and the loss does not fall for hundreds of steps."""


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention of (b, h, q, d) with (b, h, k, d); `mask` True where a query may attend."""
    if query.device.type == "cpu" and torch.is_grad_enabled():
        # In the backward pass the CPU's fused kernel is 1.4 (GPT) to 9 (encoder) times slower in bf16 than in float32.
        query, key, value = query.float(), key.float(), value.float()
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)


class FeedForward(nn.Module):
    """Normalisation, a hidden layer `ratio` times as wide, GELU, and back."""

    def __init__(self, dim: int, ratio: int, dropout: float = 0.0):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, ratio * dim)
        self.narrow = nn.Linear(ratio * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.narrow(F.gelu(self.widen(self.norm(x)))))


class CrossAttention(nn.Module):
    """Queries (b, q, query_dim) attend to a context (b, k, context_dim); the output is (b, q, dim).

    Queries that are the same for the whole batch may come as (1, q, query_dim): they are projected once.
    """

    def __init__(self, query_dim: int, context_dim: int, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(query_dim)
        self.context_norm = nn.LayerNorm(context_dim)
        self.to_query = nn.Linear(query_dim, dim, bias=False)
        self.to_key_value = nn.Linear(context_dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim)
        with torch.no_grad():  # attention that is not uniform at the first step (docs/lab-notes.md)
            self.to_query.weight.mul_(QUERY_SCALE)

    def keys_values(self, context: Tensor) -> Tensor:
        """Keys and values of a context (b, k, context_dim), (2, b, h, k, d): computed once for repeated queries."""
        return rearrange(
            self.to_key_value(self.context_norm(context)), "b k (two h d) -> two b h k d", two=2, h=self.heads
        )

    def projected(self, queries: Tensor) -> Tensor:
        """Queries (b, q, query_dim) -> (b, h, q, d): computed once for queries that meet several contexts."""
        return rearrange(self.to_query(self.query_norm(queries)), "b q (h d) -> b h q d", h=self.heads)

    def mixed(self, projected: Tensor, keys_values: Tensor) -> Tensor:
        """What `projected` gave of queries, and `keys_values` of the context -> (b, q, dim)."""
        key, value = keys_values
        mixed = attend(projected.expand(len(key), -1, -1, -1), key, value)
        return self.out(rearrange(mixed, "b h q d -> b q (h d)"))

    def forward(self, queries: Tensor, keys_values: Tensor) -> Tensor:
        """Queries (b, q, query_dim), and what `keys_values` of the context -> (b, q, dim)."""
        return self.mixed(self.projected(queries), keys_values)


class CrossAttentionBlock(nn.Module):
    """A residual cross-attention and a residual feed-forward layer: from a context to `latents`."""

    def __init__(self, dim: int, context_dim: int, heads: int, ratio: int):
        super().__init__()
        self.attention = CrossAttention(dim, context_dim, dim, heads)
        self.feed_forward = FeedForward(dim, ratio)

    def forward(self, latents: Tensor, keys_values: Tensor) -> Tensor:
        """Latents (b, n, dim), and what `attention.keys_values` of the context -> (b, n, dim)."""
        latents = latents + self.attention(latents, keys_values)
        return latents + self.feed_forward(latents)


class SelfAttentionBlock(nn.Module):
    """A residual self-attention and a residual feed-forward layer over (b, n, dim)."""

    def __init__(self, dim: int, heads: int, ratio: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.to_query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)
        self.feed_forward = FeedForward(dim, ratio)

    def forward(self, latents: Tensor) -> Tensor:
        query, key, value = rearrange(
            self.to_query_key_value(self.norm(latents)), "b n (three h d) -> three b h n d", three=3, h=self.heads
        )
        mixed = attend(query, key, value)
        latents = latents + self.out(rearrange(mixed, "b h n d -> b n (h d)"))
        return latents + self.feed_forward(latents)


def learned_queries(count: int, dim: int) -> nn.Parameter:
    """A learned array of `count` queries, initialised with unit variance, as tokens are."""
    return nn.Parameter(torch.randn(count, dim))
