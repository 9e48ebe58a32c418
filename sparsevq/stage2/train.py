"""Train the tokenizer: sparse latents, through a few discrete codes, to complete latents."""

from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sparsevq.config import Stage2Config
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data
from sparsevq.errors import SparseVQError
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerShape
from sparsevq.runtime.checkpoints import Checkpoints
from sparsevq.runtime.devices.parallel import require_rows, weights_of
from sparsevq.runtime.model_file import load_model, save_model
from sparsevq.sensors.placement import SensorSets, read_sensors
from sparsevq.stage1.encoding import Stage1Model, decode_at, load_stage1
from sparsevq.stage1.train import PointsByArea, reconstruction_metrics, validation_points, validation_views
from sparsevq.stage2.latents import TrainingLatents, latents_of, training_views, variant_symmetries
from sparsevq.stage2.shared_codebooks import share_codebooks
from sparsevq.training.loop import Logs, fit

KMEANS_FRAMES = 2048
"""Frames whose tokens the codebook is started from."""


class CompletionLoss(nn.Module):
    """``||Z_hat - Z_complete||^2`` (standardised), the commitment loss, and the decoded field's error."""

    def __init__(self, tokenizer: LatentTokenizer, teacher: Stage1Model, settings: Stage2Config):
        super().__init__()
        self.tokenizer = tokenizer
        self.decoder = teacher.autoencoder.decoder
        self.features = teacher.features
        self.field_weight = settings.field_weight
        # Its projections take no part before there are codes.
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


