"""All frames of a data set on a device: read once, slab by slab, and checked there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparsevq.data.field_data import FieldData
from sparsevq.data.mapped_rows import not_finite
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.memory import host_buffer

SLAB = 2**27
"""Bytes that are read while as many are copied to the device."""

Read = Callable[[int, Tensor], None]
"""Fills a buffer (f, N, C) with the frames from one on, counted over all trajectories."""


def frames_on(device: torch.device, data: FieldData) -> Tensor:
    """The fields (T F N, C) on a device, 0 where the mask is False.

    The file of a mapped data set is read in its order, as fast as it can be, into two buffers by turns: while one is
    copied, the other is filled.

    Raises
    ------
    SparseVQError
        A value at a valid point is not finite.
    """
    trajectories, frames, points, channels = data.flat_fields.shape
    total = trajectories * frames
    count = max(1, min(SLAB // (4 * points * channels), total))
    found = torch.empty(total, points, channels, device=device)
    mask = torch.from_numpy(data.flat_mask).to(device)
    finite = torch.empty(total, dtype=torch.bool, device=device)
    buffers = [host_buffer((count, points, channels), torch.float32, device) for _ in range(min(2, -(-total // count)))]
    copied: list[torch.cuda.Event | None] = [None] * len(buffers)
    with _reader(data) as read:
        for slab, start in enumerate(range(0, total, count)):
            turn, stop = slab % len(buffers), min(start + count, total)
            if (last := copied[turn]) is not None:
                last.synchronize()  # of two slabs before
            read(start, buffers[turn][: stop - start])
            part = found[start:stop]
            part.copy_(buffers[turn][: stop - start], non_blocking=True)
            if device.type == "cuda":
                copied[turn] = torch.cuda.current_stream(device).record_event()
            trajectory = torch.arange(start, stop, device=device) // frames
            part.masked_fill_(~mask[trajectory][..., None], 0)
            finite[start:stop] = torch.isfinite(part).flatten(1).all(1)
    if not finite.all():
        raise not_finite(data.name, *divmod(int(finite.int().argmin()), frames))
    return found.view(-1, channels)


@contextmanager
def _reader(data: FieldData) -> Iterator[Read]:
    """By reading the file: through its mapping each new page would be a fault of its own."""
    if not isinstance(data.fields, np.memmap):
        rows = data.flat_fields.reshape(-1, *data.flat_fields.shape[2:])

        def copy(start: int, into: Tensor) -> None:
            np.copyto(into.numpy(), rows[start : start + len(into)])

        yield copy
        return
    fields = data.fields
    assert fields.filename is not None
    with open(Path(fields.filename), "rb", buffering=0) as file:

        def read(start: int, into: Tensor) -> None:
            bytes_ = into.numpy().data.cast("B")
            file.seek(fields.offset + 4 * start * into[0].numel())
            while bytes_:
                got = file.readinto(bytes_)
                if not got:
                    raise SparseVQError(f"{fields.filename} has become shorter while it was read", "make it again")
                bytes_ = bytes_[got:]

        yield read
