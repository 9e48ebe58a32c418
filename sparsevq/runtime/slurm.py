"""What a user of a SLURM cluster should be told before jobs are submitted and while they wait.

SLURM refuses a job when it is submitted, which for a training may be hours after the start, and lets others wait for
ever. So the workflow compares what its jobs ask for with what the partitions have before it submits any, and while it
runs, it says which jobs wait for something that will not come.
"""

import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sparsevq.errors import SparseVQError

PROFILE = "the profile (profiles/slurm/config.yaml)"
SECONDS_BETWEEN_LOOKS = 60.0
SECONDS_FOR_ANSWER = 30.0
PASSING = {
    *("None", "Priority", "Resources", "BeginTime", "Dependency", "JobArrayTaskLimit", "Cleaning", "Prolog"),
    *("Licenses", "NodeDown", "SchedDefer", "Reservation", "FedJobLock", "BurstBufferResources", "RaisedSignal"),
}
"""SLURM's reasons for a job to wait that pass by themselves."""


@dataclass(frozen=True)
class Request:
    """What the jobs of a rule ask SLURM for: memory (MB), CPUs and GPUs on each node, minutes; other options."""

    rule: str
    partition: str | None
    nodes: int
    cpus: int
    memory: int
    gpus: int
    minutes: int
    extra: str = ""


@dataclass(frozen=True)
class Node:
    """A node in one of its partitions: CPUs, memory (MB), GPUs, and the partition's limit in minutes, if it has one."""

    partition: str
    name: str
    cpus: int
    memory: int
    gpus: int
    minutes: int | None


def require_possible(requests: Iterable[Request], status_command: str | None) -> None:
    """Check that SLURM answers, that jobs can be followed, and that nodes exist on which the jobs of each rule fit.

    Raises
    ------
    SparseVQError
        If not; the message names the rule, the partition, and what is too much.
    """
    nodes = _nodes()
    if status_command in (None, "sacct"):
        _require_accounting()
    for request in dict.fromkeys(requests):
        _require_fit(request, nodes)
        _require_time_before_warning(request)


def watch(tell: Callable[[str], None], every: float = SECONDS_BETWEEN_LOOKS) -> threading.Event:
    """Say, in a thread of its own, which jobs wait for something that will not come; once for each job and reason.

    Returns
    -------
    threading.Event
        Ends the thread when it is set.
    """
    ended = threading.Event()

    def look() -> None:
        told: set[str] = set()
        silent = 0
        while not ended.wait(every):
            answer = _ask("squeue", "--me", "--states=PENDING", "--noheader", "--format=%i|%r|%k")
            silent = silent + 1 if answer.returncode else 0
            if silent == 3:
                tell(f"SLURM has not answered for {3 * every:.0f} s ({_last(answer.stderr)}): still trying")
            new = [line for line in waiting(answer.stdout) if line not in told]
            told.update(new)
            for line in new:
                tell(line)

    threading.Thread(target=look, daemon=True).start()
    return ended


def waiting(listed: str) -> list[str]:
    """A line for each job of a workflow that waits for something that will not come.

    Parameters
    ----------
    listed
        What `squeue` prints: lines ``id|reason|comment``.
    """
    lines = []
    for line in listed.splitlines():
        number, _, rest = line.partition("|")
        reason, _, comment = rest.partition("|")
        rule = re.match(r"rule_(.+?)(?:_wildcards_(.*))?$", comment)
        if rule is None or reason.strip("()").split(",")[0] in PASSING:
            continue
        name = f"{rule[1]} ({rule[2]})" if rule[2] else rule[1]
        lines.append(
            f"{name}: SLURM job {number} waits ({reason}), perhaps for ever: see `scontrol show job {number}`; if it "
            "cannot start, stop by Ctrl-C, fix partition, account or `resources`, and start again"
        )
    return lines


_CALL_SLURM = "try `scontrol ping`; if it says DOWN, ask the cluster's administrators, and start again once it is up"


