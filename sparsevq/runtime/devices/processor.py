"""What the processor can do."""

import time
from pathlib import Path

MULTIPLIES_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Instruction sets with products of bf16: two of x86, the last of ARM. Other processors emulate them, slowly."""


def instruction_sets() -> frozenset[str]:
    """Those of the first processor (``flags`` of x86, ``Features`` of ARM); none on systems other than Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(named, "").split())


PAYS = 1.3
"""Times that bf16 must be as fast as float32 in a product to be chosen: training has other work, and casts to do. It is
far from what processors have, 2 with AVX-512's products, 6 with matrix units, 0.3 where bf16 is emulated."""
PRODUCT = 768
"""Rows and columns of the matrices that are multiplied to find out: both precisions in about 20 ms."""


def bf16_pays() -> bool:
    """Whether products of bf16 are faster than those of float32 here: the processor has them, and a timing agrees.

    Of a processor that has such products a library may use none: without oneDNN, or where ``ONEDNN_MAX_CPU_ISA`` limits
    it, or in a container that hides them.
    """
    import torch

    if not torch.backends.mkldnn.is_available() or instruction_sets().isdisjoint(MULTIPLIES_BF16):
        return False
    return bf16_speed() >= PAYS


def bf16_speed() -> float:
    """How many times as fast as float32 products of bf16 are; the best of a few of each, in turns."""
    import torch

    matrix = torch.linspace(-1, 1, PRODUCT**2).view(PRODUCT, PRODUCT)
    best = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    for _ in range(5):
        for kind in best:
            one = matrix.to(kind)
            since = time.perf_counter()
            one @ one
            best[kind] = min(best[kind], time.perf_counter() - since)
    return best[torch.float32] / best[torch.bfloat16]
