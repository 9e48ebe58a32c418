"""Files appear whole or not at all, and carry a digest of what they were made from."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sparsevq.errors import SparseVQError


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    The temporary file keeps the suffix, because writers such as matplotlib choose the format by it.

    Raises
    ------
    SparseVQError
        The folder can't be made or written, or the disk is full.
    """
    path = Path(path)
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        part = Path(name)
        os.close(handle)
        os.chmod(part, 0o666 & ~_umask())
        yield part
        os.replace(part, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def unwritable(path: str | Path, error: OSError) -> SparseVQError:
    """The error to raise when `path` could not be written."""
    reason = error.strerror or str(error)
    return SparseVQError(f"cannot write {path} ({reason})", "free some space or choose a folder that you may write")


def digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
