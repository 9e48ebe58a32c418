"""Wrong inputs to the Python API: one line that says what is wrong, where, and what to do."""

import pytest

import sparsevq
from sparsevq.errors import SparseVQError
from tests.forecasting.wrong_inputs import API, WRONG_INPUTS, check_message


@pytest.fixture(scope="module")
def model(modal_run):
    return sparsevq.Forecaster(modal_run.path, device="cpu")


@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG_INPUTS if API in wrong.ways], ids=str)
def test_a_wrong_input_is_one_line(model, modal_run, tmp_path, wrong):
    given = wrong.make(modal_run, tmp_path)
    with pytest.raises(SparseVQError) as raised:
        model.forecast(given.observations, **{"frames": 2, "members": 2, **given.arguments})
    check_message(str(raised.value), (*wrong.words, wrong.where))


def test_there_are_twenty_kinds_in_every_way():
    for way in ("api", "command", "served"):
        assert sum(way in wrong.ways for wrong in WRONG_INPUTS) >= 20
    assert len({wrong.name for wrong in WRONG_INPUTS}) == len(WRONG_INPUTS)
