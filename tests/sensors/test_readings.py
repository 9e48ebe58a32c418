"""A user's readings: both forms of the file give the same, and each fault names its line and column."""

from dataclasses import replace

import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.sensors.form import Form, obstacle_test
from sparsevq.sensors.history import read_history
from sparsevq.sensors.space import Space
from tests.flows import travelling_waves

AXES, CHANNELS, UNITS = ("y", "x"), ("u", "v"), ("m/s", "m/s")
SENSORS = np.array([[0.0, 0.25], [0.5, 0.5], [1.0, 0.75]])  # in the order of places
SPACE = Space({"y": (0.0, 1.0), "x": (0.0, 0.9375)})


def read(path, text, **given):
    path.write_text(text)
    known = {"units": UNITS, "partial": False, "sensors": SENSORS, "space": SPACE}
    (frame,) = read_history(path, Form(AXES, CHANNELS, **known | given), np.arange(3.0)).frames
    return frame


@pytest.mark.parametrize(
    "text",
    [
        "sensor,u,v\n2,1.5,-3\n0,0.25,1e-2\n",
        "y,x,u,v\n1,0.75,1.5,-3\n0,0.25,0.25,1e-2\n",
        "v, u ,x,y\n-3,1.5,0.75,1\n\n 1e-2,0.25,0.25,0\n",
        "\ufeffsensor,u,v\r\n2,1.5,-3\r\n0,0.25,1e-2\r\n",
    ],
)
def test_places_and_values(tmp_path, text):
    readings = read(tmp_path / "frame.csv", text)
    np.testing.assert_array_equal(readings.places, [[0.0, 0.25], [1.0, 0.75]])
    np.testing.assert_array_equal(readings.values, [[0.25, 1e-2], [1.5, -3]])
    np.testing.assert_array_equal(readings.noise, [[0, 0], [0, 0]])
    assert {getattr(readings, name).dtype for name in ("places", "values", "noise")} == {np.dtype(np.float64)}


def test_readings_by_place_do_not_depend_on_the_order_of_the_file(tmp_path):
    one = read(tmp_path / "frame.csv", "sensor,u,v,noise\n2,1,2,0.1\n0,3,4,0.2\n1,5,6,0.3\n").by_place()
    other = read(tmp_path / "frame.csv", "sensor,u,v,noise\n1,5,6,0.3\n2,1,2,0.1\n0,3,4,0.2\n").by_place()
    for name, array in vars(one).items():
        np.testing.assert_array_equal(getattr(other, name), array)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("sensor,u,v\n0,1,\n1,,2\n2,3,4\n", [[1, np.nan], [np.nan, 2], [3, 4]]),
        ("sensor,v\n0,1\n2,3\n", [[np.nan, 1], [np.nan, 3]]),
        ("y,x,v,u\n0,0.25,1,2\n", [[2, 1]]),
    ],
)
def test_sensors_may_read_some_channels_where_that_is_allowed(tmp_path, text, values):
    np.testing.assert_array_equal(read(tmp_path / "frame.csv", text, partial=True).values, values)


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        ("sensor,u,v,noise\n0,1,2,0.5\n1,1,2,\n2,1,2,0\n", [[0.5, 0.5], [0, 0], [0, 0]]),
        ("sensor,u,v,noise_v\n0,1,2,0.5\n1,1,2,\n", [[0, 0.5], [0, 0]]),
        ("sensor,noise_v,u,noise_u,v\n0,1,2,3,4\n", [[3, 1]]),
    ],
)
def test_noise_of_all_channels_or_of_each(tmp_path, text, noise):
    np.testing.assert_array_equal(read(tmp_path / "frame.csv", text).noise, noise)


