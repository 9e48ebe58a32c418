"""A whole experiment: all sections, and how they are read and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator

from sparsevq.config.data_sets import FileConfig, PreprocessConfig, SimulatedConfig, SimulationConfig, Symmetries
from sparsevq.config.faults import lines_of
from sparsevq.config.networks import ORACLES, ControlName, NetworkName, NetworksConfig
from sparsevq.config.section import Count, Name, NonNegative, Section, Sweep, each_once
from sparsevq.config.stages import BasisConfig, Placement, SensorsConfig, Stage1Config, Stage2Config, Stage3Config
from sparsevq.config.variants import Overrides, fault_in, laid_over
from sparsevq.config.yaml_file import read_yaml
from sparsevq.errors import SparseVQError


class ForecastConfig(Section):
    """Forecasts of the held-out trajectories."""

    horizon: Count = Field(20, description="frames to forecast")
    starts: Annotated[tuple[NonNegative, ...], *Sweep] = Field(
        (0,), description="last observed frames: one forecast of every test trajectory from each"
    )
    observed_frames: Annotated[tuple[Count, ...], *Sweep] = Field(
        (1,), description="how many frames up to the start are observed: one forecast for each (the paper's task: 1)"
    )
    members: Count = Field(20, description="ensemble members sampled from the GPT")
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        None, description="sampling temperature; null: the best on the validation split; 0: the most likely code"
    )
    top_k: NonNegative = Field(0, description="sample among the top_k most likely codes; 0: all")

    @model_validator(mode="after")
    def _starts_leave_room(self) -> Self:
        longest, first = max(self.observed_frames), min(self.starts)
        if first < longest - 1:
            raise ValueError(
                f"observed_frames={longest} needs {longest} frames up to each start, but starts={first} has "
                f"{first + 1}: start at {longest - 1} or later, or observe fewer"
            )
        return self


BaselineName = Literal[
    "persistence",
    "climatology",
    "pod_dmd",
    "ridge",
    NetworkName,
    "dense_fno",
    "dense_unet",
    "outlook",
    ControlName,
]


class EvaluationConfig(Section):
    """Baselines and tables."""

    baselines: Annotated[tuple[BaselineName, ...], AfterValidator(each_once)] = Field(
        ("persistence", "climatology", "pod_dmd", "ridge"),
        description="what sparsevq is compared with; those from fno on are trained (section networks), dense_fno and "
        "dense_unet are oracles: the rollouts of fno and unet from the true, dense frame; outlook: the GPT's first "
        "guess alone (stage3.first_guess); continuous, continuous_frames: the GPT's Transformer without codes, on "
        "groups of coefficients, and on whole frames as the paper's release has it, trained by the settings of stage3",
    )
    members: Count = Field(
        20, description="ensemble members of each baseline; from 19 on they have a 90 % interval (coverage)"
    )
    pod_ranks: tuple[Count, ...] = Field(
        (2, 5, 10, 20, 40, 80), description="ranks of gappy POD; the best on the validation split is used"
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """The trained baselines that are named, or whose rollouts an oracle uses."""
        wanted = [ORACLES.get(name, name) for name in self.baselines]
        return tuple(name for name in get_args(NetworkName) if name in wanted)

    @property
    def controls(self) -> tuple[str, ...]:
        """Of those that are named the Transformers without codes, which are trained from the run's index dump."""
        return tuple(name for name in get_args(ControlName) if name in self.baselines)

    @property
    def parts_of_run(self) -> tuple[str, ...]:
        """Files of sparsevq itself that baselines read: those that are parts of it do."""
        if "outlook" in self.baselines:
            return ("codes", "gpt")
        return ("codes",) if self.controls else ()


