"""Groups of NetCDF, Zarr and HDF5: fields in one of them, and a group for each sample."""

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from sparsevq.cli.guesses import opened as likely_opened
from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from tests.user_files import all_of, opened, values


def campaign(seed=0, **attributes):
    """Fields with coordinates of their own."""
    return xr.Dataset(
        {"u": (("time", "y", "x"), values(6, 4, 5, seed=seed), {"units": "m s-1"})},
        {
            "time": ("time", 3.0 * np.arange(6), {"units": "hours since 2001-01-01"}),
            "y": ("y", np.arange(4) * 0.5, {"units": "m"}),
            "x": ("x", np.arange(5) * 0.25, {"units": "m"}),
        },
        attributes,
    )


def netcdf(path, groups):
    xr.Dataset(attrs={"title": "a campaign"}).to_netcdf(path, mode="w")
    for name, data in groups.items():
        data.to_netcdf(path, mode="a", group=name)
    return path


def zarr2(path, groups):
    for name, data in groups.items():
        data.to_zarr(path, group=name, zarr_format=2, mode="a")
    return path


def zarr3(path, groups):
    for name, data in groups.items():
        data.to_zarr(path, group=name, zarr_format=3, mode="a", consolidated=False)
    return path


FORMATS = pytest.mark.parametrize(
    ("write", "name"), [(netcdf, "a.nc"), (zarr2, "a.zarr"), (zarr3, "a.zarr")], ids=["netcdf", "zarr2", "zarr3"]
)


@FORMATS
@pytest.mark.parametrize("group", ["measurements", "data/2001/gridded"])
def test_fields_in_one_group_are_found(tmp_path, write, name, group):
    data = campaign()
    path = write(tmp_path / name, {group: data})
    for settings in ({}, {"arrays": (f"{group}/u",)}, {"arrays": (f"/{group}/u",)}):
        source = opened(path, **settings)
        assert (source.channels, source.units, source.time_units) == (("u",), ("m s-1",), "h")
        assert list(source.axes) == ["y", "x"] and source.axis_units == {"y": "m", "x": "m"}
        np.testing.assert_array_equal(source.axes["x"], data.x)
        np.testing.assert_array_equal(all_of(source)[0, ..., 0], data.u)
        assert source.parameters["start"].tolist() == ["2001-01-01T00:00:00"]


@FORMATS
def test_fields_in_several_groups_are_listed(tmp_path, write, name):
    path = write(tmp_path / name, {"raw": campaign(), "quality": campaign(seed=1)})
    with pytest.raises(
        SparseVQError, match=r"2 of its groups hold fields: .*quality \(u\).*arrays: \[\w+/u\]"
    ) as error:
        opened(path)
    assert "raw (u)" in str(error.value)
    np.testing.assert_array_equal(all_of(opened(path, arrays=("quality/u",)))[0, ..., 0], campaign(seed=1).u)


def test_dimensions_are_inherited_from_the_groups_around(tmp_path):
    u = values(6, 4, 5)
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 5)
        file.createVariable("x", "f8", ("x",))[:] = np.arange(5) * 0.25
        file.createDimension("time", 6)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(6) * 2.0
        file["time"].units = "s"
        inner = file.createGroup("model").createGroup("fields")
        file["model"].createDimension("y", 4)
        inner.createDimension("x_bnds", 2)
        inner.createVariable("u", "f4", ("time", "y", "x"))[:] = u
        other = file.createGroup("coarse")  # an x of its own
        other.createDimension("x", 3)
        other.createVariable("x", "f8", ("x",))[:] = np.arange(3) * 7.0
    source = opened(tmp_path / "a.nc")
    np.testing.assert_array_equal(source.axes["x"], np.arange(5) * 0.25)
    np.testing.assert_array_equal(source.axes["y"], np.arange(4))
    np.testing.assert_array_equal(source.time, np.arange(6) * 2.0)
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u)


@FORMATS
def test_coordinates_and_bounds_that_attributes_name_are_those_of_the_group(tmp_path, write, name):
    data = campaign()
    data["area"] = (("time", "y", "x"), values(6, 4, 5, seed=3))
    data.u.attrs["ancillary_variables"] = "area"
    assert opened(write(tmp_path / name, {"a": data})).channels == ("u",)


# ------------------------------------------------------------------------------------------------ a group a sample


@FORMATS
def test_a_group_a_sample_in_formats_with_names(tmp_path, write, name):
    groups = {f"run_{index}": campaign(seed=index, nu=0.1 * index) for index in (2, 10, 1)}
    path = write(tmp_path / name, groups)
    with pytest.raises(
        SparseVQError, match=r"3 of its groups hold fields.*if each is a trajectory, `arrays: \[\*/u\]`"
    ):
        opened(path)
    source = opened(path, arrays=("*/u",))
    np.testing.assert_array_equal(all_of(source)[..., 0], np.stack([campaign(seed=seed).u for seed in (1, 2, 10)]))
    np.testing.assert_allclose(source.parameters["nu"], [0.1, 0.2, 1.0])
    np.testing.assert_array_equal(source.axes["x"], np.arange(5) * 0.25)
    assert source.time_units == "h"
    assert opened(path, arrays=("run_[12]/u",)).trajectories == 2


def samples(path, count=5, **more):
    """Samples as PDEBench writes them."""
    u = values(count, 6, 4, 5, 1)
    with h5py.File(path, "w") as file:
        for index in range(count):
            group = file.create_group(f"{index:04d}")
            group["data"], group["grid/x"] = u[index], np.linspace(-1, 1, 5)
            group["grid/y"], group["grid/t"] = np.linspace(0, 1, 4), np.linspace(0, 3, 6)
            group["nu"], group.attrs["Re"] = 0.5 * index, 100 * index
            for key, value in more.items():
                group[key] = value(index)
    return u


