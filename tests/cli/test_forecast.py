"""`sparsevq forecast`: everything that it reads and writes, what it tells people and scripts, and what it refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import sparsevq
from sparsevq.cli.main import main
from sparsevq.runs.pack import pack
from sparsevq.runs.run import Run
from tests.cli.conftest import as_own_process
from tests.forecasting.wrong_inputs import COMMAND, WRONG_INPUTS, Given, check_message


@pytest.fixture
def command(modal_run, tmp_path, capfd):
    """Run `sparsevq forecast` in a folder with `readings.csv`; gives back the exit status and both outputs."""
    modal_run.readings().to_csv(tmp_path / "readings.csv", index=False)

    def run(*arguments, readings="readings.csv", result=modal_run.path):
        with as_own_process(tmp_path):
            try:
                status = main(["forecast", str(result), "--readings", str(readings), *map(str, arguments)])
            except SystemExit as end:
                status = int(end.code or 0)
        found = capfd.readouterr()
        return status, found.out, found.err

    return run


SMALL = ("--frames", 3, "--members", 2)


def same(path, modal_run, **arguments):
    """Whether a file has what the API gives for the same."""
    wanted = sparsevq.load(modal_run.path, device="cpu").forecast(modal_run.readings(), 3, 2, **arguments)
    engine = "zarr" if path.suffix == ".zarr" else "netcdf4"
    with xr.open_dataset(path, engine=engine, decode_timedelta=False) as found:
        for name in ("u", "v"):
            np.testing.assert_array_equal(found[name], wanted[name])
        return set(found.data_vars) == set(wanted.data_vars)


@pytest.mark.parametrize("out", ["forecast.nc", "forecast.zarr"])
def test_the_file_has_what_the_api_gives(command, modal_run, tmp_path, out):
    status, told, error = command(*SMALL, "--out", out)
    assert (status, error) == (0, "")
    assert same(tmp_path / out, modal_run)
    assert f"written: {out}" in told
    assert "2 members, 3 frames, to 1.5 s after the last reading" in told
    assert "spread of u: " in told


def test_pictures_are_what_their_names_say(command, tmp_path):
    names = ["forecast.png", "forecast.gif", "forecast.mp4"]
    status, _, error = command(*SMALL, *(part for name in names for part in ("--picture", name)))
    assert (status, error) == (0, "")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "readings.csv"])
    with Image.open(tmp_path / "forecast.gif") as film:
        assert film.n_frames == 4


def test_the_flag_of_earlier_versions_draws_a_picture(command, tmp_path):
    assert command(*SMALL, "--out", "forecast.nc", "--png", "forecast.png")[0] == 0
    assert (tmp_path / "forecast.png").exists()


def test_json_is_all_that_scripts_get(command, modal_run, tmp_path):
    table = modal_run.readings()
    table.loc[0, "u"] = 1e4  # cannot be true
    table.assign(remark="calm").to_csv(tmp_path / "odd.csv", index=False)
    status, out, error = command(*SMALL, "--out", "forecast.nc", "--picture", "f.png", "--json", readings="odd.csv")
    assert status == 0
    told = json.loads(out)
    assert out.count("\n") == 1
    assert told["outputs"] == ["forecast.nc", "f.png"]
    assert told["lead_times"] == [0, 0.5, 1, 1.5]
    assert told["space"] == {"y": 8, "x": 12}
    assert told["sensors"] == told["sensors_trained_with"] == len(table)
    assert told["channels"]["v"]["units"] == "m/s"
    assert "u = 1e+04" in " ".join(told["doubts"]) or "u = 10000" in " ".join(told["doubts"])
    assert any("'remark' is not read" in note for note in told["notes"])
    assert {"load", "forecast", "write", "draw", "total"} <= set(told["seconds"])
    assert "WARNING" in error
    assert "note: " in error


def test_the_spread_is_that_of_the_members_over_the_area(command, tmp_path, modal_run):
    told = json.loads(command("--members", 3, "--frames", 1, "--out", "forecast.nc", "--json")[1])
    weights = modal_run.data.weights.reshape(modal_run.data.grid)
    with xr.open_dataset(tmp_path / "forecast.nc") as forecast:
        variance = forecast["u"].var("member", ddof=1).to_numpy()
    there = np.isfinite(variance[0])
    wanted = [np.sqrt(np.average(of[there], weights=weights[there])) for of in variance]
    np.testing.assert_allclose(told["channels"]["u"]["spread"], wanted, rtol=1e-4)


def test_a_single_member_has_no_spread(command):
    status, out, _ = command("--frames", 1, "--members", 1, "--json")
    assert status == 0
    assert json.loads(out)["channels"]["u"]["spread"] is None


def test_points_and_quantiles_are_of_the_file(command, tmp_path, modal_run):
    (tmp_path / "points.csv").write_text("y,x\n0.1,0.2\n0.9,0.25\n")
    asked = ("--points", "points.csv", "--quantiles", "0.1,0.9", "--picture", "curves.png")
    status, out, error = command(*SMALL, "--out", "at.nc", *asked, "--json")
    assert (status, error) == (0, "")
    assert json.loads(out)["space"] == {"point": 2}
    assert same(tmp_path / "at.nc", modal_run, points=np.array([[0.1, 0.2], [0.9, 0.25]]), quantiles=(0.1, 0.9))
    assert (tmp_path / "curves.png").exists()


def test_readings_may_be_a_workbook_or_arrays(command, tmp_path, modal_run):
    table = modal_run.readings()
    table.to_excel(tmp_path / "readings.xlsx", index=False)
    places = modal_run.sensors.coordinates[: len(table)]
    columns = {"y": places[:, 0], "x": places[:, 1], "u": table["u"].to_numpy(), "v": table["v"].to_numpy()}
    arrays = xr.Dataset({name: ("sensor", values) for name, values in columns.items()})
    arrays.to_netcdf(tmp_path / "readings.nc")
    arrays.to_zarr(tmp_path / "readings.zarr")
    for name in ("readings.xlsx", "readings.nc", "readings.zarr"):
        status, _, error = command(*SMALL, "--out", "forecast.nc", readings=name)
        assert (status, error) == (0, ""), name
        assert same(tmp_path / "forecast.nc", modal_run), name


def test_a_packed_run_forecasts_the_same(command, tmp_path, modal_run):
    pack(Run(modal_run.path), tmp_path / "packed")
    assert command(*SMALL, "--out", "forecast.nc", result="packed")[0] == 0
    assert same(tmp_path / "forecast.nc", modal_run)


@pytest.mark.parametrize("out", ["forecast.nc", "forecast.zarr"])
def test_a_large_forecast_is_computed_once_for_all_that_is_made_of_it(command, tmp_path, modal_run, monkeypatch, out):
    monkeypatch.setattr("sparsevq.forecasting.fields.IN_MEMORY", 0)
    monkeypatch.setattr("sparsevq.forecasting.fields.BLOCK_BYTES", 2**10)
    computed = []
    decoded = "sparsevq.forecasting.fields.FieldsOf.block"
    original = sparsevq.forecasting.fields.FieldsOf.block
    monkeypatch.setattr(decoded, lambda self, block: computed.append(block) or original(self, block))
    status, told, error = command(*SMALL, "--out", out, "--picture", "forecast.png", "--json")
    assert (status, error) == (0, "")
    assert len(computed) > 1
    assert len(set(map(str, computed))) == len(computed)
    assert len(json.loads(told)["channels"]["u"]["spread"]) == 4
    assert same(tmp_path / out, modal_run)


def flags(arguments):
    """Arguments of the API as those of the command."""
    for name, value in arguments.items():
        if name == "parameters":
            yield from (part for pair in value.items() for part in ("--parameter", "=".join(map(str, pair))))
        else:
            yield from (f"--{name}", ",".join(map(str, value if isinstance(value, list) else [value])))


@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG_INPUTS if COMMAND in wrong.ways], ids=str)
def test_wrong_inputs_are_one_line_that_says_what_to_do(wrong, command, modal_run, tmp_path):
    (tmp_path / "given").mkdir()
    given: Given = wrong.make(modal_run, tmp_path / "given")
    readings = given.observations
    if not isinstance(readings, str):
        readings = tmp_path / "given.csv"
        given.observations.to_csv(readings, index=False)
    status, out, error = command(*flags(given.arguments), "--out", "no.nc", "--json", readings=readings)
    assert (status, out) == (1, "")
    *notes, last = error.splitlines()
    check_message(last.removeprefix("sparsevq forecast: error: "), wrong.words)
    assert all(line.startswith("note: ") for line in notes)
    assert not (tmp_path / "no.nc").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing would be written: give --out forecast.nc, --picture forecast.png or --json"),
        (("--out", "forecast.grib"), "forecast.grib is of no kind that a forecast is written as"),
        (("--picture", "forecast.avi"), "called like no picture: give it one of the suffixes .png, .gif, .mp4"),
        (("--out", "f.nc", "--picture", "f.png", "--picture", "./f.png"), "f.png would be written twice"),
        (("--out", "readings.csv/f.nc"), "cannot write readings.csv/f.nc"),
        (("--picture", "readings.csv/f.png"), "cannot write readings.csv/f.png"),
        (("--json", "--points", "nowhere.csv"), "nowhere.csv"),
        (("--json", "--quantiles", "2"), "give numbers from 0 to 1"),
    ],
)
def test_what_cannot_be_written_or_asked_for_is_one_line(arguments, words, command, tmp_path):
    before = sorted(os.listdir(tmp_path))
    status, out, error = command(*SMALL, *arguments)
    assert status == 1
    assert len(error.splitlines()) == 1
    assert words in error
    assert out == ""
    assert sorted(os.listdir(tmp_path)) == before


def test_names_are_checked_before_any_work(command, monkeypatch):
    monkeypatch.setattr("sparsevq.serving.load.load", None)
    assert "called like no picture" in command("--picture", "forecast.avi")[2]


def test_numbers_that_are_none_are_wrong_usage(command):
    status, _, error = command("--json", "--quantiles", "low,high")
    assert status == 2
    assert "'low,high' are no numbers, separated by commas" in error


def test_neither_plotly_nor_mlflow_nor_ffmpeg_is_needed(modal_run, tmp_path):
    modal_run.readings().to_csv(tmp_path / "readings.csv", index=False)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('plotly', 'mlflow', 'openpyxl', 'imageio_ffmpeg', 'zarr')));"
        "from sparsevq.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    files = ("--readings", tmp_path / "readings.csv", "--out", tmp_path / "forecast.nc")
    arguments = ["forecast", modal_run.path, *files, *SMALL]
    ended = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
