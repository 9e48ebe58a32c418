"""Shallow water on the rotating sphere, by spherical harmonics from torch-harmonics.

Equations, Legendre functions, hyperdiffusion and third-order Adams-Bashforth steps are those of
`torch_harmonics.examples.shallow_water_equations.ShallowWaterSolver` (tests hold them to each other). The differences:

- The Legendre sums of all fields are one product of real matrices for each zonal wavenumber, and fields that are not
  used (divergence on the grid, curl of the mass flux) are not transformed: a step takes a fifth of the time.
- The history of tendencies is kept from frame to frame; `ShallowWaterSolver.timestep` starts a new one at each call.
- The geopotential is stored as the anomaly from its mean, to reduce rounding errors.
- There are enough grid points that products of two fields are free of aliasing.
"""

import math

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.simulators.jets import Jet

RADIUS, GRAVITY, MEAN_DEPTH = 6.37122e6, 9.80616, 10_000.0  # m, m/s^2, m: the Earth, and Galewsky's layer
ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))  # weights, newest tendency first
# Third-order Adams-Bashforth is stable for oscillations of up to this many radians a step (Durran 1991).
LARGEST_ANGLE = 0.72

Real = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]


class Sphere:
    """A layer of water on the rotating Earth, in triangular truncation.

    A state is ``(3, M, L)`` complex128: anomaly of the geopotential (m^2/s^2), relative vorticity and divergence (1/s),
    as coefficients of orthonormal harmonics without the Condon-Shortley phase, of zonal wavenumber m < M and degree
    l < L; ``M = L = truncation + 1``. Gridded fields are ``(K, 2 K)``: Gaussian latitudes from north to south, then
    longitudes from 0. Wind is (eastward, northward), in m/s.

    Parameters
    ----------
    truncation
        Highest degree.
    time_step
        In seconds.
    grid
        Latitudes and longitudes of the grid on which `fields` gives a state.

    Raises
    ------
    SparseVQError
        torch-harmonics is missing.
    """

    def __init__(self, truncation: int, time_step: float, grid: tuple[int, int]):
        try:
            from torch_harmonics.examples.shallow_water_equations import ShallowWaterSolver
            from torch_harmonics.legendre import legpoly
        except ImportError:
            raise SparseVQError(
                "simulating shallow water needs torch-harmonics, which is missing", 'pip install "sparsevq[simulate]"'
            ) from None
        import torch

        self.truncation, self.time_step, self.grid = truncation, time_step, grid
        size = truncation + 1
        rows = gaussian_latitudes(truncation)
        self.solver = ShallowWaterSolver(
            rows,
            2 * rows,
            time_step,
            lmax=size,
            mmax=size,
            grid="legendre-gauss",
            radius=RADIUS,
            gravity=GRAVITY,
            havg=MEAN_DEPTH,
        )
        self.latitudes: Real = np.rad2deg(self.solver.lats.numpy())  # (K,)
        self.longitudes: Real = np.arange(2 * rows) * 180 / rows  # (2 K,)
        self._coriolis: Real = self.solver.coriolis.numpy()  # (K, 1)
        self._laplacian: Real = self.solver.lap[:, 0].numpy()  # (L,)
        self._inverse_laplacian: Real = self.solver.invlap[:, 0].numpy()
        self.damping: Real = self.solver.hyperdiff[:, 0].numpy()  # (L,): of vorticity and divergence, in a step

        values: Real = self.solver.isht.pct.numpy()  # (M, L, K) Legendre functions
        slopes: Real = self.solver.ivsht.dpct.numpy()  # (2, M, L, K): their gradients, along latitude and longitude
        quadrature: Real = 2 * np.pi * self.solver.quad_weights[:, 0].numpy()  # (K,); FFTs below are means: 2 pi
        along, across = (slopes * self._inverse_laplacian[:, None] / RADIUS).swapaxes(2, 3)
        self._to_grid = np.ascontiguousarray(values.swapaxes(1, 2))  # (M, K, L)
        self._to_spectral = values * quadrature  # (M, L, K)
        self._to_wind = np.concatenate([along, across], axis=-1)  # (M, K, 2 L)
        along, across = slopes * quadrature / RADIUS
        self._to_curl = np.concatenate([-along, across], axis=-1)  # (M, L, 2 K): by parts, hence the signs

        # The stored grid cannot represent finer harmonics.
        self.stored_truncation = min(truncation, grid[0] - 1, grid[1] // 2 - 1)
        stored = self.stored_truncation + 1
        sines = torch.sin(torch.deg2rad(torch.from_numpy(cell_centres(grid[0]))))
        self._to_stored = legpoly(stored, stored, sines, inverse=True, csphase=False).numpy().swapaxes(1, 2).copy()

    # ------------------------------------------------------------------------------------------ transforms

    def to_grid(self, spectral: Complex) -> Real:
        """Scalars ``(n, M, L)`` on the Gaussian grid, ``(n, K, 2 K)``."""
        return _on_longitudes(_product(self._to_grid, spectral), len(self.longitudes))

    def to_spectral(self, gridded: Real) -> Complex:
        """Scalars ``(n, K, 2 K)`` as coefficients, ``(n, M, L)``."""
        return _product(self._to_spectral, self._waves(gridded))

    def wind(self, vorticity: Complex, divergence: Complex) -> Real:
        """Wind ``(2, K, 2 K)`` that has a vorticity and a divergence, ``(M, L)`` each."""
        both = np.stack([vorticity, divergence])
        columns = np.stack([_curl_columns(both), _divergence_columns(both)])
        return _on_longitudes(_product(self._to_wind, columns), len(self.longitudes))

    def curl_and_divergence(self, vector: Real) -> Complex:
        """Of a vector field ``(2, K, 2 K)``: coefficients ``(2, M, L)``."""
        waves = self._waves(vector)
        return _product(self._to_curl, np.stack([_curl_columns(waves), _divergence_columns(waves)]))

    def fields(self, state: Complex) -> Real:
        """Height anomaly (m) and relative vorticity (1/s) on the stored grid, ``(2, *grid)``, from south to north.

        The harmonics themselves are evaluated at the grid's points. Degrees above `stored_truncation` are omitted.
        """
        kept = state[:2, : self.stored_truncation + 1, : self.stored_truncation + 1]
        height, vorticity = _on_longitudes(_product(self._to_stored, kept), self.grid[1])
        return np.stack([height / GRAVITY, vorticity])

    def _waves(self, gridded: Real) -> Complex:
        """``(n, K, 2 K)`` -> zonal waves ``(n, M, K)``."""
        return np.fft.rfft(gridded, axis=-1, norm="forward")[..., : self.truncation + 1].swapaxes(1, 2)

    # ------------------------------------------------------------------------------------------ flow

    def initial(self, jets: tuple[Jet, ...]) -> Complex:
        """Jets, the height that balances them, and their bumps, which are not balanced."""
        wind, bumps = np.zeros((2, len(self.latitudes), 1)), np.zeros((len(self.latitudes), len(self.longitudes)))
        for jet in jets:
            wind[0] += jet.wind(self.latitudes[:, None])
            bumps += jet.disturbance(self.latitudes[:, None], self.longitudes)
        return self.balanced(np.broadcast_to(wind, (2, *bumps.shape)), bumps)

    def balanced(self, wind: Real, height: Real) -> Complex:
        """A wind ``(2, K, 2 K)``, the geopotential that keeps its divergence constant, and a height (m) added to it.

        The Laplacian of geopotential and kinetic energy is then the curl of the wind times the absolute vorticity
        (Galewsky et al., equation 3). The mean depth is `MEAN_DEPTH`, bumps included.
        """
        vorticity, divergence = self.curl_and_divergence(wind)
        curl, _ = self.curl_and_divergence(wind * (self.to_grid(vorticity[None]) + self._coriolis))
        energy, bump = self.to_spectral(np.stack([0.5 * (wind**2).sum(axis=0), GRAVITY * height]))
        geopotential = self._inverse_laplacian * curl - energy + bump
        geopotential[0, 0] = 0
        return np.stack([geopotential, vorticity, divergence])

    def tendency(self, state: Complex) -> Complex:
        """Time derivative of a state, without hyperdiffusion (vorticity-divergence form)."""
        geopotential, vorticity = self.to_grid(state[:2])
        wind = self.wind(state[1], state[2])
        turned = self._waves(wind * (vorticity + self._coriolis))
        carried = self._waves(wind * geopotential)
        curl, divergence, outflow = _product(
            self._to_curl, np.stack([_curl_columns(turned), _divergence_columns(turned), _divergence_columns(carried)])
        )
        energy = self.to_spectral(0.5 * (wind**2).sum(axis=0, keepdims=True))[0]
        return np.stack(
            [
                -outflow - GRAVITY * MEAN_DEPTH * state[2],
                -divergence,
                curl - self._laplacian * (state[0] + energy),
            ]
        )

    def step(self, state: Complex, history: list[Complex]) -> Complex:
        """The state a time step later.

        `history` has the latest tendencies, newest first, and is updated; the first step after an empty history is of
        first order, the next of second.
        """
        history.insert(0, self.tendency(state))
        del history[len(ADAMS_BASHFORTH) :]
        later = state.copy()
        for weight, tendency in zip(ADAMS_BASHFORTH[len(history) - 1], history, strict=True):
            later += self.time_step * weight * tendency
        later[1:] *= self.damping
        return later


def gaussian_latitudes(truncation: int) -> int:
    """Latitudes (a multiple of 8) for quadratic terms without aliasing: (3 T + 1) / 2, and twice the longitudes."""
    return 8 * math.ceil((3 * truncation + 1) / 16)


def cell_centres(latitudes: int) -> Real:
    """Centres of equally wide cells from pole to pole: ``(latitudes,)`` degrees, increasing."""
    return (np.arange(latitudes) + 0.5) * 180 / latitudes - 90


def longest_time_step(truncation: int, wind: float) -> float:
    """Seconds in which the phase of the shortest gravity wave, in a wind (m/s), changes by `LARGEST_ANGLE`."""
    wavenumber = math.sqrt(truncation * (truncation + 1)) / RADIUS
    return LARGEST_ANGLE / ((math.sqrt(GRAVITY * MEAN_DEPTH) + wind) * wavenumber)


def _product(matrices: Real, columns: Complex) -> Complex:
    """``(M, rows, k)`` times ``(n, M, k)`` for each m: ``(n, M, rows)``, by one product of real matrices each."""
    stacked = np.ascontiguousarray(columns.transpose(1, 2, 0)).view(np.float64)  # (M, k, 2 n)
    product: Complex = (matrices @ stacked).view(np.complex128)  # (M, rows, n)
    return product.transpose(2, 0, 1)


def _on_longitudes(waves: Complex, longitudes: int) -> Real:
    """Zonal waves ``(n, M, K)`` -> ``(n, K, longitudes)``."""
    return np.fft.irfft(waves.swapaxes(1, 2), n=longitudes, axis=-1, norm="forward")


def _curl_columns(vector: Complex) -> Complex:
    """What tables of (latitude, longitude) gradients map to a curl (an eastward wind): ``(2, M, k) -> (M, 2 k)``."""
    return np.concatenate([vector[0], 1j * vector[1]], axis=-1)


def _divergence_columns(vector: Complex) -> Complex:
    """The same for a divergence (a northward wind)."""
    return np.concatenate([-vector[1], 1j * vector[0]], axis=-1)
