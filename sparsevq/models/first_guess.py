"""A guess of the next frame by regression, about which the GPT's chances of codes begin as a Gaussian.

The vectors of a frame's tokens follow those of the two frames before it by a regression (`stage3.first_guess`). It is
linear, or has the products of the leading channels, too: the equations of an incompressible flow are quadratic, and so
are those of its POD coefficients (operator inference: Peherstorfer & Willcox, CMAME 2016). The codes near the guess are
likely, by a Gaussian whose variances are those of the regression's errors:

    log p(code | guess, levels before) = -1/2 sum_d weight_d (guess_d - seen_d - code_d)^2 + constant

The network's own scores are added to these, and begin as zero.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.causal import by_position

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
    """

    def __init__(self, codebook: Tensor, tokens_per_frame: int, quadratic: bool):
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
        self.log_weight = nn.Parameter(torch.zeros(tokens_per_frame, levels, channels))

    def history(self, frames: Tensor) -> Tensor:
        """Vectors of frames (b, s, P, D) -> what the guess after each is made from (b, s, i).

        Each frame and the one before it, in the n channels in use, and the products of the leading channels.
        """
        now = frames.flatten(2)[..., self.used]
        first, second = self.pairs
        return torch.cat([now, F.pad(now, (0, 0, 1, 0))[:, :-1], now[..., first] * now[..., second]], dim=-1)

    def forward(self, frames: Tensor, start: int = 0) -> Tensor:
        """Guess of the frame that follows each.

        Parameters
        ----------
        frames
            Vectors (b, s, P, D) of the frames `start` ... of a sequence; frame 0 is the observed one.

        Returns
        -------
        (b, s, P, D) float32
        """
        with torch.autocast(frames.device.type, enabled=False):
            history = self.history(frames.float())
            count = history.shape[1]
            ends = [min(max(kind + 1 - start, 0), count) for kind in range(KINDS - 1)] + [count]
            parts = [
                part @ matrix + offset
                for part, matrix, offset in zip(
                    history.tensor_split(ends[:-1], dim=1), self.matrix, self.offset, strict=True
                )
            ]
            guess = torch.zeros_like(frames.flatten(2), dtype=torch.float32)
            return guess.index_copy(2, self.used, torch.cat(parts, dim=1)).view_as(frames)

    def scores(self, rest: Tensor, codes: Tensor, level: int, first: int) -> Tensor:
        """Logarithms of the codes' chances, but for a constant.

        Parameters
        ----------
        rest
            Guess less the codes of the levels before, (b, n, D), of tokens from position `first` of a frame on.
        codes
            Codes of this level, (P', K, D).

        Returns
        -------
        (b, n, K) float32: in bf16 large terms that cancel would leave noise.
        """
        with torch.autocast(rest.device.type, enabled=False):
            weighted = codes * self.log_weight[:, level].exp()[:, None]  # (P, K, D)
            half_norms = 0.5 * (weighted * codes).sum(-1)
            position = (first + torch.arange(rest.shape[1], device=rest.device)) % len(weighted)
            return by_position(rest.float(), weighted.mT, first) - half_norms[position]

    @torch.no_grad()
    def set(self, matrix: Tensor, offset: Tensor, variance: Tensor) -> None:
        """Take regressions (3, i, n), (3, n), and the variances (n,) of their errors, n channels in use."""
        self.matrix.copy_(matrix)
        self.offset.copy_(offset)
        log_weight = torch.zeros_like(self.log_weight[:, 0]).flatten()
        log_weight[self.used] = -variance.to(log_weight.dtype).clamp_min(1e-6).log()
        self.log_weight.copy_(log_weight.view_as(self.log_weight[:, 0])[:, None].expand_as(self.log_weight))
