"""Physics of the fires: they rise, lean with the wind, puff, carry their power, and never cool the air.

On 16 cells a side (25 cm), where a second of fire takes a third of a second to simulate.
"""

import functools

import numpy as np
import pytest

from sparsevq.config import FireConfig
from sparsevq.errors import SparseVQError
from sparsevq.simulators import fire, openfoam
from sparsevq.simulators.fire_case import GAS, HEAT_CAPACITY, PROGRAMS, centres, valid_cells
from sparsevq.simulators.fire_scenes import AMBIENT, SIZE, Box, Door, Rectangle, Scene

try:
    openfoam.environment(PROGRAMS)
except SparseVQError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.slow

GRID = 16
AT = centres(GRID)
INTERVAL = 0.15
SETTLED = round(4 / INTERVAL)  # frames until the first rise is over
BELOW_AMBIENT = 0.1  # K: largest undershoot that is allowed anywhere; 0.003 was the largest measured up to 32 cells

CALM = Scene(0, 0, 0.0, 2.0, 2.0, 1.2, 120.0, 900.0, 1.0)
BLOCK = Box(Rectangle(2.5, 3.5, 1.5, 2.5), 2.0)
SCENES = {
    "calm": (CALM, 20.0),
    "weak": (Scene(0, 0, 0.0, 2.0, 2.0, 1.2, 55.0, 900.0, 1.0), 15.0),
    "breeze": (Scene(0, 0, 0.3, 1.3, 2.0, 1.2, 120.0, 900.0, 1.0), 15.0),
    "windy": (Scene(0, 0, 0.7, 1.3, 2.0, 1.2, 120.0, 900.0, 1.0), 9.0),
    "behind": (Scene(0, 0, 0.6, 1.3, 2.0, 1.2, 170.0, 1200.0, 1.0, (BLOCK,)), 9.0),
    "room": (Scene(0, 0, 0.0, 1.5, 2.5, 1.2, 120.0, 900.0, 1.0, (), Door(1.5, 2.5, 2.0)), 12.0),
}


@functools.cache
def simulated(name: str) -> np.ndarray:
    """Frames from the ignition on: ``(F, z, y, x, channel)``, double precision."""
    scene, seconds = SCENES[name]
    settings = FireConfig(grid=GRID, frames=round(seconds / INTERVAL), spin_up=INTERVAL, frame_interval=INTERVAL)
    return fire.run(scene, settings)[0].astype(np.float64)


def temperature(name: str) -> np.ndarray:
    return simulated(name)[..., 0]


def upward(name: str) -> np.ndarray:
    return simulated(name)[..., 2]


def heat_flux(name: str) -> np.ndarray:
    """``(F, z)``: convective heat (kW) that rises through the faces between levels of cells."""
    density = GAS / (AMBIENT + temperature(name))
    at_faces = ((field[:, 1:] + field[:, :-1]) / 2 for field in (density, temperature(name), upward(name)))
    return HEAT_CAPACITY * np.prod(list(at_faces), axis=0).sum(axis=(2, 3)) * (SIZE / GRID) ** 2 / 1e3


def downwind(name: str) -> float:
    """Displacement of the heat above 1 m from the burner along x (m), once the initial air has left."""
    heat = temperature(name)[round(6.5 / INTERVAL) :, 4:].sum(axis=(0, 1, 2))
    return float((heat * AT).sum() / heat.sum() - SCENES[name][0].x)


def test_a_plume_rises():
    """Its centroid climbs until it has reached the top, and the gas on its axis goes up, at 1.5 to 6 m/s."""
    heat = temperature("calm").sum(axis=(2, 3))
    height = (heat * AT).sum(axis=1) / heat.sum(axis=1)
    for earlier, later in ((0.45, 1.2), (1.2, 1.8), (1.8, 2.4)):
        assert height[round(later / INTERVAL)] > height[round(earlier / INTERVAL)] + 0.1
    axis = upward("calm")[SETTLED:, :, 7:9, 7:9].mean(axis=(0, 2, 3))
    assert (axis[3:] > 1.5).all()
    assert axis.max() < 6


def test_a_calm_plume_stands_on_its_burner():
    assert abs(downwind("calm")) < 0.15


