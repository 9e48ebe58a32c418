"""A data set as normalised tensors on the training device, gathered there without a loop or a copy to and fro."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.config import Symmetries
from sparsevq.data.layout import FieldData
from sparsevq.data.symmetries import symmetry_group


@dataclass(frozen=True)
class Views:
    """b frames to look at: which trajectory and frame, under which element of the symmetry group; each (b,) int64."""

    trajectory: Tensor
    frame: Tensor
    symmetry: Tensor

    def __len__(self) -> int:
        return len(self.trajectory)

    def __getitem__(self, part: slice | Tensor) -> "Views":
        return Views(self.trajectory[part], self.frame[part], self.symmetry[part])


class DeviceFields:
    """Normalised fields ``(T, F, N, C)`` with their masks and symmetries.

    Parameters
    ----------
    data
        The data set.
    symmetries
        The group to augment with; element 0 is the identity.
    device
        Where the tensors live.
    """

    def __init__(self, data: FieldData, symmetries: Symmetries, device: torch.device):
        group = symmetry_group(data, symmetries)
        self.trajectories, self.frames, self.points, self.channels = data.flat_fields.shape
        self.mean = torch.tensor(data.mean, dtype=torch.float32, device=device)
        self.std = torch.tensor(data.std, dtype=torch.float32, device=device)
        fields = torch.from_numpy(data.flat_fields).to(device)
        self._fields = ((fields - self.mean) / self.std).reshape(-1, self.channels)
        self._mask = torch.from_numpy(data.flat_mask).to(device).reshape(-1)
        self._source = torch.from_numpy(group.source).to(device)
        # A mirrored component changes sign in physical units; (-u - mean) / std = -(u - mean) / std - 2 mean / std.
        sign = torch.from_numpy(group.sign).to(device)
        self._sign, self._offset = sign, (sign - 1) * self.mean / self.std
        self.num_symmetries = len(group)
        self.weights = torch.tensor(data.weights, dtype=torch.float32, device=device)
        self.joint_scale = torch.from_numpy(data.joint_scale).to(device)
        self.device = device

    def gather(self, views: Views, points: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised values (b, p, c) and validity (b, p) at points (p,) of the transformed frames."""
        source = self._source[views.symmetry][:, points]  # (b, p)
        row = (views.trajectory * self.frames + views.frame)[:, None] * self.points + source
        values = self._fields[row] * self._sign[views.symmetry][:, None] + self._offset[views.symmetry][:, None]
        return values, self._mask[views.trajectory[:, None] * self.points + source]

    def physical(self, normalised: Tensor) -> Tensor:
        """(..., C) in physical units."""
        return normalised * self.std + self.mean

    def views(self, trajectories: Tensor, frames: Tensor) -> Views:
        """Every given frame of every given trajectory as simulated, trajectories outermost."""
        trajectory = trajectories.repeat_interleave(len(frames))
        frame = frames.repeat(len(trajectories))
        return Views(trajectory, frame, torch.zeros_like(trajectory))
