"""The one training loop: optimizer steps, validation, early stopping, history. Devices and precision are Fabric's."""

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sparsevq.config import TrainingConfig
from sparsevq.errors import SparseVQError
from sparsevq.files import written_whole


class Logs(Protocol):
    """What the loop needs of tracking (`sparsevq.training.tracking.Tracker`)."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None: ...


def fit(
    fabric: Fabric,
    objective: nn.Module,
    draw: Callable[[torch.Generator, int], tuple[Any, ...]],
    validate: Callable[[], dict[str, float]],
    settings: TrainingConfig,
    *,
    seed: int,
    name: str,
    tracker: Logs,
    history: Path,
    best_after: int = 0,
) -> dict[str, float]:
    """Train `objective` and leave it with the weights of its best validation.

    The batch of a step depends on (seed, step) alone, so that a run can be repeated and resumed.

    Parameters
    ----------
    objective
        ``objective(*batch)`` returns a dictionary of scalars with the ``loss`` to minimise. Its parameters that require
        gradients are trained.
    draw
        ``draw(generator, step)`` makes a batch on the device; in data-parallel training, this rank's part of it.
    validate
        Metrics of the current weights; ``val_loss`` decides which are best.
    history
        The CSV of training curves to write.
    best_after
        Validations before this step don't compete for the best weights, nor try the patience.

    Returns
    -------
    The metrics of the best validation.

    Raises
    ------
    SparseVQError
        The loss is not finite.
    """
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
    model, optimizer = fabric.setup(objective, optimizer)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, settings))
    generator = torch.Generator(device=fabric.device)
    rows: list[dict[str, float]] = []
    best: dict[str, float] = {"val_loss": math.inf}
    best_weights: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}  # of each term since the last validation
    waited, since = 0, time.perf_counter()
    model.train()
    for step in range(1, settings.max_steps + 1):
        for part in range(settings.accum_grads):
            generator.manual_seed(_mix(seed, step, part))
            with fabric.no_backward_sync(model, enabled=part + 1 < settings.accum_grads):
                terms = {key: value / settings.accum_grads for key, value in model(*draw(generator, step)).items()}
                fabric.backward(terms["loss"])
            sums = {key: sums.get(key, 0.0) + value.detach() for key, value in terms.items()}
        fabric.clip_gradients(model, optimizer, max_norm=settings.grad_clip, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        if step % settings.val_every and step != settings.max_steps:
            continue

        count = (step - 1) % settings.val_every + 1
        means = {f"train_{key}": float(value) / count for key, value in sums.items()}
        if not math.isfinite(means["train_loss"]):
            raise SparseVQError(f"{name}: the loss is not finite by step {step}", "lower lr or grad_clip")
        seconds = (time.perf_counter() - since) / count
        model.eval()
        with torch.no_grad():
            metrics = validate()
        model.train()
        rows.append({"step": step, **means, **metrics, "lr": optimizer.param_groups[0]["lr"]})
        tracker.log_metrics({**rows[-1], "seconds_per_step": seconds}, step)
        _write_history(history, rows, fabric)
        news = "  ".join(f"{key} {value:.4g}" for key, value in (means | metrics).items())
        left = (settings.max_steps - step) * seconds / 60
        fabric.print(f"{name}: step {step}/{settings.max_steps}  {news}  {left:.1f} min left", flush=True)
        waited += step >= best_after
        if metrics["val_loss"] < best["val_loss"] and step >= best_after:
            best, waited = metrics, 0
            best_weights = {k: v.detach().clone() for k, v in objective.state_dict().items()}
        sums, since = {}, time.perf_counter()
        if waited >= settings.patience:
            fabric.print(f"{name}: no improvement in {waited} validations, stopped at step {step}")
            break
    if not best_weights:
        raise SparseVQError(f"{name}: no validation gave a finite loss", "lower lr")
    objective.load_state_dict(best_weights)
    objective.eval()
    return best


def learning_rate(step: int, settings: TrainingConfig) -> float:
    """Share of the peak learning rate: linear warm-up, then constant or a cosine to nought at `max_steps`."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = (step - settings.warmup_steps) / max(1, settings.max_steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _mix(seed: int, step: int, part: int) -> int:
    """Distinct generator seeds for neighbouring (seed, step, part)."""
    return (seed * 1_000_003 + step) * 1009 + part


def _write_history(path: Path, rows: list[dict[str, float]], fabric: Fabric) -> None:
    if not fabric.is_global_zero:
        return
    with written_whole(path) as part, open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
