"""Tokens: what is looked up is what was quantized, and using a tokenizer never changes it."""

import copy
from dataclasses import replace

import pytest
import torch

from sparsevq.models.quantizer import FSQ_LEVELS
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerConfig

SHAPE = TokenizerConfig(
    num_latents=16,
    latent_channels=6,
    tokenizer="attention",
    tokens_per_frame=4,
    quantizer="rvq",
    num_quantizers=3,
    num_vq_embeddings=16,
    vq_embedding_dim=8,
    commitment_cost=0.25,
    num_hiddens=16,
)

KINDS = [
    pytest.param({"tokenizer": design, "quantizer": quantizer, "tokens_per_frame": 1 if design == "conv" else 4})
    for design in ("attention", "conv")
    for quantizer in ("vq", "rvq", "fsq")
]


def latents(count: int = 40, shape: TokenizerConfig = SHAPE, seed: int = 1) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return 3 + 2 * torch.randn(count, shape.num_latents, shape.latent_channels, generator=draws)


def started(seed: int = 0, **changes) -> LatentTokenizer:
    """A tokenizer with a codebook, ready to use."""
    torch.manual_seed(seed)
    tokenizer = LatentTokenizer(replace(SHAPE, **changes))
    tokenizer.standardise_by(latents())
    tokenizer.train()
    for _ in range(2):
        tokenizer(latents())
    return tokenizer.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokens_vector_is_the_sum_of_its_codes(kind):
    tokenizer = started(**kind)
    tokens = 3 * torch.randn(40, kind["tokens_per_frame"], 8, generator=torch.Generator().manual_seed(2))
    quantized, indices, _ = tokenizer.quantizer(tokens)
    levels = 3 if kind["quantizer"] == "rvq" else 1
    assert indices.shape == (40, kind["tokens_per_frame"], levels)
    assert tokenizer.quantizer.codebook().shape == (1, levels, 16, 8)
    assert set(indices.unique().tolist()) <= set(range(16))
    assert len(indices.unique()) > 3
    torch.testing.assert_close(tokenizer.quantizer.lookup(indices), quantized, rtol=1e-4, atol=1e-5)
    by_hand = sum(tokenizer.quantizer.codebook()[0, level][indices[..., level]] for level in range(levels))
    torch.testing.assert_close(by_hand, quantized, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_detokenizing_tokens_is_the_forward_pass(kind):
    tokenizer = started(**kind)
    completed, _ = tokenizer(latents())
    assert completed.shape == latents().shape
    torch.testing.assert_close(tokenizer.detokenize(tokenizer.tokenize(latents())), completed, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_use_never_changes_the_codebook(kind):
    tokenizer = started(**kind)
    before = copy.deepcopy(tokenizer.state_dict())
    first = tokenizer.tokenize(latents())
    for seed in range(3):
        tokenizer(100 * latents(seed=seed))
        tokenizer.detokenize(tokenizer.tokenize(latents(seed=seed)))
    for name, weight in tokenizer.state_dict().items():
        assert torch.equal(weight, before[name]), name
    assert torch.equal(tokenizer.tokenize(latents()), first)


@pytest.mark.parametrize("quantizer", ["vq", "rvq"])
def test_training_moves_the_codebook(quantizer):
    tokenizer = started(quantizer=quantizer).train()
    before = tokenizer.quantizer.codebook().clone()
    tokenizer(latents(seed=5))
    assert not torch.equal(tokenizer.quantizer.codebook(), before)


@pytest.mark.parametrize("quantizer", ["vq", "rvq"])
def test_each_level_takes_the_code_nearest_to_what_is_left(quantizer):
    tokenizer = started(quantizer=quantizer)
    tokens = tokenizer.encode(latents())
    _, indices, _ = tokenizer.quantizer(tokens)
    rest = tokens
    for level, codes in enumerate(tokenizer.quantizer.codebook()[0]):
        nearest = torch.cdist(rest, codes[None]).argmin(-1)
        assert torch.equal(nearest, indices[..., level])
        rest = rest - codes[nearest]


def test_more_levels_leave_less_error():
    tokenizer = started(quantizer="rvq")
    tokens = tokenizer.encode(latents())
    _, indices, _ = tokenizer.quantizer(tokens)
    codebook = tokenizer.quantizer.codebook()[0]
    sums = torch.stack([codebook[level][indices[..., level]] for level in range(3)]).cumsum(0)
    errors = (sums - tokens).square().mean((1, 2, 3))
    assert errors[2] < errors[1] < errors[0] < tokens.square().mean()


def test_k_means_starts_the_codebook_at_the_first_training_batch_alone():
    torch.manual_seed(0)
    tokenizer = LatentTokenizer(SHAPE).train()
    tokenizer(latents(), quantize=False)
    assert not tokenizer.quantizer.started
    tokenizer(latents())
    assert tokenizer.quantizer.started
    assert LatentTokenizer(replace(SHAPE, quantizer="fsq")).quantizer.started, "fsq has its codes from the beginning"


def test_without_quantization_there_is_no_commitment_loss_and_no_loss_of_detail():
    tokenizer = started()
    completed, commitment = tokenizer(latents(), quantize=False)
    assert commitment == 0
    torch.testing.assert_close(completed, tokenizer.decode(tokenizer.encode(latents())))
    assert tokenizer.train()(latents())[1] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_tokenizers_encoder_through_the_codes(kind):
    tokenizer = started(**kind).train()
    completed, commitment = tokenizer(latents())
    (completed.square().mean() + commitment).backward()
    weights = dict(tokenizer.codec.named_parameters())
    assert [name for name, weight in weights.items() if weight.grad is None or not weight.grad.any()] == []


def test_latents_are_standardised_by_those_of_the_training_split():
    """In units of their own spread, the tokens are the same."""
    other = latents() * 50 - 7
    first, second = started(), started()
    second.standardise_by(other)
    torch.testing.assert_close(second.encode(other), first.encode(latents()), rtol=1e-3, atol=1e-4)
    tokens = first.encode(latents())
    torch.testing.assert_close(second.decode(tokens), first.decode(tokens) * 50 - 7, rtol=1e-3, atol=1e-3)


def test_a_latent_that_never_varies_is_no_division_by_zero():
    tokenizer = LatentTokenizer(SHAPE)
    constant = torch.ones(10, 16, 6)
    tokenizer.standardise_by(constant)
    assert torch.isfinite(tokenizer.encode(constant)).all()


def test_the_convolutions_make_sixteen_tokens_of_the_papers_256_latents():
    shape = replace(SHAPE, tokenizer="conv", num_latents=256, latent_channels=48, tokens_per_frame=16)
    tokenizer = LatentTokenizer(shape)
    picture = torch.randn(2, 256, 48)
    tokens = tokenizer.encode(picture)
    assert tokens.shape == (2, 16, 8)
    assert tokenizer.decode(tokens).shape == (2, 256, 48)


def test_a_token_of_the_convolutions_sees_its_part_of_the_picture():
    """Latent 0 is the picture's corner: it reaches the token of that corner, and none at the other end."""
    torch.manual_seed(0)
    tokenizer = LatentTokenizer(replace(SHAPE, tokenizer="conv", num_latents=1024, tokens_per_frame=64))
    picture = torch.zeros(1, 1024, 6)
    other = picture.clone()
    other[0, 0] = 1
    change = (tokenizer.encode(other) - tokenizer.encode(picture)).abs().sum(-1)[0].view(8, 8)
    assert change[0, 0] > 0
    assert change[4:].max() == 0 and change[:, 4:].max() == 0


@pytest.mark.parametrize("tokens", [1, 5, 16])
def test_attention_makes_as_many_tokens_as_asked_for(tokens):
    assert LatentTokenizer(replace(SHAPE, tokens_per_frame=tokens)).encode(latents()).shape == (40, tokens, 8)


@pytest.mark.parametrize("codes", sorted(FSQ_LEVELS))
def test_fsq_has_as_many_codes_as_its_name_says(codes):
    tokenizer = LatentTokenizer(replace(SHAPE, quantizer="fsq", num_vq_embeddings=codes))
    assert tokenizer.quantizer.codebook().shape == (1, 1, codes, 8)


def test_fsq_of_another_number_of_codes_says_which_there_are():
    with pytest.raises(ValueError, match=r"fsq has no levels for 100 codes; choose one of \[16, 64"):
        LatentTokenizer(replace(SHAPE, quantizer="fsq", num_vq_embeddings=100))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_leaves_the_codes_as_they_are(kind):
    """Codes are compared and stored in full precision, or the same tokenizer would seem to be another one."""
    tokenizer = started(**kind)
    codebook = tokenizer.quantizer.codebook()
    tokens = tokenizer.encode(latents()).detach()
    _, indices, _ = tokenizer.quantizer(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tokenizer.quantizer.codebook(), codebook)
        assert torch.equal(tokenizer.quantizer(tokens)[1], indices)
        assert tokenizer.quantizer.lookup(indices).dtype == torch.float32
        assert tokenizer.detokenize(indices).dtype == torch.float32
