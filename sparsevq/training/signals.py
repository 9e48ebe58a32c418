"""What a job does at a signal: SIGTERM and Ctrl-C end it, in training after a checkpoint; SIGUSR1 asks for one.

SLURM sends SIGTERM when it preempts a job or its time is over, and, if asked (``--signal=USR1@120``), a warning before.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


class Terminated(SystemExit):
    """SIGTERM arrived: the job is to clean up and end."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@dataclass
class Requests:
    """What signals have asked for and nobody has done yet."""

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
    """Within the block SIGTERM and Ctrl-C are noted, to be obeyed at the next good moment; a second one is at once."""
    _requests.stop, _requests.deferred = False, True
    try:
        yield _requests
    finally:
        _requests.deferred = False


@contextlib.contextmanager
def sigterm_ignored() -> Iterator[None]:
    """Within the block SIGTERM does nothing: what is done there is short and better not left half done."""
    with _handlers({signal.SIGTERM: signal.SIG_IGN}):
        yield


@contextlib.contextmanager
def _handlers(handlers: dict[signal.Signals, object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python takes signals there alone
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
