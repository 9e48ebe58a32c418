"""Coordinates and kernel of the regression."""

import pytest
import torch

from sparsevq.models.estimate import kernel
from sparsevq.models.nearness import STEPS, nearness, sum_kernel


def drawn(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def flow(readings: torch.Tensor) -> torch.Tensor:
    """(S, 1, 7): of two readings what is not linear, and a little of all."""
    curved = torch.stack([(2 * readings[:, 0]).sin() + readings[:, 1] ** 2], dim=-1)
    return torch.cat([curved, 0.3 * readings], dim=-1)[:, None]


def learned(count: int = 300, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    readings = drawn(count, seed)
    targets = flow(readings)
    return readings, targets - targets.mean(0)


@pytest.mark.parametrize("order", [1, 2])
def test_the_kernel_is_materns_of_three_and_of_five_halves(order):
    places, others, width = drawn(5, 0).double(), drawn(4, 1).double(), torch.tensor(3.0, dtype=torch.float64)
    distance = torch.cdist(places, others) / (width / 2).sqrt()
    root = (2 * order + 1) ** 0.5
    wanted = 1 + root * distance + (5 / 3 * distance**2 if order == 2 else 0)
    wanted = wanted * (-root * distance).exp()
    torch.testing.assert_close(kernel(places, others, width, order), wanted)
    torch.testing.assert_close(kernel(places, others, width, torch.tensor(float(order))), wanted)


def test_readings_that_decide_nothing_count_less_with_each_step():
    """Ridge regression sees nothing of a square."""
    readings, targets = learned()
    found = nearness(readings, targets, learned(200, seed=1), None)
    assert found.choice.steps > 0
    first = nearness(readings, targets, None, type(found.choice)(**{**vars(found.choice), "steps": 0}))
    share = [
        float(each.metric[2:].square().sum() / each.metric.square().sum())  # of the other readings
        for each in (first, found)
    ]
    assert share[1] < 0.5 * share[0]


def test_coordinates_that_were_chosen_are_found_again():
    readings, targets = learned()
    found = nearness(readings, targets, learned(100, seed=1), None)
    again = nearness(readings, targets, None, found.choice)
    assert torch.equal(found.metric, again.metric) and torch.equal(found.median, again.median)
    assert 0 <= found.choice.steps <= STEPS


def test_the_inverse_is_that_of_the_kernel_with_its_noise():
    readings, targets = learned(80)
    found = nearness(readings, targets, learned(40, seed=1), None)
    places, choice = readings @ found.metric, found.choice
    arguments = choice.width * found.median, choice.linear / found.median, choice.order
    within = sum_kernel(places, places, *arguments) + choice.noise * torch.eye(80)
    torch.testing.assert_close(found.inverse(places) @ within, torch.eye(80, dtype=torch.float64), rtol=0, atol=1e-5)
