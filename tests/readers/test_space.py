"""Coordinates: units go before names and are converted, places of every point become axes or scattered points."""

import h5py
import netCDF4
import numpy as np
import pytest
import scipy.io
import xarray as xr

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.layout import read_data
from sparsevq.data.preprocess import preprocess
from sparsevq.data.source import with_channels
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.dataset.netcdf import as_dataset
from sparsevq.forecasting.dataset.observed import Observed
from sparsevq.forecasting.dataset.writing import write_netcdf
from sparsevq.readers.units import unit_of
from tests.user_files import all_of, opened, values

HOURS = {"units": "hours since 2001-01-01", "standard_name": "time"}


def file_of(path, dims, sizes, coords, attributes=None, name="t", frames=4, seed=0):
    """A NetCDF file with one field and some coordinates: name -> (dimensions, values, attributes)."""
    field = values(frames, *sizes, seed=seed)
    data = xr.Dataset(
        {name: (("time", *dims), field, attributes or {})}, {"time": ("time", np.arange(float(frames)), HOURS)}
    )
    for key, coordinate in coords.items():
        data[key] = coordinate
    data.to_netcdf(path)
    return field


def on_globe(path, latitudes, longitudes, units=("degrees_north", "degrees_east"), names=("lat", "lon"), **about):
    lat, lon = ({"units": unit, **about} if unit else dict(about) for unit in units)
    coords = {names[0]: (names[0], latitudes, lat), names[1]: (names[1], longitudes, lon)}
    return file_of(path, names, (len(latitudes), len(longitudes)), coords)


LATITUDES, LONGITUDES = np.linspace(-75, 75, 6), np.arange(0, 360, 30.0)


# ------------------------------------------------------------------------------------------------ units


@pytest.mark.parametrize(
    ("text", "kind", "size"),
    [
        ("degrees_north", "latitude", 1), ("Degree_N", "latitude", 1), ("deg north", "latitude", 1),
        ("degreesE", "longitude", 1), ("degrees_west", "longitude", -1), ("degrees_south", "latitude", -1),
        ("degrees", "angle", 1), ("°", "angle", 1), ("decimal degrees", "angle", 1), ("arcmin", "angle", 1 / 60),
        ("radian", "angle", 180 / np.pi), ("rad", "angle", 180 / np.pi), ("Radians", "angle", 180 / np.pi),
        ("km", "length", 1e3), ("kilometers", "length", 1e3), ("Metres", "length", 1), ("1000 m", "length", 1e3),
        ("10^3 m", "length", 1e3), ("hPa", "pressure", 100), ("millibars", "pressure", 100), ("Pa", "pressure", 1),
    ],
)  # fmt: skip
def test_units_however_they_are_written(text, kind, size):
    assert unit_of(text) == (kind, pytest.approx(size))


@pytest.mark.parametrize("text", ["", "1", "K", "degC", "m s-1", "m2 s-2", "s", "ms", "M", "Mm", "rad s-1"])
def test_other_units_are_no_places(text):
    assert unit_of(text) is None


@pytest.mark.parametrize("unit", ["radian", "radians", "rad", "Radian"])
@pytest.mark.parametrize("about", [{}, {"standard_name": True}])
def test_radians_are_converted_and_the_sphere_closes(tmp_path, capsys, unit, about):
    lat, lon = (({"standard_name": word} if about else {}) | {"units": unit} for word in ("latitude", "longitude"))
    coords = {
        "lat": ("lat", np.deg2rad(LATITUDES).astype("f4"), lat),
        "lon": ("lon", np.deg2rad(LONGITUDES).astype("f4"), lon),
    }
    file_of(tmp_path / "a.nc", ("lat", "lon"), (6, 12), coords)
    source = opened(tmp_path / "a.nc")
    np.testing.assert_allclose(source.axes["lat"], LATITUDES, atol=1e-5)
    np.testing.assert_allclose(source.axes["lon"], LONGITUDES, atol=3e-5)
    assert source.axis_units == {"lat": "degrees_north", "lon": "degrees_east"} and source.periodic == ("lon",)
    edges = np.sin(np.deg2rad(np.linspace(-90, 90, 7)))
    weights = source.weights.reshape(6, 12)
    np.testing.assert_allclose(weights, np.repeat(np.diff(edges)[:, None] * 3, 12, axis=1), rtol=1e-6)
    assert f"lat in {unit}: converted to degrees_north" in capsys.readouterr().out


