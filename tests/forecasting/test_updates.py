"""Further readings of any kind, one after the other: how many frames later they are is read where it is said."""

import numpy as np
import pytest
import xarray as xr

import sparsevq
from sparsevq.errors import SparseVQError


@pytest.fixture(scope="module")
def model(modal_run):
    return sparsevq.Forecaster(modal_run.path, device="cpu")


def timed(run, which, **columns):
    return run.readings(which).assign(**columns)


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        ({"frame": 4}, {"frame": 7}, 3),
        ({"time": 2.0}, {"time": 3.0}, 2),
        ({"time": "2001-02-28T23:59:59"}, {"time": "2001-03-01T00:00:00.5"}, 3),
        ({"frame": 4}, {"time": 7.0}, 1),
        ({"frame": 4}, {}, 1),
        ({}, {"time": 3.0}, 1),
    ],
)
def test_steps_are_read_where_both_say_them(model, modal_run, before, after, steps):
    model.forecast(timed(modal_run, 1, **before), 4, 2)
    found = model.update(timed(modal_run, 1 + steps, **after))
    model.forecast(timed(modal_run, 1, **before), 4, 2)
    said = model.update(timed(modal_run, 1 + steps, **after), steps)
    model.forecast(modal_run.readings(1), 4, 2)
    xr.testing.assert_equal(found, said)
    plain = model.update(modal_run.readings(1 + steps), steps)
    np.testing.assert_array_equal(found["u"], plain["u"])


def test_arrays_follow_each_other_and_are_counted_on(model, modal_run):
    values = [modal_run.readings(frame)[["u", "v"]].to_numpy() for frame in range(4)]
    model.forecast(np.stack(values[:2]), 4, 2)
    found = [model.update(values[2]), model.update({"u": values[3][:, 0], "v": values[3][:, 1]})]
    model.forecast(modal_run.history(0, 1), 4, 2)
    for frame, one in zip((2, 3), found, strict=True):
        xr.testing.assert_equal(one, model.update(timed(modal_run, frame)))
    with pytest.raises(SparseVQError, match="the readings are of frame 3, those before of frame 3, 0 frames later"):
        model.update(modal_run.history(3))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"frame": 4}, {"frame": 4}, "frame 4, those before of frame 4, 0 frames later: give readings of one of the 4"),
        ({"frame": 4}, {"frame": 9}, r"5 frames later: .*, or forecast anew"),
        ({"time": 2.0}, {"time": 1.0}, "time 1, those before of time 2, -2 frames later"),
        ({"time": 2.0}, {"time": 2.7}, "1.4 frames later"),
        (
            {"time": "2001-02-28T23:59:59"},
            {"time": "2001-02-28T23:59:58"},
            "2001-02-28T23:59:58, those before of 2001-02-28T23:59:59, -2 frames later",
        ),
    ],
)
def test_readings_of_no_later_frame_are_refused(model, modal_run, before, after, message):
    model.forecast(timed(modal_run, 1, **before), 4, 2)
    with pytest.raises(SparseVQError, match=message):
        model.update(timed(modal_run, 2, **after))


def test_steps_that_contradict_the_readings_are_refused(model, modal_run):
    model.forecast(timed(modal_run, 1, frame=4), 4, 2)
    with pytest.raises(SparseVQError, match=r"steps=1, but the readings are of frame 6, .*, 2 frames later: leave out"):
        model.update(timed(modal_run, 3, frame=6), 1)
