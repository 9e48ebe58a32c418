"""Features of a place: known frequencies, from one wave over the domain to the grid's Nyquist frequency."""

import math

import pytest
import torch

from sparsevq.models.positions import sine_cosine_features


def test_frequencies_run_from_one_to_half_the_grid_along_each_axis():
    """Closed form: sin and cos of pi f x, for f = 1, 2, 3, 4 on 8 points and 1, 3, 5, 7 on 14."""
    place = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    y = [math.pi * 0.3 * f for f in (1, 2, 3, 4)]
    x = [math.pi * -0.7 * f for f in (1, 3, 5, 7)]
    expected = torch.tensor([[math.sin(a) for a in y + x] + [math.cos(a) for a in y + x]], dtype=torch.float64)
    torch.testing.assert_close(sine_cosine_features(place, 4, (8, 14)), expected)


def test_every_band_of_whole_frequency_repeats_after_the_width_of_the_domain():
    place = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    features = sine_cosine_features(place, 8, (16,))
    torch.testing.assert_close(sine_cosine_features(place + 2, 8, (16,)), features)
    assert not torch.allclose(sine_cosine_features(place + 1, 8, (16,)), features)


def test_the_highest_frequency_is_nyquist():
    """On 9 points from -1 to 1 the last cosine alternates from each point to the next."""
    place = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    last = sine_cosine_features(place, 4, (8,))[:, -1]
    torch.testing.assert_close(last, torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1, 1], dtype=torch.float64))


@pytest.mark.parametrize("grid", [(12,), (7, 9), (4, 5, 6)])
def test_each_place_has_its_own_features(grid):
    axes = [torch.linspace(-0.99, 0.99, size) for size in grid]
    places = torch.cartesian_prod(*axes).reshape(-1, len(grid))
    features = sine_cosine_features(places, 5, grid)
    assert features.shape == (len(places), 2 * len(grid) * 5)
    apart = torch.cdist(features, features) + 10 * torch.eye(len(places))
    assert apart.min() > 0.05


def test_an_axis_of_one_point_is_no_division_by_nought():
    assert torch.isfinite(sine_cosine_features(torch.zeros(3, 2), 4, (1, 8))).all()


def test_coordinates_of_another_dimension_than_the_grid_are_refused():
    with pytest.raises(ValueError, match="3 coordinates a point, but the grid has 2 axes"):
        sine_cosine_features(torch.zeros(5, 3), 4, (8, 8))
