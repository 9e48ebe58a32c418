"""Forecasts on the grid, at any points, as quantiles, whole and block by block."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sparsevq
from sparsevq.errors import SparseVQError
from sparsevq.forecasting import fields
from sparsevq.forecasting.dataset.writing import write_forecast
from sparsevq.forecasting.points import read_points
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


@pytest.fixture(scope="module", params=["run", "modal_run"])
def case(request):
    run = request.getfixturevalue(request.param)
    return sparsevq.Forecaster(run.path, device="cpu"), run


def test_at_the_grids_points_a_forecast_is_that_of_the_grid(case):
    model, run = case
    whole = model.forecast(run.readings(), 4, 3)
    at_points = model.forecast(run.readings(), 4, 3, points=run.data.physical_coordinates)
    assert at_points["u"].dims == ("member", "lead_time", "point")
    for channel in ("u", "v"):
        expected = whole[channel].to_numpy().reshape(3, 5, -1)
        assert np.isnan(expected).any()
        np.testing.assert_allclose(at_points[channel], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(at_points["x"], run.data.physical_coordinates[:, 1])


def test_between_the_grids_points_of_modes_a_forecast_is_between(modal_run):
    model, row = sparsevq.Forecaster(modal_run.path, device="cpu"), modal_run.data.axes["y"][0]
    left, right = modal_run.data.axes["x"][:2]
    places = np.array([[row, left], [row, right], [row, (left + right) / 2]])
    found = model.forecast(modal_run.readings(), 2, 2, points=places)["u"].to_numpy()
    np.testing.assert_allclose(found[..., 2], found[..., :2].mean(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("chunks", [{"lead_time": 2}, {"lead_time": 1, "y": 3}, {"x": 5}])
@pytest.mark.parametrize("calibration", [False, True])
def test_block_by_block_a_forecast_is_the_same(case, chunks, calibration, monkeypatch):
    model, run = case
    if calibration:
        monkeypatch.setattr(
            type(model._model), "factor", lambda self, observed, leads: 1 + np.ones((leads, 2)).cumsum(0)
        )
    whole = model.forecast(run.readings(), 4, 3, quantiles=[0.1, 0.5], chunks=None)
    lazy = model.forecast(run.readings(), 4, 3, quantiles=[0.1, 0.5], chunks=chunks)
    assert lazy["u"].chunks is not None and lazy["u_quantile"].chunks is not None
    assert lazy["u_at_sensors"].chunks is None
    xr.testing.assert_allclose(lazy.compute(), whole, rtol=1e-4, atol=1e-5)
    part = lazy["v"].isel(lead_time=3, y=slice(2, 5)).compute()
    xr.testing.assert_allclose(part, whole["v"].isel(lead_time=3, y=slice(2, 5)), rtol=1e-4, atol=1e-5)


def test_large_forecasts_are_computed_when_they_are_used(case, monkeypatch):
    model, run = case
    bytes_of_all = 4 * 3 * 5 * 8 * 12 * 2
    monkeypatch.setattr(fields, "IN_MEMORY", bytes_of_all)
    assert model.forecast(run.readings(), 4, 3)["u"].chunks is None
    monkeypatch.setattr(fields, "IN_MEMORY", bytes_of_all - 1)
    assert model.forecast(run.readings(), 4, 3)["u"].chunks is not None


def test_blocks_are_no_larger_than_memory_has_room_for(case, monkeypatch):
    model, run = case
    monkeypatch.setattr(fields, "BLOCK_BYTES", 4 * 2 * 3 * 5 * 12 * 2)  # two rows, all lead times
    assert model.forecast(run.readings(), 4, 3, chunks={})["u"].chunks == ((3,), (5,), (2, 2, 2, 2), (12,))
    monkeypatch.setattr(fields, "BLOCK_BYTES", 4 * 2 * 3 * 2 * 12)  # of one row two lead times
    assert model.forecast(run.readings(), 4, 3, chunks={})["u"].chunks == ((3,), (2, 2, 1), (1,) * 8, (12,))


def test_each_block_is_computed_once_for_all_channels_and_quantiles(case, monkeypatch, tmp_path):
    model, run = case
    lazy = model.forecast(run.readings(), 4, 3, quantiles=0.5, chunks={"y": 2})
    decoded = []
    once = fields.FieldsOf._decoded
    monkeypatch.setattr(fields.FieldsOf, "_decoded", lambda self, *where: decoded.append(where) or once(self, *where))
    lazy.compute()
    assert len(decoded) == 4
    for name in ("forecast.nc", "forecast.zarr"):
        decoded.clear()
        write_forecast(tmp_path / name, lazy, "made")
        assert len(decoded) == 4


def test_quantiles_are_those_of_the_members(case):
    model, run = case
    forecast = model.forecast(run.readings(), 3, 5, quantiles=[0.05, 0.5, 0.95])
    assert forecast["u_quantile"].dims == ("quantile", "lead_time", "y", "x")
    np.testing.assert_array_equal(forecast["quantile"], [0.05, 0.5, 0.95])
    expected = forecast["u"].quantile([0.05, 0.5, 0.95], "member", skipna=False).transpose("quantile", ...)
    np.testing.assert_allclose(forecast["u_quantile"], expected, rtol=1e-5, atol=1e-6)
    assert model.forecast(run.readings(), 1, 2, quantiles=0.5)["u_quantile"].shape == (1, 2, 8, 12)


def test_an_update_is_at_the_same_points(modal_run):
    model = sparsevq.Forecaster(modal_run.path, device="cpu")
    model.forecast(modal_run.readings(0), 3, 2, points={"y": [0.2], "x": [0.1]}, quantiles=0.5)
    further = model.update(modal_run.readings(1))
    assert further["u"].shape == (2, 4, 1) and further["u_quantile"].shape == (1, 4, 1)


WAYS = {
    "array": lambda places: places,
    "list": lambda places: places.tolist(),
    "dictionary": lambda places: {"x": places[:, 1], "y": places[:, 0]},
    "table": lambda places: pd.DataFrame({"x": places[:, 1], "name": ["a", "b"], "y": places[:, 0]}),
    "table of other units": lambda places: pd.DataFrame({"y [cm]": 100 * places[:, 0], "x": places[:, 1]}),
    "data set": lambda places: xr.Dataset({"x": ("p", places[:, 1]), "y": ("p", 1e3 * places[:, 0], {"units": "mm"})}),
}


@pytest.mark.parametrize("way", WAYS)
def test_points_may_be_given_in_many_ways(way):
    places = np.array([[0.2, 0.1], [0.4, 0.7]])
    np.testing.assert_allclose(read_points(WAYS[way](places), travelling_waves()).places, places)


@pytest.mark.parametrize("name", ["points.csv", "points.xlsx"])
def test_points_may_be_in_a_file(name, tmp_path):
    table = pd.DataFrame({"x": [0.1, 0.7], "y [cm]": [20, 40]})
    table.to_csv(tmp_path / name, index=False) if name.endswith("csv") else table.to_excel(tmp_path / name, index=False)
    found = read_points(tmp_path / name, travelling_waves()).places
    np.testing.assert_allclose(found, [[0.2, 0.1], [0.4, 0.7]])


def test_coordinates_with_dimensions_of_their_own_are_all_combinations():
    grid = xr.Dataset(coords={"y": [0.2, 0.4], "x": [0.1, 0.5, 0.7]})
    found = read_points(grid, travelling_waves()).places
    np.testing.assert_allclose(found, [[y, x] for y in (0.2, 0.4) for x in (0.1, 0.5, 0.7)])


def test_a_period_away_is_the_same_place_and_is_called_as_it_was_asked_for(capsys):
    found = read_points({"lat": [10], "lon": [-30]}, on_a_sphere())
    np.testing.assert_allclose(found.places, [[10, 330]])
    np.testing.assert_allclose(found.given, [[10, -30]])
    assert "a period of 360 away" in capsys.readouterr().out


FAULTS = {
    "outside": ([[0.2, 0.1], [9, 0.1]], r"points\[1\]: y=9 is outside the domain"),
    "too many axes": ([[0.2, 0.1, 0.3]], r"shape \(1, 3\), but places of y, x have \(points, 2\)"),
    "one place": ([0.2, 0.1], r"shape \(2,\)"),
    "none": (np.zeros((0, 2)), r"shape \(0, 2\)"),
    "text": ([["a", "b"]], "no numbers"),
    "not finite": ([[0.2, np.nan]], r"points\[0\]: a coordinate is not finite"),
    "a missing column": ({"x": [1.0]}, "no column has y"),
    "several lengths": ({"x": [0.1], "y": [0.1, 0.2]}, "several lengths"),
    "another unit": ({"x [K]": [0.1], "y": [0.1]}, "'K', but the data set has x in 'm'"),
    "no file": ("gone.csv", "gone.csv"),
    "no Excel file": ("gone.xlsx", "gone.xlsx"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_points_are_one_line(fault):
    given, message = FAULTS[fault]
    with pytest.raises(SparseVQError, match=message):
        read_points(given, travelling_waves())


def test_in_obstacles_there_is_no_field(case, capsys):
    model, run = case
    inside = np.flatnonzero(~run.data.learned)[:1]
    places = np.concatenate([run.data.physical_coordinates[inside], [[0.2, 0.1]]])
    found = model.forecast(run.readings(), 1, 2, points=places)["u"]
    assert "1 of 2 places are inside an obstacle" in capsys.readouterr().out
    assert np.isnan(found[..., 0]).all() and np.isfinite(found[..., 1]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantiles": [0.5, 1.5]}, r"quantiles=\[0.5, 1.5\] is not allowed"),
        ({"quantiles": "half"}, "quantiles=half is not allowed"),
        ({"quantiles": [0.5, 0.5]}, "twice"),
        ({"chunks": {"member": 1}}, "members are computed together"),
        ({"chunks": {"z": 1}}, "no dimension 'z'"),
        ({"chunks": {"y": 0}}, "y is no size of a block"),
        ({"chunks": 5}, "chunks=5 is not allowed"),
        ({"chunks": {"y": 1}, "points": [[0.2, 0.1]]}, "there are lead_time, point"),
    ],
)
def test_faulty_wishes_are_one_line(case, arguments, message):
    model, run = case
    with pytest.raises(SparseVQError, match=message):
        model.forecast(run.readings(), 1, 1, **arguments)


def test_of_scattered_points_and_of_the_globe_there_are_forecasts_anywhere():
    data = scattered_waves()
    places = np.stack(list(data.axes.values()), axis=-1)[:4] + 1e-3
    np.testing.assert_allclose(read_points(places, data).places, places)
    with pytest.raises(SparseVQError, match="outside"):
        read_points(places + 5, replace(data, periodic=()))