def suggestion(path):
    """The settings with which `describe` reads a file that does not say how to."""
    found = likely_opened(FileConfig(path=str(path)), "mine")
    assert found.source is not None, found.notes
    return found.settings


@pytest.mark.parametrize("dimensions", [("time", "y", "x", "channel"), ("trajectory", "time", "y", "x", "channel")])
def test_a_group_a_sample_in_hdf5(tmp_path, dimensions):
    u = samples(tmp_path / "a.h5", count=11)
    source = opened(tmp_path / "a.h5", arrays=("*/data",), dimensions=dimensions)
    np.testing.assert_array_equal(all_of(source), u)
    np.testing.assert_array_equal(source.axes["x"], np.linspace(-1, 1, 5))
    np.testing.assert_array_equal(source.axes["y"], np.linspace(0, 1, 4))
    np.testing.assert_array_equal(source.time, np.linspace(0, 3, 6))
    assert source.parameters["nu"].tolist() == [0.5 * index for index in range(11)]
    assert source.parameters["Re"].tolist() == [100 * index for index in range(11)]


def test_samples_that_are_listed_are_trajectories_too(tmp_path, capsys):
    u = samples(tmp_path / "a.h5")
    names = tuple(f"{index:04d}/data" for index in (0, 1, 3))
    source = opened(tmp_path / "a.h5", arrays=names, dimensions=("time", "y", "x", "channel"))
    np.testing.assert_array_equal(all_of(source), u[[0, 1, 3]])
    assert "3 samples" in capsys.readouterr().out


def test_the_suggestion_for_a_group_a_sample_works_as_it_stands(tmp_path):
    u = samples(tmp_path / "a.h5", pressure=lambda index: np.full((6, 4, 5, 1), index, np.float32))
    found = suggestion(tmp_path / "a.h5")
    assert found.arrays == ("*/data", "*/pressure")
    source = opened(tmp_path / "a.h5", arrays=found.arrays, dimensions=found.dimensions)
    np.testing.assert_array_equal(all_of(source)[..., :1], u)
    assert all_of(source)[3, 0, 0, 0, 1] == 3


def test_samples_in_numbered_groups_of_several_folders(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for split in ("train", "test"):
            for index in range(3):
                file[f"{split}/{index}/u"] = values(6, 5, 4)
    assert suggestion(tmp_path / "a.h5").arrays == ("*/*/u",)
    with h5py.File(tmp_path / "b.h5", "w") as file:  # groups with names are channels
        file["fields/u/data"], file["fields/v/data"] = values(6, 5, 4), values(6, 5, 4)
    assert suggestion(tmp_path / "b.h5").arrays == ("fields/u/data", "fields/v/data")


def test_a_group_a_frame(tmp_path):
    u = values(12, 4, 5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index in range(12):
            file[f"step_{index}/u"], file[f"step_{index}/time"] = u[index], 0.5 * index
    source = opened(tmp_path / "a.h5", arrays=("step_*/u",), dimensions=("time", "y", "x"))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], u)
    np.testing.assert_array_equal(source.time, 0.5 * np.arange(12))


def test_arrays_with_numbers_in_their_names(tmp_path):
    u = values(12, 6, 5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index in range(12):
            file[f"u_{index}"] = u[index]
    source = opened(tmp_path / "a.h5", arrays=("u_*",), dimensions=("time", "x"))
    np.testing.assert_array_equal(all_of(source)[..., 0], u)
    assert source.channels == ("u",)


def test_samples_of_several_shapes_or_patterns_that_match_nothing_are_named(tmp_path):
    samples(tmp_path / "a.h5", other=lambda index: np.zeros((6, 4 + index % 2)))
    with pytest.raises(SparseVQError, match=r"\*/other matches arrays of several shapes: 0000/other .* 0001/other"):
        opened(tmp_path / "a.h5", arrays=("*/other",), dimensions=("time", "x"))
    with pytest.raises(SparseVQError, match=r"no array of numbers matches \*/velocity"):
        opened(tmp_path / "a.h5", arrays=("*/velocity",), dimensions=("time", "x"))


def test_suggestions_for_released_data_sets_work_as_they_stand(tmp_path):
    u = values(5, 6, 4, 3, 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:  # PDEBench's incompressible flow
        file["velocity"], file["particles"], file["force"] = u, u[..., :1], u[:, 0]
        file["t"] = np.tile(np.arange(6) * 0.005, (5, 1))
    found = suggestion(tmp_path / "a.h5")
    assert found.arrays == ("particles", "velocity")
    source = opened(tmp_path / "a.h5", arrays=found.arrays, dimensions=found.dimensions)
    assert source.trajectories == 5 and source.grid == (4, 3)
    np.testing.assert_array_equal(all_of(source)[..., 1:], u)
    np.testing.assert_array_equal(source.time, np.arange(6) * 0.005)
    with h5py.File(tmp_path / "b.hdf5", "w") as file:  # The Well
        file["t0_fields/pressure"], file["t1_fields/velocity"] = u[..., 0], u
        file["dimensions/time"], file["dimensions/x"] = np.arange(6.0), np.linspace(0, 1, 4)
        file["dimensions/y"], file["scalars/Re"] = np.linspace(0, 1, 3), np.float32(100)
    found = suggestion(tmp_path / "b.hdf5")
    assert found.dimensions == ("trajectory", "time", "x", "y", "channel")
    source = opened(tmp_path / "b.hdf5", arrays=found.arrays, dimensions=found.dimensions)
    assert source.channels == ("pressure", "velocity_0", "velocity_1")
    np.testing.assert_array_equal(all_of(source)[..., 1:], u)
