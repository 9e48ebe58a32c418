"""Times of files: every unit, calendar and type in which they are written is read as meant, or refused in one line."""

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from sparsevq.errors import SparseVQError
from tests.user_files import all_of, opened, values

FRAMES = 6
HOURS = np.arange(FRAMES, dtype=float)


def written(path, times, frames=FRAMES, **attributes):
    """A field with these times, `frames` long."""
    data = xr.Dataset(
        {"u": (("time", "y", "x"), values(frames, 3, 4), {"units": "m/s"})},
        {
            "time": ("time", times, attributes),
            "y": ("y", np.arange(3.0), {"units": "m"}),
            "x": ("x", np.arange(4.0), {"units": "m"}),
        },
    )
    data.to_netcdf(path)
    return path


def start(source):
    return source.parameters["start"].tolist() if "start" in source.parameters else None


@pytest.mark.parametrize(
    ("units", "calendar", "unit", "step", "begins"),
    [
        ("hours since 2001-01-01", None, "h", 1, "2001-01-01T00:00:00"),
        ("hour since 2001-1-1", None, "h", 1, "2001-01-01T00:00:00"),
        ("Hours Since 2001-01-01", None, "h", 1, "2001-01-01T00:00:00"),
        ("HOURS  since   2001-01-01 06", None, "h", 1, "2001-01-01T06:00:00"),
        ("H since 20010101", None, "h", 1, "2001-01-01T00:00:00"),
        ("hours since 20010101T0600", None, "h", 1, "2001-01-01T06:00:00"),
        ("days since 1-1-1 24:00:00", None, "d", 1, "0001-01-02T00:00:00"),
        ("hours since 2001-01-01 00:00:00 UTC", None, "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01T00:00:00Z", None, "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01T00:00:00+01:00", None, "h", 1, "2000-12-31T23:00:00"),
        ("hours since 2001-01-01 00:00 -6", None, "h", 1, "2001-01-01T06:00:00"),
        ("hours since 01-JAN-2001 00:00:00", None, "h", 1, "2001-01-01T00:00:00"),
        ("days since 1970-01-01 00:00:0.0", None, "d", 1, "1970-01-01T00:00:00"),
        ("days since 99999-01-01", None, "d", 1, "99999-01-01T00:00:00"),
        ("hours since -5000-01-01", None, "h", 1, "-5000-01-01T00:00:00"),
        ("seconds since 2001-01-01 00:00:00.123456789", None, "s", 1, "2001-01-01T00:00:00.123457"),
        ("fortnights since 2000-01-01", None, "d", 14, "2000-01-01T00:00:00"),
        ("weeks since 2000-01-01", None, "d", 7, "2000-01-01T00:00:00"),
        ("6 hours since 2000-01-01", None, "h", 6, "2000-01-01T00:00:00"),
        ("milliseconds since 2000-01-01", None, "ms", 1, "2000-01-01T00:00:00"),
        ("nanoseconds since 2000-01-01", None, "ns", 1, "2000-01-01T00:00:00"),
        ("months since 1955-01-01 00:00:00", None, "months", 1, "1955-01-01T00:00:00"),
        ("months since 1955-01-01", "360_day", "months", 1, "1955-01-01T00:00:00"),
        ("years since 1955-01-01", None, "years", 1, "1955-01-01T00:00:00"),
        ("common_years since 1955-01-01", "noleap", "d", 365, "1955-01-01T00:00:00"),
        ("days since 0000-01-01", "noleap", "d", 1, "0000-01-01T00:00:00"),
        ("days since 0000-01-01", "proleptic_gregorian", "d", 1, "0000-01-01T00:00:00"),
        ("days since 2001-02-30", "360_day", "d", 1, "2001-02-30T00:00:00"),
        ("hours since 2001-01-01", "Gregorian", "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01", "gregorian_proleptic", "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01", "NOLEAP", "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01", "365", "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01", "all_leap", "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01", "", "h", 1, "2001-01-01T00:00:00"),
        ("hours since 2001-01-01", "none", "h", 1, None),
        ("hours", None, "hours", 1, None),
        ("ms", None, "ms", 1, None),
    ],
)
def test_units_and_calendars_as_they_are_found(tmp_path, units, calendar, unit, step, begins):
    about = {"units": units} | ({} if calendar is None else {"calendar": calendar})
    source = opened(written(tmp_path / "a.nc", HOURS, **about))
    np.testing.assert_array_equal(source.time, step * HOURS)
    assert source.time_units == unit
    assert start(source) == (None if begins is None else [begins])
    assert bool(source.calendar) == (begins is not None)