def test_one_noise_for_a_channel_beside_which_no_other_unit_is_read(tmp_path):
    given = {"partial": True, "units": ("m/s", "K")}
    readings = read(tmp_path / "frame.csv", "sensor,v,noise\n0,300,2\n", **given)
    assert readings.noise[0, 1] == 2
    with pytest.raises(
        SparseVQError, match=r"line 1: 'noise' has several units: give the noise of each channel: noise_u, noise_v"
    ):
        read(tmp_path / "frame.csv", "sensor,u,v,noise\n0,1,300,2\n", **given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sensor,noise\n0,1\n", "line 1: no column has what the sensors read.*u, v"),
        ("sensor\n0\n", "line 1: no column has what the sensors read"),
        ("sensor,u,v\n0,,nan\n1,-,NA\n", "no sensor has a value: give at least one reading"),
        (
            "sensor,u,w\n0,1,2\n",
            "line 1: unknown column 'w': known are y, x, u, v, sensor.*; leave it out if it is none",
        ),
        ("sensor,u,noise_v\n0,1,1\n", "line 1: column noise_v, but no column v"),
        ("sensor,u,v,noise,noise_u\n0,1,1,1,1\n", "line 1: both 'noise' and noise_u"),
        ("sensor,u,noise\n0,1,-1\n", "line 2: column noise holds -1: write a standard deviation"),
        ("sensor,u,noise_u\n0,1,high\n", "line 2: column noise_u holds 'high', which is no number"),
    ],
)
def test_faults_of_partial_and_noisy_readings(tmp_path, text, message):
    with pytest.raises(SparseVQError, match=message):
        read(tmp_path / "frame.csv", text, partial=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("sensor,u,v\n", "no line below its header"),
        ("sensor,u,v,noize\n0,1,1,1\n", "line 1: unknown column 'noize': if it is noise, call it so"),
        ("sensor,u\n0,1\n", "line 1: column v missing"),
        ("u,v\n0,1\n", "line 1: no column tells where the sensors are: .*y, x, or a column sensor"),
        ("x,u,v\n0,1,1\n", "line 1: column y missing"),
        ("sensor,x,u,v\n0,0,1,1\n", "line 1: column y missing"),
        ("sensor,u,v\n0,1,1\n2,high,1\n", "line 3: column u holds 'high', which is no number"),
        ("sensor,u,v\n0,1,\n2,2,NaN\n", "no sensor has a value"),
        ("sensor,u,v\n,1,1\n", "line 2: column sensor holds ''"),
        ("sensor,u,v\n3,1,1\n", r"line 2: column sensor: there is no sensor 3: use 0 \.\.\. 2"),
        ("sensor,u,v\n-1,1,1\n", "line 2: column sensor: there is no sensor -1"),
        ("sensor,u,v\n0.5,1,1\n", "line 2: column sensor: there is no sensor 0.5"),
        ("sensor,u,v\n0,1,1\n2,1,1\n0,1,1\n", "line 4: column sensor: 0 is on line 2 already"),
        ("y,x,u,v\n0,0,1,1\n0,0,2,2\n", "line 3: the place y=0, x=0 is on line 2 already"),
        ("y,x,u,v\n1.5,0,1,1\n", r"line 2: y=1.5 is outside the domain 0 \.\.\. 1"),
        ("y,x,u,v\n0.5,0.5,1,1\n", "line 2: y=0.5, x=0.5 is inside an obstacle"),
        ("sensor,u,v\n0,1,1,1\n", "line 2: 4 cells, but the header has 3"),
    ],
)
def test_faults_name_line_and_column(tmp_path, text, message):
    path = tmp_path / "frame.csv"
    flow = travelling_waves()
    with pytest.raises(SparseVQError, match=message) as caught:
        read(path, text, in_obstacle=obstacle_test(flow))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sensor_numbers_without_sensors_are_an_error(tmp_path):
    with pytest.raises(SparseVQError, match="give the columns y, x instead"):
        read(tmp_path / "frame.csv", "sensor,u,v\n0,1,1\n", sensors=None)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00s", b'sensor,u,v\n0,"1\x00,2'])
def test_a_file_that_is_no_text_is_an_error(tmp_path, content):
    (tmp_path / "frame.csv").write_bytes(content)
    with pytest.raises(SparseVQError):
        read_history(tmp_path / "frame.csv", Form(AXES, CHANNELS, UNITS, False, SENSORS), np.arange(3.0))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SparseVQError, match=r"cannot read .*frame\.csv"):
        read_history(tmp_path / "frame.csv", Form(AXES, CHANNELS, UNITS, False), np.arange(3.0))


def test_only_points_that_no_trajectory_flows_through_are_inside_an_obstacle():
    flow = travelling_waves(trajectories=4, grid=(3, 3), obstacle=False)
    mask = flow.mask.copy()
    mask[:2, 1, 1] = False
    mask[2:, 1, 1] = True  # held out: nobody knows
    mask[0, 0, 0] = False  # the second trajectory's obstacle is elsewhere
    axes = {"y": np.array([0.0, 1.0, 2.0]), "x": np.array([0.0, 100.0, 200.0])}
    in_obstacle = obstacle_test(replace(flow, axes=axes, mask=mask, periodic=()))
    assert in_obstacle(np.array([1.4, 60.0]))
    assert not in_obstacle(np.array([0.0, 0.0]))
    assert not in_obstacle(np.array([1.0, 40.0]))
