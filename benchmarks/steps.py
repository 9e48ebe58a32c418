"""Time the training steps of every stage: its own draw function, objective and loop, split at the loop's own seams."""

import contextlib
import gc
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from lightning_fabric import Fabric
from measuring import now, peak_mb, reset_peak
from synthetic import write_codes, write_inputs
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.optimizer import register_optimizer_step_pre_hook

import sparsevq.stage1.train
import sparsevq.stage2.train
import sparsevq.stage3.train
from sparsevq.config import Config, Stage2Config, TrainingConfig
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.runtime.tracking.tracker import Tracker
from sparsevq.stage1.encoding import Role
from sparsevq.stage2.train import CompletionLoss
from sparsevq.stage3.train import Sequences
from sparsevq.training.loop import fit

WARM_UP = 2
PARTS = ("draw", "model", "optimizer")

Draw = Callable[[torch.Generator, int], tuple[Any, ...]]
Validate = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Stage:
    """What a stage hands to `sparsevq.training.loop.fit`."""

    name: str
    fabric: Fabric
    objective: nn.Module
    draw: Draw
    validate: Validate
    settings: TrainingConfig

    @property
    def step_before(self) -> int:
        """The step before those to time: the tokenizer's codebook has been started."""
        return self.settings.continuous_steps + 1 if isinstance(self.settings, Stage2Config) else 0


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
    """All variants of a stage; the first is what the configuration asks for, the others are compared with it."""

    name: str
    batch: str
    parameters: int
    variants: dict[str, Timing]
    peak_mb: float
    validation_seconds: float
    val_every: int


def time_stages(
    config: Config, lease: Lease, steps: int, rounds: int, trajectories: int | None
) -> Iterator[StageTimings]:
    """Time one stage after the other; each gets the models that the one before it left, untrained."""
    with tempfile.TemporaryDirectory() as name:
        for stage in stages(Path(name), config, lease, trajectories):
            yield time_stage(stage, lease, steps, rounds)


def stages(folder: Path, config: Config, lease: Lease, trajectories: int | None) -> Iterator[Stage]:
    """Run every stage's own function on synthetic data up to its training loop."""
    data, sensors = write_inputs(folder, config, trajectories)
    common: dict[str, Any] = {"seed": config.seeds[0], "tracker": Tracker()}
    model = {part: folder / part / "model.safetensors" for part in ("sparse", "semi_sparse", "tokenizer", "gpt")}

    def encoder(role: Role) -> Stage:
        return handed_to_fit(
            sparsevq.stage1.train,
            lambda fabric: sparsevq.stage1.train.train_encoder(
                data, sensors, folder / role, role=role, settings=config.stage1, fabric=fabric, **common
            ),
            fabric_for(lease, config.stage1.precision),
        )

    yield encoder("semi_sparse")
    yield encoder("sparse")
    stage = handed_to_fit(
        sparsevq.stage2.train,
        lambda fabric: sparsevq.stage2.train.train_tokenizer(
            data, sensors, model["sparse"], model["semi_sparse"], folder / "tokenizer",
            settings=config.stage2, fabric=fabric, **common,
        ),
        fabric_for(lease, config.stage2.precision),
    )  # fmt: skip
    assert isinstance(stage.objective, CompletionLoss)
    codebook = stage.objective.tokenizer.quantizer.codebook()
    codes = write_codes(folder / "codes.h5", data, config, codebook)
    yield stage
    del stage
    yield handed_to_fit(
        sparsevq.stage3.train,
        lambda fabric: sparsevq.stage3.train.train_gpt(
            codes, folder / "gpt", settings=config.stage3, fabric=fabric, **common
        ),
        fabric_for(lease, config.stage3.precision),
    )


def handed_to_fit(module: ModuleType, train: Callable[[Fabric], None], fabric: Fabric) -> Stage:
    """Run a stage's function with a loop that keeps what it is given and trains nothing."""
    kept = []

    def keep(
        fabric: Fabric, objective: nn.Module, draw: Draw, validate: Validate, settings: TrainingConfig, **others: Any
    ) -> dict[str, float]:
        stage = Stage(others["name"], fabric, objective, draw, validate, settings)
        objective.to(fabric.device)
        if stage.step_before:
            draw(torch.Generator(fabric.device).manual_seed(0), stage.step_before)
        kept.append(stage)
        return {"val_loss": 0.0}

    with mock.patch.object(module, "fit", keep):
        train(fabric)
    return kept[0]


