"""Which files the configuration names: names, patterns, folders; in order, each once."""

import contextlib
import glob
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.finding.formats import SUFFIXES, ZARR_MARKS, readable_by_content
from sparsevq.readers.finding.natural import in_order
from sparsevq.readers.opening.foreign import foreign
from sparsevq.readers.opening.stored import reading
from sparsevq.runtime.files import digest

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BESIDE = re.compile(
    r"^\.|~$|\.(tmp|temp|part|partial|crdownload|download|filepart|aria2|bak|backup|old|orig|swp|lock|lck|inprogress|"
    r"aux\.xml|xml|md5|sha1|sha256|sha512|sum|asc|sig|idx|ncx\d*|gbx\d*|url|lnk|webloc)$|^(thumbs\.db|desktop\.ini)$",
    re.IGNORECASE,
)
"""Files beside data: hidden ones (.DS_Store, ._x.nc), unfinished and old ones, checksums, indices of other programs."""
_PROBE = 2**16
"""Bytes at the beginning and the end of files of one size that are compared before their digests are."""


def matching_files(settings: FileConfig) -> tuple[Path, ...]:
    """The files (or folders, for formats that are folders) that the configuration names.

    Names stay in the order in which they are listed; what a pattern or a folder stands for is in the order of the
    numbers in the names (`natural.in_order`). A file that is named twice (also by a link) is there once.

    Raises
    ------
    SparseVQError
        A name or pattern matches nothing, a variable is not set, or a folder holds no file of a known format.
    """
    return matched(settings)[0]


def matched(settings: FileConfig) -> tuple[tuple[Path, ...], list[str]]:
    """The same, and lines to print: what was left out, and why."""
    named = (settings.path,) if isinstance(settings.path, str) else settings.path
    if not named:
        raise SparseVQError("path: the list is empty", "name at least one file")
    notes: list[str] = []
    found = [path for pattern in named for path in _of_pattern(pattern, settings, notes)]
    once: dict[object, Path] = {}
    for path in found:
        first = once.setdefault(_identity(path), path)
        if first is not path:
            twice = "is named twice" if str(first) == str(path) else f"and {first} are one file"
            notes.append(f"{path} {twice}: it is read once")
    return tuple(once.values()), notes


def _of_pattern(pattern: str, settings: FileConfig, notes: list[str]) -> list[Path]:
    """What one name or pattern stands for, in order."""
    wanted = pattern if _there(pattern) else _expanded(pattern)
    if _there(wanted):  # a name, whatever characters it has
        _check_name(wanted)
        path = Path(wanted)
        return [path] if path.is_file() or _is_a_data_set(path, settings.format) else _files_in(path, notes)
    matches = _globbed(wanted, notes)
    if not matches:
        raise SparseVQError(f"path: {pattern} matches no file", _instead(wanted))
    for path in matches:
        _check_name(str(path))
    sets = {path for path in matches if path.is_dir() and _is_a_data_set(path, settings.format)}
    outside = [path for path in matches if not sets.intersection(path.parents)]  # not the chunks of a Zarr store
    files = [path for path in outside if path in sets or path.is_file()]
    data = [path for path in files if not _BESIDE.search(path.name)] or files
    if len(data) < len(files):
        left = sorted(path.name for path in set(files) - set(data))
        notes.append(f"path: {pattern}: {_some(left)} left out (unfinished, old or beside data)")
    folders = [path for path in outside if path not in set(files)]
    if data and folders and "**" not in pattern:
        notes.append(f"path: {pattern}: of the folders {_some(path.name for path in folders)} nothing is read")
    if not data:
        return [file for folder in in_order(outside) for file in _files_in(folder, notes)]
    return in_order(data)


def _expanded(pattern: str) -> str:
    """A pattern with its variables (``$DATA``) and its home folder (``~``) filled in.

    Raises
    ------
    SparseVQError
        A variable is not set, or there is no such home folder; or it is an address in the net.
    """
    if _ADDRESS.match(pattern):
        if pattern.startswith("file://"):
            return _expanded(pattern.removeprefix("file://"))
        raise SparseVQError(f"path: {pattern} is an address", "download it, and name the file")
    for variable in _VARIABLE.finditer(pattern):
        name = variable.group(1) or variable.group(2)
        if name not in os.environ:
            raise SparseVQError(
                f"path: {pattern}: the environment variable {name} is not set", f"export {name}, or write the path"
            )
    filled = os.path.expanduser(os.path.expandvars(pattern))
    if filled.startswith("~"):
        raise SparseVQError(f"path: {pattern}: there is no home folder {filled.split('/')[0]}", "write the path")
    return filled if os.path.lexists(filled) else filled.strip()


def _globbed(pattern: str, notes: list[str]) -> list[Path]:
    """Files and folders that a pattern matches; its folders that exist by their very names are taken as such."""
    parts = Path(pattern).parts
    kept = 0
    while kept < len(parts) - 1 and os.path.lexists(os.path.join(*parts[: kept + 1])):
        kept += 1
    escaped = os.path.join(*(glob.escape(part) for part in parts[:kept]), *parts[kept:]) if parts else pattern
    matches = [Path(name) for name in glob.glob(escaped, recursive=True)]
    if not matches and "[" in pattern:
        matches = [Path(name) for name in glob.glob(escaped.replace("[[]", "[").replace("[", "[[]"), recursive=True)]
        if matches:
            notes.append(f"path: {pattern}: its brackets are taken as part of the names")
    return matches


