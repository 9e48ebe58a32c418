"""Readings that cannot be true are named with what is wrong; true ones pass."""

from dataclasses import replace

import numpy as np
import pytest

import sparsevq
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.doubts.climate import Climates
from sparsevq.forecasting.doubts.plausibility import Plausibility
from sparsevq.forecasting.doubts.reasons import changes, single_reason
from sparsevq.sensors.history import History
from sparsevq.sensors.readings import Readings


@pytest.fixture(scope="module")
def model(modal_run):
    return sparsevq.Forecaster(modal_run.path, device="cpu")


@pytest.fixture(scope="module")
def check(model, modal_run):
    climates = Climates(model._model.sparse, model.data, model.run.samples)
    return Plausibility(climates, model.data, model.sensors)


def frame(run, frame=0, points=None, trajectory=None):
    """Readings of a held-out frame, at points of the grid or the run's sensors."""
    points = run.sensors.sparse if points is None else points
    values = run.data.flat_fields[run.trajectory if trajectory is None else trajectory, frame, points].astype(float)
    numbers = np.arange(len(points)) if points is run.sensors.sparse else np.full(len(points), -1)
    return Readings(run.data.physical_coordinates[points], values, np.zeros_like(values), numbers)


def one(read):
    return History((0,), (read.by_place(),))


def test_true_readings_pass(check, modal_run):
    """All frames that are held out, by the run's sensors and others, exact and noisy."""
    rng = np.random.default_rng(0)
    free = np.flatnonzero(modal_run.data.flat_mask.all(axis=0))
    flagged = total = 0
    for points in (modal_run.sensors.sparse, rng.choice(free, 10, replace=False), rng.choice(free, 1)):
        for trajectory in modal_run.data.trajectories("test"):
            for number in range(modal_run.data.fields.shape[1]):
                read = frame(modal_run, number, points, trajectory)
                for noise in (0.0, 0.2):
                    values = read.values + noise * rng.normal(size=read.values.shape)
                    noisy = replace(read, values=values, noise=np.full_like(values, noise))
                    flagged += len(check(one(noisy)))
                    total += values.size
    assert flagged < 0.01 * total


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: -9999 + 0 * values, "loggers write that where there is no value: leave the cell empty"),
        (lambda values: 1000 * values, "it would fit if it were multiplied by 0.001"),
    ],
)
def test_a_wrong_sensor_is_named_with_its_value_and_what_is_expected(check, modal_run, change, said):
    read = frame(modal_run)
    true = read.values[2].copy()
    read.values[2] = change(true)
    lines = check(one(read))
    assert 1 <= len(lines) <= 2
    for line in lines:
        y, x = read.places[2]
        assert line.startswith(f"sensor 2 (y={y:g}, x={x:g}): ")
        assert " times its error away (training data there: " in line
    worst = int(lines[0].split(": ")[1].startswith("v"))
    assert f"{'uv'[worst]} = {read.values[2, worst]:.6g}, expected" in lines[0]
    assert said in lines[0]
    mean, std = (float(text) for text in lines[0].split("expected ")[1].split(" m/s")[0].split(" +- "))
    assert abs(mean - true[worst]) < 6 * std


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: 100 * values, "all would if all channels were multiplied by 0.01"),
        (lambda values: values * [1000, 1], "all would if u were multiplied by 0.001"),
        (lambda values: values[:, ::-1], "all would if u and v were exchanged"),
    ],
)
def test_what_is_wrong_with_all_readings_is_named_once(check, modal_run, change, said):
    read = frame(modal_run, points=np.unique([*modal_run.sensors.sparse, *modal_run.sensors.semi_sparse]))
    (line,) = check(one(replace(read, values=change(read.values))))
    assert said in line


def test_sensors_numbered_from_1_are_recognised(check, modal_run):
    coordinates, points = modal_run.sensors.coordinates, modal_run.sensors.semi_sparse[:-1]
    read = frame(modal_run, points=points)
    numbers = 1 + np.arange(len(points))
    (line,) = check(one(replace(read, places=coordinates[numbers], numbers=numbers)))
    assert line.endswith("all would if their sensors were counted from 0, not from 1, as sensors.csv counts")


def test_a_stuck_sensor_is_named(check, modal_run):
    reads = [frame(modal_run, number) for number in range(3)]
    assert not check(History((-2, -1, 0), tuple(read.by_place() for read in reads)))
    for read in reads:
        read.values[1] = reads[0].values[1]
    lines = check(History((-2, -1, 0), tuple(read.by_place() for read in reads)))
    assert [line for line in lines if line.startswith("sensor 1 ") and line.endswith("is it stuck?")]


@pytest.mark.parametrize(
    ("unit", "given", "meant"),
    [
        ("K", 20.0, "converted from degC to K"),
        ("degC", 293.15, "converted from K to degC"),
        ("K", 68.0, "converted from degF to K"),
        ("m/s", 36.0, "converted from km/h to m/s"),
        ("m/s", 19.4384, "converted from knots to m/s"),
        ("U", -10.0, "of the other sign"),
        ("hPa", 1e3, "multiplied by 0.01"),
    ],
)
def test_units_that_are_mistaken(unit, given, meant):
    factor, offset = next(change for change, said in changes(unit).items() if said == meant)
    true = factor * given + offset
    assert single_reason(given, true, 0.01, unit, {}) == f"it would fit if it were {meant}"


def test_an_unknown_unit_is_not_converted():
    assert not any("converted" in said for said in changes("U"))


def test_exchanged_values_of_one_sensor():
    assert single_reason(5.0, 20.0, 0.1, "K", {"u": 5.0, "v": 20.0}) == (
        "what it reads of v would fit: are the columns exchanged?"
    )


# ------------------------------------------------------------------ the forecast


def test_by_default_doubts_are_printed_and_kept_and_strictly_they_are_an_error(model, modal_run, capsys):
    table = modal_run.readings()
    assert "doubts" not in model.forecast(table, 2, 2, strict=True).attrs
    assert "WARNING" not in capsys.readouterr().out
    table.loc[2, "u"] = -9999.0
    forecast = model.forecast(table, 2, 2)
    printed = capsys.readouterr().out
    assert "observations: sensor 2 (" in printed and "u = -9999, expected" in printed
    assert forecast.attrs["doubts"].startswith("sensor 2 (")
    with pytest.raises(
        SparseVQError, match=r"u = -9999, expected .*: correct the readings, or leave them out"
    ) as caught:
        model.forecast(table, 2, 2, strict=True)
    assert "\n" not in str(caught.value)


def test_readings_that_are_refused_leave_the_forecast_that_was_issued(model, modal_run):
    model.forecast(modal_run.history(0, 1), 4, 2)
    with pytest.raises(SparseVQError, match="expected"):
        model.update(modal_run.readings(2).assign(u=-9999.0), strict=True)
    assert "doubts" not in model.update(modal_run.readings(2)).attrs


def test_a_model_without_a_basis_compares_with_the_spread_of_the_data(model, modal_run):
    """Files of earlier versions: readings are independent."""
    alone = replace(model._model.sparse, basis=None)
    check = Plausibility(Climates(alone, model.data, model.run.samples), model.data, model.sensors)
    read = frame(modal_run)
    assert not check(one(read))
    read.values[2, 0] = -9999
    (line,) = check(one(read))
    assert "u = -9999, expected" in line
