"""The one place that picks a device: which GPUs this process may use, how many threads, which precision.

Several jobs on one host must get different GPUs, and Snakemake only counts tokens. So a process leases its GPUs
(`leases.py`), and they are free again when it ends, even by SIGKILL, whatever children it leaves. The lease must come
before CUDA is initialised, since CUDA reads ``CUDA_VISIBLE_DEVICES`` once.
"""

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.determinism import sum_in_fixed_order
from sparsevq.runtime.devices.gpus import multi_process_service, names, pool, say_unused, unlisted
from sparsevq.runtime.devices.processes import join, under_torchrun
from sparsevq.runtime.devices.processor import bf16_pays

if TYPE_CHECKING:
    from filelock import FileLock

    from sparsevq.runtime.devices.fabric import Fabric

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32-true", "bf16-mixed"]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""How threads wait for each other: GNU's OpenMP (torch's own builds) looks a thousand times, microseconds long, and
then sleeps; Intel's and LLVM's (conda) sleep at once. By default they look for milliseconds, and two jobs on the same
cores then take ten times as long (benchmarks/shared_cores.py)."""


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
    jobs_per_gpu
        Jobs, at most, that compute on the GPU at a time, this one among them.
    """

    kind: Literal["cpu", "cuda"]
    gpus: tuple[str, ...]
    wanted: Device
    locks: "tuple[FileLock, ...]" = ()
    processes: int = 1
    jobs_per_gpu: int = 1

    def release(self) -> None:
        """Let other processes have the GPUs; the end of the process does the same."""
        global _held
        for lock in self.locks:
            lock.release()
        if _held is self:
            _held = None


_held: Lease | None = None  # CUDA reads its devices once, so a process has one lease


def claim_devices(device: Device, count: int = 1, *, timeout: float | None = None, jobs_per_gpu: int = 1) -> Lease:
    """Lease `count` GPUs, or fall back to the CPU; sets ``CUDA_VISIBLE_DEVICES``.

    GPUs are looked for in ``SPARSEVQ_GPUS`` (for tests), else ``CUDA_VISIBLE_DEVICES``, else in the driver's list
    (NVML); in a SLURM job only in what SLURM gave. Waits while too few of them are free.

    Parameters
    ----------
    device
        ``auto``: GPUs if there are any, else the CPU. A GPU that is there and cannot be listed is named in a warning.
    count
        GPUs to lease; 0: the CPU. With ``cpu``, processes that train together.
    timeout
        Seconds to wait for GPUs that other processes hold; None: as long as it takes.
    jobs_per_gpu
        Jobs that may compute on one GPU at a time: more than one for jobs of one GPU. Several GPUs are leased whole.

    Raises
    ------
    SparseVQError
        ``cuda`` was asked for and there is no GPU, there are fewer than `count`, or `timeout` passed.
    """
    global _held
    if _held is None:
        found = {} if device == "cpu" else pool()
        shared = jobs_per_gpu if count == 1 else 1
        _held = _gpu_lease(device, count, found, timeout, shared) if found and count else _cpu_lease(device, count)
        # Empty for the CPU: without a lease, nothing may initialise CUDA accidentally.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_held.gpus)
    return _held


def _cpu_lease(device: Device, count: int) -> Lease:
    why = unlisted() if count and device != "cpu" else ""
    if device == "cuda":
        reason = "this SLURM job was given none" if "SLURM_JOB_ID" in os.environ else "there is none"
        raise SparseVQError(
            f"device=cuda needs a GPU, but {(why or reason) if count else 'resources.gpu is 0'}",
            "set device to auto or cpu, or ask for a GPU (resources.gpu)",
        )
    if why:
        say_unused(why, "see that nvidia-smi lists it, or set resources.device to cpu")
    return Lease("cpu", (), device, processes=max(1, count) if device == "cpu" else 1)


def _gpu_lease(device: Device, count: int, found: dict[str, str], timeout: float | None, shared: int) -> Lease:
    slices = [name for name in found if name.startswith("MIG-")]
    if count > 1:  # CUDA gives a process one slice of a split GPU, and slices cannot exchange gradients
        found = {name: same for name, same in found.items() if name not in slices}
    if len(found) < count:
        besides = f" beside {len(slices)} MIG slices, which cannot train together" if slices else ""
        raise SparseVQError(
            f"{count} GPUs were asked for, but there are {len(found)} here{besides}", "lower resources.gpu"
        )
    if "LOCAL_RANK" in os.environ:  # one of several processes that share a lease, which the first of them holds
        together = names(os.environ.get("CUDA_VISIBLE_DEVICES", "")) or [*found]
        return Lease("cuda", tuple(together[:count]), device)

    from sparsevq.runtime.devices.leases import lease  # jobs on the CPU need no locks

    held = lease(found, count, timeout, shared)
    if shared > 1:
        how = "at once, by MPS" if multi_process_service() else "in turns: no MPS answers (nvidia-cuda-mps-control -d)"
        print(f"up to {shared} jobs compute on GPU {next(iter(held))} {how}", flush=True)
    return Lease("cuda", tuple(held), device, tuple(held.values()), jobs_per_gpu=shared)


