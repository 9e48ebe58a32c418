"""Missing values, packing and types of numbers, as files of many origins have them."""

import h5py
import netCDF4
import numpy as np
import pytest
import zarr

from tests.readers.cases.table import NX, NY, Refused, Right, check, hdf5, island, row, wave

LAND = island()
COUNTED = {"dimensions": ("time", "y", "x")}


def with_land(field, value):
    """The field with a value on land."""
    changed = field.copy()
    changed[:, LAND] = value
    return changed


def masked_field():
    return with_land(wave(), np.nan)


def latitude_longitude(file, frames=24):
    """Dimensions and coordinates of a NetCDF file."""
    for name, size in (("time", frames), ("lat", NY), ("lon", NX)):
        file.createDimension(name, size)
    time = file.createVariable("time", "f8", ("time",))
    time.units = "hours since 2001-01-01"
    time[:] = np.arange(frames or 24)
    for name, units, ends in (("lat", "degrees_north", (-20, 20)), ("lon", "degrees_east", (10, 40))):
        at = file.createVariable(name, "f4", (name,))
        at.units = units
        at[:] = np.linspace(*ends, len(file.dimensions[name]))


def never_written(form):
    """Land was never written: it holds the library's default fill value, and no attribute says so."""

    def make(folder):
        with netCDF4.Dataset(folder / "a.nc", "w", format=form) as file:
            latitude_longitude(file, None)
            field = file.createVariable("u", "f4", ("time", "lat", "lon"))
            field[:] = np.ma.array(wave(), mask=np.broadcast_to(LAND, (24, NY, NX)))
        return folder / "a.nc"

    return make


def stored(kind, value, attributes, fill=None, scale=1.0):
    """NetCDF whose land has a value, and attributes that say so in some way."""

    def make(folder):
        with netCDF4.Dataset(folder / "a.nc", "w", format="NETCDF3_CLASSIC") as file:
            latitude_longitude(file)
            field = file.createVariable("u", kind, ("time", "lat", "lon"), fill_value=fill)
            field.set_auto_maskandscale(False)
            field.setncatts(attributes)
            field[:] = with_land(np.round(wave() / scale) if scale != 1 else wave(), value).astype(kind)
        return folder / "a.nc"

    return make


MILLI = {"scale_factor": 0.001, "add_offset": 0.0}


def zarr_store(version, first):
    """A store that zarr wrote itself, whose fill_value of 0 only says what chunks began with; half of it is 0."""

    def make(folder):
        group = zarr.create_group(str(folder / "a.zarr"), zarr_format=version)

        def put(name, values, dimensions, units):
            named = {"dimension_names": dimensions} if version == 3 else {}
            array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=values.shape, **named)
            array[:] = values
            array.attrs["units"] = units
            if version == 2:
                array.attrs["_ARRAY_DIMENSIONS"] = dimensions

        put("time", np.arange(24.0) + first, ["time"], "hours since 2001-01-01")
        put("y", np.arange(float(NY)) + 1, ["y"], "m")
        put("x", np.arange(float(NX)) + 1, ["x"], "m")
        put("rain", np.maximum(wave(), 0), ["time", "y", "x"], "mm h-1")
        return folder / "a.zarr"

    return make


def called_hdf5(folder):
    """Packed NetCDF-4 that is called .h5."""
    with netCDF4.Dataset(folder / "a.h5", "w") as file:
        latitude_longitude(file)
        field = file.createVariable("sst", "i2", ("time", "lat", "lon"), fill_value=-32768)
        field.units, field.scale_factor, field.add_offset = "K", 0.001, 290.0
        field[:] = np.ma.array(290 + 5 * wave(), mask=np.broadcast_to(LAND, (24, NY, NX)))
    return folder / "a.h5"


def product(scale, offset, units):
    """HDF5 as satellites' products are: packed, with the names of HDF-EOS or of netCDF."""

    def make(folder):
        with h5py.File(folder / "a.h5", "w") as file:
            at = file.create_dataset("HDFEOS/GRIDS/SST", data=with_land(np.round(5000 * wave()), -32768).astype("i2"))
            at.attrs.update({scale: 0.001, offset: 290.0, "_FillValue": np.int16(-32768), units: "K"})
        return folder / "a.h5"

    return make


def two_fills(name):
    """HDF5 with `_FillValue` and `missing_value` that differ, or a fill value of another type."""

    def make(folder):
        coast = np.zeros((NY, NX), bool)
        coast[5, 2] = True
        packed = with_land(np.round(1000 * wave()), -9999).astype("i2")
        near = with_land(wave(), np.float32(-999.99))
        both = with_land(wave(), np.float32(9.96921e36))
        both[:, coast] = -9999
        with h5py.File(folder / "a.h5", "w") as file:
            fields = {
                "u": (both, {"_FillValue": np.array([9.96921e36], "f4"), "missing_value": np.array([-9999], "f4")}),
                "w": (near, {"_FillValue": np.float64(-999.99)}),
                "z": (packed, {"_FillValue": np.float64(-9999.0)}),
                "q": (near, {"_FillValue": "-999.99"}),
            }
            values, attributes = fields[name]
            file.create_dataset(name, data=values).attrs.update(attributes)
        return folder / "a.h5"

    return make


def array(values, name="a.npy"):
    def make(folder):
        if name.endswith("npz"):
            np.savez(folder / name, **values)
        else:
            np.save(folder / name, values, allow_pickle=True)
        return folder / name

    return make


