"""The process beside a job that brings its records to MLflow: ``python -m sparsevq.runtime.tracking.courier <spool>``.

The job writes to its spool and never waits for MLflow; this process imports it, and waits, and tries again. The job's
end of a pipe to the standard input says that the job lives: its end, however it comes, closes the pipe. A killed job's
run is then ended as KILLED. On the standard output goes one line for each change: how MLflow answered.

When its own job has nothing to deliver, it delivers what earlier jobs of the results folder left behind.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sparsevq.errors import SparseVQError
from sparsevq.runtime.tracking.calls import Refused, reach
from sparsevq.runtime.tracking.delivery import Delivery
from sparsevq.runtime.tracking.leftovers import wait_for_turn
from sparsevq.runtime.tracking.mlflow_store import Unreachable, default_store, without_password
from sparsevq.runtime.tracking.spool import Spool, append, hold, now, spools

FLUSH_SECONDS = 5.0  # a write costs 10 ms alone and 100 ms among four writers, so records are delivered in batches
LONGEST_PAUSE = 60.0  # seconds between attempts to reach a store that does not answer
SAMPLE_SECONDS = 10.0  # between figures of the machine
NICENESS = 10  # of a courier that nobody waits for: it uses what jobs leave of the processors
ENVIRONMENT = {  # the user's own settings win
    # Attempts are repeated here, with pauses that the end of the job cuts short.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "PGCONNECT_TIMEOUT": "10",
    # Nothing is looked up outside, and what MLflow says of its own faults is said here in one line.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def main(arguments: list[str]) -> int:
    """Deliver until the job has ended and nothing of it waits; 1 if something still does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # schedulers signal all processes of a job; the job's own end counts
    use_environment()
    to_job = os.dup(1)
    os.dup2(2, 1)  # what libraries print is not for the job
    spool, uri = Spool(Path(arguments[0])), os.environ["MLFLOW_TRACKING_URI"]
    while (lock := hold(spool.lock)) is None:  # the courier of an earlier attempt is about to leave
        time.sleep(0.05)
    with lock:
        return 0 if carry(spool, uri, _job_over, lambda line: os.write(to_job, line)) else 1


def use_environment() -> None:
    """Set what MLflow reads from the environment."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def carry(spool: Spool, uri: str, job_over: Callable[[float], bool], say: Callable[[bytes], object]) -> bool:
    """Deliver a spool until its job is over and all is delivered, or the store cannot be reached.

    Parameters
    ----------
    job_over
        Wait some seconds at most; whether the job has ended.
    say
        Takes a line for the job.

    Returns
    -------
    Whether all is delivered.
    """
    machine, delivery, in_turn, others_done = Machine(spool), None, False, False
    state, failures, next_attempt = "", 0, 0.0

    def tell(new: str, reason: str = "") -> None:
        """Say how the store answers, once for each change: to the job, and what concerns a user in the job's log."""
        nonlocal state
        if new != state:
            news = "answers again"
            if new != "reached":
                news = f"takes no records ({reason}): they are kept, and delivered later"
            if state or new != "reached":
                print(f"MLflow at {without_password(uri)} {news}", file=sys.stderr, flush=True)
            with contextlib.suppress(OSError):  # the job is no more
                say(json.dumps([new, reason]).encode() + b"\n")
        state = new

    while True:
        over = job_over(0)
        if over and not spool.settle(died=now()):
            return True  # the job runs again, and has a courier of its own
        machine.sample(last=over)
        if over or time.monotonic() >= next_attempt:
            try:
                delivery = delivery or Delivery(spool, reach(uri, spool), uri)
                tell("reached")
                if not in_turn:
                    wait_for_turn(spool)
                    in_turn = True
                delivery.deliver()
                failures = 0
                if not others_done:
                    others_done = True
                    deliver_waiting(spool.results, uri, besides=spool)
            except (Unreachable, Refused, SparseVQError) as error:  # the last: a full disk
                tell("refused" if isinstance(error, Refused) else "waits", str(error))
                delivery, failures = None, failures + 1
                next_attempt = time.monotonic() + min(LONGEST_PAUSE, 2.0**failures)
            if over:
                if not failures:
                    spool.remove_finished()
                return not failures
        job_over(min(FLUSH_SECONDS, 2.0**failures) if failures else FLUSH_SECONDS)


@dataclass
class Delivered:
    """What `deliver_waiting` delivered, and what it could not."""

    records: int = 0
    jobs: int = 0  # that the records are of
    waiting: dict[str, tuple[int, str]] = field(default_factory=dict)  # store -> number of records, and why


def deliver_waiting(results: Path, uri: str, besides: Spool | None = None) -> Delivered:
    """Deliver what jobs that have ended left in a results folder; those that were killed end as KILLED.

    Parameters
    ----------
    uri
        The present store, for its password; each job's records go to the store that the job had.
    """
    found = Delivered()
    clients: dict[str, Any] = {}
    for spool in spools(results):
        if (besides is not None and spool.path == besides.path) or (lock := hold(spool.lock)) is None:
            continue
        with lock:
            if not spool.settle():
                continue
            opened = spool.history().opened
            if opened is not None and spool.waiting():
                shown = opened["store"]
                store = uri if shown == without_password(uri) else shown or default_store(results)
                earlier, reason = found.waiting.get(shown, (0, ""))
                try:
                    if reason:
                        raise Unreachable(reason)
                    clients[shown] = clients.get(shown) or reach(store, spool)
                    found.records += Delivery(spool, clients[shown], store).deliver()
                    found.jobs += 1
                except (Unreachable, Refused, SparseVQError) as error:
                    found.waiting[shown] = (earlier + spool.waiting(), str(error) or "no reason given")
            spool.remove_finished()
    return found