def test_radians_of_scattered_points(tmp_path):
    """ICON: clat and clon, whose standard names are latitude and longitude."""
    lat, lon = np.arcsin(np.linspace(-0.9, 0.9, 20)), np.linspace(-3, 3, 20)
    coords = {
        "clat": ("ncells", lat, {"units": "radian", "standard_name": "latitude"}),
        "clon": ("ncells", lon, {"units": "radian", "standard_name": "longitude"}),
        "clat_vertices": (("ncells", "nv"), np.zeros((20, 3)), {"units": "radian"}),
        "clon_vertices": (("ncells", "nv"), np.zeros((20, 3)), {"units": "radian"}),
    }
    file_of(tmp_path / "a.nc", ("ncells",), (20,), coords)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    np.testing.assert_allclose(source.axes["clat"], np.rad2deg(lat))
    np.testing.assert_allclose(source.axes["clon"], np.rad2deg(lon))
    assert source.scattered and source.axis_units == {"clat": "degrees_north", "clon": "degrees_east"}


def test_without_a_unit_the_whole_sphere_in_radians_is_known_by_its_range(tmp_path, capsys):
    on_globe(tmp_path / "a.nc", np.deg2rad(LATITUDES), np.deg2rad(LONGITUDES), ("", ""))
    np.testing.assert_allclose(opened(tmp_path / "a.nc").axes["lat"], LATITUDES)
    assert "lat in radians without a unit (by their range): converted" in capsys.readouterr().out


def test_without_a_unit_what_may_be_both_is_asked(tmp_path):
    on_globe(tmp_path / "a.nc", np.linspace(0.1, 0.7, 5), np.linspace(0.2, 1, 4), ("", ""))
    with pytest.raises(
        SparseVQError, match=r"lat has no unit, and 0.1 to 0.7 may be .*units: \{lat: degrees_north, lon"
    ):
        opened(tmp_path / "a.nc")
    degrees = opened(tmp_path / "a.nc", units={"lat": "degrees_north", "lon": "degrees_east"})
    np.testing.assert_array_equal(degrees.axes["lat"], np.linspace(0.1, 0.7, 5))
    radians = opened(tmp_path / "a.nc", units={"lat": "radians", "lon": "radians"})
    np.testing.assert_allclose(radians.axes["lat"], np.rad2deg(np.linspace(0.1, 0.7, 5)))
    assert radians.axis_units["lat"] == "degrees_north"


def test_degrees_that_look_like_radians_are_said(tmp_path, capsys):
    on_globe(tmp_path / "a.nc", np.deg2rad(LATITUDES), np.deg2rad(LONGITUDES))
    np.testing.assert_array_equal(opened(tmp_path / "a.nc").axes["lat"], np.deg2rad(LATITUDES))
    assert "if they are radians, write `units: {lat: radians, lon: radians}`" in capsys.readouterr().out


def test_a_latitude_in_degrees_east_is_a_longitude_and_that_is_said(tmp_path, capsys):
    on_globe(tmp_path / "a.nc", np.arange(5.0), np.arange(4.0), ("degrees_east", "degrees_north"))
    assert opened(tmp_path / "a.nc").axis_units == {"lat": "degrees_east", "lon": "degrees_north"}
    assert "lat is in degrees_east: it is no latitude, whatever it is called" in capsys.readouterr().out


def test_longitudes_that_jump_by_anything_but_a_turn_are_refused(tmp_path):
    """As when they overflow where they are packed."""
    on_globe(tmp_path / "a.nc", LATITUDES, np.array([300.0, 310, 320, -325.36, -315.36]))
    with pytest.raises(SparseVQError, match=r"coordinates of lon are not monotonic: 320, then -325.36"):
        opened(tmp_path / "a.nc")


def test_what_is_in_metres_is_no_latitude(tmp_path, capsys):
    on_globe(tmp_path / "a.nc", np.linspace(0, 9e5, 5), np.linspace(0, 3e5, 4), ("m", "m"))
    source = opened(tmp_path / "a.nc")
    assert source.axis_units == {"lat": "m", "lon": "m"} and not source.periodic
    assert "lat is in m: it is no latitude" in capsys.readouterr().out
    np.testing.assert_array_equal(source.weights.reshape(5, 4)[2], source.weights.reshape(5, 4)[0])


@pytest.mark.parametrize(
    ("latitudes", "units", "message"),
    [
        (
            np.linspace(0, 95, 5),
            "degrees_north",
            r"lat is a latitude in degrees_north, but 1 .* such as 95: if 95 marks .* a colatitude",
        ),
        (np.linspace(0, 50, 5), "radians", r"lat is a latitude in radians, but 4 of its values"),
        (np.linspace(0, 3e5, 5), "", r"lat is a latitude, but .* give its unit, for instance `units: \{lat: m\}`"),
    ],
)
def test_a_latitude_beyond_the_pole_is_refused(tmp_path, latitudes, units, message):
    on_globe(tmp_path / "a.nc", latitudes, LONGITUDES, (units, "degrees_east"))
    with pytest.raises(SparseVQError, match=message):
        opened(tmp_path / "a.nc")


def test_an_angle_in_no_unit_of_angles_is_refused(tmp_path):
    on_globe(tmp_path / "a.nc", LATITUDES, LONGITUDES, ("parsec", "degrees_east"), standard_name="latitude")
    with pytest.raises(SparseVQError, match=r"lat is a latitude in parsec.*`units: \{lat: degrees_north\}`"):
        opened(tmp_path / "a.nc")


