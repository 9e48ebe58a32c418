"""Sensors at random, as likely as the area that a point stands for; and on a regular lattice."""

import itertools
import math

import numpy as np

from sparsevq.data.field_data import FieldData, grid_points
from sparsevq.sensors.placements.sites import Indices, Region, Sites


def drawn(data: FieldData, sites: Sites, count: int, rng: np.random.Generator) -> Indices:
    """`count` of the points at random, the more likely the larger the area that they stand for.

    The first of one random order, so that with the same seed a smaller set is part of a larger one (Efraimidis &
    Spirakis 2006: weighted sampling without replacement by exponential keys). On a sphere sensors are uniform over its
    area rather than over the grid, whose points are denser at the poles. Those too near to one before are left out.

    Raises
    ------
    SparseVQError
        So many do not fit as far apart as they must be.
    """
    keys = rng.exponential(size=len(sites.points)) / data.weights[sites.points]
    order = np.argsort(keys, kind="stable")
    order = order[sites.free[order]]
    if not sites.min_distance:
        return sites.points[order[:count]]
    chosen: list[int] = []
    while len(chosen) < count:
        sites.require_free(len(chosen), count)
        chosen.append(int(sites.points[order[sites.free[order].argmax()]]))  # the first that is free
        sites.take(chosen[-1])
    return np.array(chosen, dtype=np.int64)


def regular(data: FieldData, candidates: Indices, num_sensors: int, region: Region | None = None) -> Indices:
    """The candidates nearest to the nodes of the coarsest regular lattice that gives enough, evenly thinned.

    The lattice fills the domain, or the part of it that is in the `region`.
    """
    places = data.scaled_coordinates[candidates]  # (candidates, d)
    box = np.tile([[-1.0], [1.0]], len(data.axes))  # where the lattice begins and ends, scaled as the places are
    if region is not None:
        box = data.scaled(np.array(region, dtype=np.float64).T).astype(np.float64).clip(-1, 1)
    share = np.ptp(box, axis=0) / 2  # of the domain
    lengths = [float(np.ptp(values)) * float(part) for values, part in zip(data.axes.values(), share, strict=True)]
    most = tuple(max(round(size * float(part)), 1) for size, part in zip(data.resolution, share, strict=True))
    # Nodes inside an obstacle move to its edge, where two may coincide: a finer lattice compensates for that.
    for wanted in range(num_sensors, 4 * num_sensors + 1):
        counts = _lattice(lengths, most, wanted)
        if counts is None:
            break
        # Nodes are the centres of equal cells: none is on the boundary.
        nodes = grid_points(tuple((np.arange(count) + 0.5) / count for count in counts)) * np.ptp(box, axis=0) + box[0]
        nearest = np.unique([np.linalg.norm(places - node, axis=1).argmin() for node in nodes])
        if len(nearest) >= num_sensors:
            return candidates[nearest[_evenly(len(nearest), num_sensors)]]
    return candidates[_evenly(len(candidates), num_sensors)]


def _lattice(lengths: list[float], most: tuple[int, ...], wanted: int) -> tuple[int, ...] | None:
    """Nodes along each axis: nearly equal spacing, at least `wanted` in all and as few more as possible."""
    long = [length for length in lengths if length]
    spacing = (math.prod(long) / wanted) ** (1 / max(len(long), 1))
    options = itertools.product(
        *(
            sorted({min(max(math.floor(length / spacing) + extra, 1), size) for extra in (0, 1)}) if length else [1]
            for length, size in zip(lengths, most, strict=True)
        )
    )
    return min((counts for counts in options if math.prod(counts) >= wanted), key=math.prod, default=None)


def _evenly(available: int, wanted: int) -> Indices:
    """`wanted` different numbers below `available`, evenly spaced."""
    return np.linspace(0, available - 1, wanted).round().astype(np.int64)