@pytest.mark.parametrize(
    ("times", "about", "unit", "steps", "begins"),
    [
        (20010129.0 + np.r_[0, 1, 2, 72, 73, 74], {"units": "day as %Y%m%d.%f"}, "d", HOURS, "2001-01-29T00:00:00"),
        (20010101.5 + HOURS, {"units": "day as %Y%m%d.%f"}, "d", HOURS, "2001-01-01T12:00:00"),
        (20010101 + HOURS / 24, {"units": "day as %Y%m%d.%f"}, "h", HOURS, "2001-01-01T00:00:00"),
        (
            np.r_[200110:200113, 200201:200204] + 0.0,
            {"units": "month as %Y%m.%f"},
            "months",
            HOURS,
            "2001-10-01T00:00:00",
        ),
        (2001.5 + HOURS, {"units": "year as %Y.%f"}, "years", HOURS, "2001-07-02T12:00:00"),
        (np.r_[20010129:20010132, 20010201:20010204], {"units": "YYYYMMDD"}, "d", HOURS, "2001-01-29T00:00:00"),
        (np.r_[20010129:20010132, 20010201:20010204], {}, "d", HOURS, "2001-01-29T00:00:00"),
        (2001013100 + 6 * np.r_[0, 1, 2, 3], {"units": "yyyymmddhh"}, "h", 6 * HOURS[:4], "2001-01-31T00:00:00"),
        (2451545.0 + HOURS, {"units": "Julian Day"}, "d", HOURS, "2000-01-01T12:00:00"),
        (2451545.0 + HOURS, {"units": "days since -4713-01-01 12:00"}, "d", HOURS, "2000-01-01T12:00:00"),
        (2451545.0 + HOURS, {"units": "days since -4712-01-01 12:00"}, "d", HOURS, "2000-01-01T12:00:00"),
        (51544.0 + HOURS, {"units": "modified Julian day"}, "d", HOURS, "2000-01-01T00:00:00"),
        (730486.0 + HOURS, {"units": "datenum"}, "d", HOURS, "2000-01-01T00:00:00"),
        (HOURS + 0.5, {"units": "months since 2001-01-01"}, "months", HOURS, "2001-01-16T12:00:00"),
        (HOURS, {"units": "hours", "time_origin": "1950-JAN-01 06:00:00"}, "hours", HOURS, "1950-01-01T06:00:00"),
        (1e9 * 3600 * HOURS, {"units": "nanoseconds since 1970-01-01"}, "h", HOURS, "1970-01-01T00:00:00"),
        (
            (3600 * 10**9 * np.arange(6) + 10**18),
            {"units": "nanoseconds since 1970-01-01"},
            "h",
            HOURS,
            "2001-09-09T01:46:40",
        ),
        (
            738000 + HOURS / 24,
            {"units": "days since 1-1-1", "calendar": "proleptic_gregorian"},
            "d",
            HOURS / 24,
            "2021-07-30T00:00:00",
        ),
    ],
)
def test_numbers_that_are_dates(tmp_path, times, about, unit, steps, begins):
    source = opened(written(tmp_path / "a.nc", times, len(times), **about))
    np.testing.assert_allclose(source.time, steps, rtol=0, atol=1e-8)
    assert source.time_units in (unit, unit[:1])
    assert start(source) == [begins]


@pytest.mark.parametrize(
    "layout", ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d_%H:%M:%S", "%Y%m%d%H", "%Y/%m/%d %H:%M"]
)
@pytest.mark.parametrize("kind", ["S19", "O", "U19"])
def test_dates_as_text(tmp_path, layout, kind):
    dates = np.datetime64("2001-01-31T20", "s") + np.arange(FRAMES) * np.timedelta64(3, "h")
    texts = np.array([date.item().strftime(layout) for date in dates]).astype(kind)
    source = opened(written(tmp_path / "a.nc", texts))
    assert source.time.tolist() == (3 * HOURS).tolist() and source.time_units == "h"
    assert start(source) == ["2001-01-31T20:00:00"]


