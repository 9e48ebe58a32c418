"""Encode every frame of every trajectory once, to the code indices that stage 3 learns from."""

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerConfig
from sparsevq.runs.codes_file import SCHEMA, VERSION
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import created, stamp
from sparsevq.stage1.encoding import load_encoders
from sparsevq.stage1.modal import ModalModel
from sparsevq.stage1.model import Stage1Model, encode_views
from sparsevq.training.fields import variant_symmetries

if TYPE_CHECKING:
    from sparsevq.runtime.devices.fabric import Fabric

FRAMES_AT_ONCE = 1024
"""Frames whose latents are in memory together."""


def load_tokenizer(run: Run, teacher: Stage1Model, device: torch.device) -> LatentTokenizer:
    """A run's trained tokenizer, ready to use with the encoders of the run.

    Raises
    ------
    SparseVQError
        The file is missing or damaged, or was trained for latents of another shape or with other encoders.
    """
    file = run.model("tokenizer")
    found = (file.shape["num_latents"], file.shape["latent_channels"])
    if found != teacher.latent_shape:
        raise SparseVQError(
            f"{file.path} completes latents of shape {found}, the encoders give {teacher.latent_shape}",
            "use the encoders that it was trained with",
        )
    tokenizer = LatentTokenizer(TokenizerConfig(**file.shape))
    file.restore(tokenizer)
    return tokenizer.to(device).eval().requires_grad_(False)


def dump_indices(run: Run, out: Path, *, seed: int, fabric: "Fabric") -> None:
    """Write `codes.h5` (docs/data-format.md): indices by both encoders, symmetry variants included, and the codebook.

    Where the tokens are groups of coefficients, they are written before quantization, too: stage 3 adds noise to them;
    and so are the coefficients, and what the sparse encoder sees, from which stage 3 learns a regression.

    Parameters
    ----------
    run
        Its data set, sensors, encoders and tokenizer are read.
    out
        The file to write.
    seed
        Of the symmetry variants of the trajectories.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit the others, or the file can't be written.
    """
    data = run.data
    sparse, teacher = load_encoders(run, fabric.device)
    tokenizer = load_tokenizer(run, teacher, fabric.device)
    fields = DeviceFields(data, sparse.settings.symmetries, fabric.device, sparse.basis)
    symmetries = variant_symmetries(fields, sparse.settings.symmetries.variants, seed)
    grouped = tokenizer.config.tokenizer == "groups"
    if grouped and not isinstance(teacher, ModalModel):
        raise SparseVQError(
            "stage2.tokenizer=groups codes coefficients of POD modes, which these encoders do not have",
            "train stage 1 with modes, or choose another tokenizer",
        )
    with fabric.autocast(), created(out) as file:
        stamp(file, SCHEMA, VERSION, run.paths("data", "sensors", "sparse", "semi_sparse", "tokenizer"), {"seed": seed})
        for name, model in (("sparse", sparse), ("semi_sparse", teacher)):
            found = encode_variants(model, tokenizer, data, fields, symmetries)
            kind = "int16" if tokenizer.config.num_vq_embeddings <= 2**15 else "int32"
            file.create_dataset(name, data=found["indices"].cpu().numpy().astype(kind))
            if grouped:
                file[f"tokens_{name}"] = found["tokens"].half().cpu().numpy()
                if name == "sparse":
                    file["readings"] = found["readings"].cpu().numpy()
                else:
                    file["coefficients"] = found["coefficients"].half().cpu().numpy()
            shape = tuple(found["indices"].shape)
            print(f"{name}: {shape} indices (variant, trajectory, frame, token, level)", flush=True)
        if grouped:
            assert isinstance(teacher, ModalModel)
            file["center"] = teacher.latents.to_coefficients(tokenizer.center[None])[0].cpu().numpy()
            file["groups"] = np.array(tokenizer.config.groups)
        file["codebook"] = tokenizer.quantizer.codebook().float().cpu().numpy()
        file["symmetry"] = symmetries.cpu().numpy()
        file.create_dataset("split", data=data.split.astype(object), dtype=h5py.string_dtype())


def encode_variants(
    model: Stage1Model, tokenizer: LatentTokenizer, data: FieldData, fields: DeviceFields, symmetries: Tensor
) -> dict[str, Tensor]:
    """By name, of all frames (V, T, F, ...): the indices (P, Q), and for tokens that are groups more.

    That is the tokens before quantization (P, D), what a model with sensors sees (m,), and the coefficients less their
    center (r,). The variants of trajectories that are not for training have -1 and 0.
    """
    frames = torch.arange(fields.frames)
    training = torch.from_numpy(data.split == "train")
    variants: dict[str, list[Tensor]] = {}
    for variant, elements in enumerate(symmetries):
        wanted = torch.arange(fields.trajectories)
        wanted = wanted if variant == 0 else wanted[training]
        views = fields.views(wanted, frames)
        views = Views(views.trajectory, views.frame, elements[views.trajectory])
        parts = [
            _encoded(model, tokenizer, fields, views[start : start + FRAMES_AT_ONCE])
            for start in range(0, len(views), FRAMES_AT_ONCE)
        ]
        for name in parts[0]:
            rows = torch.cat([part[name] for part in parts])
            rows = _by_trajectory(rows, wanted, (fields.trajectories, fields.frames), -1 if name == "indices" else 0)
            variants.setdefault(name, []).append(rows)
    return {name: torch.stack(found) for name, found in variants.items()}


@torch.no_grad()
def _encoded(model: Stage1Model, tokenizer: LatentTokenizer, fields: DeviceFields, views: Views) -> dict[str, Tensor]:
    latents = encode_views(model, fields, views)
    found = {"indices": tokenizer.tokenize(latents)}
    if tokenizer.config.tokenizer == "groups":
        assert isinstance(model, ModalModel), "groups are of its coefficients"
        found["tokens"] = tokenizer.encode(latents)
        found["coefficients"] = model.latents.to_coefficients(latents - tokenizer.center)
        if model.sensors is not None:
            found["readings"] = model.seen(fields, views)
    return found


def _by_trajectory(rows: Tensor, wanted: Tensor, shape: tuple[int, int], other: int) -> Tensor:
    """Rows of all frames of the trajectories `wanted` (b, ...) -> (T, F, ...), `other` where there are none."""
    found = rows.new_full((*shape, *rows.shape[1:]), other)
    found[wanted] = rows.view(len(wanted), shape[1], *rows.shape[1:])
    return found
