"""Coefficients of the modes from readings at any sensors, without training.

First the *linear* estimate, optimal interpolation: the posterior mean of Gaussian coefficients with the training flows'
variances, given readings with independent errors. Flows are not Gaussian: the training flows that the sensors would see
alike say more. So what the linear estimate leaves is estimated by kernel ridge regression (the mean of a Gaussian
process) on examples, training frames that are read by the same sensors. Two frames are as near to each other as their
linear estimates, in the norm of the fields: readings that decide little count little, and the number of the sensors
does not matter. Known parameters of their trajectories may be further coordinates, times weights. Far from all examples
nothing is added. Width, ridge and weights are those with the smallest error on held-out frames, and where the linear
estimate has it, nothing is added at all.

    m readings (a sensor has one for each channel that it reads), r modes, S examples, V held-out frames, k parameters

References
----------
Gandin, Objective analysis of meteorological fields, 1965 (optimal interpolation); Rasmussen & Williams, Gaussian
processes for machine learning, 2006, sections 2.2 and 6.2.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

WIDTHS = (0.15, 0.5, 2.0, 8.0)
"""Squared widths of the kernel, in units of the median squared distance of two examples."""
RIDGES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Variance of what cannot be known from the readings, in units of that of what can."""
WEIGHTS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Of a known parameter, besides none: its typical distance, in units of the readings'."""
EXAMPLES_TO_CHOOSE = 1000
"""Examples with which width, ridge and weights are chosen: a solve costs the cube of their number."""
MODES_TO_CHOOSE = 64
"""Leading modes whose error decides the choice."""
LEAST_ERROR = 1e-6
"""Variance of a reading's error, normalised, below which the equations are badly conditioned."""


@dataclass(frozen=True)
class Examples:
    """Coefficients of frames to learn from, (S, r), and of held-out ones to choose by, (V, r).

    Parameters that are known of them are (S, k) and (V, k), standardised; None: there are none.
    """

    training: Tensor
    held_out: Tensor
    training_known: Tensor | None = None
    held_out_known: Tensor | None = None


@dataclass(frozen=True)
class Posterior:
    """What readings say of Gaussian coefficients: mean = ``gain`` (r, m) x readings; ``std`` (r,)."""

    gain: Tensor
    std: Tensor


def posterior(at_sensors: Tensor, error: Tensor, prior: Tensor) -> Posterior:
    """Optimal interpolation.

    Parameters
    ----------
    at_sensors
        (m, r) the modes where each reading is taken, of its channel.
    error
        (m,) variance of each reading's error: of the instrument, and of what the modes leave there.
    prior
        (r,) standard deviation of the coefficients.

    Returns
    -------
    The posterior, float32; computed in float64, from as many equations as there are readings or coefficients, whichever
    are fewer.
    """
    modes, std, error = at_sensors.double(), prior.double(), error.double().clamp_min(LEAST_ERROR)
    if len(modes) > modes.shape[1]:  # the equations of the coefficients are the fewer
        scaled = modes * std  # (m, r)
        over_error = scaled / error[:, None]
        within = scaled.T @ over_error
        within.diagonal().add_(1)
        factor = torch.linalg.cholesky(within)
        gain = std[:, None] * torch.cholesky_solve(over_error.T, factor)
        left = std.square() * torch.cholesky_inverse(factor).diagonal()
    else:
        variance = std.square()
        seen = modes * variance  # (m, r)
        factor = torch.linalg.cholesky(seen @ modes.T + torch.diag(error))
        solved = torch.cholesky_solve(seen, factor)
        gain, left = solved.T, variance - (seen * solved).sum(0)
    return Posterior(gain.float().contiguous(), left.clamp_min(0).sqrt().float())


