"""Training on N devices and on one, with the same global batches: loss curves side by side, and the time of a step.

    python benchmarks/data_parallel.py --config config/quickstart.yaml --devices 2

Every stage is trained for some steps by its own code on synthetic fields of the data set's shape; all trainings of a
stage start from the same files. On the CPU the devices are processes that share the threads; one process has all.

The effect of rounding alone is shown by a third training: one device, its initial weights rounded differently. Without
codes it is 1e-7 to 1e-6, as large as the differences between one and N devices. Codes are discrete: once a token of the
tokenizer gets another code, other codes die and are reinitialised.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from report import REPOSITORY, machine, parser, print_machine, print_table, write_json

from sparsevq.config import Config, TrainingConfig, load
from sparsevq.runtime.devices.device import claim_devices, fabric_for, set_threads
from sparsevq.runtime.devices.processes import together

NUDGE = 1e-7
"""Relative change of the weights in place of rounding: float32 has 24 bits."""
STAGES = ("semi_sparse", "sparse", "tokenizer", "gpt")
VALIDATIONS = 4

Curves = dict[str, list[dict[str, float]]]
"""Stage -> what was logged at each validation."""


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--config", type=Path, default=REPOSITORY / "config/quickstart.yaml")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    command.add_argument("--devices", type=int, default=2, metavar="N", help="GPUs, or processes on the CPU")
    command.add_argument("--threads", type=int, default=2, help="CPU threads, of all processes together")
    command.add_argument("--steps", type=int, default=40, help="training steps of each stage")
    command.add_argument("--trajectories", type=int, default=12, help="trajectories of the synthetic data")
    command.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    command.add_argument("--worker", nargs=3, metavar=("NAME", "COUNT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = command.parse_args()
    if arguments.worker:
        name, count, folder = arguments.worker
        train_all(arguments, name, int(count), Path(folder))
        return

    about = machine() | {"device": arguments.device, "threads": arguments.threads, "config": arguments.config.name}
    about |= {"precision": arguments.precision, "steps": arguments.steps}
    print_machine(about)
    with tempfile.TemporaryDirectory() as folder:
        one = trained_by("one", 1, Path(folder))
        nudged = trained_by("nudged", 1, Path(folder))
        several = trained_by("several", arguments.devices, Path(folder))
    found = {stage: compared(one[stage], several[stage], nudged[stage]) for stage in STAGES}
    for stage in STAGES:
        print(f"\n{stage}: loss on 1 and on {arguments.devices} devices")
        print_table(
            ("step", "train, 1", f"train, {arguments.devices}", "val, 1", f"val, {arguments.devices}"),
            [
                (str(a["step"]), *(f"{row[key]:.7g}" for key in ("train_loss", "val_loss") for row in (a, b)))
                for a, b in zip(one[stage], several[stage], strict=True)
            ],
        )
    print()
    print_table(
        (
            *("", "largest relative difference", "by rounding alone"),
            *("ms a step, 1", f"ms a step, {arguments.devices}", "ratio"),
        ),
        [
            (stage, f"{f['difference']:.1e}", f"{f['rounding']:.1e}", f["one_ms"], f["several_ms"], f["ratio"])
            for stage, f in found.items()
        ],
    )
    curves = {"one": one, "nudged": nudged, "several": several}
    write_json(arguments.json, {"machine": about, "devices": arguments.devices, "stages": found, "curves": curves})


def trained_by(name: str, count: int, folder: Path) -> Curves:
    """Run this script once more, as the first of `count` processes."""
    subprocess.run([sys.executable, *sys.orig_argv[1:], "--worker", name, str(count), str(folder)], check=True)
    found: Curves = json.loads((folder / f"{name}.json").read_text())
    return found


def compared(
    one: list[dict[str, float]], several: list[dict[str, float]], nudged: list[dict[str, float]]
) -> dict[str, float]:
    """The largest relative difference of the losses, and the median time of a step after the first validation."""

    def difference(others: list[dict[str, float]]) -> float:
        pairs = [(a[key], b[key]) for a, b in zip(one, others, strict=True) for key in ("train_loss", "val_loss")]
        return max(abs(a - b) / abs(a) for a, b in pairs)

    milliseconds = [1e3 * median(row["seconds_per_step"] for row in rows[1:]) for rows in (one, several)]
    return {
        "difference": difference(several),
        "rounding": difference(nudged),
        "one_ms": milliseconds[0],
        "several_ms": milliseconds[1],
        "ratio": milliseconds[1] / milliseconds[0],
    }


class Recorder:
    """Replaces the tracker: keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.rows.append(metrics)


def train_all(arguments: argparse.Namespace, name: str, count: int, folder: Path) -> None:
    """Train every stage on `count` devices; the inputs of each are the outputs of `one` for the stages before."""
    set_threads(arguments.threads)
    config = load(arguments.config)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), together():
        fabric = fabric_for(claim_devices(arguments.device, count), arguments.precision)
        from synthetic import write_inputs

        from sparsevq.runs.run import Run
        from sparsevq.stage2.dump import dump_indices
        from sparsevq.training.stage import train

        if name == "one":
            write_inputs(folder, config, arguments.trajectories)
        models = {
            stage: folder / f"{stage}-one" / "model.safetensors" for stage in ("sparse", "semi_sparse", "tokenizer")
        }
        run = Run(folder, **models)
        curves: Curves = {}
        for stage in STAGES:
            recorder = Recorder()
            training = stage_of(stage, run, config, arguments.steps, fabric)
            if name == "nudged":
                nudge(training.objective)
            train(training, folder / f"{stage}-{name}", tracker=recorder)
            curves[stage] = recorder.rows
            if stage == "tokenizer" and name == "one":
                dump_indices(run, run.file("codes"), seed=config.seeds[0], fabric=fabric)
        if fabric.is_global_zero:
            (folder / f"{name}.json").write_text(json.dumps(curves))


def stage_of(name: str, run: Any, config: Config, steps: int, fabric: Any) -> Any:
    """One stage, shortened."""
    from sparsevq.stage1.fit import encoder_stage
    from sparsevq.stage2.train import TokenizerStage
    from sparsevq.stage3.train import GPTStage

    common = {"seed": config.seeds[0], "fabric": fabric}
    if name == "tokenizer":
        settings = shortened(config.stage2, steps, continuous_steps=steps // VALIDATIONS)
        return TokenizerStage(run, settings, **common)
    if name == "gpt":
        return GPTStage(run, shortened(config.stage3, steps, dropout=0.0), **common)  # each device draws its own
    return encoder_stage(run, name, shortened(config.stage1, steps), **common)


def nudge(objective: Any) -> None:
    """Round the initial weights differently."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in filter(lambda p: p.requires_grad, objective.parameters()):
            change = NUDGE * torch.randn(weights.shape, generator=generator)
            weights.mul_(1 + change.to(weights.device))


def shortened(settings: TrainingConfig, steps: int, **changes: Any) -> Any:
    """The same training, of `steps` steps."""
    changes |= {"max_steps": steps, "val_every": steps // VALIDATIONS, "warmup_steps": min(5, steps)}
    return settings.model_copy(update=changes)


if __name__ == "__main__":
    main()
