"""A user's readings of several frames: which frame each line is of, and what is refused."""

import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.sensors.form import Form
from sparsevq.sensors.history import History, read_history
from sparsevq.sensors.readings import Readings

AXES, CHANNELS, UNITS = ("y", "x"), ("u", "v"), ("m/s", "m/s")
SENSORS = np.array([[0.0, 0.25], [0.5, 0.0], [1.0, 0.75]])
TIMES = 3 + 0.2 * np.arange(50)


def read(folder, text, **given):
    path = folder / "frames.csv"
    path.write_text(text)
    known = {"units": UNITS, "partial": False, "sensors": SENSORS} | given
    times = known.pop("times", TIMES)
    return read_history(path, Form(AXES, CHANNELS, **known), times)


def u_of(history):
    """Offset -> what is read of u, by place: sensors 1, 0, 2."""
    return {offset: frame.values[:, 0].tolist() for offset, frame in zip(history.offsets, history.frames, strict=True)}


def history(*offsets):
    return History(offsets, tuple(Readings(*(np.full((1, n), float(o)) for n in (2, 1, 1))) for o in offsets))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sensor,u,v\n2,1,0\n0,2,0\n", {0: [2, 1]}),
        ("sensor,frame,u,v\n2,7,1,0\n0,7,2,0\n", {0: [2, 1]}),
        ("sensor,frame,u,v\n0,-4,1,0\n0,-5,2,0\n1,-4,3,0\n1,-5,4,0\n", {-1: [4, 2], 0: [3, 1]}),
        ("sensor,frame,u,v\n0,12,1,0\n0,7.0,2,0\n2,7,3,0\n", {-5: [2, 3], 0: [1]}),
        ("frame,x,y,v,u\n1,0,0.5,0,9\n0,0.25,0,0,8\n", {-1: [8], 0: [9]}),
        ("sensor,time,u,v\n0,3.2,1,0\n0,3.6,2,0\n0,3.4,3,0\n", {-2: [1], -1: [3], 0: [2]}),
        ("sensor,time,u,v\n0,-1.9999,1,0\n1,-2.0001,2,0\n0,0,3,0\n", {-10: [2, 1], 0: [3]}),
        ("sensor,time,u,v\n0,1000000.7,1,0\n0,1000000.1,3,0\n", {-3: [3], 0: [1]}),
    ],
)
def test_lines_are_sorted_into_frames(tmp_path, text, expected):
    assert u_of(read(tmp_path, text)) == expected


def test_cells_may_be_empty_and_values_noisy_in_some_frames(tmp_path):
    text = "sensor,frame,u,v,noise\n0,0,1,,0.5\n0,1,,2,\n1,1,3,4,\n"
    earlier, last = read(tmp_path, text, partial=True).frames
    np.testing.assert_array_equal(earlier.values, [[1, np.nan]])
    np.testing.assert_array_equal(earlier.noise, [[0.5, 0.5]])
    np.testing.assert_array_equal(last.values, [[3, 4], [np.nan, 2]])
    np.testing.assert_array_equal(last.noise, [[0, 0], [0, 0]])


