"""What a network of a run knows before anything is read: the domain, the basis, where the sensors are."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsevq.baselines.pod_dmd import STRENGTHS, gappy_pod
from sparsevq.basis.basis import Basis
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.models.refinement import fixed_channels
from sparsevq.sensors.distance import Distance

Array = NDArray[Any]

FRAMES = 64
"""Validation frames, at most, on which the strength of the optimal interpolation is chosen."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The domain, the basis and the sensors of a run, on a device. Fields are normalised anomalies (`Basis`).

    Attributes
    ----------
    data
        The data set: its grid, axes and training masks are used.
    basis
        Time mean and modes.
    sparse
        ``(n_s,)`` flat indices of the sensors.
    reads
        ``(n_s, C)`` which channels each of them reads: ``m`` numbers a frame.
    strength
        Variance of a reading's error in the optimal interpolation, in units of the anomalies' variance.
    gain
        ``(m, r)``: readings times this are the posterior mean of the modes' coefficients.
    modes
        ``(r, N * C)``.
    area
        ``(N,)`` that each point stands for, mean 1.
    """

    data: FieldData
    basis: Basis
    sparse: NDArray[np.int64]
    reads: NDArray[np.bool_]
    strength: float
    gain: Tensor
    modes: Tensor
    area: Tensor

    @classmethod
    def of(
        cls,
        data: FieldData,
        basis: Basis,
        sparse: NDArray[np.int64],
        reads: NDArray[np.bool_],
        device: torch.device,
        strength: float | None = None,
    ) -> Self:
        """The scene of a run.

        Parameters
        ----------
        strength
            Of the optimal interpolation; None: the one with the smallest error on the validation split.

        Raises
        ------
        SparseVQError
            There is no validation trajectory to choose the strength on.
        """
        modes = torch.from_numpy(np.ascontiguousarray(basis.modes)).reshape(len(basis.modes), -1).to(device)
        if strength is None:
            strength = _best_strength(data, basis, sparse, reads, modes)
        return cls(
            data,
            basis,
            sparse,
            reads,
            strength,
            gain=_gain(basis, sparse, reads, strength).to(device),
            modes=modes,
            area=torch.tensor(data.weights, dtype=torch.float32, device=device),
        )

    @property
    def channels(self) -> int:
        """Channels of a field: ``C``."""
        return len(self.data.channels)

    @property
    def grid(self) -> tuple[int, ...]:
        """Size of the grid along each axis."""
        return self.data.grid

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Whether each axis is periodic."""
        return self.data.closed

    @property
    def readings(self) -> int:
        """Numbers that the sensors read in a frame: ``m``."""
        return int(self.reads.sum())

    def require_grid(self, network: str) -> None:
        """Check that the points are a grid.

        Raises
        ------
        SparseVQError
            They are scattered.
        """
        if self.data.scattered:
            raise SparseVQError(
                f"evaluation.baselines: {network} needs a grid, but the points of {self.data.name} are scattered",
                "leave it out for this data set",
            )

    def fields_of(self, coefficients: Tensor) -> Tensor:
        """Fields ``(..., N, C)`` of coefficients ``(..., r)`` of the leading modes."""
        flat = coefficients @ self.modes[: coefficients.shape[-1]]
        return flat.unflatten(-1, (-1, self.channels))

    def estimate(self, readings: Tensor) -> Tensor:
        """The optimal interpolation of a frame, ``(b, N, C)``, from what the sensors read, ``(b, m)``."""
        return self.fields_of(readings @ self.gain)

    # ---------------------------------------------------------------------------------------------- on the grid

    def gridded(self, fields: Tensor) -> Tensor:
        """``(b, C, *grid)`` of fields ``(b, N, C)``."""
        return fields.unflatten(1, self.grid).movedim(-1, 1)

    def flat(self, fields: Tensor) -> Tensor:
        """``(b, N, C)`` of fields ``(b, C, *grid)``."""
        return fields.movedim(1, -1).flatten(1, -2)

    @cached_property
    def known(self) -> Tensor:
        """``(N,)``: the share of the training trajectories in which each point has a field.

        All that is known of a mask beforehand: that of a test trajectory is not given.
        """
        share = self.data.flat_mask[self.data.trajectories("train")].mean(axis=0)
        return torch.tensor(share, dtype=torch.float32, device=self.area.device)

    @cached_property
    def fixed(self) -> Tensor:
        """``(k, *grid)``: channels that are the same in each frame: `known`, and the coordinates.

        Of a periodic axis the sine and cosine of its angle, of another the coordinate from -1 to 1.
        """
        there = fixed_channels(self.data.scaled_coordinates, self.periodic, self.grid)
        return torch.cat([self.known.reshape(1, *self.grid).cpu(), there]).to(self.area.device)

    @cached_property
    def marked(self) -> Tensor:
        """``(1, *grid)``: 1 where there is a sensor, else 0."""
        at = torch.zeros(self.data.num_points)
        at[torch.from_numpy(self.sparse)] = 1
        return at.reshape(1, *self.grid).to(self.area.device)

    @cached_property
    def _nearest(self) -> Tensor:
        """``(N * C,)``: which of the readings is of the sensor nearest to each point; ``m``: none reads the channel."""
        places, distance = self.data.physical_coordinates, Distance.of(self.data)
        apart = np.stack([distance(places, place) for place in places[self.sparse]], axis=-1)  # (N, n_s)
        number = np.full(self.reads.shape, self.readings)
        number[self.reads] = np.arange(self.readings)
        found = np.full((len(places), self.channels), self.readings)
        for channel, read in enumerate(self.reads.T):
            if read.any():
                found[:, channel] = number[read, channel][apart[:, read].argmin(axis=1)]
        return torch.from_numpy(found.reshape(-1)).to(self.area.device)

    def tessellated(self, readings: Tensor) -> Tensor:
        """``(b, C, *grid)``: at each point what the nearest sensor reads of readings ``(b, m)``; 0 where none does."""
        padded = torch.cat([readings, readings.new_zeros(len(readings), 1)], dim=1)
        return self.gridded(padded[:, self._nearest].unflatten(1, (-1, self.channels)))


