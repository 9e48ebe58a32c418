"""The encoder with other sensors than its own: which sensors, and what is made of their readings."""

import itertools

import numpy as np
import pytest
import torch

from sparsevq.forecasting.robustness import NUMBERS, conditions, robustness
from sparsevq.stage1.encoding import load_stage1
from sparsevq.stage1.model import decode_everywhere, encode_views
from sparsevq.training.fields import reconstruction_metrics, validation_views
from tests.chain import MODAL, Chain, fabric, write_small_flow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def modal(tmp_path_factory):
    chain = Chain(tmp_path_factory.mktemp("modal"))
    write_small_flow(chain)
    chain.encoder("sparse", **MODAL)
    return chain


def own_error(chain, encode):
    fields = chain.fields()
    views = validation_views(chain.data, fields, "test")
    model = load_stage1(chain.run(), "sparse", CPU)
    guess = decode_everywhere(model, encode(model)(fields, views))
    return reconstruction_metrics(fields, views, guess)["val_relative_l2"]


def test_sets_are_nested_and_valid_in_every_trajectory(trained):
    data, sensors = trained.data, trained.sensors
    sensors.channels[:6] = [True, False]
    found = {(each.name, len(each.points), each.noise): each for each in conditions(data, sensors, seed=3)}
    own = set(sensors.sparse.tolist())
    sets = {key: set(each.points.tolist()) for key, each in found.items()}
    assert sets["own", 6, 0] == sets["noise", 6, 0.3] == own
    assert sets["50% of own", 3, 0] < sets["75% of own", 4, 0] < own
    assert sets["own and as many others", 12, 0] == own | sets["as many others", 6, 0]
    at_random = [sets["random places", number, 0] for number in NUMBERS[:5]]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(at_random))
    assert sum(name == "random places" for name, _, _ in found) == 5, "80 fit, 160 do not"
    assert sets["as many others", 6, 0] < at_random[2]
    assert not own & at_random[-1]
    assert data.flat_mask[:, list(at_random[-1])].all()
    for each in found.values():
        assert len(each.points) == len(set(each.points.tolist())) == len(each.reads)
        assert (each.reads == [True, False]).all(), "others read what the own ones read"


def test_a_modal_encoder_is_beside_the_linear_estimate_everywhere(modal):
    table = robustness(modal.run(), seed=1, fabric=fabric())
    assert list(table.columns) == ["condition", "sensors", "noise", "method", "relative_l2", "ratio"]
    errors = table.set_index(["condition", "sensors", "noise", "method"])["relative_l2"]
    assert errors.index.is_unique
    assert errors["own", 6, 0, "encoder"] == pytest.approx(
        own_error(modal, lambda model: lambda *of: encode_views(model, *of))
    )
    assert errors["own", 6, 0, "linear"] == pytest.approx(own_error(modal, lambda model: model.encode_linear))
    np.testing.assert_allclose(table["ratio"] * errors.iloc[0], table["relative_l2"])
    both = errors.unstack("method")
    assert both.notna().all(axis=None)
    told, untold = (both.loc[(name, 6, 0.3)] for name in ("noise, told", "noise"))
    assert ((told - untold).abs() > 1e-3).all()
    assert (untold > both.loc[("noise", 6, 0.1)]).all()
    many, few = (both.loc[("random places", number, 0.0), "linear"] for number in (80, 5))
    assert many < 1.0001 * few  # five readings decide all modes of these waves, but for rounding


def test_the_papers_encoder_takes_any_number_but_is_not_told_of_noise(trained):
    table = robustness(trained.run(), seed=1, fabric=fabric())
    errors = table.set_index(["condition", "sensors", "noise", "method"])["relative_l2"].unstack("method")
    assert errors["linear"].notna().all()
    assert set(errors.index[errors["encoder"].isna()].get_level_values("condition")) == {"noise, told"}
    own = own_error(trained, lambda model: lambda *of: encode_views(model, *of))
    assert errors.loc[("own", 6, 0.0), "encoder"] == pytest.approx(own)
