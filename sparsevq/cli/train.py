"""`sparsevq train`: the published release's flags, the workflow's functions."""

import contextlib
import os
import shlex
from argparse import SUPPRESS, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsevq.cli.flags import (
    SECTIONS,
    HelpFormatter,
    add_field_flags,
    add_flag,
    add_shared_flags,
    shared_by_stages,
    stage_defaults,
    truth,
    whole,
)
from sparsevq.config import ResourcesConfig, SensorsConfig, Symmetries, TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.device import Lease, Precision, claim_devices, fabric_for, set_threads, visible_gpus
from sparsevq.runtime.devices.processes import together
from sparsevq.runtime.files import digest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from sparsevq.cli.stages import Stage
    from sparsevq.runs.run import Run

RUN_OF_PARENT = "SPARSEVQ_RUN"
"""Tells processes that train together the run's folder, which the first of them made."""

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
    _add_what(parser.add_argument_group("what to train"))
    _add_earlier(parser.add_argument_group("earlier stages"))
    sensors = parser.add_argument_group("sensors (stage 1; later stages have those of the earlier runs)")
    explained = "sensors to train with (default: 20)"
    add_flag(sensors, "num_sensors", explained, type=whole(1), default=SUPPRESS, metavar="N")
    add_field_flags(sensors, SensorsConfig.model_fields, {})
    add_shared_flags(parser.add_argument_group("training of any stage"))
    titles = {"stage1": "stage 1: encoder and decoder", "stage2": "stage 2: tokenizer", "stage3": "stage 3: GPT"}
    for stage, title in titles.items():
        fields = SECTIONS[stage].model_fields
        group = parser.add_argument_group(title)
        own = {name: field for name, field in fields.items() if not shared_by_stages(name) and name != "symmetries"}
        add_field_flags(group, own, stage_defaults(stage))
        if stage == "stage1":
            add_field_flags(group, Symmetries.model_fields, {})
    _add_machine(parser.add_argument_group("devices, folders and tracking"))


def _add_what(group: Any) -> None:
    add_flag(group, "training_stage", "stage to train", choices=tuple(SECTIONS), default="stage1")
    add_flag(
        group,
        "data_name",
        "data set: the path of a data.h5, or a name that is looked up as <results>/*/<name>/data.h5, the newest first; "
        "later stages have that of the earlier run",
        metavar="NAME|PATH",
        default=SUPPRESS,
    )
    add_flag(
        group,
        "time_sub",
        "temporal stride: learn from every time_sub-th frame of the data set (default: 1)",
        type=whole(1),
        default=SUPPRESS,
        metavar="N",
    )
    add_flag(group, "seed", "of sensor places, initial weights and batches", type=whole(0), default=123, metavar="N")
    add_flag(
        group,
        "test",
        "True: train nothing; score the model of --model_name on the test split and print the result",
        type=truth,
        default=False,
        metavar="True|False",
    )
    add_flag(
        group,
        "batch_size",
        "accepted for the published commands and not used: a batch is batch_frames frames, in stage 3 "
        "batch_frames // stage2_frames sequences",
        type=whole(1),
        default=1,
        metavar="N",
    )


