"""Dimensions, groups, coordinates and samples, as files of many origins have them."""

import h5py
import netCDF4
import numpy as np
import pytest
import scipy.io
import xarray as xr

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.layout import read_data
from sparsevq.data.preprocess import preprocess
from sparsevq.readers.files import open_files
from tests.readers.cases.table import NX, NY, TIME_BLOCKS, Refused, Right, check, hdf5, row, wave

HOURS = {"units": "hours since 2001-01-01"}
PLACES = {"latitude": np.linspace(60, 30, NY), "longitude": np.linspace(-10, 30, NX)}
RISING = {"latitude": np.linspace(30, 60, NY), "longitude": np.linspace(-10, 30, NX)}
NORTH_UP = wave()[:, ::-1]
STEPPED = {"y": np.arange(NY) * 0.5, "x": np.arange(NX) * 0.5}
SAMPLES = np.stack([np.stack([wave(10, seed=s), wave(10, seed=s + 50)], -1) for s in range(5)])
TWO = ("trajectory", "time", "y", "x", "channel")


def places():
    return {
        "latitude": ("latitude", PLACES["latitude"].astype("f4"), {"units": "degrees_north"}),
        "longitude": ("longitude", PLACES["longitude"].astype("f4"), {"units": "degrees_east"}),
    }


def preliminary(folder):
    """A reanalysis whose last months are preliminary: a dimension with both, each NaN where the other has values."""
    both = np.full((24, 2, NY, NX), np.nan, "f4")
    both[:18, 0], both[18:, 1] = wave()[:18], wave()[18:]
    time = ("time", np.arange(24), {"units": "hours since 1900-01-01 00:00:00.0", "calendar": "gregorian"})
    data = xr.Dataset(
        {"t2m": (("time", "expver", "latitude", "longitude"), both, {"units": "K"})},
        {"time": time, "expver": ("expver", np.array([1, 5], "i4")), **places()},
    )
    packing = {"dtype": "i2", "scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": -32767}
    data.to_netcdf(folder / "a.nc", encoding={"t2m": packing})
    return folder / "a.nc"


def preliminary_as_text(folder):
    """The same as it is delivered now: valid times, a member number, and the version as text along time."""
    seconds = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian", "standard_name": "time"}
    coordinates = {
        "valid_time": ("valid_time", np.arange(24) * 3600, seconds),
        "number": ((), 0, {"units": "1", "standard_name": "realization"}),
        "expver": ("valid_time", np.array(["0001"] * 18 + ["0005"] * 6)),
        **places(),
    }
    xr.Dataset({"t2m": (("valid_time", "latitude", "longitude"), wave(), {"units": "K"})}, coordinates).to_netcdf(
        folder / "a.nc"
    )
    return folder / "a.nc"


STARTS = np.stack([wave(6, seed=k) + k for k in range(8)])


def forecasts(folder):
    """Eight forecasts of six lead times, as cfgrib gives them."""
    seconds = {"units": "seconds since 2024-01-01", "calendar": "proleptic_gregorian"}
    begin, lead = np.arange(8) * 12 * 3600, np.arange(6) * 6
    coordinates = {
        "time": (
            "time",
            begin,
            {**seconds, "standard_name": "forecast_reference_time", "long_name": "initial time of forecast"},
        ),
        "step": ("step", lead * 1.0, {"units": "hours", "standard_name": "forecast_period"}),
        "valid_time": (("time", "step"), begin[:, None] + lead * 3600, {**seconds, "standard_name": "time"}),
        "number": ((), 0),
        "meanSea": ((), 0.0),
        **places(),
    }
    data = xr.Dataset({"msl": (("time", "step", "latitude", "longitude"), STARTS, {"units": "Pa"})}, coordinates)
    data.to_netcdf(folder / "a.nc")
    return folder / "a.nc"


