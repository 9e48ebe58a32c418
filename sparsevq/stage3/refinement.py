"""Training of the outlook's local correction, before the GPT that is to begin from it."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.basis.basis import Basis
from sparsevq.config import Stage3Config
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.models.refinement import Refinement, RefinementSizes, fixed_channels
from sparsevq.models.regression import BANDS, Outlook
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.devices.parallel import from_first
from sparsevq.stage3.sequences import Sequences

VALIDATIONS = 10
"""Times that it is validated; the best is kept."""
VALIDATION_WINDOWS = 128
"""Validation windows, at most, of each number of observed frames."""
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""
WEIGHT_DECAY = 0.01
AT_ONCE = 32
"""Windows that are computed together in validation."""


@dataclass(frozen=True)
class Refined:
    """A refinement, and the squared error that it leaves of the validation split's, as a share."""

    refinement: Refinement
    share: float


def learn_refinement(
    sequences: Sequences, data: FieldData, basis: Basis, settings: Stage3Config, seed: int, fabric: Fabric
) -> Refined | None:
    """Train a refinement on the training windows as regressions of other trajectories predict them.

    The regressions that `sequences` keep are refined from then on, and as sure as that makes them. Several devices do
    the same work.

    Returns
    -------
    None: it never was better than nothing on the validation split, and nothing is refined.

    Raises
    ------
    SparseVQError
        The basis is not that of the index dump.
    """
    refinement = _untrained(sequences, data, basis, settings).to(fabric.device)
    device = fabric.device
    held_out = {count: _validation(sequences, count) for count in sequences.counts}
    size = torch.stack([(true - outlook.mean).square().sum(-1).mean(0) for outlook, true in held_out.values()]).mean(0)
    weight = 1 / (size * size.mean()).sqrt().clamp_min(1e-30)  # (L,): large errors count more, but not by their square
    optimizer = torch.optim.AdamW(
        refinement.body.parameters(), lr=settings.refine_lr, weight_decay=WEIGHT_DECAY, fused=True
    )
    steps, generator = settings.refine_steps, torch.Generator().manual_seed(seed)
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, _falling((step - warm) / max(1, steps - warm)))
    )
    best, kept, since = 1.0, None, time.monotonic()
    for step in range(1, steps + 1):
        count = sequences.counts[step % len(sequences.counts)]
        learned = sequences.learned[count]
        rows = torch.randint(len(learned.where), (settings.refine_windows,), generator=generator)
        mean, true = learned.outlook(rows).mean, sequences.coefficients(*learned.where[rows].unbind(-1)).to(device)
        with fabric.autocast():
            added = refinement(mean, count)
        loss = ((mean + added - true).square().sum(-1) * weight).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(refinement.body.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % max(1, steps // VALIDATIONS) == 0 or step == steps:
            share = _share(refinement, held_out, weight)
            left = (time.monotonic() - since) / step * (steps - step) / 60
            fabric.print(
                f"correction of the first guess: step {step}/{steps}  leaves {share:.3f} of its squared error on the "
                f"validation split  {left:.1f} min left",
                flush=True,
            )
            if share < best:
                best, kept = share, {name: value.clone() for name, value in refinement.state_dict().items()}
    if kept is None:
        return None
    refinement.load_state_dict(kept)
    refinement.eval().requires_grad_(False)
    for value in refinement.parameters():
        from_first(value)
    for count, (outlook, true) in held_out.items():
        regression = sequences.learned[count].regression
        regression.shrink.copy_(_shrunk(outlook, true, _corrected(refinement, outlook, count), regression.band))
        regression.refined = (refinement, count)
    return Refined(refinement, best)


def require_grid(data: FieldData) -> None:
    """Check that the points are a grid, which convolutions need.

    Raises
    ------
    SparseVQError
        They are scattered.
    """
    if data.scattered:
        raise SparseVQError(
            f"stage3.refine_steps: the correction needs a grid, but the points of {data.name} are scattered",
            "set it to 0",
        )


def _falling(share: float) -> float:
    """Half a cosine, from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))


def _untrained(sequences: Sequences, data: FieldData, basis: Basis, settings: Stage3Config) -> Refinement:
    coefficients, center = sequences.codes.coefficients, sequences.codes.center
    assert coefficients is not None and center is not None
    count = coefficients.shape[-1]
    if count > len(basis.modes) or basis.modes.shape[1] != data.num_points:
        raise SparseVQError(
            f"the index dump has {count} coefficients, the basis {len(basis.modes)} modes of {basis.modes.shape[1]} "
            "points",
            "give the basis that the encoders were fitted with",
        )
    fixed = fixed_channels(data.scaled_coordinates, data.closed, data.grid)
    channels = len(data.channels)
    sizes = RefinementSizes(
        data.grid, data.closed, channels, len(fixed), sequences.length, count, settings.refine_width
    )
    found = Refinement(sizes)
    modes = torch.from_numpy(basis.modes[:count]).movedim(-1, 1)  # (r, C, N)
    found.modes.copy_(modes.reshape(count, channels, *data.grid))
    found.area.copy_(torch.from_numpy(basis.weights / len(basis.weights)).reshape(data.grid))
    found.center.copy_(center)
    found.fixed.copy_(fixed)
    return found


def _validation(sequences: Sequences, count: int) -> tuple[Outlook, Tensor]:
    """Outlooks of validation windows, and what came of them (b, L, r)."""
    starts = sequences.starts_of(count)
    every = torch.cartesian_prod(sequences.codes.of("val"), starts)
    picks = torch.linspace(0, len(every) - 1, min(VALIDATION_WINDOWS, len(every)), dtype=torch.float64).round().long()
    trajectory, start = every[picks].unbind(-1)
    which = torch.zeros_like(trajectory), trajectory, start
    outlook = sequences.learned[count].regression(sequences.readings(*which, count))
    return outlook, sequences.coefficients(*which)


@torch.no_grad()
def _corrected(refinement: Refinement, outlook: Outlook, count: int) -> Tensor:
    return torch.cat([part + refinement(part, count) for part in outlook.mean.split(AT_ONCE)])


def _share(refinement: Refinement, held_out: dict[int, tuple[Outlook, Tensor]], weight: Tensor) -> float:
    """Squared error with the correction, as a share of that without it."""
    before = after = 0.0
    for count, (outlook, true) in held_out.items():
        before += float(((outlook.mean - true).square().sum(-1) * weight).mean())
        after += float(((_corrected(refinement, outlook, count) - true).square().sum(-1) * weight).mean())
    return after / before


def _shrunk(outlook: Outlook, true: Tensor, corrected: Tensor, band: Tensor) -> Tensor:
    """(L, B) rms errors after the correction, as a share of those before, of each lead time and band."""
    one = torch.nn.functional.one_hot(band, BANDS).to(true)  # (r, B)
    after, before = ((part - true).square().mean(0) @ one for part in (corrected, outlook.mean))
    return torch.where(before > 0, after / before.clamp_min(1e-30), torch.ones_like(before)).sqrt()