def _gain(basis: Basis, sparse: NDArray[np.int64], reads: NDArray[np.bool_], strength: float) -> Tensor:
    """``(m, r)`` as `Scene.gain`."""
    at_sensors = basis.modes[:, sparse][:, reads].T  # (m, r)
    gain = gappy_pod(np.eye(len(at_sensors)), at_sensors, basis.std, strength)
    return torch.from_numpy(gain.astype(np.float32))


def _best_strength(
    data: FieldData, basis: Basis, sparse: NDArray[np.int64], reads: NDArray[np.bool_], modes: Tensor
) -> float:
    """Of `STRENGTHS` that with the smallest relative error of the anomalies on validation frames."""
    trajectories, frames = data.trajectories("val"), data.fields.shape[1]
    if not len(trajectories):
        raise SparseVQError(
            f"{data.name} has no validation trajectory, on which baselines choose their settings",
            "hold some out (validation), or leave all but climatology out of evaluation.baselines",
        )
    each = max(1, FRAMES // len(trajectories))
    which = trajectories[:: max(1, len(trajectories) // FRAMES)]
    trajectory, frame = np.meshgrid(which, np.linspace(0, frames - 1, each).round().astype(int), indexing="ij")
    valid = data.flat_mask[trajectory.ravel()][..., None]  # (b, N, 1)
    truth = np.where(valid, basis.normalised(data.flat_fields[trajectory.ravel(), frame.ravel()]), 0)
    readings = torch.from_numpy(truth[:, sparse][..., reads].astype(np.float32)).to(modes.device)
    weight = torch.tensor(np.sqrt(data.weights[:, None] * valid), dtype=torch.float32, device=modes.device)
    truth_there = torch.from_numpy(truth).to(modes.device)
    size = (truth_there * weight).flatten(1).norm(dim=1)
    errors = []
    for strength in STRENGTHS:
        estimate = (readings @ _gain(basis, sparse, reads, strength).to(modes.device)) @ modes
        off = (estimate.reshape(truth_there.shape) - truth_there) * weight
        errors.append(float((off.flatten(1).norm(dim=1) / size).mean()))
    return STRENGTHS[int(np.argmin(errors))]
