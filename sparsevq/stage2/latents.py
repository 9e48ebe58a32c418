"""The frames that stages 2 and 3 learn from: training trajectories in several symmetry variants, and their latents."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.runtime.devices.parallel import computed_in_shares, rank
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


def latents_of_all(sparse: Stage1Model, complete: Stage1Model, fields: DeviceFields, views: Views) -> Latents:
    """As `latents_of`, for frames that all devices need: each encodes its share."""

    def encoded(model: Stage1Model) -> Tensor:
        return computed_in_shares(lambda share: encode_views(model, fields, views[share]), len(views))

    return Latents(views, encoded(sparse), encoded(complete))


LATENTS_KEPT = 2**32
"""Bytes of latents that training may keep."""
FRAMES_TO_STANDARDISE = 16_384
"""Frames whose latents the tokenizer is standardised by where they are not kept."""


class TrainingLatents:
    """Latents of all training views, by row: encoded once and kept where they fit into `LATENTS_KEPT` bytes.

    Else they are encoded anew whenever they are drawn: two passes of frozen encoders in each step, instead of memory
    that grows with the data set.
    """

    def __init__(self, sparse: Stage1Model, complete: Stage1Model, fields: DeviceFields, views: Views):
        needed = 2 * 4 * len(views) * math.prod(complete.latent_shape)
        self._draw = partial(latents_of, sparse, complete, fields)
        self._views = views
        self._kept = latents_of_all(sparse, complete, fields, views) if needed <= LATENTS_KEPT else None
        if self._kept is None and rank() == 0:
            print(f"latents of {len(views)} frames take {needed / 1e9:.1f} GB: encoded anew in each step", flush=True)

    def __len__(self) -> int:
        return len(self._views)

    def take(self, rows: Tensor) -> Latents:
        """Latents of the views at rows (b,)."""
        if self._kept is None:
            return self._draw(self._views[rows])
        return Latents(self._views[rows], self._kept.sparse[rows], self._kept.complete[rows])

    def complete(self) -> Tensor:
        """The teacher's latents (b, n, c): all of them where they are kept, else of frames evenly spread."""
        if self._kept is not None:
            return self._kept.complete
        count = min(FRAMES_TO_STANDARDISE, len(self))
        rows = torch.linspace(0, len(self) - 1, count, device=self._views.frame.device, dtype=torch.float64)
        return self.take(rows.round().long()).complete
