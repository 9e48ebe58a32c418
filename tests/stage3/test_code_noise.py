"""Noise in the tokens before they are coded: neighbouring codes become neighbours for the GPT."""

import pytest
import torch

from sparsevq.errors import SparseVQError
from sparsevq.models.residual_codes import codes_sum, residual_codes
from sparsevq.runs.codes import Codes
from sparsevq.stage3.sequences import Sequences
from tests.chain import STAGE3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def codes():
    """2 variants, 8 trajectories (5 to train), 12 frames, 3 tokens of 2 levels of 64 codes of 2 channels.

    The third position is a thousand times as large, and its second channel is padding.
    """
    scale = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1e3, 0.0]])
    draws = seeded(1)
    sparse, semi_sparse = (scale * torch.randn(2, 8, 12, 3, 2, generator=draws) for _ in range(2))
    levels = torch.tensor([1.0, 0.2])[:, None, None]
    codebook = scale[:, None, None] * levels * torch.randn(3, 2, 64, 2, generator=draws)
    indices = [residual_codes(t.flatten(0, 2), codebook, 1).view(2, 8, 12, 3, 2) for t in (sparse, semi_sparse)]
    return Codes(
        *indices,
        codebook=codebook,
        split=["train"] * 5 + ["val"] * 2 + ["test"],
        tokens_sparse=sparse.half(),
        tokens_semi_sparse=semi_sparse.half(),
    )


def sequences(codes, **settings):
    return Sequences(codes, STAGE3.model_copy(update=settings))


def test_without_noise_the_codes_are_those_of_the_dump(codes):
    plain, least = sequences(codes), sequences(codes, code_noise=1e-9)
    assert plain.noise is None
    expected, drawn = plain.draw(200, seeded()), least.draw(200, seeded())
    assert torch.equal(drawn.codes, expected.codes), "what follows is scored as it is"
    expected, found = expected.inputs, drawn.inputs
    # float16 rounds tokens that lie between two codes to the other side now and then
    assert (found != expected).any(-1).float().mean() < 0.01


@pytest.mark.parametrize("targets", ["semi_sparse", "sparse"])
def test_the_noise_is_in_units_of_the_quantization_error_of_each_channel(codes, targets):
    """The codes' vectors differ from the tokens by the noise and by the error of coding it."""
    drawn = sequences(codes, targets=targets, code_noise=3.0)
    tokens = codes.tokens_semi_sparse if targets == "semi_sparse" else codes.tokens_sparse
    indices = codes.semi_sparse if targets == "semi_sparse" else codes.sparse
    error = (tokens[:, :5].float() - codes_sum(indices[:, :5], codes.codebook)).flatten(0, 2)
    torch.testing.assert_close(drawn.noise, 3 * error.square().mean(0).sqrt())
    assert drawn.noise[2, 0] > 10 * drawn.noise[0, 0]
    assert drawn.noise[2, 1] == 0, "padding stays zero"


def test_noise_moves_codes_to_neighbours(codes):
    plain, disturbed = (sequences(codes, code_noise=noise).draw(200, seeded()).inputs for noise in (0.0, 1.5))
    moved = (codes_sum(disturbed, codes.codebook) - codes_sum(plain, codes.codebook)).flatten(0, 1)
    noise = sequences(codes, code_noise=1.5).noise
    spread = moved.square().mean(0).sqrt()
    assert (disturbed != plain).any(-1).float().mean() > 0.5
    assert ((0.7 * noise <= spread) & (spread <= 2 * noise)).all()


def test_observed_frames_are_disturbed_by_the_sparse_encoders_tokens(codes):
    """What the noise is added to is what `take` codes: without any, beam 1 finds its codes again."""
    drawn = sequences(codes, code_noise=1e-6, observed_frames=3)
    variant, trajectory, start = torch.tensor([0, 1]), torch.tensor([2, 4]), torch.tensor([2, 5])
    found = drawn.take_disturbed(variant, trajectory, start, 3, seeded())
    assert found.shape == (2, 3 + STAGE3.stage2_frames, 3, 2)
    assert (found == drawn.take(variant, trajectory, start, 3)).float().mean() > 0.97


def test_noise_is_that_of_the_seed(codes):
    disturbed = sequences(codes, code_noise=1.0)
    first, again, other = (disturbed.draw(20, seeded(seed)).inputs for seed in (3, 3, 4))
    assert torch.equal(again, first) and not torch.equal(other, first)


def test_validation_is_by_the_codes_of_the_dump(codes):
    (disturbed,), (plain,) = sequences(codes, code_noise=2.0).held_out(), sequences(codes).held_out()
    assert torch.equal(disturbed.inputs, plain.codes) and torch.equal(disturbed.codes, plain.codes)


def test_a_dump_without_unquantized_tokens_is_one_line(codes):
    bare = Codes(codes.sparse, codes.semi_sparse, codes.codebook, codes.split)
    with pytest.raises(SparseVQError, match=r"stage3\.code_noise: the index dump has no unquantized tokens"):
        sequences(bare, code_noise=1.0)
