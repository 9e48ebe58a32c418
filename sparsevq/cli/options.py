"""The flags of `sparsevq train`: the published release's, the parameters of the stages, and what is about the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from sparsevq.cli.flags import Parser, add_field_flag, add_field_flags
from sparsevq.config import ResourcesConfig, SensorsConfig, Stage1Config, Stage2Config, Stage3Config, Symmetries, parse
from sparsevq.config.section import Count, NonNegative, Section
from sparsevq.config.stages import TrainingConfig

if TYPE_CHECKING:
    from sparsevq.runs.run import Part

SECTIONS: dict[str, type[TrainingConfig]] = {"stage1": Stage1Config, "stage2": Stage2Config, "stage3": Stage3Config}
SYMMETRIES = tuple(Symmetries.model_fields)
PAPER: dict[str, dict[str, Any]] = {
    "stage1": {},
    "stage2": {"lr": 5e-4, "patience": 3000, "tokenizer": "conv", "quantizer": "vq", "num_quantizers": 1},
    "stage3": {"patience": 3000, "prediction": "next_token", "targets": "sparse", "batch_frames": 128},
}
"""Where defaults differ from the configuration's: they are the paper's choices (config/presets/paper.yaml)."""


def _true_or_false(value: Any) -> Any:
    if str(value).lower() not in ("true", "false", "none"):
        raise ValueError(f"{value!r} is neither True nor False")
    return value


Truth = Annotated[bool, BeforeValidator(_true_or_false)]
RunName = Annotated[str | None, "RUN"]


class Flags(Section):
    """Flags with their explanations below them; a text in a field's type is how the help calls its value."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class What(Flags):
    """What to train."""

    training_stage: Literal["stage1", "stage2", "stage3"] = "stage1"
    """stage to train"""
    data_name: Annotated[str | None, "NAME|PATH"] = None
    """data set: the path of a data.h5, or a name that is looked up as <results>/*/<name>/data.h5, the newest first;
    later stages have that of the earlier run"""
    time_sub: Count | None = None
    """temporal stride: learn from every time_sub-th frame of the data set (default: 1)"""
    seed: NonNegative = 123
    """seed of sensor places, initial weights and batches"""
    test: Truth = False
    """True: train nothing; score the model of --model_name on the test split and print the result"""
    batch_size: Count = 1
    """accepted for the published commands and not used: a batch is batch_frames frames, in stage 3 batch_frames //
    stage2_frames sequences"""


class Earlier(Flags):
    """Runs of earlier stages, and what is taken from them."""

    resume: RunName = None
    """resume a training that was interrupted, from its last checkpoint and with its flags; those given here override
    them"""
    model_name: RunName = None
    """earlier run: its time stamp, or a folder (one of the workflow too). Stage 1: the encoder to train further;
    stage 2: the sparse encoder; stage 3: the stage-2 run"""
    semi_model_name: RunName = None
    """run of the semi-sparse encoder: stage 2's teacher; with --warm_start True, what stage 1 starts from"""
    semi_sparse: Truth | None = None
    """stage 1: train the semi-sparse encoder of num_sensors sensors and num_semi_sparse further ones (default: False);
    stage 2: the semi-sparse encoder's latents are the target, else the sparse encoder's own (default: True)"""
    load_model: Truth | None = None
    """stage 1: start from the weights of --model_name, whose architecture is then this run's (default: False); stages 2
    and 3: take the earlier stages of --model_name, without which they cannot work (default: True)"""
    load_stage2: Truth | None = None
    """stage 2: start from the tokenizer of --model_name if it has one, else from scratch, and say so (default: False);
    stage 3: take the indices and the codebook of --model_name (default: True), and train its GPT further if it has
    one"""


class Machine(Flags):
    """Devices, folders and tracking."""

    gpu_device: Annotated[str | None, "0,1"] = None
    """GPUs by number, separated by commas: several train data-parallel, each with its share of every batch; without a
    GPU, the CPU (default: one GPU if there is one)"""
    threads: Count | None = None
    """CPU threads (default: OMP_NUM_THREADS, else all)"""
    checkpoint_minutes: Annotated[float, Field(ge=0)] = ResourcesConfig().checkpoint_minutes
    """minutes between checkpoints, from which --resume continues"""
    deterministic: Truth = ResourcesConfig().deterministic
    """sum in a fixed order: the same seed gives the same bytes; False: the fastest algorithms"""
    runs: Annotated[Path, "FOLDER"] = Path("runs")
    """folder of the runs"""
    results: Annotated[Path, "FOLDER"] = Path("results")
    """the workflow's results: data sets and MLflow's store"""
    tracking: Truth = True
    """log to MLflow if it is installed"""
    tracking_uri: Annotated[str | None, "URI"] = None
    """MLflow's server (default: MLFLOW_TRACKING_URI, else SQLite in the results folder, as the workflow)"""
    experiment: Annotated[str, "NAME"] = "train"
    """MLflow's experiment"""


class Options(What, Earlier, Machine):
    """All flags that are no parameters of a stage or of the sensors' placement."""

    num_sensors: Count | None = None
    """sensors to train with (default: 20)"""

    @property
    def part(self) -> "Part":
        """The model that is trained."""
        encoder: Part = "semi_sparse" if self.semi_sparse else "sparse"
        return {"stage1": encoder, "stage2": "tokenizer", "stage3": "gpt"}[self.training_stage]


def add_options(parser: Parser) -> None:
    """Add all flags to the parser."""
    add_field_flags(parser.add_argument_group("what to train"), What.model_fields)
    add_field_flags(parser.add_argument_group("earlier stages"), Earlier.model_fields)
    sensors = parser.add_argument_group("sensors (stage 1; later stages have those of the earlier runs)")
    add_field_flags(sensors, {"num_sensors": Options.model_fields["num_sensors"], **SensorsConfig.model_fields})
    shared = parser.add_argument_group("training of any stage")
    titles = {"stage1": "stage 1: encoder and decoder", "stage2": "stage 2: tokenizer", "stage3": "stage 3: GPT"}
    groups = {stage: parser.add_argument_group(title) for stage, title in titles.items()}
    add_field_flags(groups["stage1"], Symmetries.model_fields)
    for name in dict.fromkeys(name for section in SECTIONS.values() for name in section.model_fields):
        fields = {stage: fields[name] for stage in SECTIONS if name in (fields := SECTIONS[stage].model_fields)}
        defaults = {stage: stage_defaults(stage)[name] for stage in fields}
        stage, field = next(iter(fields.items()))
        default = defaults[stage]
        if len(set(map(str, defaults.values()))) > 1:
            default = ", ".join(f"{value} in {stage}" for stage, value in defaults.items())
        explained = "; ".join(dict.fromkeys(str(field.description) for field in fields.values()))
        if name != "symmetries":
            add_field_flag(shared if len(fields) > 1 else groups[stage], name, field, explained, default)
    add_field_flags(parser.add_argument_group("devices, folders and tracking"), Machine.model_fields)


def stage_defaults(stage: str) -> dict[str, Any]:
    """What the flags of a stage mean when they are not given."""
    fields = SECTIONS[stage].model_fields
    return {name: field.default for name, field in fields.items()} | PAPER[stage]


def settings_of(stage: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> TrainingConfig:
    """`values` as the settings of a stage, and over them the flags that were given."""
    over = {name: given[name] for name in SECTIONS[stage].model_fields if name in given}
    if stage == "stage1":
        own = {name: given[name] for name in SYMMETRIES if name in given}
        over["symmetries"] = {**values.get("symmetries", {}), **own}
    return parse(SECTIONS[stage], {**values, **over}, f"stage {stage[-1]}")