class Courier:
    """The process that brings a spool to MLflow, seen from the job."""

    def __init__(self, spool: Spool, uri: str):
        self._spool, self._uri, self.reason = spool, uri, ""
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [str(Path(__file__).resolve().parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # it computes nothing
        environment = {"PYTHONPATH": os.pathsep.join(paths), "MLFLOW_TRACKING_URI": self._uri}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sparsevq.runtime.tracking.courier", str(self._spool.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **dict.fromkeys(threads, "1"), **environment},
            bufsize=0,
            start_new_session=True,
        )

    def answer(self, seconds: float) -> str:
        """The next state of the store that it reports, with `reason`; empty if it reports none in time."""
        pipe = self._process.stdout
        assert pipe is not None
        line = pipe.readline() if select.select([pipe], [], [], seconds)[0] else b""
        if not line.endswith(b"\n"):  # it has nothing to say, or has ended
            return ""
        state, self.reason = json.loads(line)
        return str(state)

    def finish(self, seconds: float, leave: bool = False) -> None:
        """Tell it that the job has ended, and wait for it to deliver the rest; `reason` says why something waits.

        After `seconds` it is stopped, or with `leave` continues by itself.
        """
        if self._process.poll() is not None:  # somebody ended it
            self._process = self._start()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(seconds)
            fallback = f"the courier ended with status {status}, see the log"
        except subprocess.TimeoutExpired:
            if not leave:
                self.stop()
            fallback = f"not done within {seconds:.0f} s"
        while self.answer(0):
            pass
        self._process.stdout.close()  # type: ignore[union-attr]  # it is a pipe: see _start
        self.reason = self.reason or fallback

    def leave(self) -> None:
        """Tell it that the job has ended, and let it deliver the rest by itself."""
        if self._process.poll() is not None:  # somebody ended it
            self._process = self._start()
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()  # type: ignore[union-attr]  # they are pipes: see _start

    def give_way(self) -> None:
        """Let other processes compute before it."""
        with contextlib.suppress(OSError):  # it has ended, or this process gives way itself
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    def leave_to_parent(self) -> None:
        """In a forked child: close the pipe."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        """End it: what it has not delivered stays on disk."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()  # type: ignore[union-attr]  # it is a pipe: see _start


class Machine:
    """System metrics, written to the spool every `SAMPLE_SECONDS`, with MLflow's monitors and names.

    MLflow's own thread (`SystemMetricsMonitor`) connects to the store when it is made, ends when the store does not
    answer, and logs nothing of a job shorter than its interval: only its monitors are used.
    """

    def __init__(self, spool: Spool):
        history = spool.history()
        self._path = spool.path
        self._watched = bool((history.opened or {}).get("system_metrics")) and find_spec("psutil") is not None
        self._step = 1 + max((step for name, step in history.metrics if name.startswith("system/")), default=-1)
        self._next = time.monotonic() + SAMPLE_SECONDS
        self._monitors: list[Any] = []
        if self._watched:
            import psutil

            psutil.cpu_percent()  # each later call returns the use since the one before

    def sample(self, last: bool) -> None:
        """Write a sample if it is time for one, or if it is the last, which is all of a short job."""
        if not self._watched or (time.monotonic() < self._next and not last):
            return
        values: dict[str, float] = {}
        try:
            self._monitors = self._monitors or _monitors()
            for monitor in self._monitors:
                monitor.collect_metrics()
                values |= {f"system/{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
                monitor.clear_metrics()
        except Exception as error:  # of a driver or of the system: the job's own records are delivered all the same
            print(f"no system metrics ({type(error).__name__}: {error})", file=sys.stderr, flush=True)
            self._watched = False
            return
        record = {"kind": "metric", "time": now(), "step": self._step, "values": values}
        with contextlib.suppress(OSError), open(self._path, "a+b", buffering=0) as spool:
            append(spool.fileno(), record)  # of a full disk the job itself says so
        self._step += 1
        self._next = time.monotonic() + SAMPLE_SECONDS


def _monitors() -> list[Any]:
    from mlflow.system_metrics import system_metrics_monitor as mlflow_monitors

    monitors = [mlflow_monitors.CPUMonitor(), mlflow_monitors.DiskMonitor(), mlflow_monitors.NetworkMonitor()]
    with contextlib.suppress(Exception):  # MLflow's way to say that there is no GPU
        monitors.append(mlflow_monitors.GPUMonitor())
    return monitors


def _job_over(seconds: float) -> bool:
    """Wait for the end of the job; whether it has ended. It never writes to the pipe: there is only the end to read."""
    return bool(select.select([0], [], [], seconds)[0])


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # without MLflow's hooks at exit