@pytest.mark.parametrize("fixed", [True, False])
def test_dates_as_text_in_hdf5(tmp_path, fixed):
    texts = [f"2001-01-0{1 + day} 06:00" for day in range(FRAMES)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = values(FRAMES, 3, 4)
        file.create_dataset("time", data=np.array(texts, "S16") if fixed else texts)
    source = opened(tmp_path / "a.h5", arrays=("u",), dimensions=("time", "y", "x"))
    assert source.time.tolist() == HOURS.tolist() and start(source) == ["2001-01-01T06:00:00"]


def test_each_file_is_a_frame_whose_date_is_text(tmp_path):
    for frame in range(3):
        data = xr.Dataset({"u": (("y", "x"), values(3, 4, seed=frame))}, {"y": range(3), "x": range(4)})
        data.assign_coords(time=((), f"2001-01-0{1 + frame}")).to_netcdf(tmp_path / f"{frame}.nc")
    source = opened(tmp_path / "*.nc", join="time")
    assert source.time.tolist() == [0, 1, 2] and start(source) == ["2001-01-01T00:00:00"]


def test_differences_of_numpy_are_plain_times(tmp_path):
    np.savez(tmp_path / "a.npz", u=values(FRAMES, 3, 4), time=np.arange(FRAMES) * np.timedelta64(90, "m"))
    source = opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "y", "x"))
    assert source.time.tolist() == (90 * HOURS).tolist() and source.time_units == "min" and start(source) is None


def test_years_before_present_count_back(tmp_path, capsys):
    source = opened(written(tmp_path / "a.nc", 21 - HOURS, units="kyr BP"))
    assert source.time.tolist() == (HOURS - 21).tolist()
    assert "counts back from the present" in capsys.readouterr().out


def test_what_is_not_plain_is_said(tmp_path, capsys):
    opened(written(tmp_path / "a.nc", 730486 + HOURS))
    assert "units: {time: datenum}" in capsys.readouterr().out
    opened(written(tmp_path / "b.nc", (1.7e9 + 600 * HOURS).astype("f4"), units="seconds since 1970-01-01"))
    assert "exact to 128 s only" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("times", "units", "window"),
    [
        (HOURS, "fortnights since 2001-01-01", (1, 3)),
        (
            10**18 + 3600 * 10**9 * np.arange(FRAMES),
            "nanoseconds since 1970-01-01",
            (10**18 + 3.6e12, 10**18 + 1.08e13),
        ),
        (20010101 + HOURS, "day as %Y%m%d.%f", (20010102, 20010104)),
        (20010101 + HOURS, "YYYYMMDD", ("2001-01-02", "2001-01-04")),
        (2001.5 + HOURS, "decimal year", (2002.5, 2004.5)),
        (HOURS, "hours", (1, 3)),
    ],
)
def test_numbers_of_a_window_are_in_the_files_unit(tmp_path, times, units, window):
    source = opened(written(tmp_path / "a.nc", times, units=units), window=window)
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], values(FRAMES, 3, 4)[1:4])


def test_dates_of_numpy(tmp_path):
    dates = np.datetime64("2001-02-27", "D") + np.arange(FRAMES)
    np.savez(tmp_path / "a.npz", u=values(FRAMES, 3, 4), time=dates.astype("datetime64[ns]"))
    source = opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "y", "x"))
    assert source.time.tolist() == HOURS.tolist() and source.time_units == "d"
    assert start(source) == ["2001-02-27T00:00:00"] and source.calendar == "standard"


