"""Tokens that are groups of coefficients, each coded by a codebook of its own: transform coding, without a network.

The latents of a frame, flattened, begin with coefficients in order of energy. Token p holds the coefficients of group
p, filled up with zeros to D channels, the widest group; coefficients after the last group are decoded as their mean.
"""

import torch
from torch import Tensor, nn

from sparsevq.models.residual_codes import codes_sum, residual_codes


class GroupCodec(nn.Module):
    """Latents (b, n, c) <-> groups of their coefficients (b, P, D), lossless but for what no group holds.

    Parameters
    ----------
    sizes
        Coefficients of each group, in order of energy.
    """

    def __init__(self, sizes: tuple[int, ...], num_latents: int, latent_channels: int):
        super().__init__()
        count, held, width = num_latents * latent_channels, sum(sizes), max(sizes)
        if held > count:
            raise ValueError(f"groups of {held} coefficients do not fit latents of {count} numbers")
        self.shape = (num_latents, latent_channels)
        self.where: Tensor  # of each coefficient, its place among the tokens' channels
        self.register_buffer("where", group_slots(sizes), persistent=False)
        self.groups, self.width = len(sizes), width

    def encode(self, latents: Tensor) -> Tensor:
        """(b, n, c) -> (b, P, D)."""
        tokens = latents.new_zeros(len(latents), self.groups * self.width)
        tokens[:, self.where] = latents.flatten(1)[:, : len(self.where)]
        return tokens.view(-1, self.groups, self.width)

    def decode(self, tokens: Tensor) -> Tensor:
        """(b, P, D) -> (b, n, c)."""
        latents = tokens.new_zeros(len(tokens), self.shape[0] * self.shape[1])
        latents[:, : len(self.where)] = tokens.flatten(1)[:, self.where]
        return latents.view(-1, *self.shape)


def group_slots(sizes: tuple[int, ...]) -> Tensor:
    """(n,) of each coefficient in groups of these sizes, its place among a frame's P D token channels."""
    used = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]  # (P, D)
    return used.flatten().nonzero()[:, 0]


class GroupQuantizer(nn.Module):
    """Residual codes by a codebook for each token position; the same interface as `quantizer.Quantizer`.

    The codebook is fitted, not trained: `started` says whether it has been.
    """

    def __init__(self, sizes: tuple[int, ...], levels: int, codes: int, beam: int):
        super().__init__()
        self.beam = beam
        self.codes: Tensor
        self.register_buffer("codes", torch.zeros(len(sizes), levels, codes, max(sizes)))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized tokens (b, P, D), indices (b, P, Q), commitment loss () of zero."""
        indices = residual_codes(tokens, self.codes, self.beam)
        return self.lookup(indices), indices, self.codes.new_zeros(())

    @property
    def started(self) -> bool:
        """Whether there is a codebook yet."""
        return bool(self.codes.any())

    def codebook(self) -> Tensor:
        """(P, Q, K, D)."""
        return self.codes

    def lookup(self, indices: Tensor) -> Tensor:
        """Vectors (..., P, D) of indices (..., P, Q)."""
        return codes_sum(indices, self.codes)
