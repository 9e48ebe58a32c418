"""A stage of given parts, to test what runs it."""

from collections.abc import Callable
from typing import Any

from torch import nn

from sparsevq.config import TrainingConfig
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.training.stage import Stage


def made_of(
    objective: nn.Module,
    draw: Callable[..., tuple[Any, ...]],
    validate: Callable[[], dict[str, float]],
    settings: TrainingConfig,
    *,
    seed: int = 1,
    fabric: Any = None,
    best_after: int = 0,
    validates_first: bool = False,
    doubts: tuple[str, ...] = (),
) -> Stage:
    """The objective, batches and validation are given; it is called ``stage 1 sparse``."""

    class Made(Stage):
        def draw(self, generator, step):
            return draw(generator, step)

        def validate(self):
            return validate()

        def doubts(self):
            return list(doubts)

    stage = Made(settings, seed, fabric or fabric_for(Lease("cpu", (), "cpu"), "32-true"))
    stage.name, stage.objective, stage.made_from, stage.best_after = "stage 1 sparse", objective, {}, best_after
    stage.validates_first = validates_first
    return stage
