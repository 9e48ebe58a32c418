"""What is believed of a frame's coefficients before its codes are drawn, and with them: Gaussians.

Before: the outlook from the readings, and how far a forecast has gone from it (`sparsevq.models.course`).

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
    Tokens come position by position, (P, R, D), with rows R of sequences, or of sequences and lead times.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.course import Belief, Course

LEAST = 1e-6
"""Least variance that is left, or that a code's noise has, as a share of the whole."""


@dataclass(frozen=True)
class Channel:
    """How far coefficients go with their codes, and mean and variance of codes by their chances, (P, R, D) each."""

    gain: Tensor
    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Level:
    """What is believed of one level's codes: made once for a training step or a forecast, of all positions or some.

    All is float32, whatever the precision around it: in bf16 large terms that cancel would leave noise.

    Attributes
    ----------
    slope, square, noise, trust, weight
        (P, 1, D): k, its square, n, t; and the weight of a channel in the scores.
    density
        (P, 1, K): what is added to the scores.
    codes
        (P, K, 2 D): the codes, and their squares.
    """

    slope: Tensor
    square: Tensor
    noise: Tensor
    trust: Tensor
    weight: Tensor
    density: Tensor
    codes: Tensor

    def at(self, first: int, count: int) -> "Level":
        """Of `count` positions from `first` on."""
        if count == len(self.slope):
            return self
        return Level(*(getattr(self, field.name)[first : first + count] for field in fields(self)))

    def scores(self, belief: Belief, seen: Tensor) -> Tensor:
        """Logarithms (P, R, K) of the codes' chances, but for a constant.

        Parameters
        ----------
        belief
            Given the codes of the levels before, (P, R, D).
        seen
            (P, R, D) sum of these codes.
        """
        with torch.autocast(seen.device.type, enabled=False):
            weight = self.weight / torch.addcmul(self.noise, self.square, belief.variance)
            both = torch.cat([weight * self.slope * (belief.mean - seen), -0.5 * weight], dim=-1)
            return torch.baddbmm(self.density, both, self.codes.mT)

    def channel(self, belief: Belief, chance: Tensor) -> Channel:
        """By the chances (P, R, K) of codes that the scores of the belief give.

        Never so far that codes by these chances would give more than the belief's variance.
        """
        mean, variance = self.expected(chance)
        most = ((1 - LEAST) * belief.variance / variance.clamp_min(1e-30)).sqrt()
        return Channel((self.trust * self.gain(belief)).minimum(most), mean, variance)

    def told(self, belief: Belief, channel: Channel, code: Tensor) -> Belief:
        """The belief with the vectors `code` (P, R, D) of this level, too."""
        left = torch.addcmul(belief.variance, channel.gain.square(), channel.variance, value=-1)
        mean = torch.addcmul(belief.mean, channel.gain, code - channel.mean)
        return Belief(mean, left.maximum(LEAST * belief.variance))

    def update(self, belief: Belief, scores: Tensor, code: Tensor) -> Belief:
        """`told`, by the scores (P, R, K) of the belief."""
        return self.told(belief, self.channel(belief, scores.detach().softmax(-1)), code)

    def gain(self, belief: Belief) -> Tensor:
        """(P, R, D) how far a coefficient goes with its code, in theory."""
        return self.slope * belief.variance / torch.addcmul(self.noise, self.square, belief.variance)

    def expected(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (P, R, D) of codes by their chances (P, R, K)."""
        with torch.autocast(chance.device.type, enabled=False):
            mean, square = torch.bmm(chance, self.codes).chunk(2, dim=-1)
        return mean, torch.addcmul(square, mean, mean, value=-1).clamp_min(0)

    def mean(self, chance: Tensor) -> Tensor:
        """The mean of `expected` alone."""
        with torch.autocast(chance.device.type, enabled=False):
            return torch.bmm(chance, self.codes[..., : self.slope.shape[-1]])


class FirstGuess(Course):
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
        super().__init__(leads, coefficients)
        _, levels, codes, channels = codebook.shape
        self.tokens, self.channels = tokens, channels
        self.register_buffer("slots", slots, persistent=False)
        places = torch.full((tokens * channels,), len(slots))  # of each token channel its coefficient; else none
        places[slots] = torch.arange(len(slots))
        self.register_buffer("places", places, persistent=False)
        whole = codebook.float().expand(tokens, -1, -1, -1).transpose(0, 1)
        self.register_buffer("book", torch.cat([whole, whole.square()], dim=-1), persistent=False)  # (Q, P, K, 2 D)
        self.slots: Tensor
        self.places: Tensor
        self.book: Tensor
        self.slope: Tensor
        self.noise: Tensor
        self.trust: Tensor
        self.density: Tensor
        self.register_buffer("slope", torch.zeros(levels, tokens, channels))
        self.register_buffer("noise", torch.ones(levels, tokens, channels))
        self.register_buffer("trust", torch.ones(levels, tokens, channels))
        self.register_buffer("density", torch.zeros(tokens, levels, codes))  # of codes, negative logarithm
        self.log_weight = nn.Parameter(torch.zeros(levels, tokens, channels))
        # Errors have heavier tails than Gaussians, in all channels at once: chances are less sharp than these would be.
        self.log_sharpness = nn.Parameter(torch.zeros(levels, tokens))

    @property
    def codes(self) -> Tensor:
        """(P, Q, K, D)."""
        return self.book[..., : self.channels].transpose(0, 1)

    # -------------------------------------------------------------------------------------------- with codes

    def to_tokens(self, coefficients: Tensor, fill: float = 0.0) -> Tensor:
        """(..., r) -> (P, ..., D), `fill` where a token has no channel."""
        known = F.pad(coefficients[..., : len(self.slots)], (0, 1), value=fill)
        return known[..., self.places].unflatten(-1, (self.tokens, self.channels)).movedim(-2, 0)

    def to_coefficients(self, tokens: Tensor, count: int) -> Tensor:
        """(P, b, D) -> (b, r), r = `count`; 0 where no token has one."""
        known = tokens.transpose(0, 1).flatten(1)[:, self.slots]
        return F.pad(known, (0, count - known.shape[1]))

    def token_belief(self, belief: Belief) -> Belief:
        """(..., r) -> (P, R, D), R all of `...`."""
        mean, variance = self.to_tokens(belief.mean), self.to_tokens(belief.variance, 1.0)
        return Belief(*(part.reshape(self.tokens, -1, self.channels) for part in (mean, variance)))

    def level(self, level: int) -> Level:
        """What is believed of a level's codes, by the present weights."""
        sharpness = self.log_sharpness[level].exp()[:, None, None]
        slope = self.slope[level][:, None]
        return Level(
            slope,
            slope.square(),
            self.noise[level][:, None],
            self.trust[level][:, None],
            sharpness * self.log_weight[level].exp()[:, None],
            sharpness * self.density[:, level, None],
            self.book[level],
        )

    def drawn(self, belief: Belief, tokens: Belief) -> Belief:
        """Coefficients (b, r), of which those in tokens are as these say, (P, b, D)."""
        known = len(self.slots)
        mean, variance = (part.transpose(0, 1).flatten(1)[:, self.slots] for part in (tokens.mean, tokens.variance))
        return Belief(
            torch.cat([mean, belief.mean[:, known:]], dim=1), torch.cat([variance, belief.variance[:, known:]], dim=1)
        )

    # -------------------------------------------------------------------------------------------- numbers

    @torch.no_grad()
    def set(self, slope: Tensor, noise: Tensor, spread: Tensor, correlation: Tensor) -> None:
        """Take numbers of codes, (Q, P, D) each, and correlations (L, r); those of lead 0 are not used.

        A code's density, by which it is the rarer the more codes lie about it, is that of a Gaussian with the variance
        `spread` of its level's codes: then codes that are all as frequent are so under the belief without an outlook.
        """
        used = spread > 0
        self.slope.copy_(torch.where(used, slope, torch.zeros_like(slope)))
        self.noise.copy_(torch.where(used, noise.maximum(LEAST * spread), torch.ones_like(noise)))
        self.correlate(correlation)
        weight = torch.where(used, 1 / spread.clamp_min(1e-20), torch.zeros_like(spread))
        squares = self.book[..., self.channels :]
        self.density.copy_(0.5 * (squares * weight[:, :, None]).sum(-1).transpose(0, 1))
