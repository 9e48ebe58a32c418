"""What the processor can do."""

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
