"""Placement of the sensors: the sparse set (the user's sensors), nested in the semi-sparse set of the teacher."""

import csv
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis
from sparsevq.config import SensorsConfig
from sparsevq.data.field_data import FieldData, grid_points
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest, written_whole
from sparsevq.runtime.hdf5 import (
    created,
    open_layout,
    read_attribute,
    read_dataset,
    read_made_from,
    read_strings,
    stamp,
)
from sparsevq.sensors.places import read_places

SCHEMA = "sparsevq-sensors"
VERSION = 1

ROUNDING = 1e-6
"""Share of the largest variance of a point below which nothing is left but the rounding of float32."""

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SensorSets:
    """The two nested sets of sensors.

    Attributes
    ----------
    sparse
        ``(n_s,)`` flat indices into the grid, C order.
    semi_sparse
        ``(n_ss,)`` the same; its first ``n_s`` are `sparse`.
    coordinates
        ``(n_ss, d)`` in the axes' units, in the order of `semi_sparse`.
    placement
        Name of the placement.
    seed
        Of the draws.
    axes
        Names of the columns of `coordinates`.
    channels
        ``(n_ss, C)`` which channels each sensor reads; those beyond the sparse set, the teacher's, read all.
    channel_names
        Names of the columns of `channels`.
    digest
        SHA-256 of the file that this was read from; empty if it was not read.
    made_from
        Name -> SHA-256 of what that file was made from.
    """

    sparse: Indices
    semi_sparse: Indices
    coordinates: npt.NDArray[np.float64]
    placement: str
    seed: int
    axes: tuple[str, ...]
    channels: Flags
    channel_names: tuple[str, ...]
    digest: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)

    def within(self, others: Indices, places: npt.NDArray[np.float64]) -> "SensorSets":
        """The same sparse set, nested in another set, which has `places` in its order."""
        further = ~np.isin(others, self.sparse)
        coordinates = [self.coordinates[: len(self.sparse)], places[: len(others)][further]]
        semi_sparse = np.concatenate([self.sparse, others[further]])
        return replace(
            self,
            semi_sparse=semi_sparse,
            coordinates=np.concatenate(coordinates),
            channels=_others_read_all(self.channels[: len(self.sparse)], int(further.sum())),
        )


def place_sensors(
    data: FieldData, settings: SensorsConfig, num_sensors: int, seed: int, basis: Basis | None = None
) -> SensorSets:
    """Choose sensors among the points that are valid in every trajectory, of every split.

    The semi-sparse set has `settings.num_semi_sparse` further points, drawn at random among the others.

    Parameters
    ----------
    data
        The data set; its fields are not used.
    settings
        The placement and its parameters.
    num_sensors
        Sensors of the sparse set.
    seed
        Seed of all draws.
    basis
        The data set's basis, for ``qr``.

    Raises
    ------
    SparseVQError
        There are fewer points than sensors; ``qr`` has no basis; `region` or `channels` do not fit the data; or `csv`
        is faulty (with the line).
    """
    candidates = np.flatnonzero(data.flat_mask.all(axis=0))
    further = settings.num_semi_sparse
    shown = f"{num_sensors} sparse + {further}" if further else f"{num_sensors}"
    _enough(candidates, num_sensors + further, shown)
    rng = np.random.default_rng(seed)
    usual = _read_channels(data, settings.channels)
    reads = np.tile(usual, (num_sensors, 1))
    match settings.placement:
        case "random":
            sparse = _drawn(data, candidates, num_sensors, rng)
        case "qr":
            if basis is None:
                raise SparseVQError("sensors.placement=qr needs the modes of the data set's basis", "give its basis.h5")
            sparse = _qr(basis, candidates, num_sensors, usual)
        case "grid":
            sparse = _regular(data, candidates, num_sensors)
        case "region":
            assert settings.region is not None, "the configuration checks this"
            inside = _in_region(data, candidates, settings.region)
            _enough(inside, num_sensors, f"{num_sensors}", " in the region")
            sparse = _drawn(data, inside, num_sensors, rng)
        case "csv":
            assert settings.csv is not None, "the configuration checks this"
            sparse, reads = read_places(settings.csv, data, candidates, num_sensors, usual)
    others = np.setdiff1d(candidates, sparse)
    semi_sparse = np.concatenate([sparse, _drawn(data, others, further, rng)]).astype(np.int64)
    return SensorSets(
        sparse=semi_sparse[:num_sensors],
        semi_sparse=semi_sparse,
        coordinates=data.physical_coordinates[semi_sparse],
        placement=settings.placement,
        seed=seed,
        axes=tuple(data.axes),
        channels=_others_read_all(reads, further),
        channel_names=data.channels,
    )


