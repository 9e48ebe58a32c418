"""`sparsevq train`: the published release's flags, the workflow's stages."""

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsevq.cli.flags import HelpFormatter
from sparsevq.cli.options import Options, add_options, settings_of
from sparsevq.config import ForecastConfig, Stage3Config, TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.determinism import unordered_sums_named
from sparsevq.runtime.devices.device import Lease, claim_devices, fabric_for, set_threads, visible_gpus
from sparsevq.runtime.devices.gpus import unused
from sparsevq.runtime.devices.processes import together

if TYPE_CHECKING:
    from sparsevq.runs.run import Run

RUN_OF_PARENT = "SPARSEVQ_RUN"
"""Environment variable: the run's folder, for processes that train together; the first of them made it."""

DESCRIPTION = """
Train one stage. Each training makes a folder runs/<time stamp> with its models, curves, sensors and settings, and
prints the time stamp, which the next stage takes as --model_name. All stages' defaults are the paper's: convolutional
tokenizer, plain VQ, next-token GPT; the workflow's configurations (config/*.yaml) have what does better.

Stages: 1 with --num_sensors 20, the sparse encoder; 1 with --num_sensors 300 (or with --semi_sparse True), the
semi-sparse encoder, the teacher; 2, the tokenizer between both, and the indices of every frame; 3, the GPT over the
indices. The run of stage 3 is what `sparsevq forecast` takes.

A flag that means something in several stages applies to the one that is trained. Flags about an earlier stage may be
left out: the loaded model has them, and a flag that contradicts it is an error.
"""


