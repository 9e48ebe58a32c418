"""The configuration that `sparsevq data describe` suggests: it works as it stands, and fits data and machine."""

import contextlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import yaml

from sparsevq.cli.main import main
from sparsevq.cli.sizes import BUDGET, LEAST_HORIZON, MOST_MINUTES, sizes_for
from sparsevq.config import Config, load, parse
from sparsevq.data.layout import write_data
from sparsevq.readers.files import open_files
from tests.flows import travelling_waves

CONFIGURATIONS = Path(__file__).parents[2] / "config"
AXES = {"y": 6, "x": 9}


@pytest.fixture
def described(tmp_path, capsys):
    """Describe an HDF5 file of given arrays: all that is printed."""

    def run(**arrays) -> str:
        with h5py.File(tmp_path / "mine.h5", "w") as file:
            for name, values in arrays.items():
                file[name.replace("__", "/")] = values
        with contextlib.chdir(tmp_path):
            assert main(["data", "describe", "mine.h5"]) in (0, None)
        return capsys.readouterr().out

    return run


def suggested(printed: str) -> Config:
    lines = printed.partition("suggested configuration\n")[2]
    assert lines, printed
    return parse(Config, yaml.safe_load(lines), "suggestion")


def noise(*shape: int):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("trajectories", [4, 7, 12])
def test_whole_runs_stay_whole_where_there_are_several(described, trajectories):
    config = suggested(described(u=noise(trajectories, 60, *AXES.values()), time=np.arange(60.0)))
    (entry,) = config.files.values()
    assert (entry.split, entry.block, entry.validation, entry.test) == ("trajectory", None, 1, 1)
    assert entry.dimensions == ("trajectory", "time", "y", "x")
    config.require_frames("mine", 60)


@pytest.mark.parametrize("trajectories", [1, 3])
def test_one_long_run_or_a_few_are_cut_into_blocks_of_which_two_are_learned_from(described, trajectories):
    shape = (60, *AXES.values()) if trajectories == 1 else (trajectories, 60, *AXES.values())
    config = suggested(described(u=noise(*shape), time=np.arange(60.0)))
    (entry,) = config.files.values()
    assert entry.split == "time"
    assert (60 - 2 * entry.gap) // entry.block - entry.validation - entry.test >= 2
    config.require_frames("mine", entry.block)


def test_latitudes_and_longitudes_beside_an_array_without_names_make_a_sphere(described):
    """(time, y, x) would lose it."""
    lat, lon = np.linspace(-75, 75, 6), np.arange(0, 360, 40.0)
    printed = described(t2m=noise(60, 6, 9), latitude=lat, longitude=lon, time=np.arange(60.0))
    (entry,) = suggested(printed).files.values()
    assert entry.dimensions == ("time", "latitude", "longitude")
    (line,) = [line for line in printed.splitlines() if line.startswith("longitude") and "periodic" in line]
    assert "degrees_east" in line


def test_a_field_called_t_is_a_field(described):
    config = suggested(described(t=noise(60, 6, 9), lat=np.linspace(-75, 75, 6), lon=np.arange(9.0)))
    assert config.files["mine"].arrays == ("t",)
    assert config.files["mine"].dimensions == ("time", "lat", "lon")


def test_what_cannot_be_known_is_asked(described):
    """A row of a matrix may be a frame, a point or a trajectory."""
    printed = described(snapshots=noise(200, 31))
    assert "# it does not work yet: say what each dimension is" in printed
    assert yaml.safe_load(printed.partition("suggested configuration\n")[2])["files"]["mine"]["dimensions"] == [
        "?",
        "?",
    ]


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (
            (12, 6, 9),
            "12 frames of 1 trajectory are too few to learn from, to choose on and to test on: give at least 20",
        ),
        ((3, 9, 6, 9), "9 frames of 3 trajectories are too few to learn from"),
    ],
)
def test_too_little_is_said(described, shape, told):
    printed = described(u=noise(*shape), time=np.arange(float(shape[-3])))
    assert "suggested configuration" not in printed
    assert told in printed
    lines = printed.partition("lines that read it, for more data of the kind\n")[2]
    assert parse(Config, yaml.safe_load(lines), "lines").files["mine"].arrays == ("u",)


def test_little_is_said_too_and_still_works(described):
    printed = described(u=noise(20, 6, 9), time=np.arange(20.0))
    assert "# 12 frames to learn from are few: expect little more than their mean" in printed
    assert suggested(printed).files["mine"].block == 4


def write_months(folder, months, first=0, step=24, frames=15):
    for month in range(months):
        time = 24.0 * np.arange(frames) + step * frames * month + first
        axes = {"time": time, "latitude": np.linspace(-50, 50, 6), "longitude": np.arange(9.0)}
        file = xr.Dataset({"u": (tuple(axes), noise(frames, 6, 9) + month)}, axes)
        file.time.attrs["units"] = "hours since 2001-02-03"
        file.to_netcdf(folder / f"{month}.nc")


def describe_folder(folder, capsys) -> str:
    with contextlib.chdir(folder):
        assert main(["data", "describe", "*.nc", "--name", "mine"]) in (0, None)
    return capsys.readouterr().out


