"""Windows of flows as networks are trained on them: what the sensors read, and the frames that follow."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.baselines.networks.scene import Scene
from sparsevq.config import Symmetries
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.memory import sent
from sparsevq.training.fields import variant_symmetries

AT_ONCE = 2**27
"""Bytes of dense frames that are projected on the modes together."""


@dataclass(frozen=True)
class Starts:
    """``(b,)`` each, on the host: which of the `Flows`, and the last observed frame of it."""

    flow: Tensor
    last: Tensor

    def __len__(self) -> int:
        return len(self.flow)

    def __getitem__(self, part: slice) -> "Starts":
        return Starts(self.flow[part], self.last[part])


class Flows:
    """The training flows with their symmetry variants (those that sparsevq learns from), and the validation flows.

    Frames are normalised anomalies, 0 where a flow has no field; everything is gathered on the scene's device.

    Parameters
    ----------
    scene
        The data set, its basis and the sensors.
    symmetries, seed
        As of stage 1.
    """

    def __init__(self, scene: Scene, symmetries: Symmetries, seed: int):
        data = scene.data
        self.scene = scene
        self.fields = DeviceFields(data, symmetries, scene.area.device, scene.basis)
        self.frames = self.fields.frames
        elements = variant_symmetries(self.fields, symmetries.variants, seed)  # (V, T)
        training, validation = (torch.from_numpy(data.trajectories(split)) for split in ("train", "val"))
        self.training = len(elements) * len(training)
        self._trajectory = torch.cat([training.repeat(len(elements)), validation])
        self._symmetry = torch.cat([elements[:, training].flatten(), torch.zeros_like(validation)])
        self._sensors = torch.from_numpy(scene.sparse)
        self._reads = torch.from_numpy(scene.reads.ravel()).nonzero()[:, 0].to(scene.area.device)
        self._everywhere = torch.arange(self.fields.points)
        self._coefficients: Tensor | None = None

    @property
    def slow(self) -> bool:
        """Whether a batch comes from a file, or crosses to a GPU."""
        return self.fields.slow

    def draw(self, count: int, generator: torch.Generator, observed: int, leads: int) -> Starts:
        """Windows of the training flows: `observed` frames up to the last observed one, and `leads` after it.

        Raises
        ------
        SparseVQError
            The flows have fewer frames.
        """
        self._require(observed, leads)
        flow = torch.randint(self.training, (count,), generator=generator)
        last = torch.randint(observed - 1, self.frames - leads, (count,), generator=generator)
        return Starts(flow, last)

    def held_out(self, count: int, observed: int, leads: int) -> Starts:
        """About `count` windows of the validation flows, from frames spread over them: the same each time.

        Raises
        ------
        SparseVQError
            The flows have fewer frames, or there is none.
        """
        self._require(observed, leads)
        flows = torch.arange(self.training, len(self._trajectory))
        if not len(flows):
            raise SparseVQError(
                f"{self.scene.data.name} has no validation trajectory, on which baselines are validated",
                "hold some out (validation), or leave the trained ones out of evaluation.baselines",
            )
        flows = flows[:: max(1, len(flows) // count)]
        each = max(1, count // len(flows))
        last = torch.linspace(observed - 1, self.frames - leads - 1, each).round().long().unique()
        return Starts(flows.repeat_interleave(len(last)), last.repeat(len(flows)))

    def readings(self, starts: Starts, observed: int) -> Tensor:
        """``(b, k, m)``: what the sensors read in the last `observed` frames."""
        views = self._views(starts, torch.arange(1 - observed, 1))
        values, valid = self.fields.gather(views, self._sensors)
        values = torch.where(valid[..., None], values, 0).flatten(1)
        return values[:, self._reads].unflatten(0, (-1, observed))

    def truth(self, starts: Starts, leads: int) -> tuple[Tensor, Tensor]:
        """Frames from the last observed one on, ``(b, leads + 1, N, C)``, and where they have a field, ``(b, N)``."""
        views = self._views(starts, torch.arange(leads + 1))
        values, valid = self.fields.gather(views, self._everywhere)
        values = torch.where(valid[..., None], values, 0)
        return values.unflatten(0, (-1, leads + 1)), valid[:: leads + 1]

    def at_points(self, starts: Starts, offsets: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(b, n, p, C)`` and validity ``(b, n, p)`` at points (p,), `offsets` (n,) after the last frames."""
        values, valid = self.fields.gather(self._views(starts, offsets), points)
        values = torch.where(valid[..., None], values, 0)
        return values.unflatten(0, (-1, len(offsets))), valid.unflatten(0, (-1, len(offsets)))

    def coefficients(self, starts: Starts, leads: int, observed: int = 1) -> Tensor:
        """``(b, observed + leads, r)``: the modes' coefficients of the dense frames, the observed ones first."""
        if self._coefficients is None:
            self._coefficients = self._project()
        frame = starts.last[:, None] + torch.arange(1 - observed, leads + 1)
        row = starts.flow[:, None] * self.frames + frame
        return self._coefficients[sent(row.flatten(), self._coefficients.device)].unflatten(0, row.shape)

    def _project(self) -> Tensor:
        """``(flow * F, r)``: of all frames, projected once."""
        flow = torch.arange(len(self._trajectory)).repeat_interleave(self.frames)
        everything = Starts(flow, torch.arange(self.frames).repeat(len(self._trajectory)))
        area = (self.scene.area / self.fields.points)[:, None]
        at_once = max(1, AT_ONCE // (4 * self.fields.points * self.fields.channels))
        found = []
        for start in range(0, len(flow), at_once):
            values, _ = self.truth(everything[start : start + at_once], 0)
            found.append((values[:, 0] * area).flatten(1) @ self.scene.modes.T)
        return torch.cat(found)

    def _views(self, starts: Starts, offsets: Tensor) -> Views:
        """The frames `offsets` ``(n,)`` after the last observed ones: ``(b * n,)``."""
        flow = starts.flow.repeat_interleave(len(offsets))
        frame = (starts.last[:, None] + offsets).flatten()
        return Views(self._trajectory[flow], frame, self._symmetry[flow])

    def _require(self, observed: int, leads: int) -> None:
        if observed + leads > self.frames:
            raise SparseVQError(
                f"networks: {observed} observed frames and {leads} after them are more than the {self.frames} frames "
                f"of a trajectory of {self.scene.data.name}",
                "lower rollout_frames or the horizon, or give longer trajectories",
            )