class Estimator(nn.Module):
    """Coefficients (b, r) from the readings (b, m) of one set of sensors, and known parameters (b, k); see `fitted`.

    Its buffers are all that it needs, so that it can be stored: what a solve gives depends in its last bits on the
    number of threads.
    """

    def __init__(self, modes: int, readings: int, examples: int, parameters: int = 0):
        super().__init__()
        self.gain: Tensor
        self.std: Tensor
        self.metric: Tensor
        self.places: Tensor
        self.weights: Tensor
        self.width: Tensor
        self.known_weight: Tensor
        coordinates = min(modes, readings)
        self.register_buffer("gain", torch.zeros(modes, readings))
        self.register_buffer("std", torch.zeros(modes))
        self.register_buffer("metric", torch.zeros(readings, coordinates))
        self.register_buffer("places", torch.zeros(examples, coordinates + parameters))
        self.register_buffer("weights", torch.zeros(examples, modes))
        self.register_buffer("width", torch.ones(()))
        if parameters:
            self.register_buffer("known_weight", torch.zeros(parameters))

    @classmethod
    @torch.no_grad()
    def fitted(cls, at_sensors: Tensor, error: Tensor, prior: Tensor, examples: Examples) -> Self:
        """The estimate for a set of sensors; parameters as of `posterior`."""
        known = examples.training_known
        parameters = 0 if known is None else known.shape[1]
        found = cls(at_sensors.shape[1], len(at_sensors), len(examples.training), parameters).to(at_sensors.device)
        linear = posterior(at_sensors, error, prior)
        found.gain.copy_(linear.gain)
        found.std.copy_(linear.std)
        # A distance of two linear estimates is one of their readings in coordinates of at most r numbers.
        found.metric.copy_(torch.linalg.qr(linear.gain.double(), mode="r").R.T)
        if len(examples.training) and len(examples.held_out):
            generator = torch.Generator().manual_seed(0)

            def read(coefficients: Tensor) -> Tensor:
                noise = torch.randn(len(coefficients), len(error), generator=generator).to(error.device)
                return coefficients @ at_sensors.T + noise * error.float().sqrt()

            training, held_out = read(examples.training), read(examples.held_out)
            found._fit(
                Frames(training @ found.metric, known, examples.training - found.linear(training)),
                Frames(held_out @ found.metric, examples.held_out_known, examples.held_out - found.linear(held_out)),
            )
        return found

    def linear(self, readings: Tensor) -> Tensor:
        """Posterior mean (b, r) given normalised readings (b, m)."""
        return readings @ self.gain.T

    def forward(self, readings: Tensor, known: Tensor | None = None) -> Tensor:
        """The best estimate (b, r) given normalised readings (b, m) and, where it has been fitted with them, (b, k)."""
        estimate = self.linear(readings)
        if not len(self.places):
            return estimate
        places = coordinates(readings @ self.metric, known, None if known is None else self.known_weight)
        left = [kernel(part, self.places, self.width) @ self.weights for part in places.split(1024)]
        return estimate + torch.cat(left)

    def _fit(self, training: "Frames", held_out: "Frames") -> None:
        """Take the kernel with the smallest error on held-out frames; none where all add to it."""
        self.places.copy_(training.at(None))
        few = torch.linspace(0, len(self.places) - 1, min(EXAMPLES_TO_CHOOSE, len(self.places))).round().long()
        some = training.seen[few[: min(len(few), 500)]]
        median = torch.pdist(some).square().median() if len(few) > 1 else torch.zeros(())
        if not median > 0:
            return
        least = held_out.left.square().sum()
        for choice in choices(training.part(few), held_out, median):
            places = training.at(choice.weight)
            weights = ridge_regression(kernel(places, places, choice.width), training.left, choice.ridge)
            error = (held_out.left - kernel(held_out.at(choice.weight), places, choice.width) @ weights).square().sum()
            if error < least:
                least = error
                self.places.copy_(places)
                self.width.copy_(choice.width)
                self.weights.copy_(weights)
                if choice.weight is not None:
                    self.known_weight.copy_(choice.weight)


