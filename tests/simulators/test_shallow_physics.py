"""Physics of shallow water on the sphere: steady states, conserved quantities, jets that break up."""

from dataclasses import replace

import numpy as np
import pytest

from sparsevq.config import ShallowConfig
from sparsevq.data.field_data import axis_weights
from sparsevq.simulators import shallow
from sparsevq.simulators.jets import GALEWSKY
from sparsevq.simulators.sphere import GRAVITY, MEAN_DEPTH, RADIUS, Sphere, cell_centres

pytest.importorskip("torch_harmonics")
pytestmark = pytest.mark.slow

GRID = (32, 64)
LATITUDE = cell_centres(GRID[0])
WEIGHTS = axis_weights(LATITUDE, "degrees_north") / axis_weights(LATITUDE, "degrees_north").sum()
ROTATION = 7.292e-5
TWO_JETS = (GALEWSKY, replace(GALEWSKY, latitude=-50.0, bump_latitude=-50.0, bump=200.0, bump_longitude=70.0))


@pytest.fixture
def sphere() -> Sphere:
    """T42: the coarsest truncation that keeps a jet without a bump for a day."""
    return Sphere(42, 240.0, GRID)


def run(sphere: Sphere, state: np.ndarray, hours: float, every: float) -> list[np.ndarray]:
    """States `every` so many hours, the first included."""
    states, history = [state], []
    for number in range(1, round(hours * 3600 / sphere.time_step) + 1):
        state = sphere.step(state, history)
        if number % round(every * 3600 / sphere.time_step) == 0:
            states.append(state)
    return states


def area_mean(fields: np.ndarray) -> np.ndarray:
    """Over (..., lat, lon), as metrics take it."""
    return fields.mean(axis=-1) @ WEIGHTS


def eddy_vorticity(sphere: Sphere, states: list[np.ndarray]) -> np.ndarray:
    """Root mean square of the difference from the zonal mean (1/s)."""
    vorticity = np.array([sphere.fields(state)[1] for state in states])
    return np.sqrt(area_mean((vorticity - vorticity.mean(axis=-1, keepdims=True)) ** 2))


def test_solid_body_rotation_is_steady(sphere):
    """Williamson et al. (J. Comput. Phys. 102, 1992), test case 2, with its closed form of the height."""
    speed = 2 * np.pi * RADIUS / (12 * 86400)
    wind = np.zeros((2, len(sphere.latitudes), len(sphere.longitudes)))
    wind[0] = speed * np.cos(np.deg2rad(sphere.latitudes))[:, None]
    first, *_, last = (sphere.fields(state) for state in run(sphere, sphere.balanced(wind, 0 * wind[0]), 120, 24))
    sine = np.sin(np.deg2rad(LATITUDE))[:, None] * np.ones(GRID)
    # The mean of the sine's square is 1/3, and the anomaly has none.
    height = (RADIUS * ROTATION * speed + speed**2 / 2) * (1 / 3 - sine**2) / GRAVITY
    np.testing.assert_allclose(first[0], height, atol=1e-8)
    np.testing.assert_allclose(first[1], 2 * speed / RADIUS * sine, atol=1e-17)
    assert np.abs(last[0] - first[0]).max() < 1e-5  # of 1904 m, in five days
    assert np.abs(last[1] - first[1]).max() < 1e-12  # of 1.2e-5 1/s


def test_a_balanced_jet_without_a_bump_stays(sphere):
    """Zonal to the last digit, and balanced up to the truncation; hyperdiffusion weakens it slowly."""
    state = sphere.initial((replace(GALEWSKY, bump=0.0),))
    before = sphere.to_grid(state[:2])
    scale = np.abs(before).max(axis=(1, 2))
    (worn,) = run(sphere, state, 24, 24)[1:]
    np.testing.assert_array_equal(np.abs(worn[:, 1:]).max(), 0)
    assert (np.abs(sphere.to_grid(worn[:2]) - before).max(axis=(1, 2)) / scale < [0.01, 0.08]).all()
    sphere.damping = np.ones_like(sphere.damping)
    (free,) = run(sphere, state, 48, 48)[1:]
    assert (np.abs(sphere.to_grid(free[:2]) - before).max(axis=(1, 2)) / scale < [1e-3, 1e-4]).all()