def test_degrees_west_and_south_change_sign(tmp_path):
    u = on_globe(tmp_path / "a.nc", np.arange(5.0, 50, 10), np.arange(20.0, 60, 10), ("degrees_south", "degrees_west"))
    source = opened(tmp_path / "a.nc")
    np.testing.assert_array_equal(source.axes["lat"], -np.arange(5.0, 50, 10)[::-1])
    np.testing.assert_array_equal(source.axes["lon"], -np.arange(20.0, 60, 10)[::-1])
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u[:, ::-1, ::-1])


def test_lengths_of_one_grid_are_in_one_unit(tmp_path, capsys):
    coords = {"y": ("y", np.arange(5.0), {"units": "km"}), "x": ("x", np.arange(4.0) * 500, {"units": "m"})}
    file_of(tmp_path / "a.nc", ("y", "x"), (5, 4), coords)
    source = opened(tmp_path / "a.nc")
    np.testing.assert_array_equal(source.axes["y"], 1000 * np.arange(5.0))
    assert source.axis_units == {"y": "m", "x": "m"}
    assert "y in km: converted to m" in capsys.readouterr().out


@pytest.mark.parametrize("unit", ["km", "hPa", "Pa", "degrees"])
def test_a_unit_that_is_the_only_one_stays(tmp_path, unit):
    file_of(tmp_path / "a.nc", ("level",), (5,), {"level": ("level", np.arange(1.0, 6) * 100, {"units": unit})})
    source = opened(tmp_path / "a.nc")
    assert source.axis_units == {"level": unit}
    np.testing.assert_array_equal(source.axes["level"], np.arange(1.0, 6) * 100)


def test_files_with_axes_in_other_units_are_converted_to_those_of_the_first(tmp_path, capsys):
    for name, levels, unit in (("a", [500.0, 850, 1000], "hPa"), ("b", [5e4, 8.5e4, 1e5], "Pa")):
        file_of(tmp_path / f"{name}.nc", ("plev",), (3,), {"plev": ("plev", levels, {"units": unit})}, seed=len(unit))
    source = opened([str(tmp_path / "a.nc"), str(tmp_path / "b.nc")])
    assert source.trajectories == 2 and source.axis_units == {"plev": "hPa"}
    assert "b.nc: plev in Pa is converted to hPa, as in " in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ longitudes


@pytest.mark.parametrize(
    ("longitudes", "expected", "closes"),
    [
        ([350, 355, 0, 5], [350, 355, 360, 365], False),
        ([5, 0, 355, 350], [-10, -5, 0, 5], False),
        (np.arange(-180, 180, 60), np.arange(-180, 180, 60), True),
        (np.arange(180, 540, 60) % 360, np.arange(180, 540, 60), True),
        (np.arange(30, 390, 60), np.arange(30, 390, 60), True),  # centres of cells
        (np.arange(0, 361, 60), np.arange(0, 360, 60), True),
        (np.arange(0, 421, 60), np.arange(0, 360, 60), True),  # two columns that repeat
        (np.arange(360, -1, -60), np.arange(0, 360, 60), True),
        (np.arange(0, 300, 60), np.arange(0, 300, 60), False),
        (np.round(np.arange(0, 360, 40 / 3), 2), np.round(np.arange(0, 360, 40 / 3), 2), True),
    ],
)
def test_longitudes_increase_and_close(tmp_path, longitudes, expected, closes):
    on_globe(tmp_path / "a.nc", LATITUDES, np.asarray(longitudes, dtype=float))
    source = opened(tmp_path / "a.nc")
    np.testing.assert_array_equal(source.axes["lon"], np.asarray(expected, dtype=float))
    assert source.periodic == (("lon",) if closes else ())


@pytest.mark.parametrize(("points", "closes"), [(36000, True), (35999, False)])
def test_longitudes_in_single_precision_close_and_one_that_lacks_does_not(tmp_path, points, closes):
    on_globe(tmp_path / "a.nc", np.array([0.0, 1.0]), (np.arange(points) * 0.01).astype("f4"))
    assert opened(tmp_path / "a.nc").periodic == (("lon",) if closes else ())


# ------------------------------------------------------------------------------------------------ places of every point


def curvilinear(path, lat, lon, dims=("j", "i"), index="count", names=("lat", "lon"), units=None, lead=(), levels=()):
    """A field on two-dimensional latitudes and longitudes; `lead`: dimensions before theirs."""
    north, east = units or ("degrees_north", "degrees_east")
    coords = {
        names[0]: ((*lead, *dims), lat, {"units": north}),
        names[1]: ((*lead, *dims), lon, {"units": east}),
    }
    sizes = lat.shape[-2:]
    for dim, size in zip(dims, sizes, strict=True):
        if index == "count":
            coords[dim] = (dim, np.arange(size) + 87, {"units": "1", "long_name": "cell index"})
        elif index == "metres":
            coords[dim] = (dim, np.arange(size) * 1e3, {"units": "m", "standard_name": f"projection_{dim}_coordinate"})
    return file_of(path, (*levels, *dims), (*(3 for _ in levels), *sizes), coords)


