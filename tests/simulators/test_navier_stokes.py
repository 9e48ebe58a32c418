"""Forced flow on the torus: closed forms, balances, and contents of its shards."""

import json
import subprocess
import sys

import numpy as np
import pytest

from sparsevq.config import NavierStokesConfig
from sparsevq.errors import SparseVQError
from sparsevq.simulators.navier_stokes import (
    NAVIER_STOKES,
    check,
    draw,
    expected_speed,
    initial_field,
    initial_variance,
    simulate,
)
from sparsevq.simulators.shard_job import BlownUpError, simulate_shard
from sparsevq.simulators.shards import read_shard
from sparsevq.simulators.torus import Torus, highest_wave_number

TURN = 2 * np.pi
DEFAULT = NavierStokesConfig()
SMALL = NavierStokesConfig(trajectories=3, shards=1, frames=3, grid=16, spin_up=0.2, frame_interval=0.1)


def plane(grid):
    """x and y of the points, as (y, x)."""
    return np.meshgrid(np.arange(grid) / grid, np.arange(grid) / grid)


def derivative(field, axis):
    """Along an axis of a periodic field, by spectra."""
    waves = np.fft.fftfreq(field.shape[axis], 1 / field.shape[axis])
    waves[np.abs(waves) == field.shape[axis] / 2] = 0
    waves = np.expand_dims(waves, [other for other in range(field.ndim) if other != axis % field.ndim])
    return np.fft.ifft(1j * TURN * waves * np.fft.fft(field, axis=axis), axis=axis).real


def vigorous(grid):
    """An initial field that soon becomes turbulent."""
    return 20 * initial_field(grid, 5)


# ------------------------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize(
    ("square", "field"),
    [
        (2, lambda x, y: np.sin(TURN * x) * np.cos(TURN * y)),  # Taylor and Green
        (18, lambda x, y: np.cos(TURN * 3 * x) * np.cos(TURN * 3 * y)),
        (5, lambda x, y: np.cos(TURN * (x + 2 * y))),
        (25, lambda x, y: np.sin(TURN * (3 * x + 4 * y)) + 2 * np.cos(TURN * 5 * x) - np.cos(TURN * (4 * x - 3 * y))),
    ],
)
def test_waves_of_one_length_decay_by_viscosity_alone(square, field):
    """Where vorticity is a multiple of the stream function it is not advected: it decays by exp(-nu k^2 t)."""
    torus = Torus(grid=32, viscosity=2e-3, forcing=0.0, time_step=0.02)
    first = 3 * field(*plane(32))
    last = torus.fields(torus.run(torus.spectrum(first), 100))[..., 0]
    np.testing.assert_allclose(last, first * np.exp(-2e-3 * TURN**2 * square * 2.0), atol=1e-12)


def test_a_fluid_at_rest_responds_to_the_forcing_in_closed_form():
    """The forced wave decays at the rate nu k^2 while it is driven: f / (nu k^2) (1 - exp(-nu k^2 t))."""
    x, y = plane(32)
    wave = np.sin(TURN * (x + y)) + np.cos(TURN * (x + y))
    torus = Torus(grid=32, viscosity=1e-3, forcing=0.1, time_step=0.02)
    rate = 1e-3 * 2 * TURN**2
    vorticity = torus.spectrum(np.zeros((32, 32)))
    for time in (1, 2, 3):
        vorticity = torus.run(vorticity, 50)
        expected = 0.1 / rate * -np.expm1(-rate * time) * wave
        np.testing.assert_allclose(torus.fields(vorticity)[..., 0], expected, atol=1e-11)


def test_a_viscous_flow_converges_to_the_forced_wave():
    """The steady wave f / (nu k^2) is stable where viscosity is large, whatever the initial field."""
    x, y = plane(32)
    torus = Torus(grid=32, viscosity=0.05, forcing=0.1, time_step=0.02)
    last = torus.fields(torus.run(torus.spectrum(initial_field(32, 1)), 1000))
    wave = 0.1 / (0.05 * 2 * TURN**2) * (np.sin(TURN * (x + y)) + np.cos(TURN * (x + y)))
    np.testing.assert_allclose(last[..., 0], wave, atol=1e-8)


