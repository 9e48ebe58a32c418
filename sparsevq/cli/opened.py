"""Files as `sparsevq data` opens them: any format, a single shard too; and all their faults."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sparsevq.cli.survey import Progress, Survey, survey
from sparsevq.config import FileConfig
from sparsevq.data import layout
from sparsevq.data.marks import undeclared
from sparsevq.data.source import Source, with_channels
from sparsevq.data.validation import file_faults
from sparsevq.errors import SparseVQError
from sparsevq.readers.data_set import as_source
from sparsevq.readers.files import open_contents, open_files
from sparsevq.readers.finding.formats import format_of, schema_of
from sparsevq.readers.finding.matching import matching_files
from sparsevq.readers.opening.stored import Contents
from sparsevq.simulators import shards
from sparsevq.simulators.shards import read_shard

__all__ = ["contents_of", "faults_of", "kind_of", "matching_files", "open_source"]


def kind_of(settings: FileConfig) -> str:
    """Format of the files, in words.

    Raises
    ------
    SparseVQError
        There is no such file, it is of no known format, or one of the project's own that holds no fields.
    """
    path = matching_files(settings)[0]
    schema = _schema(path)
    if schema:
        return f"{schema}, version {layout.VERSION}"
    kind = format_of(path, settings)
    return f"release, for the loader {settings.release}" if settings.release else kind


def open_source(settings: FileConfig, name: str) -> Source:
    """The files as a source; one shard of a simulation is enough.

    Raises
    ------
    SparseVQError
        As `open_files`.
    """
    paths = matching_files(settings)
    kind_of(settings)
    if len(paths) == 1 and _schema(paths[0]) == shards.SCHEMA:
        numbers = read_shard(paths[0], "none").trajectory
        if not np.array_equal(np.sort(numbers), np.arange(len(numbers))):
            return with_channels(_one_shard(paths[0]), settings.channels)
    return with_channels(open_files(settings, name), settings.channels)


def contents_of(settings: FileConfig) -> Contents | None:
    """What is in the first of the files; None if it is of a format that has no arrays to choose from."""
    try:
        return open_contents(matching_files(settings)[0], settings)
    except SparseVQError:
        return None


def faults_of(settings: FileConfig, name: str) -> tuple[list[str], str]:
    """All faults of the files, one line each; and what was checked.

    Raises
    ------
    SparseVQError
        There is no such file, or it is of no known kind.
    """
    paths = matching_files(settings)
    kind = kind_of(settings)
    if all(_schema(path) == layout.SCHEMA for path in paths):
        return [line for path in paths for line in _faults_of_data_set(path)], kind
    try:
        source = open_source(settings, name)
    except SparseVQError as error:
        return [str(error)], kind
    found = survey(source, collect=True, not_missing=settings.not_missing)
    marks = undeclared(found.marks, source.label, settings.missing)
    looked = f"{kind}: trajectories {source.trajectories}, frames {found.frames}, channels {len(source.channels)}"
    return [*found.faults, *([str(marks)] if marks else []), *_faults_of_values(source, found)], looked


def _faults_of_data_set(path: Path) -> list[str]:
    try:
        return file_faults(path, Progress())
    except SparseVQError as error:
        return [str(error)]


def _faults_of_values(source: Source, found: Survey) -> list[str]:
    lines = []

    def fault(what: str, do: str) -> None:
        lines.append(str(SparseVQError(f"{source.label}: {what}", do)))

    for index, channel in enumerate(source.channels):
        blank = np.flatnonzero(found.blank[:, index])
        if len(blank):
            more = f" and {len(blank) - 1} more" if len(blank) > 1 else ""
            fault(f"channel {channel} of trajectory {blank[0]}{more} has no value", "leave out the one or the other")
        if found.infinite[index]:
            fault(f"channel {channel} has {found.infinite[index]} infinite values", "fix them, or name them `missing`")
        if found.minimum[index] == found.maximum[index]:
            fault(f"channel {channel} is constant ({found.minimum[index]:g})", "leave it out by `channels`")
    for trajectory in np.flatnonzero(found.empty_frames).tolist():
        count, frames = found.empty_frames[trajectory], len(source.time)
        if count < frames:  # else its channels are faults already
            fault(f"{count} of {frames} frames of trajectory {trajectory} have no value", "leave them out by `window`")
    for trajectory in np.flatnonzero(found.masked + found.gaps == 1).tolist():
        if found.gaps[trajectory] and not found.empty_frames[trajectory]:
            fault(f"no point of trajectory {trajectory} has values in every frame and channel", "fill the gaps")
    return lines


def _schema(path: Path) -> str:
    """The project's own layout that a file has, if any: data set or shard.

    Raises
    ------
    SparseVQError
        It is of another of the project's layouts.
    """
    schema = schema_of(path)
    if schema.startswith("sparsevq-") and schema not in (layout.SCHEMA, shards.SCHEMA):
        raise SparseVQError(
            f"{path} is a {schema} file", f"give a {layout.SCHEMA} or {shards.SCHEMA} file, or data of your own"
        )
    return schema if schema in (layout.SCHEMA, shards.SCHEMA) else ""


def _one_shard(path: Path) -> Source:
    """A shard on its own, its trajectories counted from 0; their true numbers become a parameter."""
    shard = read_shard(path)
    parameters = {"number": shard.trajectory.astype(np.float64), **shard.parameters}
    return as_source(replace(shard, parameters=parameters), path)
