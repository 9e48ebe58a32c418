"""The frames that stages 2 and 3 learn from: training trajectories in several symmetry variants, and their latents."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.runtime.devices.memory import fits, taken, total_of
from sparsevq.runtime.devices.parallel import fill_in_shares, rank, world
from sparsevq.stage1.model import Stage1Model, encode_views


@dataclass(frozen=True)
class Latents:
    """Latents of b frames: of the sparse encoder and of the semi-sparse one (the complete ones), (b, n, c) each."""

    views: Views
    sparse: Tensor
    complete: Tensor


def latents_of(sparse: Stage1Model, complete: Stage1Model, fields: DeviceFields, views: Views) -> Latents:
    """Encode frames by both encoders, once."""
    return Latents(views, encode_views(sparse, fields, views), encode_views(complete, fields, views))


KEPT_SHARE = 0.25
"""Fraction of the memory of the GPU or of the host, in all, that latents of training may take to be kept."""
FRAMES_TO_STANDARDISE = 16_384
"""Frames whose latents the tokenizer is standardised by where they are not kept, or take more than"""
MOST_TO_STANDARDISE = 2**31
"""bytes: what is made of them takes a multiple of that."""


class TrainingLatents:
    """Latents of all training views, by row: encoded once and kept, on the GPU if they fit there, else on the host.

    Whether they are kept (`KEPT_SHARE`) depends on sizes that are the same each time, never on what else runs on the
    machine: encoded in other batches, latents differ in their last bits. Those that are not kept are encoded anew
    whenever they are drawn: two passes of frozen encoders in each step, instead of memory that grows with the data set.
    """

    def __init__(self, sparse: Stage1Model, complete: Stage1Model, fields: DeviceFields, views: Views):
        self._draw = partial(latents_of, sparse, complete, fields)
        self._views, self._device = views, fields.device
        self._sparse = self._complete = torch.empty(0)
        size, shape = 2 * 4 * len(views) * math.prod(complete.latent_shape), (len(views), *complete.latent_shape)
        self.kept = size <= most_kept(self._device)
        if self.kept:
            place = self._device if fits(size, self._device) else torch.device("cpu")
            self._sparse, self._complete = torch.empty(shape, device=place), torch.empty(shape, device=place)
            fill_in_shares(lambda part: encode_views(sparse, fields, views[part]), self._sparse, self._device)
            fill_in_shares(lambda part: encode_views(complete, fields, views[part]), self._complete, self._device)
        if rank() == 0 and (not self.kept or self.slow):
            how = "kept on the host" if self.kept else "encoded anew in each step"
            print(f"latents of {len(views)} frames take {size / 1e9:.1f} GB: {how}", flush=True)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def slow(self) -> bool:
        """Whether what is taken has to cross from the host to another device."""
        return self.kept and self._complete.device != self._device

    def take(self, rows: Tensor) -> Latents:
        """Latents of the views at rows (b,), indices on the host."""
        if not self.kept:
            return self._draw(self._views[rows])
        sparse, complete = (taken(kept, rows, self._device) for kept in (self._sparse, self._complete))
        return Latents(self._views[rows], sparse, complete)

    def complete(self) -> Tensor:
        """The teacher's latents (b, n, c), on the device: all of them if they are few, else of frames evenly spread."""
        count = len(self)
        if not self.kept or 4 * self._complete.numel() > MOST_TO_STANDARDISE:
            count = min(FRAMES_TO_STANDARDISE, count)
        elif not self.slow:
            return self._complete
        rows = torch.linspace(0, len(self) - 1, count, dtype=torch.float64)
        return self.take(rows.round().long()).complete


def most_kept(device: torch.device) -> int:
    """Bytes of latents that training may keep: in the host's memory, which its processes share, or on its GPU."""
    host = total_of(torch.device("cpu")) // world()
    return int(KEPT_SHARE * max(host, total_of(device) if device.type != "cpu" else 0))
