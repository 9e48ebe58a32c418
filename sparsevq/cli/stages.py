"""The three stages as the command line trains them: what each needs, writes and calls.

A stage is planned first, which reads and checks but writes nothing; `prepare` then gives a new run its inputs, so that
its folder holds what a folder of the workflow holds, and `train` calls the functions that the workflow's rules call.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from sparsevq.cli.runs import data_record, find_data, find_run, link, link_model, place_data, read_record
from sparsevq.cli.settings import check_against, contradiction, stage1_settings, stage2_settings, stage3_settings
from sparsevq.config import SensorsConfig, Stage1Config, Stage2Config, Stage3Config, TrainingConfig, parse
from sparsevq.data.layout import read_data
from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Part, Run
from sparsevq.runtime.files import digest
from sparsevq.runtime.model_file import ModelFile, load_model
from sparsevq.sensors.placement import SensorSets, place_sensors, read_sensors, write_sensors

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from sparsevq.runtime.checkpoints import Checkpoints
    from sparsevq.runtime.tracking.tracker import Tracker

Role = Literal["sparse", "semi_sparse"]


class Stage(Protocol):
    """A planned training."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> TrainingConfig: ...

    @property
    def data(self) -> dict[str, Any]: ...

    @property
    def num_sensors(self) -> int: ...

    def inputs(self) -> dict[str, Path]:
        """Files of earlier runs that it starts from."""

    def prepare(self, run: Run) -> None:
        """Put into a new run's folder what the training reads."""

    def train(self, run: Run, seed: int, fabric: "Fabric", tracker: "Tracker", checkpoints: "Checkpoints") -> None:
        """Train, and write the models into the run's folder."""


@dataclass(frozen=True)
class Stage1:
    """An encoder over its own sensors."""

    settings: Stage1Config
    role: Role
    source: Path
    data: dict[str, Any]
    sensors: SensorSets
    start_from: Path | None
    name: str = "stage1"

    @property
    def num_sensors(self) -> int:
        """Sensors that the encoder sees."""
        return len(self.sensors.sparse if self.role == "sparse" else self.sensors.semi_sparse)

    def inputs(self) -> dict[str, Path]:
        """See `Stage`."""
        return {} if self.start_from is None else {"start": self.start_from}

    def prepare(self, run: Run) -> None:
        """See `Stage`."""
        place_data(self.source, self.data["time_sub"], run)
        write_sensors(run.file("sensors"), self.sensors, {"data": run.file("data")})

    def train(self, run: Run, seed: int, fabric: "Fabric", tracker: "Tracker", checkpoints: "Checkpoints") -> None:
        """See `Stage`."""
        from sparsevq.stage1.train import EncoderStage
        from sparsevq.training.stage import train

        stage = EncoderStage(run, self.role, self.settings, seed=seed, fabric=fabric, start_from=self.start_from)
        train(stage, run.folder(self.role), tracker=tracker, checkpoints=checkpoints)


@dataclass(frozen=True)
class Stage2:
    """The tokenizer between two encoders, and the index dump."""

    settings: Stage2Config
    data: dict[str, Any]
    sparse: Run
    teacher: Run
    teacher_part: Part
    sensors: SensorSets
    start_from: Path | None
    name: str = "stage2"

    @property
    def num_sensors(self) -> int:
        """Sensors of the sparse encoder."""
        return len(self.sensors.sparse)

    def inputs(self) -> dict[str, Path]:
        """See `Stage`."""
        files = {"sparse": self.sparse.file("sparse"), "semi_sparse": self.teacher.file(self.teacher_part)}
        return files if self.start_from is None else files | {"start": self.start_from}

    def prepare(self, run: Run) -> None:
        """See `Stage`."""
        link(self.sparse.file("data"), run.path / "data.h5")
        write_sensors(run.file("sensors"), self.sensors, {"data": run.file("data")})
        link_model(self.sparse, "sparse", run, "sparse")
        link_model(self.teacher, self.teacher_part, run, "semi_sparse")

    def train(self, run: Run, seed: int, fabric: "Fabric", tracker: "Tracker", checkpoints: "Checkpoints") -> None:
        """See `Stage`."""
        from sparsevq.stage2.dump import dump_indices
        from sparsevq.stage2.train import TokenizerStage
        from sparsevq.training.stage import train

        stage = TokenizerStage(run, self.settings, seed=seed, fabric=fabric, start_from=self.start_from)
        train(stage, run.folder("tokenizer"), tracker=tracker, checkpoints=checkpoints)
        if fabric.is_global_zero:
            dump_indices(run, run.file("codes"), seed=seed, fabric=fabric)
        fabric.barrier()