class RobustnessConfig(Section):
    """Curves of forecasts under other conditions than in training, where nothing is trained again."""

    curves: tuple[Literal["sensors", "noise", "missing", "moved", "horizon", "outside"], ...] = Field(
        ("sensors", "noise", "missing", "moved", "horizon", "outside"),
        description="over what: number of sensors, errors of the readings, sensors missing, sensors moved, twice the "
        "horizon, trajectories outside the training range where there are any; none: no curves",
    )
    baselines: tuple[Literal["ridge", "pod_dmd", "fno", "unet", "voronoi_fno", "voronoi_unet"], ...] = Field(
        ("ridge", "pod_dmd"),
        description="of evaluation.baselines; those from fno on take minutes, the first two are solved for in seconds",
    )
    start: NonNegative | None = Field(
        None, description="last observed frame; null: the first of forecast.starts. Earlier ones leave longer horizons"
    )
    cases: Count = Field(12, description="test trajectories, at most")
    members: Annotated[int, Field(ge=2)] = Field(10, description="ensemble members")
    examples: Annotated[int, Field(ge=2)] = Field(
        2000,
        description="training frames and windows, at most, that what is solved for at other sensors learns from: a "
        "solve takes the cube of their number",
    )
    numbers: tuple[Count, ...] = Field((5, 10, 20, 40, 80, 160, 300), description="numbers of sensors")
    noise_db: tuple[float, ...] = Field(
        (10, 20, 30, 40, 60, 80),
        description="signal to noise of the readings (dB); 20: a tenth of the anomalies' std",
    )
    missing: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5), description="shares of the sensors that are missing"
    )
    moved: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1, 2, 4, 8), description="how far each sensor is moved, in grid cells"
    )


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = Field(True, description="false: no tracking")
    uri: str | None = Field(
        None, description="tracking server; null: MLFLOW_TRACKING_URI if set, else SQLite in the results folder"
    )
    system_metrics: bool = Field(True, description="log CPU, memory and GPU utilisation")
    register_models: bool = Field(True, description="register each run's model, as <experiment>-<data set>")