def test_velocity_is_that_of_the_stream_function():
    x, y = plane(32)
    phase = TURN * (2 * x + 3 * y)
    torus = Torus(grid=32, viscosity=1e-3, forcing=0.1, time_step=0.02)
    fields = torus.fields(torus.spectrum(TURN**2 * 13 * np.cos(phase)))  # psi = cos(phase), u = dpsi/dy, v = -dpsi/dx
    np.testing.assert_allclose(fields[..., 1], -TURN * 3 * np.sin(phase), atol=1e-12)
    np.testing.assert_allclose(fields[..., 2], TURN * 2 * np.sin(phase), atol=1e-12)


def test_a_flow_carries_its_vorticity():
    """In a short step the vorticity changes by -(u dw/dx + v dw/dy), with the products on a grid without aliasing."""
    fine, step = 64, 1e-6
    first = vigorous(32)  # waves up to 10: products up to 20
    torus = Torus(grid=32, viscosity=0.0, forcing=0.0, time_step=step)
    change = (torus.fields(torus.run(torus.spectrum(first), 1))[..., 0] - first) / step
    torus = Torus(grid=fine, viscosity=0.0, forcing=0.0, time_step=step)
    spectrum = np.fft.fftshift(np.fft.fft2(first, norm="forward"))
    padded = np.fft.ifft2(np.fft.ifftshift(np.pad(spectrum, 16)), norm="forward").real
    w, u, v = np.moveaxis(torus.fields(torus.spectrum(padded)), -1, 0)
    carried = np.fft.fft2(-u * derivative(w, 1) - v * derivative(w, 0), norm="forward")
    waves = np.abs(np.fft.fftfreq(fine, 1 / fine))
    carried[(waves > 10)[:, None] | (waves > 10)] = 0
    expected = np.fft.ifft2(carried, norm="forward").real[::2, ::2]
    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(change, expected, atol=1e-3 * np.abs(expected).max())


# ------------------------------------------------------------------------------------------------ balances


def test_enstrophy_and_energy_are_in_balance_in_a_turbulent_flow():
    """Per unit area, with Z = <w^2> / 2 and E = <u^2 + v^2> / 2.

    dZ/dt = <w f> - nu <|grad w|^2> and dE/dt = <psi f> - 2 nu Z, integrated over time by Simpson's rule.
    What is missing, 4e-6 of the change in enstrophy, is the error of the time step: at half of it, 1e-7.
    """
    grid, viscosity, step = 64, 3e-4, 0.0025
    x, y = plane(grid)
    forcing = 2.0 * (np.sin(TURN * (x + y)) + np.cos(TURN * (x + y)))
    torus = Torus(grid, viscosity, 2.0, step)
    first = 2 * vigorous(grid)
    vorticity = torus.spectrum(first)
    enstrophy, energy, grown, fed = [], [], [], []
    for _ in range(401):
        w, u, v = np.moveaxis(torus.fields(vorticity), -1, 0)
        enstrophy.append((w**2).mean() / 2)
        energy.append((u**2 + v**2).mean() / 2)
        palinstrophy = (derivative(w, 0) ** 2 + derivative(w, 1) ** 2).mean() / 2
        grown.append((w * forcing).mean() - 2 * viscosity * palinstrophy)
        fed.append((w * forcing).mean() / (2 * TURN**2) - 2 * viscosity * enstrophy[-1])  # the forcing has one k
        vorticity = torus.run(vorticity, 1)
    assert abs(enstrophy[-1] - enstrophy[0]) > 0.02 * enstrophy[0]
    assert (enstrophy[-1] - enstrophy[0]) == pytest.approx(simpson(grown, step), rel=1e-5)
    assert (energy[-1] - energy[0]) == pytest.approx(simpson(fed, step), rel=1e-7)
    # Turbulent: far more small waves than viscosity alone would have left.
    waves = np.hypot(*np.meshgrid(*[np.fft.fftfreq(grid, 1 / grid)] * 2))
    before, after = (np.square(np.abs(np.fft.fft2(field, norm="forward"))) for field in (first, w))
    faded = before * np.exp(-2 * viscosity * (TURN * waves) ** 2 * 400 * step)
    assert after[waves > 8].sum() > 5 * faded[waves > 8].sum()


