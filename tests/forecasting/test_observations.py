"""Readings in whatever the user has them: the same readings are the same forecast, to the last bit."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import sparsevq
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest

FRAMES = (0, 1, 2)


@pytest.fixture(scope="module")
def model(modal_run):
    return sparsevq.Forecaster(modal_run.path, device="cpu")


@pytest.fixture(scope="module")
def values(modal_run):
    """(k, n, C) of three frames."""
    return np.stack([modal_run.readings(frame)[["u", "v"]].to_numpy() for frame in FRAMES])


@pytest.fixture(scope="module")
def places(modal_run):
    """Axis -> (n,) places of the sensors."""
    return dict(zip(("y", "x"), modal_run.sensors.coordinates[:6].T, strict=True))


@pytest.fixture(scope="module")
def expected(model, modal_run, tmp_path_factory):
    """The forecast from a CSV file."""
    path = tmp_path_factory.mktemp("csv") / "readings.csv"
    modal_run.history(*FRAMES).to_csv(path, index=False)
    return model.forecast(path, 3, 2)


def as_dataset(values, places, frames="frame", sensors="sensor", prefix=""):
    """(k, n, C) as a data set."""
    dimensions = (frames, sensors)
    return xr.Dataset(
        {name: (dimensions, values[..., index]) for index, name in enumerate(("u", "v"))},
        {prefix + axis: (sensors, at) for axis, at in places.items()},
    )


KINDS = {
    "array": lambda values, places, table: values,
    "single precision": lambda values, places, table: values.astype(np.float32),
    "tensor": lambda values, places, table: torch.tensor(values),
    "tensor that is differentiated": lambda values, places, table: torch.tensor(values).requires_grad_(),
    "lists": lambda values, places, table: values.tolist(),
    "dictionary": lambda values, places, table: {"u": values[..., 0], "v": values[..., 1]},
    "with units": lambda values, places, table: {"u [cm/s]": 100 * values[..., 0], "v": values[..., 1]},
    "with times": lambda values, places, table: {
        "time": [0.5, 1.0, 1.5], "v": values[..., 1], "u": values[..., 0], "sensor": range(6),
    },
    "with places": lambda values, places, table: {**places, "u": values[..., 0], "v": values[..., 1]},
    "long": lambda values, places, table: {name: table[name].to_numpy() for name in table},
    "another order": lambda values, places, table: {
        "sensor": range(5, -1, -1), "frame": [2, 1, 0], "u": values[::-1, ::-1, 0], "v": values[::-1, ::-1, 1],
    },
    "data frame": lambda values, places, table: table,
    "index of sensors": lambda values, places, table: table.set_index(["frame", "sensor"]),
    "records": lambda values, places, table: table.to_dict("records"),
    "data set by places": lambda values, places, table: as_dataset(values, places),
    "places of sensors": lambda values, places, table: as_dataset(values, places, prefix="sensor_"),
    "data set without places": lambda values, places, table: as_dataset(values, {}),
    "stations": lambda values, places, table: as_dataset(values, places, sensors="station").transpose(),
    "numbered": lambda values, places, table: as_dataset(values, {}).assign_coords(
        sensor=range(6), frame=[7, 8, 9]
    ).isel(sensor=[4, 2, 0, 1, 3, 5]),
    "times": lambda values, places, table: as_dataset(values, places, frames="time").assign_coords(time=[3, 3.5, 4]),
    "data array": lambda values, places, table: as_dataset(values, places).to_dataarray("channel"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_forecast(model, modal_run, values, places, expected, kind):
    given = KINDS[kind](values, places, modal_run.history(*FRAMES))
    found = model.forecast(given, 3, 2)
    compare = xr.testing.assert_allclose if kind == "with units" else xr.testing.assert_equal
    compare(found, expected)
    assert len(found.attrs["digest_readings"]) == 64


def test_one_frame_and_one_channel(model, modal_run, values):
    one = model.forecast(modal_run.readings(0), 2, 2)
    xr.testing.assert_equal(model.forecast(values[0], 2, 2), one)
    xr.testing.assert_equal(model.forecast({"u": values[0, :, 0], "v": values[0, :, 1]}, 2, 2), one)
    alone = model.forecast(modal_run.readings(0)[["sensor", "u"]], 2, 2)
    xr.testing.assert_equal(model.forecast({"u": values[0, :, 0]}, 2, 2), alone)
    series = pd.Series(values[0, :, 0], index=pd.RangeIndex(6, name="sensor"), name="u")
    xr.testing.assert_equal(model.forecast(series, 2, 2), alone)


def test_nan_is_no_value(model, modal_run, values, capsys):
    table = modal_run.readings(0)
    table.loc[3, "u"] = np.nan
    gap = values[0].copy()
    gap[3, 0] = np.nan
    masked = np.ma.masked_invalid(gap)
    expected = model.forecast(table, 2, 2)
    for given in (gap, masked, {"u": gap[:, 0], "v": gap[:, 1]}, gap.astype(object)):
        capsys.readouterr()
        xr.testing.assert_equal(model.forecast(given, 2, 2), expected)
        assert "sensor 3 has no u" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".nc", ".zarr", ".xlsx"])
def test_files_of_other_kinds(model, modal_run, values, places, expected, tmp_path, suffix):
    path = tmp_path / f"readings{suffix}"
    if suffix == ".nc":
        as_dataset(values, places).to_netcdf(path)
    elif suffix == ".zarr":
        as_dataset(values, places).to_zarr(path, consolidated=False)
    else:
        modal_run.history(*FRAMES).to_excel(path, index=False)
    found = model.forecast(path, 3, 2)
    compare = xr.testing.assert_allclose if suffix == ".xlsx" else xr.testing.assert_equal  # written with 16 digits
    compare(found, expected)
    assert suffix == ".zarr" or found.attrs["digest_readings"] == digest(path)


def test_a_workbook_as_people_write_it(model, modal_run, expected, tmp_path):
    """A title, units in a line of their own, and other sheets; a fault is told by the row that Excel shows."""
    path = tmp_path / "readings.xlsx"
    table = modal_run.history(*FRAMES)
    head = pd.DataFrame([["Campaign of May", None, None, None], [None] * 4, list(table), [None, "m/s", "m/s", None]])
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"notes": ["nothing"]}).to_excel(book, sheet_name="About", index=False)
        pd.concat([head, table.T.reset_index(drop=True).T]).to_excel(book, sheet_name="May", index=False, header=False)
        table.astype({"u": object}).replace({"u": {table["u"][1]: "wet"}}).to_excel(
            book, sheet_name="June", index=False
        )
    xr.testing.assert_allclose(model.forecast(f"{path}#May", 3, 2), expected)
    with pytest.raises(SparseVQError, match=r"readings\.xlsx, sheet 'June', row 3: column u holds 'wet'"):
        model.forecast(f"{path}#June")
    with pytest.raises(SparseVQError, match=r"no sheet 'July': it has 'About', 'May', 'June'"):
        model.forecast(f"{path}#July")
    with pytest.raises(SparseVQError, match=r"sheet 'About'"):
        model.forecast(path)


def test_a_forecast_is_forecast_from_again(model, modal_run, tmp_path, capsys):
    """Its readings are taken, of all its frames, with its date: in memory and from its file."""
    first = model.forecast(modal_run.history(*FRAMES), 3, 2, date="2001-02-28T23:59:59")
    first.to_netcdf(tmp_path / "forecast.nc")
    capsys.readouterr()
    for given in (first, tmp_path / "forecast.nc"):
        xr.testing.assert_equal(model.forecast(given, 3, 2), first)
    assert capsys.readouterr().out == "", "nothing to say of what else a forecast holds"


def test_dates_of_any_kind(model, modal_run, values, places):
    dates = pd.date_range("2001-02-28T23:59:58", periods=3, freq="500ms")
    expected = model.forecast({"u": values[..., 0], "v": values[..., 1]}, 2, 2, date=str(dates[-1].isoformat()))
    table = modal_run.history(*FRAMES)
    dated = table.assign(time=dates[table["frame"]]).drop(columns="frame")
    for given in (
        dated,
        dated.set_index("time"),
        dated.set_index("time").rename_axis(None),
        {"u": values[..., 0], "v": values[..., 1], "time": dates},
        {"u": values[..., 0], "v": values[..., 1], "time": dates.to_pydatetime()},
        as_dataset(values, places, frames="time").assign_coords(time=dates),
    ):
        found = model.forecast(given, 2, 2)
        xr.testing.assert_equal(found, expected)
        assert found["forecast_reference_time"].values == np.datetime64("2001-02-28T23:59:59")
    later = as_dataset(values, places, frames="time").assign_coords(time=dates).isel(time=-1)
    assert model.forecast(later, 2, 2)["forecast_reference_time"].values == np.datetime64("2001-02-28T23:59:59")


def test_digests_are_of_what_was_read(model, values):
    one, same, other = (model.forecast(given, 1, 1) for given in (values, values.tolist(), values + 1e-13))
    assert one.attrs["digest_readings"] == same.attrs["digest_readings"] != other.attrs["digest_readings"]


def test_frames_that_are_not_used_are_told(model, modal_run, capsys):
    model.forecast(modal_run.history(0, 1, 2, 3, 4), 1, 1)
    assert "observations: 3 of 5 frames are used, the last" in capsys.readouterr().out
