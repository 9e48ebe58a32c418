"""NetCDF and Zarr: every value comes back, and what the CF conventions say is understood."""

import gc

import numpy as np
import pytest
import xarray as xr

from sparsevq.errors import SparseVQError
from sparsevq.readers import slabs
from tests.user_files import all_of, opened, values

SPACE = {"z": 3, "y": 5, "x": 4}


def dataset(axes="yx", frames=6, channels=("u", "v"), lead=(), seed=0):
    """A data set on some of the axes, each channel in a unit of its own."""
    dims = (*lead, "time", *axes)
    sizes = {"run": 3, "time": frames, **SPACE}
    data = xr.Dataset(coords={"time": ("time", np.arange(frames) * 0.5, {"units": "s"})})
    for axis in axes:
        at = np.linspace(0, 1, SPACE[axis])
        data.coords[axis] = (axis, at, {"units": "m"})
    for index, channel in enumerate(channels):
        data[channel] = (dims, values(*(sizes[dim] for dim in dims), seed=seed + index), {"units": f"unit{index}"})
    return data


def written(data, path, **options):
    """The data set in a file, by xarray; its suffix says the format."""
    (data.to_zarr if path.suffix == ".zarr" else data.to_netcdf)(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
@pytest.mark.parametrize("axes", ["x", "yx", "zyx"])
def test_values_coordinates_and_units_come_back(tmp_path, name, axes):
    data = dataset(axes)
    source = opened(written(data, tmp_path / name))
    assert (source.channels, source.units) == (("u", "v"), ("unit0", "unit1"))
    assert list(source.axes) == list(axes) and set(source.axis_units.values()) == {"m"}
    np.testing.assert_array_equal(source.time, np.arange(6) * 0.5)
    assert source.time_units == "s" and not source.scattered
    expected = np.stack([data.u, data.v], axis=-1)[None]
    np.testing.assert_array_equal(all_of(source), expected)
    np.testing.assert_array_equal(all_of(source, block=4), expected)


def test_zarr_that_dask_wrote_in_chunks(tmp_path):
    data = dataset(frames=20)
    path = written(data.chunk({"time": 6, "x": 2}), tmp_path / "a.zarr")
    np.testing.assert_array_equal(all_of(opened(path), block=5)[0, ..., 0], data.u)


def test_packed_integers_and_fill_values_are_as_xarray_decodes_them(tmp_path):
    data = dataset(channels=("u",))
    data.u[:, 1, 2] = np.nan
    packed = {"u": {"dtype": "int16", "scale_factor": 0.001, "add_offset": 0.5, "_FillValue": -32768}}
    path = written(data, tmp_path / "a.nc", encoding=packed)
    read = all_of(opened(path))[0, ..., 0]
    with xr.open_dataset(path) as again:
        np.testing.assert_array_equal(read, again.u.values.astype(np.float32))
    assert np.isnan(read[:, 1, 2]).all() and np.isfinite(read).sum() == read.size - 6


def test_missing_values_of_the_users(tmp_path):
    data = dataset(channels=("u",))
    data.u[2:, 0, 1] = -999.9
    data.u[:, 3, 3] = 1e20
    read = all_of(opened(written(data, tmp_path / "a.nc"), missing=(-999.9, 1e20)))[0, ..., 0]
    expected = np.where((data.u == np.float32(-999.9)) | (data.u == np.float32(1e20)), np.nan, data.u)
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
def test_dates_become_elapsed_hours_and_the_date_of_the_start(tmp_path, calendar):
    data = dataset()
    attributes = {"units": "hours since 1990-02-27 00:00:00", "calendar": calendar}
    data = data.assign_coords(time=("time", 12.0 * np.arange(6) + 24, attributes))
    source = opened(written(data, tmp_path / "a.nc"))
    np.testing.assert_array_equal(source.time, 12.0 * np.arange(6))
    assert source.time_units == "h"
    assert source.parameters["start"].tolist() == ["1990-02-28T00:00:00"]
    windowed = opened(tmp_path / "a.nc", window=("1990-02-28 12:00", "1990-03-01"))
    thirtieth = calendar == "360_day"  # February has 30 days there
    assert len(windowed.time) == (5 if thirtieth else 2)
    np.testing.assert_array_equal(all_of(windowed)[0], all_of(source)[0, 1 : 1 + len(windowed.time)])
    assert windowed.parameters["start"].tolist() == ["1990-02-28T12:00:00"] and windowed.time[0] == 0
    in_hours = opened(tmp_path / "a.nc", window=(36, 48))
    np.testing.assert_array_equal(all_of(in_hours)[0], all_of(source)[0, 1:3])


def test_time_is_known_by_its_attributes_not_its_name(tmp_path):
    data = dataset().rename(time="step").drop_vars("step")
    data["when"] = ("step", 3600.0 * np.arange(6), {"units": "seconds since 2000-01-01", "standard_name": "time"})
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.time_units == "s" and source.time[-1] == 5 * 3600


@pytest.mark.parametrize("name", ["trajectory", "member", "realization", "ensemble", "sample", "case", "run", "batch"])
def test_a_dimension_of_trajectories_and_what_varies_along_it(tmp_path, name):
    data = dataset(lead=("run",)).rename(run=name)
    data["reynolds"] = (name, np.array([100.0, 200.0, 300.0]), {"units": "1"})
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.trajectories == 3
    np.testing.assert_array_equal(all_of(source)[..., 1], data.v)
    assert source.parameters["reynolds"].tolist() == [100, 200, 300]


def globe(longitudes, latitudes, name="lon"):
    return xr.Dataset(
        {"t": (("time", "lat", name), values(4, len(latitudes), len(longitudes)), {"units": "K"})},
        coords={
            "time": ("time", np.arange(4.0), {"units": "days since 2000-01-01"}),
            "lat": ("lat", latitudes, {"units": "degrees_north"}),
            name: (name, longitudes, {"units": "degrees_east"}),
        },
    )


def test_latitudes_from_north_to_south_are_flipped_with_the_field(tmp_path):
    data = globe(np.arange(0, 360, 60.0), np.array([60.0, 10.0, -70.0]))
    source = opened(written(data, tmp_path / "a.nc"))
    np.testing.assert_array_equal(source.axes["lat"], [-70, 10, 60])
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.t[:, ::-1])
    assert source.periodic == ("lon",) and source.axis_units["lat"] == "degrees_north"


