"""A real file from end to end of the reader: the sea surface of config/sea-surface.yaml; and the layout's own files."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import yaml

from sparsevq.config import Config, FileConfig, PreprocessConfig, parse
from sparsevq.data.layout import read_data
from sparsevq.data.preprocess import preprocess
from sparsevq.readers.files import open_files
from sparsevq.runtime.files import digest
from sparsevq.runtime.hdf5 import stamp
from tests.user_files import all_of, opened, values

CONFIG = Path(__file__).parents[2] / "config" / "sea-surface.yaml"


@pytest.fixture(scope="module")
def sea(tmp_path_factory):
    """The data set that config/sea-surface.yaml makes, and the file as xarray reads it."""
    path = pytest.importorskip("iris_sample_data").path
    folder = tmp_path_factory.mktemp("sea")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("data").mkdir()
        shutil.copy(Path(path) / "ostia_monthly.nc", "data")
        config = parse(Config, yaml.safe_load(CONFIG.read_text()), str(CONFIG))
        settings = config.data_set("sea_surface")
        assert isinstance(settings, FileConfig)
        preprocess(open_files(settings, "sea"), "data.h5", "sea_surface", settings, config.preprocess)
    with xr.open_dataset(folder / "data" / "ostia_monthly.nc") as data:
        return read_data(folder / "data.h5"), data.surface_temperature.load()


def test_sea_surface_has_the_values_of_the_file(sea):
    data, truth = sea
    assert data.split.tolist() == ["train", "train", "val", "test"]
    for number, first in enumerate((0, 12, 27, 42)):
        months = truth[first : first + 12]
        np.testing.assert_array_equal(data.mask[number], np.isfinite(months).all("time"))
        np.testing.assert_array_equal(data.fields[number, ..., 0], months.fillna(0))
        assert data.parameters["start"][number] == str(months.time.values[0].astype("datetime64[s]"))
    assert data.channels == ("surface_temperature",) and data.units == ("K",)
    assert data.mask.mean() == pytest.approx(0.7357, abs=1e-4)


def test_sea_surface_closes_around_the_globe_and_weighs_by_latitude(sea):
    data, truth = sea
    assert data.periodic == ("longitude",) and list(data.axes) == ["latitude", "longitude"]
    np.testing.assert_array_equal(data.axes["latitude"], truth.latitude)
    np.testing.assert_array_equal(data.axis_units["latitude"], "degrees_north")
    cosine = np.cos(np.deg2rad(data.axes["latitude"]))
    by_row = data.weights.reshape(data.grid)[:, 0]
    np.testing.assert_allclose(by_row / by_row.mean(), cosine / cosine.mean(), rtol=1e-4)
    assert data.time_units == "h" and data.time[1] == pytest.approx(365.25 / 12 * 24, rel=0.01)


def test_normalisation_is_of_the_sea_in_training_months(sea):
    data, truth = sea
    months = truth[:24].values.astype(np.float64)
    weights = np.broadcast_to(data.weights.reshape(data.grid), months.shape)
    there = np.isfinite(months)
    mean = np.average(months[there], weights=weights[there])
    std = np.sqrt(np.average((months[there] - mean) ** 2, weights=weights[there]))
    np.testing.assert_allclose([data.mean[0], data.std[0]], [mean, std], rtol=1e-6)


def test_a_data_set_of_ours_can_be_read_again_thinned(tmp_path):
    np.save(tmp_path / "u.npy", values(6, 10, 5))
    settings = FileConfig(path=str(tmp_path / "u.npy"), dimensions=("trajectory", "time", "x"), validation=1, test=1)
    preprocess(open_files(settings, "u"), tmp_path / "u.h5", "u", settings, PreprocessConfig())
    again = opened(tmp_path / "u.h5", stride=3)
    np.testing.assert_array_equal(all_of(again), read_data(tmp_path / "u.h5").fields[:, ::3])
    assert again.split is not None and (again.split == "train").sum() == 4


def test_folders_and_many_files_have_digests(tmp_path):
    folder = tmp_path / "a.zarr"
    data = xr.Dataset(
        {"u": (("run", "time", "x"), values(4, 6, 5))}, coords={"time": np.arange(6.0), "x": np.arange(5.0)}
    )
    data.to_zarr(folder, consolidated=False)
    settings = FileConfig(path=str(folder), validation=1, test=1)
    preprocess(open_files(settings, "u"), tmp_path / "data.h5", "u", settings, PreprocessConfig())
    with h5py.File(tmp_path / "data.h5") as file:
        assert digest(folder) in file.attrs["made_from"]
    before = digest(folder)
    next(path for path in (folder / "u").rglob("*") if path.is_file()).write_bytes(b"changed")
    assert digest(folder) != before
    (tmp_path / "one").write_text("")
    with h5py.File(tmp_path / "many.h5", "w") as file:
        stamp(file, "any", 1, {f"{number}": tmp_path / "one" for number in range(2000)})
        assert "2000 files" in file.attrs["made_from"]


def test_an_unstructured_mesh(tmp_path):
    """A UGRID file: values on the faces of a cubed sphere, with coordinates of faces and of nodes."""
    folder = Path(pytest.importorskip("iris_sample_data").path)
    with xr.open_dataset(folder / "mesh_C4_synthetic_float.nc") as data:
        mesh = data.load()
    mesh["synthetic"] = mesh.synthetic.expand_dims(time=[0.0, 1.0, 2.0]) * xr.DataArray([1.0, 2.0, 3.0], dims="time")
    mesh.to_netcdf(tmp_path / "a.nc")
    source = opened(tmp_path / "a.nc")
    assert source.scattered and source.grid == (96,) and source.channels == ("synthetic",)
    np.testing.assert_array_equal(source.axes["example_C4_face_x"], mesh.example_C4_face_x)
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], mesh.synthetic.values.astype(np.float32))


def test_ocean_on_a_curvilinear_grid_is_scattered_and_named(tmp_path):
    """Three months of NEMO on ORCA1, a file each."""
    path = Path(pytest.importorskip("iris_sample_data").path) / "NEMO"
    source = opened(sorted(map(str, path.glob("*.nc"))), join="time")
    with xr.open_dataset(next(iter(sorted(path.glob("*.nc")))), decode_times=False) as data:
        np.testing.assert_array_equal(source.axes["nav_lat"], data.nav_lat.values.ravel())
        np.testing.assert_array_equal(source.axes["nav_lon"], data.nav_lon.values.ravel())
        np.testing.assert_array_equal(source.read(0, 0, 1)[0, :, 0], data.tos.values.ravel())
    assert source.scattered and source.grid == (330 * 360,)
    assert source.channel_about["tos"]["standard_name"] == "sea_surface_temperature"
    assert source.axis_units == {"nav_lat": "degrees_north", "nav_lon": "degrees_east"}