def in_a_group(form):
    """Nothing but a title at the root; all that matters in a group."""

    def make(folder):
        path = folder / f"a.{form}"
        data = xr.Dataset(
            {"u": (("time", "y", "x"), wave(), {"units": "m s-1"})},
            {
                "time": ("time", np.arange(24.0), HOURS),
                **{name: (name, at, {"units": "m"}) for name, at in STEPPED.items()},
            },
        )
        if form == "zarr":
            data.to_zarr(path, group="measurements", zarr_format=2)
        else:
            xr.Dataset(attrs={"title": "campaign"}).to_netcdf(path)
            data.to_netcdf(path, mode="a", group="measurements")
        return path

    return make


PDEBENCH = hdf5(
    velocity=SAMPLES,
    particles=SAMPLES[..., :1],
    t=np.tile(np.arange(10) * 0.005, (5, 1)).astype("f4"),
    force=SAMPLES[:, 0],
)
GROUPS = hdf5(
    **{f"{s:04d}/data": SAMPLES[s, ..., :1] for s in range(5)},
    **{f"{s:04d}/grid/x": np.linspace(-1, 1, NX) for s in range(5)},
    **{f"{s:04d}/grid/y": np.linspace(-1, 1, NY) for s in range(5)},
    **{f"{s:04d}/grid/t": np.linspace(0, 1, 10) for s in range(5)},
)
ONE_MORE_TIME = hdf5(
    **{
        "density": SAMPLES[..., 0],
        "Vx": SAMPLES[..., 1],
        "t-coordinate": np.arange(11) * 0.05,
        "x-coordinate": np.linspace(0, 1, NX),
        "y-coordinate": np.linspace(0, 1, NY),
    }
)
THE_WELL = hdf5(
    **{
        "t0_fields/pressure": SAMPLES[..., 0],
        "t1_fields/velocity": SAMPLES,
        "dimensions/time": np.arange(10.0),
        "dimensions/x": np.linspace(0, 1, NY),
        "dimensions/y": np.linspace(0, 1, NX),
        "scalars/Re": np.float32(100),
    }
)

# ----------------------------------------------------------------------------------------------------- MATLAB

FRAMES = wave(10)
FLOW = FRAMES.transpose(1, 2, 0)
MESH = np.meshgrid(np.linspace(0, 1.1, NX), np.linspace(0, 0.7, NY))
SPACED = {"y": np.linspace(0, 0.7, NY), "x": np.linspace(0, 1.1, NX)}
OPERATOR = np.stack([wave(10, seed=k) + k for k in range(4)]).transpose(0, 2, 3, 1)


def matlab(**variables):
    def make(folder):
        scipy.io.savemat(folder / "a.mat", variables)
        return folder / "a.mat"

    return make


def cells():
    found = np.empty((10, 1), object)
    for k in range(10):
        found[k, 0] = FLOW[..., k]
    return found