@pytest.mark.parametrize(
    ("times", "about", "message"),
    [
        (HOURS, {"units": "hours since 0-0-0"}, "has no year 0.*: write `units: {time: hours since"),
        (HOURS, {"units": "days since 0000-01-01"}, "has no year 0.*datenum"),
        (HOURS, {"units": "days since 2001-02-30"}, "the calendar standard has no 2001-02-30: write"),
        (HOURS, {"units": "days since "}, "no date is there: write"),
        (HOURS, {"units": "days since yesterday"}, "no date such as"),
        (HOURS, {"units": "days since 01/02/2001"}, "no date such as"),
        (HOURS, {"units": "days since 2001-01-01 00:00 CEST"}, "no date such as"),
        (HOURS, {"units": "blinks since 2001-01-01"}, "'blinks' is no unit of time: known are"),
        (
            HOURS,
            {"units": "hours since 2001-01-01", "calendar": "foo"},
            "calendar 'foo'.*known are standard, proleptic",
        ),
        (20010101 + HOURS, {"units": "days since 2001-01-01"}, "look like dates: write `units: {time: YYYYMMDD}`"),
        (20010140 + HOURS, {"units": "day as %Y%m%d.%f"}, "frame 0, 20010140, is no date"),
        ((20010101 + HOURS).astype("f4"), {"units": "day as %Y%m%d.%f"}, "single precision"),
        (100 + HOURS, {"units": "Julian Day"}, "no Julian day numbers"),
        (np.array(list("abcdef")), {}, "frame 0, 'a', is not a time"),
    ],
)
def test_what_is_no_time_is_one_line(tmp_path, times, about, message):
    path = written(tmp_path / "a.nc", times, **about)
    with pytest.raises(SparseVQError, match=message) as raised:
        opened(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "units", ["hours since 0-0-0", "days since 2001-02-30", "blinks since 2001-01-01", "days since "]
)
def test_the_users_units_go_before_those_of_the_file(tmp_path, units):
    path = written(tmp_path / "a.nc", HOURS, units=units, calendar="foo" if "blinks" in units else "standard")
    elapsed = opened(path, units={"time": "h"})
    assert elapsed.time_units == "h" and start(elapsed) is None
    if "blinks" not in units:
        assert start(opened(path, units={"time": "hours since 2001-03-02"})) == ["2001-03-02T00:00:00"]


def test_first_and_step_may_be_dated(tmp_path):
    source = opened(written(tmp_path / "a.nc", HOURS), time=(12.0, 6.0), units={"time": "hours since 2001-01-01"})
    assert source.time.tolist() == (6 * HOURS).tolist() and source.time_units == "h"
    assert start(source) == ["2001-01-01T12:00:00"]


# ------------------------------------------------------------------------------------------------ faulty times


@pytest.mark.parametrize("units", ["hours since 2001-01-01", "h"])
@pytest.mark.parametrize(
    ("frame", "value"), [(-1, np.nan), (-1, 1e30), (0, -1e30), (-1, 9.969209968386869e36), (-1, np.inf)]
)
def test_a_time_that_was_never_written_is_named_with_the_window_that_leaves_it_out(tmp_path, units, frame, value):
    times = HOURS + 3
    times[frame] = value
    path = written(tmp_path / "a.nc", times, units=units)
    good = (0, 4) if frame else (1, 5)
    with pytest.raises(SparseVQError, match=f"the time of frame {frame % FRAMES} is") as raised:
        opened(path)
    first, last = (f"2001-01-01T{3 + at:02}:00:00" if "since" in units else f"{3 + at}" for at in good)
    assert f"`window: [{first}, {last}]`" in str(raised.value)
    window = (first, last) if "since" in units else (float(first), float(last))
    source = opened(path, window=window)
    np.testing.assert_array_equal(np.diff(source.time), np.ones(4))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], values(FRAMES, 3, 4)[good[0] : good[1] + 1])


def test_times_of_a_record_dimension_that_were_never_written(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in (("time", None), ("y", 3), ("x", 4)):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,)).units = "hours since 2001-01-01" if name == "time" else "m"
        file["y"][:], file["x"][:] = np.arange(3), np.arange(4)
        file.createVariable("u", "f4", ("time", "y", "x"))[:FRAMES] = values(FRAMES, 3, 4)
        file["time"][: FRAMES - 1] = HOURS[:-1]
    with pytest.raises(SparseVQError, match=r"frame 5 is .*window: \[2001-01-01T00:00:00, 2001-01-01T04:00:00\]"):
        opened(tmp_path / "a.nc")


