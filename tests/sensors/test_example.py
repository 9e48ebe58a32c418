"""The readings that a run leaves to try its forecasts with are what the sensors see, as a user would write them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sparsevq.config import SensorsConfig
from sparsevq.errors import SparseVQError
from sparsevq.sensors.example import example_readings, write_example
from sparsevq.sensors.form import Form
from sparsevq.sensors.history import read_history
from sparsevq.sensors.placement import place_sensors
from sparsevq.sensors.readings import order_by_place
from tests.flows import travelling_waves


@pytest.fixture(scope="module")
def waves():
    return travelling_waves(trajectories=4, frames=6, grid=(8, 12))


@pytest.fixture(scope="module")
def sensors(waves):
    return place_sensors(waves, SensorsConfig(num_semi_sparse=4), 5, seed=1)


def written(path, data, sensors, frame=4, observed=3):
    """The file as read again, without a note."""
    write_example(path, data, sensors, 3, frame, observed, "the last one")
    said = []
    form = replace(Form.of(data, sensors.coordinates, partial=True), say=said.append)
    history = read_history(path, form, data.time)
    assert not said
    return history


def test_what_is_written_is_read_again_as_what_the_sensors_saw(waves, sensors, tmp_path):
    history = written(tmp_path / "example.csv", waves, sensors)
    assert history.offsets == (-2, -1, 0)
    order = order_by_place(sensors.coordinates[: len(sensors.sparse)])
    seen = waves.flat_fields[3][:, sensors.sparse[order]]  # (frame, sensor, channel)
    for offset, frame in zip(history.offsets, history.frames, strict=True):
        np.testing.assert_array_equal(frame.values.astype(np.float32), seen[4 + offset])
        np.testing.assert_array_equal(frame.places, sensors.coordinates[: len(sensors.sparse)][order])


def test_columns_have_units_and_the_file_beside_says_which_frames_they_are(waves, sensors, tmp_path):
    written(tmp_path / "example.csv", waves, sensors)
    table = pd.read_csv(tmp_path / "example.csv")
    assert list(table) == ["frame", "sensor", "y [m]", "x [m]", "u [m/s]", "v [m/s]"]
    about = json.loads((tmp_path / "example.json").read_text())
    told = {name: about[name] for name in ("split", "trajectory", "frame", "observed_frames", "frames_after")}
    assert told == {"split": "test", "trajectory": 3, "frame": 4, "observed_frames": 3, "frames_after": 1}
    assert about["parameters"] == {name: values[3] for name, values in waves.parameters.items()}


def test_one_frame_needs_no_number_and_none_before_the_first_is_made_up(waves, sensors, tmp_path):
    assert "frame" not in example_readings(waves, sensors, 3, 4, 1)
    assert written(tmp_path / "example.csv", waves, sensors, frame=1, observed=3).offsets == (-1, 0)


def test_frames_of_dated_data_have_dates(waves, sensors, tmp_path):
    start = {"start": np.array(["2020-02-28T23:59:59"] * 4)}
    dated = replace(waves, parameters={**waves.parameters, **start}, calendar="standard")
    history = written(tmp_path / "example.csv", dated, sensors)
    assert (history.offsets, history.date) == ((-2, -1, 0), "2020-02-29T00:00:01")
    assert json.loads((tmp_path / "example.json").read_text())["date"] == "2020-02-29T00:00:01"


def test_a_cell_is_empty_where_a_sensor_does_not_read_a_channel(waves, sensors, tmp_path):
    channels = sensors.channels.copy()
    channels[1, 0] = False
    table = example_readings(waves, replace(sensors, channels=channels), 3, 4, 1)
    assert table["u [m/s]"].isna().tolist() == [False, True, False, False, False]
    assert table["v [m/s]"].notna().all()


def test_a_frame_that_there_is_not_is_refused(waves, sensors, tmp_path):
    with pytest.raises(SparseVQError, match="no frame 6 of trajectory 3"):
        write_example(tmp_path / "example.csv", waves, sensors, 3, 6, 1, "")
    assert not any(tmp_path.iterdir())