@dataclass(frozen=True)
class Stage3:
    """The GPT over the index dump of a stage-2 run."""

    settings: Stage3Config
    data: dict[str, Any]
    earlier: Run
    num_sensors: int
    start_from: Path | None
    name: str = "stage3"

    def inputs(self) -> dict[str, Path]:
        """See `Stage`."""
        files = {"codes": self.earlier.file("codes"), "tokenizer": self.earlier.file("tokenizer")}
        return files if self.start_from is None else files | {"start": self.start_from}

    def prepare(self, run: Run) -> None:
        """See `Stage`."""
        link(self.earlier.file("data"), run.path / "data.h5")
        sensors = self.earlier.file("sensors")
        for file in (sensors, sensors.with_suffix(".csv"), self.earlier.file("codes")):
            link(file, run.path / file.name)
        for part in self.earlier.parts:
            if part != "gpt":
                link_model(self.earlier, part, run, part)

    def train(self, run: Run, seed: int, fabric: "Fabric", tracker: "Tracker", checkpoints: "Checkpoints") -> None:
        """See `Stage`."""
        from sparsevq.stage3.train import GPTStage
        from sparsevq.training.stage import train

        stage = GPTStage(run, self.settings, seed=seed, fabric=fabric, start_from=self.start_from)
        train(stage, run.folder("gpt"), tracker=tracker, checkpoints=checkpoints)


# ------------------------------------------------------------------------------------------------ plans


def plan_stage1(args: Namespace) -> Stage1:
    """Stage 1 as asked for.

    Raises
    ------
    SparseVQError
        The data set is missing or faulty, the sensors do not fit, or the flags contradict the model to start from.
    """
    if args.data_name is None:
        raise SparseVQError("--data_name is missing", "name a data set, or give the path of a data.h5")
    role: Role = "semi_sparse" if args.semi_sparse else "sparse"
    start = _start_of_stage1(args, role)
    loaded = load_model(start, "sparse", "semi_sparse").settings if start else None
    settings = stage1_settings(args, loaded, start)
    source = find_data(args.data_name, args.results)
    print(f"data set: {source}", flush=True)
    data = read_data(source)
    names = [name for name in SensorsConfig.model_fields if hasattr(args, name)]
    placement = parse(SensorsConfig, {name: getattr(args, name) for name in names}, "sensors")
    if role == "sparse":  # this run has one set: it is the sparse one, and no other is drawn
        placement = placement.model_copy(update={"num_semi_sparse": 0})
    sensors = place_sensors(data, placement, args.num_sensors or 20, args.seed)
    return Stage1(settings, role, source, data_record(args.data_name, source, args.time_sub or 1), sensors, start)


def plan_stage2(args: Namespace) -> Stage2:
    """Stage 2 as asked for.

    Raises
    ------
    SparseVQError
        A run is missing, the two runs do not fit each other, or flags contradict them.
    """
    if args.load_model is False:
        raise SparseVQError("--load_model False: stage 2 works on trained encoders", "give --load_model True")
    sparse = find_run(args.model_name, "model_name", args.runs)
    sparse.needs("sparse")
    student = load_model(sparse.file("sparse"), "sparse", "semi_sparse")
    teacher, part = _teacher(args, sparse)
    complete = load_model(teacher.file(part), "sparse", "semi_sparse")
    _same_latents(student, complete)
    start, loaded = None, None
    if args.load_stage2:
        if "tokenizer" in sparse.parts:
            start = sparse.file("tokenizer")
            loaded = load_model(start, "tokenizer").settings
        print(f"tokenizer: {f'from {start}' if start else f'from scratch, since {sparse.path} has none'}", flush=True)
    check_against("stage1", args, student.settings, student.path)
    settings = stage2_settings(args, student.settings, loaded, start)
    sensors = _nested(sparse, teacher, part)
    _same_sensors(args, len(sensors.sparse), sparse)
    return Stage2(settings, _same_data(args, sparse), sparse, teacher, part, sensors, start)


def plan_stage3(args: Namespace) -> Stage3:
    """Stage 3 as asked for.

    Raises
    ------
    SparseVQError
        The stage-2 run is missing, or flags contradict it.
    """
    for flag in ("load_model", "load_stage2"):
        if getattr(args, flag) is False:
            raise SparseVQError(f"--{flag} False: stage 3 works on the indices of stage 2", f"give --{flag} True")
    earlier = find_run(args.model_name, "model_name", args.runs)
    earlier.needs("sparse", "semi_sparse", "tokenizer", "codes")
    student = load_model(earlier.file("sparse"), "sparse", "semi_sparse")
    tokenizer = load_model(earlier.file("tokenizer"), "tokenizer")
    check_against("stage1", args, student.settings, student.path)
    # The published commands give stage 3 another num_hiddens than stage 2; indices do not depend on it.
    check_against("stage2", args, tokenizer.settings, tokenizer.path, but=("num_hiddens",))
    width = tokenizer.settings["num_hiddens"]
    if getattr(args, "num_hiddens", width) != width:
        print(
            f"num_hiddens={args.num_hiddens} is not used: stage 3 takes the tokenizer as it is, {width} wide",
            flush=True,
        )
    start, loaded = None, None
    if "gpt" in earlier.parts:
        start = earlier.file("gpt")
        loaded = load_model(start, "gpt").settings
        print(f"GPT: from {start}", flush=True)
    earlier.codes()  # checks that the models beside it made it
    count = len(read_sensors(earlier.file("sensors")).sparse)
    _same_sensors(args, count, earlier)
    return Stage3(stage3_settings(args, loaded, start), _same_data(args, earlier), earlier, count, start)


