"""How jobs end: SIGTERM and Ctrl-C end one (a training after a checkpoint), SIGUSR1 asks for a checkpoint.

SLURM sends SIGTERM when it preempts a job or its time is over, and, if asked (``--signal=USR1@120``), a warning before.
What a job started ends with it, and a job ends with the Snakemake that started it.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


class Terminated(SystemExit):
    """SIGTERM arrived: the job is to clean up and end."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@dataclass
class Requests:
    """What signals have asked for and has not been done yet."""

    stop: bool = False
    why: type[BaseException] = Terminated
    save: bool = False
    deferred: bool = False


_requests = Requests()


@contextlib.contextmanager
def handled_signals() -> Iterator[None]:
    """SIGTERM raises `Terminated`, so that `with` blocks end as on any error; SIGUSR1 is noted."""

    def stop(number: int, _frame: FrameType | None) -> None:
        why = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if not _requests.deferred or _requests.stop:
            raise why
        _requests.stop, _requests.why = True, why

    def save(_signal: int, _frame: FrameType | None) -> None:
        _requests.save = True

    with _handlers({signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGUSR1: save}):
        yield


@contextlib.contextmanager
def deferred_stop() -> Iterator[Requests]:
    """Within the block SIGTERM and Ctrl-C are only noted, for the block to obey; a second one is obeyed at once."""
    _requests.stop, _requests.deferred = False, True
    try:
        yield _requests
    finally:
        _requests.deferred = False


@contextlib.contextmanager
def sigterm_ignored() -> Iterator[None]:
    """Within the block SIGTERM does nothing: for short work that should not be left incomplete."""
    with _handlers({signal.SIGTERM: signal.SIG_IGN}):
        yield


def killed_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], object] | None:
    """A `preexec_fn` for `subprocess`: the kernel sends the new process a signal when its parent ends.

    Otherwise an orphan could write an output after its job has failed. Only Linux can do this; elsewhere None.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec little is safe
    return lambda: prctl(1, number)  # PR_SET_PDEATHSIG


def stop_with_snakemake() -> None:
    """Send this process SIGTERM when the Snakemake that started it has ended, as after its SIGKILL.

    Otherwise the job would continue, hold its devices, and compete with the same job of the next Snakemake. Between
    Snakemake and a job there may be a shell, which does not end with Snakemake; it is recognised by the job's script in
    its command. The parent of Snakemake may end, as when a user logs out. Without /proc, only the job's parent is
    watched.
    """

    def watch() -> None:
        while os.getppid() == parent and (not shell or _parent_of(parent) == above):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os.kill(os.getpid(), signal.SIGTERM)

    parent = os.getppid()
    above = _parent_of(parent)
    shell = sys.argv[0] in _command_of(parent)
    threading.Thread(target=watch, daemon=True).start()


SECONDS_BETWEEN_LOOKS = 1.0


def _parent_of(process: int) -> int | None:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[1])  # the name before it may contain anything


def _command_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def _handlers(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python handles signals only there
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
