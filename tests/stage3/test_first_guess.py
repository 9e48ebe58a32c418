"""The regression that the GPT's first guess is."""

import math

import pytest
import torch

from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.models.residual_codes import codes_sum, residual_codes
from sparsevq.runs.codes import Codes
from sparsevq.runtime.model_file import load_model
from sparsevq.stage3 import first_guess
from sparsevq.stage3.first_guess import fit_first_guess
from sparsevq.stage3.sequences import Sequences
from tests.chain import STAGE3


@pytest.fixture
def waves(monkeypatch):
    """Codes of 40 trajectories of three waves: each token goes round a circle at a speed that is its amplitude's."""
    monkeypatch.setattr(first_guess, "SEQUENCES", 256)
    draws = torch.Generator().manual_seed(0)
    phase = 6.3 * torch.rand(1, 40, 1, 3, generator=draws) + 0.5 * torch.arange(12)[:, None]
    tokens = torch.stack([phase.cos(), phase.sin()], dim=-1)  # (V, T, F, P, D)
    codebook = torch.stack([torch.randn(256, 2, generator=draws), torch.zeros(256, 2)])[None].expand(3, -1, -1, -1)
    indices = residual_codes(tokens.flatten(0, 2), codebook, 1).view(1, 40, 12, 3, 2)
    return Codes(indices, indices, codebook, ["train"] * 30 + ["val"] * 10)


@pytest.mark.parametrize("prediction", ["next_frame", "next_token"])
def test_a_linear_flow_is_forecast_before_any_training(waves, prediction):
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(3, 2, 256, 2, prediction, 4, 1, 2, 16, codebooks=3, first_guess="linear"), waves.codebook)
    sequences = Sequences(waves, STAGE3)
    fit_first_guess(gpt, sequences, sequences.held_out(), seed=0)
    cases = waves.sparse[0, 30:]
    found = codes_sum(gpt.eval().generate(cases[:, 0], 8, temperature=0), waves.codebook)
    error = (found - codes_sum(cases[:, 1:9], waves.codebook)).square().mean().sqrt()
    assert error < 0.2, "of waves of amplitude 1, with codes 0.1 apart"


@pytest.mark.parametrize(("kind", "least", "most"), [("linear", 0.6, 1.5), ("quadratic", 0.0, 0.2)])
def test_a_quadratic_flow_is_forecast_by_a_quadratic_guess(waves, kind, least, most):
    """Points on a circle whose angle doubles: z becomes z squared, of which no linear guess knows anything."""
    phase = 6.3 * torch.rand(1, 40, 1, 3, generator=torch.Generator().manual_seed(1)) * 2.0 ** torch.arange(12)[:, None]
    tokens = torch.stack([phase.cos(), phase.sin()], dim=-1)
    indices = residual_codes(tokens.flatten(0, 2), waves.codebook, 1).view(1, 40, 12, 3, 2)
    codes = Codes(indices, indices, waves.codebook, waves.split)
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(3, 2, 256, 2, "next_frame", 4, 1, 2, 16, codebooks=3, first_guess=kind), codes.codebook)
    sequences = Sequences(codes, STAGE3)
    fit_first_guess(gpt, sequences, sequences.held_out(), seed=0)
    found = codes_sum(gpt.eval().generate(indices[0, 30:, 0], 1, temperature=0), codes.codebook)[:, 0]
    error = (found - codes_sum(indices[0, 30:, 1], codes.codebook)).square().mean().sqrt()
    assert least <= error < most


def kernel_gpt(codes, examples=64):
    torch.manual_seed(0)
    config = GPTConfig(
        3, 2, 256, 2, "next_frame", 4, 1, 2, 16, codebooks=3, first_guess="kernel", guess_examples=examples
    )
    gpt, sequences = GPT(config, codes.codebook), Sequences(codes, STAGE3)
    fit_first_guess(gpt, sequences, sequences.held_out(), seed=0)
    return gpt.eval(), sequences