@pytest.mark.parametrize("exact", [TIMES[:40], 100 + 0.02 * np.arange(1000)])
def test_times_of_single_precision_name_their_own_frames(tmp_path, exact):
    """Even if they are large against a step (a past bug: such times counted as uneven)."""
    times = exact.astype(np.float32).astype(float)
    text = "sensor,time,u,v\n" + "".join(f"0,{time},{frame},0\n" for frame, time in enumerate(times))
    assert read(tmp_path, text, times=times).offsets == tuple(range(1 - len(times), 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sensor,frame,time,u,v\n0,1,1,1,1\n", "line 1: both 'frame' and 'time' tell .*: keep one of the two"),
        ("sensor,Tim,u,v\n0,1,1,1\n", "line 1: unknown column 'Tim': if it is time, call it so"),
        ("sensor,frame,u,v\n0,1,1,1\n0,second,1,1\n", "line 3: column frame holds 'second', which is no number"),
        ("sensor,frame,u,v\n0,,1,1\n", "line 2: column frame holds ''"),
        ("sensor,frame,u,v\n0,1.5,1,1\n", "line 2: column frame holds '1.5', which is no integer"),
        ("sensor,frame,u,v\n0,inf,1,1\n", "line 2: column frame holds 'inf'"),
        ("sensor,time,u,v\n0,noon,1,1\n", "line 2: column time holds 'noon', which is no number"),
        (
            "sensor,time,u,v\n0,5,1,1\n0,4.7,1,1\n",
            r"line 3: column time holds 4.7, 1.5 steps of 0.2 before .*: give times of frames, or number them",
        ),
        ("sensor,time,u,v\n0,5,1,1\n0,4.7994,1,1\n", "line 3: column time holds 4.7994"),
        ("sensor,frame,u,v\n0,1,1,1\n0,2,1,1\n0,1,1,1\n", "line 4: column sensor: 0 is on line 2 already for frame 1"),
        (
            "y,x,time,u,v\n0,0,1,1,1\n0,0,1.0001,1,1\n",
            "line 3: the place y=0, x=0 is on line 2 already for time 1.0001",
        ),
        ("sensor,frame,u,v\n0,1,1,1\n3,2,1,1\n", "line 3: column sensor: there is no sensor 3"),
        ("sensor,frame,u,v\n0,1,1,1\n0,2,1,\n", "the last frame has no reading: leave its lines out"),
        ("frame,u,v\n0,1,1\n", "line 1: no column tells where the sensors are"),
    ],
)
def test_faults_name_line_and_column(tmp_path, text, message):
    with pytest.raises(SparseVQError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "frames.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("times", [[0.0], [0.0, 1.0, 2.01], [0.0, 1.0, 3.0]])
def test_times_need_frames_that_are_evenly_spaced(tmp_path, times):
    with pytest.raises(SparseVQError, match=r"line 1: column 'time', .*: number the frames in a column frame"):
        read(tmp_path, "sensor,time,u,v\n0,1,1,1\n0,2,1,1\n", times=np.array(times))
    for clock in ("time", "frame"):
        assert read(tmp_path, f"sensor,{clock},u,v\n0,1,1,1\n", times=np.array(times)).offsets == (0,)


@pytest.mark.parametrize(("span", "offsets"), [(1, (0,)), (3, (0,)), (4, (-3, 0)), (99, (-7, -3, 0))])
def test_the_latest_frames(span, offsets):
    assert history(-7, -3, 0).latest(span).offsets == offsets


@pytest.mark.parametrize(
    ("later", "steps", "offsets"),
    [((0,), 1, (-4, -1, 0)), ((0,), 5, (-8, -5, 0)), ((-1, 0), 2, (-5, -2, -1, 0)), ((-4, 0), 2, (-5, -4, -2, 0))],
)
def test_later_frames_are_appended(later, steps, offsets):
    earlier = history(-3, 0)
    both = earlier.appended(history(*later), steps)
    assert both.offsets == offsets
    found = {offset: float(frame.values[0, 0]) for offset, frame in zip(both.offsets, both.frames, strict=True)}
    assert found == {-3 - steps: -3, -steps: 0} | {offset: offset for offset in later}


@pytest.mark.parametrize(
    ("later", "steps", "message"),
    [
        ((-2, 0), 2, "have the frame 2 before the last one: give each frame once"),
        ((0,), 0, "not later"),
        ((0,), -1, "not later"),
    ],
)
def test_the_same_frame_or_an_earlier_one_is_not_appended(later, steps, message):
    with pytest.raises(SparseVQError, match=message):
        history(-3, 0).appended(history(*later), steps)


@pytest.mark.parametrize("offsets", [(), (-1,), (0, 0), (-1, -2, 0), (0, 1)])
def test_offsets_rise_to_zero(offsets):
    with pytest.raises(ValueError, match="offsets"):
        history(*offsets)


def test_the_same_in_frames_and_in_time(tmp_path):
    lines = [(3, 0, 1.0), (5, 1, 2.0), (6, 0, 3.0), (6, 2, 4.0)]
    frames = "".join(f"{frame},{sensor},{u},0\n" for frame, sensor, u in lines)
    times = "".join(f"{0.1 * frame},{sensor},{u},0\n" for frame, sensor, u in lines)  # 0.1 is no binary number
    by_frame = read(tmp_path, "frame,sensor,u,v\n" + frames)
    by_time = read(tmp_path, "time,sensor,u,v\n" + times, times=0.1 * np.arange(100))
    assert u_of(by_frame) == u_of(by_time) == {-3: [1], -1: [2], 0: [3, 4]}


def test_the_order_of_lines_does_not_matter(tmp_path):
    header, lines = "frame,sensor,u,v,noise", ["0,2,1,1,0.1", "0,0,2,1,", "1,1,3,1,", "1,2,4,1,0.2", "3,0,5,1,"]
    expected = read(tmp_path, "\n".join([header, *lines]))
    for seed in range(5):
        found = read(tmp_path, "\n".join([header, *np.random.default_rng(seed).permutation(lines)]))
        assert found.offsets == expected.offsets == (-3, -2, 0)
        for one, other in zip(found.frames, expected.frames, strict=True):
            for name, array in vars(one).items():
                np.testing.assert_array_equal(getattr(other, name), array)


def test_an_axis_or_a_channel_may_be_called_time(tmp_path):
    """Where time is a coordinate of the field, the column says where a sensor is, not when it read."""
    path = tmp_path / "readings.csv"
    path.write_text("time,x,u\n0.3,0.1,1\n0.7,0.1,2\n")
    of_axis = Form(("time", "x"), ("u",), ("m/s",), partial=False)
    assert u_of(read_history(path, of_axis, TIMES)) == {0: [1, 2]}
    path.write_text("y,x,time,frame\n0,0.1,1,4\n0,0.1,2,5\n")
    of_channel = Form(("y", "x"), ("time",), ("s",), partial=False)
    assert u_of(read_history(path, of_channel, TIMES)) == {-1: [1], 0: [2]}