def train_tokenizer(
    data_path: Path,
    sensors_path: Path,
    sparse_model: Path,
    semi_sparse_model: Path,
    out_dir: Path,
    *,
    settings: Stage2Config,
    seed: int,
    fabric: Fabric,
    tracker: Logs,
    start_from: Path | None = None,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Stage 2. Writes ``model.safetensors`` and ``history.csv`` into `out_dir`.

    Half of each batch enters as the sparse encoder's latents and half as the teacher's, since both are tokenized later
    (prompt and targets of stage 3); the target is always the teacher's. Both encoders and the decoder are frozen.

    Parameters
    ----------
    start_from
        A tokenizer of the same shape whose weights to begin with.
    checkpoints
        Where to leave the state of the training, and to go on from.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit the others.
    """
    require_rows(settings.batch_frames, "stage2.batch_frames")
    fabric.seed_everything(seed, verbose=False)
    data = read_data(data_path)
    sensors = read_sensors(sensors_path, data)
    sparse, teacher = _encoders(sparse_model, semi_sparse_model, data, sensors, fabric.device)
    fields = DeviceFields(data, sparse.settings.symmetries, fabric.device)
    views = training_views(data, fields, variant_symmetries(fields, sparse.settings.symmetries.variants, seed))
    with fabric.autocast():
        train = TrainingLatents(sparse, teacher, fields, views)
        val, at = latents_of(sparse, teacher, fields, validation_views(data, fields)), validation_points(fields)
        unquantized = reconstruction_metrics(fields, val.views, decode_at(sparse, val.sparse, at), at)

    shape = tokenizer_shape(teacher, settings)
    tokenizer = _new_tokenizer(shape).to(fabric.device)
    with fabric.autocast():
        tokenizer.standardise_by(train.complete())
    made_from = {"data": data.digest, "sensors": sensors.digest}
    made_from |= {"sparse": sparse.digest, "semi_sparse": teacher.digest}
    if start_from is not None:
        start = load_model(start_from, "tokenizer")
        start.restore(tokenizer)
        made_from["start"] = start.digest
    share_codebooks(tokenizer)
    objective = CompletionLoss(tokenizer, teacher, settings)
    area = PointsByArea(data, fabric.device)
    batch = settings.batch_frames

    def draw(generator: torch.Generator, step: int) -> tuple[Tensor | bool, ...]:
        if step == settings.continuous_steps + 1 and not tokenizer.quantizer.started:
            start_codebook(tokenizer, train, generator, fabric)
        mine = slice(fabric.global_rank, None, fabric.world_size)
        row = torch.randint(len(train), (batch,), generator=generator, device=fabric.device)
        from_teacher = torch.rand(batch, 1, 1, generator=generator, device=fabric.device) < 0.5
        points = area.draw(settings.batch_pixels, generator)
        with fabric.autocast():
            drawn = train.take(row[mine])
        latents = torch.where(from_teacher[mine], drawn.complete, drawn.sparse)
        values, valid = fields.gather(drawn.views, points)
        return latents, drawn.complete, step > settings.continuous_steps, points, values, valid

    def validate() -> dict[str, float]:
        use: dict[str, float] = {}
        with fabric.autocast():
            if tokenizer.quantizer.started:
                indices = tokenizer.tokenize(val.sparse)
                completed, use = tokenizer.detokenize(indices), codebook_use(indices, shape.num_vq_embeddings)
            else:
                completed, _ = tokenizer(val.sparse, quantize=False)
            metrics = reconstruction_metrics(fields, val.views, decode_at(teacher, completed, at), at)
        ratio = metrics["val_relative_l2"] / unquantized["val_relative_l2"]
        return {**metrics, "val_ratio_to_unquantized": ratio, **use}

    out_dir.mkdir(parents=True, exist_ok=True)
    best = fit(
        fabric, objective, draw, validate, settings,
        seed=seed, name="stage 2 tokenizer", tracker=tracker, history=out_dir / "history.csv",
        best_after=settings.continuous_steps + 1, made_from=made_from, checkpoints=checkpoints,
    )  # fmt: skip
    if fabric.is_global_zero:
        save_model(
            out_dir / "model.safetensors",
            tokenizer,
            "tokenizer",
            shape=asdict(shape),
            settings=settings.model_dump(mode="json"),
            made_from=made_from,
            extra={"seed": seed, "validation": best},
        )


def _encoders(
    sparse_path: Path, teacher_path: Path, data: FieldData, sensors: SensorSets, device: torch.device
) -> tuple[Stage1Model, Stage1Model]:
    """The sparse encoder and its teacher, whose latents are alike in shape."""
    models = (
        load_stage1(sparse_path, "sparse", data, sensors, device),
        load_stage1(teacher_path, "semi_sparse", data, sensors, device),
    )
    shapes = [model.autoencoder.shape for model in models]
    sizes = [(shape.num_latents, shape.enc_num_latent_channels) for shape in shapes]
    if sizes[0] != sizes[1]:
        raise SparseVQError(
            f"{sparse_path} gives latents of shape {sizes[0]}, {teacher_path} of shape {sizes[1]}",
            "train both encoders with the same num_latents and enc_num_latent_channels",
        )
    return models


def _new_tokenizer(shape: TokenizerShape) -> LatentTokenizer:
    try:
        return LatentTokenizer(shape)
    except ValueError as error:
        raise SparseVQError(f"stage2: {error}") from None


def tokenizer_shape(teacher: Stage1Model, settings: Stage2Config) -> TokenizerShape:
    """The sizes that the encoders and the configuration ask for."""
    names = TokenizerShape.__dataclass_fields__.keys() & Stage2Config.model_fields.keys()
    return TokenizerShape(
        num_latents=teacher.autoencoder.shape.num_latents,
        latent_channels=teacher.autoencoder.shape.enc_num_latent_channels,
        **{name: getattr(settings, name) for name in names},
    )


@torch.no_grad()
def start_codebook(
    tokenizer: LatentTokenizer, train: TrainingLatents, generator: torch.Generator, fabric: Fabric
) -> None:
    """k-means on the tokens of `KMEANS_FRAMES` frames: the quantizer does it at its first batch in training mode."""
    row = torch.randint(len(train), (KMEANS_FRAMES,), generator=generator, device=fabric.device)
    mine = row[fabric.global_rank :: fabric.world_size]
    with fabric.autocast():
        tokenizer.quantizer(tokenizer.encode(train.take(mine).complete))


def codebook_use(indices: Tensor, codes: int) -> dict[str, float]:
    """Perplexity and share of codes in use, means over levels, of indices (b, P, Q)."""
    levels = indices.shape[-1]
    level = torch.arange(levels, device=indices.device)
    counts = torch.bincount((indices + level * codes).flatten(), minlength=levels * codes).view(levels, codes)
    share = counts / counts.sum(-1, keepdim=True)
    entropy = -(share * share.clamp_min(1e-12).log()).sum(-1)
    return {"val_perplexity": float(entropy.exp().mean()), "val_codes_used": float((counts > 0).float().mean())}