def kind_of_device(wanted: Device, gpu: int = 0) -> Literal["cpu", "cuda"]:
    """``cuda`` where torch computes on a GPU that this process may use, else the CPU.

    With ``auto``, a GPU that is there and cannot be used is named in a warning, once.

    Parameters
    ----------
    gpu
        Number of the GPU among those of this process.

    Raises
    ------
    SparseVQError
        ``cuda`` was asked for and there is no GPU that torch can use, or this is one of several processes.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    there = bool(pool()) or torch.cuda.is_available()
    why = _fault_of_torch(gpu) if there else unlisted()
    if there and not why:
        return "cuda"
    if wanted == "cuda":
        why = why or "there is none"
        raise SparseVQError(f"device=cuda needs a GPU that torch can use, but {why}", f"{REPAIR}, or use auto or cpu")
    if why and "LOCAL_RANK" in os.environ:  # the others compute on GPUs and would wait for this one for ever
        raise SparseVQError(f"of the processes that train together: {why}", f"{REPAIR}, or set device to cpu")
    if why:
        say_unused(why, f"{REPAIR}, or set resources.device to cpu")
    return "cpu"


REPAIR = "install a torch that is built for this GPU and its driver"


def _fault_of_torch(gpu: int) -> str:
    """What keeps torch from a GPU that is there; empty if it computes on it."""
    import torch

    named = f"there is a GPU, but torch {torch.__version__}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{named} is built without CUDA"
    try:  # one sum: kernels for this GPU may be missing though CUDA starts
        torch.ones(1, device=f"cuda:{gpu}").add_(1).item()
    except (RuntimeError, AssertionError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return f"{named} cannot use it ({said[:200].rstrip('.')})"
    return ""


def set_threads(count: int) -> None:
    """Let this process use `count` CPU threads, which sleep soon when they wait, so that other jobs have the core.

    Call it before torch is imported, since OpenMP reads its variables when it is loaded. What the user has set of how
    threads wait stays.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(count)
    for variable, value in WAITING.items():
        os.environ.setdefault(variable, value)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


def fabric_for(lease: Lease, precision: Precision = "auto", *, nodes: int = 1, deterministic: bool = True) -> "Fabric":
    """Fabric on the leased devices, launched: one process a GPU, which share this process's threads.

    Parameters
    ----------
    nodes
        Nodes that train together, each on as many devices as this one has leased.
    deterministic
        Sum in a fixed order, so that the same seed gives the same bytes on the same kind of device.

    Raises
    ------
    SparseVQError
        ``cuda`` was asked for and this torch cannot use it, or there are no such nodes.
    """
    import torch

    from sparsevq.runtime.devices.fabric import Fabric, LightningEnvironment
    from sparsevq.runtime.devices.parallel import DataParallel

    place = int(os.environ.get("LOCAL_RANK", 0))
    sum_in_fixed_order(deterministic)  # before CUDA starts, which reads a variable of it
    cuda = lease.kind == "cuda" and kind_of_device(lease.wanted, place) == "cuda"
    if not cuda:
        for lock in lease.locks:  # whoever can use the GPU may have it
            lock.release()
    if cuda and lease.jobs_per_gpu > 1:  # a job that needs more fails itself, rather than its neighbours
        torch.cuda.set_per_process_memory_fraction(SHARED_MEMORY / lease.jobs_per_gpu, place)
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


SHARED_MEMORY = 0.95
"""Share of a GPU's memory that its jobs may take together; the rest is for what CUDA keeps of each process."""


def resolve_precision(precision: Precision, *, cuda: bool) -> Literal["32-true", "bf16-mixed"]:
    """``auto`` is bf16-mixed where the device multiplies bf16 matrices faster, else 32-true.

    On a CPU that is measured, with a margin: the same processor must take the same precision each time, in a training
    that resumes too.
    """
    if precision != "auto":
        return precision
    import torch

    faster = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else bf16_pays()
    return "bf16-mixed" if faster else "32-true"


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that `claim_devices` chooses among, in their order."""
    return tuple(pool())
