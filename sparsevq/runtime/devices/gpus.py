"""Which GPUs there are, and why one that is there is not used: that is said once, and never silently."""

import contextlib
import functools
import os
from pathlib import Path

DEVICE_FILES = Path("/dev")
"""Where the driver of the kernel makes a file for each GPU, ``nvidia0`` and so on."""


def pool() -> dict[str, str]:
    """The GPUs to choose among -> a name of each that is the same for all processes of this host."""
    if "SPARSEVQ_GPUS" in os.environ:
        return {name: name for name in names(os.environ["SPARSEVQ_GPUS"])}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "SLURM_JOB_ID" in os.environ:
        # Where SLURM confines jobs, each calls its first GPU 0: names are unique only within the job.
        job = f"slurm-{os.environ['SLURM_JOB_ID']}-{os.environ.get('SLURMD_NODENAME', '')}"
        return {name: f"{job}-{name}" for name in names(visible or "")}
    listed = [name for gpu in _listed()[0] for name in gpu] if visible is None else names(visible)
    return {name: _uuid(name) for name in listed}


def names(text: str) -> list[str]:
    """As CUDA reads such a list: up to the first entry that names no device."""
    found = []
    for name in map(str.strip, text.split(",")):
        if not name or name.startswith("-") or name == "NoDevFiles":
            break
        found.append(name)
    return found


def unlisted() -> str:
    """Of a host without a `pool`: what keeps its GPUs from being listed; empty if it has none or the user hid them.

    What counts as a GPU is a file of the driver in the kernel, which is there although the driver's library is not, is
    of another version, or cannot be asked for want of a package.
    """
    if not {"SPARSEVQ_GPUS", "CUDA_VISIBLE_DEVICES"}.isdisjoint(os.environ):
        return ""
    if "SLURM_JOB_ID" in os.environ:
        given = "SLURM_JOB_GPUS" in os.environ
        return "SLURM gave this job GPUs, but CUDA_VISIBLE_DEVICES names none" if given else ""
    files = sorted(DEVICE_FILES.glob("nvidia[0-9]*"))
    problem = _listed()[1]
    return f"there is a GPU ({files[0]}), but {problem}" if files and problem else ""


def is_there() -> bool:
    """Whether the driver lists a GPU, whatever this process may use of it."""
    return bool(_listed()[0])


_unused = ""


def say_unused(reason: str, do: str) -> None:
    """Say that this process computes on the CPU although there is a GPU, and what helps; once for each process."""
    global _unused
    if not _unused:
        print(f"WARNING: {reason}: working on the CPU; {do}", flush=True)
    _unused = reason


def unused() -> str:
    """Why this process does not use a GPU that is there; empty where it does, wants none, or there is none."""
    return _unused


def multi_process_service() -> bool:
    """Whether NVIDIA's multi-process service (MPS) answers here, by which kernels of several processes run at once.

    Its control daemon keeps its pipe, and a file with its process number, in ``CUDA_MPS_PIPE_DIRECTORY``.
    """
    folder = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))
    try:
        if not (folder / "control").exists():
            return False
        os.kill(int((folder / "nvidia-cuda-mps-control.pid").read_text()), 0)
    except PermissionError:  # a process of another user, which is there
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _uuid(name: str) -> str:
    """The UUID of a GPU that is given by its index, its UUID or the UUID's first part; unknown names stay."""
    gpus = _listed()[0]
    if name.isdigit():
        return gpus[int(name)][0] if int(name) < len(gpus) else name  # of a split GPU, CUDA takes the first slice
    meant = [uuid for gpu in gpus for uuid in gpu if uuid.startswith(name)]
    return meant[0] if len(meant) == 1 else name


@functools.cache
def _listed() -> tuple[tuple[tuple[str, ...], ...], str]:
    """What the driver lists, and what went wrong: of each GPU its UUID or, where it is split, those of its slices."""
    try:
        import pynvml
    except ImportError:
        return (), "the package nvidia-ml-py, which lists GPUs, is not installed"
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        found = tuple(_mig_devices(handle) or (pynvml.nvmlDeviceGetUUID(handle),) for handle in handles)
    except pynvml.NVMLError as error:  # no driver, or one that does not answer
        return (), f"its driver does not answer ({error})"
    return found, "" if found else "its driver lists none"


def _mig_devices(gpu: object) -> tuple[str, ...]:
    import pynvml

    found = []
    with contextlib.suppress(pynvml.NVMLError):  # this GPU cannot be split
        for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
            with contextlib.suppress(pynvml.NVMLError_NotFound):  # this place is free
                found.append(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)))
    return tuple(found)
