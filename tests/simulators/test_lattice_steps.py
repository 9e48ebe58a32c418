"""The compiled loop takes the steps that lbmpy's own calls take."""

import numpy as np
import pytest

from sparsevq.simulators import cylinder
from sparsevq.simulators.lattice_steps import Step, Steps
from sparsevq.simulators.wind_tunnel import LENGTH, WIDTH

pytest.importorskip("lbmpy")


def take_by_lbmpy(tunnel, count: int, omega: np.float32) -> np.ndarray:
    arrays, boundaries = tunnel._arrays, tunnel._boundaries
    populations = arrays.cpu_arrays["populations"]
    links = next(iter(arrays.iterate()))[boundaries._index_array_name].boundary_object_to_index_list
    for step in range(count):
        timestep = tunnel._timesteps[step % 2]
        tunnel._periodicity(prev_timestep=timestep)
        for boundary, of_boundary in links.items():
            kernel = boundaries._boundary_object_to_boundary_info[boundary]._kernels[timestep]
            kernel(populations=populations, indexField=of_boundary)
        arrays.run_kernel(tunnel._collide[1 - step % 2], omega=omega)
    return populations.copy()


@pytest.mark.slow
def test_the_flow_is_that_of_lbmpys_own_calls_to_the_bit():
    tunnel = cylinder._tunnel()
    x, y = np.meshgrid(np.arange(LENGTH) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij")
    solid, viscosity = np.hypot(x - 64, y - 60) < 8, 0.01
    gust = 0.2 * np.exp(-np.hypot(x - 100, y - 70) / 9)
    tunnel.start(solid, viscosity, gust)
    tunnel.run(3)  # even and odd counts
    tunnel.run(98)
    found = tunnel._arrays.cpu_arrays["populations"].copy()
    tunnel.start(solid, viscosity, gust)
    expected = take_by_lbmpy(tunnel, 101, np.float32(1 / (3 * viscosity + 0.5)))
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found[1:-1, 1:-1]).all()
    tunnel.start(solid, viscosity, gust)
    tunnel.run(101)
    assert np.abs(tunnel.velocity()[~solid]).max() < 4


def test_values_that_are_not_in_one_piece_are_refused():
    values = np.zeros((4, 6), np.float32)
    step = Step([(values[:, 0], values[:, 1])], [], None)
    with pytest.raises(ValueError, match="not in one piece"):
        Steps(lambda *_: None, (step, step), values, 1.0)