PLANS: dict[str, Callable[[Namespace], Stage]] = {"stage1": plan_stage1, "stage2": plan_stage2, "stage3": plan_stage3}


def _start_of_stage1(args: Namespace, role: Role) -> Path | None:
    """The encoder whose weights to begin with."""
    if args.load_model:
        run = find_run(args.model_name, "model_name", args.runs)
        part: Part = role if role in run.parts else _encoder_of(run)
    elif getattr(args, "warm_start", False):
        run = find_run(args.semi_model_name, "semi_model_name", args.runs)
        part = _encoder_of(run)
    else:
        if args.model_name is not None:
            print("--model_name is not used: stage 1 starts from a run with --load_model True", flush=True)
        return None
    run.needs(part)
    print(f"encoder: from {run.file(part)}", flush=True)
    return run.file(part)


def _encoder_of(run: Run) -> Part:
    """The encoder of a run that is to be somebody's teacher: its semi-sparse one, or the only one it has."""
    return "semi_sparse" if "semi_sparse" in run.parts else "sparse"


def _teacher(args: Namespace, sparse: Run) -> tuple[Run, Part]:
    """Whose latents stand for the complete features."""
    if args.semi_sparse is False:
        return sparse, "sparse"
    if args.semi_model_name is not None or "semi_sparse" not in sparse.parts:
        run = find_run(args.semi_model_name, "semi_model_name", args.runs)
        run.needs(_encoder_of(run))
        return run, _encoder_of(run)
    return sparse, "semi_sparse"


def _same_latents(student: ModelFile, teacher: ModelFile) -> None:
    """Check that two encoders were trained on the same data and give latents of the same shape."""
    for name in ("num_latents", "enc_num_latent_channels"):
        if student.settings[name] != teacher.settings[name]:
            raise SparseVQError(
                f"{student.path} has {name}={student.settings[name]}, but {teacher.path} has "
                f"{name}={teacher.settings[name]}",
                f"train both encoders with the same {name}",
            )
    if student.made_from["data"] != teacher.made_from["data"]:
        raise SparseVQError(
            f"{student.path} and {teacher.path} were trained on different data sets", "train both on the same one"
        )


def _nested(sparse: Run, teacher: Run, part: Part) -> SensorSets:
    """The sensors of two runs as one pair of sets, the sparse one first."""
    few, many = read_sensors(sparse.file("sensors")), read_sensors(teacher.file("sensors"))
    of_teacher, places = (many.sparse if part == "sparse" else many.semi_sparse), many.coordinates
    alone = np.setdiff1d(few.sparse, of_teacher)
    if len(alone):
        raise SparseVQError(
            f"{len(alone)} of the {len(few.sparse)} sensors of {sparse.path} are not among the {len(of_teacher)} of "
            f"{teacher.path}",
            "train both with the same --seed and --placement random, or the semi-sparse encoder with --semi_sparse "
            "True and all else as the sparse one's",
        )
    further = ~np.isin(of_teacher, few.sparse)
    return SensorSets(
        sparse=few.sparse,
        semi_sparse=np.concatenate([few.sparse, of_teacher[further]]),
        coordinates=np.concatenate([few.coordinates[: len(few.sparse)], places[: len(of_teacher)][further]]),
        placement=few.placement,
        seed=few.seed,
        axes=few.axes,
    )


def _same_sensors(args: Namespace, found: int, run: Run) -> None:
    if args.num_sensors not in (None, found):
        raise contradiction("num_sensors", args.num_sensors, found, run.file("sensors"))


def _same_data(args: Namespace, run: Run) -> dict[str, Any]:
    """What a run's data set is; flags about it must agree."""
    if not run.file("data").is_file():
        raise SparseVQError(
            f"{run.path} has lost its data set {run.file('data')}", "put it back, or train the run again"
        )
    name = run.file("data").resolve().parent.name
    known = read_record(run).get("data") or data_record(name, run.file("data"), 1)
    if args.time_sub not in (None, known["time_sub"]):
        raise contradiction("time_sub", args.time_sub, known["time_sub"], run.path)
    if args.data_name not in (None, known["name"]):
        given = find_data(args.data_name, args.results)
        if digest(given) not in (known["sha256"], digest(run.file("data"))):
            raise contradiction("data_name", args.data_name, known["path"], run.path)
    return dict(known)
