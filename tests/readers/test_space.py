"""Coordinates: units go before names and are converted, places of every point become axes or scattered points."""

import numpy as np
import pytest
import xarray as xr

from sparsevq.errors import SparseVQError
from sparsevq.readers.units import unit_of
from tests.user_files import all_of, opened, values

HOURS = {"units": "hours since 2001-01-01", "standard_name": "time"}


def file_of(path, dims, sizes, coords, attributes=None, name="t"):
    """A NetCDF file with one field and some coordinates: name -> (dimensions, values, attributes)."""
    field = values(4, *sizes)
    data = xr.Dataset({name: (("time", *dims), field, attributes or {})}, {"time": ("time", np.arange(4.0), HOURS)})
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


def test_what_is_in_metres_is_no_latitude(tmp_path):
    on_globe(tmp_path / "a.nc", np.linspace(0, 9e5, 5), np.linspace(0, 3e5, 4), ("m", "m"))
    source = opened(tmp_path / "a.nc")
    assert source.axis_units == {"lat": "m", "lon": "m"} and not source.periodic
    np.testing.assert_array_equal(source.weights.reshape(5, 4)[2], source.weights.reshape(5, 4)[0])


@pytest.mark.parametrize(
    ("latitudes", "units", "message"),
    [
        (
            np.linspace(0, 95, 5),
            "degrees_north",
            r"lat is a latitude in degrees_north, but 1 .* beyond 90 .* such as 95",
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
