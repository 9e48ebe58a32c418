"""The one training loop: optimizer steps, validation, early stopping, history, checkpoints.

Devices and precision are Fabric's. Everything random in a step depends on (seed, step, rank) alone, so that a training
that resumes from a checkpoint is the one that was killed, and several devices draw the batches of one.
"""

import csv
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsevq.config import TrainingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.checkpoints import Checkpoint, Checkpoints, read_checkpoint
from sparsevq.runtime.files import written_whole
from sparsevq.runtime.signals import Requests, deferred_stop
from sparsevq.training.batches import Batches, batches, mixed
from sparsevq.version import VERSION

if TYPE_CHECKING:
    from sparsevq.training.stage import Logs, Stage

SECONDS_BETWEEN_AGREEMENTS = 1.0
"""Several processes must stop at the same step; agreeing costs a round trip, so it is done now and then."""
MOST_STEPS_BETWEEN_AGREEMENTS = 100
FIRST_STEPS, FIRST_SECONDS = 10, 20.0
"""Steps (or, where they are slow, seconds) after which a training says how long it will take."""


def fit(stage: "Stage", *, tracker: "Logs", history: Path, checkpoints: Checkpoints | None = None) -> dict[str, float]:
    """Train a stage's objective and leave it with the weights of its best validation.

    A budget of no steps leaves the weights as the stage made them, and validates them once.

    Parameters
    ----------
    history
        The CSV of training curves to write.
    checkpoints
        Where to save the state now and then, and to resume from; None: nowhere.

    Returns
    -------
    The metrics of the best validation.

    Raises
    ------
    SparseVQError
        The loss is not finite.
    Terminated, KeyboardInterrupt
        The job was asked to stop; there is a checkpoint of the last step.
    """
    with batches(stage, stage.budget.accum_grads, stage.budget.max_steps) as drawn:
        return _fit(_Training(stage, drawn, tracker, history), stage, checkpoints)


def _fit(training: "_Training", stage: "Stage", checkpoints: Checkpoints | None) -> dict[str, float]:
    fabric, settings = stage.fabric, stage.budget
    made_of = {
        "training": stage.name,
        "seed": stage.seed,
        "settings": settings.model_dump(mode="json"),
        "made_from": stage.made_from,
        "version": VERSION,
        "precision": fabric._precision.precision,  # what `auto` came to: another processor may take another one
    }
    if checkpoints is not None:
        training.resume(checkpoints, made_of)
    if training.step < settings.max_steps:
        count = sum(weight.numel() for weight in stage.objective.parameters() if weight.requires_grad)
        fabric.print(f"{stage.name}: up to {settings.max_steps} steps, {count} weights, on {fabric.device}", flush=True)
    if training.step == 0 and (stage.validates_first or not settings.max_steps):
        training.validate()
    with deferred_stop() as requests:
        while not training.finished:
            training.advance()
            training.estimate()
            if training.step % settings.val_every == 0 or training.step == settings.max_steps:
                training.validate()
            save, stop = training.agree(requests, checkpoints is not None and checkpoints.due())
            if save and checkpoints is not None:
                state = training.state()
                if fabric.is_global_zero:
                    checkpoints.save(state, made_of)
            if stop:
                fabric.print(f"{stage.name}: asked to stop, stopped after step {training.step}", flush=True)
                raise requests.why
    stage.steps, stage.seconds = training.step, training.seconds
    if not training.best_weights:
        raise SparseVQError(f"{stage.name}: no validation gave a finite loss", "lower lr")
    stage.objective.load_state_dict(training.best_weights)
    stage.objective.eval()
    for doubt in stage.doubts():
        fabric.print(f"{stage.name}: WARNING: {doubt}", flush=True)
    return training.best