def simpson(values, step):
    return step / 3 * (values[0] + 4 * sum(values[1::2]) + 2 * sum(values[2:-1:2]) + values[-1])


def test_energy_and_enstrophy_are_conserved_without_viscosity_and_forcing():
    torus = Torus(grid=32, viscosity=0.0, forcing=0.0, time_step=0.0025)
    first = torus.spectrum(vigorous(32))
    last = torus.run(first, 400)
    before, after = (np.square(torus.fields(each)).mean(axis=(0, 1)) for each in (first, last))
    assert after[0] == pytest.approx(before[0], rel=1e-8)
    assert after[1:].sum() == pytest.approx(before[1:].sum(), rel=1e-10)
    assert abs(after[1] - before[1]) > 0.01 * before[1]  # it did move
    assert float((last - first).abs().max()) > 0.1 * float(first.abs().max())


def test_the_method_is_of_fourth_order_in_the_time_step():
    def flow(step):
        torus = Torus(grid=32, viscosity=1e-3, forcing=0.1, time_step=step)
        return torus.fields(torus.run(torus.spectrum(vigorous(32)), round(0.8 / step)))[..., 0]

    exact = flow(0.0005)
    coarse, fine = (np.abs(flow(step) - exact).max() for step in (0.01, 0.005))
    assert coarse / fine == pytest.approx(2**4, rel=0.1)


def test_the_default_time_step_is_finer_than_what_can_be_stored():
    """Measured over all of 70 units of time at the default settings: 1.2e-9 of the field against a step of 0.001."""
    first = initial_field(32, 3)

    def flow(step):
        torus = Torus(grid=32, viscosity=1e-3, forcing=0.1, time_step=step)
        return torus.fields(torus.run(torus.spectrum(first), round(20 / step)))[..., 0]

    exact = flow(0.005)
    assert np.abs(flow(DEFAULT.time_step) - exact).max() < 1e-8 * np.abs(exact).max() < np.finfo(np.float32).eps


# ------------------------------------------------------------------------------------------------ symmetries


def test_a_flow_shifted_along_the_wave_is_a_flow_of_the_same_forcing():
    torus = Torus(grid=32, viscosity=1e-3, forcing=1.0, time_step=0.01)
    first = vigorous(32)
    expected = np.roll(torus.fields(torus.run(torus.spectrum(first), 50)), (5, -5), axis=(0, 1))
    shifted = torus.fields(torus.run(torus.spectrum(np.roll(first, (5, -5), axis=(0, 1))), 50))
    np.testing.assert_allclose(shifted, expected, atol=1e-9)
    other = torus.fields(torus.run(torus.spectrum(np.roll(first, 5, axis=0)), 50))
    assert np.abs(other - np.roll(expected, (0, 5), axis=(0, 1))).max() > 0.1  # along one axis alone it is not


def test_a_mirrored_flow_has_the_opposite_vorticity():
    torus = Torus(grid=32, viscosity=1e-3, forcing=0.0, time_step=0.01)
    first = vigorous(32)
    w, u, v = np.moveaxis(torus.fields(torus.run(torus.spectrum(first), 50)), -1, 0)
    mirrored = torus.fields(torus.run(torus.spectrum(-first.T.copy()), 50))
    np.testing.assert_allclose(mirrored, np.stack([-w.T, v.T, u.T], axis=-1), atol=1e-9)


# ------------------------------------------------------------------------------------------------ the first field


def test_the_first_field_has_the_spectrum_that_the_recipe_gives():
    """N(0, 7^3 (-Laplacian + 49)^-2.5) without its mean, written out."""
    fields = np.stack([initial_field(16, seed) for seed in range(2000)])
    measured = np.square(np.abs(np.fft.fft2(fields, norm="forward"))).mean(axis=0)
    np.testing.assert_allclose(measured[0, 0], 0, atol=1e-30)
    for ky, kx in ((0, 1), (1, 0), (-2, 3), (5, -5), (0, -4)):
        expected = 343 * (39.4784176 * (kx**2 + ky**2) + 49) ** -2.5
        assert measured[ky, kx] == pytest.approx(expected, rel=0.1)
        assert initial_variance(np.array(kx), np.array(ky)) == pytest.approx(expected)
    assert (measured[6:11] < 1e-30).all()  # above a third of the grid there is nothing
    assert (measured[:, 6:11] < 1e-30).all()


