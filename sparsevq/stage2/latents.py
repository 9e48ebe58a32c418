"""The frames that stages 2 and 3 learn from: training trajectories in several symmetry variants, and their latents."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.layout import FieldData
from sparsevq.data.symmetries import variant_elements
from sparsevq.stage1.encoding import Stage1Model, encode_views


@dataclass(frozen=True)
class Latents:
    """Latents of b frames: of the sparse encoder and of the semi-sparse one (the complete ones), (b, n, c) each."""

    views: Views
    sparse: Tensor
    complete: Tensor


def variant_symmetries(fields: DeviceFields, variants: int, seed: int) -> Tensor:
    """Which element of the symmetry group each variant of each trajectory is, (V, T); variant 0 is the identity."""
    elements = variant_elements(fields.num_symmetries, fields.trajectories, variants, seed)
    return torch.from_numpy(elements).to(fields.device)


def training_views(data: FieldData, fields: DeviceFields, symmetries: Tensor) -> Views:
    """Every frame of every variant of the training trajectories; variants outermost, frames innermost."""
    trajectories = torch.from_numpy(data.trajectories("train")).to(fields.device)
    frames = torch.arange(fields.frames, device=fields.device)
    grid = torch.cartesian_prod(torch.arange(len(symmetries), device=fields.device), trajectories, frames)
    variant, trajectory, frame = grid.unbind(-1)
    return Views(trajectory, frame, symmetries[variant, trajectory])


def latents_of(sparse: Stage1Model, complete: Stage1Model, fields: DeviceFields, views: Views) -> Latents:
    """Encode frames by both encoders, once."""
    return Latents(views, encode_views(sparse, fields, views), encode_views(complete, fields, views))