def test_a_plume_leans_with_the_wind():
    assert downwind("breeze") > downwind("calm") + 0.2
    assert downwind("windy") > downwind("breeze") + 0.2


def test_a_plume_puffs():
    """The heat that rises through 1.5 m pulses by a tenth or more, most strongly between 0.4 and 1.1 Hz.

    The correlation for pool fires, 1.5 / sqrt(diameter) (Cetegen & Ahmed, Combust. Flame 93, 1993), gives 1.4 Hz;
    pulses of coarse grids are slower: 0.7 Hz was measured on 16 cells in calm air, 0.6 on 24 in wind.
    """
    flux = heat_flux("calm")[SETTLED:, int(1.5 / SIZE * GRID)]
    assert 0.08 < flux.std() / flux.mean() < 0.4
    pulses = flux - np.polyval(np.polyfit(np.arange(len(flux)), flux, 1), np.arange(len(flux)))
    power = np.abs(np.fft.rfft(pulses * np.hanning(len(pulses)), 512)) ** 2
    frequency = np.fft.rfftfreq(512, INTERVAL)
    assert 0.4 < frequency[power.argmax()] < 1.1


@pytest.mark.parametrize("name", ["calm", "weak", "breeze"])
def test_what_the_burner_gives_rises_through_every_level(name):
    """Within 10 %, between 0.75 m, below which gusts carry part of it, and 3 m, above which wind carries some away.

    Gusts that are drawn back into the burner leave 1 % more in the gas, the means of neighbouring cells add some.
    """
    flux = heat_flux(name)[round(6 / INTERVAL) :, 2:12].mean(axis=0)
    np.testing.assert_allclose(flux, SCENES[name][0].power, rtol=0.1)


def test_more_power_is_hotter_and_faster():
    for field in (temperature, upward):
        strong, weak = (field(name)[SETTLED:60, 4:, 7:9, 7:9].mean() for name in ("calm", "weak"))
        assert strong > 1.2 * weak


@pytest.mark.parametrize("name", SCENES)
def test_nothing_is_below_ambient_or_hotter_than_the_burner(name):
    assert temperature(name).min() > -BELOW_AMBIENT
    assert temperature(name).max() < SCENES[name][0].temperature - AMBIENT + BELOW_AMBIENT
    assert simulated(name)[..., 1].min() > -1e-3
    assert simulated(name)[..., 1].max() < 1 + 1e-3


def test_smoke_is_proportional_to_the_heat():
    """Both come from the burner alone: at full power the smoke determines the temperature (in the open)."""
    rise, smoke = (simulated("breeze")[SETTLED:, ..., channel].ravel() for channel in range(2))
    warm = rise > 20
    assert np.corrcoef(rise[warm], smoke[warm])[0, 1] > 0.9


def test_nothing_moves_inside_an_obstacle(monkeypatch):
    """The solver's fields there, which the mask hides: drag stops the gas, and hot gas flows around and over it."""
    scene = SCENES["behind"][0]
    solid = ~valid_cells(scene, GRID)
    assert solid.sum() == 8 * 4 * 4  # 2 m high, 1 m wide
    monkeypatch.setattr(fire, "valid_cells", lambda scene, grid: np.ones((grid,) * 3, dtype=bool))
    fields, _ = fire.run(scene, FireConfig(grid=GRID, frames=20, spin_up=6.0, frame_interval=INTERVAL))
    assert np.abs(fields[:, solid, 2]).max() < 0.02
    above = np.roll(solid, 9, axis=0) & ~solid
    assert np.abs(fields[:, above, 2]).max() > 0.3


def test_a_room_fills_from_the_ceiling():
    """A hot layer: temperature increases with height, away from the plume; cool air comes in through the door."""
    layers = temperature("room")[-20:, :, :6, 10:].mean(axis=(0, 2, 3))
    assert layers[-3:].mean() > layers[:3].mean() + 25
    steps = np.diff(layers.reshape(4, 4).mean(axis=1))
    assert (steps > 0).all()
    open_air = temperature("calm")[-20:, :, :3, 12:].mean()
    assert layers[-3:].mean() > open_air + 25


def test_a_scene_is_the_same_whenever_it_is_simulated():
    settings = FireConfig(grid=8, frames=4, spin_up=0.5)
    first, again = (fire.run(SCENES["behind"][0], settings)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[..., 2]).max() > 0.3
