"""The local correction of the outlook: what it projects, and what it does not depend on."""

import pytest
import torch

from sparsevq.models.refinement import Refinement, RefinementSizes, UNet, fixed_channels

GRID, CHANNELS, LEADS, MODES = (8, 12), 2, 3, 5


def sizes(**changes):
    given = {
        "grid": GRID,
        "periodic": (True, False),
        "channels": CHANNELS,
        "fixed": 3,
        "leads": LEADS,
        "coefficients": MODES,
        "width": 8,
    }
    return RefinementSizes(**{**given, **changes})


def refinement(**changes) -> Refinement:
    """With orthonormal modes by an area that differs from point to point."""
    torch.manual_seed(0)
    found = Refinement(sizes(**changes))
    area = torch.rand(GRID) + 0.5
    found.area.copy_(area / area.sum())
    weight = found.area.expand(CHANNELS, *GRID).flatten().sqrt()
    rows = torch.linalg.qr(torch.randn(len(weight), MODES))[0].T
    found.modes.copy_((rows / weight).view(MODES, CHANNELS, *GRID))
    found.center.copy_(torch.randn(MODES))
    return found


def speaking(found: Refinement) -> Refinement:
    torch.nn.init.normal_(found.body.leave.weight, std=0.1)
    return found


def test_it_begins_as_nothing():
    assert not refinement()(torch.randn(4, LEADS, MODES), 3).any()


def test_what_it_adds_is_projected_on_the_modes():
    """Were it to give back the fields that it sees, these would be the coefficients, and their center."""
    found = refinement()
    mean = torch.randn(4, LEADS, MODES)

    class First(torch.nn.Module):
        def forward(self, x):
            return x[:, : LEADS * CHANNELS]

    found.body = First()
    torch.testing.assert_close(found(mean, 1), mean + found.center, rtol=1e-2, atol=1e-2)  # modes are float16


def test_it_knows_how_many_frames_were_observed():
    found, mean = speaking(refinement()), torch.randn(2, LEADS, MODES)
    assert not torch.equal(found(mean, 1), found(mean, 10))


@pytest.mark.parametrize(("axis", "moves"), [(2, True), (3, False)])
def test_a_shift_along_a_periodic_axis_shifts_what_it_makes(axis, moves):
    """By as many points as its coarsest cells have."""
    found = speaking(refinement())
    fields = torch.randn(2, LEADS * CHANNELS + 4, *GRID)
    shifted = found.body(fields.roll(4, axis))
    assert torch.allclose(shifted, found.body(fields).roll(4, axis), atol=1e-5) == moves


@pytest.mark.parametrize(
    ("grid", "levels"), [((64, 64), 4), ((64, 128), 4), ((8, 12), 2), ((48,), 4), ((9, 8), 0), ((32, 32, 16), 4)]
)
def test_grids_of_any_size_and_dimension(grid, levels):
    of = sizes(grid=grid, periodic=(False,) * len(grid), fixed=len(grid))
    assert of.levels == levels
    found = Refinement(of)
    assert found(torch.randn(2, LEADS, MODES), 1).shape == (2, LEADS, MODES)


def test_a_net_has_a_gradient_for_each_weight():
    net = UNet(2, 4, 3, 8, 2)
    torch.nn.init.normal_(net.leave.weight)
    net(torch.randn(2, 4, *GRID)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in net.parameters())


def test_fixed_channels_are_angles_of_periodic_axes_and_coordinates_of_others():
    coordinates = torch.cartesian_prod(torch.linspace(-1, 0.5, 4), torch.linspace(-1, 1, 3)).double().numpy()
    found = fixed_channels(coordinates, (True, False), (4, 3))
    assert found.shape == (3, 4, 3)
    torch.testing.assert_close(found[0, :, 0], torch.tensor([0.0, -1, 0, 1]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[2, 0], torch.tensor([-1.0, 0, 1]))
