"""Shallow water on the rotating sphere: westerly jets that break up into vortices (Galewsky et al. 2004)."""

import functools
import importlib.metadata
import sys

import numpy as np
import numpy.typing as npt

from sparsevq.config import ShallowConfig
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.simulators.jets import Jet, draw
from sparsevq.simulators.shard_job import BlownUpError, Simulator, Trajectory, check_range, main
from sparsevq.simulators.sphere import (
    GRAVITY,
    MEAN_DEPTH,
    RADIUS,
    Complex,
    Sphere,
    cell_centres,
    gaussian_latitudes,
    longest_time_step,
)

SIDES = ("north", "south")
PARAMETER_UNITS = {
    "speed": "m/s",
    "latitude": "degrees_north",
    "width": "degrees",
    "bump": "m",
    "bump_latitude": "degrees_north",
    "bump_longitude": "degrees_east",
}
HOUR = 3600.0
# A vorticity (1/s) that no such flow reaches: jets of 90 m/s reach 2e-4.
ABSURD = 2e-3
# Coarsest truncation and stored grid that resolve a jet's meanders, of wavenumbers 4 to 8.
COARSEST_TRUNCATION, COARSEST_GRID = 21, (16, 32)
FINEST_TRUNCATION = 341


_sphere = functools.cache(Sphere)
"""One for all trajectories of the process: its tables take up to a second."""


def simulate(settings: ShallowConfig, number: int, attempt: int) -> Trajectory:
    """One attempt at a trajectory: ``(F, lat, lon, 2)`` fields.

    Raises
    ------
    BlownUpError
        The flow is unstable numerically.
    SparseVQError
        torch-harmonics is missing.
    """
    jets = draw(settings, number, attempt)
    fields = _flow(_sphere(settings.truncation, settings.time_step, settings.grid), settings, jets)
    parameters: dict[str, float | str] = {
        f"{side}_{name}": getattr(jet, name) for side, jet in zip(SIDES, jets, strict=True) for name in PARAMETER_UNITS
    }
    return Trajectory(fields, np.ones(settings.grid, dtype=bool), parameters)


def _flow(sphere: Sphere, settings: ShallowConfig, jets: tuple[Jet, ...]) -> npt.NDArray[np.float32]:
    state = sphere.initial(jets)
    history: list[Complex] = []
    frames = []
    with np.errstate(over="ignore", invalid="ignore"):  # a flow that blows up is detected below
        for frame in range(settings.frames):
            duration = settings.frame_interval if frame else settings.spin_up
            for _ in range(round(duration * HOUR / settings.time_step)):
                state = sphere.step(state, history)
            fields = sphere.fields(state)
            strongest = np.abs(fields[1]).max()
            if not strongest < ABSURD:  # NaN is not below either
                raise BlownUpError(f"vorticity {strongest:.3g} 1/s in frame {frame}")
            frames.append(fields)
    return np.stack(frames).transpose(0, 2, 3, 1).astype(np.float32)


def describe(settings: ShallowConfig) -> Description:
    """Description of all trajectories."""
    sphere = _sphere(settings.truncation, settings.time_step, settings.grid)
    rows, columns = settings.grid
    gaussian = gaussian_latitudes(settings.truncation)
    version = importlib.metadata.version("torch-harmonics")
    return Description(
        axes={"lat": cell_centres(rows), "lon": np.arange(columns) * 360 / columns},
        axis_units={"lat": "degrees_north", "lon": "degrees_east"},
        time=np.arange(settings.frames, dtype=np.float64) * settings.frame_interval,
        time_units="h",
        parameter_units={f"{side}_{name}": unit for side in SIDES for name, unit in PARAMETER_UNITS.items()},
        channels=("height", "vorticity"),
        units=("m", "1/s"),
        periodic=("lon",),
        provenance={
            "solver": f"spherical harmonics of torch-harmonics {version}, double precision",
            "truncation": f"T{settings.truncation}, Gaussian grid {gaussian}x{2 * gaussian}",
            "stored": f"harmonics up to T{sphere.stored_truncation}, evaluated at the grid's points",
            "time_step": f"{settings.time_step:g} s, Adams-Bashforth of third order",
            "hyperdiffusion": f"vorticity and divergence, order 8, e-folding time 2 h at degree {settings.truncation}",
            "planet": {"radius_m": RADIUS, "gravity_m_s2": GRAVITY, "rotation_1_s": float(sphere.solver.omega)},
            "mean_depth_m": MEAN_DEPTH,
            "time": f"0 is {settings.spin_up:g} h after the start from balanced jets",
        },
    )


def check(settings: ShallowConfig) -> None:
    """Raise where the settings don't fit each other, or torch-harmonics is missing."""
    where = "simulation.shallow"
    if not COARSEST_TRUNCATION <= settings.truncation <= FINEST_TRUNCATION:
        raise SparseVQError(
            f"{where}.truncation={settings.truncation} is not within {COARSEST_TRUNCATION} ... {FINEST_TRUNCATION}",
            "use 31, 42, 63 or 85",
        )
    if any(size < least for size, least in zip(settings.grid, COARSEST_GRID, strict=True)):
        raise SparseVQError(
            f"{where}.grid={list(settings.grid)} is too coarse for the jets' waves",
            f"use at least {list(COARSEST_GRID)}",
        )
    check_range("shallow", "jet_speed", settings.jet_speed, 0.0, 150.0)
    check_range("shallow", "jet_width", settings.jet_width, 1.0, 90.0)
    check_range("shallow", "jet_latitude", settings.jet_latitude, 0.0, 90.0)
    check_range("shallow", "bump", settings.bump, 0.0, 1000.0)
    _check_jets(settings)
    longest = longest_time_step(settings.truncation, settings.jet_speed[1])
    if settings.time_step > longest:
        raise SparseVQError(
            f"{where}.time_step={settings.time_step:g} s is beyond what gravity waves allow at T{settings.truncation}, "
            f"{longest:.0f} s",
            "lower time_step or truncation",
        )
    for name in ("spin_up", "frame_interval"):
        seconds = getattr(settings, name) * HOUR
        steps = seconds / settings.time_step
        if abs(steps - round(steps)) > 1e-6 or (name == "frame_interval" and round(steps) == 0):
            raise SparseVQError(
                f"{where}.{name}={getattr(settings, name):g} h is no whole number of time steps of "
                f"{settings.time_step:g} s",
                "choose a time_step that divides it, such as 100, 150, 200 or 300",
            )
    _sphere(settings.truncation, settings.time_step, settings.grid)


def _check_jets(settings: ShallowConfig) -> None:
    """Check that each jet lies between the equator and its pole, and that the harmonics resolve it."""
    half = settings.jet_width[1] / 2
    if settings.jet_latitude[0] < half or settings.jet_latitude[1] > 90 - half:
        raise SparseVQError(
            f"simulation.shallow.jet_latitude={list(settings.jet_latitude)} lets a jet of width {2 * half:g} "
            "extend across the equator or a pole",
            f"keep it within [{half:g}, {90 - half:g}], or lower jet_width",
        )
    narrowest = 2 * 360 / settings.truncation
    if settings.jet_width[0] < narrowest:
        raise SparseVQError(
            f"simulation.shallow.jet_width={list(settings.jet_width)} has jets narrower than two of the shortest "
            f"waves at T{settings.truncation}, {narrowest:.1f} degrees",
            "raise truncation or jet_width",
        )


SHALLOW = Simulator("shallow", ShallowConfig, check, simulate, describe)

if __name__ == "__main__":
    sys.exit(main(SHALLOW))