@pytest.mark.parametrize(
    ("longitudes", "kept", "closes"),
    [
        (np.arange(0, 360, 45.0), slice(None), True),
        (np.linspace(-180, 180, 9), slice(0, 8), True),  # the last is the first again
        (np.arange(0, 350, 45.0)[:-1], slice(None), False),
        (np.array([0.0, 10, 100, 200, 300]), slice(None), False),
    ],
)
def test_longitudes_are_periodic_where_they_close(tmp_path, longitudes, kept, closes):
    data = globe(longitudes, np.array([-10.0, 0.0, 10.0]))
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.periodic == (("lon",) if closes else ())
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.t[..., kept])
    np.testing.assert_array_equal(source.axes["lon"], longitudes[kept])


def test_longitudes_across_the_date_line_go_on(tmp_path):
    data = globe(np.array([160.0, 170, 180, -170, -160]), np.array([-10.0, 0.0, 10.0]))
    assert opened(written(data, tmp_path / "a.nc")).axes["lon"].tolist() == [160, 170, 180, 190, 200]


def test_an_axis_of_one_point_is_dropped_and_said(tmp_path, capsys):
    data = dataset().expand_dims(depth=[2.5], axis=1)
    source = opened(written(data, tmp_path / "a.nc"))
    assert list(source.axes) == ["y", "x"]
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.u[:, 0])
    assert "depth has one point (depth = 2.5)" in capsys.readouterr().out


