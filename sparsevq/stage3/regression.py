"""What the GPT's first guess is made of, learned from training sequences before a step is taken."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsevq.config import Stage3Config
from sparsevq.errors import SparseVQError
from sparsevq.models.course import Course
from sparsevq.models.first_guess import FirstGuess
from sparsevq.models.gpt import GPT
from sparsevq.models.regression import Outlooks, Regression, Windows, chosen_windows
from sparsevq.models.residual_codes import level_sums
from sparsevq.stage3.sequences import VALIDATION_STARTS, Learned, Sequences

FRAMES = 8192
"""Training frames, at most, that variances of codes are measured on."""
SHARPENING = 64
"""Training windows, at most, that the sharpness of the guess is chosen on."""
SHARPNESSES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05, 0.03)
"""What it is chosen from."""
REFINED = 1024
"""Training windows, at most, of each number of observed frames whose corrected outlooks are looked at."""
RIDGE = 1e-3
"""Penalty on the propagator past the horizon, as a share of the coefficients' mean square."""


@torch.no_grad()
def learn_regressions(sequences: Sequences, settings: Stage3Config, seed: int) -> None:
    """Learn a regression from the readings for each number of observed frames; `sequences` keep them.

    Raises
    ------
    SparseVQError
        The dump has no readings and coefficients, or there is one training trajectory alone.
    """
    codes = sequences.codes
    if codes.readings is None or codes.coefficients is None:
        raise SparseVQError(
            "stage3.first_guess=regression: the index dump has no readings and coefficients, which "
            "stage2.tokenizer=groups alone has",
            "set stage3.first_guess to none, or train that tokenizer",
        )
    if len(sequences.training) < 2:
        raise SparseVQError(
            "stage3.first_guess=regression needs two training trajectories: each is predicted by the others",
            "give the data set more of them, or set first_guess to none",
        )
    for count in sequences.counts:
        where = _training_windows(sequences, count, settings.guess_examples, seed)
        held_out = codes.of("val")
        starts = sequences.starts_of(count)
        picks = torch.linspace(0, len(starts) - 1, min(2 * VALIDATION_STARTS, len(starts))).round().long()
        trajectory, start = torch.cartesian_prod(held_out, starts[picks]).unbind(-1)
        unseen = torch.stack([torch.zeros_like(start), trajectory, start], dim=-1)
        regression, left_out = Regression.fitted(
            _windows(sequences, where, count), _windows(sequences, unseen, count), seed
        )
        sequences.learned[count] = Learned(where, regression, left_out)


def _training_windows(sequences: Sequences, count: int, most: int, seed: int) -> Tensor:
    """(S, 3) variant, trajectory and last observed frame."""
    flows = torch.cartesian_prod(torch.arange(sequences.variants), sequences.training)
    if len(sequences.starts) == 1:  # the start is fixed
        return torch.cat([flows, sequences.starts.expand(len(flows), 1)], dim=1)[:most]
    frames = int(sequences.starts[-1]) + sequences.length
    flow, start = chosen_windows(len(flows), frames, sequences.length, count, most, seed).unbind(-1)
    return torch.cat([flows[flow], start[:, None]], dim=1)


def _windows(sequences: Sequences, where: Tensor, count: int) -> Windows:
    variant, trajectory, start = where.unbind(-1)
    readings = sequences.readings(variant, trajectory, start, count)
    training = sequences.training  # flows are ordered by variant, then by training trajectory
    of_training = torch.searchsorted(training, trajectory.contiguous()).clamp_max(len(training) - 1)
    flow = variant * len(training) + of_training
    coefficients = sequences.coefficients(variant, trajectory, start)
    where = torch.stack([flow, start], dim=-1)
    return Windows(readings, coefficients, trajectory.to(readings.device), where.to(readings.device))


@torch.no_grad()
def set_first_guess(gpt: GPT, sequences: Sequences) -> None:
    """Give a GPT's first guess its numbers, if it has one: by the regressions that `sequences` keep."""
    guess, outlooks = gpt.first_guess, gpt.outlooks
    if guess is None or outlooks is None:
        return
    flows = set_course(guess, outlooks, sequences)
    guess.set(*_channel(guess, flows, sequences), guess.correlation)
    _sharpen(guess, sequences)


@torch.no_grad()
def set_course(course: Course, outlooks: Outlooks, sequences: Sequences) -> Tensor:
    """Give outlooks, and the course of forecasts about them, their numbers by the regressions that `sequences` keep.

    Returns
    -------
    The coefficients of the training flows, (V T, F, r).
    """
    codes = sequences.codes
    assert codes.coefficients is not None and codes.center is not None
    for count, learned in sequences.learned.items():
        outlooks.own[str(count)].load_state_dict(learned.regression.state_dict())
        if outlooks.refinement is not None and learned.regression.refined is not None:
            outlooks.refinement.load_state_dict(learned.regression.refined[0].state_dict())
    flows = codes.coefficients[:, sequences.training].flatten(0, 1)  # (V T, F, r)
    outlooks.flows.copy_(flows)
    outlooks.trajectory.copy_(sequences.training.repeat(sequences.variants))
    outlooks.center.copy_(codes.center)
    course.correlate(_correlation(sequences))
    course.continue_by(*_propagator(flows.to(course.spread.device)))
    return flows


