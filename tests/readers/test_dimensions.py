"""What the dimensions of a file are: forecasts, ensembles, versions, levels; what nothing explains is asked about."""

import h5py
import numpy as np
import pytest
import xarray as xr

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.preprocess import preprocess
from sparsevq.errors import SparseVQError
from tests.user_files import all_of, opened, values

LATITUDE = ("latitude", np.linspace(30.0, 60, 4), {"units": "degrees_north"})
LONGITUDE = ("longitude", np.linspace(-10.0, 30, 5), {"units": "degrees_east"})
STARTS = np.arange(3) * 12 * 3600
HOURS = {"units": "hours", "standard_name": "forecast_period", "long_name": "time since forecast_reference_time"}
REFERENCE = {
    "units": "seconds since 2024-01-01",
    "calendar": "proleptic_gregorian",
    "standard_name": "forecast_reference_time",
}


def grid(dims, *sizes, seed=0, **coordinates):
    """A field on latitudes and longitudes with other dimensions before them."""
    data = xr.Dataset(coords={"latitude": LATITUDE, "longitude": LONGITUDE, **coordinates})
    data["msl"] = ((*dims, "latitude", "longitude"), values(*sizes, 4, 5, seed=seed), {"units": "Pa"})
    return data


def forecasts(first=0.0, **more):
    """Three forecasts of six lead times, as cfgrib writes them."""
    lead = first + 6.0 * np.arange(6)
    return grid(
        ("time", "step"),
        3,
        6,
        time=("time", STARTS, REFERENCE),
        step=("step", lead, HOURS),
        valid_time=(
            ("time", "step"),
            STARTS[:, None] + lead * 3600,
            {"units": "seconds since 2024-01-01", "standard_name": "time"},
        ),
        number=((), 0, {"standard_name": "realization"}),
        meanSea=((), 0.0),
        **more,
    )


def written(data, path):
    data.to_netcdf(path)
    return path


STARTED = ["2024-01-01T00:00:00", "2024-01-01T12:00:00", "2024-01-02T00:00:00"]


@pytest.mark.parametrize("settings", [{}, {"dimensions": ("trajectory", "time", "latitude", "longitude")}])
def test_forecasts_are_trajectories_of_lead_times(tmp_path, capsys, settings):
    data = forecasts()
    source = opened(written(data, tmp_path / "a.nc"), **settings)
    np.testing.assert_array_equal(all_of(source)[..., 0], data.msl)
    assert list(source.axes) == ["latitude", "longitude"]
    np.testing.assert_array_equal(source.time, 6.0 * np.arange(6))
    assert source.time_units == "h"
    assert source.parameters["start"].tolist() == STARTED
    if not settings:
        assert "each time is a trajectory, step its time" in capsys.readouterr().out


def test_a_trajectory_starts_at_the_valid_time_of_its_first_frame(tmp_path):
    source = opened(written(forecasts(first=6.0), tmp_path / "a.nc"))
    np.testing.assert_array_equal(source.time, 6.0 * np.arange(6))
    assert source.parameters["start"].tolist() == [
        "2024-01-01T06:00:00",
        "2024-01-01T18:00:00",
        "2024-01-02T06:00:00",
    ]


