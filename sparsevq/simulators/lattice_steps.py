"""Steps of a lattice in one loop of compiled code, over kernels that pystencils has generated.

Called from Python, the kernels of a step collect and check their arguments each time, which takes a fifth of a step.
The loop calls what they wrap, so that the numbers are the same to the bit.
"""

import ctypes
import hashlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import written_whole

LOOP = """
#include <cstdint>
#include <cstring>

struct Copy { float *to; const float *from; int64_t bytes; };
struct Links { void (*kernel)(const uint8_t *, float *, int32_t, int32_t); const uint8_t *links; int64_t count; };
struct Step {
    const Copy *copies; int64_t copied; const Links *links; int64_t linked; void (*collide)(float *, float);
};

extern "C" void run(const Step *steps, int64_t parity, int64_t count, float *populations, float omega) {
    for (int64_t done = 0; done < count; ++done) {
        const Step &step = steps[(parity + done) % 2];
        for (int64_t n = 0; n < step.copied; ++n)
            std::memcpy(step.copies[n].to, step.copies[n].from, step.copies[n].bytes);
        for (int64_t n = 0; n < step.linked; ++n)
            step.links[n].kernel(step.links[n].links, populations, step.links[n].count, 1);
        step.collide(populations, omega);
    }
}
"""
"""Even and odd steps of the AA pattern take turns."""
BOUNDARY, COLLISION = "_ZN8internal6kernelEPKhPfii", "_ZN8internal6kernelEPff"
"""Names of the generated functions in their modules: ``internal::kernel`` with the arguments above."""


class _Copy(ctypes.Structure):
    _fields_ = [("to", ctypes.c_void_p), ("source", ctypes.c_void_p), ("bytes", ctypes.c_int64)]


class _Links(ctypes.Structure):
    _fields_ = [("kernel", ctypes.c_void_p), ("links", ctypes.c_void_p), ("count", ctypes.c_int64)]


class _Step(ctypes.Structure):
    _fields_ = [
        ("copies", ctypes.c_void_p),
        ("copied", ctypes.c_int64),
        ("links", ctypes.c_void_p),
        ("linked", ctypes.c_int64),
        ("collide", ctypes.c_void_p),
    ]


@dataclass(frozen=True, eq=False)
class Step:
    """What happens in a step, in this order.

    Attributes
    ----------
    copies
        Values that are copied along the seam of a periodic axis: (from, to), each in one piece of memory.
    boundaries
        A kernel for links between cells, and its links.
    collide
        The kernel of the collision.
    """

    copies: Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
    boundaries: Sequence[tuple[Any, npt.NDArray[Any]]]
    collide: Any


class Steps:
    """An even and an odd step, to be taken in turn on `populations` with a relaxation rate `omega`.

    Parameters
    ----------
    loop
        Of `compiled_loop`.
    """

    def __init__(
        self, loop: Callable[..., None], steps: tuple[Step, Step], populations: npt.NDArray[np.float32], omega: float
    ):
        self._loop, self._omega, self._populations, self._parity = loop, omega, populations, 0
        self._arrays: list[Any] = [steps]  # what the addresses below are of must live
        self._steps = (_Step * 2)(*map(self._step, steps))

    @property
    def parity(self) -> int:
        """0 where the next step is an even one."""
        return self._parity

    def run(self, count: int) -> None:
        """Take so many steps."""
        self._loop(self._steps, self._parity, count, self._populations.ctypes.data, self._omega)
        self._parity = (self._parity + count) % 2

    def _step(self, step: Step) -> _Step:
        copies = (_Copy * len(step.copies))()
        for copy, (source, to) in zip(copies, step.copies, strict=True):
            copy.to, copy.source, copy.bytes = _start(to), _start(source), source.nbytes
        links = (_Links * len(step.boundaries))()
        for boundary, (kernel, of_kernel) in zip(links, step.boundaries, strict=True):
            boundary.kernel, boundary.links, boundary.count = (
                _address(kernel, BOUNDARY),
                _start(of_kernel),
                len(of_kernel),
            )
        self._arrays += [copies, links]
        collide = _address(step.collide, COLLISION)
        return _Step(ctypes.addressof(copies), len(copies), ctypes.addressof(links), len(links), collide)


def _start(values: npt.NDArray[Any]) -> int:
    """Address of values that are in one piece of memory."""
    long = [stride for size, stride in zip(values.shape, values.strides, strict=True) if size > 1]
    if long not in ([], [values.itemsize]):
        raise ValueError(f"values of shape {values.shape} and strides {values.strides} are not in one piece")
    return int(values.ctypes.data)


def _address(kernel: Any, name: str) -> int:
    """Of the generated function that a compiled kernel wraps."""
    module = ctypes.CDLL(kernel._module.__file__)  # loaded already, and loaded as long as the kernel is
    return ctypes.cast(getattr(module, name), ctypes.c_void_p).value or 0


def compiled_loop(compiler: str, cache: Path) -> Callable[..., None]:
    """The loop as a function, compiled where `cache` does not have it.

    Raises
    ------
    SparseVQError
        The compiler fails.
    """
    command = [compiler, "-O2", "-fPIC", "-shared", "-x", "c++"]
    name = hashlib.sha256(" ".join([*command, LOOP]).encode()).hexdigest()[:16]
    library = cache / f"steps-{name}.so"
    if not library.is_file():
        with written_whole(library) as part:
            done = subprocess.run([*command, "-o", str(part), "-"], input=LOOP, capture_output=True, text=True)
            if done.returncode:
                raise SparseVQError(f"{compiler} cannot compile: {done.stderr.strip()}", "check the C++ compiler")
    run = ctypes.CDLL(str(library)).run
    run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_float]
    run.restype = None
    return run
