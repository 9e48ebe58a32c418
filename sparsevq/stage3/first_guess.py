"""The regression that the GPT's first guess is, fitted to training sequences."""

import math

import torch
from torch import Tensor

from sparsevq.errors import SparseVQError
from sparsevq.models.estimate import kernel, ridge_regression
from sparsevq.models.first_guess import KINDS, FirstGuess
from sparsevq.models.gpt import GPT
from sparsevq.stage3.sequences import Sequences

SEQUENCES, AT_ONCE = 8192, 64
"""Sequences that it is fitted to. Noise anew each time keeps the regression from the observed frame from being learnt
by heart: with 2048 the forecast of Navier-Stokes began with an error of 0.22 instead of 0.13."""
CHOOSING = 1000
"""Examples with which the width and the ridge of a kernel are chosen."""
WIDTHS = (2.0, 8.0, 32.0)
"""Squared widths of the kernel, in units of the median squared distance of two examples."""
RIDGES_OF_KERNEL = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.1, 1.0)
"""Variance of what the two frames leave open, in units of that of what they decide."""
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Penalties on the coefficients, as shares of the inputs' mean squares, that the validation sequences choose from."""


@torch.no_grad()
def fit_first_guess(gpt: GPT, sequences: Sequences, validation: Tensor, seed: int) -> None:
    """Fit a GPT's first guess, if it has one, by ridge regression from the codes' vectors of two frames to the next.

    The sequences are those of the training, with its noise, so that the guess is of what will be asked for. The
    variances of its errors are the larger of those in training and in `validation` (n, s, P, Q); of a kernel, those of
    each half of the trajectories as guessed by the other.

    Raises
    ------
    SparseVQError
        A kernel is wanted, but there is one training trajectory alone.
    """
    guess = gpt.first_guess
    if guess is None:
        return
    if guess.examples and len(sequences.training) < 2:
        raise SparseVQError(
            "stage3.first_guess=kernel needs two training trajectories: each is guessed by the examples of others",
            "give the data set more of them, or set first_guess to linear",
        )
    generator = torch.Generator(device=gpt.codebook.device).manual_seed(seed)
    sums: list[Tensor] = [torch.zeros((), dtype=torch.float64, device=gpt.codebook.device)] * KINDS
    examples: list[list[list[Tensor]]] = [[[], []] for _ in range(KINDS)]  # of each kind and half of the trajectories
    for number in range(-(-max(SEQUENCES, 2 * guess.examples) // AT_ONCE)):
        fold = number % 2 if guess.examples else None
        pairs = _pairs(gpt, guess, sequences.draw(AT_ONCE, generator, fold))
        sums = [total + _products(rows) for total, rows in zip(sums, pairs, strict=True)]
        if fold is not None:
            for kept, rows in zip(examples, pairs, strict=True):
                some = torch.randint(len(rows), (AT_ONCE,), generator=generator, device=rows.device)
                kept[fold].append(rows[some if len(rows) > AT_ONCE else slice(None)])
    outputs = len(guess.used)
    held_out = _pairs(gpt, guess, validation)
    solved = [_ridge(training, _products(rows), outputs) for training, rows in zip(sums, held_out, strict=True)]
    weights, variances = (torch.stack(parts) for parts in zip(*solved, strict=True))
    guess.set(weights[:, :-1], weights[:, -1], variances)
    if guess.examples:
        halves = [[torch.cat(parts)[: guess.examples] for parts in of_kind] for of_kind in examples]
        left = [_fit_kernel(guess, kind, halves[kind], held_out[kind]) for kind in range(KINDS)]
        guess.set(weights[:, :-1], weights[:, -1], torch.stack(left))


def _fit_kernel(guess: FirstGuess, kind: int, examples: list[Tensor], held_out: Tensor) -> Tensor:
    """Give a guess examples of one kind, rows (m, i + 1 + n) of each half; the variance (n,) of the errors left.

    Width and ridge are those with the smallest error on held-out rows, by some of the examples. Errors are in units of
    the fields, as distances are.
    """
    outputs, inputs = len(guess.used), guess.matrix.shape[1]

    def place_and_rest(rows: Tensor) -> tuple[Tensor, Tensor]:
        history = rows[:, :inputs]
        return guess.place(history), rows[:, -outputs:] - history @ guess.matrix[kind] - guess.offset[kind]

    unseen, wanted = place_and_rest(held_out)
    halves = [place_and_rest(rows) for rows in examples]
    few = slice(0, CHOOSING)
    places, rest = halves[0][0][few], halves[0][1][few]
    median = torch.pdist(places[:500]).square().median().clamp_min(1e-12)
    best, found = math.inf, (median, RIDGES_OF_KERNEL[-1])
    for width in (share * median for share in WIDTHS):
        within, across = kernel(places, places, width), kernel(unseen, places, width)
        for ridge in RIDGES_OF_KERNEL:
            guessed = across @ ridge_regression(within, rest, ridge)
            error = float(((wanted - guessed) * guess.channel_scale).square().sum(1).mean())
            if error < best:
                best, found = error, (width, ridge)
    guess.width[kind], ridge = found
    for half, (places, rest) in enumerate(halves):
        weights = ridge_regression(kernel(places, places, guess.width[kind]), rest, ridge)
        guess.places[kind, half].copy_(places)
        guess.weights[kind, half].copy_(weights)
    errors = []
    for half, (places, rest) in enumerate(halves):  # each half as it is guessed by the other
        across = kernel(places, guess.places[kind, 1 - half], guess.width[kind])
        errors.append((rest - across @ guess.weights[kind, 1 - half]).square().mean(0))
    return torch.stack(errors).mean(0)


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