def mesh(nlat=5, nlon=6, dtype="f8"):
    lat, lon = np.meshgrid(np.linspace(-40, 40, nlat), np.arange(0, 360, 360 / nlon), indexing="ij")
    return lat.astype(dtype), lon.astype(dtype)


@pytest.mark.parametrize("index", ["count", "none"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rectilinear_coordinates_of_every_point_are_axes_and_go_before_a_count(tmp_path, capsys, index, dtype):
    lat, lon = mesh(dtype=dtype)
    lon = np.nextafter(lon, lon + np.arange(5, dtype=dtype)[:, None] - 2)  # equal within the precision
    u = curvilinear(tmp_path / "a.nc", lat, lon, index=index)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    assert list(source.axes) == ["lat", "lon"] and source.periodic == ("lon",) and not source.scattered
    np.testing.assert_array_equal(source.axes["lat"], lat[:, 0])
    np.testing.assert_allclose(source.axes["lon"], lon[0], rtol=1e-6)
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u)
    assert "lat and lon, given for every point, are constant along all dimensions but one" in capsys.readouterr().out


def test_fields_whose_latitude_is_the_last_dimension(tmp_path):
    lat, lon = mesh()
    u = curvilinear(tmp_path / "a.nc", lat.T, lon.T, dims=("x", "y"))
    source = opened(tmp_path / "a.nc")
    assert list(source.axes) == ["lon", "lat"]
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u)


def test_a_projection_with_coordinates_of_its_own_stays(tmp_path):
    lat, lon = mesh()
    curvilinear(tmp_path / "a.nc", lat + lon / 10, lon, dims=("y", "x"), index="metres")
    source = opened(tmp_path / "a.nc", arrays=("t",))
    assert source.axis_units == {"y": "m", "x": "m"} and not source.scattered


def test_whole_degrees_without_a_unit_are_no_count(tmp_path):
    lat, lon = mesh()
    coords = {
        "rlat": ("rlat", np.arange(-2, 3)), "rlon": ("rlon", np.arange(-3, 3)),
        "lat": (("rlat", "rlon"), lat, {"units": "degrees_north"}),
        "lon": (("rlat", "rlon"), lon, {"units": "degrees_east"}),
    }  # fmt: skip
    file_of(tmp_path / "a.nc", ("rlat", "rlon"), (5, 6), coords)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    np.testing.assert_array_equal(source.axes["rlat"], np.arange(-2, 3))
    assert source.axis_units == {"rlat": "degrees_north", "rlon": "degrees_east"}


def test_a_rotated_grid_keeps_its_latitude_for_the_areas(tmp_path):
    lat, lon = mesh()
    curvilinear(tmp_path / "a.nc", lat + lon / 10, lon, dims=("rlat", "rlon"), index="none")
    with xr.open_dataset(tmp_path / "a.nc", decode_times=False) as data:
        data = data.load()
    data["rlat"] = ("rlat", np.arange(5.0), {"units": "degrees", "standard_name": "grid_latitude"})
    data["rlon"] = ("rlon", np.arange(6.0), {"units": "degrees", "standard_name": "grid_longitude"})
    data.to_netcdf(tmp_path / "b.nc")
    source = opened(tmp_path / "b.nc", arrays=("t",))
    assert source.axis_units == {"rlat": "degrees_north", "rlon": "degrees_east"} and not source.scattered


@pytest.mark.parametrize("levels", [(), ("lev",)])
def test_curvilinear_coordinates_are_scattered_whatever_counts_the_points(tmp_path, levels):
    lat, lon = mesh()
    lat = lat + lon / 20
    u = curvilinear(tmp_path / "a.nc", lat, lon, dims=("nlat", "nlon"), levels=levels)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    assert source.scattered and source.grid == (30 * 3 ** len(levels),)
    np.testing.assert_array_equal(source.axes["lat"], np.tile(lat.ravel(), 3 ** len(levels)))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u.reshape(4, -1))
    if levels:
        np.testing.assert_array_equal(source.axes["lev"], np.repeat([0, 1, 2], 30))


def test_points_without_a_place_are_left_out(tmp_path, capsys):
    lat, lon = mesh()
    lat = lat + lon / 20
    lat[0, :2] = np.nan
    lon[-1, -1] = np.nan
    u = curvilinear(tmp_path / "a.nc", lat, lon)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    there = np.isfinite(lat + lon)
    assert source.grid == (27,) and np.isfinite(source.physical_coordinates).all()
    np.testing.assert_array_equal(source.axes["lat"], lat[there])
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u[:, there])
    assert "3 of 30 points have no coordinates: they are left out" in capsys.readouterr().out


