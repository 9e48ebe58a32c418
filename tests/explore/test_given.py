"""Pages of forecasts without a truth: of data sets, of files, by the command, and in Chromium."""

import numpy as np
import pytest

from sparsevq.cli.main import main
from sparsevq.errors import SparseVQError
from sparsevq.explore.given import forecast_page, open_forecast
from sparsevq.explore.packing import unpacked
from sparsevq.explore.page import write_page
from sparsevq.forecasting.dataset.writing import write_forecast
from tests.browser import complaints, requests
from tests.explore.conftest import FLOWS
from tests.explore.test_browser import change, drawn, opened
from tests.forecasting.test_netcdf import forecast_of


@pytest.mark.parametrize("geometry", FLOWS)
def test_a_forecast_is_shown_with_its_interval_and_its_readings(geometry):
    forecast = forecast_of(FLOWS[geometry]())
    page = forecast_page(forecast)
    (case,) = page.script["cases"]
    assert "truth" not in case["fields"]
    assert page.title == forecast.attrs["title"]
    channel = next(iter(forecast))
    mean = forecast[channel].mean("member").to_numpy()
    np.testing.assert_allclose(unpacked(case["fields"]["mean"][0]), mean.reshape(len(mean), -1), atol=0.01)
    sensors = case["sensors"]
    assert sensors["times"] == [-1.0, 0.0]
    assert sensors["readings"][0][0][0] is None  # the first sensor was not there in the older frame
    np.testing.assert_allclose(
        np.array(sensors["readings"][0], float)[:, -1], forecast[f"{channel}_reading"][-1], rtol=1e-4
    )
    np.testing.assert_allclose(
        np.array(sensors["mean"][0]).T, forecast[f"{channel}_at_sensors"].mean("member"), rtol=1e-3
    )


@pytest.mark.parametrize("name", ["forecast.nc", "forecast.zarr"])
def test_the_command_makes_the_page_of_a_file(tmp_path, capsys, name):
    forecast = forecast_of(FLOWS["plane"]())
    write_forecast(tmp_path / name, forecast, "made")
    assert main(["explore", str(tmp_path / name)]) == 0
    assert str(tmp_path / "forecast.html") in capsys.readouterr().out
    of_file = write_page(tmp_path / "same.html", forecast_page(forecast)).read_bytes()
    assert (tmp_path / "forecast.html").read_bytes() == of_file


def test_the_command_makes_the_page_of_a_run_only_if_it_was_evaluated(tmp_path, capsys):
    assert main(["explore", str(tmp_path)]) == 1
    assert "has no held-out forecasts (forecast.h5)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [("none.nc", None, "there is no"), ("text.nc", b"u,v\n", "can't be read as a forecast")],
)
def test_what_is_no_forecast_is_refused(tmp_path, name, written, words):
    if written:
        (tmp_path / name).write_bytes(written)
    with pytest.raises(SparseVQError, match=words):
        open_forecast(tmp_path / name)


def test_another_netcdf_is_no_forecast(tmp_path):
    forecast_of(FLOWS["plane"]())[["u_reading"]].to_netcdf(tmp_path / "readings.nc")
    with pytest.raises(SparseVQError, match="no field with the dimensions member and lead_time"):
        open_forecast(tmp_path / "readings.nc")


def test_a_file_of_an_earlier_version_has_places_alone(tmp_path):
    forecast = forecast_of(FLOWS["plane"]())
    old = [name for name in forecast.data_vars if name.endswith(("_reading", "_at_sensors"))]
    forecast = forecast.drop_vars([*old, "observed_frame", "sensor_number"]).isel(lead_time=slice(1, None))
    page = forecast_page(forecast)
    assert page.script["leads"]["names"] == ["lead 1 (0.5 s)", "lead 2 (1 s)", "lead 3 (1.5 s)"]
    assert page.script["cases"][0]["sensors"]["readings"][0] == [[None]] * 5


def test_a_forecast_at_points_is_shown_as_dots():
    forecast = forecast_of(FLOWS["dots"]())
    views = forecast_page(forecast).script["domain"]["views"]
    assert views == [{"across": None, "layers": 1, "shown": ["x", "y"], "ratio": pytest.approx(1, abs=0.1)}]


LINE, PICTURES, MEAN = {"forecast", "error"}, {"forecast", "spread", "low", "high"}, {"forecast"}


@pytest.mark.parametrize(
    ("geometry", "members", "panels"),
    [
        *((geometry, 3, LINE if geometry == "line" else PICTURES) for geometry in FLOWS),
        ("line", 1, MEAN),
        ("plane", 1, MEAN),
    ],
)
def test_a_page_without_a_truth_opens_and_moves(tmp_path, chromium, geometry, members, panels):
    page = write_page(tmp_path / "page.html", forecast_page(forecast_of(FLOWS[geometry](), members=members)))
    complaints(chromium), requests(chromium)
    opened(chromium, page)
    first = drawn(chromium)
    assert set(first) == panels
    change(chromium, "lead", "2")
    second = drawn(chromium)
    assert all(first[name] != second[name] for name in first)
    assert complaints(chromium) == []
    assert requests(chromium) == [page.as_uri()]
