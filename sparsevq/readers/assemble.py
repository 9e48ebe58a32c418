"""The arrays of one file as a source."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.chosen import fields_of
from sparsevq.readers.conventions import CHANNEL, TIME, TRAJECTORY
from sparsevq.readers.dates.clock import Timed, timed
from sparsevq.readers.dates.forecasts import is_dated, own_times, started
from sparsevq.readers.dates.of_frames import frame_times
from sparsevq.readers.dimensions.meaning import base_of, shown
from sparsevq.readers.dimensions.roles import Field
from sparsevq.readers.dimensions.samples import with_samples
from sparsevq.readers.frames import FrameReader
from sparsevq.readers.opening.stored import Contents, check_bounds, print_once
from sparsevq.readers.points.coordinates import names_of
from sparsevq.readers.points.space import space_of
from sparsevq.readers.slabs import SlabStore
from sparsevq.runtime.hdf5 import Array

LISTS = ("channels", "channel_names", "variables", "variable_names", "components", "fields", "field_names")
"""Attributes that may list the channels of an array."""


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
    contents, settings = with_samples(contents, settings, told)
    fields = fields_of(contents, settings)
    for field in fields:
        check_bounds(contents.path, field.array)
    first = fields[0]
    space = space_of(contents, first.dimensions, settings, first.array, first.others)
    channels = _channels(contents, fields, settings)
    units = tuple(
        settings.units.get(name, field.array.units)
        for field, names in zip(fields, channels, strict=True)
        for name in names
    )
    own = own_times(contents, first, settings, told)
    if own is None:
        along = first.stored(TIME) if TIME in first.roles else None
        times, clock = frame_times(contents, along, first.size(TIME), settings, told)
    else:
        times, clock = own.times, own.clock
    for message in (*(each for field in fields for each in (*field.messages, *field.array.notes)), *space.messages):
        print_once(message, told)
    readers = [
        FrameReader(contents.path, field, first, space, settings.missing, store, len(fields)) for field in fields
    ]
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
        channel_about=_about(fields, channels),
        axis_about=space.about,
    )
    if own is not None:
        return Timed(source, clock, own.starts)
    return started(contents, first, source, clock, told) or timed(source, clock)


def _channels(contents: Contents, fields: Sequence[Field], settings: FileConfig) -> list[tuple[str, ...]]:
    """Names of the channels of each array."""
    short = [field.array.name.rsplit("/", 1)[-1] for field in fields]
    if len(set(short)) < len(short):
        short = [field.array.name.replace("/", "_") for field in fields]
    names: list[tuple[str, ...]] = []
    for field, name in zip(fields, short, strict=True):
        size = field.size(CHANNEL)
        labels = _labels(contents, field) if CHANNEL in field.roles else None
        if CHANNEL not in field.roles:
            names.append((name,))
        elif labels is not None and labels.dtype.kind in "UST":
            names.append(tuple(map(shown, labels)))
        else:
            names.append(tuple(f"{name}_{shown(label)}" for label in (range(size) if labels is None else labels)))
    flat = [name for some in names for name in some]
    twice = [name for name in flat if flat.count(name) > 1]
    if twice:
        raise SparseVQError(f"{contents.path}: two channels are called {twice[0]}", "name other `arrays`")
    own = set(flat)
    if (settings.arrays or len(fields) == 1) and len(settings.channels) == len(flat) and set(settings.channels) != own:
        given = iter(settings.channels)  # names for channels that have none in the file
        names = [tuple(next(given) for _ in some) for some in names]
    return names


def _labels(contents: Contents, field: Field) -> Array | None:
    """What is along the dimension of channels: coordinates, or a list of as many words in the file's attributes."""
    size, stored = field.size(CHANNEL), field.stored(CHANNEL)
    array = contents.arrays.get(stored)
    if array is not None and array.shape == (size,) and (array.is_number or array.dtype.kind in "UST"):
        return np.asarray(array.read((slice(0, size),)))
    group = field.array.name.rpartition("/")[0]
    for attributes in (field.array.attributes, contents.groups.get(group, {}), contents.groups.get("", {})):
        for key in dict.fromkeys((stored, f"{stored}s", *LISTS)):
            words = attributes.get(key) if key else None
            if isinstance(words, list | tuple | np.ndarray) and len(words) == size == len({*map(str, words)}):
                return np.array([shown(word) for word in words])
    return None


def _about(fields: Sequence[Field], channels: Sequence[tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """Channel -> its long and standard name; those of an array of several channels are of none of them alone."""
    about: dict[str, dict[str, str]] = {}
    for field, names in zip(fields, channels, strict=True):
        said = names_of(field.array.attributes)
        for name in names:
            if len(names) == 1:
                about[name] = {key: said[key] for key in ("long_name", "standard_name") if key in said}
            elif "long_name" in said:
                about[name] = {"long_name": f"{said['long_name']}: {name}"}
    return {name: each for name, each in about.items() if each}


def _parameters(contents: Contents, field: Field) -> tuple[dict[str, Array], dict[str, str]]:
    """Parameters of each trajectory: arrays along the dimensions of trajectories only."""
    parameters: dict[str, Array] = {}
    units: dict[str, str] = {}
    names = tuple(name for name, _ in field.leads)
    sizes = tuple(size for _, size in field.leads)
    for array in contents.arrays.values():
        if not array.dimensions or not set(array.dimensions) <= set(names) or is_dated(array):
            continue
        values = array.read(tuple(slice(0, size) for size in array.shape))
        values = values.astype(np.float64) if array.is_number else values.astype(str)
        order = [array.dimensions.index(name) for name in names if name in array.dimensions]
        shape = [size if name in array.dimensions else 1 for name, size in field.leads]
        name = base_of(array.name) if base_of(array.name) not in parameters else array.name
        parameters[name] = np.broadcast_to(values.transpose(order).reshape(shape), sizes).ravel()
        units[name] = array.units
    return parameters, units