def test_undeclared_values_for_no_place_are_named_and_the_way_out_works(tmp_path):
    lat, lon = mesh()
    lat = lat + lon / 20
    lat[0, :2] = lon[0, :2] = -999
    curvilinear(tmp_path / "a.nc", lat, lon)
    with pytest.raises(SparseVQError, match=r"lat is a latitude .* 2 of its values .* -999.*`missing: \[-999\]`"):
        opened(tmp_path / "a.nc", arrays=("t",))
    assert opened(tmp_path / "a.nc", arrays=("t",), missing=(-999,)).grid == (28,)


def test_a_rectilinear_grid_with_holes_in_its_coordinates(tmp_path):
    lat, lon = mesh()
    want = lat[:, 0].copy()
    lat[1:3, 2:4] = lon[1:3, 2:4] = np.nan
    curvilinear(tmp_path / "a.nc", lat, lon)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    np.testing.assert_array_equal(source.axes["lat"], want)
    assert source.periodic == ("lon",)


def test_a_region_across_the_date_line_is_in_one_piece(tmp_path):
    lat, lon = mesh()
    lon = (175 + lon / 36 + lat / 20 + 180) % 360 - 180
    curvilinear(tmp_path / "a.nc", lat, lon)
    at = opened(tmp_path / "a.nc", arrays=("t",)).axes["lon"]
    assert np.ptp(at) < 20
    np.testing.assert_allclose((at - lon.ravel()) % 360, np.zeros(30), atol=1e-9)


@pytest.mark.parametrize("projection", ["mercator", "lambert"])
def test_wrf_has_places_for_each_time(tmp_path, projection):
    lat, lon = mesh(dtype="f4")
    lat = lat + (lon / 20 if projection == "lambert" else 0)
    u = curvilinear(
        tmp_path / "a.nc", np.stack([lat] * 4), np.stack([lon] * 4), dims=("south_north", "west_east"), index="none",
        names=("XLAT", "XLONG"), units=("degree_north", "degree_east"), lead=("time",), levels=("bottom_top",),
    )  # fmt: skip
    source = opened(tmp_path / "a.nc", arrays=("t",))
    if projection == "mercator":
        assert list(source.axes) == ["bottom_top", "XLAT", "XLONG"] and source.periodic == ("XLONG",)
        np.testing.assert_array_equal(all_of(source)[0, ..., 0], u)
    else:
        assert source.scattered and source.grid == (90,)
        np.testing.assert_array_equal(source.axes["XLAT"], np.tile(lat.ravel(), 3))


def test_places_that_move_are_refused(tmp_path):
    lat, lon = mesh()
    lats = np.stack([lat + number for number in range(4)])
    curvilinear(tmp_path / "a.nc", lats, np.stack([lon] * 4), lead=("time",))
    with pytest.raises(SparseVQError, match=r"coordinates lat move: number 1 along time .* `coordinates`"):
        opened(tmp_path / "a.nc", arrays=("t",))


def test_one_dimensional_places_for_each_time(tmp_path):
    coords = {
        "latitude": (("time", "y"), np.tile(LATITUDES, (4, 1)), {"units": "degrees_north"}),
        "longitude": (("time", "x"), np.tile(LONGITUDES, (4, 1)), {"units": "degrees_east"}),
    }
    file_of(tmp_path / "a.nc", ("y", "x"), (6, 12), coords)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    np.testing.assert_array_equal(source.axes["y"], LATITUDES)
    assert source.axis_units == {"y": "degrees_north", "x": "degrees_east"} and source.periodic == ("x",)


def test_of_several_places_those_that_the_field_names_are_taken(tmp_path):
    """POP and NEMO have places of the corners beside those of the centres, on the same dimensions."""
    lat, lon = mesh()
    dims = ("nlat", "nlon")
    coords = {
        name: (dims, at + shift, {"units": f"degrees_{way}"})
        for letter, shift in (("T", 0), ("U", 0.5))
        for name, at, way in ((f"{letter}LAT", lat, "north"), (f"{letter}LONG", lon, "east"))
    }
    file_of(tmp_path / "a.nc", dims, (5, 6), coords)
    with pytest.raises(
        SparseVQError, match=r"several places for each point: .*name one pair: `coordinates: \{tlat: TLAT"
    ):
        opened(tmp_path / "a.nc", arrays=("t",))
    source = opened(tmp_path / "a.nc", arrays=("t",), coordinates={"lat": "ULAT", "lon": "ULONG"})
    np.testing.assert_array_equal(source.axes["lat"], lat[:, 0] + 0.5)
    with xr.open_dataset(tmp_path / "a.nc", decode_times=False) as data:
        named = data.load().set_coords(["TLAT", "TLONG"])
    named.t.encoding["coordinates"] = "TLONG TLAT"
    named.to_netcdf(tmp_path / "b.nc")
    np.testing.assert_array_equal(opened(tmp_path / "b.nc", arrays=("t",)).axes["TLAT"], lat[:, 0])


