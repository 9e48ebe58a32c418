"""Codebooks of groups of coefficients: equal bits, k-means that is k-means, and errors near the bound."""

import numpy as np
import pytest
import torch

from sparsevq.basis.bound import bits_per_component, rate_distortion
from sparsevq.models.residual_codes import codes_sum, residual_codes
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerConfig
from sparsevq.stage2.codebooks import (
    coding_error,
    estimate_jointly,
    fit_codebook,
    greedy_codebook,
    group_sizes,
    k_means,
    nearest_codes,
)

DECAYING = 1 / np.arange(1, 60) ** 2.0


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ groups


@pytest.mark.parametrize(("tokens", "bits"), [(1, 8), (4, 32), (8, 64)])
def test_groups_have_equal_bits_and_all_that_get_any(tokens, bits):
    sizes = group_sizes(DECAYING, tokens, bits)
    spent = bits_per_component(DECAYING, bits)
    assert len(sizes) == tokens and sum(sizes) == (spent > 0).sum()
    parts = [part.sum() for part in np.split(spent[: sum(sizes)], np.cumsum(sizes)[:-1])]
    assert max(abs(part - bits / tokens) for part in parts) <= spent[0], "as equal as whole coefficients can be"


def test_equal_coefficients_are_shared_out_equally():
    assert group_sizes(np.ones(12), 4, 24) == (3, 3, 3, 3)


def test_every_group_has_a_coefficient_however_few_get_bits():
    assert group_sizes([100.0, 1e-9, 1e-9, 1e-9], 3, 4) == (1, 1, 1)
    assert group_sizes(np.zeros(4), 3, 4) == (1, 1, 1)
    assert group_sizes([1.0, 1.0, 50.0, 60.0], 2, 40) == (2, 2)


def test_fewer_coefficients_than_groups_is_an_error():
    with pytest.raises(ValueError, match="2 coefficients cannot be cut into 3 tokens"):
        group_sizes([2.0, 1.0], 3, 8)


# ------------------------------------------------------------------ k-means


def test_k_means_finds_clusters_that_are_far_apart():
    centers = 20 * draws(3, 5, 4, seed=1)
    points = (centers[:, :, None] + 0.01 * draws(3, 5, 40, 4)).flatten(1, 2)
    distance = nearest_codes(centers, k_means(points, 20, generator()))[1]
    assert distance.max() < 0.01


def test_each_mean_is_that_of_its_points():
    points = draws(2, 200, 3)
    means = k_means(points, 4, generator())
    for _ in range(40):  # to where Lloyd's iterations end
        code = nearest_codes(points, means)[0]
        means = torch.stack(
            [torch.stack([p[c == k].mean(0) for k in range(4)]) for p, c in zip(points, code, strict=True)]
        )
    settled = nearest_codes(points, means)[1].mean(1)
    assert (nearest_codes(points, k_means(points, 4, generator()))[1].mean(1) < 1.1 * settled).all()


def test_more_codes_than_points_are_no_error():
    points = draws(2, 3, 4)
    assert nearest_codes(points, k_means(points, 8, generator()))[1].max() < 1e-6


def test_points_that_are_all_alike_are_no_error():
    means = k_means(torch.ones(1, 50, 3), 4, generator())
    assert torch.isfinite(means).all()
    assert nearest_codes(torch.ones(1, 1, 3), means)[1].max() < 1e-6


# ------------------------------------------------------------------ all levels


def test_joint_estimation_never_makes_the_same_codes_worse():
    tokens = draws(500, 2, 6)
    codebook = greedy_codebook(tokens, 3, 16, seed=0)
    indices = residual_codes(tokens, codebook, 4)
    before, after = (
        (tokens - codes_sum(indices, book)).square().mean()
        for book in (codebook, estimate_jointly(codebook, tokens, indices))
    )
    assert after < before


def test_a_codebook_is_never_worse_on_held_out_frames_than_it_began():
    tokens, held_out = draws(300, 2, 6), draws(200, 2, 6, seed=1)
    start = greedy_codebook(tokens, 2, 16, seed=0)
    fitted = fit_codebook(tokens, held_out, 2, 16, beam=2, seed=0)
    assert (coding_error(held_out, fitted, 2) <= coding_error(held_out, start, 2)).all()
    again = fit_codebook(tokens, held_out, 2, 16, beam=2, seed=0, start=fitted)
    assert (coding_error(held_out, again, 2) <= coding_error(held_out, fitted, 2)).all()


def test_the_seed_decides():
    tokens = draws(200, 2, 3)
    one, same, other = (fit_codebook(tokens, tokens, 2, 8, beam=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_the_unit_of_the_latents_changes_nothing():
    tokens = draws(200, 2, 3)
    one, large = (fit_codebook(scale * tokens, scale * tokens, 2, 8, beam=2, seed=1) for scale in (1, 64))
    torch.testing.assert_close(64 * one, large, rtol=1e-4, atol=1e-3)


def test_gaussian_coefficients_are_coded_near_the_bound():
    """Scalar quantization with entropy coding is a factor of 1.19 above it, with codes of one length 1.65."""
    variances = 1 / np.arange(1, 25) ** 0.5
    tokens, levels, codes = 4, 2, 64
    bits = tokens * levels * np.log2(codes)
    sizes = group_sizes(variances, tokens, bits)
    shape = TokenizerConfig(6, 4, "groups", tokens, "rvq", levels, codes, max(sizes), 0.0, 1, beam=4, groups=sizes)
    tokenizer = LatentTokenizer(shape)
    latents, held_out = (
        (draws(count, 24, seed=seed) * torch.tensor(variances**0.5, dtype=torch.float32)).unflatten(1, (6, 4))
        for count, seed in ((8000, 1), (1000, 2))
    )
    parts = [tokenizer.encode(part) for part in (latents, held_out)]
    tokenizer.quantizer.codes.copy_(fit_codebook(*parts, levels, codes, beam=4, seed=0))
    found = (tokenizer.detokenize(tokenizer.tokenize(held_out)) - held_out).square().sum((1, 2)).mean()
    assert 1 < (found / rate_distortion(variances, bits)) ** 0.5 < 1.35