def _nodes() -> list[Node]:
    answer = _ask("sinfo", "--noheader", "--Node", "--format=%R|%N|%c|%m|%G|%l")
    if answer.returncode:
        raise SparseVQError(f"SLURM does not answer here ({_last(answer.stderr)})", _CALL_SLURM)
    nodes = []
    for line in answer.stdout.splitlines():
        partition, name, cpus, memory, gres, limit = (part.strip() for part in line.split("|"))
        gpus = sum(int(count) for count in re.findall(r"gpu(?::[^:(,]+)?:(\d+)", gres))
        nodes.append(Node(partition, name, _number(cpus), _number(memory), gpus, _minutes(limit)))
    return nodes


def _require_accounting() -> None:
    """Without a database the plugin's status command fails silently, and Snakemake waits for ever."""
    answer = _ask("sacct", "--allocations", "--noheader", "--name=sparsevq")
    if answer.returncode:
        raise SparseVQError(
            f"this cluster has no accounting of jobs ({_last(answer.stderr)}), by which they would be followed",
            f"add the line `slurm-status-command: squeue` to {PROFILE}",
        )


def _require_fit(request: Request, nodes: Sequence[Node]) -> None:
    partitions = sorted({node.partition for node in nodes})
    names = None if request.partition is None else request.partition.split(",")
    if names is not None and (unknown := [name for name in names if name not in partitions]):
        raise SparseVQError(
            f"slurm_partition={unknown[0]}: this cluster has no such partition; it has: {', '.join(partitions)}",
            f"set slurm_partition in {PROFILE}",
        )
    there = [node for node in nodes if names is None or node.partition in names]
    where = "this cluster" if names is None else f"partition {request.partition}"
    for asked, unit, key in (("gpus", "GPUs", "gpu"), ("cpus", "CPUs", "threads"), ("memory", "MB", "mem_mb")):
        most = max((getattr(node, asked) for node in there), default=0)
        if getattr(request, asked) > most:
            raise SparseVQError(
                f"rule {request.rule} asks for {getattr(request, asked)} {unit} on a node, but no node of {where} has "
                f"more than {most}",
                f"lower resources.{key} in the configuration, or set another slurm_partition in {PROFILE}",
            )
    fitting = {
        node.name
        for node in there
        if node.gpus >= request.gpus and node.cpus >= request.cpus and node.memory >= request.memory
    }
    if len(fitting) < request.nodes:
        raise SparseVQError(
            f"rule {request.rule} asks for {request.nodes} node(s) with {request.gpus} GPUs, {request.cpus} CPUs and "
            f"{request.memory} MB each, but {where} has {len(fitting)} such",
            f"lower `resources` in the configuration, or set another slurm_partition in {PROFILE}",
        )
    limits = [node.minutes for node in there]
    if None not in limits and request.minutes > (most := max(limit for limit in limits if limit is not None)):
        raise SparseVQError(
            f"rule {request.rule} asks for {request.minutes} minutes, but {where} allows {most}",
            "lower resources.runtime in the configuration (a training that does not end in it resumes from its "
            f"checkpoint when it is retried), or set another slurm_partition in {PROFILE}",
        )


def _require_time_before_warning(request: Request) -> None:
    """SLURM may warn a minute early, and the warning ends a job that has not installed its handler yet."""
    warned = re.search(r"--signal=\S*@(\d+)", request.extra)
    least = -(-int(warned[1]) // 60) + 3 if warned else 0
    if warned and 0 < request.minutes < least:
        raise SparseVQError(
            f"rule {request.rule} asks for {request.minutes} minutes, and is to be warned {warned[1]} s before the end",
            f"set resources.runtime in the configuration to {least} or more, or a later warning in {PROFILE}",
        )


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_FOR_ANSWER, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"there is no {command[0]} on this machine")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]} took {SECONDS_FOR_ANSWER:.0f} s")


def _last(text: str) -> str:
    return text.strip().split("\n")[-1].strip() or "no message"


def _number(text: str) -> int:
    """``16000+`` is at least that."""
    return int(re.sub(r"\D", "", text) or 0)


def _minutes(limit: str) -> int | None:
    """``2-03:04:05``, ``3:04:05``, ``4:05`` (minutes, seconds) or ``infinite``."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", limit):
        return None
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, _ = [0] * (3 - len(parts)) + parts
    return int(days or 0) * 1440 + hours * 60 + minutes