def test_an_index_of_scattered_points_is_no_axis(tmp_path):
    coords = {
        "location": ("location", np.arange(7), {}),
        "latitude": ("location", np.linspace(10, 20, 7), {"units": "degrees_north"}),
        "longitude": ("location", np.linspace(30, 20, 7), {"units": "degrees_east"}),
    }
    file_of(tmp_path / "a.nc", ("location",), (7,), coords)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    assert source.scattered and list(source.axes) == ["latitude", "longitude"]


# ------------------------------------------------------------------------------------------------ without dimensions


@pytest.mark.parametrize("names", [("X", "Y"), ("x", "y"), ("XX", "YY"), ("x_grid", "y_grid"), ("grid_x", "grid_y")])
def test_matrices_of_meshgrid_are_axes(tmp_path, capsys, names):
    u = values(8, 12, 6).astype("f8")
    x, y = np.meshgrid(np.linspace(0, 1.1, 12), np.linspace(0, 0.7, 8))
    scipy.io.savemat(tmp_path / "a.mat", {"u": u, names[0]: x, names[1]: y, "t": np.arange(6.0)})
    source = opened(tmp_path / "a.mat", arrays=("u",), dimensions=("y", "x", "time"))
    np.testing.assert_array_equal(source.axes["x"], x[0])
    np.testing.assert_array_equal(source.axes["y"], y[:, 0])
    assert f"{names[1]} and {names[0]}, given for every point" in capsys.readouterr().out
    given = opened(
        tmp_path / "a.mat", arrays=("u",), dimensions=("y", "x", "time"), coordinates={"x": names[0], "y": names[1]}
    )
    np.testing.assert_array_equal(given.axes["x"], x[0])
    np.testing.assert_array_equal(all_of(given)[0, ..., 0], u.transpose(2, 0, 1).astype("f4"))


def test_matrices_in_three_dimensions_and_in_the_other_order(tmp_path):
    at = [np.linspace(0, 1, 4), np.linspace(0, 2, 5), np.linspace(0, 3, 6)]
    z, y, x = np.meshgrid(*at, indexing="ij")
    np.savez(tmp_path / "a.npz", u=values(3, 4, 5, 6), x=x, y=y, z=z)
    source = opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "z", "y", "x"))
    for axis, along in zip("zyx", at, strict=True):
        np.testing.assert_array_equal(source.axes[axis], along)
    turned = np.meshgrid(at[2], at[1])  # (y, x), of a field (x, y)
    np.savez(tmp_path / "b.npz", u=values(3, 6, 5), x=turned[0], y=turned[1])
    source = opened(tmp_path / "b.npz", arrays=("u",), dimensions=("time", "x", "y"))
    np.testing.assert_array_equal(source.axes["x"], at[2])


def test_matrices_for_each_frame_as_piv_toolboxes_write_them(tmp_path):
    x, y = np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 2, 5))
    arrays = {"u": values(3, 5, 4), "x": np.stack([x] * 3), "y": np.stack([y] * 3)}
    np.savez(tmp_path / "a.npz", **arrays)
    source = opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "y", "x"))
    np.testing.assert_array_equal(source.axes["x"], x[0])
    np.savez(tmp_path / "b.npz", **arrays | {"x": np.stack([x, x, x + 1])})
    with pytest.raises(SparseVQError, match=r"the coordinates x move along one of its dimensions \(3, 5, 4\)"):
        opened(tmp_path / "b.npz", arrays=("u",), dimensions=("time", "y", "x"))


def test_matrices_of_some_dimensions_and_one_array_for_all(tmp_path):
    x, y = np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 2, 5))
    np.savez(tmp_path / "a.npz", u=values(3, 2, 5, 4), X=x, Y=y, xy=np.stack([x, y], axis=-1))
    dimensions = ("time", "z", "y", "x")
    source = opened(tmp_path / "a.npz", arrays=("u",), dimensions=dimensions)
    np.testing.assert_array_equal(source.axes["y"], y[:, 0])
    given = opened(tmp_path / "a.npz", arrays=("u",), dimensions=dimensions, coordinates={"x": "xy", "y": "xy"})
    for axis in "zyx":
        np.testing.assert_array_equal(given.axes[axis], source.axes[axis])


def test_matrices_that_contradict_the_names_of_dimensions_are_refused(tmp_path):
    y, x = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 2, 5), indexing="ij")
    np.savez(tmp_path / "a.npz", u=values(3, 5, 5), x=x, y=y)
    with pytest.raises(SparseVQError, match=r"the coordinates of x, change along y only: exchange x and y"):
        opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "x", "y"))


