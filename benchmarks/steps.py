"""Time the training steps of every stage, with its own draw function, objective and loop, split into their parts."""

import contextlib
import gc
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from measuring import now, peak_mb, reset_peak
from synthetic import write_codes, write_inputs
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from sparsevq.config import Config, Stage2Config, TrainingConfig
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.models import attention, causal
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.runtime.tracking.logs import Tracker
from sparsevq.stage1.fit import encoder_stage
from sparsevq.stage2.dump import dump_indices
from sparsevq.stage2.train import TokenizerStage
from sparsevq.stage3.sequences import Sequences
from sparsevq.stage3.train import GPTStage
from sparsevq.training.loop import fit
from sparsevq.training.stage import Stage, train

WARM_UP = 2
PARTS = ("draw", "model", "optimizer")

Draw = Callable[[torch.Generator, int], tuple[Any, ...]]
Validate = Callable[[], dict[str, float]]


def step_before(stage: Stage) -> int:
    """The step before those to time: the tokenizer's codebook has been initialised."""
    return stage.settings.continuous_steps + 1 if isinstance(stage.settings, Stage2Config) else 0


@dataclass
class Timing:
    """Seconds of a step, and of its parts: drawing the batch, forward and backward, optimizer."""

    step: float
    draw: float
    model: float
    optimizer: float

    @property
    def draw_share(self) -> float:
        return self.draw / (self.draw + self.model + self.optimizer)


@dataclass
class StageTimings:
    """All variants of a stage; the first is the configured one, the others are compared with it."""

    name: str
    batch: str
    parameters: int
    variants: dict[str, Timing]
    peak_mb: float
    validation_seconds: float
    val_every: int


def time_stages(
    config: Config, lease: Lease, steps: int, rounds: int, trajectories: int | None, only: Sequence[str]
) -> Iterator[StageTimings]:
    """Time one stage after the other; each gets the untrained models of those before it. `only`: these kinds.

    Stages that take no steps are left out.
    """
    with tempfile.TemporaryDirectory() as name:
        for stage in stages(Path(name), config, lease, trajectories):
            if stage.kind in only and stage.budget.max_steps:
                yield time_stage(stage, lease, steps, rounds)


def stages(folder: Path, config: Config, lease: Lease, trajectories: int | None) -> Iterator[Stage]:
    """Every stage on synthetic data before its training; each gets the untrained models of those before it."""
    data, _ = write_inputs(folder, config, trajectories)
    seed = config.seeds[0]
    for role in ("semi_sparse", "sparse"):
        fabric = fabric_for(lease, config.stage1.precision)
        yield untrained(encoder_stage(Run(folder), role, config.stage1, seed=seed, fabric=fabric), folder / role)
    fabric = fabric_for(lease, config.stage2.precision)
    tokenizer = TokenizerStage(Run(folder), config.stage2, seed=seed, fabric=fabric)
    untrained(tokenizer, folder / "tokenizer")
    codes = folder / "codes.h5"
    if config.stage2.tokenizer == "groups":  # with the coefficients and readings that stage 3 learns a regression from
        dump_indices(Run(folder), codes, seed=seed, fabric=fabric)
    else:
        write_codes(codes, data, config, tokenizer.module.quantizer.codebook())
    yield tokenizer
    del tokenizer
    fabric = fabric_for(lease, config.stage3.precision)
    settings = config.stage3.model_copy(update={"refine_steps": 0})  # which comes before the GPT's own steps
    yield untrained(GPTStage(Run(codes=codes), settings, seed=seed, fabric=fabric), folder / "gpt")


def untrained(stage: Stage, folder: Path) -> Stage:
    """Save a stage's model without training it."""
    stage.objective.to(stage.fabric.device)
    if before := step_before(stage):
        stage.draw(torch.Generator().manual_seed(0), before)
    with mock.patch("sparsevq.training.stage.fit", return_value={"val_loss": 0.0}):
        train(stage, folder, tracker=Tracker())
    return stage


