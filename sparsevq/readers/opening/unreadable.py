"""What is wrong with a file, in words, when a library cannot read it."""

import errno
import fcntl
import re
import time
from pathlib import Path

import h5py

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.foreign import foreign

_CLASSES = (IndexError, KeyError, LookupError, NotImplementedError)
"""Exceptions whose text means little without their names."""
_INSIDE = (TypeError, AttributeError, AssertionError)
"""Exceptions whose text is about the code of a library, not about the file."""
_OBJECT = re.compile(r":? <[\w.]+ object at 0x[0-9a-f]+>")
_RECENT = 60.0
"""Seconds since its last change in which a file that is cut short is perhaps still being written."""


def explained(path: Path, kind: str, error: Exception) -> SparseVQError:
    """The error of one line for what a library raised while it read a file.

    Parameters
    ----------
    path
        The file.
    kind
        The format that it was read as, in words.
    error
        What was raised.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImportError):
        return SparseVQError(f"{path} is {kind}, but a package is missing ({reason})", "install sparsevq[readers]")
    if isinstance(error, MemoryError):
        return SparseVQError(f"{path}: not enough memory to read it", "free some, or store it in smaller chunks")
    if path.is_dir() and kind != "Zarr":
        return SparseVQError(f"cannot read {path} (it is a folder)", f"name a {kind} file")
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM, errno.ENOENT) and isinstance(error, OSError):
        return SparseVQError(f"cannot read {path} ({error.strerror})", "check the path, and that you may read it")
    if number == errno.EMFILE:
        return SparseVQError(f"cannot open {path} (too many open files)", "allow more: ulimit -n 8192")
    if kind == "NetCDF" and ("\\" in path.name or isinstance(error, UnicodeEncodeError)):
        return SparseVQError(f"{path}: the NetCDF library reads no files whose name has such characters", "rename it")
    hindered = _locked(path, reason) or _foreign(path, kind)
    if hindered:
        return hindered
    if any(word in reason.lower() for word in ("truncated", "cut short", "end of file", "unexpected end")):
        recent = path.is_file() and time.time() - path.stat().st_mtime < _RECENT
        wait = "wait until it is, or make or copy it again" if recent else "make or copy it again"
        still = "; it changed just now: perhaps it is still being written" if recent else ""
        return SparseVQError(f"{path} is truncated (only part of it was written or copied{still})", wait)
    if isinstance(error, _CLASSES):
        reason = f"{type(error).__name__}: {reason}" if reason != type(error).__name__ else reason
    if isinstance(error, _INSIDE):
        reason = "its parts do not fit together"
    reason = _OBJECT.sub("", reason)
    return SparseVQError(
        f"{path} cannot be read as {kind} ({reason[:200]})",
        "it may be damaged, cut short or of another format: make or copy it again, or give its `format`",
    )


def _locked(path: Path, reason: str) -> SparseVQError | None:
    """The error if another program holds the file, or the file system has no locks; None if neither."""
    if not path.is_file():
        return None
    if "lock" not in reason:  # the NetCDF library only says that HDF5 failed
        try:
            h5py.File(path, "r").close()
        except Exception as error:
            reason = f"{reason} {error}"
    if "already open for write" in reason:
        return SparseVQError(
            f"{path} was not closed by the program that writes it",
            "wait until it is; if that program has ended, mend the file: h5clear -s {path}".replace(
                "{path}", str(path)
            ),
        )
    if _held(path) or "errno = 11," in reason or "errno = 35," in reason:
        return SparseVQError(
            f"another program is writing {path}",
            "wait until it is closed, or read a copy; HDF5_USE_FILE_LOCKING=FALSE reads it as it is, at your own risk",
        )
    if "unable to lock file" in reason:
        return SparseVQError(
            f"{path} cannot be locked for reading: its file system has no locks", "export HDF5_USE_FILE_LOCKING=FALSE"
        )
    return None


def _held(path: Path) -> bool:
    """Whether another program has locked the file for itself, as the HDF5 library does while it writes."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks there
        return False
    return False


def _foreign(path: Path, kind: str) -> SparseVQError | None:
    """The error if the file is of a format that none of the readers reads."""
    try:
        said = foreign(path) if path.is_file() and kind != "pickle" else None
    except OSError:
        return None
    return SparseVQError(f"{path} {said[0]}", said[1]) if said else None


def is_a_bug(error: Exception) -> bool:
    """Whether an exception is a fault of this package, not of a file: a name or an assertion in its own code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    ours = trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("sparsevq.")
    return ours and isinstance(error, (NameError, AssertionError))
