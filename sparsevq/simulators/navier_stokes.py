"""Two-dimensional forced flow on the unit torus, in vorticity form.

The recipe of Li et al. (Fourier Neural Operator, ICLR 2021), as Yin et al. (DINo, ICLR 2023) use it: a Gaussian random
field is stirred by a steady wave along the diagonal. All quantities are dimensionless. The forcing is fixed in space: a
flow that is shifted along one axis, or mirrored, is not a flow of the same forcing; one that is shifted along the
wave's crests, as far in x as back in y, is.
"""

import functools
import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparsevq.config import NavierStokesConfig
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.simulators.shard_job import BlownUpError, Simulator, Trajectory, main
from sparsevq.simulators.torus import STABLE, Torus, courant, highest_wave_number

# The first vorticity is drawn from N(0, TAU^(2 EXPONENT - 2) (-Laplacian + TAU^2)^-EXPONENT), without its mean.
TAU = 7.0
EXPONENT = 2.5


_torus = functools.cache(Torus)
"""One for all trajectories of the process."""


def simulate(settings: NavierStokesConfig, number: int, attempt: int) -> Trajectory:
    """One attempt at a trajectory: ``(F, grid, grid, 3)`` fields (frame, y, x, channel).

    Raises
    ------
    BlownUpError
        The flow became faster than the time step resolves.
    """
    torus = _torus(settings.grid, settings.viscosity, settings.forcing, settings.time_step)
    seed = draw(settings, number, attempt)
    vorticity = torus.spectrum(initial_field(settings.grid, seed))
    initial = torus.fields(vorticity)
    frames = []
    for frame in range(settings.frames):
        vorticity = torus.run(vorticity, _steps(settings, "frame_interval" if frame else "spin_up"))
        fields = torus.fields(vorticity)
        turned = torus.courant(fields[..., 1:])
        if not turned < STABLE:  # NaN is not below either
            raise BlownUpError(f"Courant number {turned:.3g} in frame {frame}, with time_step={settings.time_step:g}")
        frames.append(fields.astype(np.float32))
    return Trajectory(
        np.stack(frames),
        np.ones((settings.grid, settings.grid), dtype=bool),
        {
            "seed": float(seed),
            "initial_enstrophy": float(np.square(initial[..., 0]).mean() / 2),
            "initial_energy": float(np.square(initial[..., 1:]).sum(axis=-1).mean() / 2),
        },
    )


def draw(settings: NavierStokesConfig, number: int, attempt: int = 0) -> int:
    """Seed of a trajectory's first field, of 53 bits, which a float64 holds exactly."""
    source = np.random.SeedSequence([settings.seed % 2**32, number, attempt])
    return int(source.generate_state(1, np.uint64)[0] >> np.uint64(11))


