"""Encode every frame of every trajectory once, to the code indices that stage 3 learns from."""

from pathlib import Path

import h5py
import torch
from lightning_fabric import Fabric
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data
from sparsevq.errors import SparseVQError
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerShape
from sparsevq.runtime.hdf5 import created, stamp
from sparsevq.runtime.integrity import require_made_from
from sparsevq.runtime.model_file import load_model
from sparsevq.sensors.placement import read_sensors
from sparsevq.stage1.encoding import Stage1Model, encode_views, load_stage1
from sparsevq.stage2.latents import variant_symmetries

SCHEMA = "sparsevq-codes"
VERSION = 1

FRAMES_AT_ONCE = 1024
"""Frames whose latents are in memory together."""


def load_tokenizer(
    path: Path, teacher: Stage1Model, device: torch.device, sparse: Stage1Model | None = None
) -> LatentTokenizer:
    """A trained tokenizer, ready to use.

    Parameters
    ----------
    teacher, sparse
        The encoders that it is used with; None: only the teacher.

    Raises
    ------
    SparseVQError
        The file is missing or damaged, or was trained for latents of another shape or with other encoders.
    """
    file = load_model(path, "tokenizer")
    expected = (teacher.autoencoder.shape.num_latents, teacher.autoencoder.shape.enc_num_latent_channels)
    found = (file.shape["num_latents"], file.shape["latent_channels"])
    if found != expected:
        raise SparseVQError(
            f"{path} completes latents of shape {found}, the encoders give {expected}",
            "use the encoders that it was trained with",
        )
    encoders = {"semi_sparse": teacher.digest, "sparse": sparse.digest if sparse else ""}
    require_made_from(path, file.made_from, encoders, "tokenizer")
    tokenizer = LatentTokenizer(TokenizerShape(**file.shape))
    file.restore(tokenizer)
    return tokenizer.to(device).eval().requires_grad_(False)


def dump_indices(
    data_path: Path,
    sensors_path: Path,
    sparse_model: Path,
    semi_sparse_model: Path,
    tokenizer_model: Path,
    out: Path,
    *,
    seed: int,
    fabric: Fabric,
) -> None:
    """Write `codes.h5` (docs/data-format.md): indices by both encoders, symmetry variants included, and the codebook.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit the others, or the file can't be written.
    """
    data = read_data(data_path)
    sensors = read_sensors(sensors_path, data)
    sparse = load_stage1(sparse_model, "sparse", data, sensors, fabric.device)
    teacher = load_stage1(semi_sparse_model, "semi_sparse", data, sensors, fabric.device)
    tokenizer = load_tokenizer(tokenizer_model, teacher, fabric.device, sparse)
    fields = DeviceFields(data, sparse.settings.symmetries, fabric.device)
    symmetries = variant_symmetries(fields, sparse.settings.symmetries.variants, seed)
    made_from = {
        "data": data_path,
        "sensors": sensors_path,
        "sparse": sparse_model,
        "semi_sparse": semi_sparse_model,
        "tokenizer": tokenizer_model,
    }
    with fabric.autocast(), created(out) as file:
        stamp(file, SCHEMA, VERSION, made_from, {"seed": seed})
        for name, model in (("sparse", sparse), ("semi_sparse", teacher)):
            indices = encode_variants(model, tokenizer, data, fields, symmetries)
            kind = "int16" if tokenizer.shape.num_vq_embeddings <= 2**15 else "int32"
            file.create_dataset(name, data=indices.cpu().numpy().astype(kind))
            print(f"{name}: {tuple(indices.shape)} indices (variant, trajectory, frame, token, level)", flush=True)
        file["codebook"] = tokenizer.quantizer.codebook().float().cpu().numpy()
        file["symmetry"] = symmetries.cpu().numpy()
        file.create_dataset("split", data=data.split.astype(object), dtype=h5py.string_dtype())


def encode_variants(
    model: Stage1Model, tokenizer: LatentTokenizer, data: FieldData, fields: DeviceFields, symmetries: Tensor
) -> Tensor:
    """Indices (V, T, F, P, Q); -1 for the variants of trajectories that are not for training."""
    frames = torch.arange(fields.frames, device=fields.device)
    training = torch.from_numpy(data.split == "train").to(fields.device)
    rows = []
    for variant, elements in enumerate(symmetries):
        wanted = torch.arange(fields.trajectories, device=fields.device)
        wanted = wanted if variant == 0 else wanted[training]
        views = fields.views(wanted, frames)
        views = Views(views.trajectory, views.frame, elements[views.trajectory])
        starts = range(0, len(views), FRAMES_AT_ONCE)
        parts = (encode_views(model, fields, views[start : start + FRAMES_AT_ONCE]) for start in starts)
        indices = torch.cat([tokenizer.tokenize(part) for part in parts])
        row = indices.new_full((fields.trajectories, fields.frames, *indices.shape[1:]), -1)
        row[wanted] = indices.view(len(wanted), fields.frames, *indices.shape[1:])
        rows.append(row)
    return torch.stack(rows)