def test_a_finer_grid_adds_smaller_waves_to_the_same_field():
    coarse, fine = (np.fft.fft2(initial_field(grid, 9), norm="forward") for grid in (16, 48))
    kept = np.arange(-5, 6)
    np.testing.assert_allclose(fine[np.ix_(kept, kept)], coarse[np.ix_(kept, kept)], atol=1e-15)
    assert np.abs(fine[8, 8]) > 0


def test_each_trajectory_starts_from_its_own_field():
    seeds = [draw(SMALL, number, attempt) for number in range(50) for attempt in range(3)]
    seeds += [draw(SMALL.model_copy(update={"seed": seed}), 0) for seed in (1, -1)]
    assert len(set(seeds)) == 152
    assert all(0 <= seed < 2**53 and int(float(seed)) == seed for seed in seeds)
    assert draw(SMALL, 7) == draw(SMALL.model_copy(update={"trajectories": 99, "shards": 9, "viscosity": 0.1}), 7)


# ------------------------------------------------------------------------------------------------ trajectories


def test_a_shard_holds_what_the_layout_says(tmp_path):
    simulate_shard(tmp_path / "0.h5", NAVIER_STOKES, SMALL, 0)
    shard = read_shard(tmp_path / "0.h5")
    assert shard.fields.shape == (3, 3, 16, 16, 3)
    assert shard.channels == ("vorticity", "u", "v")
    assert shard.mask.all()
    assert (shard.periodic, shard.vector) == (("y", "x"), {"u": "x", "v": "y"})
    for axis in ("y", "x"):
        np.testing.assert_array_equal(shard.axes[axis], np.arange(16) / 16)
    np.testing.assert_allclose(shard.time, [0, 0.1, 0.2])
    assert shard.provenance["settings"]["time_step"] == 0.02
    assert "float64" in shard.provenance["dtype"]
    torus = Torus(16, 1e-3, 0.1, 0.02)
    for index in range(3):
        assert shard.parameters["seed"][index] == draw(SMALL, index)
        vorticity = torus.spectrum(initial_field(16, int(shard.parameters["seed"][index])))
        first = torus.fields(vorticity)
        assert shard.parameters["initial_enstrophy"][index] == pytest.approx((first[..., 0] ** 2).mean() / 2)
        assert shard.parameters["initial_energy"][index] == pytest.approx((first[..., 1:] ** 2).mean())
        expected = [torus.fields(torus.run(vorticity, steps)) for steps in (10, 15, 20)]  # 0.2, 0.3 and 0.4 of time
        np.testing.assert_array_equal(shard.fields[index], np.array(expected, dtype=np.float32))


def test_stored_velocity_is_free_of_divergence_and_its_curl_is_the_vorticity():
    fields = simulate(SMALL.model_copy(update={"grid": 32}), 0, 0).fields.astype(np.float64)
    w, u, v = np.moveaxis(fields, -1, 0)
    largest = np.abs(w).max()
    np.testing.assert_allclose(derivative(u, 2) + derivative(v, 1), 0, atol=2e-6 * largest)
    np.testing.assert_allclose(derivative(v, 2) - derivative(u, 1), w, atol=2e-6 * largest)


def test_a_trajectory_depends_on_its_number_and_attempt_alone():
    first = simulate(SMALL, 1, 0)
    simulate(SMALL.model_copy(update={"forcing": 1.0}), 0, 0)
    again = simulate(SMALL.model_copy(update={"shards": 3, "trajectories": 9}), 1, 0)
    np.testing.assert_array_equal(again.fields, first.fields)
    assert again.parameters == first.parameters
    assert not np.array_equal(simulate(SMALL, 1, 1).fields, first.fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forcing": 1e9}, r"Courant number nan in frame 0, with time_step=0\.02"),
        (
            {"spin_up": 0.0, "frame_interval": 5.0, "time_step": 5.0},
            r"Courant number 9\.\d+ in frame 0, with time_step=5",
        ),
    ],
)
def test_a_flow_that_is_too_fast_for_the_time_step_has_blown_up(changes, message):
    with pytest.raises(BlownUpError, match=message):
        simulate(SMALL.model_copy(update=changes), 0, 0)


