"""Stage 2: train the tokenizer, from sparse latents through a few discrete codes to complete latents."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from sparsevq.basis.bound import levels_needed, rate_distortion
from sparsevq.config import Stage2Config, TrainingConfig
from sparsevq.data.device_fields import DeviceFields
from sparsevq.errors import SparseVQError
from sparsevq.models.groups import GroupQuantizer
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerConfig
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.devices.memory import sent
from sparsevq.runtime.devices.parallel import from_first, rank, require_rows, weights_of
from sparsevq.runtime.model_file import load_model
from sparsevq.stage1.encoding import load_encoders
from sparsevq.stage1.model import Stage1Model, decode_at
from sparsevq.stage2.codebooks import fit_codebook, group_sizes
from sparsevq.stage2.latents import TrainingLatents, latents_of
from sparsevq.stage2.shared_codebooks import share_codebooks
from sparsevq.training.fields import (
    PointsByArea,
    Truth,
    training_views,
    validation_points,
    validation_views,
    variant_symmetries,
)
from sparsevq.training.stage import Stage

KMEANS_FRAMES = 2048
"""Frames whose tokens initialise the codebook."""
FITTED_FRAMES = 2**14
"""Latents that the codebooks of groups are fitted to, half of them sparse and half complete."""
FEW_CODES = 0.25
"""Share of a level's codes in use below which a warning is printed."""


