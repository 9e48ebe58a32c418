"""Stage 3: train the GPT on sequences of code indices: the observed frame's by the sparse encoder, then the next."""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sparsevq.config import Stage3Config
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.runs.codes import Codes
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.parallel import require_rows, weights_of
from sparsevq.stage3.first_guess import fit_first_guess
from sparsevq.stage3.sequences import Sequences
from sparsevq.training.stage import Stage


class NextCodeLoss(nn.Module):
    """Cross-entropy of the codes that follow."""

    def __init__(self, gpt: GPT):
        super().__init__()
        self.gpt = gpt

    def forward(self, inputs: Tensor, targets: Tensor, fold: int | None = None) -> dict[str, Tensor]:
        """Sequences (b, s, P, Q) as the network sees them, and as they are; the half that they are of."""
        weight = weights_of(torch.tensor(len(inputs), device=inputs.device))[0]
        return {"loss": weight * self.gpt(inputs, targets, fold)}


class GPTStage(Stage):
    """Sequences of code indices: a part of the tokens replaced by noise in, the codes that follow out.

    Parameters
    ----------
    run
        Its index dump alone is read.
    start_from
        A GPT of the same sizes whose weights to begin with.

    Raises
    ------
    SparseVQError
        The dump is missing or damaged, its trajectories are too short for the sequences asked for, or it lacks the
        unquantized tokens that the noise asked for is added to.
    """

    name, kind = "stage 3 GPT", "gpt"
    module: GPT
    config: GPTConfig
    settings: Stage3Config

    def __init__(self, run: Run, settings: Stage3Config, *, seed: int, fabric: Fabric, start_from: Path | None = None):
        self.batch = settings.batch_frames // settings.stage2_frames
        require_rows(self.batch, "stage3.batch_frames / stage2_frames")
        super().__init__(settings, seed, fabric)
        codes = run.codes(fabric.device)
        self.sequences = Sequences(codes, settings)
        self.val = self.sequences.held_out()
        self.config = gpt_config(codes, settings)
        self.module = GPT(self.config, codes.codebook).to(fabric.device)
        fit_first_guess(self.module, self.sequences, self.val, seed)
        self.made_from = {"codes": codes.digest}
        if "tokenizer" in codes.made_from:  # whose codebook the GPT holds
            self.made_from["tokenizer"] = codes.made_from["tokenizer"]
        self.start_from(start_from, "gpt")
        self.objective = NextCodeLoss(self.module)

    def draw(self, generator: torch.Generator, step: int) -> tuple[Tensor | int | None, ...]:
        """Sequences (b, s, P, Q) with noise, and without; with a kernel, which half of the trajectories they are of."""
        fold = step % 2 if self.config.guess_examples else None
        targets = self.sequences.draw(self.batch, generator, fold)
        inputs = noisy(targets, self.settings.token_noise, self.config.num_vq_embeddings, generator)
        return inputs[self.mine], targets[self.mine], fold

    def validate(self) -> dict[str, float]:
        """Cross-entropy of the validation sequences."""
        with self.fabric.autocast():
            return {"val_loss": cross_entropy(self.module, self.val, self.batch)}


@torch.no_grad()
def cross_entropy(gpt: GPT, sequences: Tensor, at_once: int) -> float:
    """Mean over sequences (n, s, P, Q), in nats a code; `at_once` of them are in one batch."""
    parts = sequences.split(at_once)
    losses = torch.stack([gpt(part, part) for part in parts])
    weights = torch.tensor([len(part) for part in parts], device=sequences.device)
    return float((losses * weights).sum() / weights.sum())


def gpt_config(codes: Codes, settings: Stage3Config) -> GPTConfig:
    """The sizes that the dump and the configuration ask for."""
    codebooks, levels, count, dim = codes.codebook.shape
    return GPTConfig(
        tokens_per_frame=codes.sparse.shape[3],
        num_quantizers=levels,
        num_vq_embeddings=count,
        vq_embedding_dim=dim,
        prediction=settings.prediction,
        context_frames=settings.stage2_frames - 1,
        time_transformer_layers=settings.time_transformer_layers,
        time_transformer_heads=settings.time_transformer_heads,
        time_transformer_dim=settings.time_transformer_dim,
        dropout=settings.dropout,
        codebooks=codebooks,
        first_guess=settings.first_guess,
        guess_examples=settings.guess_examples if settings.first_guess == "kernel" else 0,
    )


def noisy(indices: Tensor, share: float, codes: int, generator: torch.Generator) -> Tensor:
    """Replace a share of the tokens (all levels of each) by random codes, in all frames after the observed one."""
    if not share:
        return indices
    chance = torch.rand(indices.shape[:-1], generator=generator, device=indices.device)
    chance[:, 0] = 1
    other = torch.randint(codes, indices.shape, generator=generator, device=indices.device)
    return torch.where((chance < share)[..., None], other, indices)