def matlab_7_3(write):
    """A file of version 7.3: HDF5 behind a header, arrays in the reverse order."""

    def put(place, name, values, kind="double"):
        made = place.create_dataset(name, data=np.asarray(values).T)
        made.attrs["MATLAB_class"] = np.bytes_(kind)
        return made

    def make(folder):
        with h5py.File(folder / "a.mat", "w", userblock_size=512) as file:
            write(file, put)
        with open(folder / "a.mat", "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        return folder / "a.mat"

    return make


def cells_7_3(file, put):
    held = file.create_group("#refs#")
    parts = [put(held, chr(97 + k), FLOW[..., k]).ref for k in range(10)]
    cell = file.create_dataset("u_original", (1, 10), dtype=h5py.ref_dtype)
    cell[0, :] = parts
    cell.attrs["MATLAB_class"] = np.bytes_("cell")
    for name, at in zip("xy", MESH, strict=True):
        put(file, name, at)


def struct_7_3(file, put):
    flow = file.create_group("flow")
    flow.attrs["MATLAB_class"] = np.bytes_("struct")
    members = {
        "u": FLOW,
        "v": 2 * FLOW,
        "x": SPACED["x"][None],
        "y": SPACED["y"][:, None],
        "t": np.arange(10.0)[:, None] * 0.02,
    }
    for name, values in members.items():
        put(flow, name, values)


def operator_7_3(file, put):
    put(file, "u", OPERATOR.astype("f4"), "single")
    put(file, "a", OPERATOR[..., 0])
    put(file, "t", np.arange(1.0, 11.0)[None])


STRUCT = matlab(flow={"u": FLOW, "v": 2 * FLOW, "x": SPACED["x"], "y": SPACED["y"], "t": np.arange(10) * 0.02})
MESHGRID = matlab(U=FLOW, X=MESH[0], Y=MESH[1], t=np.arange(10) * 0.02)
CELLS = matlab(u_original=cells(), x=MESH[0], y=MESH[1], dt=0.02)
MODES = matlab(VORTALL=FLOW.reshape(NY * NX, 10, order="F"), nx=12.0, ny=8.0, u=FLOW + 1j * FLOW)
ORDER = {"dimensions": ("y", "x", "time")}
SPACED_FLOW = Right(FRAMES, axes=SPACED, about={"time": np.arange(10) * 0.02})


def without_variables(folder):
    """NetCDF-4 that is called .h5, of whose dimensions only time has a variable."""
    with netCDF4.Dataset(folder / "a.h5", "w") as file:
        for name, size in (("time", 24), ("y", NY), ("x", NX)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = HOURS["units"]
        time[:] = np.arange(24)
        file.createVariable("u", "f4", ("time", "y", "x"))[:] = wave()
    return folder / "a.h5"


def without_times(folder):
    with netCDF4.Dataset(folder / "a.h5", "w") as file:
        for name, size in (("nt", 24), ("y", NY), ("x", NX)):
            file.createDimension(name, size)
        for name in "yx":
            at = file.createVariable(name, "f8", (name,))
            at.units = "m"
            at[:] = np.arange(len(file.dimensions[name]))
        file.createVariable("u", "f4", ("nt", "y", "x"))[:] = wave()
    return folder / "a.h5"


# ------------------------------------------------------------------------------------------------------ angles

rng = np.random.default_rng(1)
CELL_LATITUDE, CELL_LONGITUDE = np.arcsin(rng.uniform(-1, 1, 96)), rng.uniform(-np.pi, np.pi, 96)


def cells_in_radians(folder):
    data = xr.Dataset(
        {"t_2m": (("time", "ncells"), wave().reshape(24, 96), {"units": "K"})},
        {
            "time": ("time", np.arange(24.0), {**HOURS, "standard_name": "time"}),
            "clat": ("ncells", CELL_LATITUDE, {"units": "radian", "standard_name": "latitude"}),
            "clon": ("ncells", CELL_LONGITUDE, {"units": "radian", "standard_name": "longitude"}),
        },
    )
    data.to_netcdf(folder / "a.nc")
    return folder / "a.nc"


def sphere_in_radians(folder):
    data = xr.Dataset(
        {"h": (("time", "lat", "lon"), wave(), {"units": "m"})},
        {
            "time": ("time", np.arange(24.0), HOURS),
            "lat": ("lat", np.deg2rad(np.linspace(-87.5, 87.5, NY)), {"units": "radians", "standard_name": "latitude"}),
            "lon": ("lon", np.deg2rad(np.arange(0, 360, 30.0)), {"units": "radians", "standard_name": "longitude"}),
        },
    )
    data.to_netcdf(folder / "a.nc")
    return folder / "a.nc"


def globe_from_the_north(folder):
    """Latitudes that fall, longitudes whose last repeats the first, time last."""
    longitude = np.append(np.arange(0, 360, 30.0), 360.0)
    around = np.concatenate([wave(), wave()[..., :1]], -1)
    data = xr.Dataset(
        {"h": (("lon", "lat", "time"), around.transpose(2, 1, 0), {"units": "m"})},
        {
            "time": ("time", np.arange(24.0), {**HOURS, "calendar": "noleap"}),
            "lat": ("lat", np.linspace(87.5, -87.5, NY), {"units": "degrees_north"}),
            "lon": ("lon", longitude, {"units": "degrees_east"}),
        },
    )
    data.to_netcdf(folder / "a.nc")
    return folder / "a.nc"


NORTHWARD = Right(NORTH_UP, axes=RISING, tolerance=5e-4)
LEADS = Right(
    STARTS[:, :, ::-1],
    axes=RISING,
    start=tuple(f"2024-01-{1 + k // 2:02d}T{12 * (k % 2):02d}" for k in range(8)),
    about={"trajectories": 8, "time": 6.0 * np.arange(6)},
)
GROUPED = Right(wave(), axes=STEPPED, start=("2001-01-01T00",))
ONE = Right(
    SAMPLES[:1, ..., 0],
    axes={"y": np.linspace(-1, 1, NY), "x": np.linspace(-1, 1, NX)},
    about={"time": np.linspace(0, 1, 10)},
)
SAMPLED = Right(SAMPLES[..., 0], about={"channels": ("velocity_0", "velocity_1"), "time": np.arange(10) * 0.005})
COUNTED = {"y": np.arange(NY), "x": np.arange(NX)}

ROWS = [
    row("expver as a dimension", preliminary, NORTHWARD, Refused(("expver",))),
    row("expver as text along time", preliminary_as_text, NORTHWARD),
    row("forecasts: reference time, step and valid time", forecasts, LEADS),
    row("a group of NetCDF", in_a_group("nc"), GROUPED, Refused(("measurements/u",))),
    row("a group of NetCDF, named", in_a_group("nc"), GROUPED, arrays=("measurements/u",)),
    row("a group of NetCDF as HDF5", in_a_group("nc"), GROUPED, format="hdf5"),
    row("a group of Zarr", in_a_group("zarr"), GROUPED, Refused(("measurements/u",))),
    row("a group of Zarr, named", in_a_group("zarr"), GROUPED, arrays=("measurements/u",)),
    row("samples, components last, times of each sample", PDEBENCH, SAMPLED, arrays=("velocity",), dimensions=TWO),
    row("samples, the times named", PDEBENCH, SAMPLED, arrays=("velocity",), dimensions=TWO, time="t"),
    row("a group a sample, one", GROUPS, ONE, arrays=("0000/data",), dimensions=("time", "y", "x", "channel")),
    row(
        "a group a sample, all of them",
        GROUPS,
        Right(SAMPLES[..., 0], about={"time": np.linspace(0, 1, 10), "trajectories": 5}),
        arrays=tuple(f"{s:04d}/data" for s in range(5)),
        dimensions=("time", "y", "x", "channel"),
    ),
    row(
        "a group a sample, not named",
        GROUPS,
        Right(SAMPLES[..., 0], about={"trajectories": 5}),
        Refused(("0000/data",)),
        dimensions=("time", "y", "x", "channel"),
    ),
    row(
        "one time more than frames",
        ONE_MORE_TIME,
        Right(SAMPLES[..., 0], about={"time": np.arange(10) * 0.05}),
        Refused(("t-coordinate", "11", "10")),
        arrays=("density", "Vx"),
        dimensions=TWO[:4],
        time="t-coordinate",
        coordinates={"x": "x-coordinate", "y": "y-coordinate"},
    ),
    row(
        "coordinates called x-coordinate",
        ONE_MORE_TIME,
        Right(SAMPLES[..., 0], axes={"y": np.linspace(0, 1, NY), "x": np.linspace(0, 1, NX)}),
        arrays=("density", "Vx"),
        dimensions=TWO[:4],
        time=(0.0, 0.05),
        coordinates={"x": "x-coordinate", "y": "y-coordinate"},
    ),
    row(
        "coordinates in a group called dimensions",
        THE_WELL,
        Right(SAMPLES[..., 0], axes={"x": np.linspace(0, 1, NY), "y": np.linspace(0, 1, NX)}),
        arrays=("t1_fields/velocity",),
        dimensions=("trajectory", "time", "x", "y", "channel"),
    ),
    row("MATLAB struct, named", STRUCT, SPACED_FLOW, arrays=("flow/u", "flow/v"), **ORDER),
    row("MATLAB struct as a whole", STRUCT, SPACED_FLOW, Refused(("flow/u",)), arrays=("flow",)),
    row("MATLAB meshgrid, named", MESHGRID, SPACED_FLOW, arrays=("U",), **ORDER, coordinates={"x": "X", "y": "Y"}),
    row("MATLAB meshgrid", MESHGRID, SPACED_FLOW, arrays=("U",), **ORDER),
    row("MATLAB complex", MODES, Refused(("u", "complex")), arrays=("u",), **ORDER),
    row(
        "MATLAB snapshots as columns",
        MODES,
        Refused(("96", "coordinates")),
        arrays=("VORTALL",),
        dimensions=("point", "time"),
    ),
    row("MATLAB cell", CELLS, Refused(("u_original", "dimensions")), arrays=("u_original",)),
    row("MATLAB cell, told", CELLS, Right(FRAMES, axes=SPACED), arrays=("u_original",), dimensions=("time", "y", "x")),
    row(
        "MATLAB 7.3 cell",
        matlab_7_3(cells_7_3),
        Right(FRAMES, axes=SPACED),
        arrays=("u_original",),
        dimensions=("time", "y", "x"),
    ),
    row("MATLAB 7.3 struct, named", matlab_7_3(struct_7_3), SPACED_FLOW, arrays=("flow/u", "flow/v"), **ORDER),
    row(
        "MATLAB samples",
        matlab(u=OPERATOR, a=OPERATOR[..., 0], t=np.arange(1.0, 11.0)),
        Right(OPERATOR.transpose(0, 3, 1, 2), about={"time": np.arange(1.0, 11.0)}),
        arrays=("u",),
        dimensions=("trajectory", "x", "y", "time"),
    ),
    row(
        "MATLAB 7.3 samples",
        matlab_7_3(operator_7_3),
        Right(OPERATOR.transpose(0, 3, 1, 2), about={"time": np.arange(1.0, 11.0)}),
        arrays=("u",),
        dimensions=("trajectory", "x", "y", "time"),
    ),
    row(
        "netCDF-4 dimensions without variables, as HDF5",
        without_variables,
        Right(wave(), axes=COUNTED, start=("2001-01-01T00",)),
    ),
    row(
        "the same with dimensions",
        without_variables,
        Right(wave(), axes=COUNTED),
        arrays=("u",),
        dimensions=("time", "y", "x"),
    ),
    row(
        "no variable of times, as HDF5",
        without_times,
        Right(wave(), axes=COUNTED, about={"time": np.arange(24.0)}),
        arrays=("u",),
        dimensions=("time", "y", "x"),
    ),
    row(
        "cells in radians",
        cells_in_radians,
        Right(
            wave().reshape(24, 96),
            axes={"clat": np.rad2deg(CELL_LATITUDE), "clon": np.rad2deg(CELL_LONGITUDE)},
            about={"scattered": True, "axis_units": {"clat": "degrees_north", "clon": "degrees_east"}},
        ),
    ),
    row(
        "a sphere in radians",
        sphere_in_radians,
        Right(
            wave(),
            axes={"lat": np.linspace(-87.5, 87.5, NY), "lon": np.arange(0, 360, 30.0)},
            about={"periodic": ("lon",), "axis_units": {"lat": "degrees_north", "lon": "degrees_east"}},
        ),
    ),
    row(
        "a globe from the north, the first meridian twice",
        globe_from_the_north,
        Right(
            wave()[:, ::-1].transpose(0, 2, 1),
            axes={"lon": np.arange(0, 360, 30.0), "lat": np.linspace(-87.5, 87.5, NY)},
            about={"periodic": ("lon",)},
        ),
    ),
]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_dimensions_and_places_are_those_that_were_meant(tmp_path, case):
    check(case, tmp_path)


def test_a_mean_over_a_sphere_in_radians_is_by_area(tmp_path):
    settings = FileConfig(path=str(sphere_in_radians(tmp_path)), **TIME_BLOCKS)
    preprocess(open_files(settings, "case"), tmp_path / "data.h5", "case", settings, PreprocessConfig())
    weights = read_data(tmp_path / "data.h5").weights.reshape(NY, NX)[:, 0]
    area = np.diff(np.sin(np.deg2rad([-90, *range(-75, 76, 25), 90])))
    np.testing.assert_allclose(weights / weights.mean(), area / area.mean(), rtol=1e-6)
