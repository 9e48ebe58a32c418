"""Features of a place: known frequencies, up to the grid's; an axis closes or does not, as the domain does."""

import math

import pytest
import torch

from sparsevq.models.positions import sine_cosine_features


def test_frequencies_on_an_open_axis_run_from_a_half_to_the_grids():
    """Closed form: sin and cos of pi f x, for f = 1/2, 3/2, 5/2, 7/2 on 8 points and 1/2, 5/2, 9/2, 13/2 on 14."""
    place = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    y = [math.pi * 0.3 * f for f in (0.5, 1.5, 2.5, 3.5)]
    x = [math.pi * -0.7 * f for f in (0.5, 2.5, 4.5, 6.5)]
    expected = torch.tensor([[math.sin(a) for a in y + x] + [math.cos(a) for a in y + x]], dtype=torch.float64)
    torch.testing.assert_close(sine_cosine_features(place, 4, (8, 14), (False, False)), expected)


def test_frequencies_on_a_closed_axis_are_whole_up_to_nyquist():
    place = torch.tensor([[0.3]], dtype=torch.float64)
    x = [math.pi * 0.3 * f for f in (1, 3, 5, 7)]  # 1, 3, 5, 7 on 14 points
    expected = torch.tensor([[math.sin(a) for a in x] + [math.cos(a) for a in x]], dtype=torch.float64)
    torch.testing.assert_close(sine_cosine_features(place, 4, (14,), (True,)), expected)
    last = sine_cosine_features(torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None], 4, (8,), (True,))[:, -1]
    torch.testing.assert_close(last, torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1, 1], dtype=torch.float64))


@pytest.mark.parametrize("bands", [4, 7, 32])
def test_a_closed_axis_closes_whatever_the_number_of_bands(bands):
    place = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    features = sine_cosine_features(place, bands, (16,), (True,))
    torch.testing.assert_close(sine_cosine_features(place + 2, bands, (16,), (True,)), features)
    assert not torch.allclose(sine_cosine_features(place + 1, bands, (16,), (True,)), features)


@pytest.mark.parametrize("bands", [1, 4, 8, 32])
def test_both_ends_of_an_open_axis_look_different(bands):
    """Past fault: with whole frequencies up to half the grid's points they were the same place to the decoder."""
    ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    low, high = sine_cosine_features(ends, bands, (16,), (False,))
    assert (low - high).norm() > 1


@pytest.mark.parametrize("grid", [(12,), (7, 9), (4, 5, 6)])
def test_each_place_has_its_own_features(grid):
    axes = [torch.linspace(-0.99, 0.99, size) for size in grid]
    places = torch.cartesian_prod(*axes).reshape(-1, len(grid))
    features = sine_cosine_features(places, 5, grid, (False,) * len(grid))
    assert features.shape == (len(places), 2 * len(grid) * 5)
    apart = torch.cdist(features, features) + 10 * torch.eye(len(places))
    assert apart.min() > 0.05


def test_an_axis_of_one_point_is_no_division_by_zero():
    assert torch.isfinite(sine_cosine_features(torch.zeros(3, 2), 4, (1, 8), (True, False))).all()


def test_coordinates_of_another_dimension_than_the_grid_are_refused():
    with pytest.raises(ValueError, match="3 coordinates a point, but the grid has 2 axes"):
        sine_cosine_features(torch.zeros(5, 3), 4, (8, 8), (False, False))
