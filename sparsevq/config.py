"""The configuration: every parameter of an experiment, its meaning, its default and what is allowed.

This is the single place where parameters are declared. The workflow validates ``config/*.yaml`` against it, each
rule gets the section that it depends on (so that a change reruns that rule and what follows), the command line makes
its flags from it, and `Config.model_json_schema()` documents it. Names follow the method's published release where it
has one.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sparsevq.errors import SparseVQError


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} is named more than once")
    return values


Sweep = (Field(min_length=1), AfterValidator(_each_once))
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Moment = Annotated[float | str, BeforeValidator(lambda value: value.isoformat() if isinstance(value, date) else value)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """A part of the configuration: an unknown key is an error, and so is a value that can't be read as asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


# ------------------------------------------------------------------------------------------------ data


class Symmetries(Section):
    """Symmetries of the physics, used to augment the training split (never validation or test)."""

    reflect: tuple[str, ...] = Field(
        (), description="axes along which a mirrored flow is a flow too; the channel along the axis changes sign"
    )
    roll: dict[str, NonNegative] = Field(
        {}, description="periodic axes and the largest shift along each (grid points) that is drawn"
    )
    variants: Count = Field(
        1, description="versions of each training trajectory that stages 2 and 3 see: itself, then random ones"
    )


class DataSetConfig(Section):
    """What every data set says of itself: which channels are learned, and how much is held out."""

    channels: Annotated[tuple[str, ...], AfterValidator(_each_once)] = Field(
        (), description="channels to learn, in this order; empty: all that there are"
    )
    symmetries: Symmetries | None = Field(None, description="symmetries of this data set; null: stage1.symmetries")
    validation: Count = Field(16, description="trajectories (time blocks) held out for validation")
    test: Count = Field(16, description="trajectories (time blocks) held out for the tables; never seen before those")


class SimulatedConfig(DataSetConfig):
    """What every simulated data set has."""

    trajectories: Count = Field(description="trajectories to simulate")
    frames: Annotated[int, Field(ge=2)] = Field(40, description="frames a trajectory")
    shards: Count = Field(8, description="parallel jobs that the trajectories are divided among")
    seed: int = Field(0, description="seed of the draws")

    @property
    def total(self) -> int:
        """All trajectories that are simulated, those from outside the training range last."""
        return self.trajectories

    @model_validator(mode="after")
    def _no_empty_shard(self) -> Self:
        if self.shards > self.total:
            raise ValueError(f"shards={self.shards} exceeds the {self.total} trajectories: lower it")
        return self


class CylinderConfig(SimulatedConfig):
    """2-D flow past an obstacle, by a lattice Boltzmann method. Lengths are in lattice cells."""

    channels: tuple[Literal["u", "v", "vorticity"], ...] = Field(("u", "v"), description="channels to learn")
    trajectories: Count = Field(272, description="trajectories to simulate")
    test: Count = Field(6, description="trajectories held out for the tables")
    reynolds: tuple[float, float] = Field((100.0, 400.0), description="range of Reynolds numbers, drawn log-uniformly")
    diameter: tuple[float, float] = Field((10.0, 20.0), description="range of the obstacle's diameter (cells)")
    shapes: tuple[Literal["circle", "ellipse", "square"], ...] = Field(
        ("circle", "circle", "ellipse", "square"), description="obstacle shapes, drawn with equal weight an entry"
    )
    frame_interval: Rate = Field(0.45, description="time between frames, in units of 16 cells / inflow speed")
    spin_up: Rate = Field(45.0, description="time simulated before the first frame, in the same units")
    grid: Count = Field(64, description="points of the stored grid along each axis")