def _instead(pattern: str) -> str:
    """What to do about a pattern that matches nothing."""
    if "{" in pattern:
        return "braces are not expanded: give a list, or use * and ?"
    folder = Path(pattern).parent
    while "*" in str(folder) or "?" in str(folder):
        folder = folder.parent
    missing = next((each for each in (*reversed(folder.parents), folder) if not _there(str(each))), None)
    if missing is not None:
        return f"there is no folder {missing}; paths are relative to the working directory ({Path.cwd()})"
    try:
        names = [path.name for path in in_order(list(folder.iterdir())) if not _BESIDE.search(path.name)]
    except OSError:
        return f"the folder {folder} cannot be listed: check that you may read it"
    brackets = "; [...] stands for one of the characters between the brackets" if "[" in pattern else ""
    return f"check the path: {folder} holds {_some(names) if names else 'nothing'}{brackets}"


def _there(name: str) -> bool:
    """Whether there is such a file, folder or link.

    Raises
    ------
    SparseVQError
        It is in a folder that may not be entered.
    """
    try:
        os.lstat(name)
    except PermissionError:
        raise SparseVQError(
            f"path: {name} cannot be opened (Permission denied)", "check that you may read it"
        ) from None
    except (OSError, ValueError):
        return False
    return True


def _check_name(name: str) -> None:
    """Check that what is there can be opened at all.

    Raises
    ------
    SparseVQError
        It is a link to nothing, a device, or in a folder that may not be read.
    """
    path = Path(name)
    try:
        path.stat()
    except FileNotFoundError:
        raise SparseVQError(
            f"path: {name} is a link to {os.readlink(name)}, which is not there", "mend the link, or name the file"
        ) from None
    except OSError as error:
        raise SparseVQError(f"path: {name} cannot be opened ({error.strerror})", "check that you may read it") from None
    if not (path.is_file() or path.is_dir()):
        raise SparseVQError(f"path: {name} is neither a file nor a folder", "name a file")


def _is_a_data_set(folder: Path, known: str = "auto") -> bool:
    """Whether a folder is one data set by its format, as far as that is known."""
    if known in ("zarr", "fds") or folder.suffix == ".zarr":
        return True
    return any(os.path.exists(folder / mark) for mark in ZARR_MARKS) or any(folder.glob("*.smv"))


def _files_in(folder: Path, notes: list[str]) -> list[Path]:
    """Files of a folder in order: those with a known ending, or if there are none, with known content."""
    try:
        there = [path for path in in_order(list(folder.iterdir())) if not _BESIDE.search(path.name)]
    except OSError as error:
        raise SparseVQError(
            f"path: the folder {folder} cannot be listed ({error.strerror})", "check that you may read it"
        ) from None
    named = [path for path in there if path.suffix.lower() in SUFFIXES or (path.is_dir() and _is_a_data_set(path))]
    others = [path for path in there if path not in set(named) and path.is_file() and readable_by_content(path)]
    if named and others:
        notes.append(f"path: {folder}: {_some(path.name for path in others)} not read: name them, or a pattern")
    if not (named or others):
        said = ""
        with contextlib.suppress(OSError):  # one that may not be read
            said = next((f" ({path} {what[0]})" for path in there if path.is_file() and (what := foreign(path))), "")
        below = sorted({path.suffix for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES})
        raise SparseVQError(
            f"path: the folder {folder} holds no file of a known format{said}",
            f"there are some in its folders: write {folder}/**/*{below[0]}"
            if below
            else f"name a file or a pattern; known endings are {', '.join(SUFFIXES)}",
        )
    return named or others


def _identity(path: Path) -> object:
    """The same for all names of one file, links included."""
    about = path.stat()
    return (about.st_dev, about.st_ino) if about.st_ino else os.path.realpath(path)


def _some(names: Iterable[str], most: int = 3) -> str:
    named = list(names)
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")


def copies(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of files with the same content: (the first, a copy of it). Few bytes are read of files that differ.

    Raises
    ------
    SparseVQError
        A file may not be read.
    """
    alike: dict[tuple[int, bytes], list[Path]] = {}
    for path in paths if len(paths) > 1 else ():
        if path.is_file():
            with reading(path, "data"):
                alike.setdefault(_size_and_ends(path), []).append(path)
    pairs = []
    for some in alike.values():
        first: dict[str, Path] = {}
        for path in some if len(some) > 1 else ():
            original = first.setdefault(digest(path), path)
            if original is not path:
                pairs.append((original, path))
    return pairs


def _size_and_ends(path: Path) -> tuple[int, bytes]:
    """Size of a file, and a digest of how it begins and ends."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        ends = hashlib.blake2b(file.read(_PROBE))
        file.seek(max(size - _PROBE, 0))
        ends.update(file.read(_PROBE))
    return size, ends.digest()