@pytest.mark.parametrize("order", [("time", "number", "step"), ("number", "time", "step"), ("step", "number", "time")])
def test_an_ensemble_of_forecasts_is_flattened_in_the_order_of_the_file(tmp_path, order):
    sizes = {"time": 3, "number": 2, "step": 6}
    data = grid(
        order,
        *(sizes[name] for name in order),
        time=("time", STARTS, REFERENCE),
        step=("step", 6.0 * np.arange(6), HOURS),
        number=("number", np.array([0, 7]), {"standard_name": "realization", "units": "1"}),
        nino=(("time",), np.array([0.5, 1.5, 2.5])),
    )
    source = opened(written(data, tmp_path / "a.nc"))
    leads = [name for name in order if name != "step"]
    expected = data.msl.transpose(*leads, "step", "latitude", "longitude").values.reshape(6, 6, 4, 5)
    np.testing.assert_array_equal(all_of(source, block=4)[..., 0], expected)
    stacked = data.stack(member=leads)
    assert source.parameters["number"].tolist() == stacked.number.values.tolist()
    assert source.parameters["nino"].tolist() == stacked.nino.values.tolist()
    assert source.parameters["start"].tolist() == [STARTED[at // (12 * 3600)] for at in stacked.time.values]


def test_arrays_with_trajectories_in_different_orders_agree(tmp_path):
    data = grid(
        ("number", "time", "step"),
        2,
        3,
        6,
        time=("time", STARTS, REFERENCE),
        step=("step", 6.0 * np.arange(6), HOURS),
        number=("number", np.arange(2)),
    )
    data["t2m"] = data.msl.transpose("latitude", "time", "step", "longitude", "number") + 1
    source = opened(written(data, tmp_path / "a.nc"), arrays=("msl", "t2m"))
    read = all_of(source)
    np.testing.assert_array_equal(read[..., 0], data.msl.values.reshape(6, 6, 4, 5))
    np.testing.assert_array_equal(read[..., 1], (data.msl.values + 1).reshape(6, 6, 4, 5))


@pytest.mark.parametrize(
    ("start", "lead"),
    [
        ("init_time", "lead_time"),
        ("reference_time", "forecast_hour"),
        ("time", "prediction_timedelta"),
        ("hdate", "step"),
        ("S", "L"),
        ("init", "time"),
    ],
)
def test_forecasts_by_the_names_of_other_centres(tmp_path, start, lead):
    standard = start == "S"
    about = {"units": "hours since 2024-01-01"} | ({"standard_name": "forecast_reference_time"} if standard else {})
    data = grid(
        (start, lead),
        3,
        6,
        **{
            start: (start, 12 * np.arange(3), about),
            lead: (
                lead,
                6 * np.arange(6),
                {"units": "hours"} | ({"standard_name": "forecast_period"} if standard else {}),
            ),
        },
    )
    source = opened(written(data, tmp_path / "a.nc"))
    np.testing.assert_array_equal(all_of(source)[..., 0], data.msl)
    np.testing.assert_array_equal(source.time, 6 * np.arange(6))
    assert source.parameters["start"].tolist() == STARTED


def test_one_forecast_is_one_trajectory_of_lead_times(tmp_path):
    data = forecasts().isel(time=1).drop_vars("valid_time")
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.trajectories == 1 and source.parameters["start"].tolist() == STARTED[1:2]
    np.testing.assert_array_equal(source.time, 6.0 * np.arange(6))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.msl)


def test_several_files_of_one_forecast_each(tmp_path):
    data = forecasts()
    paths = [str(written(data.isel(time=index), tmp_path / f"{index}.nc")) for index in range(3)]
    source = opened(paths)
    np.testing.assert_array_equal(all_of(source)[..., 0], data.msl)
    assert source.parameters["start"].tolist() == STARTED


def test_starts_beside_dates_are_asked_about(tmp_path):
    data = grid(
        ("init_time", "time"),
        3,
        6,
        init_time=("init_time", 12 * np.arange(3), {"units": "hours since 2024-01-01"}),
        time=("time", 6 * np.arange(6), {"units": "hours since 2024-01-01"}),
    )
    with pytest.raises(SparseVQError, match=r"dates along time, and forecasts that start along init_time.*select"):
        opened(written(data, tmp_path / "a.nc"))
    source = opened(tmp_path / "a.nc", select={"init_time": 12})
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.msl[1])


def test_lead_times_without_a_unit_are_given_one(tmp_path, capsys):
    data = forecasts().drop_vars("valid_time")
    data["step"] = ("step", np.arange(6.0))
    source = opened(written(data, tmp_path / "a.nc"))
    assert "start" not in source.parameters and "`units: {time: hours}`" in capsys.readouterr().out
    source = opened(tmp_path / "a.nc", units={"time": "hours"})
    assert source.parameters["start"].tolist() == STARTED and source.time_units == "h"


