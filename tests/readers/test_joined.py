"""Several files, windows, strides and time blocks: the right frames, in the right order, for the right split."""

import numpy as np
import pytest
import xarray as xr

from sparsevq.data.source import every
from sparsevq.data.units import same_unit
from sparsevq.errors import SparseVQError
from tests.user_files import all_of, opened, values


def run_file(path, frames=6, start=0.0, since="2000-01-01", seed=0, units="m/s", **about):
    """A NetCDF file of one trajectory, hourly."""
    data = xr.Dataset(
        {"u": (("time", "x"), values(frames, 5, seed=seed), {"units": units})},
        coords={
            "time": ("time", start + np.arange(frames, dtype=np.float64), {"units": f"hours since {since}"}),
            "x": ("x", np.linspace(0, 1, 5), {"units": "m"}),
        },
    ).assign(about)
    data.to_netcdf(path)
    return data.u.values


def test_a_trajectory_a_file_whatever_the_dates(tmp_path):
    fields = [run_file(tmp_path / f"{n}.nc", start=24.0 * n, seed=n) for n in range(3)]
    source = opened(tmp_path / "*.nc")
    assert source.trajectories == 3 and source.label == "mine"
    np.testing.assert_array_equal(all_of(source)[..., 0], fields)
    np.testing.assert_array_equal(source.time, np.arange(6))
    assert source.parameters["start"].tolist() == [f"2000-01-0{day}T00:00:00" for day in (1, 2, 3)]
    assert [path.name for path in source.files] == ["0.nc", "1.nc", "2.nc"]


def test_a_folder_stands_for_its_files_in_order(tmp_path):
    fields = [run_file(tmp_path / f"{n}.nc", seed=n) for n in (2, 0, 1)]
    (tmp_path / "notes.txt").write_text("not data")
    np.testing.assert_array_equal(all_of(opened(tmp_path))[..., 0], [fields[1], fields[2], fields[0]])


@pytest.mark.parametrize("block", [1, 4, 15])
def test_one_after_the_other_in_time_though_each_counts_from_another_date(tmp_path, block):
    first = run_file(tmp_path / "0.nc")
    second = run_file(tmp_path / "1.nc", frames=9, start=-18.0, since="2000-01-02", seed=1)
    source = opened(tmp_path / "*.nc", join="time")
    np.testing.assert_array_equal(source.time, np.arange(15))
    np.testing.assert_array_equal(all_of(source, block)[0, ..., 0], np.concatenate([first, second]))
    assert source.parameters["start"].tolist() == ["2000-01-01T00:00:00"]


def test_files_that_are_a_frame_each(tmp_path):
    frames = values(7, 4, 5)
    for number, frame in enumerate(frames):
        np.save(tmp_path / f"frame_{number}.npy", frame)
    paths = [str(tmp_path / f"frame_{number}.npy") for number in range(7)]
    source = opened(paths, dimensions=("y", "x"), join="time", time=(10.0, 0.5), channels=("p",))
    np.testing.assert_array_equal(all_of(source, 3)[0, ..., 0], frames)
    np.testing.assert_array_equal(source.time, 10 + 0.5 * np.arange(7))
    assert source.channels == ("p",)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 4])
def test_window_and_stride(tmp_path, monkeypatch, stride, block):
    monkeypatch.setattr("sparsevq.data.source.AT_ONCE", 4 * 5 * 5)  # few frames at a time
    field = run_file(tmp_path / "a.nc", frames=30)
    source = opened(tmp_path / "a.nc", window=(5, 24.0), stride=stride)
    np.testing.assert_array_equal(all_of(source, block)[0, ..., 0], field[5:25:stride])
    np.testing.assert_array_equal(source.time, np.arange(5, 25, stride) - 5)
    assert source.parameters["start"].tolist() == ["2000-01-01T05:00:00"]


def test_a_stride_never_holds_the_frames_between(tmp_path, monkeypatch):
    np.save(tmp_path / "u.npy", values(100, 5))
    monkeypatch.setattr("sparsevq.data.source.AT_ONCE", 4 * 5 * 20)
    whole = opened(tmp_path / "u.npy", dimensions=("time", "x"))
    asked = []
    read = whole.read
    object.__setattr__(
        whole, "read", lambda number, start, stop: asked.append(stop - start) or read(number, start, stop)
    )
    thin = every(whole, 10)
    np.testing.assert_array_equal(thin.read(0, 1, 9), read(0, 10, 90)[::10])
    assert max(asked) <= 20


