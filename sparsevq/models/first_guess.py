"""What is believed of a frame's coefficients before its codes are drawn, and with them: Gaussians.

Before: the outlook from the readings (`sparsevq.models.regression`), and how far a forecast has gone from it. Each
coefficient's error, in units of its std, follows an autoregressive process of order 1 over lead times:

    z_l ~ N(mean_l + c s_l / s_(l-1) (z_(l-1) - mean_(l-1)), (1 - c^2) s_l^2)

with mean and std s of the outlook and the correlation c of one lead time's error with the next, so that at every lead
time errors have the outlook's std.

With codes: of a coefficient that was N(m, v) before it, a level's code c tells what a noisy channel would (the forward
test channel of rate-distortion theory: Berger 1971, section 4.3; levels as in successive refinement: Equitz & Cover
1991). With s the sum of the codes of the levels before, the code is about N(k (m - s), k^2 v + n), slope k and noise n
as a regression on training frames gives them: the GPT's chances p of codes begin as this. And

    m' = m + a (c - E_p c),    v' = v - a^2 Var_p c,    a = t k v / (k^2 v + n)

with a factor t, 1 in theory, by a regression on training windows: so that, whatever finite codebook there is, draws of
codes by these chances and then of coefficients have the outlook's mean and variance. What the network makes of the
chances shifts them. Where codes are coarser than the outlook they decide little, and the forecast is no less exact than
it (source coding with side information: Wyner & Ziv 1976).

    b sequences, L lead times, P tokens of D channels, Q levels of K codes, r coefficients of which n are in tokens
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.causal import by_position
from sparsevq.models.regression import Outlook

LEAST = 1e-6
"""Least variance that is left, or that a code's noise has, as a share of the whole."""


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


Channel = tuple[Tensor, Tensor, Tensor]


