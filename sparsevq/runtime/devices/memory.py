"""The host's memory and the device's: how much there is, and copies from one to the other that nobody waits for.

A copy from ordinary memory makes the host wait until the device has done all that it was given before. From page-locked
memory it only joins what the device has to do. torch keeps page-locked memory that is freed for those who ask next, and
gives it to nobody while a copy reads it: a training takes as much of it as two batches need, once.
"""

import contextlib
import os
import resource
from pathlib import Path

import torch
from torch import Tensor

DEVICE_SHARE = 0.5
"""Fraction of a GPU's free memory that one kind of data (fields, latents, codes) may take to be kept there."""

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes may be kept on a device: in `DEVICE_SHARE` of what is free there; on the CPU always.

    What else runs on the GPU decides it, so nothing but the place may depend on the answer: no result, to the last bit.
    """
    return device.type == "cpu" or size <= DEVICE_SHARE * free_on(device)


def free_on(device: torch.device) -> int:
    """Bytes of a GPU that this process may still take: what is free, and what torch holds without using it."""
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device)
    allowed = int(total * torch.cuda.get_per_process_memory_fraction(device)) - held
    return min(free, allowed) + held - torch.cuda.memory_allocated(device)


def total_of(device: torch.device) -> int:
    """Bytes that this process may take of a device in all, whatever else runs there: the same each time."""
    if device.type == "cpu":
        return _host_total()
    whole = torch.cuda.get_device_properties(device).total_memory
    return int(whole * torch.cuda.get_per_process_memory_fraction(device))


def host_buffer(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory of the host to be filled for `device`: page-locked for a GPU."""
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; from the host to a GPU without waiting for it."""
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def taken(rows: Tensor, index: Tensor, device: torch.device) -> Tensor:
    """``rows[index]`` (..., *row) on a device, of rows (n, *row) on the host or there; index (...) on the host.

    Gathered on the host straight into the memory that the copy reads.
    """
    if rows.device == device:
        return rows.index_select(0, sent(index.flatten(), device)).view(*index.shape, *rows.shape[1:])
    found = host_buffer((index.numel(), *rows.shape[1:]), rows.dtype, device)
    torch.index_select(rows, 0, index.flatten(), out=found)
    return sent(found.view(*index.shape, *rows.shape[1:]), device)


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator for large draws on a device, seeded by one of the host, which is the one itself on the CPU."""
    if device.type == "cpu":
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))


def _host_total() -> int:
    """The host's memory, or less where the job (a control group of SLURM or of a container) or a limit allows less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_of_groups()]
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return min(sizes if soft == resource.RLIM_INFINITY else [*sizes, soft])


def _of_groups() -> list[int]:
    """Limits of this process's control group and of those around it, of versions 1 and 2."""
    found = []
    with contextlib.suppress(OSError):
        for line in _MEMBERSHIP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top, name = (_CGROUPS, "memory.max") if not controllers else (_CGROUPS / "memory", "memory.limit_in_bytes")
            group = top / path.lstrip("/")
            for folder in (group, *group.parents):
                with contextlib.suppress(OSError, ValueError):  # the outermost has no limit; "max" is none
                    found.append(int((folder / name).read_text()))
                if folder == top:
                    break
    return found
