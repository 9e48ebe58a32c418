"""Coefficients of the modes from readings at any sensors, without training.

First the *linear* estimate, optimal interpolation: the posterior mean of Gaussian coefficients with the training flows'
variances, given readings with independent errors. Flows are not Gaussian: the training flows that the sensors would see
alike say more. So what the linear estimate leaves is estimated by kernel ridge regression (the mean of a Gaussian
process) on examples, training frames that are read by the same sensors. Two frames are as near to each other as their
linear estimates, in the norm of the fields: readings that decide little count little, and the number of the sensors
does not matter. Width and ridge are those with the smallest error on held-out frames, and where the linear estimate has
it, nothing is added.

    m readings (a sensor has one for each channel that it reads), r modes, S examples, V held-out frames

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
EXAMPLES_TO_CHOOSE = 1000
"""Examples with which width and ridge are chosen: a solve costs the cube of their number."""
MODES_TO_CHOOSE = 64
"""Leading modes whose error decides the choice."""
LEAST_ERROR = 1e-6
"""Variance of a reading's error, normalised, below which the equations are badly conditioned."""


@dataclass(frozen=True)
class Examples:
    """Coefficients of frames to learn from, (S, r), and of held-out ones to choose by, (V, r)."""

    training: Tensor
    held_out: Tensor


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
    The posterior, float32; computed in float64.
    """
    modes, variance = at_sensors.double(), prior.double().square()
    seen = modes * variance  # (m, r)
    factor = torch.linalg.cholesky(seen @ modes.T + torch.diag(error.double().clamp_min(LEAST_ERROR)))
    solved = torch.cholesky_solve(seen, factor)
    left = variance - (seen * solved).sum(0)
    return Posterior(solved.T.float().contiguous(), left.clamp_min(0).sqrt().float())


class Estimator(nn.Module):
    """Coefficients (b, r) from the readings (b, m) of one set of sensors; made by `fitted`.

    Its buffers are all that it needs, so that it can be stored: what a solve gives depends in its last bits on the
    number of threads.
    """

    def __init__(self, modes: int, readings: int, examples: int):
        super().__init__()
        self.gain: Tensor
        self.std: Tensor
        self.metric: Tensor
        self.places: Tensor
        self.weights: Tensor
        self.width: Tensor
        coordinates = min(modes, readings)
        self.register_buffer("gain", torch.zeros(modes, readings))
        self.register_buffer("std", torch.zeros(modes))
        self.register_buffer("metric", torch.zeros(readings, coordinates))
        self.register_buffer("places", torch.zeros(examples, coordinates))
        self.register_buffer("weights", torch.zeros(examples, modes))
        self.register_buffer("width", torch.ones(()))

    @classmethod
    @torch.no_grad()
    def fitted(cls, at_sensors: Tensor, error: Tensor, prior: Tensor, examples: Examples) -> Self:
        """The estimate for a set of sensors; parameters as of `posterior`."""
        found = cls(at_sensors.shape[1], len(at_sensors), len(examples.training)).to(at_sensors.device)
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
                training @ found.metric,
                examples.training - found.linear(training),
                held_out @ found.metric,
                examples.held_out - found.linear(held_out),
            )
        return found

    def linear(self, readings: Tensor) -> Tensor:
        """Posterior mean (b, r) given normalised readings (b, m)."""
        return readings @ self.gain.T

    def forward(self, readings: Tensor) -> Tensor:
        """The best estimate (b, r) given normalised readings (b, m)."""
        estimate = self.linear(readings)
        if not len(self.places):
            return estimate
        left = [kernel(part, self.places, self.width) @ self.weights for part in (readings @ self.metric).split(1024)]
        return estimate + torch.cat(left)

    def _fit(self, places: Tensor, targets: Tensor, held_out: Tensor, wanted: Tensor) -> None:
        """Take the kernel with the smallest error on held-out frames; none where all add to it."""
        self.places.copy_(places)
        few = torch.linspace(0, len(places) - 1, min(EXAMPLES_TO_CHOOSE, len(places))).round().long()
        median = torch.pdist(places[few[: min(len(few), 500)]]).square().median() if len(few) > 1 else torch.zeros(())
        if not median > 0:
            return
        choice = wanted[:, :MODES_TO_CHOOSE]
        best, found = float(choice.square().sum(1).mean()), None
        for width in (share * median for share in WIDTHS):
            within, across = kernel(places[few], places[few], width), kernel(held_out, places[few], width)
            for ridge in RIDGES:
                guess = across @ ridge_regression(within, targets[few, :MODES_TO_CHOOSE], ridge)
                error = float((choice - guess).square().sum(1).mean())
                if error < best:
                    best, found = error, (width, ridge)
        if found is None:
            return
        width, ridge = found
        weights = ridge_regression(kernel(places, places, width), targets, ridge)
        guess = kernel(held_out, places, width) @ weights
        if (wanted - guess).square().sum() < wanted.square().sum():
            self.width.copy_(width)
            self.weights.copy_(weights)


def kernel(places: Tensor, others: Tensor, width: Tensor) -> Tensor:
    """(a, q), (b, q) -> (a, b): the Matern kernel of order 3/2 (Rasmussen & Williams, equation 4.17).

    Flows are not infinitely smooth functions of the readings, and its error depends less on the width than that of a
    Gaussian kernel (docs/lab-notes.md).
    """
    scaled = torch.cdist(places, others) * (6 / width).sqrt()
    return (1 + scaled) * torch.exp(-scaled)


def ridge_regression(within: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """Weights (S, r) of a kernel (S, S) for targets (S, r)."""
    return torch.cholesky_solve(targets, torch.linalg.cholesky(within + ridge * torch.eye(len(within)).to(within)))