class NavierStokesConfig(SimulatedConfig):
    """Forced 2-D Navier-Stokes in vorticity form on the unit torus, by spectra (Li et al. 2021; Yin et al. 2023)."""

    channels: tuple[Literal["vorticity", "u", "v"], ...] = Field(("vorticity",), description="channels to learn")
    trajectories: Count = Field(288, description="trajectories to simulate")
    viscosity: Annotated[float, Field(ge=0)] = Field(1e-3, description="kinematic viscosity")
    forcing: Annotated[float, Field(ge=0)] = Field(
        0.1, description="amplitude of the forcing sin + cos of 2 pi (x + y)"
    )
    grid: Count = Field(64, description="points along each axis, of the solver and as stored")
    spin_up: Annotated[float, Field(ge=0)] = Field(30.0, description="time simulated before the first frame")
    frame_interval: Rate = Field(1.0, description="time between frames")
    time_step: Rate = Field(0.02, description="time step of the solver")


class ShallowConfig(SimulatedConfig):
    """Shallow water on the rotating sphere: barotropically unstable jets (Galewsky et al. 2004), by torch-harmonics."""

    channels: tuple[Literal["height", "vorticity"], ...] = Field(
        ("height", "vorticity"), description="channels to learn: height anomaly (m), relative vorticity (1/s)"
    )
    trajectories: Count = Field(24, description="trajectories to simulate")
    validation: Count = Field(4, description="trajectories held out for validation")
    test: Count = Field(4, description="trajectories held out for the tables")
    frames: Annotated[int, Field(ge=2)] = Field(160, description="frames a trajectory")
    truncation: Count = Field(63, description="triangular truncation of the spherical harmonics (T63)")
    time_step: Rate = Field(150.0, description="time step of the solver (s)")
    spin_up: Annotated[float, Field(ge=0)] = Field(72.0, description="time simulated before the first frame (h)")
    frame_interval: Rate = Field(1.0, description="time between frames (h)")
    grid: tuple[Count, Count] = Field((64, 128), description="points of the stored grid: latitudes, longitudes")
    jet_speed: tuple[float, float] = Field((65.0, 90.0), description="range of a jet's highest wind speed (m/s)")
    jet_latitude: tuple[float, float] = Field((35.0, 55.0), description="range of the latitude of a jet's axis (deg)")
    jet_width: tuple[float, float] = Field((32.0, 42.0), description="range of a jet's width, edge to edge (deg)")
    bump: tuple[float, float] = Field((80.0, 240.0), description="range of the height that disturbs each jet (m)")
    both_hemispheres: Annotated[float, Field(ge=0, le=1)] = Field(
        0.75, description="share of trajectories with a jet in each hemisphere; the others have one jet"
    )


class FireConfig(SimulatedConfig):
    """Smoke and heat of a 3-D fire plume, large-eddy simulation by OpenFOAM's buoyantPimpleFoam."""

    channels: tuple[Literal["temperature", "smoke", "w"], ...] = Field(
        ("temperature", "smoke", "w"), description="channels to learn: temperature rise, smoke, upward velocity"
    )
    trajectories: Count = Field(32, description="open scenes to simulate")
    validation: Count = Field(2, description="scenes held out for validation")
    test: Count = Field(4, description="scenes held out for the tables")
    rooms: NonNegative = Field(4, description="further scenes in closed rooms with a door: a test set outside training")
    frames: Annotated[int, Field(ge=2)] = Field(120, description="frames a trajectory")
    grid: Annotated[int, Field(ge=8)] = Field(32, description="cells along each axis, of the solver and as stored")
    spin_up: Rate = Field(3.0, description="time since ignition at the first frame (s)")
    frame_interval: Rate = Field(0.15, description="time between frames (s)")
    wind: tuple[float, float] = Field((0.0, 0.8), description="range of the cross wind (m/s)")
    burner: tuple[float, float] = Field((0.9, 1.7), description="range of the burner's side (m)")
    power: tuple[float, float] = Field((55.0, 170.0), description="range of the convective power (kW)")
    obstacles: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="share of the scenes with obstacles")

    @property
    def total(self) -> int:
        """Open scenes, then rooms."""
        return self.trajectories + self.rooms


