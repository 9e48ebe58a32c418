"""Residual codes by beam search: a token's vector as a sum of one code of each level.

A codebook is (P', Q, K, D): P' = 1 where all token positions share one, else one for each of P positions; Q levels of K
codes of D channels. Greedy residual coding takes the nearest code of each level in turn; a beam keeps the `beam` best
partial sums (as in additive quantization, Babenko & Lempitsky 2014), which gains about a tenth of the error.
"""

from itertools import accumulate

import torch
from torch import Tensor

SCORES_AT_ONCE = 2**24
"""Distances that are in memory together."""


@torch.no_grad()
def residual_codes(tokens: Tensor, codebook: Tensor, beam: int) -> Tensor:
    """Tokens (b, P, D), codebook (P', Q, K, D) -> indices (b, P, Q) whose codes' sum is near the tokens.

    In float32 whatever the precision around it: distances between codes lose their order in bf16.
    """
    own, levels = len(codebook), codebook.shape[1]
    rows = tokens.shape[0] * tokens.shape[1] // own
    with torch.autocast(tokens.device.type, enabled=False):
        codebook = codebook.float()
        flat = tokens.float().reshape(1, rows, -1) if own == 1 else tokens.float().transpose(0, 1)
        at_once = max(1, SCORES_AT_ONCE // (own * beam * codebook.shape[2]))
        indices = torch.cat([_search(part, codebook, beam) for part in flat.split(at_once, dim=1)], dim=1)
    return indices.reshape(*tokens.shape[:2], levels) if own == 1 else indices.transpose(0, 1)


def codes_sum(indices: Tensor, codebook: Tensor) -> Tensor:
    """Vectors (..., P, D) of indices (..., P, Q) by a codebook (P', Q, K, D)."""
    return _vectors(indices, codebook).sum(-2)


def level_sums(indices: Tensor, codebook: Tensor) -> Tensor:
    """Sums (..., P, Q, D) of the codes of the first 1, 2 ... Q levels."""
    # As additions, since CUDA's cumsum has no fixed order.
    return torch.stack([*accumulate(_vectors(indices, codebook).unbind(-2))], dim=-2)


def _vectors(indices: Tensor, codebook: Tensor) -> Tensor:
    """(..., P, Q) -> (..., P, Q, D)."""
    own, levels = codebook.shape[:2]
    place = torch.arange(own, device=indices.device)[:, None]  # broadcast over positions where they share one
    return codebook[place, torch.arange(levels, device=indices.device), indices]


def _search(tokens: Tensor, codebook: Tensor, beam: int) -> Tensor:
    """Tokens (P', m, D) -> indices (P', m, Q)."""
    own, count, dim = tokens.shape
    codes = codebook.shape[2]
    place = torch.arange(own, device=tokens.device)[:, None, None]
    left = tokens[:, :, None]  # (P', m, beams, D): what the codes so far leave of each token
    chosen = torch.empty(own, count, 1, 0, dtype=torch.long, device=tokens.device)
    for level, book in enumerate(codebook.unbind(1)):
        # |left - code|^2 = |left|^2 - 2 left . code + |code|^2 as one product; |left|^2 ranks the beams.
        against = torch.cat([-2 * book, torch.ones_like(book[..., :1])], dim=-1).transpose(1, 2)
        beams = torch.cat([left, left.square().sum(-1, keepdim=True)], dim=-1).flatten(1, 2)
        scores = torch.baddbmm(book.square().sum(-1)[:, None], beams, against)
        keep = 1 if level + 1 == codebook.shape[1] else min(beam, left.shape[2] * codes)
        found = _smallest(scores.view(own, count, -1), keep)
        parent, code = found // codes, found % codes
        chosen = torch.cat([chosen.gather(2, parent[..., None].expand(-1, -1, -1, level)), code[..., None]], dim=-1)
        left = left.gather(2, parent[..., None].expand(-1, -1, -1, dim)) - book[place, code]
    return chosen[:, :, 0]


def _smallest(scores: Tensor, count: int) -> Tensor:
    """Places (..., count) of the smallest of (..., n)."""
    if count == 1:
        return scores.argmin(-1, keepdim=True)
    return scores.topk(count, dim=-1, largest=False).indices
