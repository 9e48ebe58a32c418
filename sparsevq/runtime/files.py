"""Files appear whole or not at all, and carry a digest of what they were made from."""

import contextlib
import errno
import functools
import hashlib
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.runtime.integrity import checked_digest


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    The temporary file keeps the suffix, because writers such as matplotlib choose the format by it. It is on the disk
    before it gets its name, so that a power cut leaves the old file or the new one, never an empty one. Temporary files
    that killed writers of the same path left are removed.

    Raises
    ------
    SparseVQError
        The folder can't be made or written, or the disk is full.
    """
    path = Path(path)
    part: Path | None = None
    try:
        if path.exists() and not path.is_file():  # a device, such as /dev/full, must not be replaced
            raise OSError(errno.EINVAL, "it is a folder or a device")
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        prefix = f".{path.stem}.{_machine()}-{os.getpid()}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        part = Path(name)
        os.close(handle)
        yield part
        os.chmod(part, 0o666 & ~_umask())  # some writers replace the file by one that only its owner may read
        _to_disk(part)
        os.replace(part, path)
        _to_disk(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    except Exception as error:
        if _disk_fault(error):
            raise unwritable(path, OSError(str(error))) from error
        raise
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_whole(path: str | Path, marks: tuple[str, ...]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which takes its name when the block ends without an error.

    A folder of that name is replaced if it has one of the files `marks`: another is none of this kind, and stays.

    Raises
    ------
    SparseVQError
        There is something else of that name, the folder above can't be written, or the disk is full.
    """
    path = Path(path)
    parts: list[Path] = []
    try:
        if path.exists() and not any((path / mark).is_file() for mark in marks):
            raise OSError(errno.EEXIST, "there is something else of that name")
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        prefix = f".{path.stem}.{_machine()}-{os.getpid()}."
        parts = [Path(tempfile.mkdtemp(prefix=prefix, suffix=path.suffix, dir=path.parent)) for _ in range(2)]
        part, replaced = parts
        yield part
        os.chmod(part, 0o777 & ~_umask())
        for found in part.rglob("*"):
            _to_disk(found)
        if path.exists():
            os.replace(path, replaced / path.name)
        os.replace(part, path)
        _to_disk(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    except Exception as error:
        if _disk_fault(error):
            raise unwritable(path, OSError(str(error))) from error
        raise
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def folder_beside(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path`, gone when the block ends; those that killed writers left are removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    prefix = f".{path.stem}.{_machine()}-{os.getpid()}."
    folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=path.suffix, dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unwritable(path: str | Path, error: OSError) -> SparseVQError:
    """The error to raise when `path` could not be written."""
    reason = _disk_fault(error) or error.strerror or str(error)
    return SparseVQError(f"cannot write {path} ({reason})", "free some space or choose a folder that you may write")


def _disk_fault(error: Exception) -> str | None:
    """The system's words for a fault of the disk; libraries in C put them into the texts of other exceptions."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
    return next((os.strerror(number) for number in numbers if os.strerror(number) in str(error)), None)


def digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits; of a folder, of the names and digests of all its files.

    But for the one that Snakemake puts into a folder, when the job that made it has ended.

    The digest of a large file is kept with it, as the extended attribute `DIGEST` if the file system has those, since
    every job of an experiment asks for it; the process remembers that of any file. It is valid as long as the file has
    the inode, size and modification time that it had then.

    Raises
    ------
    SparseVQError
        The file has a seal (`sparsevq.runtime.integrity`) and is not what it says.
    """
    if Path(path).is_dir():
        files = sorted(found for found in Path(path).rglob("*") if found.is_file() and found.name != OF_SNAKEMAKE)
        listed = "".join(f"{found.relative_to(path)} {digest(found)}\n" for found in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    with open(path, "rb") as file:
        before = _state(file.fileno())
        key = (os.fstat(file.fileno()).st_dev, before)
        known = _known.get(key) or _kept_digest(file.fileno(), before)
        if known is not None:
            return known
        settled = _settled(file.fileno())
        found = checked_digest(file)
        if settled and _state(file.fileno()) == before:
            _known[key] = found
            if os.fstat(file.fileno()).st_size >= LARGE:
                _keep_digest(file.fileno(), before, found)
        return found


def known_digest(path: str | Path) -> str:
    """The digest of a file if it was taken before, of small ones anyway; else empty, without reading the file."""
    with open(path, "rb") as file:
        state = _state(file.fileno())
        if os.fstat(file.fileno()).st_size >= LARGE:
            return _known.get((os.fstat(file.fileno()).st_dev, state)) or _kept_digest(file.fileno(), state) or ""
    return digest(path)


OF_SNAKEMAKE = ".snakemake_timestamp"
"""File by whose time Snakemake knows when a folder was made."""
DIGEST = "user.sparsevq.sha256"
LARGE = 2**26
"""Files of at least so many bytes have their digest kept with them."""
SETTLED = 0.1
"""Seconds since its last change after which a file's digest is kept: a later change then has another time, since file
systems count in steps of at most 10 ms, some in seconds."""
SETTLED_COARSE = 2.0
"""The same where a time is a whole second: it may be one of a file system that counts every second one."""
ABANDONED = 86400.0
"""Seconds since the last change of a temporary file after which a writer on another machine is taken to be dead."""

_known: dict[tuple[int, str], str] = {}
"""Digests that this process has taken, by device and state."""


def _state(descriptor: int) -> str:
    about = os.fstat(descriptor)
    return f"{about.st_ino} {about.st_size} {about.st_mtime_ns}"


def _settled(descriptor: int) -> bool:
    changed = os.fstat(descriptor).st_mtime_ns
    return time.time_ns() - changed > 1e9 * (SETTLED if changed % 10**9 else SETTLED_COARSE)


def _kept_digest(descriptor: int, state: str) -> str | None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # there is none
            found, _, made_of = os.getxattr(descriptor, DIGEST).decode("ascii", "replace").partition(" ")
            if made_of == state and re.fullmatch("[0-9a-f]{64}", found):
                return found
    return None


def _keep_digest(descriptor: int, state: str, found: str) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # another user's file, or a file system without such attributes
            os.setxattr(descriptor, DIGEST, f"{found} {state}".encode())


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not all file systems offer it
            raise
    finally:
        os.close(descriptor)


@functools.cache
def _machine() -> str:
    """Identifies a boot of a machine or container, within which a process number means one process."""
    names = [socket.gethostname()]
    with contextlib.suppress(OSError):
        names += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(os.stat("/proc/self/ns/pid").st_ino)]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of `path` whose writers were killed."""
    name = re.compile(rf"\.{re.escape(path.stem)}\.([0-9a-f]{{8}})-(\d+)\.[a-z0-9_]+{re.escape(path.suffix)}")
    with contextlib.suppress(OSError):  # another process removes it, or it is another user's
        for found in os.scandir(path.parent):
            match = name.fullmatch(found.name)
            if match and _abandoned(match[1], int(match[2]), found.stat().st_mtime):
                shutil.rmtree(found.path) if found.is_dir() else os.unlink(found.path)


def _abandoned(machine: str, process: int, changed: float) -> bool:
    if machine != _machine():
        return time.time() - changed > ABANDONED
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # another user's
    return False


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
