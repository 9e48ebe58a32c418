"""A real SLURM on this one machine: two nodes with four GPUs each, both of them pretended. For tests; needs root.

    python tests/slurm/cluster.py start     # munged, slurmctld, two slurmd; Debian: apt-get install slurm-wlm munge
    sinfo
    python tests/slurm/cluster.py stop

It has neither systemd nor cgroups nor an accounting database (so no `sacct`), and a GPU is a device file: jobs are
given GPUs and `CUDA_VISIBLE_DEVICES`, but there is nothing to compute on. Everything is kept in one folder, except
the link /etc/slurm/slurm.conf, where jobs look for the configuration; a SLURM that is there already is left alone.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path("/tmp/sparsevq-slurm")
LINK = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol")
NODES = ("gpu01", "gpu02")
GPUS = 4
CPUS = 8
MEMORY = 16000  # MB a node
DAEMONS = ("slurmctld", *(f"slurmd-{node}" for node in NODES), "munged")  # as they are to be stopped

CONFIGURATION = """\
ClusterName=pretended
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# Neither cgroups nor a database.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=2
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
# Everything soon: a test waits for it.
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
MinJobAge=3600
KillWait=10
ReturnToService=2
SlurmctldTimeout=300
SlurmdTimeout=300
# Cores, memory and GPUs are handed out; a node may claim more cores than the machine has.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
GresTypes=gpu,shard
{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=short Nodes=ALL MaxTime=5 State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory} "
    "Gres=gpu:{gpus},shard:{shards}"
)


class NoCluster(RuntimeError):
    """No cluster can be started here; the message says why."""


def obstacle(folder: Path = FOLDER) -> str | None:
    """Why no cluster can be started here, if it cannot."""
    if missing := [program for program in PROGRAMS if shutil.which(program, path=_environment()["PATH"]) is None]:
        return f"{missing[0]} is not installed (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "SLURM's daemons, as they are set up here, need root"
    if (LINK.exists() or LINK.is_symlink()) and not _is_ours(folder):
        return f"{LINK} belongs to another SLURM"
    return None


def start(folder: Path = FOLDER) -> None:
    """Start the cluster and wait until its nodes are idle.

    Raises
    ------
    NoCluster
        Root or a program is missing, another SLURM is set up here, or a daemon did not start.
    """
    if problem := obstacle(folder):
        raise NoCluster(problem)
    stop(folder)
    try:
        _configure(folder)
        for name, command in _daemons(folder).items():
            _run(name, command, folder)
        _wait_for_nodes(folder)
    except BaseException:
        stop(folder, keep=True)
        raise


def stop(folder: Path = FOLDER, *, keep: bool = False) -> None:
    """Cancel all jobs of the cluster in `folder`, stop its daemons and remove its traces; nothing where none is."""
    if _is_ours(folder) and _alive(folder, "slurmctld"):
        _ask(("scancel", "--state=PENDING,RUNNING,SUSPENDED", "--user=root"))
        _until(lambda: not _ask(("squeue", "--noheader")), 15)
    for name in DAEMONS:
        _end(folder, name)
    if _is_ours(folder):
        LINK.unlink(missing_ok=True)
    if folder.exists() and (folder / "slurm.conf").exists() and not keep:
        shutil.rmtree(folder)


@contextlib.contextmanager
def cluster(folder: Path = FOLDER) -> Iterator[Path]:
    """A cluster for as long as the block lasts."""
    start(folder)
    try:
        yield folder
    finally:
        stop(folder)


def controller(folder: Path, *, up: bool) -> None:
    """Stop the controller alone, or start it again."""
    if up:
        _run("slurmctld", _daemons(folder)["slurmctld"], folder)
        _wait_for_nodes(folder)
    else:
        _end(folder, "slurmctld")


def _configure(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("state", "munge", "dev"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    for number in range(GPUS):
        os.mknod(folder / "dev" / f"nvidia{number}", 0o020666, os.makedev(195, number))  # a character device
    host = socket.gethostname().split(".")[0]
    ports = _free_ports(1 + len(NODES))
    nodes = "\n".join(
        NODE.format(name=name, host=host, port=port, cpus=CPUS, memory=MEMORY, gpus=GPUS, shards=2 * GPUS)
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    devices = f"Name=gpu File={folder}/dev/nvidia[0-{GPUS - 1}]\nName=shard Count={2 * GPUS}\n"
    (folder / "gres.conf").write_text(f"AutoDetect=off\n{devices}")
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, ports=ports, folder=folder, nodes=nodes))
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.symlink_to(folder / "slurm.conf")


def _daemons(folder: Path) -> dict[str, tuple[str, ...]]:
    munge = folder / "munge"
    configuration = str(folder / "slurm.conf")
    return {
        "munged": (
            *("munged", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={munge}/seed"),
        ),
        "slurmctld": ("slurmctld", "-f", configuration),
        **{f"slurmd-{node}": ("slurmd", "-f", configuration, "-N", node) for node in NODES},
    }


def _run(name: str, command: Sequence[str], folder: Path) -> None:
    """Start a daemon, which goes to the background by itself."""
    with (folder / f"{name}.out").open("w") as output:
        status = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=_environment(), check=False
        ).returncode
    if status or not _until(lambda: _alive(folder, name), 10):
        told = [path.read_text()[-2000:] for path in (folder / f"{name}.out", folder / f"{name}.log") if path.exists()]
        raise NoCluster(f"{' '.join(command)} did not start (status {status})\n" + "\n".join(told))


def _wait_for_nodes(folder: Path) -> None:
    state = ("sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%N %T")
    wanted = [f"{node} idle" for node in NODES]
    if not _until(lambda: sorted(_ask(state).split("\n")) == wanted, 30):
        log = folder / "slurmctld.log"
        raise NoCluster(f"the nodes are not idle:\n{_ask(state)}\n{log.read_text()[-2000:] if log.exists() else ''}")


def _ask(command: Sequence[str]) -> str:
    """What a program of SLURM prints; nothing if it fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, env=_environment(), check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _end(folder: Path, name: str) -> None:
    process = _alive(folder, name)
    if not process:
        return
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
        if _until(lambda: not _alive(folder, name), patience):
            return
    raise NoCluster(f"{name} (process {process}) does not end")


def _alive(folder: Path, name: str) -> int:
    """The daemon's process id, or 0: a pid file may be older than the process that has the number now."""
    try:
        process = int((folder / f"{name}.pid").read_text())
        command = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, ValueError, IndexError):
        return 0
    ours = Path(os.fsdecode(command[0])).name == name.split("-")[0] and str(folder).encode() in b" ".join(command)
    return process if ours and state != "Z" else 0


def _is_ours(folder: Path) -> bool:
    return LINK.is_symlink() and LINK.readlink() == folder / "slurm.conf"


def _environment() -> dict[str, str]:
    """Daemons are outside an ordinary user's PATH; the configuration must be found as jobs find it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    environment["PATH"] = f"{environment.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return environment


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _until(condition, patience: float) -> bool:
    since = time.monotonic()
    while not condition():
        if time.monotonic() - since > patience:
            return False
        time.sleep(0.1)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    try:
        (start if arguments.what == "start" else stop)(arguments.folder.resolve())
    except NoCluster as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
