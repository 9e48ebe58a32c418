"""Residual codes: a beam finds what a search of all sums would, and how it is computed changes nothing."""

import itertools

import pytest
import torch

from sparsevq.models import residual_codes as module
from sparsevq.models.residual_codes import codes_sum, residual_codes


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def errors(tokens, codebook, beam):
    return (codes_sum(residual_codes(tokens, codebook, beam), codebook) - tokens).square().sum(-1)


@pytest.mark.parametrize("own", [1, 3])
def test_greedy_codes_are_the_nearest_of_each_level_in_turn(own):
    tokens, codebook = draws(7, 3, 5), draws(own, 2, 6, 5, seed=1)
    indices = residual_codes(tokens, codebook, beam=1)
    assert indices.shape == (7, 3, 2)
    for frame, position in itertools.product(range(7), range(3)):
        left = tokens[frame, position]
        for level, codes in enumerate(codebook[position % own]):
            nearest = (left - codes).square().sum(-1).argmin()
            assert indices[frame, position, level] == nearest
            left = left - codes[nearest]


@pytest.mark.parametrize("own", [1, 2])
def test_a_beam_that_keeps_everything_finds_the_best_sum(own):
    tokens, codebook = draws(9, 2, 4), draws(own, 3, 5, 4, seed=1)
    every = torch.tensor(list(itertools.product(range(5), repeat=3)))  # (125, Q)
    sums = codes_sum(every[:, None].expand(-1, 2, -1), codebook)  # (125, P, D)
    best = (tokens - sums[:, None]).square().sum(-1).min(0).values
    torch.testing.assert_close(errors(tokens, codebook, beam=25), best)


def test_a_wider_beam_is_better_on_average():
    tokens, codebook = draws(300, 2, 8), 0.5 * draws(2, 4, 16, 8, seed=1)
    found = [float(errors(tokens, codebook, beam).mean()) for beam in (1, 2, 4, 16)]
    assert found == sorted(found, reverse=True)
    assert found[2] < 0.95 * found[0]


def test_sums_of_codes_are_coded_without_error():
    codebook = draws(2, 3, 8, 6) * torch.tensor([9.0, 3.0, 1.0])[:, None, None]
    indices = torch.randint(8, (40, 2, 3), generator=torch.Generator().manual_seed(2))
    assert errors(codes_sum(indices, codebook), codebook, beam=8).max() < 1e-8


def test_one_codebook_for_all_positions_is_the_same_for_each():
    tokens, codebook = draws(20, 3, 4), draws(1, 2, 6, 4, seed=1)
    apart = residual_codes(tokens, codebook.expand(3, -1, -1, -1), beam=3)
    assert torch.equal(residual_codes(tokens, codebook, beam=3), apart)
    torch.testing.assert_close(codes_sum(apart, codebook), codes_sum(apart, codebook.expand(3, -1, -1, -1)))


def test_chunks_frames_and_precision_change_nothing(monkeypatch):
    tokens, codebook = draws(23, 3, 4), draws(3, 2, 6, 4, seed=1)
    whole = residual_codes(tokens, codebook, beam=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(residual_codes(tokens, codebook, beam=2), whole)
    assert torch.equal(residual_codes(tokens.flip(0), codebook, beam=2).flip(0), whole)
    monkeypatch.setattr(module, "SCORES_AT_ONCE", 200)
    assert torch.equal(residual_codes(tokens, codebook, beam=2), whole)


def test_channels_of_zeros_change_nothing():
    """Groups narrower than the widest are filled up."""
    tokens, codebook = draws(10, 2, 4), draws(2, 2, 6, 4, seed=1)
    wide = [torch.nn.functional.pad(values, (0, 3)) for values in (tokens, codebook)]
    assert torch.equal(residual_codes(*wide, beam=2), residual_codes(tokens, codebook, beam=2))
