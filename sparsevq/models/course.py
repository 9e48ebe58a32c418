"""What is believed of a forecast's coefficients, frame by frame: Gaussians about the outlook from the readings.

The outlook is `sparsevq.models.regression`'s; a forecast may have gone from it. Each coefficient's error, in units of
its std, follows an autoregressive process of order 1 over lead times:

    z_l ~ N(mean_l + c s_l / s_(l-1) (z_(l-1) - mean_(l-1)), (1 - c^2) s_l^2)

with mean and std s of the outlook and the correlation c of one lead time's error with the next, so that at every lead
time errors have the outlook's std.

    b sequences, L lead times, r coefficients
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.regression import Outlook


@dataclass(frozen=True)
class Belief:
    """Mean and variance of coefficients, (..., r) each."""

    mean: Tensor
    variance: Tensor

    def draw(self, generator: torch.Generator | None, temperature: float, noise: Tensor | None = None) -> Tensor:
        """A draw whose variance is `temperature` times the belief's; by `noise` of variance 1, None: Gaussian."""
        if temperature == 0:
            return self.mean
        if noise is None:
            noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + noise * (temperature * self.variance).sqrt()


class Course(nn.Module):
    """See the module's docstring; `correlate` and `continue_by` give it numbers.

    Parameters
    ----------
    leads, coefficients
        L and r.
    """

    def __init__(self, leads: int, coefficients: int):
        super().__init__()
        self.leads = leads
        self.register_buffer("correlation", torch.zeros(leads, coefficients))  # with the lead time before
        self.register_buffer("propagator", torch.zeros(coefficients, coefficients))  # of one frame to the next, rows
        self.register_buffer("growth", torch.zeros(coefficients))  # variance of its errors
        self.register_buffer("spread", torch.ones(coefficients))  # variance of coefficients
        self.correlation: Tensor
        self.propagator: Tensor
        self.growth: Tensor
        self.spread: Tensor

    def beliefs(self, outlook: Outlook, states: Tensor) -> Belief:
        """Of all lead times, given the coefficients (b, L, r) of each one's frame before."""
        apart = F.pad(states - outlook.mean, (0, 0, 1, 0))[:, :-1]
        std_before = F.pad(outlook.std, (0, 0, 1, 0), value=1.0)[:, :-1]
        correlation = self.correlation[: outlook.mean.shape[1]]
        gain = correlation * outlook.std / std_before
        return Belief(outlook.mean + gain * apart, (1 - correlation.square()) * outlook.std.square())

    def belief(self, outlook: Outlook, lead: int, state: Tensor | None) -> Belief:
        """Of one lead time, given the coefficients (b, r) of the frame before; None: there is none."""
        mean, std = outlook.mean[:, lead], outlook.std[:, lead]
        if state is None:
            return Belief(mean, std.square())
        correlation = self.correlation[min(lead, self.leads - 1)]
        gain = correlation * std / outlook.std[:, lead - 1]
        apart = state - outlook.mean[:, lead - 1]
        return Belief(mean + gain * apart, (1 - correlation.square()) * std.square())

    def innovations(self, errors: Tensor, outlook: Outlook) -> Tensor:
        """(b, L, r) of variance about 1: what errors (b, L, r), over the outlook's std, do not go on as by correlation.

        Drawn as noise, they make a forecast go from its outlook as the errors do.
        """
        leads = min(errors.shape[1], outlook.std.shape[1])  # of a short forecast there are more errors than asked for
        apart, correlation = errors[:, :leads] / outlook.std[:, :leads], self.correlation[:leads]
        before = F.pad(apart, (0, 0, 1, 0))[:, :-1]
        return (apart - correlation * before) / (1 - correlation.square()).sqrt()

    def until(self, outlook: Outlook, frames: int) -> Outlook:
        """The outlook for `frames` lead times: past its own a linear propagator continues it, less and less sure."""
        means, stds = [outlook.mean[:, :frames]], [outlook.std[:, :frames]]
        for _ in range(frames - means[0].shape[1]):
            means.append(means[-1][:, -1:] @ self.propagator)
            stds.append((stds[-1][:, -1:].square() + self.growth).minimum(self.spread).sqrt())
        return Outlook(torch.cat(means, dim=1), torch.cat(stds, dim=1))

    @torch.no_grad()
    def correlate(self, correlation: Tensor) -> None:
        """Take correlations (L, r); that of lead 0, which has no lead time before it, is not used."""
        self.correlation.copy_(correlation)
        self.correlation[0] = 0

    @torch.no_grad()
    def continue_by(self, propagator: Tensor, growth: Tensor, spread: Tensor) -> None:
        """Take a propagator (r, r) of rows, the variance of its errors and that of coefficients, (r,) each."""
        self.propagator.copy_(propagator)
        self.growth.copy_(growth)
        self.spread.copy_(spread)
