"""The same seed must give the same table: sums in a fixed order, on the CPU and on CUDA.

Kernels that add with several threads at once (CUDA's atomics) add in any order, and the rounding of a sum depends on
its order. torch has kernels in a fixed order for nearly all operations; our models and trainings do without the others
(tests/unordered.py lists them).
"""

import contextlib
import os
import re
from collections.abc import Iterator

from sparsevq.errors import SparseVQError


def sum_in_fixed_order(wanted: bool) -> None:
    """Take algorithms that sum in a fixed order, or the fastest ones.

    An operation without such an algorithm then raises an error. (If it were only to warn, torch would leave the
    backward pass of attention on CUDA as it is, in any order.) On the CPU several threads would add up the gradient of
    gathered codes in any order, too.
    """
    import torch

    if wanted and os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in CUBLAS_WORKSPACES:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = CUBLAS_WORKSPACES[0]
    # The same as `use_deterministic_algorithms`, which would import the compiler to tell it: a second for each job.
    torch.set_deterministic_debug_mode("error" if wanted else "default")
    # Filling uninitialised memory takes time, and is of use only to programs that read it. (torch has no types for it.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


CUBLAS_WORKSPACES = (":4096:8", ":16:8")
"""Values of ``CUBLAS_WORKSPACE_CONFIG`` with which cuBLAS sums in a fixed order."""


@contextlib.contextmanager
def unordered_sums_named() -> Iterator[None]:
    """An operation in the block that has no algorithm with a fixed order is named in one line.

    Raises
    ------
    SparseVQError
        There was one, and the fixed order is wanted.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"(\S+) does not have a deterministic implementation", str(error))
        if found is None:
            raise
        raise SparseVQError(
            f"{found[1]} has no algorithm on this device that sums in a fixed order",
            "set resources.deterministic (sparsevq train: --deterministic) to False, by which the same seed gives the "
            "same table within rounding, and report it",
        ) from error
