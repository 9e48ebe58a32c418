"""Scores of codes by hidden states: the heads of all levels of a GPT, their weights brought into the form of products.

Tokens come position by position, (n, R, ...): n positions of a frame, R rows (sequences and frames), so that what each
position has of its own is one batched product.

    P token positions, Q levels, K codes of D channels; P' is P where each position has a codebook of its own, else 1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsevq.models.causal import Head, PositionLinear


@dataclass(frozen=True)
class CodeScores:
    """Made once for a training step or a forecast.

    Attributes
    ----------
    lift
        (P', D, dim) of the sum of the codes of the levels before.
    widen, widen_bias
        (Q, dim, dim) and (Q, 1, dim), the heads' first layer with the gain and bias of the normalisation before it.
    narrow, narrow_bias
        (Q, P', dim, D) and (Q, P', 1, D), their last, with the scale of the scores.
    codes, bias
        (Q, P', D, K) and (Q, P', 1, K), from vectors to scores.
    """

    lift: Tensor
    widen: Tensor
    widen_bias: Tensor
    narrow: Tensor
    narrow_bias: Tensor
    codes: Tensor
    bias: Tensor

    @classmethod
    def of(cls, heads: Sequence[Head], lift: Tensor, codebook: Tensor, scale: Tensor, bias: Tensor) -> Self:
        """By the heads of the levels, and a codebook (P', Q, K, D) with scales (P', Q) and biases (P', Q, K)."""
        norms, wides, _, lasts = zip(*heads, strict=True)
        widen = torch.stack([wide.weight for wide in wides])
        shift = torch.stack([norm.bias for norm in norms])
        widen_bias = torch.stack([wide.bias for wide in wides]) + (widen @ shift[..., None])[..., 0]
        gain = torch.stack([norm.weight for norm in norms])
        factor = scale.exp().T[..., None, None]  # (Q, P', 1, 1)
        return cls(
            lift,
            (widen * gain[:, None]).mT,
            widen_bias[:, None],
            torch.stack([_matrices(last) for last in lasts]) * factor,
            torch.stack([_bias(last) for last in lasts])[:, :, None] * factor,
            codebook.transpose(0, 1).mT,
            bias.transpose(0, 1)[:, :, None],
        )

    def level(self, level: int) -> "CodeScores":
        """Those of one level."""
        one = slice(level, level + 1)
        parts = (self.widen, self.widen_bias, self.narrow, self.narrow_bias, self.codes, self.bias)
        return CodeScores(self.lift, *(part[one] for part in parts))

    def at(self, first: int, count: int) -> "CodeScores":
        """Those of `count` token positions from `first` on."""
        if len(self.lift) in (1, count):
            return self
        some = slice(first, first + count)
        parts = (self.narrow, self.narrow_bias, self.codes, self.bias)
        return CodeScores(self.lift[some], self.widen, self.widen_bias, *(part[:, some] for part in parts))

    def to(self, dtype: torch.dtype) -> "CodeScores":
        """In the type that products are computed in, so that they are not converted for each."""
        return CodeScores(*(part.to(dtype) for part in vars(self).values()))

    def lifted(self, hidden: Tensor, seen: Tensor) -> Tensor:
        """Hidden states (n, R, dim) with the sum (n, R, D) of the codes of the levels before -> (n, R, dim)."""
        own = len(self.lift)
        flat = hidden.reshape(own, -1, hidden.shape[-1])
        return torch.baddbmm(flat, seen.reshape(own, -1, seen.shape[-1]), self.lift).view(hidden.shape)

    def __call__(self, lifted: Tensor) -> Tensor:
        """What `lifted` gives at each level, (Q, n, R, dim) -> scores (Q, n, R, K)."""
        levels, positions, rows = lifted.shape[:3]
        x = F.layer_norm(lifted, lifted.shape[-1:]).flatten(1, 2)
        x = F.gelu(torch.baddbmm(self.widen_bias, x, self.widen))
        x = x.view(levels * self.narrow.shape[1], -1, x.shape[-1])
        x = torch.baddbmm(self.narrow_bias.flatten(0, 1), x, self.narrow.flatten(0, 1))
        return torch.baddbmm(self.bias.flatten(0, 1), x, self.codes.flatten(0, 1)).view(levels, positions, rows, -1)


def _matrices(last: PositionLinear) -> Tensor:
    """(P', dim, D)."""
    return last.matrices()


def _bias(last: PositionLinear) -> Tensor:
    """(P', D)."""
    bias: Tensor = last.bias
    return bias if bias.ndim == 2 else bias[None]