class SimulationConfig(Section):
    """One entry a simulated data set."""

    cylinder: CylinderConfig = CylinderConfig()
    navier_stokes: NavierStokesConfig = NavierStokesConfig()
    shallow: ShallowConfig = ShallowConfig()
    fire: FireConfig = FireConfig()


class FileConfig(DataSetConfig):
    """A data set from files of your own; `sparsevq data describe FILE` suggests these lines."""

    path: str | tuple[str, ...] = Field(description="file, folder, pattern (runs/*.nc) or list of them")
    format: Literal["auto", "sparsevq", "netcdf", "zarr", "hdf5", "matlab", "numpy", "release", "fds"] = Field(
        "auto", description="how the files are written; auto: by their names and first bytes"
    )
    release: Literal["sea", "pipe", "plume", "pore", "isotropic3D", "cylinder", "shallow", "fire"] | None = Field(
        None, description="for format=release: which loader of the method's public release the file was made for"
    )
    join: Literal["trajectory", "time"] = Field(
        "trajectory", description="what several files are: trajectories, or one after the other in time"
    )
    arrays: tuple[str, ...] = Field(
        (),
        description="variables, or paths of datasets, that hold the channels: one for each, or one whose dimension "
        "`channel` runs over them; for FDS the quantities. Empty: all that lie on one grid",
    )
    dimensions: tuple[str, ...] = Field(
        (),
        description="meaning of the arrays' dimensions, in order: trajectory, time, channel, point, or an axis' name; "
        "empty: as the file says. MATLAB: in the order of size(), whatever the file's version",
    )
    coordinates: dict[str, str | tuple[float, float]] = Field(
        {},
        description="axis -> array with its coordinates, or its [first, last]; others: as the file says. Of scattered "
        "points the arrays may be one of (points, axes), named for each axis",
    )
    time: str | tuple[float, float] | None = Field(
        None,
        description="array with the times, or [first, step]; null: as the file says; for FDS [first, step] are the "
        "times to interpolate at, since steps differ between its runs",
    )
    units: dict[str, str] = Field({}, description="of channels, axes and `time`, instead of what the file says")
    periodic: tuple[str, ...] = Field((), description="axes on which the domain closes; those the file says are added")
    vector: dict[str, str] = Field({}, description="channel -> axis that it points along, for mirror symmetries")
    missing: tuple[float, ...] = Field((), description="values that mean `nothing here`, beside NaN and the file's own")
    resample: tuple[Count, Count, Count] | None = Field(
        None,
        description="for FDS: points along z, y, x of a regular grid to interpolate to; null: the meshes' own points",
    )
    window: tuple[Moment, Moment] | None = Field(
        None, description="first and last time to keep, in the file's unit, or as dates where it counts from one"
    )
    stride: Count = Field(1, description="keep every stride-th frame")
    split: Literal["trajectory", "time"] = Field(
        "trajectory", description="hold out whole trajectories, or time blocks of one long trajectory"
    )
    block: Annotated[int, Field(ge=2)] | None = Field(None, description="for split=time: frames of a block")
    gap: NonNegative = Field(0, description="for split=time: frames left out between the splits")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.split == "time" and self.block is None:
            raise ValueError("split=time needs `block`: the frames of a time block")
        if self.block is not None and self.split != "time":
            raise ValueError("`block` cuts time blocks: add split=time, or leave it out")
        if (self.format == "release") != (self.release is not None):
            raise ValueError("format=release and `release` (the loader's name) go together")
        return self


class PreprocessConfig(Section):
    """From shards or files to one data set."""

    split_seed: int = Field(0, description="seed of the assignment of trajectories to splits")
    time_sub: Count = Field(1, description="temporal stride: keep every time_sub-th frame")