def add_train(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="train a stage on a data set",
        description=DESCRIPTION,
        usage="%(prog)s --training_stage STAGE --data_name DATA [--flag value ...]",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    add_options(parser)


def run(args: Namespace, argv: list[str]) -> None:
    """Train, or with ``--test True`` score; a `SparseVQError` says what is missing, faulty or does not fit."""
    from sparsevq.cli.runs import interrupted_run

    options, given, interrupted = Options.model_validate(args, from_attributes=True), vars(args), None
    if options.resume is not None:
        interrupted, before = interrupted_run(options.resume, options.runs)
        args = args.parser.parse_args([*before, *argv[1:]])
        options = Options.model_validate(args, from_attributes=True)
    set_threads(options.threads or int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    if options.test:
        _score(options)
    else:
        _train(options, given, argv, interrupted)


def _score(options: Options) -> None:
    from sparsevq.cli.runs import find_run
    from sparsevq.forecasting.scores import scores_on_test

    run, part = find_run(options.model_name, "model_name", options.runs), options.part
    part = "semi_sparse" if part == "sparse" and not run.has("sparse") else part
    lease = _devices(options.gpu_device)
    fabric = fabric_for(replace(lease, gpus=lease.gpus[:1]))  # scoring is not shared among several
    for name, value in scores_on_test(run, part, fabric).items():
        print(f"{name} {value:.6g}")


def _train(options: Options, given: dict[str, Any], argv: list[str], interrupted: "Run | None") -> None:
    """In each of the processes that train together, of which the first makes the run."""
    from sparsevq.cli.prepare import prepare_run
    from sparsevq.cli.runs import discard
    from sparsevq.runs.folder import new_run, write_record
    from sparsevq.runs.run import Run

    if "LOCAL_RANK" in os.environ:
        if RUN_OF_PARENT not in os.environ:
            raise SparseVQError("sparsevq train starts one process a GPU itself", "call it directly, without torchrun")
        _train_on_devices(options, given if options.resume else {}, Run(os.environ[RUN_OF_PARENT]))
        return
    run = interrupted or new_run(options.runs)
    os.environ[RUN_OF_PARENT] = str(run.path.resolve())
    try:
        if interrupted is None:
            write_record(run, {"command": shlex.join(["sparsevq", *argv]), **prepare_run(options, given, run)})
            given = {}
        _train_on_devices(options, given, run)
    except (SparseVQError, KeyboardInterrupt, SystemExit):
        discard(run)
        raise
    finally:
        os.environ.pop(RUN_OF_PARENT, None)
    print(f"run {run.path.name} is finished: {run.path}", flush=True)


@together()
@unordered_sums_named()
def _train_on_devices(options: Options, given: dict[str, Any], run: "Run") -> None:
    from sparsevq.evaluation.calibration import calibrate
    from sparsevq.runs.folder import CHECKPOINTS, read_record
    from sparsevq.runtime.checkpoints import Checkpoints
    from sparsevq.runtime.tracking.identity import Job
    from sparsevq.runtime.tracking.tracker import tracked
    from sparsevq.stage1.fit import encoder_stage
    from sparsevq.stage2.dump import dump_indices
    from sparsevq.stage2.train import TokenizerStage
    from sparsevq.stage3.train import GPTStage
    from sparsevq.training.stage import Stage, train

    encoder = partial(encoder_stage, role="semi_sparse" if options.semi_sparse else "sparse")
    stages: dict[str, Callable[..., Stage]] = {"stage1": encoder, "stage2": TokenizerStage, "stage3": GPTStage}
    record, seed = read_record(run), options.seed
    settings = settings_of(options.training_stage, record["settings"], given)
    fabric = fabric_for(_devices(options.gpu_device), settings.precision, deterministic=options.deterministic)
    checkpoints = Checkpoints(run.path / CHECKPOINTS, options.checkpoint_minutes)
    data, sensors = record["data"]["name"], record["num_sensors"]
    job = Job(options.experiment, options.training_stage, data, sensors, seed, part=run.path.name)
    started_from = {name: file["sha256"] for name, file in record["started_from"].items()}
    read = [name for name in ("data", "basis", "sensors") if run.has(name)]
    with tracked(
        job,
        TrackingConfig(enabled=options.tracking, uri=options.tracking_uri),
        options.results,
        params={**job.group, **settings.model_dump(mode="json"), "run": str(run.path)},
        inputs=run.digests(*read) | started_from if options.tracking else {},
        concludes=True,
        source=Path(sys.argv[0]),
        files=run.path,
    ) as tracker:
        if unused():
            tracker.log_tags({"gpu_unused": unused()})
        start = record["started_from"].get("start")
        start_from = Path(start["path"]) if start else None
        stage = stages[options.training_stage](run, settings=settings, seed=seed, fabric=fabric, start_from=start_from)
        train(stage, run.folder(options.part), tracker=tracker, checkpoints=checkpoints)
        if fabric.is_global_zero:
            if options.part == "tokenizer":
                dump_indices(run, run.file("codes"), seed=seed, fabric=fabric)
            if isinstance(settings, Stage3Config):
                last = settings.observed_frames - 1
                as_trained = ForecastConfig(horizon=settings.stage2_frames - 1, starts=(last,))
                calibrate(run, run.file("calibration"), settings=as_trained, seed=seed, fabric=fabric)
                _write_example(run, last)
            tracker.log_artifact(run.folder(options.part) / "history.csv")
            checkpoints.clear()
        fabric.barrier()


def _write_example(run: "Run", last: int) -> None:
    """Readings to try the forecasts with: of the middle test trajectory, the last of them in frame `last`."""
    from sparsevq.sensors.example import EXAMPLE, write_example

    test = run.data.trajectories("test")
    if len(test):
        where, chosen = run.path / EXAMPLE, "the middle one of the test trajectories"
        write_example(where, run.data, run.sensors, int(test[len(test) // 2]), last, last + 1, chosen)


def _devices(wanted: str | None) -> Lease:
    """Lease the GPUs that were asked for, among those that there are."""
    there = visible_gpus()
    if wanted is None or "LOCAL_RANK" in os.environ:  # the first of processes that train together has chosen
        return claim_devices("auto", len(there) if "LOCAL_RANK" in os.environ else 1)
    numbers = [part.strip() for part in wanted.split(",")]
    if not all(part.isdigit() for part in numbers) or len(set(numbers)) < len(numbers):
        raise SparseVQError(f"--gpu_device {wanted} is not allowed", "give different GPU numbers such as 0,1")
    found = [number for number in numbers if int(number) < len(there)]
    chosen = [there[int(number)] for number in found]
    if len(chosen) < len(numbers):
        are = {0: "is no GPU", 1: "is 1 GPU"}.get(len(there), f"are {len(there)} GPUs")
        instead = f"GPU {', '.join(found)}" if found else "the CPU"
        print(f"gpu_device={wanted}: there {are} here, training on {instead}", flush=True)
    if not chosen:
        return claim_devices("cpu", 0)
    os.environ |= dict.fromkeys({"SPARSEVQ_GPUS"} & os.environ.keys() | {"CUDA_VISIBLE_DEVICES"}, ",".join(chosen))
    return claim_devices("auto", len(chosen))
