"""Files of models, satellites and tools, whose kinds users of other readers report; each row names a report."""

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from tests.readers.cases.table import NX, NY, Refused, Right, check, island, row, wave

LAND = island()
TEN_YEARS = {"units": "days since 1979-01-01 00:00:00", "calendar": "noleap"}


def on_sea():
    field = wave()
    field[:, LAND] = np.nan
    return field


def letters(texts):
    """``(n, length)``: texts as arrays of characters."""
    return np.array([list(text) for text in texts], "S1")


def variables(path, sizes, members):
    """A netCDF-4 file of these dimensions; name -> (kind, dimensions, values, attributes), nothing packed or masked."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
        for name, (kind, dimensions, values, attributes) in members.items():
            fill = attributes.pop("_FillValue", None)
            at = file.createVariable(name, kind, dimensions, fill_value=fill)
            at.set_auto_maskandscale(False)
            at.setncatts(attributes)
            at[...] = values
    return path


# Unidata/netcdf4-python#794, Unidata/thredds#593: GOES-R packs unsigned numbers in shorts; fill value and valid range
# are unsigned, too. SciTools/cartopy#1702: x and y are scan angles in radians, no longitude and latitude.
def unsigned_shorts(folder):
    packed = np.round((wave() + 2) * 10000).astype("u2")
    packed[:, LAND] = 65535
    rain = {
        "_FillValue": np.int16(-1),
        "_Unsigned": "true",
        "valid_range": np.array([0, -6], "i2"),
        "scale_factor": np.float32(1e-4),
        "add_offset": np.float32(0),
        "units": "mm h-1",
        "coordinates": "y x",
        "grid_mapping": "goes_imager_projection",
    }

    def angle(size, name, offset):
        about = {
            "scale_factor": np.float32(5.6e-5),
            "add_offset": np.float32(offset),
            "units": "rad",
            "axis": name.upper(),
        }
        return "i2", (name,), np.arange(size), {**about, "standard_name": f"projection_{name}_coordinate"}

    projection = {"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0}
    members = {
        "RRQPE": ("i2", ("t", "y", "x"), packed.view("i2"), rain),
        "y": angle(NY, "y", 0.1),
        "x": angle(NX, "x", -0.1),
        "t": (
            "f8",
            ("t",),
            np.arange(24) * 900.0,
            {"units": "seconds since 2000-01-01 12:00:00", "standard_name": "time", "axis": "T"},
        ),
        "goes_imager_projection": ("i4", (), 0, projection),
    }
    return variables(folder / "a.nc", {"t": 24, "y": NY, "x": NX}, members)


# xarray-contrib/xwrf#31 and #169: places with a time dimension that never change, times as characters, with XTIME or
# without.
WEST, SOUTH = np.meshgrid(np.linspace(-10, 10, NX), np.linspace(40, 50, NY))
CURVED = {"XLAT": SOUTH + 0.01 * WEST**2, "XLONG": WEST * (1 + 0.01 * (SOUTH - 45))}


def wrf(with_minutes):
    def make(folder):
        stamps = letters([f"2018-10-{15 + hour // 24:02d}_{hour % 24:02d}:00:00" for hour in range(24)])
        members = {"Times": ("S1", ("Time", "DateStrLen"), stamps, {})}
        for name, unit in (("XLAT", "degree_north"), ("XLONG", "degree_east")):
            values = np.broadcast_to(CURVED[name], (24, NY, NX))
            members[name] = ("f4", ("Time", "south_north", "west_east"), values, {"units": unit, "MemoryOrder": "XY "})
        if with_minutes:
            minutes = {"units": "minutes since 2018-10-15 00:00:00", "description": "minutes since 2018-10-15 00:00:00"}
            members["XTIME"] = ("f4", ("Time",), np.arange(24) * 60.0, minutes)
        about = {"units": "K", "coordinates": "XLONG XLAT XTIME", "description": "TEMP at 2 M", "stagger": ""}
        members["T2"] = ("f4", ("Time", "south_north", "west_east"), wave(), about)
        return variables(
            folder / "wrfout", {"Time": None, "DateStrLen": 19, "south_north": NY, "west_east": NX}, members
        )

    return make


# OceanParcels/Parcels#406: NEMO leaves out processors that are all land; their latitudes and longitudes are 0.
def nemo(folder):
    latitude, longitude = CURVED["XLAT"].copy(), CURVED["XLONG"].copy()
    latitude[LAND] = longitude[LAND] = 0
    temperature = np.where(np.isnan(on_sea()), np.float32(1e20), wave())
    time = {
        "units": "seconds since 1900-01-01 00:00:00",
        "calendar": "gregorian",
        "bounds": "time_counter_bounds",
        "axis": "T",
    }
    members = {
        "nav_lat": ("f4", ("y", "x"), latitude, {"units": "degrees_north", "standard_name": "latitude"}),
        "nav_lon": ("f4", ("y", "x"), longitude, {"units": "degrees_east", "standard_name": "longitude"}),
        "time_counter": ("f8", ("time_counter",), np.arange(24) * 86400.0, time),
        "time_counter_bounds": ("f8", ("time_counter", "axis_nbounds"), np.zeros((24, 2)), {}),
        "tos": (
            "f4",
            ("time_counter", "y", "x"),
            temperature,
            {"_FillValue": np.float32(1e20), "units": "degC", "coordinates": "nav_lat nav_lon"},
        ),
    }
    return variables(folder / "a.nc", {"y": NY, "x": NX, "time_counter": None, "axis_nbounds": 2}, members)


# NOAA-ORR-ERD/PyGnome#134, ropensci/tidync#127: ROMS has places of two dimensions on a grid that is rectilinear here,
# masks and depths without time, and fields on several grids.
def roms(folder):
    longitude, latitude = np.meshgrid(np.linspace(20, 31, NX), np.linspace(54, 61, NY))
    sea, rho = (
        {"units": "meter", "time": "ocean_time", "coordinates": "lon_rho lat_rho ocean_time"},
        ("eta_rho", "xi_rho"),
    )
    members = {
        "ocean_time": (
            "f8",
            ("ocean_time",),
            np.arange(24) * 3600.0,
            {"units": "seconds since 2006-01-01 00:00:00", "calendar": "proleptic_gregorian"},
        ),
        "s_rho": (
            "f8",
            ("s_rho",),
            [-0.9, -0.5, -0.1],
            {"valid_min": -1.0, "valid_max": 0.0, "positive": "up", "standard_name": "ocean_s_coordinate_g2"},
        ),
        "lon_rho": ("f8", rho, longitude, {"units": "degree_east", "standard_name": "longitude"}),
        "lat_rho": ("f8", rho, latitude, {"units": "degree_north", "standard_name": "latitude"}),
        "mask_rho": ("f8", rho, 1.0 - LAND, {"flag_values": [0.0, 1.0], "flag_meanings": "land water"}),
        "h": ("f8", rho, 10 + latitude, {"units": "meter"}),
        "zeta": ("f4", ("ocean_time", *rho), np.where(LAND, 1e37, wave()), {"_FillValue": np.float32(1e37), **sea}),
        "temp": ("f4", ("ocean_time", "s_rho", *rho), np.zeros((24, 3, NY, NX)), {"_FillValue": np.float32(1e37)}),
    }
    return variables(folder / "a.nc", {"ocean_time": None, "s_rho": 3, "eta_rho": NY, "xi_rho": NX}, members)


# MPAS-Dev/MPAS-Model#437, CEMPD/VERDI#117: MPAS has times as text of 64 characters, a fill value that nothing declares,
# and cells in radians, whose unit may be missing.
rng = np.random.default_rng(3)
CELLS = {"latCell": np.arcsin(rng.uniform(-1, 1, 96)), "lonCell": rng.uniform(0, 2 * np.pi, 96)}


def mpas(folder):
    stamps = letters([f"2010-10-23_{hour:02d}:00:00".ljust(64) for hour in range(24)])
    members = {name: ("f8", ("nCells",), values, {"units": "rad", "long_name": name}) for name, values in CELLS.items()}
    members |= {
        "xtime": ("S1", ("Time", "StrLen"), stamps, {}),
        "nEdgesOnCell": ("i4", ("nCells",), np.full(96, 6), {}),
        "verticesOnCell": ("i4", ("nCells", "maxEdges"), np.ones((96, 6)), {}),
        "t2m": ("f4", ("Time", "nCells"), wave().reshape(24, 96), {"units": "K"}),
    }
    return variables(folder / "a.nc", {"Time": None, "StrLen": 64, "nCells": 96, "maxEdges": 6}, members)


# DedalusProject/dedalus#58 and #213: several scales along the first dimension, of which sim_time is the time.
def dedalus(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        field = file.create_dataset("tasks/u", data=wave())
        scales = {
            "sim_time": np.arange(24) * 0.25,
            "wall_time": np.cumsum(rng.uniform(1, 2, 24)),
            "timestep": np.full(24, 0.01),
            "world_time": 1.6e9 + np.cumsum(rng.uniform(1, 2, 24)),
            "iteration": np.arange(24) * 25,
            "write_number": np.arange(24) + 1,
        }
        for name, values in scales.items():
            file[f"scales/{name}"] = values
            file[f"scales/{name}"].make_scale(name)
            field.dims[0].attach_scale(file[f"scales/{name}"])
        for index, (name, size) in enumerate((("x", NY), ("y", NX)), start=1):
            file[f"scales/{name}/1.0"] = np.linspace(0, 1, size)
            file[f"scales/{name}/1.0"].make_scale(name)
            field.dims[index].attach_scale(file[f"scales/{name}/1.0"])
        for index, label in enumerate("txy"):
            field.dims[index].label = label
    return folder / "a.h5"


# spencerahill/aospy#200, NOAA-GFDL/FRE-NCtools#273: ends of averages beside time, edges of cells that no attribute
# names.
def gfdl(folder):
    average = {"units": TEN_YEARS["units"], "long_name": "time of average"}
    members = {
        "time": ("f8", ("time",), np.arange(24) + 0.5, {**TEN_YEARS, "axis": "T"}),
        "average_T1": ("f8", ("time",), np.arange(24.0), average.copy()),
        "average_T2": ("f8", ("time",), np.arange(24) + 1.0, average.copy()),
        "average_DT": ("f8", ("time",), np.ones(24), {"units": "days"}),
        "lat": (
            "f8",
            ("lat",),
            np.linspace(-70, 70, NY),
            {"units": "degrees_N", "cartesian_axis": "Y", "edges": "latb"},
        ),
        "latb": ("f8", ("latb",), np.linspace(-80, 80, NY + 1), {"units": "degrees_N", "cartesian_axis": "Y"}),
        "lon": ("f8", ("lon",), np.arange(NX) * 30.0, {"units": "degrees_E", "cartesian_axis": "X", "edges": "lonb"}),
        "lonb": ("f8", ("lonb",), np.arange(NX + 1) * 30.0 - 15, {"units": "degrees_E", "cartesian_axis": "X"}),
        "t_surf": (
            "f4",
            ("time", "lat", "lon"),
            wave(),
            {"units": "deg_K", "time_avg_info": "average_T1,average_T2,average_DT"},
        ),
        "time_bounds": ("f8", ("time", "nv"), np.zeros((24, 2)), {}),
    }
    sizes = {"time": None, "lat": NY, "lon": NX, "latb": NY + 1, "lonb": NX + 1, "nv": 2}
    return variables(folder / "a.nc", sizes, members)


def grid(names=("time", "y", "x")):
    """Coordinates in metres and hours, for xarray."""
    time, y, x = names
    return {
        time: (time, np.arange(24.0), {"units": "hours since 2001-01-01"}),
        y: (y, np.arange(float(NY)), {"units": "m"}),
        x: (x, np.arange(float(NX)), {"units": "m"}),
    }


# pydata/xarray#2085, #1621: a variable in days or seconds is a number of days, or a wave's period, not a time.
def days_without_rain(folder):
    xr.Dataset({"cdd": (("time", "y", "x"), wave(), {"units": "days", "long_name": "dry days"})}, grid()).to_netcdf(
        folder / "a.nc"
    )
    return folder / "a.nc"


# numpy/numpy#18134: np.savez forgets a mask; what stood below it is in the file.
def forgotten_mask(folder):
    values = wave()
    values[:, LAND] = -9999
    np.savez(folder / "a.npz", u=np.ma.array(values, mask=np.broadcast_to(LAND, values.shape)))
    return folder / "a.npz"


# pydata/xarray#1329, COSIMA/cosima-cookbook#165: a record dimension of length 0.
def no_records(folder):
    members = {
        "time": ("f8", ("time",), np.zeros(0), {"units": "hours since 2001-01-01"}),
        "u": ("f4", ("time", "y", "x"), np.zeros((0, NY, NX)), {"units": "m"}),
    }
    return variables(folder / "a.nc", {"time": None, "y": NY, "x": NX}, members)


# NOAA-PMEL/Ferret#1642: an empty dimension of a history, beside data that are there.
def empty_history(folder):
    members = {name: ("f8", (name,), values, attributes) for name, (_, values, attributes) in grid().items()}
    members["u"] = ("f4", ("time", "y", "x"), wave(), {"units": "m"})
    members["HISTORY_DATE"] = ("S1", ("N_HISTORY", "STRING4"), np.zeros((0, 4), "S1"), {})
    return variables(folder / "a.nc", {"time": 24, "y": NY, "x": NX, "N_HISTORY": None, "STRING4": 4}, members)


# OpenDrift/opendrift#1573, #243: FVCOM has a variable of two dimensions that is called as one of them, and nodes beside
# elements.
NODES = {"lon": rng.uniform(4, 6, 96), "lat": rng.uniform(60, 61, 96)}


def fvcom(folder):
    members = {
        name: ("f4", ("node",), values, {"units": f"degrees_{'east' if name == 'lon' else 'north'}"})
        for name, values in NODES.items()
    }
    members |= {
        "lonc": ("f4", ("nele",), np.linspace(4, 6, 30), {"units": "degrees_east"}),
        "latc": ("f4", ("nele",), np.linspace(60, 61, 30), {"units": "degrees_north"}),
        "siglay": (
            "f4",
            ("siglay", "node"),
            np.zeros((3, 96)),
            {"standard_name": "ocean_sigma_coordinate", "positive": "up"},
        ),
        "nv": ("i4", ("three", "nele"), np.ones((3, 30)), {}),
        "time": (
            "f4",
            ("time",),
            np.arange(24) / 8,
            {"units": "days since 1858-11-17 00:00:00", "format": "modified julian day (MJD)"},
        ),
        "Itime": ("i4", ("time",), np.arange(24) // 8, {"units": "days since 1858-11-17 00:00:00"}),
        "zeta": (
            "f4",
            ("time", "node"),
            wave().reshape(24, 96),
            {"units": "meters", "location": "node", "coordinates": "time lat lon"},
        ),
    }
    return variables(folder / "a.nc", {"time": None, "node": 96, "nele": 30, "siglay": 3, "three": 3}, members)


# nco/nco#179, fsspec/kerchunk#302, NCAR/PyReshaper#40: files of one series, each with an epoch of its own.
def epochs(folder):
    for k in range(4):
        part = xr.Dataset(
            {"u": (("time", "y", "x"), wave()[6 * k : 6 * k + 6], {"units": "m"})},
            {key: at for key, at in grid().items() if key != "time"},
        )
        part["time"] = (
            "time",
            np.arange(6.0),
            {"units": f"days since 2016-{11 + (k * 6 + 26) // 31:02d}-{(k * 6 + 26 - 1) % 30 + 1:02d} 00:00:00"},
        )
        part.to_netcdf(folder / f"part{k}.nc")
    return folder / "*.nc"


# OpenDrift/opendrift#731, geoschem/HEMCO#192: seconds since 1900 without leap days.
def no_leap_days(folder):
    data = xr.Dataset({"u": (("time", "y", "x"), wave(), {"units": "m"})}, grid())
    at = 118 * 365 * 86400.0 + 86400 * np.arange(24)
    data["time"] = ("time", at, {"units": "seconds since 1900-01-01 00:00:00", "calendar": "365_day", "axis": "T"})
    data.to_netcdf(folder / "a.nc")
    return folder / "a.nc"


# pydata/xarray#4631, #4471: scale_factor and add_offset are arrays of one number.
def arrays_of_one(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        at = file.create_dataset("u", data=np.round(1000 * (wave() - 5)).astype("i4"))
        at.attrs.update({"scale_factor": np.array([0.001]), "add_offset": np.array([5.0], "f4")})
    return folder / "a.h5"


# pydata/xarray#822, ARM-DOE/pyart#278: bounds of valid values in packed units, values outside that are not the fill
# value.
def bounds_in_packed_units(folder):
    packed = np.round(100 * (20 + 5 * wave())).astype("i2")
    packed[:, LAND] = -32000
    about = {
        "_FillValue": np.int16(-32768),
        "valid_min": np.int16(-300),
        "valid_max": np.int16(4500),
        "scale_factor": np.float32(0.01),
        "add_offset": np.float32(273.15),
        "units": "kelvin",
    }
    members = {name: ("f8", (name,), values, attributes) for name, (_, values, attributes) in grid().items()}
    members["analysed_sst"] = ("i2", ("time", "y", "x"), packed, about)
    return variables(folder / "a.nc", {"time": 24, "y": NY, "x": NX}, members)


# ropensci/tidync#75, Unidata/netcdf-c#402: names of stations as characters, whose length is a dimension.
def stations(folder):
    members = {
        "time": ("f8", ("time",), np.arange(24.0), {"units": "hours since 2001-01-01"}),
        "station_name": (
            "S1",
            ("station", "name_strlen"),
            letters([f"ST{k:02d}" for k in range(12)]),
            {"cf_role": "timeseries_id"},
        ),
        "lat": ("f4", ("station",), np.linspace(50, 55, 12), {"units": "degrees_north"}),
        "lon": ("f4", ("station",), np.linspace(5, 12, 12) ** 1.1, {"units": "degrees_east"}),
        "alt": (
            "f4",
            ("station",),
            np.linspace(0, 900, 12),
            {"units": "m", "positive": "up", "standard_name": "height"},
        ),
        "u": ("f4", ("time", "station"), wave()[:, 0], {"units": "K", "coordinates": "time lat lon alt station_name"}),
    }
    return variables(folder / "a.nc", {"time": None, "station": 12, "name_strlen": 4}, members)


SEA = Right(on_sea(), masked=6)
OCEAN = {"lat_rho": np.linspace(54, 61, NY), "lon_rho": np.linspace(20, 31, NX)}
SCATTERED = {"scattered": True}
POINTS = wave().reshape(24, 96)
ROWS = [
    row(
        "GOES, unsigned shorts",
        unsigned_shorts,
        Right(on_sea() + 2, masked=6, tolerance=5e-5, start=("2000-01-01T12",)),
    ),
    row(
        "WRF with XTIME",
        wrf(True),
        Right(
            POINTS, about=SCATTERED, start=("2018-10-15T00",), axes={name: at.ravel() for name, at in CURVED.items()}
        ),
        format="netcdf",
    ),
    row(
        "WRF with Times alone",
        wrf(False),
        Right(POINTS, about=SCATTERED, start=("2018-10-15T00",)),
        Refused(("Times",)),
        format="netcdf",
    ),
    row(
        "NEMO without land processors",
        nemo,
        Right(on_sea().reshape(24, 96), masked=6, about=SCATTERED, start=("1900-01-01T00",)),
        Refused(("nav_l",)),
    ),
    row(
        "ROMS",
        roms,
        Right(on_sea(), masked=6, start=("2006-01-01T00",), about={"grid": (NY, NX), "scattered": False}),
        arrays=("zeta",),
    ),
    row("ROMS, all of it", roms, Refused(("zeta", "temp", "arrays"))),
    row(
        "MPAS",
        mpas,
        Right(POINTS, axes={name: np.rad2deg(at) for name, at in CELLS.items()}, about=SCATTERED),
        Refused(("xtime",)),
    ),
    row("dedalus", dedalus, Refused(("tasks/u", "dimensions"))),
    row(
        "dedalus, told",
        dedalus,
        Right(
            wave(),
            about={"time": np.arange(24) * 0.25},
            axes={"x": np.linspace(0, 1, NY), "y": np.linspace(0, 1, NX)},
        ),
        arrays=("tasks/u",),
        dimensions=("time", "x", "y"),
        time="scales/sim_time",
    ),
    row("GFDL", gfdl, Right(wave(), start=("1979-01-01T12",), about={"channels": ("t_surf",), "periodic": ("lon",)})),
    row("a field in days", days_without_rain, Right(wave(), about={"channels": ("cdd",), "units": ("days",)})),
    row(
        "a mask that np.savez forgot",
        forgotten_mask,
        Refused(("-9999", "6 points in every frame", "missing"), late=True),
        arrays=("u",),
        dimensions=("time", "y", "x"),
    ),
    row("no records", no_records, Refused(("empty|no frame|0 frames|time 0",))),
    row("an empty history", empty_history, Right(wave())),
    row("FVCOM", fvcom, Right(POINTS, about=SCATTERED, start=("1858-11-17T00",)), arrays=("zeta",)),
    row(
        "epochs of each file",
        epochs,
        Right(wave(), start=("2016-11-26T00",), about={"time": np.arange(24.0)}),
        join="time",
    ),
    row("no leap days", no_leap_days, Right(wave(), start=("2018-01-01T00",))),
    row(
        "scale and offset as arrays of one",
        arrays_of_one,
        Right(wave(), tolerance=1e-3),
        arrays=("u",),
        dimensions=("time", "y", "x"),
    ),
    row("bounds in packed units", bounds_in_packed_units, Right(293.15 + 5 * on_sea(), masked=6, tolerance=1e-4)),
    row("stations with names", stations, Right(wave()[:, 0], about={**SCATTERED, "channels": ("u",)})),
]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_files_of_models_and_tools_are_read_as_they_were_meant(tmp_path, case):
    check(case, tmp_path)
