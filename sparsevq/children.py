"""Programs that a job starts end with it, however it ends: an output that an orphan wrote would pass for the job's."""

import ctypes
import signal
import sys
from collections.abc import Callable


def killed_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], object] | None:
    """A `preexec_fn` for `subprocess`: the kernel sends the new process a signal when its parent is gone.

    Linux alone can; elsewhere None.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec little is safe
    return lambda: prctl(1, number)  # PR_SET_PDEATHSIG
