"""The nearest point of a grid, axis by axis, is that of a search over all points."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from tests.flows import on_a_sphere, scattered_waves, travelling_waves

UNEVEN = np.cumsum([0, 0.1, 0.4, 0.05, 0.3])
CASES = {
    "plane, periodic in x": travelling_waves(trajectories=3),
    "space": travelling_waves(trajectories=3, grid=(3, 4, 7)),
    "line": travelling_waves(trajectories=3, grid=(9,)),
    "globe": on_a_sphere(trajectories=3),
    "unevenly spaced": replace(
        travelling_waves(trajectories=3, grid=(5, 4)), axes={"y": UNEVEN, "x": np.arange(4.0)}, periodic=()
    ),
    "one row": replace(travelling_waves(trajectories=3, grid=(2, 4)), axes={"y": np.zeros(1), "x": np.arange(4.0)}),
    "scattered": scattered_waves(trajectories=3),
}


@pytest.mark.parametrize("case", CASES)
def test_the_nearest_point_is_that_of_a_search_over_all(case):
    data, rng = CASES[case], np.random.default_rng(0)
    low, high = np.array(list(data.domain.values())).T
    places = np.concatenate([rng.uniform(low, high, (500, len(low))), data.physical_coordinates])
    period = np.where(data.closed, np.array(data.resolution, float), 0)
    tree = cKDTree(data._in_spacings(data.physical_coordinates, period), boxsize=period)
    spaced = data._in_spacings(places, period)
    distance, expected = tree.query(spaced)
    found = data.nearest(places)
    apart = np.abs(spaced - data._in_spacings(data.physical_coordinates, period)[found])
    apart = np.where(period > 0, np.minimum(apart, period - apart), apart)
    np.testing.assert_allclose(np.sqrt((apart**2).sum(axis=1)), distance, atol=1e-12)  # of two as near, either
    assert (found == expected).mean() > 0.99
    np.testing.assert_array_equal(found[500:], np.arange(data.num_points))
