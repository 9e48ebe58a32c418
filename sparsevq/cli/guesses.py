"""What files probably are, where neither they nor the settings say: guesses that are tried, and said."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sparsevq.cli.opened import contents_of, matching_files, open_source
from sparsevq.config import FileConfig
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.dimensions.likely import likely_fields
from sparsevq.readers.opening.stored import Contents


@dataclass(frozen=True)
class Opened:
    """Files as a source, or why they are none yet.

    Attributes
    ----------
    settings
        With which they are read, or could be when more is said.
    source
        None: they cannot be read.
    why
        Why they are not read with the settings that were given; empty: they are.
    notes
        What was guessed, for the user to check; of files that cannot be read, what is wrong with the guess.
    contents
        What is in the first file, where that helps to say what is missing.
    """

    settings: FileConfig
    source: Source | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
    contents: Contents | None = None


def opened(settings: FileConfig, name: str) -> Opened:
    """Open files with what is probably right for what neither they nor the settings say.

    Raises
    ------
    SparseVQError
        They cannot be read, and what is in them does not help to say why.
    """
    try:
        source = open_source(settings, name)
    except SparseVQError as error:
        first = error
    else:
        return _in_time(settings, source, name) or Opened(settings, source)
    contents = contents_of(settings)
    if contents is None:
        raise first
    further: Opened | None = None
    for guess, notes in _guesses(contents, settings):
        try:
            source = open_source(guess, name)
        except SparseVQError as error:
            if str(error) != str(first) and guess.join == settings.join:
                further = Opened(guess, None, str(first), (str(error),), contents)
            continue
        return Opened(guess, source, str(first), notes, contents)
    return further or Opened(settings, None, str(first), contents=contents)


def _in_time(settings: FileConfig, source: Source, name: str) -> Opened | None:
    """Files that follow each other in time, each from another date on: one trajectory; None: they do not."""
    starts = source.parameters.get("start", np.zeros(1))
    several = len(matching_files(settings)) == source.trajectories > 1
    if not several or "join" in settings.model_fields_set or len(np.unique(starts)) < len(starts):
        return None
    together = settings.model_copy(update={"join": "time"})
    try:
        joined = open_source(together, name)
    except SparseVQError:  # they overlap, or there is a gap between them
        return None
    return Opened(together, joined, "", (_follow(source.trajectories),))


def _guesses(contents: Contents, settings: FileConfig) -> Iterator[tuple[FileConfig, tuple[str, ...]]]:
    """Settings to try, and what is to be checked of them."""
    files = len(matching_files(settings))
    joins = ["trajectory"] + ["time"] * (files > 1 and "join" not in settings.model_fields_set)
    likely = likely_settings(contents, settings)
    for join in joins:
        said = (_follow(files),) if join == "time" else ()
        joined = settings.model_copy(update={"join": join}) if join == "time" else settings
        if join == "time":
            yield joined, said
        if likely is not None and likely != settings:
            yield likely.model_copy(update={"join": joined.join}), (*said, _dimensions(contents, likely))


def likely_settings(contents: Contents, settings: FileConfig) -> FileConfig | None:
    """The settings with what is probably right for arrays and dimensions; None: the file holds no fields."""
    found = likely_fields(contents)
    if found is None:
        return None
    arrays, dimensions = found
    likely = {"arrays": settings.arrays or tuple(arrays), "dimensions": settings.dimensions or tuple(dimensions)}
    return settings.model_copy(update=likely)


def _follow(files: int) -> str:
    return f"check this: the {files} files are taken to follow each other in time"


def _dimensions(contents: Contents, likely: FileConfig) -> str:
    first = contents.arrays.get(likely.arrays[0])
    sizes = first.shape if first is not None and len(first.shape) == len(likely.dimensions) else ()
    named = [f"{name} ({size})" for name, size in zip(likely.dimensions, sizes, strict=True)] if sizes else []
    what = ", ".join(named or likely.dimensions)
    return f"check this, which the file does not say: {likely.arrays[0]} has the dimensions {what}"
