"""The calibration as forecasts read it: factors of a lead time and a number of observed frames; faults in one line."""

import h5py
import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.runs.calibration import SCHEMA, VERSION, Calibration, read_calibration
from sparsevq.runtime.hdf5 import created, stamp
from tests.edited import edited

FACTORS = np.linspace(0.5, 2.0, 2 * 4 * 2).reshape(2, 4, 2)


@pytest.fixture
def path(tmp_path):
    data = tmp_path / "data.h5"
    with h5py.File(data, "w") as file:
        file["x"] = 1
    with created(tmp_path / "calibration.h5") as file:
        stamp(file, SCHEMA, VERSION, {"data": data}, {"seed": 1})
        file["temperature"], file["network"] = 0.75, 0.5
        file["observed_frames"], file["factors"] = np.array([1, 3]), FACTORS
    return tmp_path / "calibration.h5"


def test_it_is_read_as_it_was_written(path):
    found, made_from = read_calibration(path, 2)
    assert (found.temperature, found.network, found.observed.tolist()) == (0.75, 0.5, [1, 3])
    np.testing.assert_array_equal(found.factors, FACTORS)
    assert list(made_from) == ["data"]


@pytest.mark.parametrize(("observed", "row"), [(1, 0), (2, 0), (3, 1), (10, 1)])
def test_factors_are_of_the_next_smaller_number_of_observed_frames(observed, row):
    found = Calibration(1.0, 1.0, np.array([1, 3]), FACTORS)
    np.testing.assert_array_equal(found.factor(observed, 4), FACTORS[row])


def test_fewer_observed_frames_than_any_have_the_fewests_factors():
    found = Calibration(1.0, 1.0, np.array([3, 10]), FACTORS)
    np.testing.assert_array_equal(found.factor(1, 4), FACTORS[0])


@pytest.mark.parametrize("leads", [1, 3, 4, 9])
def test_lead_times_past_the_last_have_its_factor(leads):
    found = Calibration(1.0, 1.0, np.array([1, 3]), FACTORS).factor(3, leads)
    np.testing.assert_array_equal(found, FACTORS[1][np.minimum(np.arange(leads), 3)])


def _set(name, value):
    def damage(file):
        del file[name]
        file[name] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_set("factors", -FACTORS), "factors and temperature must be finite and positive"),
        (_set("factors", np.nan * FACTORS), "factors and temperature must be finite and positive"),
        (_set("factors", FACTORS[:1]), "/factors has shape"),
        (_set("factors", FACTORS[..., :1]), "/factors has shape"),
        (_set("temperature", -1.0), "must be finite and positive"),
        (_set("temperature", np.nan), "must be finite and positive"),
        (_set("network", 1.5), "must be finite and positive"),
        (lambda file: file.__delitem__("network"), "/network is missing"),
        (lambda file: file.attrs.__setitem__("schema_version", 2), "has version 2 of the layout sparsevq-calibration"),
    ],
)
def test_a_fault_is_one_line(path, damage, message):
    with edited(path) as file:
        damage(file)
    with pytest.raises(SparseVQError, match=message) as caught:
        read_calibration(path, 2)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