def write_sensors(path: str | Path, sets: SensorSets, made_from: Mapping[str, Path] | None = None) -> None:
    """Write the sensors to `path` (HDF5), and to a CSV file of the same name beside it.

    The CSV has the columns ``sensor, <axes...>, set``; `sensor` is the number that `sparsevq.sensors.readings` expects.
    If some sensors do not read all channels, a column ``channels`` names those that each reads.
    """
    path = Path(path)
    partial = not sets.channels.all()
    with written_whole(path.with_suffix(".csv")) as part, open(part, "w", newline="") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["sensor", *sets.axes, "set", *(["channels"] if partial else [])])
        for sensor, point in enumerate(sets.coordinates.tolist()):
            read = ";".join(itertools.compress(sets.channel_names, sets.channels[sensor]))
            among = "sparse" if sensor < len(sets.sparse) else "semi_sparse"
            rows.writerow([sensor, *point, among, *([read] if partial else [])])
    with created(path) as file:
        stamp(file, SCHEMA, VERSION, made_from or {})
        file.attrs["placement"] = sets.placement
        file.attrs["seed"] = sets.seed
        file.attrs["axes"] = list(sets.axes)
        file["sparse"] = sets.sparse
        file["semi_sparse"] = sets.semi_sparse
        file["coordinates"] = sets.coordinates
        file["channels"] = sets.channels
        file["channels"].attrs["names"] = list(sets.channel_names)


