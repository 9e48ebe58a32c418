"""A guess of the next frame by regression, about which the GPT's chances of codes begin as a Gaussian.

The vectors of a frame's tokens follow those of the two frames before it by a regression (`stage3.first_guess`). It is
linear, or has the products of the leading channels, too: the equations of an incompressible flow are quadratic, and so
are those of its POD coefficients (operator inference: Peherstorfer & Willcox, CMAME 2016). Or what the linear one
leaves is estimated by kernel ridge regression (the kernel of `sparsevq.models.estimate`) on examples, two frames and
what followed them: flows past obstacles, which differ from one trajectory to the next, follow no one equation. Each
half of the examples is of other trajectories and has weights of its own. In training the guess is made by the half
that the sequences are not of, so that the network learns what such a guess is worth; otherwise it is the mean of both.

The codes near the guess are likely, by a Gaussian whose variances are those of the regression's errors:

    log p(code | guess, levels before) = -1/2 sum_d weight_d (guess_d - seen_d - code_d)^2 + constant

The network's own scores are added to these, and begin as zero.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.causal import by_position
from sparsevq.models.estimate import kernel

KINDS = 3
"""Frames after the observed one, after that, and all others: a regression each, since the observed frame's tokens are
by the sparse encoder and have no frame before them."""
LEADING = 32
"""Channels, by the energy of their codes, whose products a quadratic guess is made from."""


class FirstGuess(nn.Module):
    """See the module's docstring; `set` gives it numbers.

    Parameters
    ----------
    codebook
        (P', Q, K, D), in units in which the energies of positions compare.
    tokens_per_frame
        P.
    quadratic
        Whether the regression has products.
    examples
        Examples of each kind in each half; 0: no kernel.
    """

    def __init__(self, codebook: Tensor, tokens_per_frame: int, quadratic: bool, examples: int):
        super().__init__()
        levels, channels = codebook.shape[1], codebook.shape[3]
        # Groups of coefficients are padded with zeros to the widest: these channels have no regression.
        used = (codebook != 0).any(2).any(1).expand(tokens_per_frame, -1)
        self.register_buffer("used", used.flatten().nonzero()[:, 0], persistent=False)
        self.used: Tensor
        size = len(self.used)
        energy = codebook[:, 0].var(1).expand(tokens_per_frame, -1).flatten()[self.used]
        leading = energy.argsort(descending=True, stable=True)[: LEADING if quadratic else 0]
        self.register_buffer("pairs", torch.combinations(leading, with_replacement=True).T)
        self.pairs: Tensor
        self.register_buffer("matrix", torch.zeros(KINDS, 2 * size + self.pairs.shape[1], size))
        self.register_buffer("offset", torch.zeros(KINDS, size))
        self.matrix: Tensor
        self.offset: Tensor
        if examples:
            # Distances are of the coefficients as they are: the GPT has the channels of each position at unit size.
            scale = energy_scale(codebook).expand(tokens_per_frame, channels).flatten()[self.used]
            self.register_buffer("channel_scale", scale)
            self.register_buffer("width", torch.ones(KINDS))
            self.register_buffer("places", torch.zeros(KINDS, 2, examples, 2 * size))
            self.register_buffer("weights", torch.zeros(KINDS, 2, examples, size))
            self.channel_scale: Tensor
            self.width: Tensor
            self.places: Tensor
            self.weights: Tensor
        self.examples = examples
        self.log_weight = nn.Parameter(torch.zeros(KINDS, tokens_per_frame, levels, channels))

    def history(self, frames: Tensor) -> Tensor:
        """Vectors of frames (b, s, P, D) -> what the guess after each is made from (b, s, i).

        Each frame and the one before it, in the n channels in use, and the products of the leading channels.
        """
        now = frames.flatten(2)[..., self.used]
        first, second = self.pairs
        return torch.cat([now, F.pad(now, (0, 0, 1, 0))[:, :-1], now[..., first] * now[..., second]], dim=-1)

    def place(self, history: Tensor) -> Tensor:
        """Where the kernel sees a history (..., i): the frame and its change, (..., 2 n), in units of the fields."""
        size = len(self.used)
        now, before = history[..., :size], history[..., size : 2 * size]
        return torch.cat([now * self.channel_scale, (now - before) * self.channel_scale], dim=-1)

    def by_examples(self, history: Tensor, kind: int, fold: int | None) -> Tensor:
        """What kernel regression adds to the guess of one kind from histories (b, s, i): (b, s, n)."""
        place = self.place(history).flatten(0, 1)
        halves = (0, 1) if fold is None else (1 - fold,)
        parts = [kernel(place, self.places[kind, half], self.width[kind]) @ self.weights[kind, half] for half in halves]
        return torch.stack(parts).mean(0).unflatten(0, history.shape[:2])

    def forward(self, frames: Tensor, start: int = 0, fold: int | None = None) -> Tensor:
        """Guess of the frame that follows each.

        Parameters
        ----------
        frames
            Vectors (b, s, P, D) of the frames `start` ... of a sequence; frame 0 is the observed one.
        fold
            Which half of the training trajectories the sequences are of, whose examples are left out; None: of neither.

        Returns
        -------
        (b, s, P, D) float32
        """
        with torch.autocast(frames.device.type, enabled=False):
            history = self.history(frames.float())
            parts = [
                self.regression(history[:, begin:end], kind, fold)
                for kind, begin, end in kinds(start, history.shape[1])
            ]
            guess = torch.zeros_like(frames.flatten(2), dtype=torch.float32)
            return guess.index_copy(2, self.used, torch.cat(parts, dim=1)).view_as(frames)

    def regression(self, history: Tensor, kind: int, fold: int | None) -> Tensor:
        """The guess of one kind from histories (b, s, i): (b, s, n)."""
        linear = history @ self.matrix[kind] + self.offset[kind]
        return linear + self.by_examples(history, kind, fold) if self.examples else linear

    def scores(self, rest: Tensor, codes: Tensor, level: int, start: int) -> Tensor:
        """Logarithms of the codes' chances, but for a constant.

        Parameters
        ----------
        rest
            Guess less the codes of the levels before, (b, n, D), of the tokens `start` ... after the observed frame;
            if `start` is no frame's first token, all are of one frame.
        codes
            Codes of this level, (P', K, D).

        Returns
        -------
        (b, n, K) float32: in bf16 large terms that cancel would leave noise.
        """
        size, count = self.log_weight.shape[1], rest.shape[1]
        parts = []
        with torch.autocast(rest.device.type, enabled=False):
            for kind, begin, end in kinds(start // size, -(-count // size)):
                part = rest[:, begin * size : end * size].float()
                weighted = codes * self.log_weight[kind, :, level].exp()[:, None]  # (P, K, D)
                half_norms = 0.5 * (weighted * codes).sum(-1)
                position = (start + torch.arange(part.shape[1], device=rest.device)) % size
                parts.append(by_position(part, weighted.mT, start) - half_norms[position])
            return torch.cat(parts, dim=1)

    @torch.no_grad()
    def set(self, matrix: Tensor, offset: Tensor, variance: Tensor) -> None:
        """Take regressions (3, i, n), (3, n), and the variances (3, n) of their errors, n channels in use."""
        self.matrix.copy_(matrix)
        self.offset.copy_(offset)
        log_weight = torch.zeros_like(self.log_weight[:, :, 0]).flatten(1)
        log_weight[:, self.used] = -variance.to(log_weight.dtype).clamp_min(1e-6).log()
        self.log_weight.copy_(log_weight.view_as(self.log_weight[:, :, 0])[:, :, None].expand_as(self.log_weight))


def energy_scale(codebook: Tensor) -> Tensor:
    """(P', 1) what `unit_codes` of `sparsevq.models.gpt` divides the codes of a codebook (P', Q, K, D) by."""
    used = (codebook[:, 0] != 0).any(1).sum(-1).clamp_min(1)
    return (codebook[:, 0].var(1).sum(-1) / used).sqrt().clamp_min(1e-8)[:, None]


def kinds(start: int, count: int) -> list[tuple[int, int, int]]:
    """The kinds of the frames `start` ... start + count - 1, and where in these each begins and ends."""
    ends = [min(max(kind + 1 - start, 0), count) for kind in range(KINDS - 1)] + [count]
    return [(kind, begin, end) for kind, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)) if end > begin]