class ResourcesConfig(Section):
    """What a job requests from Snakemake's scheduler."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU if there is one that torch can use; cuda: without one jobs fail"
    )
    gpu: NonNegative = Field(
        1, description="GPUs of each training job on each of its nodes; with device=cpu, processes that train together"
    )
    jobs_per_gpu: Count = Field(
        1, description="jobs that share one GPU, on a workstation: of --resources gpu=N each of them counts as one"
    )
    nodes: Count = Field(1, description="nodes of each training job (more than one: on SLURM)")
    threads: Count = Field(2, description="CPU threads of each of these processes")
    mem_mb: Count = Field(8000, description="memory of each of these processes (MB)")
    runtime: Count = Field(240, description="wall time of each training job (minutes)")
    checkpoint_minutes: Annotated[float, Field(ge=0)] = Field(
        10, description="minutes between checkpoints of a training, from which a killed job resumes"
    )
    deterministic: bool = Field(
        True,
        description="sum in a fixed order: the same seed gives the same bytes on the same kind of device; false: the "
        "fastest algorithms, and the same within rounding",
    )

    @model_validator(mode="after")
    def _shared_by_jobs_of_one_gpu(self) -> Self:
        if self.jobs_per_gpu > 1 and (self.gpu > 1 or self.nodes > 1):
            raise ValueError(
                f"jobs_per_gpu={self.jobs_per_gpu} is for jobs of one GPU, but gpu={self.gpu} and nodes={self.nodes}: "
                "lower one of them to 1"
            )
        return self


class Config(Section):
    """A whole experiment."""

    experiment: Name = Field("default", description="name of the experiment: results go to results/<experiment>")
    results: Path = Field(Path("results"), description="folder for everything that runs make")
    data_sets: Annotated[tuple[Name, ...], *Sweep] = Field(("cylinder",), description="data sets to run")
    num_sensors: Annotated[tuple[Count, ...], *Sweep] = Field((20,), description="sparse sensors: a sweep")
    placements: Annotated[tuple[Placement, ...], AfterValidator(each_once)] = Field(
        (),
        description="placements of the sensors, in place of the one of `sensors`: a sweep, each in folders of its own",
    )
    seeds: Annotated[tuple[NonNegative, ...], *Sweep] = Field((123,), description="seeds: a sweep")
    variants: dict[Name, Overrides] = Field(
        {},
        description="ablations: name -> section (sensors, stage1, stage2, stage3 or forecast) -> the keys that differ; "
        "each is a run beside every other, which shares with it what its keys do not change",
    )
    simulation: SimulationConfig = SimulationConfig()
    files: dict[Name, FileConfig] = Field({}, description="data sets from files of your own: name -> what they are")
    preprocess: PreprocessConfig = PreprocessConfig()
    basis: BasisConfig = BasisConfig()
    sensors: SensorsConfig = SensorsConfig()
    stage1: Stage1Config = Stage1Config()
    stage2: Stage2Config = Stage2Config()
    stage3: Stage3Config = Stage3Config()
    forecast: ForecastConfig = ForecastConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    networks: NetworksConfig = NetworksConfig()
    robustness: RobustnessConfig = RobustnessConfig()
    tracking: TrackingConfig = TrackingConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stage2.tokenizer == "conv":
            side = round(self.stage1.num_latents**0.5)
            if side * side != self.stage1.num_latents or side % 4:
                raise ValueError(
                    f"stage2.tokenizer=conv sees the latents as a square picture: stage1.num_latents="
                    f"{self.stage1.num_latents} must be the square of a multiple of 4 (16, 64, 144, 256)"
                )
            if self.stage2.tokens_per_frame != self.stage1.num_latents // 16:
                raise ValueError(
                    f"stage2.tokenizer=conv makes num_latents / 16 = {self.stage1.num_latents // 16} tokens: "
                    f"stage2.tokens_per_frame={self.stage2.tokens_per_frame} must be that"
                )
        if self.stage2.tokenizer == "groups":
            if not self.stage1.modes:
                raise ValueError(
                    "stage2.tokenizer=groups codes POD coefficients: stage1.modes=0 must be the number of them, or "
                    "choose another tokenizer"
                )
            if self.stage1.modes < self.stage2.tokens_per_frame:
                raise ValueError(
                    f"stage2.tokenizer=groups: stage1.modes={self.stage1.modes} cannot be cut into "
                    f"stage2.tokens_per_frame={self.stage2.tokens_per_frame} groups"
                )
        if self.stage3.first_guess == "regression" and self.stage2.tokenizer != "groups":
            raise ValueError(
                "stage3.first_guess=regression is of the coefficients that stage2.tokenizer=groups codes: choose that "
                f"tokenizer instead of {self.stage2.tokenizer}, or first_guess=none"
            )
        if max(self.forecast.observed_frames) > self.stage3.observed_frames:
            raise ValueError(
                f"forecast.observed_frames={max(self.forecast.observed_frames)} is more than "
                f"stage3.observed_frames={self.stage3.observed_frames}, which the GPT is trained for: raise that"
            )
        for placement in self.placements:
            self._require_placeable(placement)
        for name in self.variants:
            self._require_variant(name)
        simulated = tuple(SimulationConfig.model_fields)
        twice = [name for name in self.files if name in simulated]
        if twice:
            raise ValueError(f"files: {twice[0]} is the name of a simulated data set: choose another")
        unknown = [name for name in self.data_sets if name not in (*simulated, *self.files)]
        if unknown:
            raise ValueError(
                f"data_sets: {', '.join(unknown)} is not known; known: {', '.join((*simulated, *self.files))}"
            )
        for name in self.data_sets:
            section = self.data_set(name)
            if isinstance(section, SimulatedConfig) and section.validation + section.test >= section.trajectories:
                raise ValueError(
                    f"simulation.{name}: validation={section.validation} and test={section.test} leave none of "
                    f"{section.trajectories} trajectories for training: simulate more or hold out fewer"
                )
            if isinstance(section, SimulatedConfig):
                fault = self._too_short(name, -(-section.frames // self.preprocess.time_sub))
                if fault is not None:
                    raise ValueError(": ".join(fault))
        return self

    @model_validator(mode="after")
    def _robustness_has_its_frames(self) -> Self:
        if self.robustness.start is not None and self.robustness.start < min(self.forecast.observed_frames) - 1:
            raise ValueError(
                f"robustness.start={self.robustness.start} has {self.robustness.start + 1} frames up to it, but "
                f"forecast.observed_frames={min(self.forecast.observed_frames)}: start later"
            )
        return self

    @model_validator(mode="after")
    def _baselines_have_what_they_need(self) -> Self:
        if self.evaluation.controls and self.stage2.tokenizer != "groups":
            raise ValueError(
                f"evaluation.baselines: {self.evaluation.controls[0]} is of the coefficients that "
                f"stage2.tokenizer=groups codes, and it is {self.stage2.tokenizer}: set that, or leave it out"
            )
        for name in self.evaluation.networks:
            needed = getattr(self.networks.of(name), "observed_frames", 1)
            if needed > max(self.forecast.observed_frames):
                raise ValueError(
                    f"evaluation.baselines: {name} is given networks.{name}.observed_frames={needed} frames of "
                    f"readings, and forecast.observed_frames={max(self.forecast.observed_frames)} has fewer: observe "
                    "more, lower it, or leave it out"
                )
        if "outlook" in self.evaluation.baselines and self.stage3.first_guess == "none":
            raise ValueError(
                "evaluation.baselines: outlook is the GPT's first guess, and stage3.first_guess=none: set that to "
                "regression, or leave outlook out"
            )
        return self

    def _require_variant(self, name: str) -> None:
        """Check that a variant is a configuration, and another one than this."""
        overrides = self.variants[name]
        fault = fault_in(name, overrides)
        if self.placements and "placement" in overrides.get("sensors", {}):
            fault = f"variants.{name}.sensors.placement has no use with `placements`, a sweep over them: leave one out"
        if fault is None:
            values = laid_over(self.model_dump(exclude_unset=True), overrides)
            try:
                changed = type(self).model_validate(values)
            except ValidationError as error:
                fault = f"variants.{name}: " + "; ".join(lines_of(error, type(self), values))
            else:
                if all(getattr(changed, section) == getattr(self, section) for section in overrides):
                    fault = f"variants.{name} changes nothing: its values are those of the experiment"
        if fault is not None:
            raise ValueError(fault)

    def _require_placeable(self, placement: str) -> None:
        """Check that one of the `placements` has what it needs of the section `sensors`."""
        try:
            self.sensors_of(placement)
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"placements: {said} (in `sensors`)") from None

    def _too_short(self, name: str, frames: int) -> tuple[str, str] | None:
        """What trajectories of so many frames can't give, and what to do; None where all is well."""
        start, last = max(self.forecast.starts), max(self.forecast.starts) + self.forecast.horizon
        if last >= frames:
            return (
                f"forecast.starts={start} with forecast.horizon={self.forecast.horizon} needs frame {last}, but the "
                f"trajectories of {name} end at frame {frames - 1}",
                "start earlier, lower the horizon, or give longer trajectories",
            )
        sequence, first = self.stage3.stage2_frames, max(self.stage3.freeze_start_on_0, 0)
        if first + sequence > frames:
            begin = f" from stage3.freeze_start_on_0={first} on" if first else ""
            return (
                f"stage3.stage2_frames={sequence}{begin} is more than the {frames} frames of a trajectory of {name}",
                "lower it, or give longer trajectories",
            )
        observed = self.stage3.observed_frames
        if observed + sequence - 1 > frames:
            return (
                f"stage3.observed_frames={observed} with stage3.stage2_frames={sequence} needs "
                f"{observed + sequence - 1} frames, but a trajectory of {name} has {frames}",
                "lower one of them, or give longer trajectories",
            )
        return None

    def require_frames(self, name: str, frames: int) -> None:
        """Check that trajectories of so many frames can be trained on and forecast as the configuration asks.

        Of simulated data sets that is checked when the configuration is read; of files when they are opened.

        Raises
        ------
        SparseVQError
            They are too short; the message names the key.
        """
        fault = self._too_short(name, frames)
        if fault is not None:
            raise SparseVQError(*fault)

    def symmetries_of(self, name: str) -> Symmetries:
        """The symmetries that a data set is augmented by."""
        own = self.data_set(name).symmetries
        return self.stage1.symmetries if own is None else own

    def sensors_of(self, placement: str) -> SensorsConfig:
        """The section `sensors` for one of the `placements`; empty: as it is."""
        if not placement:
            return self.sensors
        given = self.sensors.model_dump(exclude_unset=True)
        return SensorsConfig.model_validate({**given, "placement": placement})

    def of_variant(self, name: str) -> "Config":
        """The configuration with the changes of one of the `variants`; empty: as it is.

        Raises
        ------
        SparseVQError
            There is no such variant.
        """
        if not name:
            return self
        if name not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise SparseVQError(f"variants: there is no {name}", f"name one of those that there are: {known}")
        return Config.model_validate(laid_over(self.model_dump(exclude_unset=True), self.variants[name]))

    def data_set(self, name: str) -> SimulatedConfig | FileConfig:
        """The section of one data set, simulated or from files."""
        return self.files[name] if name in self.files else getattr(self.simulation, name)


def number_and_placement(text: str) -> tuple[int, str]:
    """Of a run's folder ``n20-qr``, or the workflow's wildcard: 20 and ``qr``; empty where there is one placement."""
    number, _, placement = text.partition("+")[0].partition("-")
    return int(number), placement


def variant_of(text: str) -> str:
    """Of a run's folder ``n20-qr+wide``, or the workflow's wildcard: ``wide``; empty: the run without changes."""
    return text.partition("+")[2]


AnySection = TypeVar("AnySection", bound=Section)


def parse(section: type[AnySection], values: Mapping[str, Any], where: str) -> AnySection:
    """`values` as a `section`, checked.

    Raises
    ------
    SparseVQError
        A key is unknown or a value is not allowed; the message names the key, the value and what is allowed.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise SparseVQError(f"{where}: " + "; ".join(lines_of(error, section, values))) from None


def load(path: str | Path) -> Config:
    """The configuration in a YAML file; keys that it leaves out have their defaults."""
    return parse(Config, read_yaml(path), str(path))