class FirstGuess(nn.Module):
    """See the module's docstring; `set` gives it numbers.

    Parameters
    ----------
    codebook
        (P', Q, K, D), in the units of the coefficients.
    slots
        (n,) places among a frame's P D token channels of the first n coefficients.
    leads, coefficients
        L and r.
    """

    def __init__(self, codebook: Tensor, tokens: int, slots: Tensor, leads: int, coefficients: int):
        super().__init__()
        _, levels, codes, channels = codebook.shape
        self.tokens, self.channels, self.leads = tokens, channels, leads
        self.register_buffer("slots", slots, persistent=False)
        self.register_buffer("codes", codebook.float(), persistent=False)
        self.register_buffer("squares", codebook.float().square(), persistent=False)
        self.slots: Tensor
        self.codes: Tensor
        self.squares: Tensor
        self.slope: Tensor
        self.noise: Tensor
        self.trust: Tensor
        self.correlation: Tensor
        self.density: Tensor
        self.register_buffer("slope", torch.zeros(levels, tokens, channels))
        self.register_buffer("noise", torch.ones(levels, tokens, channels))
        self.register_buffer("trust", torch.ones(levels, tokens, channels))
        self.register_buffer("correlation", torch.zeros(leads, coefficients))  # with the lead time before
        self.register_buffer("propagator", torch.zeros(coefficients, coefficients))  # of one frame to the next, rows
        self.register_buffer("growth", torch.zeros(coefficients))  # variance of its errors
        self.register_buffer("spread", torch.ones(coefficients))  # variance of coefficients
        self.propagator: Tensor
        self.growth: Tensor
        self.spread: Tensor
        self.register_buffer("density", torch.zeros(tokens, levels, codes))  # of codes, negative logarithm
        self.log_weight = nn.Parameter(torch.zeros(levels, tokens, channels))
        # Errors have heavier tails than Gaussians, in all channels at once: chances are less sharp than these would be.
        self.log_sharpness = nn.Parameter(torch.zeros(levels, tokens))

    # -------------------------------------------------------------------------------------------- before the codes

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

    # -------------------------------------------------------------------------------------------- with codes

    def to_tokens(self, coefficients: Tensor, fill: float = 0.0) -> Tensor:
        """(..., r) -> (..., P, D), `fill` where a token has no channel."""
        tokens = coefficients.new_full((*coefficients.shape[:-1], self.tokens * self.channels), fill)
        tokens[..., self.slots] = coefficients[..., : len(self.slots)]
        return tokens.unflatten(-1, (self.tokens, self.channels))

    def to_coefficients(self, tokens: Tensor, count: int) -> Tensor:
        """(b, P, D) -> (b, r), r = `count`; 0 where no token has one."""
        coefficients = tokens.new_zeros(len(tokens), count)
        coefficients[:, : len(self.slots)] = tokens.flatten(1)[:, self.slots]
        return coefficients

    def token_belief(self, belief: Belief) -> Belief:
        """(..., r) -> (..., P, D)."""
        return Belief(self.to_tokens(belief.mean), self.to_tokens(belief.variance, 1.0))

    def scores(self, belief: Belief, seen: Tensor, level: int, start: int) -> Tensor:
        """Logarithms of the codes' chances, but for a constant.

        Parameters
        ----------
        belief
            Given the codes of the levels before, of tokens `start` ... (b, n, D); if `start` is no frame's first token,
            all are of one frame.
        seen
            (b, n, D) sum of these codes.

        Returns
        -------
        (b, n, K) float32: in bf16 large terms that cancel would leave noise.
        """
        with torch.autocast(seen.device.type, enabled=False):
            position = self._positions(seen, start)
            slope = self.slope[level, position]
            variance = slope.square() * belief.variance + self.noise[level, position]
            weight = self.log_weight[level, position].exp() / variance
            product = by_position(weight * slope * (belief.mean - seen), self._codes(level).mT, start)
            scores = product - 0.5 * by_position(weight, self._squares(level).mT, start) + self.density[position, level]
            return self.log_sharpness[level, position].exp()[:, None] * scores

    def update(self, belief: Belief, scores: Tensor, code: Tensor, level: int, start: int) -> Belief:
        """The belief with the vectors `code` (b, n, D) of this level, too, whose `scores` were (b, n, K)."""
        with torch.autocast(code.device.type, enabled=False):
            return self.told(belief, self.channel(belief, scores, level, start), code)

    def told(self, belief: Belief, channel: Channel, code: Tensor) -> Belief:
        """As `update`, by the `channel` of the belief."""
        gain, mean, variance = channel
        left = belief.variance - gain.square() * variance
        return Belief(belief.mean + gain * (code - mean), left.maximum(LEAST * belief.variance))

    def channel(self, belief: Belief, scores: Tensor, level: int, start: int) -> Channel:
        """How far coefficients go with their codes, and mean and variance of codes by their scores, (b, n, D) each.

        Never so far that codes by these chances would give more than the belief's variance.
        """
        mean, variance = self.expected(scores, level, start)
        gain = self.trust[level, self._positions(belief.mean, start)] * self.gain(belief, level, start)
        most = ((1 - LEAST) * belief.variance / variance.clamp_min(1e-30)).sqrt()
        return gain.minimum(most), mean, variance

    def expected(self, scores: Tensor, level: int, start: int) -> tuple[Tensor, Tensor]:
        """Mean and variance (b, n, D) of codes by their scores (b, n, K)."""
        chance = scores.detach().softmax(-1)
        mean = by_position(chance, self._codes(level), start)
        return mean, (by_position(chance, self._squares(level), start) - mean.square()).clamp_min(0)

    def mean(self, scores: Tensor, level: int, start: int) -> Tensor:
        """The mean of `expected` alone."""
        return by_position(scores.detach().softmax(-1), self._codes(level), start)

    def gain(self, belief: Belief, level: int, start: int) -> Tensor:
        """(b, n, D) how far a coefficient goes with its code, in theory."""
        position = self._positions(belief.mean, start)
        slope = self.slope[level, position]
        return slope * belief.variance / (slope.square() * belief.variance + self.noise[level, position])

    def drawn(self, belief: Belief, tokens: Belief) -> Belief:
        """Coefficients (b, r), of which those in tokens are as these say, (b, P, D)."""
        mean, variance = belief.mean.clone(), belief.variance.clone()
        mean[:, : len(self.slots)] = tokens.mean.flatten(1)[:, self.slots]
        variance[:, : len(self.slots)] = tokens.variance.flatten(1)[:, self.slots]
        return Belief(mean, variance)

    def _codes(self, level: int) -> Tensor:
        """(P, K, D) of a level."""
        return self.codes[:, level].expand(self.tokens, -1, -1)

    def _squares(self, level: int) -> Tensor:
        """(P, K, D): their squares."""
        return self.squares[:, level].expand(self.tokens, -1, -1)

    def _positions(self, tokens: Tensor, start: int) -> Tensor:
        return (start + torch.arange(tokens.shape[1], device=tokens.device)) % self.tokens

    # -------------------------------------------------------------------------------------------- numbers

    @torch.no_grad()
    def continue_by(self, propagator: Tensor, growth: Tensor, spread: Tensor) -> None:
        """Take a propagator (r, r) of rows, the variance of its errors and that of coefficients, (r,) each."""
        self.propagator.copy_(propagator)
        self.growth.copy_(growth)
        self.spread.copy_(spread)

    @torch.no_grad()
    def set(self, slope: Tensor, noise: Tensor, spread: Tensor, correlation: Tensor) -> None:
        """Take numbers of codes, (Q, P, D) each, and correlations (L, r); those of lead 0 are not used.

        A code's density, by which it is the rarer the more codes lie about it, is that of a Gaussian with the variance
        `spread` of its level's codes: then codes that are all as frequent are so under the belief without an outlook.
        """
        used = spread > 0
        self.slope.copy_(torch.where(used, slope, torch.zeros_like(slope)))
        self.noise.copy_(torch.where(used, noise.maximum(LEAST * spread), torch.ones_like(noise)))
        self.correlation.copy_(correlation)
        self.correlation[0] = 0
        weight = torch.where(used, 1 / spread.clamp_min(1e-20), torch.zeros_like(spread))
        codes = self.codes.expand(self.tokens, -1, -1, -1)
        self.density.copy_(0.5 * (codes.square() * weight.transpose(0, 1)[:, :, None]).sum(-1))