class _Training:
    """A training between two steps."""

    def __init__(self, stage: "Stage", drawn: Batches, tracker: "Logs", history: Path):
        self._stage, self._batches, self._tracker, self._history = stage, drawn, tracker, history
        self._fabric, self._objective, self._settings = stage.fabric, stage.objective, stage.budget
        if self._settings.max_steps:  # else there may be nothing to train, which neither AdamW nor DDP accepts
            self._prepare()
        self.step = 0
        self.best: dict[str, float] = {"val_loss": math.inf}
        self.best_weights: dict[str, Tensor] = {}
        self._rows: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}  # of each term since the last validation
        self._waited = 0  # validations without improvement
        self._began, self._earlier = time.perf_counter(), 0.0  # seconds of the attempts before this one
        self._since, self._from = time.perf_counter(), 0
        self._first, self._since_first, self._estimated = 0, self._since, False  # where this process began
        self._agreed, self._agreed_at, self._agree_at = time.perf_counter(), 0, 1

    def _prepare(self) -> None:
        fabric, settings = self._fabric, self._settings
        parameters = [p for p in self._objective.parameters() if p.requires_grad]
        # Fused: all weights by one kernel; a loop over them takes 3 (CPU) times as long.
        self._adamw = torch.optim.AdamW(
            parameters, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
        )
        self._model, self._optimizer = fabric.setup(self._objective, self._adamw)
        self._model.train()

    @property
    def seconds(self) -> float:
        """What the training has taken, over all attempts."""
        return self._earlier + time.perf_counter() - self._began

    @property
    def finished(self) -> bool:
        return self.step >= self._settings.max_steps or self._waited >= self._settings.patience

    def advance(self) -> None:
        """One optimizer step."""
        settings, fabric = self._settings, self._fabric
        self.step += 1
        for group in self._adamw.param_groups:
            group["lr"] = settings.lr * learning_rate(self.step - 1, settings)
        for part in range(settings.accum_grads):
            own = mixed(self._stage.seed, self.step, part) + 1_000_000_007 * (fabric.global_rank + 1)
            torch.manual_seed(own)  # dropout, codes drawn anew
            with fabric.no_backward_sync(self._model, enabled=part + 1 < settings.accum_grads):
                terms = self._model(*self._batches.take(self.step, part))
                terms = {key: value / settings.accum_grads for key, value in terms.items()}
                fabric.backward(terms["loss"])
            self._sums = {key: self._sums.get(key, 0.0) + value.detach() for key, value in terms.items()}
        fabric.clip_gradients(self._model, self._optimizer, max_norm=settings.grad_clip, error_if_nonfinite=False)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def estimate(self) -> None:
        """Say once, after the first few steps, how long the rest will take: the first validation may be far."""
        if self.step == self._first + 1:  # it allocates and compiles: left out
            self._since_first = time.perf_counter()
        done, settings = self.step - self._first - 1, self._settings
        seconds = time.perf_counter() - self._since_first
        if self._estimated or not done or (done < FIRST_STEPS and seconds < FIRST_SECONDS):
            return
        self._estimated = True
        left = (settings.max_steps - self.step) * seconds / done / 60
        self._fabric.print(
            f"{self._stage.name}: step {self.step}/{settings.max_steps}, {seconds / done:.3g} s a step: "
            f"{left:.1f} min left at most, validations not counted",
            flush=True,
        )

    def validate(self) -> None:
        """Validate, log, and keep the weights if they are the best so far."""
        settings, step, fabric = self._settings, self.step, self._fabric
        means = self._means() if step else {}
        seconds = (time.perf_counter() - self._since) / max(1, step - self._from)
        self._objective.eval()
        with torch.no_grad():
            # All ranks must take the same decisions from it, to the last bit.
            metrics = fabric.broadcast(self._stage.validate())
        self._objective.train()
        self._rows.append({"step": step, **means, **metrics})
        if step:
            self._rows[-1]["lr"] = self._adamw.param_groups[0]["lr"]
        self._tracker.log_metrics({**self._rows[-1], **({"seconds_per_step": seconds} if step else {})}, step)
        self._write_history()
        news = "  ".join(f"{key} {value:.4g}" for key, value in (means | metrics).items())
        left = f"  {(settings.max_steps - step) * seconds / 60:.1f} min left" if step else ""
        fabric.print(f"{self._stage.name}: step {step}/{settings.max_steps}  {news}{left}", flush=True)
        self._waited += step >= self._stage.best_after
        if metrics["val_loss"] < self.best["val_loss"] and step >= self._stage.best_after:
            self.best, self._waited = metrics, 0
            self.best_weights = {k: v.detach().clone() for k, v in self._objective.state_dict().items()}
        if self._waited >= settings.patience:
            fabric.print(f"{self._stage.name}: no improvement in {self._waited} validations, stopped at step {step}")
        self._sums, self._since, self._from = {}, time.perf_counter(), step
        self._estimated = self._estimated or step > 0  # said on the line above

    def _means(self) -> dict[str, float]:
        """Of each term since the last validation, over all devices."""
        count = (self.step - 1) % self._settings.val_every + 1
        sums = self._fabric.all_reduce(torch.stack(list(self._sums.values())).float(), reduce_op="mean")
        means = {f"train_{key}": float(value) / count for key, value in zip(self._sums, sums, strict=True)}
        if not math.isfinite(means["train_loss"]):
            raise SparseVQError(
                f"{self._stage.name}: the loss is not finite by step {self.step}", "lower lr or grad_clip"
            )
        return means

    def agree(self, requests: Requests, due: bool) -> tuple[bool, bool]:
        """Whether all ranks save a checkpoint after this step, and stop: when any of them is asked to."""
        save, stop = requests.save or due or requests.stop, requests.stop
        if self._fabric.world_size > 1:
            if self.step < self._agree_at:
                return False, False
            seconds = (time.perf_counter() - self._agreed) / (self.step - self._agreed_at)
            mine = torch.tensor([float(save), float(stop), seconds], device=self._fabric.device)
            most: Any = self._fabric.all_reduce(mine, reduce_op="max")
            save, stop = bool(most[0] > 0), bool(most[1] > 0)
            steps = int(SECONDS_BETWEEN_AGREEMENTS / max(float(most[2]), 1e-6))
            self._agree_at = self.step + min(max(1, steps), MOST_STEPS_BETWEEN_AGREEMENTS)
            self._agreed, self._agreed_at = time.perf_counter(), self.step
        if save:
            requests.save = False
        return save, stop

    def state(self) -> Checkpoint:
        """Everything that the following steps depend on. All ranks take part."""
        optimizer = self._adamw.state_dict()["state"]
        tensors = {f"model.{key}": value for key, value in self._objective.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in self.best_weights.items()}
        if self._sums:  # each rank has its own
            sums = torch.stack(list(self._sums.values()))
            of_ranks: Any = self._fabric.all_gather(sums) if self._fabric.world_size > 1 else sums[None]
            tensors |= {f"sum.{key}": of_ranks[:, place] for place, key in enumerate(self._sums)}
        tensors |= {f"optimizer.{i}.{key}": value for i, kept in optimizer.items() for key, value in kept.items()}
        values = {"rows": self._rows, "best": self.best, "waited": self._waited, "seconds": self.seconds}
        return Checkpoint(self.step, tensors, values)

    def resume(self, checkpoints: Checkpoints, made_of: Mapping[str, Any]) -> None:
        """Take the state of the last checkpoint of this training, if there is one."""
        path = self._fabric.broadcast(checkpoints.latest(made_of) if self._fabric.is_global_zero else None)
        if path is None:
            return
        checkpoint = read_checkpoint(path)
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "sum": {}, "optimizer": {}}
        for name, tensor in checkpoint.tensors.items():
            group, _, key = name.partition(".")
            groups[group][key] = tensor
        self._objective.load_state_dict(groups["model"])
        device = self._fabric.device
        self.best_weights = {key: tensor.to(device) for key, tensor in groups["best"].items()}
        same_ranks = all(len(tensor) == self._fabric.world_size for tensor in groups["sum"].values())
        self._sums = {
            key: (tensor[self._fabric.global_rank] if same_ranks else tensor.mean()).to(device)
            for key, tensor in groups["sum"].items()
        }
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimizer"].items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        self._adamw.load_state_dict({"state": state, "param_groups": self._adamw.state_dict()["param_groups"]})
        self.step = self._from = self._first = self._agreed_at = checkpoint.step
        self._agree_at = self.step + 1
        self._rows, self.best = checkpoint.values["rows"], checkpoint.values["best"]
        self._waited = checkpoint.values["waited"]
        self._earlier = checkpoint.values.get("seconds", 0.0)  # checkpoints of earlier versions do not tell
        self._write_history()  # the workflow removed it with the other outputs of the killed job
        self._since = time.perf_counter()
        self._fabric.print(f"{self._stage.name}: resumes after step {self.step}, from {path}", flush=True)

    def _write_history(self) -> None:
        if not self._fabric.is_global_zero or not self._rows:
            return
        with written_whole(self._history) as part, open(part, "w", newline="") as file:
            columns = list(dict.fromkeys(key for row in self._rows for key in row))
            writer = csv.DictWriter(file, fieldnames=columns)
            writer.writeheader()
            writer.writerows(self._rows)


def learning_rate(step: int, settings: TrainingConfig) -> float:
    """Share of the peak learning rate: linear warm-up, then constant or cosine decay to zero at `max_steps`."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = (step - settings.warmup_steps) / max(1, settings.max_steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