def test_only_the_valid_time_of_each_frame_is_known(tmp_path):
    valid = STARTS[:, None] / 3600 + 6.0 * np.arange(6)
    about = {"units": "hours since 2024-01-01", "standard_name": "time"}
    data = grid(("run", "lead"), 3, 6, valid_time=(("run", "lead"), valid, about))
    source = opened(written(data, tmp_path / "a.nc"))
    np.testing.assert_array_equal(source.time, 6.0 * np.arange(6))
    assert source.time_units == "h" and source.parameters["start"].tolist() == STARTED
    valid[1, 3] += 1
    data["valid_time"] = (("run", "lead"), valid, about)
    with pytest.raises(
        SparseVQError, match=r"valid_time has other lead times for trajectory 1 .* frame 3 is 19 and 18"
    ):
        opened(written(data, tmp_path / "b.nc"))


def test_starts_that_are_written_as_digits_are_dates(tmp_path):
    data = grid(
        ("hdate", "step"),
        3,
        6,
        hdate=("hdate", np.array([20010104, 20020104, 20030104])),
        step=("step", 24.0 * np.arange(6), {"units": "hours"}),
    )
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.parameters["start"].tolist() == [f"{year}-01-04T00:00:00" for year in (2001, 2002, 2003)]
    assert source.time_units == "h"


def test_channels_that_the_attributes_of_a_store_list(tmp_path):
    zarr = pytest.importorskip("zarr")
    u = values(6, 2, 1, 20)
    dates = np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]").astype("datetime64[s]")
    store = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2, attributes={"variables": ["2t", "msl"]})
    for name, at, dimensions in (
        ("data", u, ["time", "variable", "ensemble", "cell"]),
        ("dates", dates, ["time"]),
        ("latitudes", np.linspace(-80, 80, 20), ["cell"]),
        ("longitudes", np.linspace(0, 350, 20), ["cell"]),
    ):
        store.create_array(name, data=at).attrs["_ARRAY_DIMENSIONS"] = dimensions
    source = opened(tmp_path / "a.zarr")
    assert source.channels == ("2t", "msl") and source.scattered and source.trajectories == 1
    np.testing.assert_array_equal(all_of(source)[0], u[:, :, 0].transpose(0, 2, 1))
    assert source.parameters["start"].tolist() == ["2020-01-01T00:00:00"]


# ------------------------------------------------------------------------------------------------ versions


def versions(*entries, overlap=None):
    """ERA5 with an entry for each version, each NaN where the other has values; and the whole."""
    whole = values(6, 4, 5)
    data = grid(
        ("time", "expver"),
        6,
        2,
        time=("time", np.arange(6), {"units": "hours since 1990-01-01"}),
        expver=("expver", np.array(entries)),
    )
    data.msl[:4, 0], data.msl[4:, 0] = whole[:4], np.nan
    data.msl[:4, 1], data.msl[4:, 1] = np.nan, whole[4:]
    if overlap is not None:
        data.msl[3, 1] = overlap
    return data, whole


@pytest.mark.parametrize("entries", [(1, 5), ("0001", "0005")])
@pytest.mark.parametrize("missing", [(), (-999.0,)])
def test_final_and_preliminary_data_are_merged(tmp_path, capsys, entries, missing):
    data, whole = versions(*entries)
    if missing:
        data["msl"] = data.msl.fillna(-999.0)
    source = opened(written(data, tmp_path / "a.nc"), missing=missing)
    np.testing.assert_array_equal(all_of(source, block=4)[0, ..., 0], whole)
    assert list(source.axes) == ["latitude", "longitude"]
    assert "halves of one series, merged" in capsys.readouterr().out


def test_versions_that_contradict_each_other_are_not_merged(tmp_path):
    data, whole = versions(1, 5, overlap=7.0)
    source = opened(written(data, tmp_path / "a.nc"))
    np.testing.assert_array_equal(source.read(0, 0, 3)[..., 0], whole[:3])
    with pytest.raises(SparseVQError, match=r"two different values.*`select: \{expver: 1\}`"):
        source.read(0, 3, 4)
    chosen = all_of(opened(tmp_path / "a.nc", select={"expver": 5}))[0, ..., 0]
    np.testing.assert_array_equal(chosen, data.msl[:, 1])


