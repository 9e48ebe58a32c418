"""A training step of the GPT never makes the host wait for the device: it could not run ahead of a GPU."""

import pytest
import torch

from sparsevq.runs.run import Run
from sparsevq.stage3.train import GPTStage
from tests.chain import REGRESSION, STAGE3, fabric
from tests.host_waits import NoWaiting

FIRST_GUESS = REGRESSION | {"code_noise": 1.0, "dropout": 0.1}


@pytest.mark.parametrize("prediction", ["next_frame", "next_token"])
@pytest.mark.parametrize("settings", [{"token_noise": 0.2}, FIRST_GUESS], ids=["codes", "first guess"])
def test_a_training_step_never_waits(guessing, prediction, settings):
    settings = STAGE3.model_copy(update={**settings, "prediction": prediction})
    stage = GPTStage(Run(codes=guessing.codes_path), settings, seed=1, fabric=fabric())
    stage.objective.train()
    draws = torch.Generator().manual_seed(0)
    for step in range(2):  # with one observed frame, and with several
        stage.objective(*stage.draw(draws, step))["loss"].backward()  # what is made once is made
    for step in range(2):
        with NoWaiting():
            stage.objective(*stage.draw(draws, step))["loss"].backward()
    assert all(weight.grad is not None for weight in stage.objective.parameters() if weight.requires_grad)


@pytest.mark.parametrize(
    "work", [lambda x: float(x[0]), lambda x: x[x > 0], lambda x: torch.tensor(3) + x], ids=range(3)
)
def test_what_makes_the_host_wait_is_found(work):
    with NoWaiting(), pytest.raises(AssertionError, match="the host would wait"):
        work(torch.ones(3))
