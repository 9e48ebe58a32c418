"""The basis of a data set: what its training flows are about, and the modes in which they vary, by area.

Proper orthogonal decomposition (empirical orthogonal functions in meteorology) of the anomalies about the time mean of
each point (Sirovich, Q. Appl. Math. 45, 1987): of all bases of that size it leaves the least.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.basis.leading_modes import Snapshots, leading_modes
from sparsevq.config import Symmetries
from sparsevq.data.field_data import FieldData, axis_span
from sparsevq.data.flows import TrainingFlows
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import give_back

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

MODES_A_FRAME = 16
"""Dense frames are projected on the modes together, one for so many modes at least: each product reads all modes,
beside which these frames take little."""


@dataclass(frozen=True, eq=False)
class BasisAt:
    """A basis at n places: `mean` ``(n, C)``, `modes` ``(r, n, C)``, `residual` ``(n, C)``, as those of `Basis`."""

    mean: Floats
    modes: Floats
    residual: Floats


@dataclass(frozen=True, eq=False)
class Basis:
    """Time mean and modes of the training flows with their symmetry variants.

    Attributes
    ----------
    mean
        ``(N, C)`` float32, physical units: mean of each point over the frames in which it is valid; the channel's mean
        where it never is.
    scale
        ``(C,)`` float32, physical units: what anomalies are divided by: their rms over the area. One number for all
        channels where all have one unit, else one for each.
    modes
        ``(r, N, C)`` float32 of the normalised anomalies ``(u - mean) / scale``, orthonormal by area:
        ``(1/N) sum_n w_n sum_c m_k m_l = delta_kl``. So the squared distance of two vectors of coefficients is the
        area-mean squared normalised error, summed over channels. May be mapped from a file.
    std
        ``(r,)`` float64: rms of each coefficient over the training flows, decreasing.
    residual
        ``(N, C)`` float32: variance of the normalised anomalies at each point that the modes leave.
    time_mean_share
        ``(C,)`` float64: share of the training variance, about the channel's mean, that is the time mean's.
    weights
        ``(N,)`` float64: the area that each point stands for, mean 1.
    digest
        SHA-256 of the file that this was read from; empty if it was not read.
    made_from
        Name -> SHA-256 of what that file was made from.
    """

    mean: Floats
    scale: Floats
    modes: Floats
    std: npt.NDArray[np.float64]
    residual: Floats
    time_mean_share: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    digest: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)

    @property
    def variance(self) -> float:
        """Area-mean of the squared normalised anomalies, summed over channels: of what is in the modes and what not."""
        return float(np.sum(self.std**2) + (self.weights[:, None] * self.residual).sum() / len(self.weights))

    def leading(self, modes: int) -> "Basis":
        """The same with at most so many modes; what they leave grows by what the others took."""
        taken = np.zeros(self.mean.shape)
        for std, mode in zip(self.std[modes:], self.modes[modes:], strict=True):
            taken += std**2 * np.square(mode, dtype=np.float64)
            give_back(mode)
        residual = self.residual + taken.astype(np.float32)
        return replace(self, modes=self.modes[:modes], std=self.std[:modes], residual=residual)

    def normalised(self, fields: Array) -> Floats:
        """Normalised anomalies of fields ``(..., N, C)`` in physical units."""
        found: Floats = ((fields - self.mean) / self.scale).astype(np.float32, copy=False)
        return found

    def project(self, anomalies: Array, valid: Array) -> Floats:
        """Coefficients ``(b, r)`` of normalised anomalies ``(b, N, C)``, which count as 0 where not `valid` ``(b, N)``.

        `valid` may also be ``(N,)``, of all.
        """
        area = (self.weights / len(self.weights)).astype(np.float32)[:, None]
        values = np.where(valid[..., None], anomalies, 0) * area
        found: Floats = values.reshape(len(anomalies), -1) @ self.modes.reshape(len(self.modes), -1).T
        return found

    def at(self, data: FieldData, where: npt.NDArray[np.float64] | tuple[slice, ...]) -> BasisAt:
        """The basis at places ``(n, d)`` in the units of the axes of its data set, or in a part of its grid.

        On a grid interpolated linearly along each axis between the points around a place that are valid in some
        training trajectory (all of them where none is); beyond the last point of an axis that is not periodic as at
        that point. Of scattered points that of the nearest.
        """
        if isinstance(where, tuple):
            return self._in(data.grid, where)
        if data.scattered:
            nearest = data.nearest(where)
            return BasisAt(self.mean[nearest], self.modes_at(nearest), self.residual[nearest])
        corners, shares = _corners(data, where)
        known = data.learned[corners]  # (2^d, n)
        inside = np.where(known, shares, 0)
        shares = np.where(inside.sum(axis=0) > 0, inside, shares)
        shares = (shares / shares.sum(axis=0))[..., None].astype(np.float32)  # (2^d, n, 1)
        mean, residual = (np.einsum("kni,knc->nc", shares, of[corners]) for of in (self.mean, self.residual))
        modes = np.zeros((len(self.modes), *mean.shape), np.float32)
        for corner, share in zip(corners, shares, strict=True):
            modes += share * self.modes_at(corner)
        return BasisAt(mean, modes, residual)

    def modes_at(self, points: npt.NDArray[np.int64]) -> Floats:
        """Modes ``(r, n, C)`` at points (n,) of the grid."""
        return self._picked(self.modes, (points,))

    def _in(self, grid: tuple[int, ...], box: tuple[slice, ...]) -> BasisAt:
        channels = self.mean.shape[-1]
        mean, residual = (of.reshape(*grid, channels)[box].reshape(-1, channels) for of in (self.mean, self.residual))
        modes = self._picked(self.modes.reshape(-1, *grid, channels), box)
        return BasisAt(mean, modes.reshape(len(modes), -1, channels), residual)

    @staticmethod
    def _picked(modes: Floats, index: tuple[Any, ...]) -> Floats:
        """Of each mode a part; of mapped ones read mode by mode, so that memory does not hold the rest."""
        if not isinstance(modes, np.memmap):
            return modes[(slice(None), *index)]
        parts = []
        for mode in modes:
            parts.append(np.array(mode[index]))
            give_back(mode)
        return np.stack(parts)


def compute_basis(data: FieldData, symmetries: Symmetries | None, modes: int, seed: int = 0) -> Basis:
    """The basis of a data set; the flows are read a few times, and memory holds a block of one.

    Parameters
    ----------
    data
        The data set, of which only the training split is used.
    symmetries, seed
        Which variants of the flows are used (`TrainingFlows`); None: the flows as simulated alone.
    modes
        At most so many modes; fewer where the flows support fewer.

    Raises
    ------
    SparseVQError
        All training frames are equal, or a value at a valid point is not finite.
    """
    flows = TrainingFlows(data, symmetries, seed)
    moments = _Moments(data)
    for fields, valid in flows:
        moments.add(fields, valid)
    mean, scale = moments.mean.astype(np.float32), moments.scale(data)
    root_of_area = np.sqrt(data.weights).astype(np.float32)[:, None]
    count = len(flows) * data.fields.shape[1]
    snapshots = Snapshots(flows, mean, root_of_area / scale, count)
    found, energy = leading_modes(snapshots, snapshots.shape, modes, seed)
    found = found.reshape(-1, *mean.shape)
    found *= np.sqrt(np.float32(data.num_points)) / root_of_area
    std = np.sqrt(energy / (count * data.num_points))
    explained = np.einsum("k,knc,knc->nc", std**2, found, found)
    return Basis(
        mean=mean,
        scale=scale,
        modes=found,
        std=std,
        residual=np.maximum(moments.squares / (count * scale.astype(np.float64) ** 2) - explained, 0).astype(
            np.float32
        ),
        time_mean_share=moments.time_mean_share(),
        weights=data.weights,
    )


class _Moments:
    """Mean of each point and sum of squares about it, ``(N, C)`` float64, over the frames in which it is valid."""

    def __init__(self, data: FieldData):
        self._name, self._area, self._of_channels = data.name, data.weights[:, None], data.mean
        self.mean = np.zeros((data.num_points, len(data.channels)))
        self.squares = np.zeros_like(self.mean)
        self._count = np.zeros((data.num_points, 1))

    def add(self, fields: Array, valid: Array) -> None:
        """Frames ``(f, N, C)``, valid at ``(N,)``; merged as in Chan, Golub & LeVeque (1983)."""
        mean = fields.mean(axis=0, dtype=np.float64)
        if not np.isfinite(mean[valid]).all():
            raise SparseVQError(
                f"{self._name}: NaN or infinite values at valid points of a training trajectory",
                "list all faults with `sparsevq data validate`, and fix or leave out that trajectory",
            )
        apart = fields - mean.astype(np.float32)
        # The mean as rounded to float32 is not the mean: its distance from it would count in each frame.
        rounded = mean - mean.astype(np.float32)
        squares = np.einsum("fnc,fnc->nc", apart, apart, dtype=np.float64) - len(fields) * rounded**2
        before, after = self._count[valid], self._count[valid] + len(fields)
        step = mean[valid] - self.mean[valid]
        self.mean[valid] += step * len(fields) / after
        self.squares[valid] += np.maximum(squares[valid], 0) + step**2 * before * len(fields) / after
        self._count[valid] = after
        self.mean[self._count[:, 0] == 0] = self._of_channels

    def scale(self, data: FieldData) -> Floats:
        """``(C,)`` rms over the area of what is about the mean."""
        area = (self._area * self._count).sum()
        variance = (self._area * self.squares).sum(axis=0) / area  # (C,)
        # What is below the rounding of the values does not vary.
        still = variance <= np.finfo(np.float32).eps ** 2 * (data.mean**2 + data.std**2)
        if still.all():
            raise SparseVQError(
                f"{self._name}: all training frames are equal", "there is nothing to learn: give fields that change"
            )
        if len(set(data.units)) == 1:
            variance = np.full_like(variance, variance.mean())
        else:
            variance = np.where(still, data.std**2, variance)
        return np.sqrt(variance).astype(np.float32)

    def time_mean_share(self) -> npt.NDArray[np.float64]:
        """``(C,)`` share of the variance about the channel's mean that is the time mean's."""
        area = self._area * self._count
        of_mean = self.mean - (area * self.mean).sum(axis=0) / area.sum()
        between = (area * of_mean**2).sum(axis=0)
        total = between + (self._area * self.squares).sum(axis=0)
        found: npt.NDArray[np.float64] = between / np.where(total > 0, total, 1)
        return found


def _corners(data: FieldData, places: npt.NDArray[np.float64]) -> tuple[Array, Array]:
    """Points around places ``(n, d)`` of a grid and their shares, ``(2^d, n)``, for linear interpolation."""
    index, share = [], []  # of each axis: of the point before and of the one behind
    for column, (axis, at) in zip(places.T, data.axes.items(), strict=True):
        size, low, span = len(at), *axis_span(at, axis in data.periodic)
        if axis in data.periodic:
            at, column = np.append(at, low + span), low + np.mod(column - low, span)
        before = np.clip(np.searchsorted(at, column, side="right") - 1, 0, max(len(at) - 2, 0))
        behind = np.minimum(before + 1, len(at) - 1)
        step = np.where(at[behind] > at[before], at[behind] - at[before], 1)
        part = np.clip((column - at[before]) / step, 0, 1)
        index.append((before % size, behind % size))
        share.append((1 - part, part))
    which = list(product((0, 1), repeat=len(index)))
    corners = [
        np.ravel_multi_index([index[axis][side] for axis, side in enumerate(sides)], data.grid) for sides in which
    ]
    shares = [np.prod([share[axis][side] for axis, side in enumerate(sides)], axis=0) for sides in which]
    return np.stack(corners), np.stack(shares)
