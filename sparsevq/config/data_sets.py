"""Data sets: simulated ones, and files of the user's own."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sparsevq.config.section import Count, Moment, NonNegative, Rate, Section, each_once


class Symmetries(Section):
    """Symmetries of the physics, used to augment the training split (never validation or test)."""

    reflect: tuple[str, ...] = Field(
        (),
        description="axes along which a mirrored flow is a valid flow; the channel along the axis changes sign",
    )
    roll: dict[str, NonNegative] = Field(
        {}, description="periodic axes and the largest random shift along each (grid points)"
    )
    roll_together: dict[str, int] = Field(
        {},
        description="periodic axes that are shifted together, and by how many grid points each: any multiple of that, "
        "as where a force varies along x + y alone ({x: 1, y: -1})",
    )
    variants: Count = Field(
        1, description="versions of each training trajectory that stages 2 and 3 see: itself, then random ones"
    )


class DataSetConfig(Section):
    """What every data set declares: which channels are learned, and how much is held out."""

    channels: Annotated[tuple[str, ...], AfterValidator(each_once)] = Field(
        (), description="channels to learn, in this order; empty: all"
    )
    symmetries: Symmetries | None = Field(None, description="symmetries of this data set; null: stage1.symmetries")
    validation: Count = Field(16, description="trajectories (time blocks) held out for validation")
    test: Count = Field(16, description="trajectories (time blocks) held out for the tables; not used before")


class SimulatedConfig(DataSetConfig):
    """Settings of every simulated data set."""

    trajectories: Count = Field(description="trajectories to simulate")
    frames: Annotated[int, Field(ge=2)] = Field(40, description="frames per trajectory")
    shards: Count = Field(8, description="parallel jobs that share the trajectories")
    seed: int = Field(0, description="seed of the random draws")

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
        ("circle", "circle", "ellipse", "square"), description="obstacle shapes, drawn with equal weight per entry"
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
    frames: Annotated[int, Field(ge=2)] = Field(160, description="frames per trajectory")
    truncation: Count = Field(63, description="triangular truncation of the spherical harmonics (T63)")
    time_step: Rate = Field(150.0, description="time step of the solver (s)")
    spin_up: Annotated[float, Field(ge=0)] = Field(72.0, description="time simulated before the first frame (h)")
    frame_interval: Rate = Field(1.0, description="time between frames (h)")
    grid: tuple[Count, Count] = Field((64, 128), description="points of the stored grid: latitudes, longitudes")
    jet_speed: tuple[float, float] = Field((65.0, 90.0), description="range of a jet's highest wind speed (m/s)")
    jet_latitude: tuple[float, float] = Field((35.0, 55.0), description="range of the latitude of a jet's axis (deg)")
    jet_width: tuple[float, float] = Field((32.0, 42.0), description="range of a jet's width, edge to edge (deg)")
    bump: tuple[float, float] = Field((80.0, 240.0), description="range of the height perturbation of each jet (m)")
    both_hemispheres: Annotated[float, Field(ge=0, le=1)] = Field(
        0.75, description="fraction of trajectories with a jet in each hemisphere; the others have one jet"
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
    frames: Annotated[int, Field(ge=2)] = Field(120, description="frames per trajectory")
    grid: Annotated[int, Field(ge=8)] = Field(32, description="cells along each axis, of the solver and as stored")
    spin_up: Rate = Field(3.0, description="time since ignition at the first frame (s)")
    frame_interval: Rate = Field(0.15, description="time between frames (s)")
    wind: tuple[float, float] = Field((0.0, 0.8), description="range of the cross wind (m/s)")
    burner: tuple[float, float] = Field((0.9, 1.7), description="range of the burner's side (m)")
    power: tuple[float, float] = Field((55.0, 170.0), description="range of the convective power (kW)")
    obstacles: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="fraction of the scenes with obstacles")

    @property
    def total(self) -> int:
        """Open scenes, then rooms."""
        return self.trajectories + self.rooms


class SimulationConfig(Section):
    """One entry per simulated data set."""

    cylinder: CylinderConfig = CylinderConfig()
    navier_stokes: NavierStokesConfig = NavierStokesConfig()
    shallow: ShallowConfig = ShallowConfig()
    fire: FireConfig = FireConfig()


class FileConfig(DataSetConfig):
    """A data set from files of your own; `sparsevq data describe FILE` suggests these lines."""

    path: str | tuple[str, ...] = Field(
        description="file, folder, pattern (runs/*.nc, runs/**/*.nc) or list of them; ~ and $VARIABLES are filled in"
    )
    format: Literal["auto", "sparsevq", "netcdf", "zarr", "hdf5", "matlab", "numpy", "release", "fds"] = Field(
        "auto", description="format of the files; auto: detected from their names and first bytes"
    )
    release: Literal["sea", "pipe", "plume", "pore", "isotropic3D", "cylinder", "shallow", "fire"] | None = Field(
        None, description="for format=release: the loader of the method's public release that the file was made for"
    )
    join: Literal["trajectory", "time"] = Field(
        "trajectory", description="how several files are joined: as trajectories, or along time"
    )
    arrays: tuple[str, ...] = Field(
        (),
        description="variables, or paths of datasets, with the channels: one for each, or one whose dimension "
        "`channel` runs over them; for FDS the quantities. A pattern (*/u) matches the arrays of many groups, each "
        "a trajectory. Empty: all that lie on one grid",
    )
    dimensions: tuple[str, ...] = Field(
        (),
        description="meaning of the arrays' dimensions, in order: trajectory, time, channel, point, or an axis' name; "
        "empty: as in the file. MATLAB: in the order of size(), whatever the file's version",
    )
    coordinates: dict[str, str | tuple[float, float]] = Field(
        {},
        description="axis -> array with its coordinates, or its [first, last]; others: as in the file. An array "
        "may have a value for each point (meshgrid); one of shape (points, axes) may be named for every axis",
    )
    time: str | tuple[float, float] | None = Field(
        None,
        description="array with the times, or [first, step]; null: as in the file; for FDS [first, step] are the "
        "times to interpolate at, since steps differ between its runs",
    )
    select: dict[str, float | str] = Field(
        {},
        description="dimension -> the one entry of it to use, by its coordinate (level: 500, band: red), or where it "
        "has none by its number from 0",
    )
    units: dict[str, str] = Field(
        {}, description="of channels, axes and `time` in the file, instead of those that it declares"
    )
    periodic: tuple[str, ...] = Field((), description="periodic axes, in addition to those that the file declares")
    vector: dict[str, str] = Field({}, description="channel -> axis of this vector component, for mirror symmetries")
    missing: tuple[float, ...] = Field((), description="values that mark missing data, beside NaN and the file's own")
    not_missing: tuple[float, ...] = Field(
        (), description="values that are data, though the file declares them missing or they stand far from all others"
    )
    resample: tuple[Count, Count, Count] | None = Field(
        None,
        description="for FDS: points along z, y, x of a regular grid to interpolate to; null: the meshes' own points",
    )
    window: tuple[Moment, Moment] | None = Field(
        None,
        description="first and last time to keep, in the file's unit, or dates where it counts from a date",
    )
    stride: Count = Field(1, description="keep every stride-th frame")
    split: Literal["trajectory", "time"] = Field(
        "trajectory", description="hold out whole trajectories, or time blocks of one long trajectory"
    )
    block: Annotated[int, Field(ge=2)] | None = Field(None, description="for split=time: frames per block")
    gap: NonNegative = Field(0, description="for split=time: frames left out between splits")

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
