"""A training step asks the device nothing: on a GPU each answer would make the host wait for all that was started."""

import pytest
import torch
import torch.nn.functional as F
from vector_quantize_pytorch import vector_quantize_pytorch as library

from sparsevq.models.autoencoder import AutoencoderConfig, SensorAutoencoder
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerConfig
from sparsevq.runtime.devices.parallel import weights_of
from sparsevq.stage1.train import ReconstructionLoss
from tests.host_waits import NoWaiting


@pytest.fixture(autouse=True)
def one_hot_as_on_a_gpu(monkeypatch):
    """On the CPU alone `one_hot` looks at the least and the largest index."""
    monkeypatch.setattr(library.F, "one_hot", lambda index, size: torch.eye(size, dtype=torch.long)[index])


def test_stage_1():
    config = AutoencoderConfig(1, 8, 8, 4, 8, 2, 2, 2, 1, 8, 8, 1)
    loss = ReconstructionLoss(SensorAutoencoder(config), torch.randn(5, 8), torch.randn(20, 8))
    points = torch.arange(7)
    with NoWaiting():
        loss(torch.randn(3, 5, 1), points, torch.randn(3, 7, 1), torch.ones(3, 7, dtype=torch.bool))["loss"].backward()


@pytest.mark.parametrize("quantizer", ["vq", "rvq"])
def test_a_tokenizer_with_a_codebook(quantizer):
    tokenizer = LatentTokenizer(TokenizerConfig(16, 8, "attention", 4, quantizer, 2, 16, 8, 0.25, 16))
    latents = torch.randn(32, 16, 8)
    tokenizer(latents)  # k-means asks
    with NoWaiting():
        guess, commitment = tokenizer(latents)
        (guess.square().mean() + commitment).backward()


def test_weights_of_ranks_come_without_a_copy_from_the_host():
    count = torch.full((), 3)
    with NoWaiting():
        weights = weights_of(4, count)
    assert weights.tolist() == [1, 1]


def _first_codebook(tokenizer: LatentTokenizer):
    return tokenizer.quantizer.core.layers[0]._codebook


@pytest.mark.parametrize(("vectors", "replaced"), [(64, 5), (3, 3)])
def test_dead_codes_are_put_where_vectors_are(vectors, replaced):
    torch.manual_seed(0)
    tokenizer = LatentTokenizer(TokenizerConfig(16, 8, "attention", 4, "vq", 1, 16, 8, 0.25, 16))
    codebook = _first_codebook(tokenizer).train()
    codebook.cluster_size.fill_(2.0)
    codebook.cluster_size[0, 3:8] = 0.1
    before, batch = codebook.embed.clone(), torch.randn(1, vectors, 8)
    codebook.expire_codes_(batch)
    changed = (codebook.embed != before).any(-1)[0]
    assert changed.nonzero()[:, 0].tolist() == list(range(3, 3 + replaced))
    same = (codebook.embed[0, changed][:, None] == batch[0]).all(-1)
    assert same.any(1).all(), "each is a vector of the batch"
    assert len(same.int().argmax(1).unique()) == replaced, "and each another"
    assert torch.all(codebook.cluster_size[0, changed] == codebook.reset_cluster_size)
    assert F.mse_loss(codebook.embed_avg[0, changed], codebook.embed[0, changed] * codebook.reset_cluster_size) == 0


def test_codes_do_not_expire_in_use():
    codebook = _first_codebook(LatentTokenizer(TokenizerConfig(16, 8, "attention", 4, "vq", 1, 16, 8, 0.25, 16))).eval()
    codebook.cluster_size.zero_()
    before = codebook.embed.clone()
    codebook.expire_codes_(torch.randn(1, 64, 8))
    assert torch.equal(codebook.embed, before)