class CompletionLoss(nn.Module):
    """``||Z_hat - Z_complete||^2`` (standardised), the commitment loss, and the decoded field's error."""

    def __init__(self, tokenizer: LatentTokenizer, teacher: Stage1Model, settings: Stage2Config):
        super().__init__()
        self.tokenizer = tokenizer
        self.teacher = teacher
        self.field_weight = settings.field_weight
        # FSQ's projections get no gradient before there are codes.
        self.parameters_rest = settings.quantizer == "fsq" and settings.continuous_steps > 0

    def forward(
        self, latents: Tensor, complete: Tensor, quantize: bool, points: Tensor, values: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """(b, n, c), (b, n, c), (), (p,), (b, p, C), (b, p)."""
        guess, commitment = self.tokenizer(latents, quantize)
        of_frames, of_points = weights_of(len(latents), valid.sum())
        latent = of_frames * ((guess - complete) / self.tokenizer.spread).square().mean()
        commitment = of_frames * commitment
        terms = {"loss": latent + commitment, "latent_mse": latent, "commitment": commitment}
        if self.field_weight:
            error = (self.teacher.decode(guess, points) - values).square().mean(-1) * valid
            terms["field_mse"] = of_points * error.sum() / valid.sum().clamp_min(1)
            terms["loss"] = terms["loss"] + self.field_weight * terms["field_mse"]
        return terms


class TokenizerStage(Stage):
    """Latents of either encoder in, the teacher's latents of the same frames out.

    Half of each batch enters as the sparse encoder's latents and half as the teacher's, since both are tokenized later
    (prompt and targets of stage 3); the target is always the teacher's. Both encoders and the decoder are frozen.

    Parameters
    ----------
    run
        Its data set, sensors and encoders are read.
    start_from
        A tokenizer of the same sizes whose weights to begin with.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit the others.
    """

    name, kind = "stage 2 tokenizer", "tokenizer"
    module: LatentTokenizer
    config: TokenizerConfig
    settings: Stage2Config

    def __init__(self, run: Run, settings: Stage2Config, *, seed: int, fabric: Fabric, start_from: Path | None = None):
        require_rows(settings.batch_frames, "stage2.batch_frames")
        super().__init__(settings, seed, fabric)
        data, device = run.data, fabric.device
        sparse, self.teacher = load_encoders(run, device)
        symmetries = sparse.settings.symmetries
        self.fields = DeviceFields(data, symmetries, device, self.teacher.basis)
        self.area, self.val_points = PointsByArea(data), validation_points(self.fields).to(device)
        views = training_views(data, self.fields, variant_symmetries(self.fields, symmetries.variants, seed))
        fabric.print(f"{self.name}: latents of {len(views)} frames", flush=True)
        with fabric.autocast():
            self.latents = TrainingLatents(sparse, self.teacher, self.fields, views)
            self.val = latents_of(sparse, self.teacher, self.fields, validation_views(data, self.fields))
            self.truth = Truth(self.fields, self.val.views, self.val_points)
            unquantized = self._metrics(decode_at(sparse, self.val.sparse, self.val_points))
        self.unquantized_error = unquantized["val_relative_l2"]

        groups = self._groups(start_from) if settings.tokenizer == "groups" else ()
        self.config = tokenizer_config(self.teacher, settings, groups)
        self.module = _new_tokenizer(self.config).to(device)
        with fabric.autocast():
            self.module.standardise_by(self.latents.complete())
        self.made_from = {"data": data.digest, "sensors": run.sensors.digest}
        self.made_from |= {"sparse": sparse.digest, "semi_sparse": self.teacher.digest}
        self.start_from(start_from, "tokenizer")
        if isinstance(self.module.quantizer, GroupQuantizer):
            self._fit_groups(self.module.quantizer)
        share_codebooks(self.module)
        self.objective = CompletionLoss(self.module, self.teacher, settings)
        self.best_after = 0 if groups else settings.continuous_steps + 1

    @property
    def budget(self) -> TrainingConfig:
        """No steps where the codebook is fitted: there is nothing for gradients to do."""
        return self.settings.model_copy(update={"max_steps": 0}) if self.config.groups else self.settings

    def draw(self, generator: torch.Generator, step: int) -> tuple[Tensor | bool, ...]:
        """Latents to complete and complete ones (b, n, c), whether to quantize; points, values and validity there."""
        quantize = step > self.settings.continuous_steps
        if step == self.settings.continuous_steps + 1 and not self.module.quantizer.started:
            self._initialise_codebook(generator)
        batch, device = self.settings.batch_frames, self.fabric.device
        row = torch.randint(len(self.latents), (batch,), generator=generator)
        from_teacher = sent(torch.rand(batch, 1, 1, generator=generator) < 0.5, device)
        points = self.area.draw(self.settings.batch_pixels, generator)
        with self.fabric.autocast():
            drawn = self.latents.take(row[self.mine])
        latents = torch.where(from_teacher[self.mine], drawn.complete, drawn.sparse)
        return latents, drawn.complete, quantize, sent(points, device), *self.fields.gather(drawn.views, points)

    def draws_ahead(self, step: int) -> bool:
        """Where fields or latents cross to a GPU, but at the step whose draw begins the codebook."""
        fetches = self.fields.slow or self.latents.slow
        return fetches and self.latents.kept and step != self.settings.continuous_steps + 1

    def validate(self) -> dict[str, float]:
        """Error of the completed sparse latents' reconstruction, and use of the codebook once there is one."""
        use: dict[str, float] = {}
        with self.fabric.autocast():
            if self.module.quantizer.started:
                indices = self.module.tokenize(self.val.sparse)
                completed = self.module.detokenize(indices)
                use = codebook_use(self._counts(indices)) | self._over_bound()
            else:
                completed, _ = self.module(self.val.sparse, quantize=False)
            metrics = self._metrics(decode_at(self.teacher, completed, self.val_points))
        return {**metrics, "val_ratio_to_unquantized": metrics["val_relative_l2"] / self.unquantized_error, **use}

    @torch.no_grad()
    def _initialise_codebook(self, generator: torch.Generator) -> None:
        """k-means on the tokens of `KMEANS_FRAMES` frames, by the quantizer at its first batch in training mode."""
        row = torch.randint(len(self.latents), (KMEANS_FRAMES,), generator=generator)
        with self.fabric.autocast():
            self.module.quantizer(self.module.encode(self.latents.take(row[self.mine]).complete))

    def doubts(self) -> list[str]:
        """Levels few of whose codes occur among training frames."""
        rows = torch.linspace(0, len(self.latents) - 1, min(KMEANS_FRAMES, len(self.latents)), dtype=torch.float64)
        with self.fabric.autocast():
            drawn = self.latents.take(rows.round().long())
            counts = self._counts(self.module.tokenize(drawn.complete))
        most = counts.sum(-1).clamp_max(counts.shape[-1])  # (P', Q): codes that so many tokens can have
        few = ((counts > 0).sum(-1) < FEW_CODES * most).nonzero().tolist()
        if not few:
            return []
        position, level = few[0]
        used = f"level {level + 1}" + (f" of token {position + 1}" if self.config.groups else "")
        return [
            f"{used} uses {int((counts[position, level] > 0).sum())} of its {counts.shape[-1]} codes"
            + (f", and {len(few) - 1} more use few" if len(few) > 1 else "")
            + ": the latents hardly vary, or fewer codes (num_vq_embeddings, num_quantizers) would do"
        ]

    @torch.no_grad()
    def _groups(self, start_from: Path | None) -> tuple[int, ...]:
        """Coefficients of each token: those of the tokenizer to start from, or of equal bits."""
        settings = self.settings
        if start_from is not None:
            found = tuple(load_model(start_from, "tokenizer").shape.get("groups", ()))
            if len(found) != settings.tokens_per_frame:
                raise SparseVQError(
                    f"{start_from} codes {len(found)} groups of coefficients, not {settings.tokens_per_frame}",
                    "use the parameters that it was trained with, or start from nothing",
                )
            return found
        with self.fabric.autocast():
            variances = self.latents.complete().flatten(1).double().var(0).cpu().numpy()
        levels = settings.num_quantizers if settings.quantizer == "rvq" else 1
        bits = settings.tokens_per_frame * levels * math.log2(settings.num_vq_embeddings)
        error = float((self.val.sparse - self.val.complete).flatten(1).double().square().sum(1).mean())
        if error > 0:
            needed = levels_needed(variances, error, settings.tokens_per_frame, settings.num_vq_embeddings)
            self.fabric.print(
                f"{self.name}: {bits:.0f} bits a frame in {levels} levels; codes that add less than half the error "
                f"that the sparse estimate has of itself take {needed}",
                flush=True,
            )
        try:
            return self.fabric.broadcast(group_sizes(variances, settings.tokens_per_frame, bits))
        except ValueError as error:
            raise SparseVQError(f"stage2.tokens_per_frame: {error}", "lower it, or raise stage1.modes") from None

    @torch.no_grad()
    def _fit_groups(self, quantizer: GroupQuantizer) -> None:
        """Fit the codebooks to training latents of both kinds, since both are coded later; rank 0 does, for all.

        Codebooks of a tokenizer to start from are improved.
        """
        if rank() == 0:
            half = min(len(self.latents), FITTED_FRAMES // 2)
            generator = torch.Generator().manual_seed(self.seed)
            rows = torch.randperm(len(self.latents), generator=generator)
            with self.fabric.autocast():
                mixed = torch.cat([self.latents.take(rows[:half]).complete, self.latents.take(rows[-half:]).sparse])
            tokens = self.module.encode(mixed)
            held_out = self.module.encode(torch.cat([self.val.complete, self.val.sparse]))
            codebook = quantizer.codebook() if quantizer.started else None
            levels, codes, _ = quantizer.codebook().shape[1:]
            fitted = fit_codebook(tokens, held_out, levels, codes, beam=quantizer.beam, seed=self.seed, start=codebook)
            quantizer.codes.copy_(fitted)
        from_first(quantizer.codes)

    def _counts(self, indices: Tensor) -> Tensor:
        return code_counts(indices, self.config.num_vq_embeddings, len(self.module.quantizer.codebook()))

    def _over_bound(self) -> dict[str, float]:
        """Error of coding the teacher's latents, over the least that a code of as many bits can have of Gaussian ones.

        Of groups alone, whose latents' error is the field's.
        """
        if not self.config.groups:
            return {}
        config, complete = self.config, self.val.complete
        found = (self.module.detokenize(self.module.tokenize(complete)) - complete).square().sum((1, 2)).mean()
        variances = (complete - self.module.center).square().mean(0).flatten().double().cpu().numpy()
        bits = config.tokens_per_frame * config.levels * math.log2(config.num_vq_embeddings)
        least = rate_distortion(variances, bits)
        return {"val_error_over_bound": math.sqrt(float(found) / least)} if least else {}

    def _metrics(self, guess: Tensor) -> dict[str, float]:
        return self.truth.metrics(guess)


def _new_tokenizer(config: TokenizerConfig) -> LatentTokenizer:
    try:
        return LatentTokenizer(config)
    except ValueError as error:
        raise SparseVQError(f"stage2: {error}") from None


def tokenizer_config(teacher: Stage1Model, settings: Stage2Config, groups: tuple[int, ...] = ()) -> TokenizerConfig:
    """The sizes that the encoders and the configuration ask for; `groups`: coefficients of each token, if it is one."""
    names = TokenizerConfig.__dataclass_fields__.keys() & Stage2Config.model_fields.keys()
    num_latents, latent_channels = teacher.latent_shape
    config = TokenizerConfig(
        num_latents=num_latents,
        latent_channels=latent_channels,
        **{name: getattr(settings, name) for name in names},
    )
    return replace(config, groups=groups, vq_embedding_dim=max(groups)) if groups else config


def code_counts(indices: Tensor, codes: int, positions: int = 1) -> Tensor:
    """How often each code of P' = `positions` codebooks occurs in indices (b, P, Q), (P', Q, K)."""
    levels = indices.shape[-1]
    slot = torch.arange(positions * levels, device=indices.device).view(positions, levels) * codes
    counts = torch.bincount((indices + slot).flatten(), minlength=positions * levels * codes)
    return counts.view(positions, levels, codes)


def codebook_use(counts: Tensor) -> dict[str, float]:
    """Perplexity and share of codes in use, means over levels (and codebooks), of counts (P', Q, K)."""
    share = counts / counts.sum(-1, keepdim=True)
    entropy = -(share * share.clamp_min(1e-12).log()).sum(-1)
    return {"val_perplexity": float(entropy.exp().mean()), "val_codes_used": float((counts > 0).float().mean())}
