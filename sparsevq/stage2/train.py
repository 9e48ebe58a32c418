"""Stage 2: train the tokenizer, from sparse latents through a few discrete codes to complete latents."""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sparsevq.config import Stage2Config
from sparsevq.data.device_fields import DeviceFields
from sparsevq.errors import SparseVQError
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerConfig
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.parallel import require_rows, weights_of
from sparsevq.stage1.encoding import Stage1Model, decode_at, load_encoders
from sparsevq.stage2.latents import TrainingLatents, latents_of, training_views, variant_symmetries
from sparsevq.stage2.shared_codebooks import share_codebooks
from sparsevq.training.fields import PointsByArea, reconstruction_metrics, validation_points, validation_views
from sparsevq.training.stage import Stage

KMEANS_FRAMES = 2048
"""Frames whose tokens initialise the codebook."""


class CompletionLoss(nn.Module):
    """``||Z_hat - Z_complete||^2`` (standardised), the commitment loss, and the decoded field's error."""

    def __init__(self, tokenizer: LatentTokenizer, teacher: Stage1Model, settings: Stage2Config):
        super().__init__()
        self.tokenizer = tokenizer
        self.decoder = teacher.autoencoder.decoder
        self.features = teacher.features
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
            error = (self.decoder(guess, self.features[points]) - values).square().mean(-1) * valid
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
        self.fields = DeviceFields(data, symmetries, device)
        self.area, self.val_points = PointsByArea(data, device), validation_points(self.fields)
        views = training_views(data, self.fields, variant_symmetries(self.fields, symmetries.variants, seed))
        with fabric.autocast():
            self.latents = TrainingLatents(sparse, self.teacher, self.fields, views)
            self.val = latents_of(sparse, self.teacher, self.fields, validation_views(data, self.fields))
            unquantized = self._metrics(decode_at(sparse, self.val.sparse, self.val_points))
        self.unquantized_error = unquantized["val_relative_l2"]

        self.config = tokenizer_config(self.teacher, settings)
        self.module = _new_tokenizer(self.config).to(device)
        with fabric.autocast():
            self.module.standardise_by(self.latents.complete())
        self.made_from = {"data": data.digest, "sensors": run.sensors.digest}
        self.made_from |= {"sparse": sparse.digest, "semi_sparse": self.teacher.digest}
        self.start_from(start_from, "tokenizer")
        share_codebooks(self.module)
        self.objective = CompletionLoss(self.module, self.teacher, settings)
        self.best_after = settings.continuous_steps + 1

    def draw(self, generator: torch.Generator, step: int) -> tuple[Tensor | bool, ...]:
        """Latents to complete and complete ones (b, n, c), whether to quantize; points, values and validity there."""
        quantize = step > self.settings.continuous_steps
        if step == self.settings.continuous_steps + 1 and not self.module.quantizer.started:
            self._initialise_codebook(generator)
        batch, device = self.settings.batch_frames, self.fabric.device
        row = torch.randint(len(self.latents), (batch,), generator=generator, device=device)
        from_teacher = torch.rand(batch, 1, 1, generator=generator, device=device) < 0.5
        points = self.area.draw(self.settings.batch_pixels, generator)
        with self.fabric.autocast():
            drawn = self.latents.take(row[self.mine])
        latents = torch.where(from_teacher[self.mine], drawn.complete, drawn.sparse)
        return latents, drawn.complete, quantize, points, *self.fields.gather(drawn.views, points)

    def validate(self) -> dict[str, float]:
        """Error of the completed sparse latents' reconstruction, and use of the codebook once there is one."""
        use: dict[str, float] = {}
        with self.fabric.autocast():
            if self.module.quantizer.started:
                indices = self.module.tokenize(self.val.sparse)
                completed = self.module.detokenize(indices)
                use = codebook_use(indices, self.config.num_vq_embeddings)
            else:
                completed, _ = self.module(self.val.sparse, quantize=False)
            metrics = self._metrics(decode_at(self.teacher, completed, self.val_points))
        return {**metrics, "val_ratio_to_unquantized": metrics["val_relative_l2"] / self.unquantized_error, **use}

    @torch.no_grad()
    def _initialise_codebook(self, generator: torch.Generator) -> None:
        """k-means on the tokens of `KMEANS_FRAMES` frames, by the quantizer at its first batch in training mode."""
        row = torch.randint(len(self.latents), (KMEANS_FRAMES,), generator=generator, device=self.fabric.device)
        with self.fabric.autocast():
            self.module.quantizer(self.module.encode(self.latents.take(row[self.mine]).complete))

    def _metrics(self, guess: Tensor) -> dict[str, float]:
        return reconstruction_metrics(self.fields, self.val.views, guess, self.val_points)


def _new_tokenizer(config: TokenizerConfig) -> LatentTokenizer:
    try:
        return LatentTokenizer(config)
    except ValueError as error:
        raise SparseVQError(f"stage2: {error}") from None


def tokenizer_config(teacher: Stage1Model, settings: Stage2Config) -> TokenizerConfig:
    """The sizes that the encoders and the configuration ask for."""
    names = TokenizerConfig.__dataclass_fields__.keys() & Stage2Config.model_fields.keys()
    num_latents, latent_channels = teacher.latent_shape
    return TokenizerConfig(
        num_latents=num_latents,
        latent_channels=latent_channels,
        **{name: getattr(settings, name) for name in names},
    )


def codebook_use(indices: Tensor, codes: int) -> dict[str, float]:
    """Perplexity and share of codes in use, means over levels, of indices (b, P, Q)."""
    levels = indices.shape[-1]
    level = torch.arange(levels, device=indices.device)
    counts = torch.bincount((indices + level * codes).flatten(), minlength=levels * codes).view(levels, codes)
    share = counts / counts.sum(-1, keepdim=True)
    entropy = -(share * share.clamp_min(1e-12).log()).sum(-1)
    return {"val_perplexity": float(entropy.exp().mean()), "val_codes_used": float((counts > 0).float().mean())}
