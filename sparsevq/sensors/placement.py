"""Placement of the sensors: the sparse set (the user's sensors), nested in the semi-sparse set of the teacher."""

import csv
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis
from sparsevq.config import SensorsConfig
from sparsevq.data.field_data import FieldData
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
from sparsevq.sensors.placements.drawn import drawn, regular
from sparsevq.sensors.placements.qr import pivots
from sparsevq.sensors.placements.sites import Flags, Indices, Sites, in_region
from sparsevq.sensors.placements.variance import ExpectedError, ExpectedGain, greedy
from sparsevq.sensors.places import read_places

SCHEMA = "sparsevq-sensors"
VERSION = 1


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
    data: FieldData,
    settings: SensorsConfig,
    num_sensors: int,
    seed: int,
    basis: Basis | None = None,
    noise: float = 0.0,
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
        The data set's basis, for ``qr`` and ``variance``.
    noise
        For ``variance``: standard deviation of the readings' errors, in units of the anomalies'.

    Raises
    ------
    SparseVQError
        There are fewer points than sensors, or fewer so far apart; the placement needs a basis and has none; `region`
        or `channels` do not fit the data; or `csv` is faulty (with the line).
    """
    candidates = free_points(data)
    further = settings.num_semi_sparse
    shown = f"{num_sensors} sparse + {further}" if further else f"{num_sensors}"
    _enough(candidates, num_sensors + further, shown)
    rng = np.random.default_rng(seed)
    usual = _read_channels(data, settings.channels)
    sparse, reads = _placed(data, settings, num_sensors, candidates, usual, rng, basis, noise)
    others = np.setdiff1d(candidates, sparse)
    semi_sparse = np.concatenate([sparse, drawn(data, Sites(data, others), further, rng)]).astype(np.int64)
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


def _placed(
    data: FieldData,
    settings: SensorsConfig,
    num_sensors: int,
    candidates: Indices,
    usual: Flags,
    rng: np.random.Generator,
    basis: Basis | None,
    noise: float,
) -> tuple[Indices, Flags]:
    """Points (n_s,) of the sparse set, and the channels (n_s, C) that its sensors read."""
    if settings.region is not None:
        candidates = in_region(data, candidates, settings.region)
        _enough(candidates, num_sensors, f"{num_sensors}", " in the region")
    sites, reads = Sites(data, candidates, settings.min_distance), np.tile(usual, (num_sensors, 1))
    if settings.needs_basis and basis is None:
        raise SparseVQError(
            f"sensors.placement={settings.placement} needs the modes of the data set's basis", "give its basis.h5"
        )
    match settings.placement:
        case "random" | "region":
            return drawn(data, sites, num_sensors, rng), reads
        case "qr":
            assert basis is not None
            return pivots(basis, sites, num_sensors, usual), reads
        case "variance":
            assert basis is not None
            each = np.tile(usual, (len(candidates), 1))
            error = ExpectedError(basis, np.full(len(usual), noise))
            return greedy(ExpectedGain(error, candidates, each), sites, each, num_sensors)[0], reads
        case "grid":
            sparse = regular(data, candidates, num_sensors, settings.region)
        case "csv":
            assert settings.csv is not None, "the configuration checks this"
            sparse, reads = read_places(settings.csv, data, free_points(data), num_sensors, usual)
            if len(outside := np.flatnonzero(~np.isin(sparse, candidates))):
                raise SparseVQError(
                    f"{settings.csv}: sensor {outside[0]} is outside sensors.region", "move it, or widen the region"
                )
    sites.require_apart(sparse, f"sensors.placement={settings.placement} with {num_sensors} sensors")
    return sparse, reads


def free_points(data: FieldData) -> Indices:
    """The points that are valid in every trajectory, of every split: where sensors may stand."""
    return np.flatnonzero(data.flat_mask.all(axis=0))


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


def _enough(candidates: npt.NDArray[Any], wanted: int, shown: str, where: str = "") -> None:
    if wanted > len(candidates):
        raise SparseVQError(
            f"{shown} sensors do not fit: only {len(candidates)} grid points{where} are free of obstacles in every "
            "trajectory",
            "lower num_sensors or sensors.num_semi_sparse" if not where else "lower num_sensors or widen the region",
        )
