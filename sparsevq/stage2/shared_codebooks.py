"""Codebooks that several devices learn together, code for code as one device does on the same batch.

vector-quantize-pytorch adds up the ranks' moving averages. What it draws at random, k-means' first means and codes that
replace dead ones, it draws from each rank's tokens apart; here from all ranks' tokens in their order on one device, by
rank 0, whose random numbers are that device's.
"""

from typing import Any

import torch
import torch.distributed as distributed
from einops import rearrange
from torch import Tensor

from sparsevq.models.groups import GroupQuantizer
from sparsevq.models.tokenizer import LatentTokenizer
from sparsevq.runtime.devices.parallel import from_first, whole_batch, world


@torch.no_grad()
def share_codebooks(tokenizer: LatentTokenizer) -> None:
    """Let the codebooks of a tokenizer learn from the tokens of all ranks; without several ranks, nothing changes."""
    quantizer = tokenizer.quantizer
    if world() == 1 or isinstance(quantizer, GroupQuantizer):  # groups have no codes that learn in steps
        return
    from vector_quantize_pytorch import FSQ  # imports for a second what groups do without

    core = quantizer.core
    if isinstance(core, FSQ):  # nor has FSQ
        return
    tokens = tokenizer.encode(tokenizer.center[None]).shape[1]
    for layer in core.layers:
        _share(layer._codebook, tokens)


def _share(codebook: Any, tokens: int) -> None:
    """`tokens`: of a frame. Frames, not tokens, are dealt out to the ranks."""
    from vector_quantize_pytorch.vector_quantize_pytorch import batched_sample_vectors

    def all_of(samples: Tensor) -> Tensor:
        """(1, b_r P, D) -> (1, b P, D)."""
        frames = rearrange(samples, "1 (b p) d -> b p d", p=tokens)
        return rearrange(whole_batch(frames), "b p d -> 1 (b p) d")

    def first_means(samples: Tensor, count: int) -> Tensor:
        return from_first(batched_sample_vectors(all_of(samples), count).contiguous())

    codebook.sample_fn = first_means
    codebook.of_all_ranks, codebook.from_first = all_of, from_first
    codebook.kmeans_all_reduce_fn = codebook.all_reduce_fn = distributed.all_reduce