def test_a_mesh_that_is_bent_is_scattered(tmp_path):
    r, angle = np.meshgrid(np.linspace(1, 2, 4), np.linspace(0, 3, 7))
    x, y = r * np.cos(angle), r * np.sin(angle)
    u = values(7, 4, 5).astype("f8")
    scipy.io.savemat(tmp_path / "a.mat", {"u": u, "X": x, "Y": y})
    source = opened(tmp_path / "a.mat", arrays=("u",), dimensions=("y", "x", "time"))
    assert source.scattered and source.grid == (28,)
    np.testing.assert_array_equal(source.axes["x"], x.ravel())
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u.transpose(2, 0, 1).reshape(5, 28).astype("f4"))


@pytest.mark.parametrize("name", ["x-coordinate", "dimensions/x", "grid/x", "X", "x_coord", "coords/x_centers"])
def test_coordinates_by_names_like_the_axis(tmp_path, capsys, name):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["fields/u"] = values(3, 5)
        file[name] = np.linspace(2, 3, 5)
    source = opened(tmp_path / "a.h5", arrays=("fields/u",), dimensions=("time", "x"))
    np.testing.assert_array_equal(source.axes["x"], np.linspace(2, 3, 5))
    assert f"{name} is taken for the coordinates of x" in capsys.readouterr().out


def test_of_several_coordinates_the_nearest_is_taken_or_it_is_asked(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one/u"], file["one/x"], file["two/x"] = values(3, 5), np.arange(5.0) * 2, np.arange(5.0) * 3
        file["u"] = values(3, 5)
    source = opened(tmp_path / "a.h5", arrays=("one/u",), dimensions=("time", "x"))
    np.testing.assert_array_equal(source.axes["x"], np.arange(5.0) * 2)
    with pytest.raises(
        SparseVQError, match=r"one/x and two/x may both be .* of x: name one: `coordinates: \{x: one/x\}`"
    ):
        opened(tmp_path / "a.h5", arrays=("u",), dimensions=("time", "x"))


@pytest.mark.parametrize("bent", [0, 1])
def test_latitudes_and_longitudes_without_names_of_dimensions(tmp_path, bent):
    lat, lon = mesh()
    u = values(3, 5, 6)
    np.savez(tmp_path / "a.npz", u=u, lat=lat + bent * lon / 20, lon=lon)
    source = opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "y", "x"))
    assert source.scattered == bool(bent) and list(source.axes) == ["lat", "lon"]
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u.reshape(3, *source.grid))
    np.savez(tmp_path / "b.npz", u=u, Latitude=lat[:, 0], Longitude=lon[0])
    source = opened(tmp_path / "b.npz", arrays=("u",), dimensions=("time", "y", "x"))
    np.testing.assert_array_equal(source.axes["y"], lat[:, 0])
    assert source.axis_units == {"y": "degrees_north", "x": "degrees_east"} and source.periodic == ("x",)


def test_places_without_names_of_dimensions_beside_a_field_with_them(tmp_path):
    lat, lon = mesh()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"], file["geolocation/Latitude"], file["geolocation/Longitude"] = values(3, 5, 6), lat, lon
        for index, name in enumerate(("time", "y", "x")):
            file["u"].dims[index].label = name
    source = opened(tmp_path / "a.h5", arrays=("u",))
    assert list(source.axes) == ["latitude", "longitude"] and source.periodic == ("longitude",)


