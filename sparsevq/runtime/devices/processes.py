"""Processes that train together: how they are started, and that none outlives another.

The first process of a job starts the others, which run the same script with the same arguments: those of its own node
itself, one on each further node by `srun`, which starts that node's others. (Under torchrun there is nothing to do.)
They know their places by the variables that torchrun sets too: ``RANK``, ``LOCAL_RANK``, ``NODE_RANK``, ``WORLD_SIZE``,
``MASTER_ADDR``, ``MASTER_PORT``.

A collective operation waits for all ranks, with NCCL for half an hour if one is gone. So whoever started processes
watches them: when one fails, the others are ended, and the first process says which it was. When the first one is gone,
the kernel ends the others.
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
"""How long a process whose fellow failed may take to end by itself, before it is ended."""
ON_ANOTHER_NODE = "one on another node"
SECONDS_TO_FOLLOW = 60.0
"""How long the others may take to end after the first one's work is done."""


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
    if "LOCAL_RANK" in environment:  # started by the first process of this node
        _require_same(processes * nodes)
        return
    if "NODE_RANK" in environment and nodes > 1:  # started on this node by the first, or by the user
        environment.setdefault("WORLD_SIZE", str(processes * nodes))
        _require_same(processes * nodes)
    else:
        on_others = _on_other_nodes(processes, nodes, threads) if nodes > 1 else []
        environment["NODE_RANK"] = "0"
        environment["MASTER_ADDR"] = "127.0.0.1" if nodes == 1 else socket.gethostname()
        environment["MASTER_PORT"] = str(_free_port())
        environment["WORLD_SIZE"] = str(processes * nodes)
        if on_others:
            _group.start(ON_ANOTHER_NODE, on_others, {}, signal.SIGTERM)
    first = int(environment["NODE_RANK"]) * processes
    for place in range(1, processes):
        own = {"LOCAL_RANK": str(place), "RANK": str(first + place)}
        _group.start(f"rank {first + place} of {processes * nodes}", _same_command(), own, signal.SIGKILL)
    environment |= {"LOCAL_RANK": "0", "RANK": str(first)}


@contextlib.contextmanager
def together(tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Within the block processes may train together: at its end, however it ends, those that were started end too.

    What follows from another process's failure is told as that. Without several processes, nothing is done.

    Parameters
    ----------
    tell
        Where to say what happened if this process must be ended outright; None: the standard error.

    Raises
    ------
    SparseVQError
        Another process failed.
    """
    _group.tell = tell or _to_standard_error
    try:
        yield
    except Exception as error:
        follows = _follows_from_loss(error)
        lost = _group.lost_within(SECONDS_TO_END / 2 if follows else 0.0)
        if follows and lost is None and not is_first():
            time.sleep(SECONDS_TO_END)  # whoever started this process tells, and ends it
        if lost is None or isinstance(error, SparseVQError):
            raise
        raise SparseVQError(*lost) from error
    else:
        _group.follow(SECONDS_TO_FOLLOW)
    finally:
        _group.end()


class _Group:
    """The processes that this one has started."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lost: tuple[str, str] | None = None
        self._change = threading.Condition()
        self._ended = threading.Event()
        self.tell: Callable[[str], None] = _to_standard_error

    def start(self, name: str, command: list[str], own: dict[str, str], at_our_death: signal.Signals) -> None:
        """Start a process, watched; the kernel sends it `at_our_death` when this one is gone."""
        child = subprocess.Popen(
            command,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            preexec_fn=killed_with_parent(at_our_death),
        )
        self._children[name] = child
        self._ended.clear()
        threading.Thread(target=self._watch, args=(name, child), daemon=True).start()

    def _watch(self, name: str, child: "subprocess.Popen[bytes]") -> None:
        status = child.wait()
        with self._change:
            if status == 0 or self._lost is not None or self._ended.is_set():
                return
            how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with status {status}"
            self._lost = (
                f"of the processes that train together, {name} {how}",
                "see what it said last, above or in the log; if nothing, memory may have run out (lower batch_frames)",
            )
            self._change.notify_all()
        self._kill()
        if not self._ended.wait(SECONDS_TO_END):  # this process waits in a collective operation
            self.tell(f"error: {SparseVQError(*self._lost)}")
            os._exit(1)

    def lost_within(self, seconds: float) -> tuple[str, str] | None:
        """Which process failed first, as the parts of an error; None if none did."""
        with self._change:
            if self._children and self._lost is None:
                self._change.wait(seconds)
            return self._lost

    def follow(self, seconds: float) -> None:
        """Let the processes end by themselves."""
        until = time.monotonic() + seconds
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """End them."""
        self._ended.set()
        self._kill()
        self._children.clear()
        self._lost = None

    def _kill(self) -> None:
        for name, child in list(self._children.items()):
            if child.poll() is None:
                # `srun` hands SIGTERM on to what it started; by SIGKILL it would leave it behind.
                child.send_signal(signal.SIGTERM if name == ON_ANOTHER_NODE else signal.SIGKILL)


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_group = _Group()


def _follows_from_loss(error: Exception) -> bool:
    """Whether an error is what a collective operation raises when another rank is gone."""
    words = r"gloo|nccl|peer|socket|TCPStore|distributed|Broken pipe|Connection (refused|reset|closed)"
    return isinstance(error, RuntimeError) and re.search(words, str(error), re.IGNORECASE) is not None


def _require_same(world: int) -> None:
    if int(os.environ["WORLD_SIZE"]) != world:
        raise SparseVQError(
            f"{socket.gethostname()} would make it {world} processes, the first node {os.environ['WORLD_SIZE']}",
            "give each node the same number of GPUs (resources.gpu)",
        )


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