def time_stage(stage: Stage, lease: Lease, steps: int, rounds: int) -> StageTimings:
    """All variants of a stage in turns, so that other load on the machine affects all of them."""
    device, precision = stage.fabric.device, stage.fabric._precision.precision
    other = fabric_for(lease, "32-true" if precision == "bf16-mixed" else "bf16-mixed")
    variants: dict[str, tuple[Fabric, Callable[[], AbstractContextManager[Any]]]] = {
        f"as configured ({precision})": (stage.fabric, contextlib.nullcontext),
        f"in {other._precision.precision}": (other, contextlib.nullcontext),
        "attention by matmul and softmax": (stage.fabric, lambda: sdpa_kernel(SDPBackend.MATH)),
        "frames gathered in a loop": (stage.fabric, gathered_in_a_loop),
    }
    if device.type == "cpu":
        in_bf16 = next(fabric for fabric in (stage.fabric, other) if fabric._precision.precision == "bf16-mixed")
        variants["in bf16-mixed, attention too"] = in_bf16, attention_not_in_float32
    gc.collect()
    reset_peak(device)
    peak, timed = 0.0, {name: Stopwatch(device) for name in variants}
    for _ in range(rounds):
        for name, (fabric, context) in variants.items():
            with context():
                timed_steps(stage, fabric, -(-steps // rounds), timed[name])
            peak = peak or peak_mb(device)  # of the first variant
    timings = {name: watch.timing() for name, watch in timed.items()}
    if device.type == "cuda":  # waiting between the parts keeps the host from running ahead, as it does in training
        for name, (fabric, context) in variants.items():
            with context():
                timings[name].step = free_running(stage, fabric, steps)
    with torch.no_grad():
        since = now(device)
        stage.validate()
        validation = now(device) - since
    return StageTimings(
        stage.name,
        _batch(stage.settings),
        sum(p.numel() for p in stage.objective.parameters() if p.requires_grad),
        timings,
        peak,
        validation,
        stage.settings.val_every,
    )


class Stopwatch:
    """Times the parts of a step by when the loop draws and when it calls the optimizer."""

    def __init__(self, device: torch.device):
        self.device = device
        self.steps: list[dict[str, float]] = []
        self._part, self._since = "", 0.0

    def begin(self, part: str) -> None:
        """End the previous part and begin `part`; "" only ends."""
        at = now(self.device)
        if self._part:
            self.steps[-1][self._part] += at - self._since
        if part == "draw" and self._part != "model":  # else: one more batch is accumulated
            self.steps.append(dict.fromkeys(PARTS, 0.0))
        self._part, self._since = part, at

    def timing(self) -> Timing:
        """Medians over steps."""
        parts = {part: median(step[part] for step in self.steps) for part in PARTS}
        return Timing(median(sum(step.values()) for step in self.steps), **parts)


def timed_steps(stage: Stage, fabric: Fabric, steps: int, watch: Stopwatch, seed: int = 0) -> None:
    """Train for some steps, after some more to warm up; the seed decides which frames are drawn, none of them ahead."""
    before = len(watch.steps)

    def draw(generator: torch.Generator, step: int) -> tuple[Any, ...]:
        watch.begin("draw")
        batch = stage.draw(generator, step_before(stage) + step)
        watch.begin("model")
        return batch

    def validate() -> dict[str, float]:
        watch.begin("")
        return {"val_loss": 0.0}

    hook = register_optimizer_step_pre_hook(lambda *_: watch.begin("optimizer"))
    try:
        _fit(_Timed(stage, fabric, WARM_UP + steps, draw, validate, seed=seed))
    finally:
        hook.remove()
    del watch.steps[before : before + WARM_UP]


def free_running(stage: Stage, fabric: Fabric, steps: int, *, ahead: bool = True, seed: int = 0) -> float:
    """Seconds of a step when the host waits for the device only at the end.

    As it is trained: with `ahead` batches are drawn ahead where the stage does so.
    """
    ends: list[float] = []

    def ended(*_: object) -> None:
        ends.append(now(fabric.device, wait=len(ends) + 1 in (WARM_UP, WARM_UP + steps)))

    def draw(generator: torch.Generator, step: int) -> tuple[Any, ...]:
        return stage.draw(generator, step_before(stage) + step)

    hook = register_optimizer_step_post_hook(ended)
    try:
        _fit(_Timed(stage, fabric, WARM_UP + steps, draw, lambda: {"val_loss": 0.0}, ahead, seed))
    finally:
        hook.remove()
    return (ends[-1] - ends[WARM_UP - 1]) / steps


@contextlib.contextmanager
def gathered_in_a_loop() -> Iterator[None]:
    """A baseline: the batch is assembled frame by frame (stage 3: sequence by sequence) in Python."""
    gather, take = DeviceFields.gather, Sequences.take

    def gather_frames(self: DeviceFields, views: Views, points: Tensor) -> tuple[Tensor, Tensor]:
        frames = [gather(self, views[index : index + 1], points) for index in range(len(views))]
        return torch.cat([values for values, _ in frames]), torch.cat([valid for _, valid in frames])

    def take_sequences(self: Sequences, variant: Tensor, trajectory: Tensor, start: Tensor, count: int) -> Tensor:
        each = zip(variant[:, None], trajectory[:, None], start[:, None], strict=True)
        return torch.cat([take(self, *one, count) for one in each])

    with mock.patch.object(DeviceFields, "gather", gather_frames), mock.patch.object(Sequences, "take", take_sequences):
        yield


@contextlib.contextmanager
def attention_not_in_float32() -> Iterator[None]:
    """A baseline: attention for training in the precision of its inputs on the CPU too."""

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)

    def causally(query: Tensor, key: Tensor, value: Tensor, sight: causal.Sight, dropout: float = 0.0) -> Tensor:
        mask = sight if isinstance(sight, Tensor) else None
        before = mask is None and sight == "before"
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=before)

    with mock.patch.object(attention, "attend", attend), mock.patch.object(causal, "attend_causally", causally):
        yield


class _Timed(Stage):
    """Training of another stage for some steps, with other functions to draw and to validate."""

    def __init__(
        self,
        stage: Stage,
        fabric: Fabric,
        steps: int,
        draw: Draw,
        validate: Validate,
        ahead: bool = False,
        seed: int = 0,
    ):
        vars(self).update(vars(stage), fabric=fabric)
        self.name, self.seed, self.best_after = stage.name, seed, 0
        self._ahead = (lambda step: stage.draws_ahead(step_before(stage) + step)) if ahead else (lambda step: False)
        self.settings = stage.settings.model_copy(update={"max_steps": steps, "val_every": steps})
        self._draw, self._validate = draw, validate

    def draw(self, generator: torch.Generator, step: int) -> tuple[Any, ...]:
        return self._draw(generator, step)

    def validate(self) -> dict[str, float]:
        return self._validate()

    def draws_ahead(self, step: int) -> bool:
        return self._ahead(step)


def _fit(timed: "_Timed") -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        fit(timed, tracker=Tracker(), history=Path(folder) / "history.csv")


def _batch(settings: TrainingConfig) -> str:
    names = ("batch_frames", "batch_pixels", "stage2_frames", "accum_grads")
    return ", ".join(f"{name} {getattr(settings, name)}" for name in names if hasattr(settings, name))