class SensorsConfig(Section):
    """Where the sensors stand. The sparse set is nested in the semi-sparse one."""

    placement: Literal["random", "qr", "grid", "region", "csv"] = Field(
        "random", description="random; QR-pivoted on POD modes; a regular grid; random in a region; the user's CSV"
    )
    num_semi_sparse: Count = Field(300, description="sensors that the semi-sparse (teacher) set has beyond the sparse")
    region: tuple[tuple[float, float], ...] | None = Field(
        None, description="for placement=region: (low, high) along each axis, in the coordinates' units"
    )
    csv: Path | None = Field(None, description="for placement=csv: a file with one column for each axis' coordinate")
    qr_modes: Count = Field(20, description="for placement=qr: POD modes of the training split")

    @model_validator(mode="after")
    def _placement_has_what_it_needs(self) -> Self:
        if self.placement == "region" and self.region is None:
            raise ValueError("placement=region needs `region`: one (low, high) pair for each axis")
        if self.placement == "csv" and self.csv is None:
            raise ValueError("placement=csv needs `csv`: a file of sensor coordinates")
        return self


# ------------------------------------------------------------------------------------------------ training


class TrainingConfig(Section):
    """What all three stages share: optimizer, budget and early stopping."""

    lr: Rate = Field(1e-4, description="peak learning rate of AdamW")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's decoupled weight decay")
    warmup_steps: NonNegative = Field(100, description="steps of linear warm-up")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="learning rate after the warm-up")
    max_steps: Count = Field(20_000, description="optimizer steps; a budget in steps keeps runs reproducible")
    val_every: Count = Field(250, description="steps between validations")
    patience: Count = Field(300, description="early stopping: validations without improvement")
    accum_grads: Count = Field(1, description="batches accumulated for one optimizer step")
    grad_clip: Rate = Field(1.0, description="largest norm of the gradient")
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        "auto", description="auto: bf16-mixed where the device multiplies bf16 matrices in hardware, else 32-true"
    )


class Stage1Config(TrainingConfig):
    """Sparse and semi-sparse encoder with the coordinate decoder."""

    space_bands: Count = Field(32, description="sine-cosine frequencies a dimension")
    enc_preproc_ch: Count = Field(48, description="size of the linear layer on the inputs (value + position)")
    num_latents: Count = Field(256, description="length of the learned query array Q_in")
    enc_num_latent_channels: Count = Field(48, description="channels of Q_in")
    num_layers: Count = Field(6, description="encoder blocks; the first has its own weights, later ones share theirs")
    num_cross_attention_heads: Count = Field(2, description="heads of every cross-attention")
    num_self_attention_heads: Count = Field(2, description="heads of every self-attention")
    num_self_attention_layers_per_block: Count = Field(2, description="self-attention layers a block")
    dec_preproc_ch: Count = Field(48, description="size of the linear layer on the decoder's queries")
    dec_num_latent_channels: Count = Field(48, description="channels of the decoder")
    mlp_ratio: Count = Field(1, description="width of the feed-forward layers, as a multiple of their channels")
    batch_frames: Count = Field(64, description="frames a batch")
    batch_pixels: Count = Field(2048, description="points a frame at which the loss is taken")
    training_frames: Count | None = Field(None, description="frames of each training trajectory to use; null: all")
    consecutive_train: bool = Field(False, description="with training_frames: consecutive ones, else at random")
    warm_start: bool = Field(
        False, description="start the sparse encoder from the semi-sparse one, so that both share one latent space"
    )
    symmetries: Symmetries = Symmetries()

    @model_validator(mode="after")
    def _heads_divide_channels(self) -> Self:
        for heads in ("num_cross_attention_heads", "num_self_attention_heads"):
            for channels in ("enc_num_latent_channels", "dec_num_latent_channels"):
                if heads.startswith("num_self") and channels.startswith("dec"):
                    continue
                if getattr(self, channels) % getattr(self, heads):
                    raise ValueError(
                        f"{channels}={getattr(self, channels)} must be a multiple of {heads}={getattr(self, heads)}"
                    )
        return self