def test_a_flow_of_no_equation_is_forecast_by_a_kernel(waves):
    """Three points on circles, whose angle takes a step that depends on where they are: one smooth map for all."""
    phase = 6.3 * torch.rand(1, 40, 1, 1, generator=torch.Generator().manual_seed(1)).expand(-1, -1, -1, 3)
    frames = [phase]
    for _ in range(11):
        frames.append(frames[-1] + 0.5 + (2 * frames[-1]).sin())
    phase = torch.cat(frames, dim=2)
    tokens = torch.stack([phase.cos(), phase.sin()], dim=-1)
    indices = residual_codes(tokens.flatten(0, 2), waves.codebook, 1).view(1, 40, 12, 3, 2)
    codes = Codes(indices, indices, waves.codebook, waves.split)
    errors = {}
    for name, gpt in (("kernel", kernel_gpt(codes, 120)[0]), ("linear", linear_gpt(codes))):
        found = codes_sum(gpt.generate(indices[0, 30:, 0], 1, temperature=0), codes.codebook)[:, 0]
        errors[name] = (found - codes_sum(indices[0, 30:, 1], codes.codebook)).square().mean().sqrt()
    assert errors["kernel"] < 0.6 * errors["linear"]


def linear_gpt(codes):
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(3, 2, 256, 2, "next_frame", 4, 1, 2, 16, codebooks=3, first_guess="linear"), codes.codebook)
    sequences = Sequences(codes, STAGE3)
    fit_first_guess(gpt, sequences, sequences.held_out(), seed=0)
    return gpt.eval()


def test_in_training_the_guess_is_made_by_the_other_half_of_the_trajectories(waves):
    gpt, sequences = kernel_gpt(waves)
    frames = gpt.frames(sequences.draw(4, torch.Generator().manual_seed(0), fold=0))
    guesses = [gpt.first_guess(frames, fold=fold) for fold in (0, 1, None)]
    torch.testing.assert_close(guesses[2], (guesses[0] + guesses[1]) / 2)
    gpt.first_guess.weights[:, 0] = 0  # the examples of the first half
    assert torch.equal(gpt.first_guess(frames, fold=0), guesses[0])
    assert not torch.allclose(gpt.first_guess(frames, fold=1), guesses[1])
    drawn = sequences.draw(200, torch.Generator().manual_seed(0), fold=1)[:, 0]
    second = waves.sparse[0, 1:30:2].flatten(0, 1)
    assert all((second == frame).all((1, 2)).any() for frame in drawn)


def test_a_kernel_needs_two_training_trajectories(waves):
    codes = Codes(waves.sparse, waves.sparse, waves.codebook, ["train"] + ["val"] * 39)
    with pytest.raises(SparseVQError, match="two training trajectories"):
        kernel_gpt(codes)


def test_a_gpt_without_a_first_guess_is_left_as_it_is(waves):
    gpt = GPT(GPTConfig(3, 2, 256, 2, "next_frame", 4, 1, 2, 16, codebooks=3), waves.codebook)
    before = {name: weight.clone() for name, weight in gpt.state_dict().items()}
    sequences = Sequences(waves, STAGE3)
    fit_first_guess(gpt, sequences, sequences.held_out(), seed=0)
    assert all(torch.equal(weight, before[name]) for name, weight in gpt.state_dict().items())


def test_what_is_learnt_by_heart_is_not_believed(monkeypatch):
    """Random frames, fewer than channels: the regression fits them, and validation says what that is worth."""
    monkeypatch.setattr(first_guess, "SEQUENCES", 64)
    torch.manual_seed(0)
    indices = torch.randint(16, (1, 6, 6, 8, 1))
    codes = Codes(indices, indices, torch.randn(8, 1, 16, 4), ["train"] * 2 + ["val"] * 4)
    gpt = GPT(GPTConfig(8, 1, 16, 4, "next_frame", 4, 1, 2, 16, codebooks=8, first_guess="linear"), codes.codebook)
    sequences = Sequences(codes, STAGE3)
    fit_first_guess(gpt, sequences, sequences.held_out(), seed=0)
    with torch.no_grad():
        assert gpt.eval()(sequences.held_out(), sequences.held_out()) < 1.5 * math.log(16)


def test_it_is_trained_saved_and_read_like_any_other(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(first_guess, "SEQUENCES", 64)
    out, rows = trained.gpt(tmp_path, first_guess="linear")
    assert rows[-1]["val_loss"] < math.log(16)
    file = load_model(out / "model.safetensors", "gpt")
    assert file.shape["first_guess"] == "linear"
    assert file.weights["first_guess.matrix"].any()
