"""Batches that a thread draws ahead are those that would be drawn without it."""

import threading
from contextlib import closing

import pytest
import torch
from torch import nn

from sparsevq.config import TrainingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.tracking.logs import Tracker
from sparsevq.training.batches import Batches, batches
from sparsevq.training.loop import fit
from tests.stages import made_of

WAIT = 10.0
"""Seconds after which a thread that should have done something has not."""


class Slope(nn.Module):
    """Fits one number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, at):
        return {"loss": (self.weight * at - 3 * at).square().mean()}


def stage_with(draw, ahead, **settings):
    budget = {"max_steps": 6, "val_every": 2, "warmup_steps": 0, "lr": 0.1, **settings}
    stage = made_of(Slope(), draw, lambda: {"val_loss": 0.0}, TrainingConfig(**budget))
    stage.validate = lambda: {"val_loss": float(stage.objective.weight.detach() - 3) ** 2}
    stage.draws_ahead = ahead
    return stage


def numbers(generator, step):
    return (torch.rand(4, generator=generator) + step,)


def never(step):
    return False


def always(step):
    return True


@pytest.mark.parametrize("parts", [1, 3])
def test_batches_are_the_same_whoever_draws_them(parts):
    places = [(step, part) for step in range(1, 6) for part in range(parts)]
    for ahead in (never, always, lambda step: step != 3):
        with batches(stage_with(numbers, ahead), parts, 5) as drawn:
            found = [drawn.take(*place)[0] for place in places]
        for place, batch in zip(places, found, strict=True):
            with closing(Batches(stage_with(numbers, never), parts, 5)) as alone:
                assert torch.equal(alone.take(*place)[0], batch), "it depends on (seed, step, part) alone"
    assert len({tuple(batch.tolist()) for batch in found}) == len(places)


def test_the_next_batch_is_drawn_while_this_one_is_used():
    seen, drawn_second = [], threading.Event()

    def draw(generator, step):
        seen.append((step, threading.current_thread() is threading.main_thread()))
        if step == 2:
            drawn_second.set()
        return (torch.ones(1),)

    with batches(stage_with(draw, always), 1, 2) as drawn:
        drawn.take(1, 0)
        assert drawn_second.wait(WAIT), "before it is asked for"
        drawn.take(2, 0)
    assert seen == [(1, True), (2, False)], "and none after the last"


def test_a_step_whose_batch_may_not_be_drawn_ahead_draws_its_own():
    seen = []

    def draw(generator, step):
        seen.append((step, threading.current_thread() is threading.main_thread()))
        return (torch.ones(1),)

    with batches(stage_with(draw, lambda step: step != 2), 1, 3) as drawn:
        for step in (1, 2, 3):
            drawn.take(step, 0)
    assert seen == [(1, True), (2, True), (3, False)]


@pytest.mark.parametrize("ahead", [never, always])
def test_an_error_comes_with_the_batch_that_has_it(ahead):
    def draw(generator, step):
        if step == 2:
            raise SparseVQError("NaN in frame 7", "leave it out")
        return (torch.ones(1),)

    with batches(stage_with(draw, ahead), 1, 9) as drawn:
        drawn.take(1, 0)
        with pytest.raises(SparseVQError, match="NaN in frame 7"):
            drawn.take(2, 0)
    with batches(stage_with(draw, ahead), 1, 9) as drawn:
        drawn.take(1, 0)  # nobody takes the second


def test_no_thread_is_left(tmp_path):
    before = threading.active_count()
    fit(stage_with(numbers, always, patience=1), tracker=Tracker(), history=tmp_path / "history.csv")
    assert threading.active_count() == before


def test_a_training_is_the_same_to_the_last_bit(tmp_path):
    weights = []
    for ahead in (never, always):
        stage = stage_with(numbers, ahead, accum_grads=2)
        fit(stage, tracker=Tracker(), history=tmp_path / "history.csv")
        weights.append(stage.objective.weight.detach().clone())
    assert torch.equal(*weights) and weights[0] != 0
