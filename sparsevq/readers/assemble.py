"""The arrays of one file as a source: which are channels, the roles of their dimensions, and a reader of frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.clock import Timed, timed
from sparsevq.readers.conventions import CHANNEL, ROLES, TIME, TRAJECTORY, is_time, role_by_name
from sparsevq.readers.slabs import Slabs, SlabStore
from sparsevq.readers.space import Dimension, Space, space_of
from sparsevq.readers.stored import Contents, StoredArray, check_bounds, listing, print_once, reading
from sparsevq.readers.times import frame_times
from sparsevq.runtime.hdf5 import Array

AT_ONCE = 2**26
"""Bytes of frames that are read from a file at a time."""
FEW = 4
"""A last dimension up to this size looks like one of channels."""


@dataclass(frozen=True)
class Field:
    """An array with the roles of its dimensions: trajectory, time, channel, point, or an axis."""

    array: StoredArray
    roles: tuple[str, ...]

    def size(self, role: str) -> int:
        """Size along a dimension; 1 where there is none."""
        return self.array.shape[self.roles.index(role)] if role in self.roles else 1

    def stored(self, role: str) -> str:
        """The file's name of a dimension."""
        return self.array.dimensions[self.roles.index(role)] if self.array.dimensions else ""

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Those along which the points are."""
        return tuple(
            Dimension(name=role, stored=self.stored(role), size=self.size(role))
            for role in self.roles
            if role not in (TRAJECTORY, TIME, CHANNEL)
        )


def assemble(contents: Contents, settings: FileConfig, store: SlabStore, told: set[str]) -> Timed:
    """A file as a source.

    Parameters
    ----------
    contents
        The file.
    settings
        The user's settings for it.
    store
        Cache of frames that were decompressed together.
    told
        Messages that were printed already, so that each is printed once for many files.

    Raises
    ------
    SparseVQError
        The arrays are not fields on one set of points, or are suspiciously large.
    """
    fields = [Field(array, _roles(contents, array, settings)) for array in _chosen(contents, settings)]
    _one_layout(contents, fields)
    for field in fields:
        check_bounds(contents.path, field.array)
    first = fields[0]
    space = space_of(contents, first.dimensions, settings)
    channels = _channels(contents, fields, settings)
    units = tuple(
        settings.units.get(name, field.array.units)
        for field, names in zip(fields, channels, strict=True)
        for name in names
    )
    along = first.stored(TIME) if TIME in first.roles else None
    times, clock = frame_times(contents, along, first.size(TIME), settings, told)
    for message in space.messages:
        print_once(message, told)
    readers = [_Reader(contents, field, first, space, settings.missing, store, len(fields)) for field in fields]
    for reader in readers:
        reader.note_chunks(told)

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        if len(readers) == 1:
            return readers[0].read(trajectory, start, stop)
        parts = (reader.read(trajectory, start, stop) for reader in readers)
        out = np.empty((stop - start, *space.grid, len(units)), np.float32)
        at = 0
        for part in parts:
            out[..., at : at + part.shape[-1]] = part
            at += part.shape[-1]
        return out

    parameters, parameter_units = _parameters(contents, first)
    source = Source(
        label=str(contents.path),
        trajectories=first.size(TRAJECTORY),
        read=read,
        axes=space.axes,
        axis_units=space.units,
        time=times,
        time_units=clock.units,
        channels=tuple(name for names in channels for name in names),
        units=units,
        files=(contents.path,),
        parameters=parameters,
        parameter_units=parameter_units,
        periodic=space.periodic,
        provenance=contents.provenance,
        scattered=space.scattered,
        point_weights=space.weights,
    )
    return timed(source, clock)


# ------------------------------------------------------------------------------------------------ which arrays


def _chosen(contents: Contents, settings: FileConfig) -> list[StoredArray]:
    """The arrays that hold channels: those that are named, or all that lie on one grid."""
    if settings.arrays:
        arrays = [contents.array(name, "arrays") for name in settings.arrays]
        for array in arrays:
            if not array.is_number:
                raise SparseVQError(f"{contents.path}: {array.name} is not of real numbers ({array.dtype})", "leave it")
        return arrays
    candidates = [contents.arrays[name] for name in contents.fields]
    if settings.dimensions:
        candidates = [array for array in candidates if len(array.shape) == len(settings.dimensions)]
    elif all(array.dimensions for array in candidates):
        candidates = [array for array in candidates if _looks_like_a_field(contents, array, settings)]
    else:
        candidates = [array for array in candidates if len(array.shape) > 1] or candidates
    if not candidates:
        unreadable = (
            "; not read: " + ", ".join(f"{name} ({why})" for name, why in contents.unreadable.items())
            if contents.unreadable
            else ""
        )
        raise SparseVQError(
            f"{contents.path}: no array has time and space in its dimensions: it holds "
            f"{listing(contents.arrays.values())}{unreadable}",
            "name the arrays by `arrays`, and what their dimensions are by `dimensions`",
        )
    kinds = {(array.dimensions, array.shape) for array in candidates}
    if len(kinds) > 1:
        raise SparseVQError(
            f"{contents.path}: its arrays lie on several grids: {listing(candidates)}",
            f"name those to use, for instance `arrays: [{candidates[0].name}]`",
        )
    return candidates


def _looks_like_a_field(contents: Contents, array: StoredArray, settings: FileConfig) -> bool:
    """Whether an array, by the names of its dimensions, has time (unless each file is a frame) and space."""
    roles = [_role(contents, name) for name in array.dimensions]
    spatial = any(
        role not in (TRAJECTORY, TIME, CHANNEL) and size > 1 for role, size in zip(roles, array.shape, strict=True)
    )
    return spatial and (TIME in roles or settings.join == "time")


def _roles(contents: Contents, array: StoredArray, settings: FileConfig) -> tuple[str, ...]:
    """The roles of an array's dimensions."""
    if settings.dimensions:
        if len(settings.dimensions) != len(array.shape):
            raise SparseVQError(
                f"{contents.path}: {array.name} has {len(array.shape)} dimensions {array.shape}, but `dimensions` "
                f"names {len(settings.dimensions)}: {', '.join(settings.dimensions)}",
                "name each, in the array's order",
            )
        return settings.dimensions
    if not array.dimensions:
        raise SparseVQError(
            f"{contents.path}: the dimensions of its arrays have no names; it holds "
            f"{listing(contents.arrays.values())}",
            f"write for instance `arrays: [{array.name}]` and `dimensions: [{', '.join(_guess(array))}]`",
        )
    roles = tuple(_role(contents, name) for name in array.dimensions)
    twice = [role for role in roles if roles.count(role) > 1]
    if twice:
        raise SparseVQError(
            f"{contents.path}: two dimensions of {array.name} look like {twice[0]}: {', '.join(array.dimensions)}",
            "name each by `dimensions`",
        )
    return roles


