"""Batches of a data set of any size on the training device, gathered without a loop and normalised there."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsevq.config import Symmetries
from sparsevq.data.field_data import FieldData
from sparsevq.data.mapped_rows import MappedRows
from sparsevq.data.resident import frames_on
from sparsevq.data.symmetries import source_of, symmetry_group
from sparsevq.runtime.devices.memory import fits, host_buffer, sent
from sparsevq.runtime.devices.processes import is_first


@dataclass(frozen=True)
class Views:
    """Indices of b frames: trajectory, frame, and element of the symmetry group; each (b,) int64.

    On the host, so that nothing has to come back from a GPU where the fields are on the host; elsewhere they work, too.
    """

    trajectory: Tensor
    frame: Tensor
    symmetry: Tensor

    def __len__(self) -> int:
        return len(self.trajectory)

    def __getitem__(self, part: slice | Tensor) -> "Views":
        return Views(self.trajectory[part], self.frame[part], self.symmetry[part])

    def on(self, device: torch.device) -> "Views":
        """The same, on a device: one copy."""
        if self.frame.device == device:
            return self
        return Views(*sent(torch.stack([self.trajectory, self.frame, self.symmetry]), device).unbind())


class Normalisation(Protocol):
    """What `sparsevq.basis.basis.Basis` has: mean of each point ``(N, C)`` and scale of each channel ``(C,)``."""

    @property
    def mean(self) -> npt.NDArray[np.float32]: ...

    @property
    def scale(self) -> npt.NDArray[np.float32]: ...


class DeviceFields:
    """Fields of a data set, gathered by frame, point and symmetry, and normalised.

    The fields stay in physical units. Where they are is decided here, where the device is known: on a GPU if they fit
    (`sparsevq.runtime.devices.memory.fits`), whether the data set is in memory or mapped
    (`sparsevq.data.layout.read_data`); else where they are, not copied. Batches do not depend on it.

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

    Raises
    ------
    SparseVQError
        The data set is mapped and fits on the GPU, and a value at a valid point is not finite.
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
        self.device = device = self.std.device  # with its number
        self._fields = _fields_of(data, device)
        self._home = torch.device("cpu") if isinstance(self._fields, MappedRows) else self._fields.device
        self._mask = torch.from_numpy(data.flat_mask).to(self._home).reshape(-1)
        self._along = [torch.from_numpy(table).to(self._home) for table in group.along]
        self._sign = torch.from_numpy(group.sign).to(device)
        self.num_symmetries = len(group)
        self.weights = torch.tensor(data.weights, dtype=torch.float32, device=device)
        self.joint_scale = torch.from_numpy(data.joint_scale).to(device)
        self._parameters = data.parameters
        self._known: dict[tuple[str, ...], Tensor] = {}

    @property
    def slow(self) -> bool:
        """Whether a batch has to be read from a file, or to cross from the host to another device."""
        return isinstance(self._fields, MappedRows) or self._home != self.device

    def gather(self, views: Views, points: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised values (b, p, c) and validity (b, p) at points (p,) of the transformed frames.

        With indices on the host nothing waits for the device.

        Raises
        ------
        SparseVQError
            The data set is mapped, and a value at a valid point is not finite.
        """
        at = views.on(self._home)
        source = source_of(self._along, at.symmetry[:, None], sent(points, self._home))  # (b, p)
        values = sent(self._physical(at, source), self.device)
        valid = self._valid(at, source)
        # A mirrored component changes sign in physical units, before its mean is subtracted.
        values.mul_(self._sign[sent(views.symmetry, self.device)][:, None])
        return values.sub_(self.mean[sent(points, self.device)]).div_(self.std), sent(valid, self.device)

    def _physical(self, views: Views, source: Tensor) -> Tensor:
        """Values (b, p, c) at points (b, p) of the frames as stored: new memory, of the fields' own device."""
        out = host_buffer((*source.shape, self.channels), torch.float32, self.device) if self._crosses else None
        if isinstance(self._fields, MappedRows):
            return self._fields.gather(views.trajectory, views.frame, source, out)
        row = (views.trajectory * self.frames + views.frame)[:, None] * self.points + source
        # index_select takes rows of a few channels in a third of the time of an index.
        flat = None if out is None else out.view(-1, self.channels)
        return torch.index_select(self._fields, 0, row.flatten(), out=flat).view(*row.shape, self.channels)

    def _valid(self, views: Views, source: Tensor) -> Tensor:
        """(b, p) on the fields' own device."""
        point = views.trajectory[:, None] * self.points + source
        if not self._crosses:
            return self._mask[point]
        out = host_buffer((point.numel(),), torch.bool, self.device)
        return torch.index_select(self._mask, 0, point.flatten(), out=out).view(point.shape)

    @property
    def _crosses(self) -> bool:
        return self._home != self.device

    def known(self, views: Views, names: tuple[str, ...]) -> Tensor:
        """(b, k) float64: parameters of the frames' trajectories, in the data set's units."""
        if names not in self._known:
            columns = [torch.from_numpy(np.asarray(self._parameters[name], dtype=np.float64)) for name in names]
            self._known[names] = torch.stack(columns, dim=-1).to(self.device)
        return self._known[names][sent(views.trajectory, self.device)]

    def physical(self, normalised: Tensor, points: Tensor | None = None) -> Tensor:
        """(..., p, C) at points (p,), None: all, in physical units."""
        return normalised * self.std + (self.mean if points is None else self.mean[points])

    def views(self, trajectories: Tensor, frames: Tensor) -> Views:
        """Every given frame of every given trajectory as simulated, trajectories outermost."""
        trajectory = trajectories.repeat_interleave(len(frames))
        frame = frames.repeat(len(trajectories))
        return Views(trajectory, frame, torch.zeros_like(trajectory))


def _fields_of(data: FieldData, device: torch.device) -> Tensor | MappedRows:
    """The fields as rows (T F N, C): on a GPU, in their file, or in memory."""
    size = 4 * math.prod(data.fields.shape)
    if device.type != "cpu":
        there = fits(size, device)
        if is_first():
            where = f"copied to {device}" if there else "left on the host, too many for the GPU: batches are sent there"
            print(f"{data.name}: {size / 1e9:.2f} GB of fields {where}", flush=True)
        if there:
            return frames_on(device, data)
    if isinstance(data.fields, np.memmap):
        return MappedRows(data.fields, data.flat_mask, data.name)
    return torch.from_numpy(np.ascontiguousarray(data.flat_fields).reshape(-1, len(data.channels)))
