"""The one place that picks a device: which GPUs this process may use, how many threads, which precision.

Several jobs on one host must get different GPUs, and Snakemake only counts tokens. So a process leases its GPUs
(`leases.py`), and they are free again when it ends, even by SIGKILL, whatever children it leaves. The lease must come
before CUDA is initialised, since CUDA reads ``CUDA_VISIBLE_DEVICES`` once.
"""

import contextlib
import functools
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.processes import join, under_torchrun
from sparsevq.runtime.devices.processor import MULTIPLIES_BF16, instruction_sets

if TYPE_CHECKING:
    from filelock import FileLock

    from sparsevq.runtime.devices.fabric import Fabric

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
    locks
        What keeps other processes from the GPUs; none where another process holds the lease.
    processes
        With ``cpu``, processes that train together; with ``cuda`` it is one a GPU.
    """

    kind: Literal["cpu", "cuda"]
    gpus: tuple[str, ...]
    wanted: Device
    locks: "tuple[FileLock, ...]" = ()
    processes: int = 1

    def release(self) -> None:
        """Let other processes have the GPUs; the end of the process does the same."""
        global _held
        for lock in self.locks:
            lock.release()
        if _held is self:
            _held = None


_held: Lease | None = None  # CUDA reads its devices once, so a process has one lease


def claim_devices(device: Device, count: int = 1, *, timeout: float | None = None) -> Lease:
    """Lease `count` GPUs, or fall back to the CPU; sets ``CUDA_VISIBLE_DEVICES``.

    GPUs are looked for in ``SPARSEVQ_GPUS`` (for tests), else ``CUDA_VISIBLE_DEVICES``, else in the driver's list
    (NVML); in a SLURM job only in what SLURM gave. Waits while too few of them are free.

    Parameters
    ----------
    device
        ``auto``: GPUs if there are any, else the CPU.
    count
        GPUs to lease; 0: the CPU. With ``cpu``, processes that train together.
    timeout
        Seconds to wait for GPUs that other processes hold; None: as long as it takes.

    Raises
    ------
    SparseVQError
        ``cuda`` was asked for and there is no GPU, there are fewer than `count`, or `timeout` passed.
    """
    global _held
    if _held is None:
        pool = {} if device == "cpu" else _pool()
        _held = _gpu_lease(device, count, pool, timeout) if pool and count else _cpu_lease(device, count)
        # Empty for the CPU: without a lease, nothing may initialise CUDA accidentally.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_held.gpus)
    return _held


def _cpu_lease(device: Device, count: int) -> Lease:
    if device == "cuda":
        reason = "this SLURM job was given none" if "SLURM_JOB_ID" in os.environ else "there is none"
        raise SparseVQError(
            f"device=cuda needs a GPU, but {reason if count else 'resources.gpu is 0'}",
            "set device to auto or cpu, or ask for a GPU (resources.gpu)",
        )
    if "SLURM_JOB_GPUS" in os.environ and count and device == "auto":
        print("SLURM gave this job GPUs, but CUDA_VISIBLE_DEVICES names none: working on the CPU", flush=True)
    return Lease("cpu", (), device, processes=max(1, count) if device == "cpu" else 1)


def _gpu_lease(device: Device, count: int, pool: dict[str, str], timeout: float | None) -> Lease:
    slices = [name for name in pool if name.startswith("MIG-")]
    if count > 1:  # CUDA gives a process one slice of a split GPU, and slices cannot exchange gradients
        pool = {name: same for name, same in pool.items() if name not in slices}
    if len(pool) < count:
        besides = f" beside {len(slices)} MIG slices, which cannot train together" if slices else ""
        raise SparseVQError(
            f"{count} GPUs were asked for, but there are {len(pool)} here{besides}", "lower resources.gpu"
        )
    if "LOCAL_RANK" in os.environ:  # one of several processes that share a lease, which the first of them holds
        shared = _names(os.environ.get("CUDA_VISIBLE_DEVICES", "")) or [*pool]
        return Lease("cuda", tuple(shared[:count]), device)

    from sparsevq.runtime.devices.leases import lease  # jobs on the CPU need no locks

    held = lease(pool, count, timeout)
    return Lease("cuda", tuple(held), device, tuple(held.values()))


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

    from sparsevq.runtime.devices.fabric import Fabric, LightningEnvironment
    from sparsevq.runtime.devices.parallel import DataParallel

    cuda = lease.kind == "cuda" and torch.cuda.is_available()
    if lease.kind == "cuda" and not cuda:
        problem = f"there is a GPU, but torch {torch.__version__} cannot use it"
        if lease.wanted == "cuda":
            raise SparseVQError(problem, "install a torch built for its driver, or set device to cpu")
        print(f"{problem}: training on the CPU", flush=True)
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
        strategy=DataParallel() if together else "auto",
        precision=resolve_precision(precision, cuda=cuda),
        # Otherwise Fabric sees SLURM's variables and expects SLURM to have started one task for each GPU.
        plugins=None if under_torchrun() else [LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def resolve_precision(precision: Precision, *, cuda: bool) -> Literal["32-true", "bf16-mixed"]:
    """``auto`` is bf16-mixed where the device multiplies bf16 matrices in hardware, else 32-true.

    A rule rather than a timing: the same processor must take the same precision each time, in a training that resumes
    too.
    """
    if precision != "auto":
        return precision
    import torch

    if cuda:
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # without oneDNN torch multiplies bf16 in loops of its own
        faster = torch.backends.mkldnn.is_available() and not instruction_sets().isdisjoint(MULTIPLIES_BF16)
    return "bf16-mixed" if faster else "32-true"


def _repeatable() -> None:
    """Use algorithms that sum in a fixed order, where there are such: the same seed must give the same table.

    Several CPU threads would add up the gradient of gathered codes in any order, too.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same as `use_deterministic_algorithms`, which would import the compiler to tell it: a second for each job.
    torch.set_deterministic_debug_mode("warn")
    # Filling uninitialised memory takes time, and is of use only to programs that read it. (torch has no types for it.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that `claim_devices` chooses among, in their order."""
    return tuple(_pool())