def test_curvilinear_coordinates_make_scattered_points(tmp_path, capsys):
    lon, lat = np.meshgrid(np.linspace(0, 30, 4), np.linspace(40, 60, 3))
    data = xr.Dataset(
        {"t": (("time", "j", "i"), values(5, 3, 4))},
        coords={
            "time": ("time", np.arange(5.0), {"units": "h"}),
            "lon": (("j", "i"), lon + lat / 10, {"units": "degrees_east"}),
            "lat": (("j", "i"), lat - lon / 10, {"units": "degrees_north"}),
        },
    )
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.scattered and source.grid == (12,) and not source.periodic
    np.testing.assert_array_equal(source.axes["lon"], (lon + lat / 10).ravel())
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.t.values.reshape(5, 12))
    assert "3 x 4 points with coordinates of their own" in capsys.readouterr().out


@pytest.mark.parametrize("levels", [0, 3])
def test_stations_are_scattered_points_at_each_level(tmp_path, levels):
    data = xr.Dataset(
        {"t": (("time", "station"), values(5, 7))},
        coords={
            "time": ("time", np.arange(5.0), {"units": "h"}),
            "lon": ("station", np.random.default_rng(0).uniform(0, 30, 7), {"units": "degrees_east"}),
            "lat": ("station", np.random.default_rng(1).uniform(40, 60, 7), {"units": "degrees_north"}),
        },
    )
    if levels:
        heights = xr.DataArray([10.0, 20.0, 50.0], dims="height", attrs={"units": "m", "positive": "up"})
        data = data * (1 + heights)
        data = data.assign_coords(height=heights).transpose("time", "height", "station")
    data["area"] = ("station", np.arange(1.0, 8), {"standard_name": "cell_area"})
    source = opened(written(data, tmp_path / "a.nc"))
    assert source.scattered and source.grid == (7 * max(levels, 1),)
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.t.values.reshape(5, -1).astype(np.float32))
    np.testing.assert_array_equal(source.axes["lon"], np.tile(data.lon, max(levels, 1)))
    if levels:
        np.testing.assert_array_equal(source.axes["height"], np.repeat([10.0, 20.0, 50.0], 7))
    else:
        np.testing.assert_array_equal(source.point_weights, np.arange(1.0, 8))


def test_an_array_whose_dimension_runs_over_channels(tmp_path):
    data = dataset()
    one = data.to_dataarray("channel", name="flow").transpose("time", "y", "x", "channel").to_dataset()
    source = opened(written(one, tmp_path / "a.nc"))
    assert source.channels == ("u", "v")
    np.testing.assert_array_equal(all_of(source)[0, ..., 1], data.v)


def test_chosen_arrays_whose_dimensions_are_in_another_order(tmp_path):
    data = dataset(channels=("u", "v", "w"))
    data["v"] = data.v.transpose("x", "time", "y")
    source = opened(written(data, tmp_path / "a.nc"), arrays=("v", "u"))
    assert source.channels == ("v", "u") and list(source.axes) == ["x", "y"]
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.v.transpose("time", "x", "y"))
    np.testing.assert_array_equal(all_of(source)[0, ..., 1], data.u.transpose("time", "x", "y"))


def test_arrays_on_several_grids_have_to_be_chosen(tmp_path):
    data = dataset()
    data["other"] = (("time", "y"), values(6, 5))
    with pytest.raises(SparseVQError, match=r"several grids: u \(time 6, y 5, x 4\).* other .*arrays: \[u\]"):
        opened(written(data, tmp_path / "a.nc"))


