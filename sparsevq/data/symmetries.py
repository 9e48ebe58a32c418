"""Symmetries of the physics: from one simulated flow, others that the solver would give as well.

On a grid a mirror or a periodic shift only moves points and flips the sign of vector components, so an element of the
group is a permutation of the points and a sign for each channel. A batch is augmented while it is gathered; no
transformed field is ever stored.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from sparsevq.config import Symmetries
from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, FieldData
from sparsevq.errors import SparseVQError


@dataclass(frozen=True)
class SymmetryGroup:
    """G elements, the first of them the identity: ``transformed[n, c] = sign[g, c] * field[source[g, n], c]``.

    Attributes
    ----------
    source
        ``(G, N)`` int64.
    sign
        ``(G, C)`` float32.
    """

    source: npt.NDArray[np.int64]
    sign: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.source)


def symmetry_group(data: FieldData, symmetries: Symmetries) -> SymmetryGroup:
    """Every combination of the mirrors and shifts that the configuration names.

    A channel changes sign under a mirror along the axis that it points along (`FieldData.vector`); vorticity under each
    mirror; any other is a scalar and keeps its sign.

    Raises
    ------
    SparseVQError
        The points are not a grid; an axis doesn't exist, is not evenly spaced, is a latitude but not symmetric about
        the equator, is a longitude (mirror) or not periodic (shift); or a channel is the vorticity of a flow that is
        not two-dimensional, whose sign under a mirror is unknown.
    """
    axes = list(data.axes)
    if data.scattered and (symmetries.reflect or symmetries.roll):
        raise SparseVQError(
            f"stage1.symmetries: the points of {data.name} are not a grid, which no mirror or shift maps on itself",
            "leave out stage1.symmetries",
        )
    for axis in (*symmetries.reflect, *symmetries.roll):
        if axis not in axes:
            raise SparseVQError(
                f"stage1.symmetries: {data.name} has no axis {axis!r}", f"choose among {', '.join(axes)}"
            )
    for axis in symmetries.reflect:
        spacing = np.diff(data.axes[axis])
        if not np.allclose(spacing, spacing[0]):
            raise SparseVQError(f"stage1.symmetries.reflect: axis {axis!r} of {data.name} is not evenly spaced")
        if data.axis_units.get(axis) in LONGITUDE_UNITS:
            raise SparseVQError(
                f"stage1.symmetries.reflect: mirrored along {axis!r} the sphere rotates the other way",
                "turn the flow about the axis instead (roll), or mirror it across the equator",
            )
        at = data.axes[axis]
        if data.axis_units.get(axis) in LATITUDE_UNITS and not np.isclose(at[0], -at[-1]):
            raise SparseVQError(
                f"stage1.symmetries.reflect: latitudes {at[0]:g} ... {at[-1]:g} are not the same on both sides of the "
                "equator, across which alone a flow on a sphere can be mirrored",
                f"leave out {axis}",
            )
        if "vorticity" in data.channels and len(axes) != 2:
            raise SparseVQError("stage1.symmetries.reflect: vorticity is a pseudo-scalar in two dimensions only")
    for axis in symmetries.roll:
        if axis not in data.periodic:
            raise SparseVQError(
                f"stage1.symmetries.roll: axis {axis!r} of {data.name} is not periodic",
                f"periodic are: {', '.join(data.periodic) or 'none'}",
            )

    points = np.arange(data.num_points).reshape(data.grid)
    mirrors = list(product(*([False, True] for _ in symmetries.reflect)))
    shifts = list(product(*(_shifts(reach) for reach in symmetries.roll.values())))
    source, sign = [], []
    for mirror, shift in product(mirrors, shifts):
        moved = np.roll(points, shift, [axes.index(axis) for axis in symmetries.roll]) if shift else points
        flips = [axis for axis, flip in zip(symmetries.reflect, mirror, strict=True) if flip]
        moved = np.flip(moved, tuple(axes.index(axis) for axis in flips)) if flips else moved
        source.append(moved.ravel())
        sign.append([_sign(channel, data.vector, flips) for channel in data.channels])
    return SymmetryGroup(np.array(source, dtype=np.int64), np.array(sign, dtype=np.float32))


def variant_elements(group: int, trajectories: int, variants: int, seed: int) -> npt.NDArray[np.int64]:
    """Which element of a group of `group` elements each variant of each trajectory is, ``(variants, trajectories)``.

    Variant 0 is the identity; the others are drawn without replacement as long as the group has enough elements.
    """
    generator = np.random.default_rng(seed)
    chosen = np.zeros((variants, trajectories), dtype=np.int64)
    if group > 1:
        order = generator.permuted(np.tile(np.arange(1, group), (trajectories, 1)), axis=1)
        chosen[1:] = order[:, np.arange(variants - 1) % (group - 1)].T
    return chosen


def _shifts(reach: int) -> list[int]:
    """0 first, so that the group's first element is the identity."""
    return sorted(range(-reach, reach + 1), key=abs)


def _sign(channel: str, vector: dict[str, str], flips: list[str]) -> float:
    if channel == "vorticity":  # a pseudo-scalar: each mirror turns it round
        return (-1.0) ** len(flips)
    return -1.0 if vector.get(channel) in flips else 1.0