@pytest.mark.parametrize("begin", [0, 7])
def test_zeros_at_the_end_are_times_that_were_never_written(tmp_path, begin):
    times = np.r_[begin + HOURS[:-1], 0]
    path = written(tmp_path / "a.nc", times, units="hours since 2001-01-01")
    with pytest.raises(SparseVQError, match=r"time does not increase: frame 5 .*window"):
        opened(path)
    source = opened(path, window=(begin, begin + 4))
    assert len(source.time) == 5 and start(source) == [f"2001-01-01T{begin:02}:00:00"]


@pytest.mark.parametrize("units", ["hours since 2001-01-01", "h"])
def test_times_that_descend_are_turned_round_with_their_frames(tmp_path, capsys, units):
    source = opened(written(tmp_path / "a.nc", 10 - HOURS, units=units))
    assert "times descend" in capsys.readouterr().out
    dated = "since" in units
    np.testing.assert_array_equal(source.time, HOURS + (0 if dated else 5))
    assert start(source) == (["2001-01-01T05:00:00"] if dated else None)
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], values(FRAMES, 3, 4)[::-1])
    np.testing.assert_array_equal(all_of(source, block=4)[0, ..., 0], values(FRAMES, 3, 4)[::-1])


def test_times_twice_are_one_line(tmp_path):
    path = written(tmp_path / "a.nc", np.r_[0, 1, 2, 2, 3, 4.0], units="hours since 2001-01-01")
    with pytest.raises(SparseVQError, match="time does not increase: frame 3 is at 2001-01-01T02:00:00"):
        opened(path)


# ------------------------------------------------------------------------------------------------ which times


def test_the_time_that_a_field_is_of_counts_not_that_at_which_its_forecast_began(tmp_path):
    path = written(
        tmp_path / "a.nc", 24 * HOURS, units="hours since 2001-01-01", standard_name="forecast_reference_time"
    )
    with xr.open_dataset(path, decode_times=False) as data:
        data = data.load()
    data["valid_time"] = ("time", 24 * HOURS + 12, {"units": "hours since 2001-01-01", "standard_name": "time"})
    data.coords["forecast_period"] = ((), 12.0, {"units": "hours", "standard_name": "forecast_period"})
    data.to_netcdf(tmp_path / "b.nc")
    assert start(opened(tmp_path / "b.nc")) == ["2001-01-01T12:00:00"]


def test_scalars_of_a_forecast_beside_valid_times(tmp_path):
    path = written(
        tmp_path / "a.nc", 6 + HOURS, units="hours since 2001-01-01", standard_name="time", bounds="time_bnds"
    )
    with xr.open_dataset(path, decode_times=False) as data:
        data = data.load()
    reference = {"units": "hours since 1970-01-01", "standard_name": "forecast_reference_time"}
    data.coords["forecast_reference_time"] = ((), 0.0, reference)
    data["time_bnds"] = (("time", "bnds"), np.stack([5.5 + HOURS, 6.5 + HOURS], 1))
    data.to_netcdf(tmp_path / "b.nc")
    source = opened(tmp_path / "b.nc")
    assert source.channels == ("u",) and start(source) == ["2001-01-01T06:00:00"]


@pytest.mark.parametrize("named", [None, "t"])
def test_times_of_each_trajectory_that_are_the_same(tmp_path, named):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = values(3, FRAMES, 4, 5)
        file["t"] = np.tile(0.5 * HOURS, (3, 1)).astype("f4")
    settings = {"arrays": ("u",), "dimensions": ("trajectory", "time", "y", "x"), "time": named}
    assert opened(tmp_path / "a.h5", **settings).time.tolist() == (0.5 * HOURS).tolist()
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["t"][2, 4] = 7
    with pytest.raises(
        SparseVQError, match="other times for trajectory 2 than for trajectory 0: frame 4 is at 7 and 2"
    ):
        opened(tmp_path / "a.h5", **settings)


