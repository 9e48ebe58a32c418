"""Real files of several origins, which packages carry: what is described, suggested and read is what is in them."""

import contextlib
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from sparsevq.cli.main import main
from sparsevq.config import Config, PreprocessConfig, parse
from sparsevq.data.layout import read_data
from sparsevq.data.preprocess import preprocess
from sparsevq.readers.files import open_files

FILES = {
    "E1_north_america.nc": ("iris_sample_data", "sample_data", "air_temperature"),
    "A1B_north_america.nc": ("iris_sample_data", "sample_data", "air_temperature"),
    "hgt_djf.nc": ("eofs", "examples/example_data", "z"),
    "sst_ndjfm_anom.nc": ("eofs", "examples/example_data", "sst"),
}


def packaged(name: str) -> Path:
    """A file of an installed package, which is not imported."""
    package, folder, _ = FILES[name]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} carries {name}")
    return Path(found.origin).parent / folder / name


def suggestion(printed: str) -> Config:
    return parse(Config, yaml.safe_load(printed.partition("suggested configuration\n")[2]), "suggestion")


@pytest.mark.parametrize("name", FILES)
def test_what_is_suggested_makes_a_data_set_of_the_files_values(name, tmp_path, capsys):
    shutil.copy(packaged(name), tmp_path / name)
    with xr.open_dataset(tmp_path / name) as file:
        truth = file[FILES[name][2]].squeeze(drop=True).load()
    with contextlib.chdir(tmp_path):
        main(["data", "describe", name])
        config = suggestion(capsys.readouterr().out)
        (entry,) = config.files.values()
        preprocess(open_files(entry, "mine"), "data.h5", "mine", entry, PreprocessConfig())
    data = read_data(tmp_path / "data.h5")
    config.require_frames("mine", len(data.time))
    assert entry.split == "time" and (data.split == "train").sum() >= 2
    assert list(data.axes) == ["latitude", "longitude"] and data.periodic == ()
    for axis in data.axes:
        np.testing.assert_allclose(data.axes[axis], truth[axis], rtol=1e-6)
    last = truth[-entry.block :].values  # the test is the future
    np.testing.assert_array_equal(data.mask[-1], np.isfinite(last).all(axis=0))
    np.testing.assert_array_equal(data.fields[-1, ..., 0], np.nan_to_num(last.astype(np.float32)))
    assert config.num_sensors[0] + config.sensors.num_semi_sparse <= data.mask[-1].sum()


def test_runs_of_one_model_under_two_scenarios_are_two_trajectories(tmp_path, capsys):
    for name in ("A1B_north_america.nc", "E1_north_america.nc"):
        shutil.copy(packaged(name), tmp_path / name)
    with contextlib.chdir(tmp_path):
        main(["data", "describe", "A1B_north_america.nc", "E1_north_america.nc", "--name", "both"])
        printed = capsys.readouterr().out
    assert "trajectories  2" in printed
    entry = suggestion(printed).files["both"]
    assert entry.split == "time" and len(entry.path) == 2
