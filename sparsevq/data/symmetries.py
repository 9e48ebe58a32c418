"""Symmetries of the physics: from one simulated flow, others that the solver would give as well.

On a grid a mirror or a periodic shift only moves points and flips the sign of vector components, so an element of the
group is a permutation of the points and a sign for each channel. A batch is augmented while it is gathered; no
transformed field is ever stored.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress, product
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.config import Symmetries
from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, FieldData
from sparsevq.errors import SparseVQError


@dataclass(frozen=True)
class SymmetryGroup:
    """G elements, the first of them the identity: ``transformed[n, c] = sign[g, c] * field[source(g, n), c]``.

    Every element moves each axis by itself, so that axes are what is stored: on a fine grid whose axes can be shifted
    there are thousands of elements, and their points would take more memory than the fields.

    Attributes
    ----------
    along
        For each axis, of the grid's size ``(size,)``: ``(G, size)`` int64, the place on it that the value at each place
        comes from, times the stride of the axis in the flat grid.
    sign
        ``(G, C)`` float32.
    """

    along: tuple[npt.NDArray[np.int64], ...]
    sign: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sign)

    def source(self, element: npt.ArrayLike, points: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Flat indices of the points that the values of `element` at `points` come from; both broadcast."""
        found: npt.NDArray[np.int64] = source_of(self.along, np.asarray(element), np.asarray(points))
        return found


def source_of(along: Sequence[Any], element: Any, points: Any) -> Any:
    """As `SymmetryGroup.source`, of arrays or tensors alike; `along` is the group's, on the same device."""
    if len(along[0]) == 1:  # the identity alone
        return 0 * element + points
    found = 0
    for table in reversed(along):  # the last axis is the fastest
        size = table.shape[1]
        found = found + table[element, points % size]
        points = points // size
    return found


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
    _validate(data, symmetries)
    number = {axis: index for index, axis in enumerate(data.axes)}
    flips = product([False, True], repeat=len(symmetries.reflect))
    mirrors = [list(compress(symmetries.reflect, flipped)) for flipped in flips]
    shifts = _shifts(data, symmetries)
    along: list[list[npt.NDArray[np.int64]]] = [[] for _ in data.grid]
    strides = np.cumprod([1, *data.grid[:0:-1]])[::-1]
    sign = []
    for mirrored, shift in product(mirrors, shifts):
        of_axis = {number[axis]: by for axis, by in shift.items()}
        flipped = {number[axis] for axis in mirrored}
        for index, (size, stride) in enumerate(zip(data.grid, strides, strict=True)):
            places = np.roll(np.arange(size), of_axis.get(index, 0))
            along[index].append(stride * (places[::-1] if index in flipped else places))
        sign.append([_sign(channel, data.vector, mirrored) for channel in data.channels])
    tables = tuple(np.array(rows, dtype=np.int64) for rows in along)
    return SymmetryGroup(tables, np.array(sign, dtype=np.float32))


def _shifts(data: FieldData, symmetries: Symmetries) -> list[dict[str, int]]:
    """Axis -> grid points, for every shift; the first is none, so that the group's first element is the identity."""
    alone = product(*(sorted(range(-reach, reach + 1), key=abs) for reach in symmetries.roll.values()))
    together = symmetries.roll_together
    size = {axis: len(at) for axis, at in data.axes.items()}
    # After so many steps each of the axes is where it was.
    steps = math.lcm(*(size[axis] // math.gcd(size[axis], by) for axis, by in together.items()))
    found = []
    for shift, step in product(alone, range(steps)):
        of_axis = dict(zip(symmetries.roll, shift, strict=True))
        for axis, by in together.items():
            of_axis[axis] = of_axis.get(axis, 0) + step * by
        found.append(of_axis)
    return found


def variant_elements(group: int, trajectories: int, variants: int, seed: int) -> npt.NDArray[np.int64]:
    """Element of a group of `group` elements for each variant of each trajectory, ``(variants, trajectories)``.

    Variant 0 is the identity; the others are drawn without replacement as long as the group has enough elements.
    """
    generator = np.random.default_rng(seed)
    chosen = np.zeros((variants, trajectories), dtype=np.int64)
    if group > 1:
        order = generator.permuted(np.tile(np.arange(1, group), (trajectories, 1)), axis=1)
        chosen[1:] = order[:, np.arange(variants - 1) % (group - 1)].T
    return chosen


def _validate(data: FieldData, symmetries: Symmetries) -> None:
    """Raise unless the data set has these symmetries."""
    named = (*symmetries.reflect, *symmetries.roll, *symmetries.roll_together)
    if data.scattered and named:
        raise SparseVQError(
            f"stage1.symmetries: the points of {data.name} are not a grid, which no mirror or shift maps onto itself",
            "leave out stage1.symmetries",
        )
    for axis in named:
        if axis not in data.axes:
            raise SparseVQError(
                f"stage1.symmetries: {data.name} has no axis {axis!r}", f"choose among {', '.join(data.axes)}"
            )
    for axis in symmetries.reflect:
        _validate_mirror(data, axis)
    shifted = [("roll", axis) for axis in symmetries.roll]
    for key, axis in (*shifted, *(("roll_together", axis) for axis in symmetries.roll_together)):
        if axis not in data.periodic:
            raise SparseVQError(
                f"stage1.symmetries.{key}: axis {axis!r} of {data.name} is not periodic",
                f"periodic are: {', '.join(data.periodic) or 'none'}",
            )


def _validate_mirror(data: FieldData, axis: str) -> None:
    where, at, unit = "stage1.symmetries.reflect", data.axes[axis], data.axis_units.get(axis)
    spacing = np.diff(at)
    if not np.allclose(spacing, spacing[0]):
        raise SparseVQError(f"{where}: axis {axis!r} of {data.name} is not evenly spaced")
    if unit in LONGITUDE_UNITS:
        raise SparseVQError(
            f"{where}: mirrored along {axis!r} the sphere rotates the other way",
            "rotate the flow about the axis instead (roll), or mirror it across the equator",
        )
    if unit in LATITUDE_UNITS and not np.isclose(at[0], -at[-1]):
        raise SparseVQError(
            f"{where}: latitudes {at[0]:g} ... {at[-1]:g} are not the same on both sides of the equator, across which "
            "alone a flow on a sphere can be mirrored",
            f"leave out {axis}",
        )
    if "vorticity" in data.channels and len(data.axes) != 2:
        raise SparseVQError(f"{where}: vorticity is a pseudo-scalar in two dimensions only")


def _sign(channel: str, vector: dict[str, str], mirrored: Collection[str]) -> float:
    if channel == "vorticity":  # a pseudo-scalar: each mirror changes its sign
        return (-1.0) ** len(mirrored)
    return -1.0 if vector.get(channel) in mirrored else 1.0
