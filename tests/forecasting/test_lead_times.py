"""Lead times that people can select by."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from sparsevq.forecasting.dataset.lead_times import lead_times
from tests.flows import travelling_waves


def of(time, frames):
    return lead_times(replace(travelling_waves(trajectories=3), time=np.asarray(time, dtype=float)), frames).tolist()


def test_lead_times_are_decimal_numbers_without_dust():
    assert of(0.1 * np.arange(9), 8) == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert of(np.cumsum(np.full(9, 0.1)), 4) == [0, 0.1, 0.2, 0.3, 0.4]
    assert of(1000 + 0.1 * np.arange(5), 6) == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]  # past the end of the data
    found = xr.DataArray(np.arange(9), coords={"lead_time": of(0.1 * np.arange(9), 8)})
    assert found.sel(lead_time=0.3) == 3


def test_times_in_single_precision_are_those_that_were_meant():
    assert of((0.1 * np.arange(5)).astype(np.float32), 7) == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert of((1000 + 0.1 * np.arange(5)).astype(np.float32), 4) == [0, 0.1, 0.2, 0.3, 0.4]


def test_unevenly_spaced_times_stay_and_go_on_as_the_last_two():
    assert of([0, 0.1, 0.3, 0.7], 5) == [0, 0.1, 0.3, 0.7, 1.1, 1.5]
    assert of([5, 5.1, 5.4], 3) == [0, 0.1, 0.4, 0.7]


@pytest.mark.parametrize("step", [1 / 3, 1 / 1024, np.pi, 0.123456789, 1e-7, 86400.0])
def test_what_is_no_short_decimal_stays(step):
    assert of(step * np.arange(4), 3) == (step * np.arange(4)).tolist()
