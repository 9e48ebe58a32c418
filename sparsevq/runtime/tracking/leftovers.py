"""What jobs left to their couriers: couriers deliver in the order of the jobs, and a workflow ends after the last."""

import time
from pathlib import Path

from sparsevq.runtime.tracking.spool import Spool, hold, spools

UNHELD_SECONDS = 3.0
"""A courier that has just been started holds no lock for a moment; after this time there is none."""
SECONDS_BETWEEN_LOOKS = 0.1
TURN_SECONDS = 60.0
"""How long a courier waits for those of earlier jobs."""


def wait_for_couriers(results: Path, seconds: float) -> int:
    """Wait until the couriers of ended jobs have delivered, some seconds at most.

    Jobs that run, such as those of another workflow in the same results folder, are not waited for.

    Returns
    -------
    The number of records that ended jobs logged and MLflow does not have.
    """
    until = time.monotonic() + seconds
    held: dict[Path, float] = {}  # when a courier was last seen at it
    while True:
        left = [spool for spool in spools(results) if _has_ended(spool) and spool.waiting()]
        looked = time.monotonic()
        for spool in left:
            if spool.path not in held or _is_carried(spool):
                held[spool.path] = looked
        if looked > until or all(looked - held[spool.path] > UNHELD_SECONDS for spool in left):
            return sum(spool.waiting() for spool in left)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def wait_for_turn(spool: Spool) -> None:
    """Wait while couriers of jobs that started before this one, and have ended, deliver: they may replace the parent.

    Such a job may be one that this job depends on. After `TURN_SECONDS` the store is slow, and order matters less.
    """
    until = time.monotonic() + TURN_SECONDS
    start = _opened(spool)
    while time.monotonic() < until and any(
        _opened(other) < start and _is_carried(other) and _has_ended(other) and other.waiting()
        for other in spools(spool.results)
        if other.path != spool.path
    ):
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _opened(spool: Spool) -> int:
    """When the job last started (ms)."""
    opened = spool.history().opened
    return 0 if opened is None else int(opened["time"])


def _has_ended(spool: Spool) -> bool:
    """Whether the job has said so, or was killed and holds its spool no more (which its courier does for moments)."""
    if spool.history().status is not None:
        return True
    if (handle := hold(spool.path, create=False)) is None:
        return False
    handle.close()
    return True


def _is_carried(spool: Spool) -> bool:
    """Whether a courier holds the spool."""
    if (handle := hold(spool.lock, create=False)) is None:
        return spool.lock.exists()
    handle.close()
    return False
