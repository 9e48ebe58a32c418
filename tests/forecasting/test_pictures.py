"""Pictures and films of forecasts: of any geometry, of many points and of few."""

import os
from dataclasses import replace
from itertools import pairwise

import imageio_ffmpeg
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from sparsevq.errors import SparseVQError
from sparsevq.forecasting.dataset.netcdf import channels_of
from sparsevq.forecasting.pictures.animation import animate_forecast
from sparsevq.forecasting.pictures.curves import MOST_CURVES, has_curves, place_text
from sparsevq.forecasting.pictures.picture import draw_forecast
from sparsevq.forecasting.pictures.pictured import PicturedForecast, lead_titles
from sparsevq.plotting.film import HELD
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

from .test_netcdf import forecast_of

FLOWS = {
    "line": travelling_waves(grid=(40,)),
    "plane": travelling_waves(grid=(16, 16)),
    "space": travelling_waves(grid=(4, 9, 12)),
    "sphere": on_a_sphere(),
    "points on a line": scattered_waves(dimensions=1),
    "points": scattered_waves(),
    "points in space": scattered_waves(dimensions=3),
}


def at_points(count, members=3):
    """A forecast of a plane at so many points."""
    data = travelling_waves(grid=(16, 16), obstacle=False)
    rng = np.random.default_rng(2)
    places = dict(zip(data.axes, rng.uniform(0, 1, (2, count)), strict=True))
    forecast = forecast_of(data, members)
    field = rng.normal(size=(members, 4, count)).astype(np.float32)
    units = {axis: forecast[axis].attrs for axis in places}
    forecast = forecast.drop_vars(["u", "v", "y", "x"])
    return forecast.assign(u=(("member", "lead_time", "point"), field, {"units": "m/s"})).assign_coords(
        {axis: ("point", at, units[axis]) for axis, at in places.items()}
    )


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("flow", FLOWS)
def test_pictures_of_every_geometry(flow, members, tmp_path):
    draw_forecast(tmp_path / "forecast.png", forecast_of(FLOWS[flow], members))
    with Image.open(tmp_path / "forecast.png") as picture:
        assert min(picture.size) > 200
        assert len(picture.convert("RGB").getcolors(2**24)) > 20


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("flow", FLOWS)
def test_films_have_a_picture_for_each_lead_time(flow, members, tmp_path):
    animate_forecast(tmp_path / "forecast.gif", forecast_of(FLOWS[flow], members))
    with Image.open(tmp_path / "forecast.gif") as film:
        assert film.n_frames == 4
        pictures = []
        for number in range(film.n_frames):
            film.seek(number)
            pictures.append(np.asarray(film.convert("L"), dtype=float))
    assert all(np.abs(one - other).max() > 50 for one, other in pairwise(pictures))


def test_a_video_is_the_same_film(tmp_path):
    path = animate_forecast(tmp_path / "forecast.mp4", forecast_of(FLOWS["line"]))
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 4 + HELD - 1


def test_a_film_tells_how_far_it_is(tmp_path):
    went = []
    animate_forecast(tmp_path / "forecast.gif", forecast_of(FLOWS["line"]), lambda *far: went.append(far))
    assert went == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_a_field_in_space_is_seen_from_the_side_where_it_varies():
    """z upwards: what rises is what a person wants to see."""
    forecast = forecast_of(travelling_waves(grid=(5, 6, 7), obstacle=False))
    for channel in channels_of(forecast):
        forecast[channel].loc[{"y": forecast["y"][4]}] *= 10
    viewer = PicturedForecast(forecast, [0, 3], 1.6).viewer
    assert viewer.shown_axes == ("x", "z")
    assert viewer.part == "y = 0.8 m"


@pytest.mark.filterwarnings("error")
def test_a_forecast_that_is_computed_in_parts_gives_the_same_picture():
    forecast = forecast_of(FLOWS["plane"])
    whole, parts = (PicturedForecast(given, [0, 2], 1.6) for given in (forecast, forecast.chunk(lead_time=1, y=5)))
    for one, other in zip(whole.rows, parts.rows, strict=True):
        np.testing.assert_allclose(one.shown, other.shown, rtol=1e-6)


