"""Forecasts as NetCDF and Zarr, whole and block by block."""

import os
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from sparsevq.errors import SparseVQError
from sparsevq.forecasting.dataset import writing
from sparsevq.forecasting.dataset.netcdf import as_dataset
from sparsevq.forecasting.dataset.observed import Observed
from sparsevq.forecasting.dataset.valid_times import forecast_clock
from sparsevq.forecasting.dataset.writing import write_forecast
from tests.flows import travelling_waves


def forecast_of(chunks=None):
    """Of a data set with dates; None: in memory, else by blocks of (lead times, rows)."""
    data = replace(travelling_waves(), time_units="h")
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(2, 3, 5, *data.grid)).astype(np.float32)
    fields[..., 1, 2] = np.nan
    if chunks is not None:
        lead, rows = chunks
        fields = [da.from_array(values, (3, lead, rows, data.grid[1])) for values in fields]
    observed = Observed((-1, 0), np.array([[0.2, 0.1]]), np.ones((2, 1, 2)), np.zeros(1, np.int32))
    at_sensors = np.zeros((2, 3, 5, 1), np.float32)
    quantiles = (0.1, 0.9), [values[:2] for values in fields]
    clock = forecast_clock(data, "2001-02-28T21:00:00", None)
    return as_dataset(data, fields, 3.0 * np.arange(5), observed, at_sensors, {"seed": 1}, clock, quantiles=quantiles)


@pytest.mark.parametrize("name", ["forecast.nc", "forecast.zarr"])
@pytest.mark.parametrize("chunks", [None, (5, 2), (2, 3), (3, 16)])
@pytest.mark.parametrize("decode_times", [True, False])
def test_what_is_written_comes_back(name, chunks, decode_times, tmp_path):
    write_forecast(tmp_path / name, forecast_of(chunks), "made")
    with xr.open_dataset(tmp_path / name, decode_times=decode_times) as found:
        expected = forecast_of() if decode_times else forecast_of().drop_vars(["valid_time", "forecast_reference_time"])
        xr.testing.assert_equal(found.drop_vars(set(found.coords) - set(expected.coords)), expected)
        assert found["u"].dtype == np.float32 and found["u"].attrs["units"] == "m/s"
        assert found.attrs["history"].endswith("made") and found.attrs["Conventions"] == "CF-1.11"
        if not decode_times:
            assert found["valid_time"].values.tolist() == [0, 3, 6, 9, 12]
            assert found["valid_time"].attrs["units"].startswith("hours since 2001-02-28")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["forecast.nc", "forecast.zarr"])
def test_work_on_blocks_is_told(name, tmp_path):
    told = []
    write_forecast(tmp_path / name, forecast_of((5, 2)), "made", lambda done, of: told.append((done, of)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] > 4


def test_files_of_a_store_are_of_some_megabytes(monkeypatch, tmp_path):
    monkeypatch.setattr(writing, "ZARR_BYTES", 4 * 3 * 16 * 16 * 2)
    for name, chunks, expected in (
        ("a", None, (3, 2, 16, 16)),
        ("b", (5, 2), (3, 5, 2, 16)),
        ("c", (4, 16), (3, 2, 16, 16)),
    ):
        write_forecast(tmp_path / f"{name}.zarr", forecast_of(chunks), "made")
        with xr.open_zarr(tmp_path / f"{name}.zarr") as found:
            assert found["u"].encoding["chunks"] == expected


@pytest.mark.parametrize("name", ["forecast.nc", "forecast.zarr"])
def test_a_forecast_appears_whole_or_not_at_all(name, tmp_path):
    write_forecast(tmp_path / name, forecast_of(), "first")

    def broken(block):
        raise ValueError("no")

    forecast = forecast_of((5, 2))
    forecast["v"] = forecast["v"].copy(data=forecast["v"].data.map_blocks(broken, dtype="f4", meta=np.empty(0, "f4")))
    with pytest.raises(ValueError, match="no"):
        write_forecast(tmp_path / name, forecast, "second")
    with xr.open_dataset(tmp_path / name) as found:
        assert found.attrs["history"].endswith("first")
    assert os.listdir(tmp_path) == [name]
    write_forecast(tmp_path / name, forecast_of((5, 2)), "third")
    with xr.open_dataset(tmp_path / name) as found:
        assert found.attrs["history"].endswith("third")
    assert os.listdir(tmp_path) == [name]


def test_a_store_takes_the_place_of_no_other_folder(tmp_path):
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr/thesis.txt").touch()
    with pytest.raises(SparseVQError, match=r"cannot write .*mine.zarr .there is something else of that name"):
        write_forecast(tmp_path / "mine.zarr", forecast_of(), "made")
    assert os.listdir(tmp_path / "mine.zarr") == ["thesis.txt"] and os.listdir(tmp_path) == ["mine.zarr"]


def test_another_kind_of_file_is_one_line(tmp_path):
    with pytest.raises(SparseVQError, match=r"forecast.grib is of no kind .*: call it .nc"):
        write_forecast(tmp_path / "forecast.grib", forecast_of(), "made")