def _role(contents: Contents, name: str) -> str:
    """The role of a dimension: by its coordinate, or by its name."""
    coordinate = contents.arrays.get(name)
    if coordinate is not None and coordinate.dimensions == (name,) and is_time(coordinate.attributes, coordinate.units):
        return TIME
    along = [array for array in contents.arrays.values() if array.dimensions == (name,)]
    if any(is_time({**array.attributes, "axis": ""}, array.units) for array in along) and coordinate is None:
        return TIME  # a time without the name of its dimension
    return role_by_name(name.rsplit("/", 1)[-1]) or name.rsplit("/", 1)[-1]


def _guess(array: StoredArray) -> list[str]:
    """A suggestion for `dimensions`."""
    count = len(array.shape)
    last = [CHANNEL] if count > 3 and array.shape[-1] <= FEW else []
    space = min(max(count - len(last) - 1, 1), 3 if count - len(last) < 4 else 2 if not last or count < 6 else 3)
    lead = count - len(last) - space
    return [*([TRAJECTORY, TIME] if lead > 1 else [TIME])[:lead], *["z", "y", "x"][-space:], *last]


def _one_layout(contents: Contents, fields: Sequence[Field]) -> None:
    """Check that arrays have the same trajectories, times and points, and the dimensions that fields need."""
    first = fields[0]
    for field in fields:
        for role in (*first.roles, *field.roles):
            if role != CHANNEL and (
                (role in first.roles) != (role in field.roles) or first.size(role) != field.size(role)
            ):
                raise SparseVQError(
                    f"{contents.path}: the arrays lie on different grids: {listing([first.array, field.array])}",
                    "name only arrays on one grid by `arrays`",
                )
    twice = [role for role in first.roles if first.roles.count(role) > 1]
    if twice:
        raise SparseVQError(f"dimensions: {twice[0]} is named more than once", "name each differently")
    if not first.dimensions:
        raise SparseVQError(
            f"{contents.path}: {listing([first.array])} has no dimension in space",
            f"name its dimensions by `dimensions`: {', '.join(ROLES)}, or an axis",
        )
    empty = [field.array for field in fields if 0 in field.array.shape]
    if empty:
        raise SparseVQError(f"{contents.path}: {listing(empty)} is empty", "check how it was written")