# ------------------------------------------------------------------------------------------------ which GPUs there are


def _pool() -> dict[str, str]:
    """The GPUs to choose among -> a name of each that is the same for all processes of this host."""
    if "SPARSEVQ_GPUS" in os.environ:
        return {name: name for name in _names(os.environ["SPARSEVQ_GPUS"])}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "SLURM_JOB_ID" in os.environ:
        # Where SLURM confines jobs, each calls its first GPU 0: names are unique only within the job.
        job = f"slurm-{os.environ['SLURM_JOB_ID']}-{os.environ.get('SLURMD_NODENAME', '')}"
        return {name: f"{job}-{name}" for name in _names(visible or "")}
    listed = [name for gpu in _gpus() for name in gpu] if visible is None else _names(visible)
    return {name: _uuid(name) for name in listed}


def _names(text: str) -> list[str]:
    """As CUDA reads such a list: up to the first entry that names no device."""
    names = []
    for name in map(str.strip, text.split(",")):
        if not name or name.startswith("-") or name == "NoDevFiles":
            break
        names.append(name)
    return names


def _uuid(name: str) -> str:
    """The UUID of a GPU that is given by its index, its UUID or the UUID's first part; unknown names stay."""
    gpus = _gpus()
    if name.isdigit():
        return gpus[int(name)][0] if int(name) < len(gpus) else name  # of a split GPU, CUDA takes the first slice
    meant = [uuid for gpu in gpus for uuid in gpu if uuid.startswith(name)]
    return meant[0] if len(meant) == 1 else name


@functools.cache
def _gpus() -> tuple[tuple[str, ...], ...]:
    """What the driver lists: of each GPU its UUID or, where it is split, those of its MIG devices."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_mig_devices(handle) or (pynvml.nvmlDeviceGetUUID(handle),) for handle in handles)
    except pynvml.NVMLError:  # no driver, or one that does not answer
        return ()


def _mig_devices(gpu: object) -> tuple[str, ...]:
    import pynvml

    found = []
    with contextlib.suppress(pynvml.NVMLError):  # this GPU cannot be split
        for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
            with contextlib.suppress(pynvml.NVMLError_NotFound):  # this place is free
                found.append(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)))
    return tuple(found)
