"""What stages 1 and 2 do with fields: points to train at, and the frames, points and metrics of validation."""

import numpy as np
import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData, Split
from sparsevq.data.symmetries import variant_elements
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.memory import sent

VALIDATION_FRAMES = 128
"""Frames of the validation split: evenly spaced, the same at every validation."""

VALIDATION_POINTS = 4096
"""Points of a frame: a validation on all points of a large grid would take longer than the training."""


class PointsByArea:
    """Draws points, each as likely as the area that it stands for: means over them are means over the domain.

    On the host, as all indices (`sparsevq.data.device_fields.Views`).
    """

    def __init__(self, data: FieldData):
        self._points = data.num_points
        even = np.allclose(data.weights, 1)
        share = np.cumsum(data.weights) / data.weights.sum()
        self._share = None if even else torch.tensor(share, dtype=torch.float32)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) int64, with replacement."""
        if self._share is None:
            return torch.randint(self._points, (count,), generator=generator)
        at = torch.rand(count, generator=generator)
        return torch.searchsorted(self._share, at).clamp_max(self._points - 1)


def variant_symmetries(fields: DeviceFields, variants: int, seed: int) -> Tensor:
    """Which element of the symmetry group each variant of each trajectory is, (V, T); variant 0 is the identity."""
    elements = variant_elements(fields.num_symmetries, fields.trajectories, variants, seed)
    return torch.from_numpy(elements)


def training_views(data: FieldData, fields: DeviceFields, symmetries: Tensor) -> Views:
    """Every frame of every variant of the training trajectories; variants outermost, frames innermost."""
    trajectories = torch.from_numpy(data.trajectories("train"))
    grid = torch.cartesian_prod(torch.arange(len(symmetries)), trajectories, torch.arange(fields.frames))
    variant, trajectory, frame = grid.unbind(-1)
    return Views(trajectory, frame, symmetries[variant, trajectory])


def validation_views(data: FieldData, fields: DeviceFields, split: Split = "val") -> Views:
    """`VALIDATION_FRAMES` frames or fewer, spread over all validation trajectories (or those of another split).

    Raises
    ------
    SparseVQError
        The split has no trajectory.
    """
    trajectories = torch.from_numpy(data.trajectories(split))
    if not len(trajectories):
        raise SparseVQError(f"{data.name} has no trajectory of the split {split}", "give it at least one (/split)")
    each = max(1, min(fields.frames, VALIDATION_FRAMES // len(trajectories)))
    frames = torch.linspace(0, fields.frames - 1, each).round().long()
    return fields.views(trajectories, frames)


def validation_points(fields: DeviceFields) -> Tensor:
    """(p,) points of validation: all, or `VALIDATION_POINTS` at random, the same at every validation."""
    if fields.points <= VALIDATION_POINTS:
        return torch.arange(fields.points)
    chosen = torch.randperm(fields.points, generator=torch.Generator().manual_seed(0))[:VALIDATION_POINTS]
    return chosen.sort().values


def reconstruction_metrics(
    fields: DeviceFields, views: Views, guess: Tensor, points: Tensor | None = None
) -> dict[str, float]:
    """The metrics of `Truth` of a guess (b, p, c) at points (p,); None: everywhere."""
    return Truth(fields, views, torch.arange(fields.points) if points is None else points).metrics(guess)


class Truth:
    """What is true of some frames at some points, gathered once: guesses of them are measured again and again.

    A validation's frames and points are few whatever the size of the data set (`VALIDATION_FRAMES`,
    `VALIDATION_POINTS`).

    Parameters
    ----------
    views, points
        b frames and p points.
    """

    def __init__(self, fields: DeviceFields, views: Views, points: Tensor):
        truth, valid = fields.gather(views, points)
        self._truth, self._channels, self._std, self._scale = truth, fields.channels, fields.std, fields.joint_scale
        points = sent(points, fields.device)
        self._weight = (valid * fields.weights[points])[..., None]  # (b, p, 1)
        size = (fields.physical(truth, points) / self._scale).square() * self._weight
        self._size = size.sum((1, 2))

    def metrics(self, guess: Tensor) -> dict[str, float]:
        """`val_loss`, the normalised MSE, and the mean relative L2 in physical units, of a guess (b, p, c).

        Means over space are by area; in the relative L2 channels of different units count alike, as in the evaluation.
        """
        weight, off = self._weight, guess - self._truth
        mse = (off.square() * weight).sum() / weight.sum() / self._channels
        error = (off * self._std / self._scale).square() * weight
        relative = (error.sum((1, 2)) / self._size).sqrt()
        loss, relative_l2 = torch.stack([mse, relative.mean()]).tolist()
        return {"val_loss": loss, "val_relative_l2": relative_l2}