def _add_earlier(group: Any) -> None:
    run = {"metavar": "RUN", "default": SUPPRESS}
    add_flag(
        group,
        "resume",
        "go on with a training that was interrupted, from its last checkpoint and with its flags; those given here "
        "count more",
        **run,
    )
    boolean = {"type": truth, "metavar": "True|False", "default": SUPPRESS}
    add_flag(
        group,
        "model_name",
        "earlier run: its time stamp, or a folder (one of the workflow too). Stage 1: the encoder to go on with; "
        "stage 2: the sparse encoder; stage 3: the stage-2 run",
        **run,
    )
    add_flag(
        group,
        "semi_model_name",
        "run of the semi-sparse encoder: stage 2's teacher; with --warm_start True, what stage 1 starts from",
        **run,
    )
    add_flag(
        group,
        "semi_sparse",
        "stage 1: train the semi-sparse encoder of num_sensors sensors and num_semi_sparse further ones (default: "
        "False); stage 2: the semi-sparse encoder's latents are the target, else the sparse encoder's own (default: "
        "True)",
        **boolean,
    )
    add_flag(
        group,
        "load_model",
        "stage 1: go on from the weights of --model_name, whose architecture is then this run's (default: False); "
        "stages 2 and 3: take the earlier stages of --model_name, without which they cannot work (default: True)",
        **boolean,
    )
    add_flag(
        group,
        "load_stage2",
        "stage 2: start from the tokenizer of --model_name if it has one, else from scratch, and say so (default: "
        "False); stage 3: take the indices and the codebook of --model_name (default: True), and go on with its GPT "
        "if it has one",
        **boolean,
    )


def _add_machine(group: Any) -> None:
    add_flag(
        group,
        "gpu_device",
        "GPUs by number, separated by commas: several train data-parallel, each with its share of every batch; without "
        "a GPU, the CPU. Default: one GPU if there is one",
        metavar="0,1",
        default=SUPPRESS,
    )
    add_flag(
        group,
        "threads",
        "CPU threads (default: OMP_NUM_THREADS, else all)",
        type=whole(1),
        default=SUPPRESS,
        metavar="N",
    )
    add_flag(
        group,
        "checkpoint_minutes",
        "minutes between checkpoints, from which --resume goes on",
        type=float,
        default=ResourcesConfig().checkpoint_minutes,
        metavar="MINUTES",
    )
    add_flag(group, "runs", "folder of the runs", type=Path, default=Path("runs"), metavar="FOLDER")
    add_flag(
        group,
        "results",
        "the workflow's results: data sets and MLflow's store",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
    )
    add_flag(group, "tracking", "log to MLflow if it is installed", type=truth, default=True, metavar="True|False")
    add_flag(
        group,
        "tracking_uri",
        "MLflow's server (default: MLFLOW_TRACKING_URI, else SQLite in the results folder, as the workflow)",
        metavar="URI",
        default=SUPPRESS,
    )
    add_flag(group, "experiment", "MLflow's experiment", default="train", metavar="NAME")


OPTIONAL = (
    *("data_name", "time_sub", "num_sensors", "model_name", "semi_model_name", "semi_sparse", "load_model"),
    *("load_stage2", "gpu_device", "threads", "tracking_uri", "resume"),
)
"""Flags without a default: None where they are not given."""


