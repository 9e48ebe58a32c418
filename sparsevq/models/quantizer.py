"""The quantizers of vector-quantize-pytorch, with one interface."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ, ResidualVQ
from vector_quantize_pytorch.vector_quantize_pytorch import Codebook

from sparsevq.models.residual_codes import codes_sum

if TYPE_CHECKING:
    from sparsevq.models.tokenizer import TokenizerConfig

FSQ_LEVELS = {
    16: (4, 4),
    64: (8, 8),
    240: (8, 6, 5),
    256: (8, 8, 4),
    1000: (8, 5, 5, 5),
    1024: (8, 8, 4, 4),
    4096: (8, 8, 8, 8),
}
"""Levels a dimension for a number of codes, near those that FSQ recommends (Mentzer et al. 2023, table 1)."""


class PromptCodebook(Codebook):
    """The library's codebook, without questions to the device, each of which makes the host wait in every step.

    The library asks whether the codebook has been initialised, and whether any code is dead. Here the first answer is
    kept once it is yes; and dead codes are replaced by a choice between old and new ones that needs no answer.

    Attributes
    ----------
    of_all_ranks
        A batch's vectors (1, n, D) -> those of all ranks in their order on one device; None: there is one rank.
    from_first
        Overwrites a tensor with that of the first rank.
    """

    of_all_ranks: Callable[[Tensor], Tensor] | None = None
    from_first: Callable[[Tensor], Tensor] | None = None
    _has_started = False

    def init_embed_(self, data: Tensor, mask: Tensor | None = None) -> None:
        if not self._has_started:
            super().init_embed_(data, mask=mask)
            self._has_started = bool(self.initted)

    def expire_codes_(self, batch_samples: Tensor, seq_mask: Tensor | None = None) -> None:
        """Put dead codes where vectors (1, ..., D) of the batch are, each another; of more codes the last ones wait.

        The vectors are evenly spaced from a random one on. One number is drawn whether codes are dead or not, so that
        several ranks, which do ask, since they would have to exchange vectors, draw what one does.
        """
        if not self.training:
            return
        dead = self.cluster_size < self.threshold_ema_dead_code  # (1, K)
        start = torch.rand((), device=dead.device)
        if self.of_all_ranks is not None:
            if not dead.any():
                return
            batch_samples = self.of_all_ranks(batch_samples)
        vectors = batch_samples.flatten(0, -2).to(self.embed)
        count = len(vectors)
        rank = dead.cumsum(-1) - 1
        dead = dead & (rank < count)
        new = vectors[((start * count).long() + rank.clamp_min(0) * max(1, count // self.codebook_size)) % count]
        size = self.reset_cluster_size
        self.embed.data.copy_(torch.where(dead[..., None], new, self.embed))
        self.embed_avg.data.copy_(torch.where(dead[..., None], size * new, self.embed_avg))
        self.cluster_size.data.copy_(torch.where(dead, size, self.cluster_size))
        if self.from_first is not None:
            for state in (self.embed, self.embed_avg, self.cluster_size):
                self.from_first(state.data)


class Quantizer(nn.Module):
    """The discrete bottleneck, (b, P, D) -> (b, P, D) and indices (b, P, Q).

    Whatever the kind, a token's vector is the sum over its levels of ``codebook[level, index]``.
    """

    def __init__(self, config: "TokenizerConfig"):
        super().__init__()
        dim, codes = config.vq_embedding_dim, config.num_vq_embeddings
        self.core: FSQ | ResidualVQ
        if config.quantizer == "fsq":
            if codes not in FSQ_LEVELS:
                raise ValueError(f"fsq has no levels for {codes} codes; choose one of {sorted(FSQ_LEVELS)}")
            self.core = FSQ(levels=list(FSQ_LEVELS[codes]), dim=dim)
        else:
            # Plain VQ is residual VQ of one level. Codes by moving averages, gradients by the rotation trick
            # (Fifty et al. 2024), dead codes replaced from the batch.
            self.core = ResidualVQ(
                dim=dim,
                num_quantizers=config.levels,
                codebook_size=codes,
                commitment_weight=config.commitment_cost,
                kmeans_init=True,
                kmeans_iters=10,
                threshold_ema_dead_code=1,
                rotation_trick=True,
            )
            for layer in self.core.layers:
                layer._codebook.__class__ = PromptCodebook

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized tokens (b, P, D), indices (b, P, Q), commitment loss ()."""
        tokens = tokens.float()  # distances between codes lose their order in bf16
        with torch.autocast(tokens.device.type, enabled=False):
            if isinstance(self.core, FSQ):
                quantized, indices = self.core(tokens)
                return quantized, indices[..., None], tokens.new_zeros(())
            quantized, indices, losses = self.core(tokens)
        return quantized, indices, losses.sum()

    @property
    def started(self) -> bool:
        """Whether there is a codebook yet: k-means makes it from the first batch."""
        return isinstance(self.core, FSQ) or all(bool(layer._codebook.initted) for layer in self.core.layers)

    @torch.no_grad()
    def codebook(self) -> Tensor:
        """(1, Q, K, D): one for all token positions."""
        if isinstance(self.core, FSQ):
            codes = self.core.implicit_codebook
            with torch.autocast(codes.device.type, enabled=False):  # the same codes whatever the precision
                return self.core.project_out(codes)[None, None]
        return self.core.codebooks[None]

    @torch.no_grad()
    def lookup(self, indices: Tensor) -> Tensor:
        """Vectors (..., P, D) of indices (..., P, Q)."""
        return codes_sum(indices, self.codebook())
