"""Batches of a data set of any size on the training device, gathered without a loop and normalised there."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsevq.config import Symmetries
from sparsevq.data.field_data import FieldData
from sparsevq.data.mapped_rows import MappedRows
from sparsevq.data.symmetries import source_of, symmetry_group

DEVICE_SHARE = 0.5
"""Fraction of a GPU's free memory that fields in memory may take to be copied there; larger ones stay on the host."""


@dataclass(frozen=True)
class Views:
    """Indices of b frames: trajectory, frame, and element of the symmetry group; each (b,) int64."""

    trajectory: Tensor
    frame: Tensor
    symmetry: Tensor

    def __len__(self) -> int:
        return len(self.trajectory)

    def __getitem__(self, part: slice | Tensor) -> "Views":
        return Views(self.trajectory[part], self.frame[part], self.symmetry[part])


class Normalisation(Protocol):
    """What `sparsevq.basis.basis.Basis` has: mean of each point ``(N, C)`` and scale of each channel ``(C,)``."""

    @property
    def mean(self) -> npt.NDArray[np.float32]: ...

    @property
    def scale(self) -> npt.NDArray[np.float32]: ...


class DeviceFields:
    """Fields of a data set, gathered by frame, point and symmetry, and normalised.

    The fields stay in physical units and are not copied: a mapped data set (`sparsevq.data.layout.read_data`) stays in
    its file, one in memory stays there, unless the device is a GPU with room for a copy. Batches do not depend on it.

    Parameters
    ----------
    data
        The data set.
    symmetries
        The group to augment with; element 0 is the identity.
    device
        Device of the batches.
    normalisation
        What fields are normalised by; None: one mean and one standard deviation a channel, as models of earlier
        versions have them.
    """

    def __init__(
        self,
        data: FieldData,
        symmetries: Symmetries,
        device: torch.device,
        normalisation: Normalisation | None = None,
    ):
        group = symmetry_group(data, symmetries)
        self.trajectories, self.frames, self.points, self.channels = data.flat_fields.shape
        mean, std = (data.mean, data.std) if normalisation is None else (normalisation.mean, normalisation.scale)
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device).expand(self.points, -1)  # (N, C)
        self.std = torch.tensor(std, dtype=torch.float32, device=device)
        self._fields = _fields_of(data, device)
        self._mask = torch.from_numpy(data.flat_mask).to(device).reshape(-1)
        self._along = [torch.from_numpy(table).to(device) for table in group.along]
        self._sign = torch.from_numpy(group.sign).to(device)
        self.num_symmetries = len(group)
        self.weights = torch.tensor(data.weights, dtype=torch.float32, device=device)
        self.joint_scale = torch.from_numpy(data.joint_scale).to(device)
        self._parameters = data.parameters
        self.device = device

    def gather(self, views: Views, points: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised values (b, p, c) and validity (b, p) at points (p,) of the transformed frames.

        Raises
        ------
        SparseVQError
            The data set is mapped, and a value at a valid point is not finite.
        """
        source = source_of(self._along, views.symmetry[:, None], points)  # (b, p)
        # A mirrored component changes sign in physical units, before its mean is subtracted.
        values = self._physical(views, source).mul_(self._sign[views.symmetry][:, None])
        return values.sub_(self.mean[points]).div_(self.std), self._mask[
            views.trajectory[:, None] * self.points + source
        ]

    def _physical(self, views: Views, source: Tensor) -> Tensor:
        """Values (b, p, c) at points (b, p) of the frames as stored: a new tensor on the device."""
        if isinstance(self._fields, MappedRows):
            values = self._fields.gather(views.trajectory.cpu(), views.frame.cpu(), source.cpu())
        else:
            row = (views.trajectory * self.frames + views.frame)[:, None] * self.points + source
            # index_select takes rows of a few channels in a third of the time of an index.
            values = self._fields.index_select(0, row.flatten().to(self._fields.device))
            values = values.view(*row.shape, self.channels)
        if values.device == self.device or self.device.type != "cuda":
            return values.to(self.device)
        return values.pin_memory().to(self.device, non_blocking=True)

    def known(self, views: Views, names: tuple[str, ...]) -> Tensor:
        """(b, k) float64: parameters of the frames' trajectories, in the data set's units."""
        columns = [torch.from_numpy(np.asarray(self._parameters[name], dtype=np.float64)) for name in names]
        return torch.stack(columns, dim=-1).to(self.device)[views.trajectory]

    def physical(self, normalised: Tensor, points: Tensor | None = None) -> Tensor:
        """(..., p, C) at points (p,), None: all, in physical units."""
        return normalised * self.std + (self.mean if points is None else self.mean[points])

    def views(self, trajectories: Tensor, frames: Tensor) -> Views:
        """Every given frame of every given trajectory as simulated, trajectories outermost."""
        trajectory = trajectories.repeat_interleave(len(frames))
        frame = frames.repeat(len(trajectories))
        return Views(trajectory, frame, torch.zeros_like(trajectory))


def _fields_of(data: FieldData, device: torch.device) -> Tensor | MappedRows:
    """The fields as rows (T F N, C): in their file, in memory, or on a GPU."""
    if isinstance(data.fields, np.memmap):
        return MappedRows(data.fields, data.flat_mask, data.name)
    rows = torch.from_numpy(np.ascontiguousarray(data.flat_fields).reshape(-1, len(data.channels)))
    if device.type == "cuda" and rows.nbytes <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return rows.to(device)
    return rows
