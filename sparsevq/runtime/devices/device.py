"""The one place that picks a device: which GPUs this process may use, how many threads, which precision.

Several jobs on one host must get different GPUs, and Snakemake only counts tokens. So a process leases its GPUs: it
holds one `flock` for each, taken all or none under a gate lock. The kernel drops the locks when the process ends,
even by SIGKILL, whatever children it leaves. A lease must come before CUDA starts, since CUDA reads
``CUDA_VISIBLE_DEVICES`` once.
"""

import contextlib
import functools
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.leases import lease
from sparsevq.runtime.devices.processes import join, under_torchrun

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from sparsevq.runtime.devices.parallel import DataParallel

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32-true", "bf16-mixed"]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Lease:
    """The devices that this process may use.

    Parameters
    ----------
    kind
        ``cpu`` or ``cuda``.
    gpus
        The leased GPUs, as in ``CUDA_VISIBLE_DEVICES``; none for ``cpu``.
    wanted
        What was asked for; with ``auto`` a GPU that torch cannot use is passed over.
    processes
        With ``cpu``, processes that train together; with ``cuda`` it is one a GPU.
    """

    kind: Literal["cpu", "cuda"]
    gpus: tuple[str, ...]
    wanted: Device
    locks: tuple[int, ...] = ()
    processes: int = 1

    def release(self) -> None:
        """Let other processes have the GPUs; the end of the process does the same."""
        global _held
        for lock in self.locks:
            with contextlib.suppress(OSError):
                os.close(lock)
        if _held is self:
            _held = None


_held: Lease | None = None  # CUDA reads its devices once, so a process has one lease


def _leave_locks_to_the_parent() -> None:
    """In a forked child: a copy of a descriptor would keep the lock when the parent is gone."""
    global _held
    if _held is not None:
        for lock in _held.locks:
            with contextlib.suppress(OSError):
                os.close(lock)
        _held = replace(_held, locks=())


os.register_at_fork(after_in_child=_leave_locks_to_the_parent)


def claim_devices(device: Device, count: int = 1, *, patience: float | None = None) -> Lease:
    """Lease `count` GPUs, or settle for the CPU; sets ``CUDA_VISIBLE_DEVICES``.

    GPUs are looked for in ``SPARSEVQ_GPUS`` (for tests), else ``CUDA_VISIBLE_DEVICES``, else what `nvidia-smi` lists;
    in a SLURM job only in what SLURM gave. Waits while too few of them are free.

    Parameters
    ----------
    device
        ``auto``: GPUs if there are any, else the CPU.
    count
        GPUs to lease; 0: the CPU. With ``cpu``, processes that train together.
    patience
        Seconds to wait for GPUs that other processes hold; None: as long as it takes.

    Raises
    ------
    SparseVQError
        ``cuda`` was asked for and there is no GPU, there are fewer than `count`, or `patience` ran out.
    """
    global _held
    if _held is not None:
        return _held
    pool, space = ((), "") if device == "cpu" else _pool(os.environ)
    if "SLURM_JOB_GPUS" in os.environ and not pool and count and device == "auto":
        print("SLURM gave this job GPUs, but CUDA_VISIBLE_DEVICES names none: working on the CPU", flush=True)
    if device == "cuda" and not (pool and count):
        reason = "this SLURM job was given none" if "SLURM_JOB_ID" in os.environ else "there is none"
        raise SparseVQError(
            f"device=cuda needs a GPU, but {reason if count else 'resources.gpu is 0'}",
            "set device to auto or cpu, or ask for a GPU (resources.gpu)",
        )
    if not pool or count == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # without a lease, nothing may start CUDA by the way
        _held = Lease("cpu", (), device, processes=max(1, count) if device == "cpu" else 1)
        return _held
    slices = tuple(name for name in pool if name.startswith("MIG-"))
    if count > 1:  # CUDA gives a process one slice of a split GPU, and slices cannot exchange gradients
        pool = tuple(name for name in pool if name not in slices)
    if len(pool) < count:
        besides = f" beside {len(slices)} MIG slices, which cannot train together" if slices else ""
        raise SparseVQError(
            f"{count} GPUs were asked for, but there are {len(pool)} here{besides}", "lower resources.gpu"
        )
    if "LOCAL_RANK" in os.environ:  # one of several processes that share a lease, which the first of them holds
        shared = _names(os.environ.get("CUDA_VISIBLE_DEVICES", "")) or pool
        _held = Lease("cuda", shared[:count], device)
        return _held

    held = lease({name: f"{space}{_same_name(name, space)}" for name in pool}, count, patience)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    _held = Lease("cuda", tuple(held), device, tuple(held.values()))
    return _held