class Stage2Config(TrainingConfig):
    """The tokenizer: sparse latents through a discrete bottleneck to complete latents."""

    tokenizer: Literal["conv", "attention"] = Field(
        "attention",
        description="conv: latents as a square picture, two stride-2 convolutions (the release); "
        "attention: tokens_per_frame learned queries pool the latents, and mirrored",
    )
    tokens_per_frame: Count = Field(16, description="tokens a frame (conv: must be num_latents / 16)")
    quantizer: Literal["vq", "rvq", "fsq"] = Field(
        "rvq", description="plain VQ; residual VQ; finite scalar quantization"
    )
    num_quantizers: Count = Field(4, description="residual levels of rvq (1 for the others)")
    num_vq_embeddings: Annotated[int, Field(ge=2)] = Field(256, description="codes of each level")
    vq_embedding_dim: Count = Field(512, description="channels of a code")
    commitment_cost: Annotated[float, Field(ge=0)] = Field(0.25, description="weight of the commitment loss")
    num_hiddens: Count = Field(2048, description="width of the tokenizer's hidden layers")
    continuous_steps: NonNegative = Field(
        0, description="steps trained without quantization before the codebook is started from k-means"
    )
    field_weight: Annotated[float, Field(ge=0)] = Field(
        0.0, description="weight of the decoded field's error beside the latents' error; 0: as in the paper"
    )
    batch_frames: Count = Field(128, description="frames a batch")
    batch_pixels: Count = Field(512, description="points a frame at which the decoded field's error is taken")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.continuous_steps >= self.max_steps:
            raise ValueError(
                f"continuous_steps={self.continuous_steps} must be less than max_steps={self.max_steps}, "
                "or the codebook never starts"
            )
        if self.tokenizer == "attention" and self.num_hiddens % 4:
            raise ValueError(f"num_hiddens={self.num_hiddens} must be a multiple of 4, its heads of attention")
        return self


class Stage3Config(TrainingConfig):
    """The GPT over code indices."""

    prediction: Literal["next_frame", "next_token"] = Field(
        "next_frame", description="next_frame: block-causal, all tokens of a frame at once; next_token: as in the paper"
    )
    targets: Literal["semi_sparse", "sparse"] = Field(
        "semi_sparse", description="whose codes follow the sparse prompt: the teacher's or the sparse encoder's"
    )
    time_transformer_layers: Count = Field(12, description="layers")
    time_transformer_heads: Count = Field(8, description="attention heads")
    time_transformer_dim: Count = Field(512, description="width")
    dropout: Fraction = Field(0.0, description="dropout in attention and feed-forward layers")
    token_noise: Fraction = Field(
        0.0, description="share of input tokens replaced by random codes in training, against errors that compound"
    )
    stage2_frames: Annotated[int, Field(ge=2)] = Field(21, description="frames of a training sequence, prompt included")
    freeze_start_on_0: int = Field(-1, description="0 or above: every sequence starts at this frame; -1: anywhere")
    max_X: NonNegative = Field(0, description="latest start frame of a sequence; 0: no limit")
    batch_frames: Count = Field(672, description="frames a batch: batch_frames // stage2_frames sequences")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.time_transformer_dim % (2 * self.time_transformer_heads):  # rotary positions turn pairs of channels
            raise ValueError(
                f"time_transformer_dim={self.time_transformer_dim} must be a multiple of twice "
                f"time_transformer_heads={self.time_transformer_heads}"
            )
        if self.batch_frames < self.stage2_frames:
            raise ValueError(f"batch_frames={self.batch_frames} must be at least stage2_frames={self.stage2_frames}")
        return self


# ------------------------------------------------------------------------------------------------ after training


class ForecastConfig(Section):
    """Forecasts of the held-out trajectories."""

    horizon: Count = Field(20, description="frames to forecast")
    starts: Annotated[tuple[NonNegative, ...], *Sweep] = Field(
        (0,), description="observed frames: one forecast of every test trajectory each"
    )
    members: Count = Field(8, description="ensemble members sampled from the GPT")
    temperature: Annotated[float, Field(ge=0)] = Field(1.0, description="sampling temperature; 0: the likeliest code")
    top_k: NonNegative = Field(0, description="sample among the top_k likeliest codes; 0: all")


