"""What jobs left to their couriers, for the end of a workflow: its last results are to be in MLflow then."""

import time
from pathlib import Path

from sparsevq.runtime.tracking.spool import Spool, hold, spools

UNHELD_SECONDS = 3.0
"""A courier that has just been started holds no lock for a moment; after this time there is none."""
SECONDS_BETWEEN_LOOKS = 0.1


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


def _has_ended(spool: Spool) -> bool:
    """Whether no job holds the spool."""
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
