"""Stage 3: train the GPT on sequences of code indices: the observed frame's by the sparse encoder, then the next."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sparsevq.config import Stage3Config
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.models.refinement import RefinementSizes
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.devices.memory import generator_on
from sparsevq.runtime.devices.parallel import from_first, require_rows, weights_of
from sparsevq.stage3.refinement import Refined, learn_refinement, require_grid
from sparsevq.stage3.regression import learn_regressions, set_first_guess
from sparsevq.stage3.sequences import Batch, Sequences
from sparsevq.training.stage import Stage


class NextCodeLoss(nn.Module):
    """Cross-entropy of the codes that follow."""

    def __init__(self, gpt: GPT):
        super().__init__()
        self.gpt = gpt

    def forward(self, inputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Codes (b, k + s, P, Q) as the network sees them, and the sequences as they are."""
        weight = weights_of(torch.full((), len(inputs), device=inputs.device))[0]
        return {"loss": weight * self.gpt(inputs, batch.targets, batch.times, batch.given)}


class GPTStage(Stage):
    """Sequences of code indices: a part of the tokens replaced by noise in, the codes that follow out.

    Parameters
    ----------
    run
        Its index dump is read; with `refine_steps` the domain and the basis, too.
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
        if settings.refine_steps:
            require_grid(run.domain)
        if settings.first_guess == "regression":
            windows = settings.guess_examples * len(self.sequences.counts)
            fabric.print(f"{self.name}: learning the first guess from up to {windows} windows", flush=True)
            learn_regressions(self.sequences, settings, seed)
            self.validates_first = True
        refined = None
        if settings.refine_steps:
            refined = learn_refinement(self.sequences, run.domain, run.basis, settings, seed, fabric)
            fabric.print(f"{self.name}: {_told(refined)}", flush=True)
        self.config = gpt_config(self.sequences, settings, None if refined is None else refined.refinement.sizes)
        self.module = GPT(self.config, codes.codebook).to(fabric.device)
        set_first_guess(self.module, self.sequences)
        for buffer in self.module.buffers():  # ranks may differ in the last bits
            from_first(buffer)
        self.val = self.sequences.held_out("val", self.module.outlooks)
        self.made_from = {"codes": codes.digest}
        self.extra = {"precision": fabric._precision.precision}  # what `auto` came to: forecasts are computed in it
        if refined is not None:
            self.extra["refined"] = refined.share
        if "tokenizer" in codes.made_from:  # whose codebook the GPT holds
            self.made_from["tokenizer"] = codes.made_from["tokenizer"]
        self.start_from(start_from, "gpt")
        self.objective = NextCodeLoss(self.module)

    def draw(self, generator: torch.Generator, step: int) -> tuple[Tensor, Batch]:
        """Sequences with noise, and without."""
        batch = self.sequences.draw(self.batch, generator, step)
        share, codes = self.settings.token_noise, self.config.num_vq_embeddings
        inputs = noisy(batch.inputs, len(batch.times), share, codes, generator_on(self.fabric.device, generator))
        return inputs[self.mine], batch.part(self.mine)

    def draws_ahead(self, step: int) -> bool:
        """Where tokens or coefficients cross to a GPU."""
        return self.sequences.slow

    def validate(self) -> dict[str, float]:
        """Cross-entropy of the validation sequences."""
        with self.fabric.autocast():
            return {"val_loss": cross_entropy(self.module, self.val, self.batch)}


@torch.no_grad()
def cross_entropy(gpt: GPT, sequences: list[Batch], at_once: int) -> float:
    """Mean over sequences, in nats a code; `at_once` of them are computed together."""
    losses, weights = [], []
    for batch in sequences:
        for start in range(0, len(batch.codes), at_once):
            part = batch.part(slice(start, start + at_once))
            losses.append(gpt(part.codes, part.targets, part.times, part.given))
            weights.append(float(len(part.codes)))
    weight = torch.tensor(weights, device=losses[0].device)
    return float((torch.stack(losses) * weight).sum() / weight.sum())


def _told(refined: Refined | None) -> str:
    if refined is None:
        return "the correction of the first guess is no better than none on the validation split, and is left out"
    return f"the correction leaves {refined.share:.3f} of the first guess's squared error on the validation split"


def gpt_config(sequences: Sequences, settings: Stage3Config, refinement: RefinementSizes | None = None) -> GPTConfig:
    """The sizes that the sequences and the configuration ask for."""
    codes = sequences.codes
    codebooks, levels, count, dim = codes.codebook.shape
    learned = sequences.learned
    flows, coefficients = (0, 0), 0
    if learned and codes.coefficients is not None:
        flows = (sequences.variants * len(sequences.training), codes.coefficients.shape[2])
        coefficients = codes.coefficients.shape[-1]
    return GPTConfig(
        tokens_per_frame=codes.sparse.shape[3],
        num_quantizers=levels,
        num_vq_embeddings=count,
        vq_embedding_dim=dim,
        prediction=settings.prediction,
        context_frames=settings.observed_frames + settings.stage2_frames - 1,
        time_transformer_layers=settings.time_transformer_layers,
        time_transformer_heads=settings.time_transformer_heads,
        time_transformer_dim=settings.time_transformer_dim,
        dropout=settings.dropout,
        codebooks=codebooks,
        observed_frames=settings.observed_frames,
        groups=codes.groups if learned else (),
        coefficients=coefficients,
        regressions=tuple((frames, *found.regression.sizes) for frames, found in learned.items()),
        flows=flows,
        refinement=refinement,
    )


def noisy(indices: Tensor, observed: int, share: float, codes: int, generator: torch.Generator) -> Tensor:
    """Replace a share of the tokens (all levels of each) by random codes, in all frames after the observed ones."""
    if not share:
        return indices
    chance = torch.rand(indices.shape[:-1], generator=generator, device=indices.device)
    chance[:, :observed].fill_(1)
    other = torch.randint(codes, indices.shape, generator=generator, device=indices.device)
    return torch.where((chance < share)[..., None], other, indices)
