"""Leases of devices between the processes of one host: whoever holds the lock of a device's file has the device.

`filelock` takes the locks by `flock`. The kernel drops them when the process that holds them ends, even by SIGKILL, and
a forked child closes its copies of them.
"""

import contextlib
import os
import random
import re
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from sparsevq.errors import SparseVQError

COLLECT_AFTER = 60.0
"""Seconds of waiting after which a job may keep the free devices until it has as many as it needs."""
REMIND_EVERY = 600.0
"""Seconds between the lines that say what a job is still waiting for."""


def lease(devices: Mapping[str, str], count: int, timeout: float | None) -> dict[str, FileLock]:
    """Wait until `count` of the devices are free, and lock them.

    All or none are taken, since two jobs that each keep what the other needs would wait for ever. But then a job that
    needs three could starve among jobs that need one; so one job at a time, which has waited long, has the turn: it
    keeps the devices that it has got.

    Parameters
    ----------
    devices
        Name -> a name that is the same for all processes of the host.
    timeout
        Seconds to wait; None: as long as it takes.

    Returns
    -------
    dict
        The names of the leased devices -> their locks.

    Raises
    ------
    SparseVQError
        `timeout` passed, or the locks cannot be made.
    """
    folder = _lock_folder()
    locks = {name: _lock(folder / f"{re.sub('[^A-Za-z0-9-]', '_', same)}.lock") for name, same in devices.items()}
    gate, turn = _lock(folder / "gate.lock"), _lock(folder / "turn.lock")
    since = remind = time.monotonic()
    try:
        while True:
            waited = time.monotonic() - since
            _acquire(gate, blocking=True)
            for lock in locks.values():
                if _held(locks) < count:
                    _acquire(lock)
            if _held(locks) == count:
                return {name: lock for name, lock in locks.items() if lock.is_locked}
            holders = ", ".join(f"{name}: {_holder(lock)}" for name, lock in locks.items() if not lock.is_locked)
            if not (turn.is_locked or (waited > COLLECT_AFTER and _acquire(turn))):
                _release(locks)
            gate.release()
            if timeout is not None and waited > timeout:
                raise SparseVQError(
                    f"waited {timeout:g} s for {count} free GPUs, but other processes still hold them ({holders})",
                    "run fewer jobs at a time (--resources gpu=N)",
                )
            if time.monotonic() >= remind:
                still = f", for {waited / 60:.0f} min now" if waited > 60 else ""
                print(f"waiting for {count} free GPU(s) of {', '.join(locks)}{still} ({holders})", flush=True)
                remind = time.monotonic() + REMIND_EVERY
            time.sleep(random.uniform(0.1, 0.5))
    except BaseException:
        _release(locks)
        raise
    finally:
        turn.release()
        gate.release()


def _held(locks: Mapping[str, FileLock]) -> int:
    return sum(lock.is_locked for lock in locks.values())


def _release(locks: Mapping[str, FileLock]) -> None:
    for lock in locks.values():
        lock.release()


# ------------------------------------------------------------------------------------------------ files


def _lock_folder() -> Path:
    """One folder for all users of the host: not TMPDIR, which differs between them."""
    folder = Path(os.environ.get("SPARSEVQ_LEASES", "/tmp/sparsevq-leases"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SparseVQError(f"cannot make {folder} ({error.strerror})", "set SPARSEVQ_LEASES to a folder") from None
    with contextlib.suppress(PermissionError):  # the user who made it has done this
        folder.chmod(0o1777)
    return folder


def _lock(path: Path) -> FileLock:
    """A lock that all users of the host may take, held by the process rather than by one of its threads."""
    return FileLock(path, mode=0o666, thread_local=False, fallback_to_soft=False, on_acquired=_sign)


def _acquire(lock: FileLock, *, blocking: bool = False) -> bool:
    """Take a lock; False if another process holds it."""
    if lock.is_locked:
        return True
    try:
        lock.acquire(blocking=blocking)
    except Timeout:
        return False
    except OSError as error:
        raise SparseVQError(
            f"cannot take the lock {lock.lock_file} ({error.strerror})",
            "set SPARSEVQ_LEASES to a folder that you may write",
        ) from None
    return True


def _sign(descriptor: int) -> None:
    """Write into a lock file who holds it. The new date also keeps it from those who tidy old files out of /tmp."""
    user = os.environ.get("USER") or f"user {os.getuid()}"
    with contextlib.suppress(OSError):  # the text is for people; the lock is what counts
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} of {user} since {time.strftime('%d %b %H:%M')}".encode())


def _holder(lock: FileLock) -> str:
    """Who holds a lock that another process has."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path(lock.lock_file).read_text(errors="replace")[:100]
    return "".join(filter(str.isprintable, text)) or "an unknown process"
