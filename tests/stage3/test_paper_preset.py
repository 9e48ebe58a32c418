"""The paper's preset: its networks at full size, two steps of every stage on a CPU. Batches alone are smaller."""

import math

import h5py
import numpy as np
import pytest
import torch

from sparsevq.config import load
from sparsevq.models.gpt import GPT
from sparsevq.models.tokenizer import ConvTokenizer
from sparsevq.runs.codes import read_codes
from sparsevq.runtime.model_file import load_model
from sparsevq.stage2 import train as stage2
from sparsevq.stage3.sequences import Sequences
from sparsevq.stage3.train import gpt_config
from tests.chain import Chain, write_small_flow
from tests.test_config import REPOSITORY

pytestmark = pytest.mark.slow

PAPER = load(REPOSITORY / "config/presets/paper.yaml")
FEW = {"max_steps": 2, "val_every": 2, "precision": "32-true"}


def everything(section, **changes):
    return {**section.model_dump(), **FEW, **changes}


def test_the_papers_networks_train_and_forecast_at_their_full_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(stage2, "KMEANS_FRAMES", 4)
    chain = Chain(tmp_path)
    write_small_flow(chain, trajectories=4, frames=21)
    for role in ("semi_sparse", "sparse"):
        _, rows = chain.encoder(role, **everything(PAPER.stage1, batch_frames=2, batch_pixels=64))
        assert all(math.isfinite(row["train_loss"]) for row in rows)
    latents = load_model(chain.model("sparse"), "sparse").weights["encoder.queries"]
    assert latents.shape == (256, 48)

    _, rows = chain.tokenizer(**everything(PAPER.stage2, batch_frames=2, batch_pixels=64))
    assert "val_perplexity" in rows[-1]
    chain.codes()
    with h5py.File(chain.codes_path) as file:
        assert file["sparse"].shape == (1, 4, 21, 16, 1)
        assert file["codebook"].shape == (1, 1, 256, 512)

    _, rows = chain.gpt(**everything(PAPER.stage3, batch_frames=21))
    codes = read_codes(chain.codes_path)
    shape = gpt_config(Sequences(codes, PAPER.stage3), PAPER.stage3)
    assert sum(weight.numel() for weight in GPT(shape, codes.codebook).layers.parameters()) > 12 * 12 * 512**2
    assert all(math.isfinite(value) for row in rows for value in row.values())

    found = chain.forecast(tmp_path / "forecast.h5", **{**PAPER.forecast.model_dump(), "members": 1, "horizon": 4})
    with h5py.File(found) as file:
        assert file["tokens"].shape == (2, 1, 5, 16, 1)
        assert np.isfinite(file["ensemble"][()]).all()


@pytest.mark.parametrize("num_hiddens", [2048, 4096])
def test_the_release_s_hidden_layers_are_built(num_hiddens):
    """Both widths of the release; on the meta device, which takes no memory."""
    with torch.device("meta"):
        codec = ConvTokenizer(stage2.TokenizerConfig(256, 48, "conv", 16, "vq", 1, 256, 512, 0.25, num_hiddens))
        tokens = codec.encode(torch.empty(2, 256, 48))
        assert tokens.shape == (2, 16, 512)
        assert codec.decode(tokens).shape == (2, 256, 48)