@dataclass(frozen=True)
class Frames:
    """Frames as the kernel sees them: readings' coordinates (b, q), known parameters (b, k), what is `left` (b, r)."""

    seen: Tensor
    known: Tensor | None
    left: Tensor

    def at(self, weight: Tensor | None) -> Tensor:
        """Coordinates (b, q + k), with weights (k,) of the parameters; None: 0."""
        return coordinates(self.seen, self.known, weight)

    def part(self, which: Tensor) -> "Frames":
        """Some of them."""
        return Frames(self.seen[which], None if self.known is None else self.known[which], self.left[which])


@dataclass(frozen=True)
class Choice:
    """A kernel's squared width, its ridge and the weights (k,) of known parameters; `error` on held-out frames."""

    error: float
    weight: Tensor | None
    width: Tensor
    ridge: float


def choices(some: Frames, held_out: Frames, median: Tensor) -> list[Choice]:
    """The best kernel without known parameters, and the best with them; none that is worse than nothing.

    Which is better may depend on the number of examples, here `some`. Weights are chosen one parameter after the other.

    Parameters
    ----------
    median
        Squared distance of two examples in the readings' coordinates. Two standardised numbers are sqrt(2) apart.
    """
    nothing = float(held_out.left[:, :MODES_TO_CHOOSE].square().sum(1).mean())
    alone = best = _best_kernel(some, held_out, median, None)
    for parameter in range(0 if some.known is None else some.known.shape[1]):
        assert some.known is not None
        weights = best.weight if best.weight is not None else torch.zeros_like(some.known[0])
        for weight in WEIGHTS:
            tried = weights.clone()
            tried[parameter] = weight * (median / 2).sqrt()
            best = min(best, _best_kernel(some, held_out, median, tried), key=lambda choice: choice.error)
    return [choice for choice in ([alone] if best is alone else [alone, best]) if choice.error < nothing]


def _best_kernel(some: Frames, held_out: Frames, median: Tensor, weight: Tensor | None) -> Choice:
    wanted, targets = (frames.left[:, :MODES_TO_CHOOSE] for frames in (held_out, some))
    places, found = some.at(weight), []
    for width in (share * median for share in WIDTHS):
        within, across = kernel(places, places, width), kernel(held_out.at(weight), places, width)
        for ridge in RIDGES:
            guess = across @ ridge_regression(within, targets, ridge)
            found.append(Choice(float((wanted - guess).square().sum(1).mean()), weight, width, ridge))
    return min(found, key=lambda choice: choice.error)


def coordinates(seen: Tensor, known: Tensor | None, weight: Tensor | None) -> Tensor:
    """(b, q), (b, k), (k,) -> (b, q + k); without weights the parameters are 0."""
    if known is None:
        return seen
    return torch.cat([seen, torch.zeros_like(known) if weight is None else weight * known], dim=1)


def kernel(places: Tensor, others: Tensor, width: Tensor, order: Tensor | float = 1) -> Tensor:
    """(a, q), (b, q) -> (a, b): the Matern kernel of order 3/2 (Rasmussen & Williams, equation 4.17), or 5/2.

    Flows are not infinitely smooth functions of the readings, and its error depends less on the width than that of a
    Gaussian kernel (docs/lab-notes.md).

    Parameters
    ----------
    order
        How often such functions can be differentiated, 1 or 2.
    """
    scaled = torch.cdist(places, others).mul_(((2 + 4 * order) / width).sqrt())
    decay = scaled.neg().exp_()
    if isinstance(order, Tensor) or order > 1:  # a tensor is not asked, which on a GPU would wait for it
        scaled.add_(scaled.square().mul_((order - 1) / 3))
    return scaled.add_(1).mul_(decay)  # in place: each further array of 8000 examples takes as long as the exponential


def ridge_regression(within: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """Weights (S, r) of a kernel (S, S) for targets (S, r)."""
    diagonal = within.diagonal()
    without = diagonal.clone()
    diagonal.add_(ridge)
    factor = torch.linalg.cholesky(within)
    diagonal.copy_(without)
    return torch.cholesky_solve(targets, factor)