def run(args: Namespace, argv: list[str]) -> None:
    """Train, or with ``--test True`` score.

    Raises
    ------
    SparseVQError
        Something that was given is missing, faulty or does not fit.
    """
    from sparsevq.cli.runs import discard, interrupted_run, new_run, write_record
    from sparsevq.runs.run import Run

    interrupted: Run | None = None
    if getattr(args, "resume", None) is not None:
        interrupted, before = interrupted_run(args.resume, args.runs)
        args = args.parser.parse_args([*before, *argv[1:]])
    for name in OPTIONAL:
        vars(args).setdefault(name, None)
    set_threads(args.threads or int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    if args.test:
        from sparsevq.cli.held_out import score

        def one_device(precision: Precision) -> "Fabric":  # scoring is not shared among several
            lease = _devices(args)
            return fabric_for(replace(lease, gpus=lease.gpus[:1]), precision)

        for name, value in score(args, one_device).items():
            print(f"{name} {value:.6g}")
        return
    from sparsevq.cli.stages import PLANS

    first = "LOCAL_RANK" not in os.environ
    with contextlib.nullcontext() if first else contextlib.redirect_stdout(None):
        stage: Stage = PLANS[args.training_stage](args)
    if not first and RUN_OF_PARENT not in os.environ:
        raise SparseVQError("sparsevq train starts one process a GPU itself", "call it directly, without torchrun")
    folder = (interrupted or new_run(args.runs)) if first else Run(Path(os.environ[RUN_OF_PARENT]))
    try:
        if first:
            os.environ[RUN_OF_PARENT] = str(folder.path.resolve())
            if interrupted is None:
                stage.prepare(folder)
                write_record(folder, _record(args, argv, stage))
        with together():
            fabric = fabric_for(_devices(args), stage.settings.precision)
            _train(args, stage, folder, fabric)
    except (SparseVQError, KeyboardInterrupt, SystemExit):
        if first:
            discard(folder)
        raise
    finally:
        if first:
            os.environ.pop(RUN_OF_PARENT, None)
    if first:
        print(f"run {folder.path.name} is finished: {folder.path}", flush=True)


def _train(args: Namespace, stage: "Stage", folder: "Run", fabric: "Fabric") -> None:
    from sparsevq.cli.runs import checkpoints_of
    from sparsevq.runtime.checkpoints import Checkpoints
    from sparsevq.runtime.tracking.tracker import Job, tracked

    checkpoints = Checkpoints(checkpoints_of(folder), args.checkpoint_minutes)

    identity = Job(
        args.experiment, args.training_stage, stage.data["name"], stage.num_sensors, args.seed, part=folder.path.name
    )
    inputs = {"data": folder.file("data"), "sensors": folder.file("sensors"), **stage.inputs()}
    with tracked(
        identity,
        TrackingConfig(enabled=args.tracking, uri=args.tracking_uri),
        args.results,
        params={**identity.group, **stage.settings.model_dump(mode="json"), "run": str(folder.path)},
        inputs={name: digest(path) for name, path in inputs.items()} if args.tracking else {},
        concludes=True,
    ) as tracker:
        stage.train(folder, args.seed, fabric, tracker, checkpoints)
        for history in folder.path.glob("*/history.csv"):
            if not history.is_symlink() and history.stat().st_nlink == 1:  # not one of an earlier run
                tracker.log_artifact(history)
        if fabric.is_global_zero:
            checkpoints.clear()


def _record(args: Namespace, argv: list[str], stage: "Stage") -> dict[str, Any]:
    """What ``config.yaml`` of a run says."""
    return {
        "command": shlex.join(["sparsevq", *argv]),
        "training_stage": stage.name,
        "seed": args.seed,
        "num_sensors": stage.num_sensors,
        "data": stage.data,
        "settings": stage.settings.model_dump(mode="json"),
        "started_from": {
            name: {"path": str(path.resolve()), "sha256": digest(path)} for name, path in stage.inputs().items()
        },
    }


def _devices(args: Namespace) -> Lease:
    """Lease the GPUs that were asked for, among those that there are."""
    if "LOCAL_RANK" in os.environ:  # the first process chose
        return claim_devices("auto", len(visible_gpus()))
    wanted = _gpu_numbers(args.gpu_device)
    there = visible_gpus()
    if wanted is None:
        return claim_devices("auto")
    chosen = [there[number] for number in wanted if number < len(there)]
    if len(chosen) < len(wanted):
        instead = (
            f"training on GPU {', '.join(str(n) for n in wanted if n < len(there))}"
            if chosen
            else "training on the CPU"
        )
        print(f"gpu_device={args.gpu_device}: there {_are(len(there))} here, {instead}", flush=True)
    if not chosen:
        return claim_devices("cpu", 0)
    for variable in ("CUDA_VISIBLE_DEVICES", "SPARSEVQ_GPUS"):
        if variable == "CUDA_VISIBLE_DEVICES" or variable in os.environ:
            os.environ[variable] = ",".join(chosen)
    return claim_devices("auto", len(chosen))


def _gpu_numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in numbers) or len(set(numbers)) < len(numbers):
        raise SparseVQError(f"--gpu_device {text} is not allowed", "give different GPU numbers such as 0,1")
    return [int(part) for part in numbers]


def _are(count: int) -> str:
    return {0: "is no GPU", 1: "is 1 GPU"}.get(count, f"are {count} GPUs")