def test_other_versions_are_asked_about(tmp_path):
    data, _ = versions("0001", "b2xy")
    with pytest.raises(SparseVQError, match=r"nothing says what the dimension expver .* 2 entries \(0001, b2xy\)"):
        opened(written(data, tmp_path / "a.nc"))
    chosen = all_of(opened(tmp_path / "a.nc", select={"expver": "b2xy"}))[0, ..., 0]
    np.testing.assert_array_equal(chosen, data.msl[:, 1])


def test_text_and_numbers_beside_time_are_no_dimensions(tmp_path):
    data = grid(
        ("valid_time",),
        6,
        valid_time=("valid_time", 3600 * np.arange(6), {"units": "seconds since 1970-01-01", "standard_name": "time"}),
        number=((), 0, {"units": "1", "standard_name": "realization"}),
        expver=("valid_time", np.array(["0001"] * 4 + ["0005"] * 2)),
        quality=("valid_time", np.arange(6)),
    )
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.grid == (4, 5) and list(source.parameters) == ["start"]
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.msl)


# ------------------------------------------------------------------------------------------------ what is not explained


def with_dimension(name, size, at=None, **attributes):
    """A series with one more dimension."""
    extra = {} if at is None else {name: (name, np.asarray(at), attributes)}
    return grid(("time", name), 6, size, time=("time", np.arange(6.0), {"units": "h"}), **extra)


@pytest.mark.parametrize(
    ("name", "at", "said"),
    [
        ("band", [1, 2, 3], r"3 entries \(1, 2, 3\)"),
        ("band", ["red", "green", "nir"], r"3 entries \(red, green, nir\)"),
        ("quantile", [0.1, 0.5, 0.9, 0.95, 0.99], r"5 entries \(0.1, 0.5, 0.9, 0.95, ...\)"),
        ("dim_1", None, r"3 entries \(without coordinates\)"),
        ("wavelength", [400.0, 500.0], r"2 entries \(400, 500\)"),
    ],
)
def test_a_dimension_that_nothing_explains_is_asked_about(tmp_path, name, at, said):
    data = with_dimension(name, 3 if at is None else len(at), at, **({"units": "nm"} if name == "wavelength" else {}))
    path = written(data, tmp_path / "a.nc")
    with pytest.raises(SparseVQError, match=rf"nothing says what the dimension {name} of msl .* {said}") as error:
        opened(path)
    assert "`dimensions: [time, channel, latitude, longitude]`" in str(error.value)
    first = 0 if at is None else at[0]
    assert f"`select: {{{name}: {first}}}`" in str(error.value).replace("400}", "400.0}")
    selected = opened(path, select={name: first})
    np.testing.assert_array_equal(all_of(selected)[0, ..., 0], data.msl[:, 0])
    channels = opened(path, dimensions=("time", "channel", "latitude", "longitude"))
    np.testing.assert_array_equal(all_of(channels)[0], data.msl.transpose("time", "latitude", "longitude", name))


def test_channels_are_called_after_the_coordinates_of_their_dimension(tmp_path):
    path = written(with_dimension("level", 3, [500, 850, 1000], units="hPa"), tmp_path / "a.nc")
    source = opened(path, dimensions=("time", "channel", "latitude", "longitude"))
    assert source.channels == ("msl_500", "msl_850", "msl_1000")


def test_pressure_levels_are_an_axis(tmp_path):
    data = with_dimension("isobaricInhPa", 3, [1000.0, 850.0, 500.0], units="hPa", positive="down")
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.axes["isobaricInhPa"].tolist() == [500, 850, 1000]
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.msl[:, ::-1])


def test_a_level_is_chosen_within_the_precision_of_its_file(tmp_path):
    data = with_dimension("height", 3, np.array([0.1, 0.2, 0.3], np.float32), units="m")
    path = written(data, tmp_path / "a.nc")
    np.testing.assert_array_equal(all_of(opened(path, select={"height": 0.2}))[0, ..., 0], data.msl[:, 1])
    with pytest.raises(SparseVQError, match=r"select: height: 0.25 is no entry of height.*there are 0.1, 0.2, 0.3"):
        opened(path, select={"height": 0.25})
    with pytest.raises(SparseVQError, match=r"select: depth is no dimension.*there are .*height"):
        opened(path, select={"depth": 0.25})


