"""Codebooks of groups of coefficients, fitted by k-means: transform coding (Gersho & Gray 1992, chapters 8 and 12).

Coefficients in order of energy are cut into as many groups as there are tokens, each with equal bits by reverse
water-filling; a group's vector is coded by residual codes of its own. k-means of one level after the other begins the
codebook; then frames are coded by beam search and the codes of each level moved to what the other levels leave, as long
as that makes held-out frames better.

    N frames; P tokens of a frame, D channels each (the widest group; narrower ones are filled up with zeros)
    Q levels of K codes
"""

from collections.abc import Callable

import numpy.typing as npt
import torch
from torch import Tensor

from sparsevq.basis.bound import bits_per_component
from sparsevq.models.residual_codes import codes_sum, residual_codes

LLOYD_ROUNDS = 6
"""Iterations of k-means a level."""
JOINT_ROUNDS = 2
"""Times that all levels are estimated together at most."""
SWEEPS = 2
"""Times that each level is moved in such a round: with the codes as they are, the sweeps converge fast."""
SCORES_AT_ONCE = 2**24
"""Distances that are in memory together."""


def group_sizes(variances: npt.ArrayLike, tokens: int, bits: float) -> tuple[int, ...]:
    """Coefficients of each of `tokens` groups of equal bits: together all those that get any, at least one in each.

    Raises
    ------
    ValueError
        There are fewer coefficients than groups.
    """
    spent = bits_per_component(variances, bits)
    if len(spent) < tokens:
        raise ValueError(f"{len(spent)} coefficients cannot be cut into {tokens} tokens")
    used = max(tokens, int((spent > 0).nonzero()[0].max(initial=0)) + 1)
    done = spent[:used].cumsum()
    cuts = [0]
    for group in range(1, tokens):
        nearest = int(abs(done - done[-1] * group / tokens).argmin()) + 1
        cuts.append(min(max(nearest, cuts[-1] + 1), used - (tokens - group)))
    return tuple(end - start for start, end in zip(cuts, [*cuts[1:], used], strict=True))


@torch.no_grad()
def fit_codebook(
    tokens: Tensor, held_out: Tensor, levels: int, codes: int, *, beam: int, seed: int, start: Tensor | None = None
) -> Tensor:
    """Codebook (P, Q, K, D) for tokens (N, P, D), the best for `held_out` (N', P, D) of all that it was on the way.

    Repeatable: the same tokens, sizes and seed give the same codebook. `start`: a codebook to improve; None: k-means'.
    """

    def error(codebook: Tensor) -> Tensor:
        return coding_error(held_out, codebook, beam)

    if start is None:
        start = greedy_codebook(tokens, levels, codes, seed)
    return improve(start, tokens, error, beam=beam)


def greedy_codebook(tokens: Tensor, levels: int, codes: int, seed: int) -> Tensor:
    """Codebook (P, Q, K, D) for tokens (N, P, D): k-means of what the levels before leave."""
    generator = torch.Generator(device=tokens.device).manual_seed(seed)
    left, found = tokens.transpose(0, 1).contiguous(), []
    for _ in range(levels):
        book = k_means(left, codes, generator)
        nearest = nearest_codes(left, book)[0]
        left = left - book.gather(1, nearest[..., None].expand_as(left))
        found.append(book)
    return torch.stack(found, dim=1)


def improve(codebook: Tensor, tokens: Tensor, error: Callable[[Tensor], Tensor], *, beam: int) -> Tensor:
    """A codebook (P, Q, K, D) after rounds of joint estimation by tokens (N, P, D), each position's at its best.

    Parameters
    ----------
    error
        Codebook -> error of each position (P,): what decides which is best.
    """
    best, least = codebook, error(codebook)
    for _ in range(JOINT_ROUNDS):
        codebook = estimate_jointly(codebook, tokens, residual_codes(tokens, codebook, beam))
        found = error(codebook)
        better = found < least
        if not better.any():
            break
        best = torch.where(better[:, None, None, None], codebook, best)
        least = torch.where(better, found, least)
    return best


def estimate_jointly(codebook: Tensor, tokens: Tensor, indices: Tensor) -> Tensor:
    """Each level's codes (P, Q, K, D) as means of what the other levels leave of tokens (N, P, D) with these indices.

    Codes that no token has stay as they are.
    """
    codebook = codebook.clone()
    left = (tokens - codes_sum(indices, codebook)).transpose(0, 1)
    for _ in range(SWEEPS):
        for level in range(codebook.shape[1]):
            code = indices[..., level].T  # (P, N)
            sums, counts = sums_by_code(left, code, codebook.shape[2])
            step = sums / counts.clamp_min(1)[..., None]
            codebook[:, level] += step
            left = left - step.gather(1, code[..., None].expand_as(left))
    return codebook


def coding_error(tokens: Tensor, codebook: Tensor, beam: int) -> Tensor:
    """Mean squared error of coding tokens (N, P, D), summed over channels, of each position (P,)."""
    return (tokens - codes_sum(residual_codes(tokens, codebook, beam), codebook)).square().sum(-1).mean(0)


def k_means(points: Tensor, codes: int, generator: torch.Generator) -> Tensor:
    """Means (P, K, D) of points (P, N, D), P problems at once: Lloyd's iterations from points drawn at random.

    Means that have no point are put where points are farthest from theirs. With fewer points than means, several means
    start from one point.
    """
    positions, count, dim = points.shape
    draws = [torch.randperm(count, generator=generator, device=points.device) for _ in range(positions)]
    start = torch.stack(draws)[:, torch.arange(codes, device=points.device) % count]
    means = points.gather(1, start[..., None].expand(-1, -1, dim))
    for _ in range(LLOYD_ROUNDS):
        nearest, distance = nearest_codes(points, means)
        sums, counts = sums_by_code(points, nearest, codes)
        means = sums / counts.clamp_min(1)[..., None]
        empty = counts == 0
        if empty.any():
            far = distance.topk(min(count, int(empty.sum(1).max())), dim=1).indices
            rank = (empty.cumsum(1) - 1).clamp(0, far.shape[1] - 1)
            again = points.gather(1, far.gather(1, rank)[..., None].expand(-1, -1, dim))
            means = torch.where(empty[..., None], again, means)
    return means


def nearest_codes(points: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """Of points (P, N, D) the nearest of means (P, K, D), (P, N), and the squared distance, (P, N)."""
    sizes = means.square().sum(-1)[:, None]
    at_once = max(1, SCORES_AT_ONCE // (len(means) * means.shape[1]))
    parts = [torch.baddbmm(sizes, part, means.transpose(1, 2), alpha=-2).min(-1) for part in points.split(at_once, 1)]
    nearest = torch.cat([part.indices for part in parts], dim=1)
    return nearest, torch.cat([part.values for part in parts], dim=1) + points.square().sum(-1)


def sums_by_code(points: Tensor, code: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """Sums (P, K, D) and numbers (P, K) of the points (P, N, D) of each code (P, N)."""
    positions, _, dim = points.shape
    slot = (code + codes * torch.arange(positions, device=code.device)[:, None]).flatten()
    sums = points.new_zeros(positions * codes, dim).index_add_(0, slot, points.flatten(0, 1))
    counts = torch.bincount(slot, minlength=positions * codes)
    return sums.view(positions, codes, dim), counts.view(positions, codes)
