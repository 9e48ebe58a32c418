"""The regression that the GPT's first guess is, fitted to training sequences."""

import torch
from torch import Tensor

from sparsevq.models.first_guess import KINDS, FirstGuess
from sparsevq.models.gpt import GPT
from sparsevq.stage3.sequences import Sequences

SEQUENCES, AT_ONCE = 8192, 64
"""Sequences that it is fitted to. Noise anew each time keeps the regression from the observed frame from being learnt
by heart: with 2048 the forecast of Navier-Stokes began with an error of 0.22 instead of 0.13."""
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Penalties on the coefficients, as shares of the inputs' mean squares, that the validation sequences choose from."""


@torch.no_grad()
def fit_first_guess(gpt: GPT, sequences: Sequences, validation: Tensor, seed: int) -> None:
    """Fit a GPT's first guess, if it has one, by ridge regression from the codes' vectors of two frames to the next.

    The sequences are those of the training, with its noise, so that the guess is of what will be asked for. The
    variances of its errors are the larger of those in training and in `validation` (n, s, P, Q).
    """
    guess = gpt.first_guess
    if guess is None:
        return
    generator = torch.Generator(device=gpt.codebook.device).manual_seed(seed)
    sums: list[Tensor] = [torch.zeros((), dtype=torch.float64, device=gpt.codebook.device)] * KINDS
    for _ in range(SEQUENCES // AT_ONCE):
        pairs = _pairs(gpt, guess, sequences.draw(AT_ONCE, generator))
        sums = [total + _products(rows) for total, rows in zip(sums, pairs, strict=True)]
    outputs = len(guess.used)
    solved = [
        _ridge(training, _products(rows), outputs)
        for training, rows in zip(sums, _pairs(gpt, guess, validation), strict=True)
    ]
    weights, variances = (torch.stack(parts) for parts in zip(*solved, strict=True))
    guess.set(weights[:, :-1], weights[:, -1], variances)


def _pairs(gpt: GPT, guess: FirstGuess, sequences: Tensor) -> list[Tensor]:
    """For each kind, rows of what a guess is made from, 1, and what follows: (m, i + n)."""
    frames = gpt.frames(sequences)
    history, following = guess.history(frames)[:, :-1], frames.flatten(2)[:, 1:, guess.used]
    rows = torch.cat([history, torch.ones_like(history[..., :1]), following], dim=-1)
    return [rows[:, kind : kind + 1 if kind < KINDS - 1 else None].flatten(0, 1) for kind in range(KINDS)]


def _products(rows: Tensor) -> Tensor:
    """Sums of products of rows (m, i) with each other, (i, i) float64."""
    return (rows.T @ rows).double()


def _ridge(training: Tensor, validation: Tensor, outputs: int) -> tuple[Tensor, Tensor]:
    """Coefficients (i, o), and the variance (o,) of what they leave, from sums of products (i + o, i + o).

    The last input is 1.
    """
    gram, cross = training[:-outputs, :-outputs], training[:-outputs, -outputs:]
    mean_squares = gram.diag().clamp_min(1e-9 * gram[-1, -1])
    candidates = []
    for ridge in RIDGES:
        penalty = ridge * mean_squares
        penalty[-1] = 0
        weights = torch.linalg.solve(gram + penalty.diag(), cross)
        candidates.append((weights, *(_left(weights, products) for products in (training, validation))))
    weights, learned, unseen = min(candidates, key=lambda candidate: float(candidate[2].sum()))
    return weights, torch.maximum(learned, unseen)


def _left(weights: Tensor, products: Tensor) -> Tensor:
    """Mean square (o,) of what coefficients (i, o) leave of the outputs, from sums of products (i + o, i + o)."""
    inputs = len(weights)
    gram, cross, square = products[:inputs, :inputs], products[:inputs, inputs:], products.diag()[inputs:]
    return (square - 2 * (weights * cross).sum(0) + (weights * (gram @ weights)).sum(0)) / gram[-1, -1]