@pytest.mark.slow
def test_after_the_spin_up_the_statistics_are_stationary():
    settings = NavierStokesConfig(grid=32)
    trajectories = [simulate(settings, number, 0).fields.astype(np.float64) for number in range(5)]
    enstrophy = np.stack([np.square(fields[..., 0]).mean(axis=(1, 2)) / 2 for fields in trajectories])  # (T, F)
    early, late = enstrophy[:, :20].mean(), enstrophy[:, 20:].mean()
    assert late == pytest.approx(early, rel=0.15)
    spinning_up = [np.square(initial_field(32, draw(settings, number))).mean() / 2 for number in range(5)]
    assert np.mean(spinning_up) < 0.1 * early  # unlike the first field, which the forcing has not yet stirred
    for fields in trajectories:
        changes = np.square(np.diff(fields[..., 0], axis=0)).mean(axis=(1, 2)) / np.square(fields[1:, ..., 0]).mean()
        assert 0.05 < np.sqrt(changes.mean()) < 0.5  # from frame to frame the flow moves, but can be followed
        fastest = np.abs(fields[..., 1:]).sum(axis=-1).max()
        assert 0.5 * expected_speed(settings) < fastest < expected_speed(settings)


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": 63}, "grid=63 is odd or below 8"),
        ({"grid": 6}, "grid=6 is odd or below 8"),
        ({"frame_interval": 0.05, "time_step": 0.02}, r"frame_interval=0\.05 is no multiple of time_step=0\.02"),
        ({"spin_up": 0.55, "frame_interval": 1.0, "time_step": 0.1}, r"spin_up=0\.55 is no multiple of time_step=0\.1"),
        ({"frame_interval": 0.004}, "frame_interval=0.004 is no multiple"),
        ({"grid": 64, "time_step": 0.1}, r"time_step=0\.1 is too long .* choose less than 0\.0"),
        ({"grid": 512}, r"time_step=0\.02 is too long for a grid of 512 points: Courant number"),
        ({"forcing": 5.0}, "Courant number"),
    ],
)
def test_settings_that_cannot_work_are_an_error(tmp_path, changes, message):
    settings = DEFAULT.model_copy(update=changes)
    with pytest.raises(SparseVQError, match=message) as fault:
        simulate_shard(tmp_path / "0.h5", NAVIER_STOKES, settings, 0)
    assert "\n" not in str(fault.value)
    assert not list(tmp_path.iterdir())


def test_settings_that_work():
    check(DEFAULT)
    check(DEFAULT.model_copy(update={"spin_up": 0.0, "frame_interval": 0.3, "time_step": 0.1, "grid": 16}))
    check(DEFAULT.model_copy(update={"viscosity": 0.0, "time_step": 0.01}))
    check(DEFAULT.model_copy(update={"forcing": 0.0}))
    check(DEFAULT.model_copy(update={"grid": 256, "time_step": 0.01}))


@pytest.mark.parametrize("grid", [8, 16, 18, 48, 64, 66])
def test_products_alias_to_no_wave_that_is_kept(grid):
    highest = highest_wave_number(grid)
    assert grid - 2 * highest > highest
    assert grid - 2 * (highest + 1) <= highest + 1  # and one more would


def test_the_module_is_a_command(tmp_path):
    command = [sys.executable, "-m", "sparsevq.simulators.navier_stokes", "--out", str(tmp_path / "1.h5")]
    settings = json.loads(SMALL.model_dump_json(exclude={"channels", "validation", "test"})) | {"shards": 2}
    command += ["--shard", "1", "--settings", json.dumps(settings)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("navier_stokes, shard 1: trajectory 1 (1/1), ")
    np.testing.assert_array_equal(read_shard(tmp_path / "1.h5").fields[0], simulate(SMALL, 1, 0).fields)