class EvaluationConfig(Section):
    """Baselines and tables."""

    baselines: tuple[Literal["persistence", "climatology", "pod_dmd"], ...] = Field(
        ("persistence", "climatology", "pod_dmd"), description="what sparsevq is compared with"
    )
    pod_ranks: tuple[Count, ...] = Field(
        (2, 5, 10, 20, 40, 80), description="ranks of gappy POD; the best on the validation split is taken"
    )


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = Field(True, description="false: no tracking")
    uri: str | None = Field(
        None, description="tracking server; null: MLFLOW_TRACKING_URI if set, else SQLite in the results folder"
    )
    system_metrics: bool = Field(True, description="log processor, memory and GPU use")


class ResourcesConfig(Section):
    """What a job may ask of Snakemake's scheduler."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU if there is one")
    gpu: NonNegative = Field(1, description="GPUs of each training job")
    threads: Count = Field(2, description="CPU threads of each training job")
    mem_mb: Count = Field(8000, description="memory of each training job (MB)")
    runtime: Count = Field(240, description="wall time of each training job (minutes)")


class Config(Section):
    """A whole experiment."""

    experiment: Name = Field("default", description="name of the experiment: results go to results/<experiment>")
    results: Path = Field(Path("results"), description="folder for everything that runs make")
    data_sets: Annotated[tuple[Name, ...], *Sweep] = Field(("cylinder",), description="data sets to run")
    num_sensors: Annotated[tuple[Count, ...], *Sweep] = Field((20,), description="sparse sensors: a sweep")
    seeds: Annotated[tuple[NonNegative, ...], *Sweep] = Field((123,), description="seeds: a sweep")
    simulation: SimulationConfig = SimulationConfig()
    files: dict[Name, FileConfig] = Field({}, description="data sets from files of your own: name -> what they are")
    preprocess: PreprocessConfig = PreprocessConfig()
    sensors: SensorsConfig = SensorsConfig()
    stage1: Stage1Config = Stage1Config()
    stage2: Stage2Config = Stage2Config()
    stage3: Stage3Config = Stage3Config()
    forecast: ForecastConfig = ForecastConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
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
        return self

    def symmetries_of(self, name: str) -> Symmetries:
        """The symmetries that a data set is augmented by."""
        own = self.data_set(name).symmetries
        return self.stage1.symmetries if own is None else own

    def data_set(self, name: str) -> SimulatedConfig | FileConfig:
        """The section of one data set, simulated or from files."""
        return self.files[name] if name in self.files else getattr(self.simulation, name)


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
        raise SparseVQError(f"{where}: " + "; ".join(_fault(section, fault) for fault in error.errors())) from None


def load(path: str | Path) -> Config:
    """The configuration in a YAML file; keys that it leaves out have their defaults."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SparseVQError(f"cannot read the configuration {path} ({error.strerror})", "check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SparseVQError(f"{path} is not YAML ({error})", "mend its syntax") from None
    if not isinstance(values, dict):
        raise SparseVQError(f"{path} holds no configuration", "write `key: value` lines")
    return parse(Config, values, str(path))


def _fault(section: type[Section], fault: Any) -> str:
    location = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        owner: Any = section
        for part in fault["loc"][:-1]:
            inside = get_args(owner)  # of a mapping: name -> section
            owner = inside[1] if inside else owner.model_fields[part].annotation
        return f"{location}={fault['input']!r} is not a known key; known here: {', '.join(owner.model_fields)}"
    message = fault["msg"].removeprefix("Value error, ")
    if not location or fault["type"] == "value_error":  # a check of ours, which names the key and the value
        return f"{location}: {message}" if location else message
    return f"{location}={fault['input']!r} is not allowed: {message}"
