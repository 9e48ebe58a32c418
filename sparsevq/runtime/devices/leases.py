"""Leases of devices between the processes of one host: whoever holds the lock of a device's file has the device.

`filelock` takes the locks by `flock`. The kernel drops them when the process that holds them ends, even by SIGKILL, and
a forked child closes its copies of them.
"""

import contextlib
import os
import random
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from sparsevq.errors import SparseVQError

COLLECT_AFTER = 60.0
"""Seconds of waiting after which a job may keep the free devices until it has as many as it needs."""
REMIND_EVERY = 600.0
"""Seconds between the lines that say what a job is still waiting for."""


def lease(devices: Mapping[str, str], count: int, timeout: float | None, shared: int = 1) -> dict[str, FileLock]:
    """Wait until `count` of the devices are free, and lock them; or until one has a place, if jobs may share it.

    All or none are taken, since two jobs that each keep what the other needs would wait for ever. But then a job that
    needs three could starve among jobs that need one, and one that needs a whole device among those that share it; so
    one job at a time, which has waited long, has the turn: it keeps the devices that it has got.

    Parameters
    ----------
    devices
        Name -> a name that is the same for all processes of the host.
    timeout
        Seconds to wait; None: as long as it takes.
    shared
        Jobs, at most, that have a device at a time; more than 1 for a job of one device, which gets that with the
        fewest.

    Returns
    -------
    dict
        The names of the leased devices -> the locks of them, or of the place on it.

    Raises
    ------
    SparseVQError
        `timeout` passed, or the locks cannot be made.
    """
    folder = _lock_folder()
    all_of = [_Device(name, folder, same) for name, same in devices.items()]
    gate, turn = _lock(folder / "gate.lock"), _lock(folder / "turn.lock")
    since = remind = time.monotonic()
    wanted = f"{count} free GPU(s)" if shared == 1 else f"a place among {shared} on a GPU"
    try:
        while True:
            waited = time.monotonic() - since
            _acquire(gate, blocking=True)  # until it is released nobody else takes or gives a device
            if found := _shared_one(all_of, shared) if shared > 1 else _whole_ones(all_of, count):
                return found
            holders = ", ".join(f"{device.name}: {device.holders()}" for device in all_of if not device.free())
            if shared > 1 or not (turn.is_locked or (waited > COLLECT_AFTER and _acquire(turn))):
                _release(all_of)
            gate.release()
            if timeout is not None and waited > timeout:
                raise SparseVQError(
                    f"waited {timeout:g} s for {wanted}, but other processes still hold them ({holders})",
                    "run fewer jobs at a time (--resources gpu=N)",
                )
            if time.monotonic() >= remind:
                still = f", for {waited / 60:.0f} min now" if waited > 60 else ""
                print(f"waiting for {wanted} of {', '.join(devices)}{still} ({holders})", flush=True)
                remind = time.monotonic() + REMIND_EVERY
            time.sleep(random.uniform(0.1, 0.5))
    except BaseException:
        _release(all_of)
        raise
    finally:
        turn.release()
        gate.release()


class _Device:
    """A device and its locks: one of it as a whole, and one of each place on it, for jobs that share it.

    Who takes a place looks first whether somebody has the whole device, and the other way round; only who has the gate
    looks and takes, so a lock may be taken for a moment to see whether it is free.
    """

    def __init__(self, name: str, folder: Path, same: str):
        self.name, self._folder, self._file = name, folder, re.sub("[^A-Za-z0-9-]", "_", same)
        self.whole = _lock(folder / f"{self._file}.lock")

    def place(self, number: int) -> FileLock:
        """The lock of a place, from 1 on."""
        return _lock(self._folder / f"{self._file}.place{number}.lock")

    def occupied(self) -> list[FileLock]:
        """The places that other jobs have, whatever number of jobs each of them shares the device with."""
        places = [_lock(path) for path in sorted(self._folder.glob(f"{self._file}.place*.lock"))]
        return [place for place in places if not _is_free(place)]

    def free(self) -> bool:
        """Whether nobody else has the device or a place on it."""
        return _is_free(self.whole) and not self.occupied()

    def holders(self) -> str:
        """Who has it, or places on it."""
        return " and ".join(map(_holder, [*([] if _is_free(self.whole) else [self.whole]), *self.occupied()]))


def _whole_ones(devices: Sequence[_Device], count: int) -> dict[str, FileLock]:
    """`count` devices that nobody else uses, locked; else none, and those locked that will be free the soonest."""
    jobs = {device.name: len(device.occupied()) for device in devices if _acquire(device.whole)}
    kept = sorted((device for device in devices if device.name in jobs), key=lambda device: jobs[device.name])[:count]
    _release([device for device in devices if device not in kept])
    if len(kept) < count or any(jobs[device.name] for device in kept):
        return {}
    return {device.name: device.whole for device in devices if device in kept}


def _shared_one(devices: Sequence[_Device], shared: int) -> dict[str, FileLock]:
    """A place on the device that has the fewest jobs, locked; none if all of them have as many as they may."""
    jobs = {device.name: len(device.occupied()) for device in devices if _is_free(device.whole)}
    for device in sorted((device for device in devices if device.name in jobs), key=lambda device: jobs[device.name]):
        for place in map(device.place, range(1, shared + 1)):
            if jobs[device.name] < shared and _acquire(place):
                return {device.name: place}
    return {}


def _release(devices: Iterable[_Device]) -> None:
    for device in devices:
        device.whole.release()


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


def _is_free(lock: FileLock) -> bool:
    """Whether no other process has it."""
    if lock.is_locked:
        return True
    free = _acquire(lock)
    if free:
        lock.release()
    return free


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
