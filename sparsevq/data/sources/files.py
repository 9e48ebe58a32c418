"""Files of the user's own as a source: which files, how they are written, what they are to each other."""

import glob
from pathlib import Path

from sparsevq.config import FileConfig
from sparsevq.data.sources.source import Source
from sparsevq.errors import SparseVQError


def matching_files(settings: FileConfig) -> tuple[Path, ...]:
    """The files (or folders, for formats that are folders) that the configuration names, in order of their names.

    Raises
    ------
    SparseVQError
        A name or pattern matches nothing.
    """
    named = (settings.path,) if isinstance(settings.path, str) else settings.path
    found: list[Path] = []
    for pattern in named:
        matches = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern))
        if not matches:
            raise SparseVQError(f"path: {pattern} matches no file", "check the path; it is relative to where you are")
        found += map(Path, matches)
    return tuple(found)


def open_files(settings: FileConfig, label: str) -> Source:
    """The files that the configuration names, as one source of the data set `label`."""
    raise NotImplementedError