def initial_field(grid: int, seed: int) -> npt.NDArray[np.float64]:
    """``(grid, grid)`` vorticity, a Gaussian random field of mean 0.

    A finer grid adds smaller waves to the same field: wave numbers are drawn in squares, from the largest waves on.
    """
    highest = highest_wave_number(grid)
    waves = np.arange(-highest, highest + 1)
    ky, kx = (each.ravel() for each in np.meshgrid(waves, waves, indexing="ij"))
    half = (kx > 0) | ((kx == 0) & (ky > 0))  # the other half are their complex conjugates
    ky, kx = ky[half], kx[half]
    order = np.lexsort((ky, kx, np.maximum(np.abs(ky), kx)))
    ky, kx = ky[order], kx[order]
    real, imaginary = np.random.default_rng(seed).standard_normal((len(order), 2)).T
    coefficients = np.sqrt(initial_variance(kx, ky) / 2) * (real + 1j * imaginary)
    spectrum = np.zeros((grid, grid // 2 + 1), dtype=complex)
    spectrum[ky, kx] = coefficients
    spectrum[-ky[kx == 0], 0] = coefficients[kx == 0].conj()
    return np.fft.irfft2(spectrum, s=(grid, grid), norm="forward")


def initial_variance(kx: npt.NDArray[Any], ky: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean square of the first vorticity's Fourier coefficient at a wave number (periods along each axis)."""
    square = (2 * math.pi) ** 2 * (np.square(kx) + np.square(ky))
    return np.asarray(TAU ** (2 * EXPONENT - 2) * (square + TAU**2) ** -EXPONENT)


def describe(settings: NavierStokesConfig) -> Description:
    """Description of all trajectories."""
    points = np.arange(settings.grid) / settings.grid
    return Description(
        axes={"y": points, "x": points},
        axis_units={"y": "1", "x": "1"},
        time=np.arange(settings.frames, dtype=np.float64) * settings.frame_interval,
        time_units="1",
        parameter_units={"seed": "", "initial_enstrophy": "1", "initial_energy": "1"},
        channels=("vorticity", "u", "v"),
        units=("1", "1", "1"),
        periodic=("y", "x"),
        vector={"u": "x", "v": "y"},
        provenance={
            "solver": "sparsevq, Fourier spectra with 2/3 dealiasing, fourth-order Runge-Kutta with integrating factor",
            "torch": torch.__version__,
            "dtype": "float64, stored as float32",
            "initial": f"N(0, tau^(2a - 2) (-Laplacian + tau^2)^-a), tau = {TAU:g}, a = {EXPONENT:g}",
        },
    )


def check(settings: NavierStokesConfig) -> None:
    """Raise where the settings don't fit each other."""
    if settings.grid % 2 or settings.grid < 8:
        raise SparseVQError(f"simulation.navier_stokes.grid={settings.grid} is odd or below 8", "use 32, 64 or 128")
    for name in ("frame_interval", "spin_up"):
        duration = getattr(settings, name)
        if not math.isclose(_steps(settings, name) * settings.time_step, duration, rel_tol=1e-9):
            raise SparseVQError(
                f"simulation.navier_stokes.{name}={duration:g} is no multiple of time_step={settings.time_step:g}",
                "choose a time step that divides it",
            )
    turned = courant(settings.grid, settings.time_step, expected_speed(settings))
    if not turned < STABLE:
        raise SparseVQError(
            f"simulation.navier_stokes.time_step={settings.time_step:g} is too long for a grid of {settings.grid} "
            f"points: Courant number {turned:.3g} is not below {STABLE:.3g}",
            f"choose less than {settings.time_step * STABLE / turned:.2g}, or lower the forcing",
        )


def expected_speed(settings: NavierStokesConfig) -> float:
    """The highest ``|u| + |v|`` to expect, from a bound of the root-mean-square speed.

    The forcing adds its own root mean square to the velocity's in each unit of time, and viscosity takes at least
    ``nu (2 pi)^2`` of it, which is the rate of the largest wave.
    """
    waves = np.arange(-highest_wave_number(settings.grid), highest_wave_number(settings.grid) + 1)
    ky, kx = np.meshgrid(waves, waves, indexing="ij")
    square = (2 * math.pi) ** 2 * (np.square(kx) + np.square(ky))
    initial = math.sqrt((initial_variance(kx, ky)[square > 0] / square[square > 0]).sum())
    duration = settings.spin_up + (settings.frames - 1) * settings.frame_interval
    rate = settings.viscosity * (2 * math.pi) ** 2
    gained = -math.expm1(-rate * duration) / rate if rate else duration
    driven = settings.forcing / (2 * math.pi * math.sqrt(2)) * gained
    return math.sqrt(2) * (initial + driven)


def _steps(settings: NavierStokesConfig, name: str) -> int:
    """Time steps in one of the settings' durations."""
    return round(getattr(settings, name) / settings.time_step)


NAVIER_STOKES = Simulator("navier_stokes", NavierStokesConfig, check, simulate, describe)

if __name__ == "__main__":
    sys.exit(main(NAVIER_STOKES))