def _channel(guess: FirstGuess, flows: Tensor, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor]:
    """What codes tell of training frames' tokens: slope, noise and variance of each level's, (Q, P, D) each."""
    codes, training = sequences.codes, sequences.training
    count = flows.shape[0] * flows.shape[1]
    picks = torch.linspace(0, count - 1, min(FRAMES, count), dtype=torch.float64).round().long()
    tokens = guess.to_tokens(flows.flatten(0, 1)[picks].float().to(codes.codebook.device)).transpose(0, 1)  # (f, P, D)
    indices = sequences.targets[:, training].flatten(0, 2)[picks]  # (f, P, Q)
    sums = level_sums(indices, codes.codebook).unbind(2)
    before = torch.zeros_like(tokens)
    found = []
    for after in sums:
        left, code = tokens - before, after - before
        slope = (code * left).mean(0) / left.square().mean(0).clamp_min(1e-20)
        found.append((slope, (code - slope * left).square().mean(0), code.square().mean(0)))
        before = after
    slopes, noises, spreads = (torch.stack(parts) for parts in zip(*found, strict=True))
    return slopes, noises, spreads


def _sharpen(guess: FirstGuess, sequences: Sequences) -> None:
    """Take from training windows how sharp the chances of codes are, and how far coefficients go with their codes.

    The sharpness of each level and token is the one with which the codes are the least surprising.
    """
    learned = next(iter(sequences.learned.values()))
    size = min(SHARPENING, len(learned.where))
    rows = torch.linspace(0, len(learned.where) - 1, size).round().long()
    variant, trajectory, start = learned.where[rows].unbind(-1)
    states = sequences.coefficients(variant, trajectory, start)
    belief, true = guess.token_belief(guess.beliefs(learned.outlook(rows), states)), guess.to_tokens(states)
    true = true.flatten(1, 2)  # (P, b s, D)
    codes = sequences.take(variant, trajectory, start, 1)[:, 1:].flatten(0, 1)  # (b s, P, Q)
    sums = level_sums(codes, sequences.codes.codebook).transpose(0, 1)  # (P, b s, Q, D)
    seen = torch.zeros_like(sums[:, :, 0])
    for level, target in enumerate(codes.transpose(0, 1).unbind(-1)):
        scores = guess.level(level).scores(belief, seen)
        surprises = []
        for sharpness in SHARPNESSES:
            surprise = F.cross_entropy((sharpness * scores).flatten(0, 1), target.flatten(), reduction="none")
            surprises.append(surprise.view(guess.tokens, -1).mean(1))
        best = torch.stack(surprises).argmin(0)
        guess.log_sharpness[level] = torch.tensor(SHARPNESSES, device=best.device)[best].log()
        one = guess.level(level)
        scores, code = one.scores(belief, seen), sums[:, :, level] - seen
        further = one.gain(belief) * (code - one.expected(scores.softmax(-1))[0])  # (P, b s, D)
        products, squares = (part.sum(1) for part in ((true - belief.mean) * further, further**2))
        guess.trust[level] = (products / squares.clamp_min(1e-20)).clamp(0, 1.5)
        belief = guess.level(level).update(belief, scores, code)
        seen = sums[:, :, level]


def _correlation(sequences: Sequences) -> Tensor:
    """(L, r) of the errors, over their std, with those of the lead time before; over all numbers of observed frames."""
    found = []
    for learned in sequences.learned.values():
        products: Tensor | float = 0.0
        squares: Tensor | float = 0.0
        count = len(learned.where)
        if learned.regression.refined is not None:  # which takes longer than all else here
            count = min(count, REFINED)
        which = torch.linspace(0, len(learned.where) - 1, count, dtype=torch.float64).round().long()
        for rows in which.split(512):
            outlook = learned.outlook(rows)
            errors = (sequences.coefficients(*learned.where[rows].unbind(-1)) - outlook.mean) / outlook.std
            products = products + (errors[:, 1:] * errors[:, :-1]).sum(0)
            squares = squares + errors.square().sum(0)
        assert isinstance(squares, Tensor)
        found.append(products / (squares[1:] * squares[:-1]).sqrt().clamp_min(1e-12))
    correlation = torch.stack(found).mean(0).clamp(-0.999, 0.999)
    return torch.cat([torch.zeros_like(correlation[:1]), correlation])


def _propagator(flows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression (r, r) of a frame's coefficients on those before; variances of its errors, and of both."""
    before, after = flows[:, :-1].flatten(0, 1).float(), flows[:, 1:].flatten(0, 1).float()
    gram = (before.T @ before).double()
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    propagator = torch.linalg.solve(gram, (before.T @ after).double()).float()
    return propagator, (after - before @ propagator).square().mean(0), after.square().mean(0)
