"""What data-parallel training needs in addition to DDP, so that N devices train as one does on the same batch.

Rank r of N has rows r, r + N, ... of a batch. DDP averages gradients over ranks, which is the batch's gradient if each
rank weights its mean by its share of the rows or points. Without a process group every function here does what one
process needs: nothing is sent or weighted.
"""

from collections.abc import Callable

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.fabric import DDPStrategy


class DataParallel(DDPStrategy):
    """DDP that allows parameters without gradient in some steps if the module says so (``parameters_rest = True``)."""

    def setup_module(self, module: nn.Module) -> DistributedDataParallel:
        """Finding unused parameters walks the graph in every step, so it is done only where there may be some."""
        self._ddp_kwargs["find_unused_parameters"] = getattr(module, "parameters_rest", False)
        return super().setup_module(module)


def world() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is."""
    return distributed.get_rank() if world() > 1 else 0


def require_rows(batch: int, name: str) -> None:
    """Check that every process gets at least one row of a batch.

    Raises
    ------
    SparseVQError
        The batch has fewer rows than there are processes.
    """
    if batch < world():
        raise SparseVQError(
            f"{name} makes batches of {batch}, fewer than the {world()} devices that are to share them",
            f"raise {name} or lower resources.gpu",
        )


def weights_of(*counts: Tensor | int) -> Tensor:
    """Weights (k,) of this rank's k means, each over so many rows or points.

    The mean over ranks of weight x mean is the mean over all rows: weight = N count / (sum of counts over ranks). One
    small all-reduce, without gradient; with one process, ones.
    """
    where = next((count.device for count in counts if isinstance(count, Tensor)), None)
    if world() == 1:
        return torch.ones(len(counts), device=where)
    # A number is filled in on the device: copied from the host it would make the host wait in every step.
    mine = torch.stack(
        [count.float() if isinstance(count, Tensor) else torch.full((), float(count), device=where) for count in counts]
    )
    total = mine.clone()
    distributed.all_reduce(total)
    return world() * mine / total.clamp_min(1)


def whole_batch(rows: Tensor) -> Tensor:
    """The rows (b, ...) of the whole batch from each rank's (b_r, ...), in the order that one device has."""
    if world() == 1:
        return rows
    total = torch.tensor(len(rows), device=rows.device)
    distributed.all_reduce(total)
    room = -(-int(total) // world())  # as many as rank 0 has: parts must be of one size to be gathered
    padded = rows.new_zeros(room, *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world())]
    distributed.all_gather(parts, padded)
    return torch.stack(parts, dim=1).flatten(0, 1)[: int(total)]


def from_first(tensor: Tensor, source: int = 0) -> Tensor:
    """Overwrite a tensor with that of rank 0 (or another), and return it."""
    if world() > 1:
        distributed.broadcast(tensor, src=source)
    return tensor


def fill_in_shares(compute: Callable[[slice], Tensor], out: Tensor, device: torch.device, at_once: int = 512) -> None:
    """Make ``out`` (rows, ...), anywhere, ``compute(slice(rows))``, of which each rank computes a share, and gets all.

    Computed on a device, the same `at_once` rows together whatever the number of ranks: bounds the memory there.
    """
    parts = [slice(start, min(start + at_once, len(out))) for start in range(0, len(out), at_once)]
    for first in range(0, len(parts), world()):
        mine = compute(parts[first + rank()]).contiguous() if first + rank() < len(parts) else None
        for source, part in enumerate(parts[first : first + world()]):
            shape = (part.stop - part.start, *out.shape[1:])
            found = mine if mine is not None and source == rank() else torch.empty(shape, device=device)
            out[part] = from_first(found, source)