def _channels(contents: Contents, fields: Sequence[Field], settings: FileConfig) -> list[tuple[str, ...]]:
    """Names of the channels of each array."""
    short = [field.array.name.rsplit("/", 1)[-1] for field in fields]
    if len(set(short)) < len(short):
        short = [field.array.name.replace("/", "_") for field in fields]
    names: list[tuple[str, ...]] = []
    for field, name in zip(fields, short, strict=True):
        size = field.size(CHANNEL)
        labels = contents.arrays.get(field.stored(CHANNEL)) if CHANNEL in field.roles else None
        if CHANNEL not in field.roles:
            names.append((name,))
        elif labels is not None and labels.dtype.kind in "UST" and labels.shape == (size,):
            names.append(tuple(str(label) for label in labels.read((slice(0, size),))))
        else:
            names.append(tuple(f"{name}_{index}" for index in range(size)))
    flat = [name for some in names for name in some]
    twice = [name for name in flat if flat.count(name) > 1]
    if twice:
        raise SparseVQError(f"{contents.path}: two channels are called {twice[0]}", "name other `arrays`")
    own = set(flat)
    if (settings.arrays or len(fields) == 1) and len(settings.channels) == len(flat) and set(settings.channels) != own:
        given = iter(settings.channels)  # names for channels that have none in the file
        names = [tuple(next(given) for _ in some) for some in names]
    return names


# ------------------------------------------------------------------------------------------------ parameters


def _parameters(contents: Contents, field: Field) -> tuple[dict[str, Array], dict[str, str]]:
    """Parameters of each trajectory: arrays along that dimension only."""
    parameters, units = {}, {}
    dimension = field.stored(TRAJECTORY) if TRAJECTORY in field.roles else ""
    for array in contents.arrays.values():
        if dimension and array.dimensions == (dimension,) and array.name != dimension:
            values = array.read((slice(0, array.shape[0]),))
            parameters[array.name] = values.astype(np.float64) if array.is_number else values.astype(str)
            units[array.name] = array.units
    return parameters, units


# ------------------------------------------------------------------------------------------------ frames


class _Reader:
    """Frames of one array, on the points of its space."""

    def __init__(
        self,
        contents: Contents,
        field: Field,
        first: Field,
        space: Space,
        missing: Sequence[float],
        store: SlabStore,
        arrays: int,
    ):
        self.path, self.field, self.space, self.missing = contents.path, field, space, missing
        order = [TRAJECTORY, TIME, *(dimension.name for dimension in first.dimensions), CHANNEL]
        self.order = [field.roles.index(role) for role in order if role in field.roles]
        self.absent = [index for index, role in enumerate(order) if role not in field.roles]
        frame_bytes = 4 * field.size(CHANNEL) * int(np.prod(space.sizes))
        chunks = dict(zip(field.roles, field.array.chunks or (), strict=False))
        chunk = (chunks.get(TRAJECTORY, 1), chunks.get(TIME, 1))
        shape = (field.size(TRAJECTORY), field.size(TIME))
        self.piece = max(1, AT_ONCE // (frame_bytes // 4 * field.array.dtype.itemsize))
        self.slabs = Slabs(self._load, shape, chunk, frame_bytes, store, arrays)
        self.chunk = chunk

    def note_chunks(self, told: set[str]) -> None:
        """Print a note if chunks are decompressed several times."""
        if self.slabs.times_read > 1:
            print_once(
                f"{self.field.array.name}: chunks of {self.chunk[0]} trajectories x {self.chunk[1]} frames are "
                f"decompressed {self.slabs.times_read} times each; chunks of fewer frames would be read faster",
                told,
            )

    def read(self, trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        """``(f, *grid, C)``."""
        return self.slabs.read(trajectory, start, stop)

    def _load(self, first: int, last: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        """``(t, f, *grid, C)``, straight from the file, in pieces that end where chunks do."""
        out = np.empty((last - first, stop - start, *self.space.grid, self.field.size(CHANNEL)), np.float32)
        frames, together = min(self.chunk[1], max(self.slabs.slab[1], 1)), min(self.chunk[0], last - first)
        step = max(self.piece // together // frames, 1) * frames
        edges = [start, *range((start // step + 1) * step, stop, step), stop]
        for low, high in pairwise(edges):
            for row in range(first, last, together):
                end = min(row + together, last)
                out[row - first : end - first, low - start : high - start] = self._piece(row, end, low, high)
        return out

    def _piece(self, first: int, last: int, start: int, stop: int) -> Array:
        wanted = {TRAJECTORY: slice(first, last), TIME: slice(start, stop)}
        part = tuple(
            wanted.get(role, slice(0, size))
            for role, size in zip(self.field.roles, self.field.array.shape, strict=True)
        )
        with reading(self.path, "data"):
            values = self.field.array.read(part)
        if self.missing:
            absent = np.zeros(values.shape, dtype=bool)
            for value in self.missing:
                absent |= values == (values.dtype.type(value) if values.dtype.kind == "f" else value)
            values = np.where(absent, np.float32(np.nan), values.astype(np.float32))
        values = np.expand_dims(values.transpose(self.order), tuple(self.absent))
        return self.space.arranged(values)
