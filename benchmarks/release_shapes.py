"""This project beside the method's published release, on the same work: the release's shapes.

    python benchmarks/release_shapes.py

Sizes and batches are those of the commands in the release's README (`release_config`), inputs are random, modules are
this project's own. The release's code is not part of this project: its figures were measured once and stand in
`RELEASE`, with the machine that gave them. So that figures of different machines can be compared, the rates of matrix
products of this machine stand beside those of that machine, and each row says which share of this machine's rate it
reaches.

Rows: a training step of each stage (drawing the batch, forward, backward, optimizer); the whole of stages 1 and 2 as
this project makes them by default, on POD modes, where nothing is trained; a forecast of 20 frames, from the readings
to fields, of one case and of 16 members.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report import add_device_options, claim_device, parser, print_table, write_json

if TYPE_CHECKING:
    import torch

    from sparsevq.config import Config
    from sparsevq.runtime.devices.device import Lease
    from sparsevq.training.stage import Stage


@dataclass(frozen=True)
class Measured:
    """Seconds, operations (a multiply and an add are two), trained weights, peak memory (MB) of the release."""

    seconds: float
    gflop: float
    weights: int
    peak_mb: float


RELEASE_MACHINE = {
    "date": "2026-11-27",
    "processor": "Intel Xeon with AMX, 2 cores",
    "torch": "2.13.0, 2 threads, float32 as the release has it",
    "GFLOP/s in float32": 397,
}
RELEASE = {
    "stage 1 step, 20 sensors": Measured(1.89, 108.5, 156_145, 6629),
    "stage 1 step, 300 sensors": Measured(2.15, 127.7, 156_145, 6914),
    "stage 2 step": Measured(14.3, 1637.8, 119_677_488, 6505),
    "stage 3 step": Measured(9.32, 421.4, 839_211_008, 16_584),
    "forecast, 1 case": Measured(4.97, 263.2, 839_211_008, 5659),
    "forecast, 16 members": Measured(19.7, 4211.0, 839_211_008, 8072),
}
"""Medians of the release's own modules with random inputs. Its stage 3 and forecast are a regression of whole frames by
839 million weights, where this project has codes and a GPT. Its forecast is of 2048 points, and has no members: 16 are
16 cases."""


def main() -> None:
    command = parser(__doc__)
    add_device_options(command)
    command.add_argument("--steps", type=int, default=5, help="steps to time, after two to warm up (median)")
    command.add_argument("--only", default="", help="rows whose name contains this text")
    arguments = command.parse_args()
    _, lease, about = claim_device(arguments)
    import torch

    rates = {name: product_rate(kind, lease) for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16))}
    print("GFLOP/s of matrix products here: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    print("The release: " + ", ".join(f"{key} {value}" for key, value in RELEASE_MACHINE.items()) + "\n")
    rows = []
    for row in measure(lease, arguments.steps, arguments.only):
        rows.append(row)
        print(f"{row.name} ({row.what})", flush=True)
    print()
    print_table(
        ("", "s", "release s", "release / here", "peak MB", "release MB", "million weights", "GFLOP/s", "of rate"),
        [_cells(row, rates) for row in rows],
    )
    print("\nof rate: share of this machine's measured rate of matrix products in the row's precision.")
    content = {
        "machine": about,
        "rates": rates,
        "release_machine": RELEASE_MACHINE,
        "release": {name: asdict(found) for name, found in RELEASE.items()},
        "rows": [asdict(row) for row in rows],
    }
    write_json(arguments.json, content)


@dataclass(frozen=True)
class Row:
    """What was timed here; `like`: the row of the release that it is compared with."""

    name: str
    what: str
    like: str
    seconds: float
    peak_mb: float
    weights: int
    gflop: float | None = None
    precision: str = "float32"


def _cells(row: Row, rates: dict[str, float]) -> tuple[Any, ...]:
    release = RELEASE.get(row.like)
    rate = None if row.gflop is None else row.gflop / row.seconds
    return (
        row.name,
        row.seconds,
        release and release.seconds,
        release and release.seconds / row.seconds,
        row.peak_mb,
        release and release.peak_mb,
        row.weights / 1e6,
        rate,
        None if rate is None else rate / rates["bf16" if row.precision == "bf16-mixed" else "float32"],
    )


def release_config(default: bool = False) -> "Config":
    """The commands' sizes and batches, on the release's data: 272 trajectories of 40 frames of 64x64, one channel.

    `default`: the same data with stages 1 and 2 as this project has them by default, on POD modes.
    """
    from report import REPOSITORY

    from sparsevq.config import load

    paper = load(REPOSITORY / "config/presets/paper.yaml")
    sensors = paper.sensors.model_copy(update={"num_semi_sparse": 280})  # 300 with the 20 sparse ones
    encoder = paper.stage1.model_copy(update={"num_self_attention_layers_per_block": 3})
    found = paper.model_copy(update={"data_sets": ["navier_stokes"], "sensors": sensors, "stage1": encoder})
    if not default:
        return found
    other = load(REPOSITORY / "config/config.yaml")
    return found.model_copy(update={"stage1": other.stage1, "stage2": other.stage2, "stage3": other.stage3})


def measure(lease: "Lease", steps: int, only: str) -> Any:
    """Rows, one after the other."""
    names = {"semi_sparse": "stage 1 step, 300 sensors", "sparse": "stage 1 step, 20 sensors"}
    names |= {"tokenizer": "stage 2 step", "gpt": "stage 3 step"}
    if any(only in name for name in names.values()):
        yield from _steps(names, lease, steps, only)
    if only in "whole stage":
        yield from _whole_stages(lease)
    if only in "forecast":
        yield from _forecasts(lease, steps)


def _steps(names: dict[str, str], lease: "Lease", steps: int, only: str) -> Any:
    import steps as training

    config = release_config()
    with tempfile.TemporaryDirectory() as folder:
        for stage in training.stages(Path(folder), config, lease, trajectories=24):
            name = names[stage.kind]
            if only in name:
                yield _step(name, stage, steps)


def _step(name: str, stage: Any, steps: int) -> Row:
    import torch
    from measuring import peak_mb, reset_peak
    from steps import Stopwatch, step_before, timed_steps
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    device = stage.fabric.device
    reset_peak(device)
    watch = Stopwatch(device)
    timed_steps(stage, stage.fabric, steps, watch)
    peak = peak_mb(device)
    batch = stage.draw(torch.Generator(device).manual_seed(0), step_before(stage) + 1)
    # Operations of the CPU's fused attention are not counted: they are as many as those of plain products.
    with FlopCounterMode(display=False) as counter, stage.fabric.autocast(), sdpa_kernel(SDPBackend.MATH):
        stage.objective(*batch)["loss"].backward()
    weights = sum(p.numel() for p in stage.objective.parameters() if p.requires_grad)
    what = f"{weights / 1e6:.2f} M weights, {stage.fabric._precision.precision}"
    gflop = counter.get_total_flops() / 1e9
    precision = stage.fabric._precision.precision
    return Row(name, what, name, watch.timing().step, peak, weights, gflop, precision)


def _whole_stages(lease: "Lease") -> Any:
    """Stages 1 and 2 by default: nothing is trained, so that a whole stage stands beside a step of the release."""
    from measuring import now, peak_mb, reset_peak
    from steps import untrained
    from synthetic import write_inputs

    from sparsevq.runs.run import Run
    from sparsevq.runtime.devices.device import fabric_for
    from sparsevq.stage1.fit import encoder_stage
    from sparsevq.stage2.train import TokenizerStage

    config = release_config(default=True)
    fabric = fabric_for(lease, config.stage1.precision)
    device, seed = fabric.device, config.seeds[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, config, trajectories=272)
        made: dict[str, tuple[str, Callable[[], Stage]]] = {
            "semi_sparse": (
                "",
                lambda: encoder_stage(Run(folder), "semi_sparse", config.stage1, seed=seed, fabric=fabric),
            ),
            "sparse": (
                "stage 1 step, 20 sensors",
                lambda: encoder_stage(Run(folder), "sparse", config.stage1, seed=seed, fabric=fabric),
            ),
            "tokenizer": (
                "stage 2 step",
                lambda: TokenizerStage(Run(folder), config.stage2, seed=seed, fabric=fabric),
            ),
        }
        for role, (like, make) in made.items():
            reset_peak(device)
            since = now(device)
            stage = make()
            untrained(stage, folder / role)
            seconds = now(device) - since
            yield Row(f"whole stage, {role}", "on POD modes, beside one step", like, seconds, peak_mb(device), 0)


def _forecasts(lease: "Lease", repeats: int) -> Any:
    """Readings of one frame -> codes -> 20 frames -> fields, as `Forecaster` computes them."""
    import torch
    from measuring import peak_mb, reset_peak, seconds
    from rollouts import untrained
    from synthetic import smooth_fields

    from sparsevq.config import Symmetries
    from sparsevq.data.device_fields import DeviceFields
    from sparsevq.forecasting.model import Asked, Seen
    from sparsevq.runtime.devices.device import fabric_for

    config = release_config()
    fabric = fabric_for(lease, config.stage3.precision)
    device = fabric.device
    data = smooth_fields(config, trajectories=4, frames=2)
    fields = DeviceFields(data, Symmetries(), device)
    views = fields.views(
        torch.zeros(1, dtype=torch.long, device=device), torch.zeros(1, dtype=torch.long, device=device)
    )
    points = torch.arange(2048, device=device)
    now = torch.zeros(1, dtype=torch.long, device=device)
    for prediction in ("next_frame", "next_token"):
        model = untrained(config, data, prediction, device)
        weights = sum(p.numel() for p in model.gpt.parameters())
        for members, like in ((1, "forecast, 1 case"), (16, "forecast, 16 members")):

            def forecast(model: Any = model, members: int = members) -> "torch.Tensor":
                with torch.no_grad(), fabric.autocast():
                    prompt = model.tokenizer.tokenize(model.sparse.encode(fields, views))[:, None]
                    drawn = model.generate(Seen(prompt, now), Asked(20, members, 1.0, 0, seed=0)).case(0)
                    return model.decode(drawn, fields, points)

            reset_peak(device)
            taken = seconds(forecast, device, repeats)
            name = f"{like}, {prediction}"
            precision = fabric._precision.precision
            yield Row(
                name, f"{weights / 1e6:.1f} M weights", like, taken, peak_mb(device), weights, None, str(precision)
            )


def product_rate(kind: "torch.dtype", lease: "Lease", size: int = 2048) -> float:
    """GFLOP/s of products of square matrices, the best of some."""
    import torch
    from measuring import now

    device = torch.device("cuda" if lease.kind == "cuda" else "cpu")
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        since = now(device)
        a @ b
        best = min(best, now(device) - since)
    return 2 * size**3 / best / 1e9


if __name__ == "__main__":
    main()