def set_threads(count: int) -> None:
    """Let this process use `count` CPU threads, and idle threads sleep instead of spinning.

    Call it before torch is imported, since OpenMP reads its variables when it is loaded.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


def fabric_for(lease: Lease, precision: Precision = "auto", *, nodes: int = 1) -> "Fabric":
    """Fabric on the leased devices, launched: one process a GPU, which share this process's threads.

    Parameters
    ----------
    nodes
        Nodes that train together, each on as many devices as this one has leased.

    Raises
    ------
    SparseVQError
        ``cuda`` was asked for and this torch cannot use it, or there are no such nodes.
    """
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    cuda = lease.kind == "cuda" and torch.cuda.is_available()
    if lease.kind == "cuda" and not cuda:
        problem = f"there is a GPU, but torch {torch.__version__} cannot use it"
        if lease.wanted == "cuda":
            raise SparseVQError(problem, "install a torch built for its driver, or set device to cpu")
        print(f"{problem}: training on the CPU", flush=True)
    if cuda:
        _repeatable()
    count = len(lease.gpus) if cuda else lease.processes
    together = count * nodes > 1
    if together and not torch.distributed.is_initialized():
        threads = int(os.environ["OMP_NUM_THREADS"]) if "OMP_NUM_THREADS" in os.environ else None
        join(count, nodes, threads)
        if threads is not None:
            set_threads(max(1, threads // count))
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=count,
        num_nodes=nodes,
        strategy=_data_parallel() if together else "auto",
        precision=resolve_precision(precision, cuda=cuda),
        # Else Fabric sees SLURM's variables and expects SLURM to have started one task a GPU.
        plugins=None if under_torchrun() else [LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def _data_parallel() -> "DataParallel":
    from sparsevq.runtime.devices.parallel import DataParallel  # imports torch

    return DataParallel()


def resolve_precision(precision: Precision, *, cuda: bool) -> Literal["32-true", "bf16-mixed"]:
    """``auto`` is bf16-mixed where the device multiplies bf16 matrices in hardware, else 32-true."""
    if precision != "auto":
        return precision
    if cuda:
        import torch

        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if _cpu_has("amx_bf16") else "32-true"


def _cpu_has(flag: str) -> bool:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return flag in line.split()
    except OSError:  # not Linux
        pass
    return False


def _repeatable() -> None:
    """The same seed must give the same table: keep CUDA to algorithms that sum in a fixed order, where it has them."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A check that costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that `claim_devices` chooses among, in their order."""
    return _pool(os.environ)[0]


# ------------------------------------------------------------------------------------------------ which GPUs there are


def _pool(environment: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """The GPUs to choose among, and the name space in which their names are unique on this host."""
    if "SPARSEVQ_GPUS" in environment:
        return _names(environment["SPARSEVQ_GPUS"]), ""
    if "SLURM_JOB_ID" in environment:
        # Where SLURM confines jobs, each calls its first GPU 0: names are unique within the job alone.
        return _names(environment.get("CUDA_VISIBLE_DEVICES", "")), "-".join(
            ("slurm", environment["SLURM_JOB_ID"], environment.get("SLURMD_NODENAME", ""), "")
        )
    if "CUDA_VISIBLE_DEVICES" in environment:
        return _names(environment["CUDA_VISIBLE_DEVICES"]), ""
    return _listed(), ""


def _names(text: str) -> tuple[str, ...]:
    """As CUDA reads such a list: up to the first entry that names no device."""
    names = []
    for name in map(str.strip, text.split(",")):
        if not name or name.startswith("-") or name == "NoDevFiles":
            break
        names.append(name)
    return tuple(dict.fromkeys(names))


@functools.cache
def _gpus() -> tuple[tuple[str, ...], ...]:
    """What `nvidia-smi` lists: of each GPU its UUID or, where it is split, those of its MIG devices."""
    try:
        answer = subprocess.run(("nvidia-smi", "-L"), capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    gpus: list[tuple[str, ...]] = []
    for name in re.findall(r"UUID: ((?:GPU|MIG)-[^)\s]+)", answer.stdout) if answer.returncode == 0 else []:
        if name.startswith("GPU-"):
            gpus.append((name,))
        elif gpus:
            gpus[-1] = (*(other for other in gpus[-1] if other.startswith("MIG-")), name)
    return tuple(gpus)


def _listed() -> tuple[str, ...]:
    """UUIDs of the GPUs (of split ones, of their MIG devices) that `nvidia-smi` lists."""
    return tuple(name for gpu in _gpus() for name in gpu)


def _same_name(name: str, space: str) -> str:
    """One name for one GPU, whether it was given as an index, by its UUID or by the UUID's first part."""
    if space or "SPARSEVQ_GPUS" in os.environ:
        return name
    if name.isdigit():
        gpus = _gpus()
        return gpus[int(name)][0] if int(name) < len(gpus) else name  # of a split GPU, CUDA takes the first slice
    meant = [whole for whole in _listed() if whole.startswith(name)]
    return meant[0] if len(meant) == 1 else name