def test_sensors_have_the_colour_of_their_readings_at_lead_0_and_are_left_out_where_they_read_nothing():
    forecast = forecast_of(FLOWS["plane"])
    forecast["v_reading"][:, 2] = np.nan
    shown = PicturedForecast(forecast, [0, 2], 1.6)
    mean_u, spread_u, mean_v, _ = shown.rows
    axes = Figure().subplots()
    np.testing.assert_array_equal(shown.sensors(axes, mean_u, 0).get_array(), forecast["u_reading"][-1])
    assert shown.sensors(axes, mean_u, 1).get_array() is None
    assert shown.sensors(axes, spread_u, 0).get_array() is None
    assert len(shown.sensors(axes, mean_v, 0).get_offsets()) == forecast.sizes["sensor"] - 1
    forecast["v_reading"][:] = np.nan
    assert PicturedForecast(forecast, [0, 2], 1.6).sensors(axes, mean_v, 0) is None


def test_lead_times_are_told_in_a_persons_unit_and_with_dates():
    forecast = forecast_of(FLOWS["line"]).assign_coords(lead_time=[0.0, 3600.0, 7200.0, 10800.0])
    forecast["lead_time"].attrs["units"] = "s"
    assert lead_titles(forecast, [0, 3]) == ["analysis", "lead 3 (+3 h)"]
    dates = np.array(["2020-01-01T22", "2020-01-01T23", "2020-01-02T00", "2020-01-02T01"], "datetime64[ns]")
    dated = forecast.assign_coords(valid_time=("lead_time", dates))
    assert lead_titles(dated, [0, 2]) == ["analysis\n2020-01-01 22:00", "lead 2 (+2 h)\n2020-01-02"]
    monthly = dated.assign_coords(lead_time=[0.0, 30.4 * 86400, 60.9 * 86400, 91.3 * 86400])
    monthly["lead_time"].attrs["units"] = "s"
    assert lead_titles(monthly, [1]) == ["lead 1 (+1 month)\n2020-01-01"]
    of_months = xr.date_range("2001-02-27", periods=4, calendar="360_day", use_cftime=True)
    assert lead_titles(dated.assign_coords(valid_time=("lead_time", of_months)), [3])[0].endswith("2001-02-30")


def test_a_unit_that_is_none_is_left_out():
    forecast = forecast_of(FLOWS["line"])
    forecast["lead_time"].attrs = {"units": "1"}
    assert lead_titles(forecast, [0, 3]) == ["analysis", "lead 3"]


@pytest.mark.parametrize(("points", "members"), [(1, 3), (MOST_CURVES, 1), (MOST_CURVES + 1, 3)])
def test_few_points_are_curves_and_many_are_dots(points, members, tmp_path):
    forecast = at_points(points, members)
    assert has_curves(forecast) == (points <= MOST_CURVES)
    with Image.open(draw_forecast(tmp_path / "forecast.png", forecast)) as picture:
        assert picture.width > 200
    animate_forecast(tmp_path / "forecast.gif", forecast)


def test_a_curve_says_where_its_point_is():
    forecast = at_points(2)
    y, x = (float(forecast[axis][1]) for axis in "yx")
    assert place_text(forecast, 1) == f"y = {y:.4g} m, x = {x:.4g} m"


def test_the_title_says_what_is_left_out():
    data = travelling_waves(grid=(4, 9, 12))
    four = replace(
        data, fields=data.fields.repeat(2, axis=-1), channels=tuple("abcd"), units=("1",) * 4, vector={}
    )  # only what names and sizes say is used
    title = PicturedForecast(forecast_of(four), [0], 1.6).title
    assert "3 members; 1 more channel; x = " in title
    assert title.endswith("all sensors")


@pytest.mark.parametrize("draw", [draw_forecast, animate_forecast])
def test_a_file_in_the_way_is_one_line(draw, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SparseVQError, match="cannot write"):
        draw(tmp_path / "file/forecast.gif", forecast_of(FLOWS["line"]))
    assert os.listdir(tmp_path) == ["file"]
