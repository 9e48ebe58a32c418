"""Forecasts as CF data sets and as pictures."""

import os
from dataclasses import replace
from datetime import timedelta

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from sparsevq.data.clock import frame_date
from sparsevq.data.dates import date_of
from sparsevq.data.layout import read_data, write_data
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.dataset.cf import cf_units
from sparsevq.forecasting.dataset.netcdf import as_dataset, channels_of
from sparsevq.forecasting.dataset.observed import Observed
from sparsevq.forecasting.dataset.valid_times import forecast_clock
from sparsevq.forecasting.dataset.writing import write_netcdf
from tests.flows import scattered_waves, travelling_waves


def forecast_of(data, members=3, frames=4, sensors=5):
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(members, frames, *data.grid, len(data.channels))).astype(np.float32)
    fields[:, :, ~data.mask.any(axis=0)] = np.nan
    observed = seen_by(data, sensors)
    at_sensors = rng.normal(size=(len(data.channels), members, frames, sensors)).astype(np.float32)
    fields = np.moveaxis(fields, -1, 0)
    return as_dataset(data, fields, 0.5 * np.arange(frames), observed, at_sensors, {"seed": 1})


def seen_by(data, sensors):
    """Two frames, with a gap between them; the first sensor was not there in the older one."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, sensors, len(data.channels)))
    values[0, 0] = np.nan
    places = rng.uniform(0, 1, (sensors, len(data.axes)))
    return Observed((-2, 0), places, values, np.arange(sensors, dtype=np.int32) - 1)


def test_what_is_written_comes_back(tmp_path):
    forecast = forecast_of(travelling_waves())
    write_netcdf(tmp_path / "forecast.nc", forecast, "sparsevq forecast ...")
    with xr.open_dataset(tmp_path / "forecast.nc") as found:
        xr.testing.assert_equal(found, forecast)
        assert found["u"].dims == ("member", "lead_time", "y", "x")
        assert dict(found.attrs) == {**forecast.attrs, "history": found.attrs["history"]}


def test_readings_and_the_forecast_at_the_sensors_are_no_fields(tmp_path):
    forecast = forecast_of(travelling_waves())
    assert channels_of(forecast) == ("u", "v")
    assert forecast["u_reading"].dims == ("observed_frame", "sensor")
    assert forecast["u_at_sensors"].dims == ("member", "lead_time", "sensor")
    np.testing.assert_array_equal(forecast["observed_frame"], [-2, 0])
    write_netcdf(tmp_path / "forecast.nc", forecast, "made")
    with netCDF4.Dataset(tmp_path / "forecast.nc") as file:
        assert (file["v_reading"].units, file["v_reading"].long_name) == ("m/s", "v as read")
        assert (file["v_at_sensors"].units, file["v_at_sensors"].long_name) == ("m/s", "v at the sensors")
        assert set(file["v_at_sensors"].coordinates.split()) == {"sensor_y", "sensor_x", "sensor_number"}
        assert file["v_reading"].dtype == np.float64  # as they were given


def test_the_file_follows_cf(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    write_netcdf(tmp_path / "forecast.nc", forecast_of(travelling_waves()), "made")
    with netCDF4.Dataset(tmp_path / "forecast.nc") as file:
        assert file.data_model == "NETCDF4"
        assert file.Conventions == "CF-1.11"
        assert file.history == "1970-01-01T00:00:00+00:00 made"
        assert (file["u"].units, file["u"].long_name) == ("m/s", "u")
        assert file["u"].filters()["zlib"]
        assert (file["x"].axis, file["y"].axis, file["x"].units) == ("X", "Y", "m")
        assert (file["lead_time"].units, file["lead_time"].standard_name) == ("s", "forecast_period")
        assert file["member"].standard_name == "realization"
        for axis in ("x", "y", "lead_time", "member"):  # CF allows no missing coordinates
            assert "_FillValue" not in file[axis].ncattrs()


def test_units_that_cf_does_not_know_are_described_in_words():
    data = replace(travelling_waves(), time_units="L/U", axis_units={"y": "L", "x": "L"}, units=("U", "U"))
    forecast = forecast_of(data)
    assert forecast["u"].attrs == {"long_name": "u in units of U", "units": "1"}
    assert forecast["lead_time"].attrs["units"] == "1"
    assert "standard_name" not in forecast["lead_time"].attrs
    assert forecast["x"].attrs == {"long_name": "x in units of L", "units": "1", "axis": "X"}


@pytest.mark.parametrize(
    ("units", "known"),
    [
        ("m/s", "m/s"),
        ("kg m-3", "kg m-3"),
        ("W/m^2", "W/m^2"),
        ("m s**-1", "m s^-1"),
        ("hPa", "hPa"),
        ("days", "days"),
        ("1/s", "1/s"),
        ("degrees_north", "degrees_north"),
        ("kilometers", "kilometers"),
        ("millibars", "hPa"),
        ("mb", "hPa"),
        ("", "1"),
        ("-", "1"),
        ("%", "percent"),
        ("U", None),
        ("U/L", None),
        ("cells", None),
        ("m/", None),
    ],
)
def test_units_of_cf(units, known):
    assert cf_units(units) == known


def test_a_file_in_the_way_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    forecast = forecast_of(travelling_waves())
    with pytest.raises(SparseVQError, match="cannot write"):
        write_netcdf(tmp_path / "file/forecast.nc", forecast, "")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("data", [scattered_waves(), scattered_waves(dimensions=3), scattered_waves(dimensions=1)])
def test_scattered_points_are_a_dimension_with_the_axes_along_it(data, tmp_path):
    forecast = forecast_of(data)
    write_netcdf(tmp_path / "forecast.nc", forecast, "made")
    with xr.open_dataset(tmp_path / "forecast.nc") as found:
        assert found["pressure"].dims == ("member", "lead_time", "point")
        np.testing.assert_array_equal(found["x"], data.axes["x"])
        assert "axis" not in found["x"].attrs  # CF: of dimensions alone


def test_names_of_the_file_come_along_and_follow_cf(tmp_path):
    about = {
        "u": {"long_name": "eastward wind at 10 m", "standard_name": "eastward_wind"},
        "v": {"long_name": "smoke", "standard_name": "not a name!"},
    }
    flow = travelling_waves()
    data = replace(
        flow,
        axes={"rlat": flow.axes["y"], "lev": flow.axes["x"]},
        axis_units={"rlat": "degrees_north", "lev": "hPa"},
        periodic=(),
        vector={},
        channel_about=about,
        axis_about={
            "rlat": {"long_name": "latitude in rotated pole grid", "standard_name": "grid_latitude", "axis": "Y"},
            "lev": {"standard_name": "air_pressure", "positive": "DOWN", "axis": "Z"},
        },
    )
    write_netcdf(tmp_path / "forecast.nc", forecast_of(data), "made")
    with netCDF4.Dataset(tmp_path / "forecast.nc") as file:
        assert (file["u"].long_name, file["u"].standard_name) == ("eastward wind at 10 m", "eastward_wind")
        assert file["v"].long_name == "smoke" and "standard_name" not in file["v"].ncattrs()
        rlat, lev = file["rlat"], file["lev"]
        assert (rlat.standard_name, rlat.units, rlat.axis) == ("grid_latitude", "degrees", "Y")
        assert (lev.standard_name, lev.units, lev.axis, lev.positive) == ("air_pressure", "hPa", "Z", "down")


def test_degrees_are_latitudes_and_longitudes_whatever_the_axes_are_called(tmp_path):
    flow = travelling_waves()
    data = replace(flow, axis_units={"y": "degrees_north", "x": "degrees_east"})
    found = forecast_of(data)
    assert found["y"].attrs["standard_name"] == "latitude" and found["x"].attrs["standard_name"] == "longitude"
    assert found["lead_time"].attrs["axis"] == "T"


@pytest.mark.parametrize(
    ("units", "calendar", "date", "expected"),
    [
        ("h", "standard", "2001-02-28T21:00:00", ["2001-02-28 21:00", "2001-03-01 00:00", "2001-03-01 03:00"]),
        ("h", "noleap", "2004-02-28T21:00:00", ["2004-02-28 21:00", "2004-03-01 00:00", "2004-03-01 03:00"]),
        ("d", "360_day", "2001-02-28", ["2001-02-28 00:00", "2001-03-01 00:00", "2001-03-04 00:00"]),
        ("months", "standard", "2001-01-31", ["2001-01-31 00:00", "2001-04-30 00:00", "2001-07-31 00:00"]),
        ("ms", "", "2001-01-01", ["2001-01-01 00:00:00.000", "2001-01-01 00:00:00.003", "2001-01-01 00:00:00.006"]),
    ],
)
def test_a_forecast_of_known_date_has_valid_times(tmp_path, units, calendar, date, expected):
    data = replace(travelling_waves(), time_units=units, calendar=calendar)
    lead, observed = 3.0 * np.arange(3), seen_by(data, 1)
    fields = np.zeros((len(data.channels), 2, 3, *data.grid), np.float32)
    clock = forecast_clock(data, date, None)
    forecast = as_dataset(data, fields, lead, observed, fields[..., :1, 0], {}, clock)
    write_netcdf(tmp_path / "forecast.nc", forecast, "made")
    with xr.open_dataset(tmp_path / "forecast.nc") as found:
        xr.testing.assert_equal(found, forecast)
        times = [at if isinstance(at, np.datetime64) else at.isoformat() for at in found["valid_time"].values]
        assert np.array_equal(np.array(times, "M8[ms]"), np.array(expected, "M8[ms]"))
        assert found["valid_time"].dims == ("lead_time",)
        assert found["forecast_reference_time"].values == found["valid_time"].values[0]
    with netCDF4.Dataset(tmp_path / "forecast.nc") as file:
        assert file["valid_time"].standard_name == "time" and file["valid_time"].calendar == (calendar or "standard")
        assert file["forecast_reference_time"].standard_name == "forecast_reference_time"
        assert " since 200" in file["valid_time"].units
        assert "_FillValue" not in file["valid_time"].ncattrs()


def test_a_date_that_cannot_be_is_one_line():
    data = replace(travelling_waves(), time_units="h", calendar="noleap")
    with pytest.raises(SparseVQError, match=r"'2004-02-29': the calendar noleap has no 2004-02-29: give a date"):
        forecast_clock(data, None, "2004-02-29")
    with pytest.raises(SparseVQError, match="leave out one of the two"):
        forecast_clock(data, "2004-03-01", "2004-03-02")
    assert forecast_clock(data, None, None) is None
    assert forecast_clock(data, "2004-03-01T01:00Z", "2004-03-01 01:00") is not None
    other = replace(data, time_units="L/U", calendar="")
    assert forecast_clock(other, "2004-03-01", None) is None
    with pytest.raises(SparseVQError, match="L/U, not in one of a clock"):
        forecast_clock(other, None, "2004-03-01")


def test_frames_of_a_data_set_have_dates_where_it_has_starts_and_a_calendar(tmp_path):
    data = travelling_waves()
    starts = np.array([f"2001-02-{27 + at % 2}T00:00:00" for at in range(len(data.fields))])
    dated = replace(data, time_units="d", calendar="360_day", parameters={"start": starts})
    write_data(tmp_path / "data.h5", dated)
    again = read_data(tmp_path / "data.h5")
    assert again.calendar == "360_day"
    assert frame_date(again, 1, 0).isoformat() == "2001-02-28T00:00:00"
    at = float(data.time[3])
    assert frame_date(again, 1, 3) == date_of("2001-02-28", "360_day") + timedelta(days=at)
    write_data(tmp_path / "older.h5", replace(dated, calendar=""))  # as files of earlier versions are
    assert frame_date(read_data(tmp_path / "older.h5"), 1, 0) is None
    with h5py.File(tmp_path / "older.h5") as file:
        assert "calendar" not in file["time"].attrs
