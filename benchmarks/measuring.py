"""Time and memory of work on a device."""

import contextlib
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch


def now(device: torch.device, wait: bool = True) -> float:
    """Time in seconds, once the device has finished its work."""
    if wait and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Median time of `work`, after one warm-up if it is repeated."""
    if repeats > 1:
        work()
    taken = []
    for _ in range(repeats):
        since = now(device)
        work()
        taken.append(now(device) - since)
    return median(taken)


def reset_peak(device: torch.device) -> None:
    """Start a new measurement of `peak_mb`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # not Linux: the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: torch.device) -> float:
    """Peak memory since `reset_peak` (MB): allocated on the GPU, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
