"""The same seed gives the same bytes: nothing that we compute with sums in any order, on CUDA either."""

import os

import pytest
import torch
from torch.nn import functional as F

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices import determinism
from sparsevq.runtime.devices.determinism import sum_in_fixed_order, unordered_sums_named
from sparsevq.runtime.devices.device import Lease, fabric_for
from tests.chain import Chain, make_modal_chain
from tests.together import CASES
from tests.unordered import Unordered


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    sum_in_fixed_order(True)


def test_operations_in_any_order_are_found():
    """The instrument of the tests below: forward and backward."""
    with Unordered() as mode:
        picture = torch.ones(1, 1, 4, 4, requires_grad=True)
        F.grid_sample(picture, torch.zeros(1, 2, 2, 2), align_corners=False).sum().backward()
        torch.ones(3).cumsum(0)
        torch.bincount(torch.tensor([0, 1]), weights=torch.ones(2))
        torch.ones(3).median(0)
    assert mode.found == {"grid_sampler_2d_backward", "cumsum", "bincount", "median"}
    with Unordered() as mode:
        torch.ones(3, dtype=torch.long).cumsum(0)
        torch.bincount(torch.tensor([0, 1]), minlength=3)
        torch.ones(3).median()
    assert mode.found == set()


@pytest.mark.parametrize("case", CASES)
def test_no_training_sums_in_any_order(trained, tmp_path, case):
    with Unordered() as mode:
        CASES[case](Chain(trained.folder), tmp_path / case)
    assert {"convolution", "mm", "addmm"} & mode.seen, "it watched the training"
    assert mode.found == set()


def test_nothing_after_the_trainings_sums_in_any_order(trained, tmp_path):
    """Index dump, calibration and forecasts."""
    with Unordered() as mode:
        trained.codes(tmp_path / "codes.h5")
        trained.calibrate(tmp_path / "calibration.h5")
        trained.forecast(tmp_path / "forecast.h5")
    assert mode.seen
    assert mode.found == set()


def test_what_is_solved_for_sums_in_order(tmp_path):
    """Encoders on modes, codes of groups, the regression from the readings to each lead time."""
    with Unordered() as mode:
        chain = make_modal_chain(tmp_path)
        chain.calibrate()
        chain.forecast(tmp_path / "forecast.h5")
    assert mode.seen
    assert mode.found == set()


def test_the_order_is_fixed_strictly_or_not_at_all(monkeypatch):
    """With warnings alone, torch leaves the backward pass of attention on CUDA in any order."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    fabric_for(Lease("cpu", (), "cpu"), "32-true")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in determinism.CUBLAS_WORKSPACES
    fabric_for(Lease("cpu", (), "cpu"), "32-true", deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_without_a_fixed_order_is_one_line():
    """As CUDA says it, for which torch's kernels on the CPU have no example."""
    said = "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_"
    named = pytest.raises(
        SparseVQError, match=r"^grid_sampler_2d_backward_cuda has no algorithm .*resources.deterministic"
    )
    with named, unordered_sums_named():
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="another"), unordered_sums_named():
        raise RuntimeError("another")