def test_the_instability_grows_exponentially_from_the_bump(sphere):
    """Between hours 48 and 84 waves grow e-fold in 20 hours, in proportion to the bump; then they roll up."""
    states = run(sphere, sphere.initial((GALEWSKY,)), 144, 6)
    eddies = eddy_vorticity(sphere, states)
    hours = 6.0 * np.arange(len(states))
    growing = (hours >= 48) & (hours <= 84)
    rate, start = np.polyfit(hours[growing], np.log(eddies[growing]), 1)
    assert 1.1 < 24 * rate < 1.3
    np.testing.assert_allclose(np.log(eddies[growing]), start + rate * hours[growing], atol=0.04)
    half = run(sphere, sphere.initial((replace(GALEWSKY, bump=60.0),)), 60, 60)
    np.testing.assert_allclose(eddy_vorticity(sphere, half)[-1] / eddies[hours == 60], 0.5, atol=0.01)
    # Saturated: as strong as the jet's own vorticity, and growing no more.
    assert eddies[-1] > 1.5e-5
    assert eddies[-1] < 1.1 * eddies[-3]


def test_a_bump_without_a_jet_does_not_grow(sphere):
    eddies = eddy_vorticity(sphere, run(sphere, sphere.initial((replace(GALEWSKY, speed=0.0),)), 72, 12))
    assert eddies[1:].max() < 1e-7
    assert eddies[-1] < 1.2 * eddies[1]


def invariants(sphere: Sphere, state: np.ndarray) -> np.ndarray:
    """Means over the sphere of depth, of kinetic and available potential energy, and of potential enstrophy."""
    weights = sphere.solver.quad_weights[:, 0].numpy() / 2
    geopotential, vorticity = sphere.to_grid(state[:2])
    kinetic = (sphere.wind(state[1], state[2]) ** 2).sum(axis=0) / 2
    depth = MEAN_DEPTH + geopotential / GRAVITY
    absolute = vorticity + 2 * ROTATION * np.sin(np.deg2rad(sphere.latitudes))[:, None]
    energy = depth * kinetic + GRAVITY * (depth - MEAN_DEPTH) ** 2 / 2
    return np.array([weights @ field.mean(axis=-1) for field in (depth, energy, absolute**2 / (2 * depth))])


def test_mass_energy_and_potential_enstrophy(sphere):
    """Conserved without hyperdiffusion while the spectrum is resolved; with it the latter two decrease slowly."""
    state = sphere.initial(TWO_JETS)
    history = np.array([invariants(sphere, state) for state in run(sphere, state, 160, 20)])
    assert np.abs(history[:, 0] - MEAN_DEPTH).max() < 1e-8
    lost = 1 - history[:, 1:] / history[0, 1:]
    assert (np.diff(lost, axis=0) > 0).all()
    assert (lost[-1] < [0.05, 0.08]).all()
    sphere.damping = np.ones_like(sphere.damping)
    free = np.array([invariants(sphere, state) for state in run(sphere, state, 36, 36)])
    np.testing.assert_allclose(free[1, 1:] / free[0, 1:], 1, atol=1e-5)


def test_area_means_on_the_stored_grid():
    """With the weights that metrics use: no mean vorticity (Stokes), and a mean height that does not move."""
    settings = ShallowConfig(truncation=42, time_step=240, grid=GRID, spin_up=24, frames=3, frame_interval=24)
    np.testing.assert_allclose(WEIGHTS.sum(), 1)
    np.testing.assert_allclose(WEIGHTS @ np.sin(np.deg2rad(LATITUDE)) ** 2, 1 / 3, rtol=2e-3)  # by quadrature
    for number in range(2):
        fields = shallow.simulate(settings, number, 0).fields.astype(np.float64)
        height, vorticity = area_mean(fields[..., 0]), area_mean(fields[..., 1])
        assert np.abs(vorticity).max() < 5e-4 * fields[..., 1].std()
        assert np.abs(height).max() < 2e-3 * fields[..., 0].std()
        assert np.ptp(height) < 0.2  # m, of anomalies beyond 1 km


def test_a_shorter_step_gives_the_same_flow():
    """Half the step, after the roll-up has begun: eddies within 1 %."""
    whole, half = (Sphere(31, step, GRID) for step in (300.0, 150.0))
    vorticity, better = (
        sphere.fields(run(sphere, sphere.initial(TWO_JETS), 96, 96)[-1])[1] for sphere in (whole, half)
    )
    eddies = better - better.mean(axis=-1, keepdims=True)
    assert np.sqrt(area_mean((vorticity - better) ** 2) / area_mean(eddies**2)) < 0.01