@pytest.mark.parametrize(("frames", "gap", "first"), [(40, 0, 0), (43, 0, 3), (48, 3, 2), (46, 3, 0)])
def test_time_blocks_are_in_order_and_the_test_is_the_future(tmp_path, frames, gap, first):
    field = run_file(tmp_path / "a.nc", frames=frames, start=12.0)
    source = opened(tmp_path / "a.nc", split="time", block=5, gap=gap, validation=2, test=1)
    training = (frames - 2 * gap) // 5 - 3
    assert source.split.tolist() == ["train"] * training + ["val"] * 2 + ["test"]
    read = all_of(source)[..., 0]
    begin = [first + 5 * n for n in range(training)]
    begin += [begin[-1] + 5 + gap, begin[-1] + 10 + gap]
    begin += [begin[-1] + 5 + gap]
    assert begin[-1] + 5 == frames
    np.testing.assert_array_equal(read, [field[at : at + 5] for at in begin])
    np.testing.assert_array_equal(source.time, np.arange(5))
    hours = [int(text[8:10]) * 24 - 24 + int(text[11:13]) for text in source.parameters["start"].tolist()]
    assert hours == [12 + at for at in begin]


def test_time_blocks_of_plain_times_say_when_they_start(tmp_path):
    np.save(tmp_path / "u.npy", values(20, 5))
    source = opened(
        tmp_path / "u.npy", dimensions=("time", "x"), time=(1.0, 0.5), units={"time": "s"},
        split="time", block=5, validation=1, test=1,
    )  # fmt: skip
    assert source.parameters["start"].tolist() == [1, 3.5, 6, 8.5]
    assert source.parameter_units["start"] == "s" and source.time[0] == 0


def test_too_few_frames_for_the_blocks(tmp_path):
    run_file(tmp_path / "a.nc", frames=20)
    with pytest.raises(SparseVQError, match=r"20 frames are too few .*validation=2, test=1 .*block=5 .*at least 26"):
        opened(tmp_path / "a.nc", split="time", block=5, gap=3, validation=2, test=1)


def _other(**changes):
    return lambda path: run_file(path, **changes)


def _renamed(path, **names):
    run_file(path)
    with xr.open_dataset(path, decode_times=False) as data:
        changed = data.load().rename(names)
    changed.to_netcdf(path)


def _moved(path):
    run_file(path)
    with xr.open_dataset(path, decode_times=False) as data:
        changed = data.load()
    changed["x"] = ("x", np.array([0, 0.25, 0.5, 0.8, 1]), {"units": "m"})
    changed.to_netcdf(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_other(units="cm/s"), "b.nc and .*a.nc do not go together: u in cm/s and m/s"),
        (_other(frames=7), "b.nc and .*a.nc do not go together: frames 7 and 6"),
        (lambda path: _renamed(path, u="v"), "channels v and u"),
        (lambda path: _renamed(path, x="y"), "axes y and x"),
        (_moved, "point 3 of x at 0.8 and 0.75"),
    ],
)
def test_the_odd_file_is_named_with_both_values(tmp_path, write, message):
    run_file(tmp_path / "a.nc")
    write(tmp_path / "b.nc")
    with pytest.raises(SparseVQError, match=message):
        opened(tmp_path / "*.nc")


def test_files_that_overlap_in_time(tmp_path):
    run_file(tmp_path / "a.nc")
    run_file(tmp_path / "b.nc", start=5.0)
    with pytest.raises(
        SparseVQError, match=r"b.nc does not follow .*a.nc in time: it starts at 2000-01-01T05.*ends at 2000-01-01T05"
    ):
        opened(tmp_path / "*.nc", join="time")


# ------------------------------------------------------------------------------------------------ order, repeats


def test_files_with_times_are_in_the_order_of_their_times(tmp_path, capsys):
    fields = {name: run_file(tmp_path / f"{name}.nc", start=start, seed=int(start)) for name, start in
              (("run_b", 6.0), ("run_a", 12.0), ("start", 0.0))}  # fmt: skip
    source = opened(tmp_path / "*.nc", join="time")
    np.testing.assert_array_equal(source.time, np.arange(18))
    np.testing.assert_array_equal(
        all_of(source, 5)[0, ..., 0], np.concatenate([fields[name] for name in ("start", "run_b", "run_a")])
    )
    assert source.parameters["start"].tolist() == ["2000-01-01T00:00:00"]
    assert "in the order of their times" in capsys.readouterr().out