def read_sensors(path: str | Path, channels: tuple[str, ...] = ()) -> SensorSets:
    """Read and check what `write_sensors` wrote.

    To place the sensors of another data set, use their CSV (`sensors.csv` of the configuration): the indices in this
    file are points of one grid.

    Parameters
    ----------
    path
        The file.
    channels
        The data set's. Files of earlier versions do not name them: their sensors read all.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout, or the sparse set is not the start of the semi-sparse one.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        axes = read_strings(file, "axes")
        semi_sparse = read_dataset(file, "semi_sparse", (None,)).astype(np.int64)
        reads = np.ones((len(semi_sparse), len(channels)), bool)
        if "channels" in file:
            channels = read_strings(file["channels"], "names")
            reads = read_dataset(file, "channels", (len(semi_sparse), len(channels))).astype(bool)
        sets = SensorSets(
            sparse=read_dataset(file, "sparse", (None,)).astype(np.int64),
            semi_sparse=semi_sparse,
            coordinates=read_dataset(file, "coordinates", (len(semi_sparse), len(axes))).astype(np.float64),
            placement=str(read_attribute(file, "placement")),
            seed=int(read_attribute(file, "seed")),
            axes=axes,
            channels=reads,
            channel_names=channels,
            digest=digest(path),
            made_from=read_made_from(file),
        )
    if not len(sets.sparse) or not np.array_equal(sets.semi_sparse[: len(sets.sparse)], sets.sparse):
        raise SparseVQError(f"{path}: semi_sparse does not start with sparse", "place the sensors again")
    return sets


def _others_read_all(reads: Flags, further: int) -> Flags:
    """Channels of the sparse set (n_s, C), and of further sensors, which read all: (n_s + further, C)."""
    return np.concatenate([reads, np.ones((further, reads.shape[1]), bool)])


def _read_channels(data: FieldData, channels: tuple[str, ...]) -> Flags:
    """(C,) the channels with these names; without names all."""
    if unknown := [name for name in channels if name not in data.channels]:
        raise SparseVQError(
            f"sensors.channels names {unknown[0]!r}, which {data.name} does not have",
            f"name some of {', '.join(data.channels)}",
        )
    return np.isin(data.channels, channels or data.channels)


# ------------------------------------------------------------------------------------------------ placements


def _drawn(data: FieldData, candidates: Indices, count: int, rng: np.random.Generator) -> Indices:
    """`count` of the candidates at random, the more likely the larger the area that they stand for.

    The first of one random order, so that with the same seed a smaller set is part of a larger one (Efraimidis &
    Spirakis 2006: weighted sampling without replacement by exponential keys). On a sphere sensors are uniform over its
    area rather than over the grid, whose points are denser at the poles.
    """
    keys = rng.exponential(size=len(candidates)) / data.weights[candidates]
    return candidates[np.argsort(keys, kind="stable")[:count]]


def _qr(basis: Basis, candidates: Indices, num_sensors: int, reads: Flags) -> Indices:
    """The first pivots of QR on POD modes (Manohar et al., IEEE Control Systems 38(3), 2018).

    The modes are scaled by their deviations, so that a pivot is the point at which the readings of those before leave
    the most variance; a sensor measures the channels that it reads (C,), so that these columns of a point are
    eliminated together. What the modes leave of a point's variance is its own: where all modes are seen, it decides.
    """
    modes = basis.modes if reads.all() else basis.modes[..., reads]  # (r, N, channels that are read)
    scaled = basis.std.astype(np.float32)
    own_variance = basis.residual[:, reads].sum(axis=1)
    left = (np.einsum("k,knc,knc->n", basis.std**2, modes, modes) + own_variance)[candidates]
    least = ROUNDING * left.max()
    seen = np.zeros((0, len(scaled)), np.float32)  # orthonormal directions among the scaled coefficients
    chosen: list[int] = []
    for _ in range(num_sensors):
        pivot = int(left.argmax())
        chosen.append(pivot)
        own = modes[:, candidates[pivot]].T * scaled  # (channels, r)
        own = own - own @ seen.T @ seen
        _, values, directions = np.linalg.svd(own, full_matrices=False)
        new = directions[values**2 > least]
        seen = np.concatenate([seen, new])
        left -= np.square(np.tensordot(new * scaled, modes, 1)[:, candidates]).sum(axis=(0, 2))
        left[chosen] = -np.inf
    return candidates[chosen]


def _regular(data: FieldData, candidates: Indices, num_sensors: int) -> Indices:
    """The candidates nearest to the nodes of the coarsest regular lattice that gives enough, evenly thinned."""
    places = data.scaled_coordinates[candidates]  # (candidates, d)
    # Nodes inside an obstacle move to its edge, where two may coincide: a finer lattice compensates for that.
    for wanted in range(num_sensors, 4 * num_sensors + 1):
        counts = _lattice([float(np.ptp(values)) for values in data.axes.values()], data.resolution, wanted)
        if counts is None:
            break
        # Nodes are the centres of equal cells: none is on the boundary.
        nodes = grid_points(tuple((np.arange(count) + 0.5) * 2 / count - 1 for count in counts))
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


def _in_region(data: FieldData, candidates: Indices, region: tuple[tuple[float, float], ...]) -> Indices:
    if len(region) != len(data.axes):
        raise SparseVQError(
            f"sensors.region has {len(region)} (low, high) pair(s) but the data has {len(data.axes)} axes",
            f"give one pair for each of {', '.join(data.axes)}",
        )
    low, high = np.array(region, dtype=np.float64).T
    places = data.physical_coordinates[candidates]
    return candidates[((places >= low) & (places <= high)).all(axis=1)]


def _enough(candidates: npt.NDArray[Any], wanted: int, shown: str, where: str = "") -> None:
    if wanted > len(candidates):
        raise SparseVQError(
            f"{shown} sensors do not fit: only {len(candidates)} grid points{where} are free of obstacles in every "
            "trajectory",
            "lower num_sensors or sensors.num_semi_sparse" if not where else "lower num_sensors or widen the region",
        )
