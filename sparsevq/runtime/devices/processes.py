"""Processes that train together: how they are started, and that none outlives another.

The first process of a job starts the others, which run the same script with the same arguments: it starts those of its
own node, and one on each further node by `srun`, which starts the others of that node. Under torchrun there is nothing
to do. The processes know their places by the variables that torchrun sets too: ``RANK``, ``LOCAL_RANK``, ``NODE_RANK``,
``WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``.

A collective operation waits for all ranks, with NCCL for half an hour if one is gone. So whoever started processes
watches them: when one fails, the others are ended, and the first process says which it was. When the first one is gone,
the kernel ends the others. Lightning's own launcher kills the first process as well, which then says nothing, closes
no run in MLflow, and leaves the others behind when it is killed itself.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from sparsevq.errors import SparseVQError
from sparsevq.runtime.signals import killed_with_parent

SECONDS_TO_END = 20.0
"""How long a process may take to end by itself after another one failed, before it is ended."""
SECONDS_TO_FOLLOW = 60.0
"""How long the others may take to end after the first one's work is done."""
SECONDS_BETWEEN_LOOKS = 0.1


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def is_first() -> bool:
    """Whether this process leads those that train together, or works alone."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def join(processes: int, nodes: int, threads: int | None) -> None:
    """Take this process's place among `processes` on each of `nodes` nodes; the first on a node starts its others.

    Parameters
    ----------
    threads
        CPU threads of this node's processes together, for nodes that are still to be started.

    Raises
    ------
    SparseVQError
        There are several nodes and no SLURM, or this node has another number of devices than the first.
    """
    environment = os.environ
    if under_torchrun():
        return
    world = processes * nodes
    if "LOCAL_RANK" in environment or ("NODE_RANK" in environment and nodes > 1):  # started by another, or by the user
        if int(environment.setdefault("WORLD_SIZE", str(world))) != world:
            raise SparseVQError(
                f"{socket.gethostname()} would make it {world} processes, the first node {environment['WORLD_SIZE']}",
                "give each node the same number of GPUs (resources.gpu)",
            )
        if "LOCAL_RANK" in environment:
            return
    else:
        on_others = _on_other_nodes(processes, nodes, threads) if nodes > 1 else []
        environment |= {
            "NODE_RANK": "0",
            "MASTER_ADDR": "127.0.0.1" if nodes == 1 else socket.gethostname(),
            "MASTER_PORT": str(_free_port()),
            "WORLD_SIZE": str(world),
        }
        if on_others:
            # `srun` passes SIGTERM on to what it started; by SIGKILL it would leave it behind.
            _group.start("one on another node", on_others, {}, signal.SIGTERM)
    first = int(environment["NODE_RANK"]) * processes
    for place in range(1, processes):
        own = {"LOCAL_RANK": str(place), "RANK": str(first + place)}
        _group.start(f"rank {first + place} of {world}", _same_command(), own, signal.SIGKILL)
    environment |= {"LOCAL_RANK": "0", "RANK": str(first)}


@contextlib.contextmanager
def together(tell: Callable[[str], None] = _to_standard_error) -> Iterator[None]:
    """Within the block processes may train together; when it ends, those that were started are ended too.

    An error that is the consequence of another process's failure is reported as that failure. Without several
    processes, nothing is done.

    Parameters
    ----------
    tell
        Where to say what happened if this process must be ended outright.

    Raises
    ------
    SparseVQError
        Another process failed.
    """
    global _group
    _group.tell = tell
    try:
        yield
    except Exception as error:
        follows = _follows_from_loss(error)
        lost = _group.lost_within(SECONDS_TO_END / 2 if follows else 0.0)
        if follows and lost is None and not is_first():
            time.sleep(SECONDS_TO_END)  # whoever started this process tells, and ends it
        if lost is None or isinstance(error, SparseVQError):
            raise
        raise lost from error
    else:
        _group.wait(SECONDS_TO_FOLLOW)
    finally:
        _group.end()
        _group = _Group()


class _Group:
    """The processes that this one has started, and the first of them that failed."""

    def __init__(self) -> None:
        self.tell: Callable[[str], None] = _to_standard_error
        self._children: dict[str, tuple[subprocess.Popen[bytes], signal.Signals]] = {}
        self._lost: SparseVQError | None = None
        self._is_lost, self._ended = threading.Event(), threading.Event()

    def start(self, name: str, command: list[str], own: dict[str, str], end_by: signal.Signals) -> None:
        """Start a process with these variables beside ours; the signal ends it, also when this process is gone."""
        child = subprocess.Popen(
            command, env={**os.environ, **own}, stdin=subprocess.DEVNULL, preexec_fn=killed_with_parent(end_by)
        )
        self._children[name] = child, end_by
        if len(self._children) == 1:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self._lost is None:
            if self._ended.wait(SECONDS_BETWEEN_LOOKS):
                return
            failed = [(name, child.returncode) for name, (child, _) in [*self._children.items()] if child.poll()]
            self._lost = _loss(*failed[0]) if failed else None
        self._is_lost.set()
        self._kill()
        if not self._ended.wait(SECONDS_TO_END):  # this process waits in a collective operation
            self.tell(f"error: {self._lost}")
            os._exit(1)

    def lost_within(self, seconds: float) -> SparseVQError | None:
        """The failure of a process, for which to wait so long; None if there is none."""
        if self._children:
            self._is_lost.wait(seconds)
        return self._lost

    def wait(self, seconds: float) -> None:
        """Let the processes end by themselves."""
        until = time.monotonic() + seconds
        for child, _ in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """End them."""
        self._ended.set()
        self._kill()

    def _kill(self) -> None:
        for child, end_by in self._children.values():
            child.send_signal(end_by)  # does nothing to one that has ended


_group = _Group()


def _loss(name: str, status: int) -> SparseVQError:
    how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with status {status}"
    return SparseVQError(
        f"of the processes that train together, {name} {how}",
        "see its last message, above or in the log; if there is none, memory may have run out (lower batch_frames)",
    )


def _follows_from_loss(error: Exception) -> bool:
    """Whether an error is what a collective operation raises when another rank is gone."""
    words = r"gloo|nccl|peer|socket|TCPStore|distributed|Broken pipe|Connection (refused|reset|closed)"
    return isinstance(error, RuntimeError) and re.search(words, str(error), re.IGNORECASE) is not None


def _same_command() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]


def _on_other_nodes(processes: int, nodes: int, threads: int | None) -> list[str]:
    """One process on each further node of this SLURM job; the shell tells it its rank, which SLURM knows there."""
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise SparseVQError(
            f"{nodes} nodes were asked for, but this is no job of SLURM that could start a process on the others",
            "lower resources.nodes to 1, use profiles/slurm, or start the job on each node with NODE_RANK, MASTER_ADDR "
            "and MASTER_PORT set",
        )
    gpus = len([name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name])
    place = f"NODE_RANK=$((SLURM_PROCID + 1)) RANK=$(((SLURM_PROCID + 1) * {processes}))"
    return [
        "srun",
        f"--nodes={nodes - 1}",
        "--relative=1",  # all nodes but the first
        f"--ntasks={nodes - 1}",
        "--ntasks-per-node=1",
        *([f"--cpus-per-task={threads}"] if threads else []),
        *([f"--gpus-per-node={gpus}"] if gpus else []),
        "--overlap",
        "--kill-on-bad-exit=1",
        *("sh", "-c", f"export {place}; exec {shlex.join(_same_command())}"),
    ]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])
