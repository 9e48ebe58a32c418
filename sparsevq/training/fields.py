"""What stages 1 and 2 do with fields: points to train at, and the frames, points and metrics of validation."""

import numpy as np
import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData, Split
from sparsevq.data.symmetries import variant_elements
from sparsevq.errors import SparseVQError

VALIDATION_FRAMES = 128
"""Frames of the validation split: evenly spaced, the same at every validation."""

VALIDATION_POINTS = 4096
"""Points of a frame: a validation on all points of a large grid would take longer than the training."""


class PointsByArea:
    """Draws points, each as likely as the area that it stands for: means over them are means over the domain."""

    def __init__(self, data: FieldData, device: torch.device):
        self._points, self._device = data.num_points, device
        even = np.allclose(data.weights, 1)
        share = np.cumsum(data.weights) / data.weights.sum()
        self._share = None if even else torch.tensor(share, dtype=torch.float32, device=device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) int64, with replacement."""
        if self._share is None:
            return torch.randint(self._points, (count,), generator=generator, device=self._device)
        at = torch.rand(count, generator=generator, device=self._device)
        return torch.searchsorted(self._share, at).clamp_max(self._points - 1)


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


def validation_views(data: FieldData, fields: DeviceFields, split: Split = "val") -> Views:
    """`VALIDATION_FRAMES` frames or fewer, spread over all validation trajectories (or those of another split).

    Raises
    ------
    SparseVQError
        The split has no trajectory.
    """
    trajectories = torch.from_numpy(data.trajectories(split)).to(fields.device)
    if not len(trajectories):
        raise SparseVQError(f"{data.name} has no trajectory of the split {split}", "give it at least one (/split)")
    each = max(1, min(fields.frames, VALIDATION_FRAMES // len(trajectories)))
    frames = torch.linspace(0, fields.frames - 1, each, device=fields.device).round().long()
    return fields.views(trajectories, frames)


def validation_points(fields: DeviceFields) -> Tensor:
    """(p,) points of validation: all, or `VALIDATION_POINTS` at random, the same at every validation."""
    if fields.points <= VALIDATION_POINTS:
        return torch.arange(fields.points, device=fields.device)
    chosen = torch.randperm(fields.points, generator=torch.Generator().manual_seed(0))[:VALIDATION_POINTS]
    return chosen.sort().values.to(fields.device)


def reconstruction_metrics(
    fields: DeviceFields, views: Views, guess: Tensor, points: Tensor | None = None
) -> dict[str, float]:
    """`val_loss`, the normalised MSE, and the mean relative L2 in physical units, of a guess (b, p, c).

    `points` (p,) says where the guess is; None: everywhere.

    Means over space are by area; in the relative L2 channels of different units count alike, as in the evaluation.
    """
    if points is None:
        points = torch.arange(fields.points, device=fields.device)
    truth, valid = fields.gather(views, points)
    weight = (valid * fields.weights[points])[..., None]
    mse = ((guess - truth).square() * weight).sum() / weight.sum() / fields.channels
    error = ((guess - truth) * fields.std / fields.joint_scale).square() * weight
    size = (fields.physical(truth, points) / fields.joint_scale).square() * weight
    relative = (error.sum((1, 2)) / size.sum((1, 2))).sqrt()
    return {"val_loss": float(mse), "val_relative_l2": float(relative.mean())}