def test_what_the_configuration_says_goes_before_the_file(tmp_path):
    source = opened(
        written(dataset(), tmp_path / "a.nc"),
        coordinates={"x": (10, 13)},
        time=(1.0, 0.25),
        units={"u": "m/s", "x": "km", "time": "h"},
        periodic=("x",),
        vector={"u": "x"},
        channels=("u", "v"),
    )
    assert source.axes["x"].tolist() == [10, 11, 12, 13] and source.axis_units == {"y": "m", "x": "km"}
    assert source.time.tolist() == [1, 1.25, 1.5, 1.75, 2, 2.25] and source.time_units == "h"
    assert (source.units, source.periodic, source.vector) == (("m/s", "unit1"), ("x",), {"u": "x"})


@pytest.mark.parametrize("chunks", [{"time": 7, "y": 5, "x": 4}, {"time": 40, "y": 1, "x": 1}, {"run": 2, "time": 7}])
def test_each_chunk_is_decompressed_once(tmp_path, monkeypatch, chunks):
    from zarr.storage import LocalStore

    data = dataset(frames=40, channels=("u",), lead=("run",))
    path = written(data.chunk(chunks), tmp_path / "a.zarr")
    source = opened(path)
    fetched, get = [], LocalStore.get

    async def counting(self, key, *arguments, **options):
        fetched.append(key)
        return await get(self, key, *arguments, **options)

    monkeypatch.setattr(LocalStore, "get", counting)
    np.testing.assert_array_equal(all_of(source, block=3)[..., 0], data.u)
    of_u = [key for key in fetched if key.startswith("u/") and not key.endswith(("json", "zarray", "zattrs"))]
    assert len(of_u) == len(set(of_u)) > 1


def test_chunks_that_are_too_large_to_keep_are_read_part_by_part_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slabs.SlabStore.__init__, "__defaults__", (10 * 5 * 4 * 4,))  # ten frames
    data = dataset(frames=40, channels=("u",))
    source = opened(written(data.chunk({"time": 40}), tmp_path / "a.zarr"))
    np.testing.assert_array_equal(all_of(source, block=3)[0, ..., 0], data.u)
    assert "chunks of 1 trajectories x 40 frames are decompressed 4 times each" in capsys.readouterr().out


@pytest.mark.parametrize(
    "version", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4_CLASSIC"]
)
@pytest.mark.parametrize("records", [[], ["time"]])
@pytest.mark.parametrize("channels", [("u",), ("u", "v")])
def test_every_version_of_netcdf(tmp_path, version, records, channels):
    import netCDF4

    u = values(6, 5, 3)
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format=version) as file:
        for name, size in (("time", None if records else 6), ("y", 5), ("x", 3)):
            file.createDimension(name, size)
            file.createVariable(name, "f4", (name,))[:] = np.arange(size or 6)
        for number, channel in enumerate(channels):
            file.createVariable(channel, ("f4", "i2")[number], ("time", "y", "x"))[:] = u * 100**number
    np.testing.assert_array_equal(all_of(opened(tmp_path / "a.nc"))[0, ..., 0], u)
    whole = (tmp_path / "a.nc").read_bytes()
    if version != "NETCDF4_CLASSIC":
        (tmp_path / "b.nc").write_bytes(whole[:-4])
        with pytest.raises(SparseVQError, match=r"b.nc is truncated"):
            opened(tmp_path / "b.nc")


def test_a_file_that_is_refused_is_closed_at_once(tmp_path):
    """Else the same program could not write it again."""
    path = tmp_path / "a.nc"
    data = xr.Dataset({"u": (("time", "x"), values(1, 6, 5)[0])}, coords={"time": [0.0, 1, 2, 3, 4, 1e30]})
    data.to_netcdf(path)
    gc.disable()
    try:
        said = refusal(path)
        data.to_netcdf(path)
    finally:
        gc.enable()
    assert "time of frame 5" in said


def refusal(path):
    """Why a file is refused; the error and what it refers to are gone then, which pytest.raises would keep."""
    try:
        opened(path)
    except SparseVQError as error:
        return str(error)
    return ""
