"""The shallow water simulator: the library's equations, harmonics evaluated exactly, reproducible shards."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from sparsevq.config import ShallowConfig
from sparsevq.errors import SparseVQError
from sparsevq.simulators import shallow
from sparsevq.simulators.jets import GALEWSKY, Jet, draw
from sparsevq.simulators.shard_job import BlownUpError, simulate_shard
from sparsevq.simulators.shards import read_shard
from sparsevq.simulators.sphere import GRAVITY, MEAN_DEPTH, Sphere, cell_centres

pytest.importorskip("torch_harmonics")

SMALL = ShallowConfig(
    trajectories=3,
    validation=1,
    test=1,
    shards=1,
    frames=3,
    truncation=21,
    time_step=450,
    spin_up=1,
    frame_interval=0.5,
    grid=(16, 32),
    jet_width=(36, 40),
)


@pytest.fixture(scope="module")
def sphere() -> Sphere:
    return Sphere(31, 300.0, (32, 64))


def rough(sphere: Sphere) -> np.ndarray:
    """A state in which every coefficient counts."""
    rng = np.random.default_rng(0)
    size = sphere.truncation + 1
    noise = rng.normal(size=(3, size, size)) + 1j * rng.normal(size=(3, size, size))
    noise[:, 0] = noise[:, 0].real
    noise *= np.triu(np.ones((size, size)))  # degree l >= m
    noise[:, 0, 0] = 0
    return sphere.initial((GALEWSKY,)) + noise * np.array([100.0, 1e-6, 1e-7])[:, None, None]


def as_the_library_has_it(state: np.ndarray) -> torch.Tensor:
    """Whole geopotential, degree before wavenumber."""
    whole = state.copy()
    whole[0, 0, 0] += GRAVITY * MEAN_DEPTH * np.sqrt(4 * np.pi)
    return torch.from_numpy(whole.swapaxes(1, 2).copy())


@pytest.mark.parametrize("truncation", [31, 63])
def test_jets_are_those_of_the_library(truncation):
    """Its case is Galewsky's with the bump half-way round, its constants in single precision: hence 2e-7.

    Its mean depth lacks the jet's kinetic energy; ours is what Galewsky et al. say.
    """
    sphere = Sphere(truncation, 150.0, (32, 64))
    ours = sphere.initial((replace(GALEWSKY, bump_longitude=180.0),))
    theirs = sphere.solver.galewsky_initial_condition().numpy().swapaxes(1, 2).copy()
    theirs[0, 0, 0] = 0
    for index, name in enumerate(["geopotential", "vorticity"]):
        scale = np.abs(theirs[index]).max()
        np.testing.assert_allclose(ours[index] / scale, theirs[index] / scale, atol=2e-7, err_msg=name)
    assert np.abs(ours[2]).max() < 1e-20  # no divergence


def test_tendencies_are_those_of_the_library(sphere):
    """To 1e-7: its tables of vector harmonics are in single precision."""
    state = rough(sphere)
    theirs = sphere.solver.dudtspec(as_the_library_has_it(state)).numpy().swapaxes(1, 2)
    for ours, expected in zip(sphere.tendency(state), theirs, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-7 * np.abs(expected).max())


def test_a_step_is_that_of_the_library_with_its_hyperdiffusion(sphere):
    state = rough(sphere)
    theirs = sphere.solver.timestep(as_the_library_has_it(state), 1).numpy().swapaxes(1, 2)
    theirs[0, 0, 0] -= GRAVITY * MEAN_DEPTH * np.sqrt(4 * np.pi)
    for ours, expected in zip(sphere.step(state, []), theirs, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-7 * np.abs(expected).max())
    # The smallest scale decays by a factor of e in two hours.
    np.testing.assert_allclose(sphere.damping[-1], np.exp(-300 / 7200))


def test_steps_follow_adams_and_bashforth(sphere, monkeypatch):
    """Where the tendency is a polynomial of time of degree 2, third order integrates it exactly."""
    clock = iter(np.arange(10) * 300.0)
    rate = np.array([1.0, 1e-6, 1e-7])[:, None, None] * np.ones((3, 32, 32))
    monkeypatch.setattr(sphere, "tendency", lambda state: rate * (3 * next(clock) ** 2 + 0j))
    monkeypatch.setattr(sphere, "damping", np.ones(32))
    # Tendencies of the three steps before are given; time starts at the third.
    history = [rate * 3 * (300.0 * back) ** 2 + 0j for back in (1, 2)]
    state = np.zeros((3, 32, 32), dtype=complex)
    for _ in range(4):
        state = sphere.step(state, history)
    np.testing.assert_allclose(state, rate * (4 * 300.0) ** 3)
    assert len(history) == 3


@pytest.mark.parametrize("grid", [(32, 64), (17, 36)])
def test_stored_fields_are_the_harmonics_themselves(grid):
    """Against SciPy's, point by point; degrees that the grid cannot represent are omitted."""
    sphere = Sphere(31, 300.0, grid)
    latitude = np.deg2rad(-90 + (np.arange(grid[0]) + 0.5) * 180 / grid[0])[:, None]
    longitude = np.arange(grid[1]) * 2 * np.pi / grid[1]
    state = np.zeros((3, 32, 32), dtype=complex)
    expected = np.zeros(grid)
    for degree, wavenumber in [(0, 0), (1, 0), (3, 2), (12, 12), (16, 5), (31, 0), (30, 20)]:
        coefficient = 1.0 + 0.5j * (wavenumber > 0)
        state[1, wavenumber, degree] = coefficient
        if degree < min(grid[0], grid[1] // 2):
            harmonic = (-1) ** wavenumber * sph_harm_y(degree, wavenumber, np.pi / 2 - latitude, longitude)
            expected += (coefficient * harmonic).real * (2 if wavenumber else 1)
    state[0] = GRAVITY * state[1]
    height, vorticity = sphere.fields(state)
    np.testing.assert_allclose(vorticity, expected, atol=1e-12)
    np.testing.assert_allclose(height, expected, atol=1e-12)


def test_to_the_grid_and_back(sphere):
    state = rough(sphere)
    np.testing.assert_allclose(sphere.to_spectral(sphere.to_grid(state[:2]))[1], state[1], atol=1e-18)
    again = sphere.curl_and_divergence(sphere.wind(state[1], state[2]))
    np.testing.assert_allclose(again, state[1:], atol=1e-18)


def test_the_published_jet():
    assert GALEWSKY.wind(np.array([45.0])) == pytest.approx(80.0)
    edges = 180 / 7, 90 - 180 / 7
    np.testing.assert_array_equal(GALEWSKY.wind(np.array([0.0, edges[0], edges[1], 89.0, -45.0])), 0)
    # Equation 2 between the edges.
    low, high, latitude = np.pi / 7, np.pi / 2 - np.pi / 7, np.deg2rad(37.0)
    expected = 80 * np.exp(4 / (high - low) ** 2) * np.exp(1 / ((latitude - low) * (latitude - high)))
    assert GALEWSKY.wind(np.array([37.0]))[0] == pytest.approx(expected)
    # Equation 4, across the meridian where longitudes begin.
    bump = GALEWSKY.disturbance(np.array([50.0]), np.array([350.0]))
    expected = 120 * np.cos(np.deg2rad(50)) * np.exp(-((np.deg2rad(10) * 3) ** 2) - 15 * np.deg2rad(5) ** 2)
    assert bump[0] == pytest.approx(expected)


def test_draws_depend_on_the_settings_and_the_seed_alone():
    settings = ShallowConfig(both_hemispheres=0.6)
    drawn = [draw(settings, number) for number in range(400)]
    jets = [jet for pair in drawn for jet in pair]
    blowing = [jet for jet in jets if jet.speed]
    for name, (low, high) in {"speed": (65, 90), "width": (32, 42), "bump": (80, 240)}.items():
        values = [getattr(jet, name) for jet in blowing]
        assert low <= min(values) < low + 0.1 * (high - low) and high - 0.1 * (high - low) < max(values) <= high
    assert all(35 <= north.latitude <= 55 and -55 <= south.latitude <= -35 for north, south in drawn)
    assert all(abs(jet.bump_latitude - jet.latitude) <= 0.15 * jet.width for jet in jets)
    assert all((jet.bump == 0) == (jet.speed == 0) for jet in jets)
    assert 0.5 < np.mean([north.speed > 0 and south.speed > 0 for north, south in drawn]) < 0.7
    assert all(north.speed > 0 or south.speed > 0 for north, south in drawn)
    assert {side for pair in drawn for side in (0, 1) if pair[side].speed == 0} == {0, 1}
    assert draw(settings, 7) == draw(settings.model_copy(update={"trajectories": 99, "shards": 3}), 7)
    others = [draw(settings, 8), draw(settings, 7, attempt=1), draw(settings.model_copy(update={"seed": 1}), 7)]
    assert len({pair[0].width for pair in [draw(settings, 7), *others]}) == 4


def test_a_shard_holds_what_the_layout_says(tmp_path):
    simulate_shard(tmp_path / "0.h5", shallow.SHALLOW, SMALL, 0)
    shard = read_shard(tmp_path / "0.h5")
    assert shard.fields.shape == (3, 3, 16, 32, 2)
    assert (shard.channels, shard.units) == (("height", "vorticity"), ("m", "1/s"))
    assert (list(shard.axes), shard.axis_units) == (["lat", "lon"], {"lat": "degrees_north", "lon": "degrees_east"})
    np.testing.assert_allclose(shard.axes["lat"], np.arange(-84.375, 90, 11.25))  # centres: none is a pole
    np.testing.assert_allclose(shard.axes["lon"], np.arange(32) * 11.25)
    assert shard.periodic == ("lon",) and shard.mask.all()
    assert (shard.time.tolist(), shard.time_units) == ([0.0, 0.5, 1.0], "h")
    assert shard.provenance["truncation"] == "T21, Gaussian grid 32x64"
    assert shard.provenance["stored"].startswith("harmonics up to T15")
    assert shard.provenance["settings"]["time_step"] == 450
    for number in range(3):
        for side, jet in zip(("north", "south"), draw(SMALL, number), strict=True):
            stored = [shard.parameters[f"{side}_{name}"][number] for name in shallow.PARAMETER_UNITS]
            assert stored == [getattr(jet, name) for name in shallow.PARAMETER_UNITS]
    assert set(shard.parameters) == set(shard.parameter_units)
    # Cyclonic vorticity lies poleward of a westerly jet, where the water is low: positive in the north alone.
    north, south = draw(SMALL, 0)
    for jet in (jet for jet in (north, south) if jet.speed):
        pole = np.argmin(np.abs(shard.axes["lat"] - jet.latitude - np.sign(jet.latitude) * 8))
        vorticity = shard.fields[0, 0, pole, :, 1].mean()
        assert np.sign(vorticity) == np.sign(jet.latitude)
        assert shard.fields[0, 0, 0 if jet.latitude < 0 else -1, :, 0].mean() < -100


def test_shards_never_change_the_data(tmp_path):
    simulate_shard(tmp_path / "all.h5", shallow.SHALLOW, SMALL, 0)
    simulate_shard(tmp_path / "1.h5", shallow.SHALLOW, SMALL.model_copy(update={"shards": 3}), 1)
    np.testing.assert_array_equal(read_shard(tmp_path / "1.h5").fields[0], read_shard(tmp_path / "all.h5").fields[1])


def test_storing_more_often_does_not_change_the_flow():
    """The integration does not restart at a frame."""
    often = shallow.simulate(SMALL.model_copy(update={"frames": 5, "frame_interval": 0.25}), 0, 0)
    seldom = shallow.simulate(SMALL.model_copy(update={"frames": 3, "frame_interval": 0.5}), 0, 0)
    late = shallow.simulate(SMALL.model_copy(update={"frames": 2, "spin_up": 1.5}), 0, 0)
    np.testing.assert_array_equal(often.fields[::2], seldom.fields)
    np.testing.assert_array_equal(seldom.fields[1:], late.fields)


def jet_at(latitude: float, longitude: float) -> Jet:
    return Jet(80.0, latitude, 38.0, 200.0, latitude, longitude)


def test_turning_the_bump_turns_the_flow():
    """All meridians are equal. 75 degrees are 5 points of one grid and no whole number of points of the other."""
    settings = SMALL.model_copy(update={"grid": (24, 24), "spin_up": 6.0, "frames": 2})
    sphere = Sphere(21, 450.0, settings.grid)
    here = shallow._flow(sphere, settings, (jet_at(45.0, 20.0),))
    there = shallow._flow(sphere, settings, (jet_at(45.0, 95.0),))
    np.testing.assert_allclose(np.roll(here, 5, axis=2)[..., 0], there[..., 0], atol=1e-3)
    np.testing.assert_allclose(np.roll(here, 5, axis=2)[..., 1], there[..., 1], atol=1e-10)
    assert np.abs(here - there)[..., 0].max() > 10


def test_the_southern_hemisphere_mirrors_the_northern():
    """Vorticity changes its sign."""
    settings = SMALL.model_copy(update={"spin_up": 6.0, "frames": 2})
    sphere = Sphere(21, 450.0, settings.grid)
    north = shallow._flow(sphere, settings, (jet_at(45.0, 20.0),))
    south = shallow._flow(sphere, settings, (jet_at(-45.0, 20.0),))
    np.testing.assert_allclose(north[:, ::-1, :, 0], south[..., 0], atol=1e-3)
    np.testing.assert_allclose(north[:, ::-1, :, 1], -south[..., 1], atol=1e-10)


def test_a_step_that_is_too_long_blows_up():
    with pytest.raises(BlownUpError, match=r"vorticity .* 1/s in frame \d"):
        shallow.simulate(SMALL.model_copy(update={"time_step": 900.0, "spin_up": 72.0}), 0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truncation": 20}, r"truncation=20 is not within 21 \.\.\. 341"),
        ({"grid": (15, 32)}, r"grid=\[15, 32\] is too coarse"),
        ({"grid": (16, 31)}, r"grid=\[16, 31\] is too coarse"),
        ({"time_step": 600.0}, r"time_step=600 s is beyond what gravity waves allow at T21, 529 s"),
        ({"truncation": 42}, r"time_step=450 s is beyond what gravity waves allow at T42, 268 s"),
        ({"spin_up": 1.1}, r"spin_up=1.1 h is no whole number of time steps of 450 s"),
        ({"frame_interval": 0.3}, r"frame_interval=0.3 h is no whole number"),
        ({"frame_interval": 1e-9}, r"frame_interval=1e-09 h is no whole number"),
        ({"jet_speed": (90.0, 60.0)}, r"jet_speed=\[90.0, 60.0\] is not a range"),
        ({"jet_speed": (60.0, 500.0)}, r"not a range within 0 \.\.\. 150"),
        ({"bump": (-1.0, 100.0)}, r"bump=\[-1.0, 100.0\] is not a range"),
        ({"jet_latitude": (10.0, 50.0)}, r"lets a jet of width 40 extend across the equator or a pole"),
        ({"jet_latitude": (40.0, 80.0)}, r"lets a jet of width 40 extend across the equator or a pole"),
        ({"jet_width": (20.0, 40.0)}, r"narrower than two of the shortest waves at T21, 34.3 degrees"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(SparseVQError, match=message):
        simulate_shard(tmp_path / "0.h5", shallow.SHALLOW, SMALL.model_copy(update=changes), 0)
    assert not list(tmp_path.iterdir())


def test_the_defaults_fit():
    shallow.check(ShallowConfig())


def test_a_missing_library_says_what_to_install(tmp_path, monkeypatch):
    shallow._sphere.cache_clear()
    monkeypatch.setitem(sys.modules, "torch_harmonics.examples.shallow_water_equations", None)
    with pytest.raises(SparseVQError, match=r'torch-harmonics, which is missing: pip install "sparsevq\[simulate\]"'):
        simulate_shard(tmp_path / "0.h5", shallow.SHALLOW, SMALL, 0)
    assert not list(tmp_path.iterdir())


def test_cells_fill_the_sphere():
    np.testing.assert_allclose(cell_centres(4), [-67.5, -22.5, 22.5, 67.5])