def test_edges_of_cells_are_no_points(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", u=values(3, 5), x_edges=np.linspace(0, 1, 6))
    source = opened(tmp_path / "a.npz", arrays=("u",), dimensions=("time", "x"))
    np.testing.assert_array_equal(source.axes["x"], np.arange(5.0))
    assert "numbered 0, 1, ... (x_edges has one number more" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ other dimensions


def test_a_mesh_in_space_needs_all_three_coordinates(tmp_path):
    z, y, x = np.meshgrid(np.arange(3.0), np.arange(4.0), np.arange(5.0), indexing="ij")
    coords = {
        name: (("k", "j", "i"), at + 0.1 * other, {"units": "m"})
        for name, at, other in (("x", x, y), ("y", y, z), ("z", z, x))
    }
    file_of(tmp_path / "a.nc", ("k", "j", "i"), (3, 4, 5), coords)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    assert source.scattered
    np.testing.assert_array_equal(source.axes["z"], (z + 0.1 * x).ravel())


def test_levels_of_places_that_are_the_same_for_each(tmp_path, capsys):
    lat, lon = mesh()
    lat = lat + lon / 20
    coords = {
        "lat": (("k", "j", "i"), np.stack([lat] * 3), {"units": "degrees_north"}),
        "lon": (("k", "j", "i"), np.stack([lon] * 3), {"units": "degrees_east"}),
        "z": (("time", "k", "j", "i"), values(4, 3, 5, 6), {"units": "m", "positive": "up"}),
    }
    file_of(tmp_path / "a.nc", ("k", "j", "i"), (3, 5, 6), coords)
    source = opened(tmp_path / "a.nc", arrays=("t",))
    np.testing.assert_array_equal(source.axes["k"], np.repeat([0, 1, 2], 30))
    assert "axis k has no coordinates: its points are numbered" in capsys.readouterr().out


def test_a_height_that_changes_in_time_is_a_field(tmp_path):
    coords = {
        "lat": ("station", np.linspace(10, 20, 7), {"units": "degrees_north"}),
        "lon": ("station", np.linspace(20, 30, 7), {"units": "degrees_east"}),
    }
    file_of(tmp_path / "a.nc", ("station",), (7,), coords, {"units": "m"}, name="height")
    source = opened(tmp_path / "a.nc")
    assert source.channels == ("height",) and list(source.axes) == ["lat", "lon"]


def test_places_that_were_never_written_are_refused(tmp_path):
    curvilinear(tmp_path / "a.nc", np.zeros((5, 6)), np.zeros((5, 6)), levels=("lev",))
    with pytest.raises(SparseVQError, match=r"all its 3 x 5 x 6 points are at one place \(lat, lon\)"):
        opened(tmp_path / "a.nc", arrays=("t",))


def test_places_that_only_the_field_names(tmp_path):
    lat, lon = mesh()
    coords = {"yc": (("y", "x"), lat + lon / 20), "xc": (("y", "x"), lon)}
    file_of(tmp_path / "a.nc", ("y", "x"), (5, 6), coords)
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        file["t"].coordinates = "yc xc"
    source = opened(tmp_path / "a.nc", arrays=("t",))
    assert source.scattered and list(source.axes) == ["yc", "xc"]


# ------------------------------------------------------------------------------------------------ names


def test_long_and_standard_names_come_along_into_the_data_set(tmp_path):
    about = {"units": "K", "long_name": "air  temperature at 2 m", "standard_name": "air_temperature", "code": 167}
    coords = {
        "lat": ("lat", LATITUDES, {"units": "degrees_north", "standard_name": "latitude"}),
        "plev": ("plev", np.array([5e4, 8.5e4]), {"units": "Pa", "positive": "down", "long_name": "pressure"}),
    }
    file_of(tmp_path / "a.nc", ("plev", "lat"), (2, 6), coords, about, name="tas", frames=6)
    settings = {"split": "time", "block": 2, "validation": 1, "test": 1}
    source = opened(tmp_path / "a.nc", **settings)
    preprocess(source, tmp_path / "data.h5", "mine", FileConfig(path="a.nc", **settings), PreprocessConfig())
    data = read_data(tmp_path / "data.h5")
    assert data.channel_about == {"tas": {"long_name": "air temperature at 2 m", "standard_name": "air_temperature"}}
    assert data.axis_about == {
        "lat": {"standard_name": "latitude"},
        "plev": {"long_name": "pressure", "positive": "down"},
    }
    assert with_channels(source, ["tas"]).channel_about == data.channel_about
    fields = np.zeros((1, 2, 3, *data.grid), np.float32)
    observed = Observed((0,), np.array([[6e4, 10.0]]), np.zeros((1, 1, 1)), np.zeros(1, np.int32))
    forecast = as_dataset(data, fields, np.arange(3.0), observed, fields[..., :1, 0], {})
    write_netcdf(tmp_path / "forecast.nc", forecast, "made")
    with xr.open_dataset(tmp_path / "forecast.nc") as found:
        assert found.tas.units == "K"
        assert (found.tas.long_name, found.tas.standard_name) == ("air temperature at 2 m", "air_temperature")
        assert (found.plev.long_name, found.plev.positive, found.plev.axis) == ("pressure", "down", "Z")
        assert (found.lat.standard_name, found.lat.units, found.lat.axis) == ("latitude", "degrees_north", "Y")


def test_names_of_an_array_of_several_channels(tmp_path):
    file_of(tmp_path / "a.nc", ("x", "component"), (5, 2), {}, {"long_name": "velocity", "standard_name": "wind"})
    assert opened(tmp_path / "a.nc").channel_about == {
        "t_0": {"long_name": "velocity: t_0"},
        "t_1": {"long_name": "velocity: t_1"},
    }


def test_staggered_components_are_told_what_to_do(tmp_path):
    file_of(tmp_path / "a.nc", ("y", "x"), (5, 4), {})
    with xr.open_dataset(tmp_path / "a.nc", decode_times=False) as data:
        data = data.load()
    data["U"] = (("time", "y", "x_stag"), values(4, 5, 5))
    data.to_netcdf(tmp_path / "b.nc")
    with pytest.raises(
        SparseVQError, match=r"several grids.*arrays: \[t\]`; U has one point more along x_stag, at the ed"
    ):
        opened(tmp_path / "b.nc")
    with pytest.raises(SparseVQError, match=r"different grids.*average neighbours"):
        opened(tmp_path / "b.nc", arrays=("t", "U"))


def test_latitudes_of_every_time_are_no_field(tmp_path):
    lat, lon = mesh()
    curvilinear(tmp_path / "a.nc", np.stack([lat] * 4), np.stack([lon] * 4), lead=("time",))
    assert opened(tmp_path / "a.nc").channels == ("t",)