@pytest.mark.parametrize("repeated", [1, 3])
def test_a_restart_that_repeats_the_last_frames(tmp_path, capsys, repeated):
    whole = values(15, 5)
    for name, start, stop in (("a", 0, 8), ("b", 8 - repeated, 15)):
        run_file(
            tmp_path / f"{name}.nc",
            frames=stop - start,
            start=float(start),
            u=(["time", "x"], whole[start:stop], {"units": "m/s"}),
        )
    source = opened(tmp_path / "*.nc", join="time")
    np.testing.assert_array_equal(source.time, np.arange(15))
    np.testing.assert_array_equal(all_of(source, 4)[0, ..., 0], whole)
    assert f"b.nc begins with the last {repeated} of " in capsys.readouterr().out


def test_snapshots_join_in_the_order_of_their_numbers(tmp_path, capsys):
    frames = values(12, 4, 5)
    for number, frame in enumerate(frames):
        np.save(tmp_path / f"frame_{number + 1}.npy", frame)
    for block in (1, 5, 12):
        source = opened(tmp_path / "frame_*.npy", dimensions=("y", "x"), join="time")
        np.testing.assert_array_equal(all_of(source, block)[0, ..., 0], frames)
    assert source.channels == ("frame",)
    printed = capsys.readouterr().out
    assert "frames are in the order of the files: frame_1.npy, frame_2.npy, ..., frame_12.npy" in printed
    assert "is followed by" not in printed


def test_a_number_that_is_missing_is_said(tmp_path, capsys):
    for number in (0, 20, 40, 80, 100):
        np.save(tmp_path / f"u_{number:05d}.npy", values(5, seed=number))
    opened(tmp_path / "*.npy", dimensions=("x",), join="time")
    assert "u_00040.npy is followed by u_00080.npy, other numbers are 20 apart" in capsys.readouterr().out
    opened(tmp_path / "*.npy", dimensions=("x",), join="time", time=(0.0, 1.0))
    assert "is followed by" not in capsys.readouterr().out


def test_folders_of_runs_are_trajectories(tmp_path):
    runs = values(11, 4, 5)
    for number, run in enumerate(runs):
        (tmp_path / f"run_{number}").mkdir()
        np.save(tmp_path / f"run_{number}" / "u.npy", run)
    source = opened(tmp_path / "run_*", dimensions=("time", "x"))
    np.testing.assert_array_equal(all_of(source)[..., 0], runs)
    assert source.channels == ("u",)
    np.testing.assert_array_equal(all_of(opened(tmp_path / "**" / "*.npy", dimensions=("time", "x")))[..., 0], runs)


# ------------------------------------------------------------------------------------------------ the same points


def on_longitudes(path, longitudes, fields, dtype="f8", units="degrees_east"):
    xr.Dataset(
        {"u": (("time", "lon"), fields, {"units": "m/s"})},
        coords={
            "time": ("time", np.arange(len(fields), dtype=np.float64), {"units": "s"}),
            "lon": ("lon", np.asarray(longitudes, dtype), {"units": units}),
        },
    ).to_netcdf(path)