def time_stage(stage: Stage, lease: Lease, steps: int, rounds: int) -> StageTimings:
    """All variants of a stage by turns, so that what else the machine does meets all of them."""
    device, precision = stage.fabric.device, stage.fabric._precision.precision
    other = fabric_for(lease, "32-true" if precision == "bf16-mixed" else "bf16-mixed")
    variants: dict[str, tuple[Fabric, Callable[[], AbstractContextManager[Any]]]] = {
        f"as configured ({precision})": (stage.fabric, contextlib.nullcontext),
        f"in {other._precision.precision}": (other, contextlib.nullcontext),
        "attention by matmul and softmax": (stage.fabric, lambda: sdpa_kernel(SDPBackend.MATH)),
        "frames gathered in a loop": (stage.fabric, gathered_in_a_loop),
    }
    gc.collect()
    reset_peak(device)
    peak, timed = 0.0, {name: Stopwatch(device) for name in variants}
    for _ in range(rounds):
        for name, (fabric, context) in variants.items():
            with context():
                timed_steps(stage, fabric, -(-steps // rounds), timed[name])
            peak = peak or peak_mb(device)  # of the first variant
    timings = {name: watch.timing() for name, watch in timed.items()}
    if device.type == "cuda":  # waiting at every seam keeps the host from running ahead, as it does in training
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
    """Tells the parts of a step apart by when the loop draws and when it calls the optimizer."""

    def __init__(self, device: torch.device):
        self.device = device
        self.steps: list[dict[str, float]] = []
        self._part, self._since = "", 0.0

    def begin(self, part: str) -> None:
        """The part before ends here; "" ends the last."""
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


def timed_steps(stage: Stage, fabric: Fabric, steps: int, watch: Stopwatch) -> None:
    """Train for some steps, after some more to warm up."""
    before = len(watch.steps)

    def draw(generator: torch.Generator, step: int) -> tuple[Any, ...]:
        watch.begin("draw")
        batch = stage.draw(generator, stage.step_before + step)
        watch.begin("model")
        return batch

    def validate() -> dict[str, float]:
        watch.begin("")
        return {"val_loss": 0.0}

    hook = register_optimizer_step_pre_hook(lambda *_: watch.begin("optimizer"))
    try:
        _fit(stage, fabric, WARM_UP + steps, draw, validate)
    finally:
        hook.remove()
    del watch.steps[before : before + WARM_UP]


def free_running(stage: Stage, fabric: Fabric, steps: int) -> float:
    """Seconds of a step when nothing waits for the device but the end."""
    bounds: list[float] = []

    def draw(generator: torch.Generator, step: int) -> tuple[Any, ...]:
        if step == WARM_UP + 1 and not bounds:
            bounds.append(now(fabric.device))
        return stage.draw(generator, stage.step_before + step)

    def validate() -> dict[str, float]:
        bounds.append(now(fabric.device))
        return {"val_loss": 0.0}

    _fit(stage, fabric, WARM_UP + steps, draw, validate)
    return (bounds[1] - bounds[0]) / steps


@contextlib.contextmanager
def gathered_in_a_loop() -> Iterator[None]:
    """A baseline: the batch is put together frame by frame (stage 3: sequence by sequence) in Python."""
    gather, take = DeviceFields.gather, Sequences.take

    def gather_frames(self: DeviceFields, views: Views, points: Tensor) -> tuple[Tensor, Tensor]:
        frames = [gather(self, views[index : index + 1], points) for index in range(len(views))]
        return torch.cat([values for values, _ in frames]), torch.cat([valid for _, valid in frames])

    def take_sequences(self: Sequences, variant: Tensor, trajectory: Tensor, start: Tensor) -> Tensor:
        each = zip(variant[:, None], trajectory[:, None], start[:, None], strict=True)
        return torch.cat([take(self, *one) for one in each])

    with mock.patch.object(DeviceFields, "gather", gather_frames), mock.patch.object(Sequences, "take", take_sequences):
        yield


def _fit(stage: Stage, fabric: Fabric, steps: int, draw: Draw, validate: Validate) -> None:
    settings = stage.settings.model_copy(update={"max_steps": steps, "val_every": steps})
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        fit(
            fabric, stage.objective, draw, validate, settings,
            seed=0, name=stage.name, tracker=Tracker(), history=Path(folder) / "history.csv",
        )  # fmt: skip


def _batch(settings: TrainingConfig) -> str:
    names = ("batch_frames", "batch_pixels", "stage2_frames", "accum_grads")
    return ", ".join(f"{name} {getattr(settings, name)}" for name in names if hasattr(settings, name))