@pytest.mark.parametrize("frames", [15, 1])
def test_files_that_follow_each_other_are_one_trajectory(frames, tmp_path, capsys):
    write_months(tmp_path, 60 // frames, frames=frames)
    printed = describe_folder(tmp_path, capsys)
    entry = suggested(printed).files["mine"]
    assert (entry.join, entry.split) == ("time", "time")
    assert f"# check this: the {60 // frames} files are taken to follow each other in time" in printed


def test_files_of_the_same_dates_are_runs(tmp_path, capsys):
    write_months(tmp_path, 5, step=0)
    entry = suggested(describe_folder(tmp_path, capsys)).files["mine"]
    assert (entry.join, entry.split) == ("trajectory", "trajectory")


def test_what_is_wrong_beside_the_names_is_said(tmp_path, capsys):
    times = np.r_[0.0, 1.0, 5.0, np.arange(6.0, 43.0)]
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["u"], file["time"] = noise(40, 6, 9), times
    with contextlib.chdir(tmp_path):
        assert main(["data", "describe", "mine.h5"]) in (0, None)
    printed = capsys.readouterr().out
    assert "the dimensions of its arrays have no names" in printed
    assert "# it does not work yet: mine.h5: frames are not evenly spaced" in printed


@pytest.mark.parametrize("units", ["hours since 2001-02-03", "s"])
def test_frames_without_a_value_are_left_out_by_a_window(units, tmp_path, capsys):
    u = noise(70, 6, 9)
    u[[3, 20]], u[:, 2, 2] = np.nan, np.nan
    axes = {"time": 6.0 * np.arange(70), "latitude": np.linspace(-50, 50, 6), "longitude": np.arange(9.0)}
    file = xr.Dataset({"u": (tuple(axes), u)}, axes)
    file.time.attrs["units"] = units
    file.to_netcdf(tmp_path / "mine.nc")
    with contextlib.chdir(tmp_path):
        assert main(["data", "describe", "mine.nc"]) in (0, None)
        printed = capsys.readouterr().out
        assert "# 2 of 70 frames have no value: the longest stretch without is used" in printed
        entry = suggested(printed).files["mine"]
        source = open_files(entry, "mine")
    assert entry.window == (("2001-02-08T06:00:00", "2001-02-20T06:00:00") if "since" in units else (126.0, 414.0))
    assert source.trajectories * entry.block + 2 * entry.gap <= 49
    last = source.read(source.trajectories - 1, 0, entry.block)
    np.testing.assert_array_equal(last[..., 0], u[-entry.block :])


def test_gaps_at_every_point_are_said(described):
    u = noise(40, 6, 9)
    u.reshape(40, 54)[np.arange(54) % 40, np.arange(54)] = np.nan
    printed = described(u=u, time=np.arange(40.0))
    assert "no point has values in every frame and channel: fill the gaps" in printed
    assert "suggested configuration" not in printed


def test_a_split_of_the_files_own_must_be_whole(tmp_path, capsys):
    write_data(tmp_path / "mine.h5", replace(flow := travelling_waves(trajectories=6), split=np.array(["train"] * 6)))
    assert main(["data", "describe", str(tmp_path / "mine.h5")]) in (0, None)
    assert "its own split has no trajectory for val and test: give it one of each." in capsys.readouterr().out
    write_data(tmp_path / "mine.h5", replace(flow, split=np.array(["train", "val", "test", "test", "val", "val"])))
    assert main(["data", "describe", str(tmp_path / "mine.h5")]) in (0, None)
    config = suggested(capsys.readouterr().out)
    assert (config.stage3.first_guess, config.files["mine"].validation) == ("none", 3)


# ------------------------------------------------------------------------------------------------ sizes


def test_estimates_are_near_what_was_measured():
    """CPU seconds of all jobs but the simulation, of the quick experiments (2026-11-26, 2 cores)."""
    measured = {"navier_stokes": (195, (128, 16, 16, 40, 4096)), "fire": (590, (60, 4, 8, 60, 3 * 13824))}
    for name, (seconds, of_data) in measured.items():
        config = load(CONFIGURATIONS / f"{name}-quick.yaml")
        sizes = sizes_for(*of_data, budget=1e9)
        assert (sizes.horizon, sizes.steps, sizes.modes) == (20, 200, config.stage1.modes)
        assert 0.5 < 60 * sizes.minutes() / seconds < 2, name


@pytest.mark.parametrize(
    "of_data",
    [(200, 24, 24, 40, 8192), (1000, 24, 24, 21, 16384), (5, 1, 1, 40, 2_000_000), (60, 6, 6, 100, 100_000)],
)
def test_large_data_are_lowered_until_the_first_table_comes_in_minutes(of_data):
    sizes = sizes_for(*of_data)
    assert sizes.minutes() <= BUDGET or (sizes.horizon == LEAST_HORIZON and sizes.minutes() < 2 * MOST_MINUTES)
    assert max(sizes.starts) + sizes.horizon < of_data[3]
    assert sizes.minutes() <= sizes_for(*of_data, budget=1e9).minutes()


def test_sizes_of_a_machine_with_a_gpu_are_larger():
    cpu, gpu = (sizes_for(200, 24, 24, 40, 8192, gpu=gpu) for gpu in (False, True))
    assert gpu.steps > cpu.steps
    assert gpu.network > cpu.network


@pytest.mark.parametrize("frames", [2, 3, 10, 40, 41, 500])
@pytest.mark.parametrize("training", [2, 5, 300])
@pytest.mark.parametrize("values", [5, 100_000])
def test_sizes_of_any_data_are_allowed(frames, training, values):
    sizes = sizes_for(training, 1, 1, frames, values)
    entry = {"data_sets": ["mine"], "files": {"mine": {"path": "a.nc"}}}
    parse(Config, {**entry, **sizes.settings()}, "sizes").require_frames("mine", frames)
    assert sizes.starts[-1] == frames - 1 - sizes.horizon or len(sizes.starts) == 1