def test_edges_of_even_intervals_are_times_and_of_others_are_not(tmp_path, capsys):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = values(3, FRAMES, 4, 5)
        file["t-coordinate"] = 0.5 * np.arange(FRAMES + 1)
        file["odd"] = np.arange(FRAMES + 1.0) ** 2
    settings = {"arrays": ("u",), "dimensions": ("trajectory", "time", "y", "x")}
    assert opened(tmp_path / "a.h5", **settings).time.tolist() == (0.5 * HOURS).tolist()
    assert "t-coordinate has one entry more" in capsys.readouterr().out
    with pytest.raises(SparseVQError, match=r"odd has 7 times, but there are 6 frames: .*edges"):
        opened(tmp_path / "a.h5", time="odd", **settings)


# ------------------------------------------------------------------------------------------------ several files


@pytest.mark.parametrize(
    ("units", "about", "times"),
    [
        ("hours since 2001-01-01 06:00", {"calendar": "gregorian"}, HOURS),
        ("hours since 1900-01-01", {"calendar": "proleptic_gregorian"}, HOURS + 24 * 36890 + 6),
        ("minutes since 2001-01-01", {}, 60 * HOURS + 360),
        ("day as %Y%m%d.%f", {}, 20010101.25 + HOURS / 24),
        ("seconds since 2001-01-01", {"calendar": "Standard"}, 3600 * (HOURS + 6)),
    ],
)
def test_files_of_other_epochs_units_and_names_of_the_calendar_join(tmp_path, units, about, times):
    one = written(tmp_path / "a.nc", HOURS, units="hours since 2001-01-01", calendar="standard")
    other = written(tmp_path / "b.nc", times, units=units, **about)
    joined = opened([str(one), str(other)], join="time")
    np.testing.assert_allclose(joined.time, np.arange(2 * FRAMES), atol=1e-6)
    assert joined.time_units == "h" and start(joined) == ["2001-01-01T00:00:00"]
    together = opened([str(one), str(other)])
    assert start(together) == ["2001-01-01T00:00:00", "2001-01-01T06:00:00"] and together.trajectories == 2


@pytest.mark.parametrize(("calendar", "other"), [("noleap", "365_day"), ("all_leap", "366_day"), ("noleap", "365")])
def test_calendars_are_compared_by_what_they_mean(tmp_path, calendar, other):
    one = written(tmp_path / "a.nc", HOURS, units="days since 2001-01-01", calendar=calendar)
    two = written(tmp_path / "b.nc", HOURS, units="days since 2001-01-07", calendar=other)
    assert opened([str(one), str(two)], join="time").time.tolist() == list(range(12))


@pytest.mark.parametrize(
    ("calendar", "other", "year"), [("standard", "noleap", 2001), ("standard", "proleptic_gregorian", 1500)]
)
def test_calendars_that_differ_do_not_join(tmp_path, calendar, other, year):
    one = written(tmp_path / "a.nc", HOURS, units=f"days since {year}-01-01", calendar=calendar)
    two = written(tmp_path / "b.nc", HOURS, units=f"days since {year}-01-07", calendar=other)
    with pytest.raises(SparseVQError, match=f"do not go together: time in .*{other}"):
        opened([str(one), str(two)], join="time")


def test_files_without_dates_join_where_their_units_have_a_ratio(tmp_path):
    one = written(tmp_path / "a.nc", HOURS, units="hours")
    two = written(tmp_path / "b.nc", 60 * HOURS, units="minutes")
    assert opened([str(one), str(two)]).trajectories == 2
    three = written(tmp_path / "c.nc", HOURS, units="turnovers")
    with pytest.raises(SparseVQError, match="time in turnovers without a date and hours without a date"):
        opened([str(one), str(three)])


def test_a_window_leaves_out_files_that_follow_in_time(tmp_path):
    paths = [written(tmp_path / f"{at}.nc", HOURS, units=f"hours since 2001-01-01 {6 * at:02}:00") for at in range(3)]
    source = opened([str(path) for path in paths], join="time", window=("2001-01-01 08:00", "2001-01-01 15:00"))
    assert source.time.tolist() == list(range(8)) and start(source) == ["2001-01-01T08:00:00"]