def degrees_with_a_sign_of_latin_1(folder):
    with netCDF4.Dataset(folder / "a.nc", "w", format="NETCDF3_CLASSIC") as file:
        latitude_longitude(file)
        field = file.createVariable("T", "f4", ("time", "lat", "lon"))
        field.units = "#C"
        field[:] = wave()
    (folder / "a.nc").write_bytes((folder / "a.nc").read_bytes().replace(b"#C", b"\xb0C"))
    return folder / "a.nc"


HALF = (1000 * wave()).astype("f2")
BYTES = (127 + 60 * wave()).astype("u1")
RECORDS = np.rec.fromarrays([wave(), wave()], names="u,v")
OBJECTS = {
    "u": wave(),
    "x": np.linspace(0, 1, NX),
    "y": np.linspace(0, 1, NY),
    "t": np.arange(24.0),
    "meta": np.array({"a": 1}, object),
}
SIX = Right(masked_field(), masked=6)
MILLI_SIX = Right(with_land(np.round(1000 * wave()) / 1000, np.nan), masked=6)
SST = Right(290 + 5 * masked_field(), masked=6, mean=float(np.nanmean(290 + 5 * masked_field()[:16])), tolerance=1e-5)
AS_IS = Right(wave())

ROWS = [
    row("default fill value, netCDF-4", never_written("NETCDF4"), SIX),
    row("default fill value, classic", never_written("NETCDF3_CLASSIC"), SIX),
    *(
        row(
            f"zarr {version}, zeros, first time {first}",
            zarr_store(version, first),
            Right(np.maximum(wave(), 0), masked=0, start=(f"2001-01-01T0{first}",)),
        )
        for version in (2, 3)
        for first in (0, 5)
    ),
    row("packed netCDF-4 called .h5", called_hdf5, SST),
    row(
        "packed HDF5, ScaleFactor",
        product("ScaleFactor", "Offset", "Units"),
        SST,
        arrays=("HDFEOS/GRIDS/SST",),
        dimensions=("time", "lat", "lon"),
    ),
    row(
        "packed HDF5, scale_factor",
        product("scale_factor", "add_offset", "units"),
        SST,
        arrays=("HDFEOS/GRIDS/SST",),
        dimensions=("time", "lat", "lon"),
    ),
    row(
        "missing_value of a wider type", stored("f4", np.float32(-999.99), {"missing_value": np.float64(-999.99)}), SIX
    ),
    row("missing_value 1e20 of a wider type", stored("f4", np.float32(1e20), {"missing_value": np.float64(1e20)}), SIX),
    row(
        "another value than declared, at fixed points",
        stored("f4", np.float32(-1e30), {"missing_value": np.float32(1e20)}, np.float32(1e20)),
        Refused(("-1.0e+30", "6 points in every frame", "missing"), late=True),
    ),
    row("valid_range", stored("f4", np.float32(-9999), {"valid_range": np.array([-50, 50], "f4")}), SIX),
    row(
        "two values in missing_value",
        stored("i2", -32767, {**MILLI, "missing_value": np.array([-32767, -32766], "i2")}, scale=0.001),
        MILLI_SIX,
    ),
    row("missing_value as text", stored("f4", np.float32(-999.9), {"missing_value": "-999.9"}), SIX),
    row(
        "missing_value in unpacked units",
        stored("i2", -32767, {**MILLI, "missing_value": np.float64(-32.767)}, scale=0.001),
        MILLI_SIX,
    ),
    row("HDF5, two fill values", two_fills("u"), Right(masked=7), **COUNTED),
    row("HDF5, fill value of a wider type", two_fills("w"), SIX, **COUNTED),
    row(
        "HDF5, fill value of integers as float",
        two_fills("z"),
        Right(with_land(np.round(1000 * wave()), np.nan), masked=6),
        **COUNTED,
    ),
    row("HDF5, fill value as text", two_fills("q"), SIX, **COUNTED),
    row("big-endian double", array(wave().astype(">f8")), AS_IS, **COUNTED),
    row("half precision", array(HALF), Right(HALF), **COUNTED),
    row(
        "Fortran order",
        array(np.asfortranarray(wave().transpose(2, 1, 0))),
        Right(wave().transpose(0, 2, 1)),
        dimensions=("x", "y", "time"),
    ),
    row("bytes", array(BYTES), Right(BYTES), **COUNTED),
    row("complex", array(wave().astype("c8")), Refused(("complex", "real")), **COUNTED),
    row("records", array(RECORDS), Refused(("real numbers|record|field|compound",)), **COUNTED),
    row(
        "npz",
        array(OBJECTS, "a.npz"),
        Right(wave(), axes={"y": np.linspace(0, 1, NY), "x": np.linspace(0, 1, NX)}),
        arrays=("u",),
        **COUNTED,
    ),
    row("npz, objects", array(OBJECTS, "a.npz"), Refused(("meta", "object")), arrays=("meta",), **COUNTED),
    row("HDF5, big-endian", hdf5(w=wave().astype(">f4")), AS_IS, **COUNTED),
    row("HDF5, complex", hdf5(c=wave().astype("c16")), Refused(("complex",)), arrays=("c",), **COUNTED),
    row("HDF5, compound", hdf5(uv=RECORDS), Refused(("uv",)), arrays=("uv",), **COUNTED),
    row("unit that is not UTF-8", degrees_with_a_sign_of_latin_1, AS_IS),
]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_values_are_read_as_they_were_meant(tmp_path, case):
    check(case, tmp_path)