def test_a_dimension_of_one_entry_is_dropped_and_said(tmp_path, capsys):
    data = with_dimension("surface_kind", 1, [3])
    source = opened(written(data, tmp_path / "a.nc"))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.msl[:, 0])
    assert "dimension surface_kind has one entry (surface_kind = 3): it is dropped" in capsys.readouterr().out


def test_entries_are_chosen_by_number_where_dimensions_have_no_names(tmp_path):
    u = values(6, 3, 4, 5)
    np.save(tmp_path / "u.npy", u)
    source = opened(tmp_path / "u.npy", dimensions=("time", "band", "y", "x"), select={"band": 2})
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u[:, 2])
    with pytest.raises(SparseVQError, match=r"select: band: 3 is no entry of u.*from 0 to 2"):
        opened(tmp_path / "u.npy", dimensions=("time", "band", "y", "x"), select={"band": 3})


def test_select_is_refused_where_there_is_nothing_to_select_from(tmp_path):
    source = opened(written(grid(("time",), 6, time=("time", np.arange(6.0), {"units": "h"})), tmp_path / "a.nc"))
    settings = FileConfig(path="a.nc", split="time", block=2, validation=1, test=1)
    blocks = opened(tmp_path / "a.nc", split="time", block=2, validation=1, test=1)
    preprocess(blocks, tmp_path / "data.h5", "mine", settings, PreprocessConfig())
    with pytest.raises(SparseVQError, match="select: files of the format sparsevq have no dimensions to select from"):
        opened(tmp_path / "data.h5", select={"latitude": 30})
    assert opened(tmp_path / "data.h5").grid == source.grid


def test_bounds_of_times_and_cells_are_no_fields(tmp_path):
    data = grid(("time",), 6, time=("time", np.arange(6.0), {"units": "h"}))
    data["time_bnds"] = (("time", "nbnds"), values(6, 2))
    data["lat_bnds"] = (("latitude", "nbnds"), values(4, 2))
    data["spectrum"] = (("time", "bin"), values(6, 3))
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.channels == ("msl",)


def test_two_dimensions_of_time_are_named(tmp_path):
    data = grid(("time", "frame"), 6, 3, time=("time", np.arange(6.0), {"units": "h"}))
    with pytest.raises(SparseVQError, match=r"two dimensions of msl are time: time, frame, latitude, longitude"):
        opened(written(data, tmp_path / "a.nc"))


def test_an_axis_without_coordinates_is_numbered_and_said(tmp_path, capsys):
    data = xr.Dataset(
        {"u": (("time", "ny", "nx"), values(6, 4, 5))}, {"time": ("time", np.arange(6.0), {"units": "h"})}
    )
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.axes["ny"].tolist() == [0, 1, 2, 3]
    assert "axis ny has no coordinates: its points are numbered" in capsys.readouterr().out


def test_arrays_with_and_without_components_together(tmp_path):
    u = values(2, 6, 4, 5, 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t0_fields/pressure"], file["t1_fields/velocity"] = u[..., 0] + 1, u
        file["dimensions/time"], file["dimensions/x"] = np.arange(6.0), np.linspace(0, 1, 4)
        file["dimensions/y"], file["force"] = np.linspace(0, 2, 5), u[:, 0]
    dimensions = ("trajectory", "time", "x", "y", "channel")
    source = opened(tmp_path / "a.h5", arrays=("t0_fields/pressure", "t1_fields/velocity"), dimensions=dimensions)
    assert source.channels == ("pressure", "velocity_0", "velocity_1")
    np.testing.assert_array_equal(all_of(source), np.concatenate([u[..., :1] + 1, u], axis=-1))
    assert source.time.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(source.axes["y"], np.linspace(0, 2, 5))
    with pytest.raises(SparseVQError, match=r"the arrays lie on different grids: .*force"):
        opened(tmp_path / "a.h5", arrays=("t1_fields/velocity", "force"), dimensions=dimensions)
