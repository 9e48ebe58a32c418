"""Leases of devices between the processes of one host: whoever holds the lock of a device's file has the device.

The locks are `flock`s, which the kernel drops when the process that holds them ends, however it ends.
"""

import contextlib
import fcntl
import os
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sparsevq.errors import SparseVQError

COLLECT_AFTER = 60.0
"""Seconds of waiting after which a job may keep the free devices until it has as many as it needs."""
REMIND_EVERY = 600.0
"""Seconds between the lines that say what a job is still waiting for."""


def lease(devices: Mapping[str, str], count: int, patience: float | None) -> dict[str, int]:
    """Wait until `count` of the devices are free, and lock them.

    All or none are taken, since two jobs that each keep what the other needs would wait for ever. But then a job that
    needs three would wait for ever among jobs that need one; so one job at a time, which has waited long, has the
    turn: it keeps what it has got.

    Parameters
    ----------
    devices
        Name -> a name that is the same for all processes of the host.
    patience
        Seconds to wait; None: as long as it takes.

    Returns
    -------
    dict
        The names of the leased devices -> the descriptors that hold their locks.

    Raises
    ------
    SparseVQError
        `patience` ran out, or the locks cannot be made.
    """
    folder = _lock_folder()
    paths = {name: folder / f"{re.sub('[^A-Za-z0-9-]', '_', same)}.lock" for name, same in devices.items()}
    since = time.monotonic()
    remind = since
    held: dict[str, int] = {}
    turn: int | None = None
    while True:
        waited = time.monotonic() - since
        with _gate(folder):
            found = held | _free({name: path for name, path in paths.items() if name not in held}, count - len(held))
            enough = len(found) == count
            if not enough and turn is None and waited > COLLECT_AFTER:
                turn = _locked(folder / "turn.lock")
            holders = ", ".join(f"{name}: {_holder(paths[name])}" for name in paths if name not in found)
            if enough or turn is not None:
                for name in found.keys() - held.keys():
                    _sign(paths[name])
                held = found
            else:
                _close(found.values())
        if enough:
            _close(() if turn is None else (turn,))
            return held
        if patience is not None and waited > patience:
            _close((*held.values(), *(() if turn is None else (turn,))))
            raise SparseVQError(
                f"{count} free GPUs were waited for during {patience:g} s, and other processes hold them still "
                f"({holders})",
                "run fewer jobs at a time (--resources gpu=N)",
            )
        if time.monotonic() >= remind:
            still = f", for {waited / 60:.0f} min now" if waited > 60 else ""
            print(f"waiting for {count} free GPU(s) of {', '.join(paths)}{still} ({holders})", flush=True)
            remind = time.monotonic() + REMIND_EVERY
        time.sleep(random.uniform(0.1, 0.5))


def _free(paths: Mapping[str, Path], count: int) -> dict[str, int]:
    """Locks of the first `count` devices that nobody holds."""
    found: dict[str, int] = {}
    for name, path in paths.items():
        if len(found) == count:
            break
        lock = _locked(path)
        if lock is not None:
            found[name] = lock
    return found


def _close(locks: Iterable[int]) -> None:
    for lock in locks:
        os.close(lock)


# ------------------------------------------------------------------------------------------------ files


def _lock_folder() -> Path:
    """One folder for all users of the host: not TMPDIR, which differs between them."""
    folder = Path(os.environ.get("SPARSEVQ_LEASES", "/tmp/sparsevq-leases"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SparseVQError(f"cannot make {folder} ({error.strerror})", "set SPARSEVQ_LEASES to a folder") from None
    with contextlib.suppress(PermissionError):  # another user's, who did this
        folder.chmod(0o1777)
    return folder


@contextlib.contextmanager
def _gate(folder: Path) -> Iterator[None]:
    gate = _open(folder / "gate.lock")
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock, or None if another process holds it."""
    lock = _open(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _open(path: Path) -> int:
    # Kernels refuse O_CREAT on another user's file in a folder that all may write.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, 0o666)
            return descriptor
    except OSError as error:
        raise SparseVQError(
            f"cannot open the lock {path} ({error.strerror})", "set SPARSEVQ_LEASES to a folder that you may write"
        ) from None


def _sign(path: Path) -> None:
    """Say in a lock file who holds it. The new date also keeps it from those who tidy old files out of /tmp."""
    user = os.environ.get("USER") or f"user {os.getuid()}"
    with contextlib.suppress(OSError):  # the name is for people; the lock is what counts
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.write(descriptor, f"process {os.getpid()} of {user} since {time.strftime('%d %b %H:%M')}".encode())
        os.close(descriptor)


def _holder(path: Path) -> str:
    """Who holds a lock that is held."""
    text = ""
    with contextlib.suppress(OSError):
        text = path.read_text(errors="replace")[:100]
    return "".join(filter(str.isprintable, text)) or "an unknown process"