@pytest.mark.parametrize("first", [0, -180, -90, 180])
def test_longitudes_from_another_meridian_are_turned(tmp_path, capsys, first):
    fields = values(2, 4, 36)
    on_longitudes(tmp_path / "a.nc", np.arange(0, 360, 10), fields[0])
    on_longitudes(tmp_path / "b.nc", np.arange(first, first + 360, 10), np.roll(fields[1], -first // 10, axis=1))
    source = opened(tmp_path / "*.nc")
    np.testing.assert_array_equal(all_of(source)[..., 0], fields)
    np.testing.assert_array_equal(source.axes["lon"], np.arange(0, 360, 10))
    printed = capsys.readouterr().out
    assert ("they are turned to fit" in printed) == (first != 0)


def test_a_region_by_longitudes_west_and_east(tmp_path):
    fields = values(2, 4, 6)
    on_longitudes(tmp_path / "a.nc", np.arange(-60, -30, 5), fields[0])
    on_longitudes(tmp_path / "b.nc", np.arange(300, 330, 5), fields[1])
    np.testing.assert_array_equal(all_of(opened(tmp_path / "*.nc"))[..., 0], fields)
    on_longitudes(tmp_path / "c.nc", np.arange(305, 335, 5), fields[1])
    with pytest.raises(SparseVQError, match=r"point 0 of lon at 305 and -60: convert or interpolate"):
        opened([str(tmp_path / "a.nc"), str(tmp_path / "c.nc")])


@pytest.mark.parametrize(
    ("at", "as_stored"),
    [
        (np.arange(0, 3.6, 0.01) + 356, lambda at: at.astype("f4")),
        (np.linspace(0, 1, 7), lambda at: np.round(at, 2)),
        (np.linspace(-1, 1, 13), lambda at: np.floor(at * 1000) / 1000),
        (np.linspace(0, 1, 7).astype("f4"), lambda at: np.linspace(0, 1, 7)),
        (5e6 + 10.0 * np.arange(20), lambda at: at.astype("f4")),
        (np.geomspace(1e-3, 10, 30), lambda at: at.astype("f4")),
    ],
    ids=["single", "two decimals", "cut off", "double", "metres", "stretched"],
)
@pytest.mark.parametrize("turn", [False, True])
def test_coordinates_are_the_same_within_their_precision(tmp_path, at, as_stored, turn):
    pair = (as_stored(at), at) if turn else (at, as_stored(at))
    for name, longitudes in zip("ab", pair, strict=True):
        on_longitudes(tmp_path / f"{name}.nc", longitudes, values(3, len(at), seed=ord(name)), longitudes.dtype, "m")
    source = opened(tmp_path / "*.nc")
    np.testing.assert_array_equal(source.axes["lon"], pair[0])


@pytest.mark.parametrize("at", [np.arange(8.0), np.geomspace(0.01, 10, 8)], ids=["even", "stretched"])
@pytest.mark.parametrize("point", [0, 3, 7])
def test_a_point_a_tenth_of_a_cell_off_is_another(tmp_path, at, point):
    moved = at.copy()
    moved[point] += 0.1 * min(np.diff(at)[max(point - 1, 0)], np.diff(at)[min(point, 6)])
    on_longitudes(tmp_path / "a.nc", at, values(3, 8), units="m")
    on_longitudes(tmp_path / "b.nc", moved, values(3, 8, seed=1), units="m")
    with pytest.raises(SparseVQError, match=f"point {point} of lon at"):
        opened(tmp_path / "*.nc")


SPELLINGS = [
    ["m s-1", "m/s", "m s^-1", "m s**-1", "m*s-1", "m.s-1", "m·s⁻¹", "m s−1", "meters per second", "ms-1"],
    ["kg m-3", "kg/m3", "kg/m^3", "kg m**-3", "kg/m³", "kilogram meter-3", "kg m^{-3}"],
    ["K", "kelvin", "Kelvin", "degK"],
    ["degC", "Celsius", "°C", "deg C", "degrees_Celsius", "celsius"],
    ["1", "", "-", "dimensionless", "none", "kg/kg", "kg kg-1"],
    ["W m-2", "W/m2", "W/m^2", "W m**-2", "watt/m2"],
    ["kg m-2 s-1", "kg/m2/s", "kg/m^2/s"],
    ["hPa", "mbar", "millibar"],
    ["mm/day", "mm d-1"],
    ["cm", "centimeters"], ["m"], ["s"], ["m2 s-2"], ["m s"], ["MPa"], ["mPa"], ["g kg-1"], ["%", "percent"],
]  # fmt: skip


def test_units_are_the_same_however_they_are_spelled():
    for number, same in enumerate(SPELLINGS):
        for unit in same:
            assert same_unit(unit, same[0]), (unit, same[0])
            for others in SPELLINGS[number + 1 :]:
                assert not any(same_unit(unit, other) for other in others), (unit, others)


def test_files_whose_units_are_spelled_differently(tmp_path):
    run_file(tmp_path / "a.nc", units="m s-1")
    run_file(tmp_path / "b.nc", units="m/s", seed=1)
    assert opened(tmp_path / "*.nc").units == ("m s-1",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"window": (100, 200)},
            r"no frame of .*a.nc is between 2000-01-05T04:00:00 and .*it has 2000-01-01T00:00:00 to",
        ),
        ({"window": ("2000-01-01", "soon")}, "'soon' is not a date"),
        ({"stride": 6}, "a stride of 6 leaves 1 of 6"),
        ({"window": (0, 0)}, "1 frame is not enough"),
        ({"units": {"v": "m"}}, "units: v is not in .*there are time, u, x"),
        ({"periodic": ("y",)}, "periodic: y is not in .*there are x"),
        ({"vector": {"u": "y"}}, "u points along y, which is not an axis: the axes are x"),
        ({"coordinates": {"y": (0, 1)}}, "coordinates: y is not an axis: the axes are x"),
        ({"coordinates": {"x": "longitude"}}, r"coordinates.x: there is no longitude: it holds u \(time 6, x 5\)"),
        ({"time": "t"}, "time: there is no t: it holds"),
        ({"dimensions": ("time",)}, "no array has time and space"),
        ({"arrays": ("u",), "dimensions": ("time",)}, r"u has 2 dimensions \(6, 5\), but `dimensions` names 1"),
    ],
)
def test_what_the_configuration_says_must_hold(tmp_path, settings, message):
    run_file(tmp_path / "a.nc")
    with pytest.raises(SparseVQError, match=message):
        opened(tmp_path / "a.nc", **settings)
