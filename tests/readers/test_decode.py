"""Missing values and packing: whatever declares them, in whatever format, the values that were meant come back."""

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr

from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.attributes import numbers, units_in
from sparsevq.readers.opening.decode import decoded, refusal
from sparsevq.readers.opening.stored import from_array
from tests.user_files import all_of, opened, values

FRAMES, NY, NX = 6, 4, 5
GAP = np.zeros((NY, NX), dtype=bool)
GAP[1:3, 2:4] = True
TRUTH = values(FRAMES, NY, NX)
DIMENSIONS = ("time", "y", "x")


def netcdf(path, data, attributes, fill=None, form="NETCDF4", time="f8"):
    """A NetCDF file of one field, stored as it is given."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, size in zip(DIMENSIONS, (None, NY, NX), strict=True):
            file.createDimension(name, size)
        for name, size in zip(DIMENSIONS, data.shape, strict=True):
            at = file.createVariable(name, time if name == "time" else "f8", (name,))
            at.units = "s" if name == "time" else "m"
            at[:] = np.arange(size)
        u = file.createVariable("u", data.dtype, DIMENSIONS, fill_value=fill)
        u.set_auto_maskandscale(False)
        for name, value in attributes.items():
            u.setncattr(name, value)
        u[:] = data
    return path


def hdf5(path, data, attributes, **options):
    """An HDF5 file of one dataset."""
    with h5py.File(path, "w") as file:
        file.create_dataset("u", data=data, **options).attrs.update(attributes)
    return path


def zarr_store(path, data, attributes, form=3, fill=0, others=0):
    """A Zarr store that zarr itself writes; `fill` and `others` are the fill values of the field and of its axes."""
    group = zarr.create_group(path, zarr_format=form)
    for name, dims, array, value in (
        ("u", DIMENSIONS, data, fill),
        *((name, (name,), np.arange(float(size)), others) for name, size in zip(DIMENSIONS, data.shape, strict=True)),
    ):
        named = {"dimension_names": dims} if form == 3 else {}
        item = group.create_array(name, shape=array.shape, dtype=array.dtype, fill_value=value, **named)
        item[:] = array
        if form == 2:
            item.attrs["_ARRAY_DIMENSIONS"] = list(dims)
    group["u"].attrs.update(attributes)
    return path


def read(path):
    """``(F, NY, NX)`` of the field `u`."""
    known = {"arrays": ("u",), "dimensions": DIMENSIONS} if path.suffix == ".h5" else {}
    return all_of(opened(path, **known))[0, ..., 0]


def marked(mark, dtype="f4", truth=TRUTH):
    """The truth in another type, `mark` in the gap."""
    data = truth.astype(dtype)
    data[:, GAP] = mark
    return data


def missing(truth=TRUTH):
    """The truth, NaN in the gap."""
    return np.where(GAP, np.float32(np.nan), truth.astype(np.float32))


COUNTS = np.round(1000 * TRUTH).astype("i2")
PACKED = {"scale_factor": 0.001, "add_offset": 2.0}
UNPACKED = (0.001 * COUNTS.astype(np.float64) + 2.0).astype(np.float32)
BYTES = np.clip(np.round(100 + 30 * TRUTH), 1, 250).astype("u1")
FLOATS = [
    (-999.99, {"missing_value": np.float64(-999.99)}),
    (-999.99, {"missing_value": np.float32(-999.99)}),
    (-999.99, {"missing_value": "-999.99"}),
    (-999.99, {"missing_value": "-999.99f"}),
    (1e20, {"missing_value": np.float64(1e20)}),
    (1e20, {"missing_value": "1.D20"}),
    (-9999, {"missing_value": np.int32(-9999)}),
    (-9999, {"missing_value": np.array([-8888, -9999], "i2")}),
    (-9999, {"Missing_Value": np.array([-9999], "f4")}),
    (-9999.9, {"CodeMissingValue": "-9999.9", "missing_value": np.float32(1e20)}),
    (-9999, {"valid_range": np.array([-50, 50], "f4")}),
    (-9999, {"valid_range": "-50, 50"}),
    (-9999, {"valid_min": np.float64(TRUTH.min())}),
    (1e15, {"valid_max": np.float64(TRUTH.max())}),
]
INTEGERS = [
    (-32767, {"missing_value": np.array([-32767, -32766], "i2")}),
    (-32768, {"missing_value": np.float64(-32768)}),
    (-32768, {"missing_value": "-32768"}),
    (-32767, {"missing_value": np.float64(-30.767)}),
    (-32767, {"missing_value": np.float32(-30.767)}),
    (-9999, {"missing_value": np.float32(-9999)}),
    (-31000, {"valid_min": np.int16(-30000)}),
    (-31000, {"valid_range": np.array([-8.0, 12.0])}),
    (-31000, {"valid_range": np.array([-20, 20], "i4")}),
    (31000, {"valid_max": "30000"}),
]


@pytest.mark.parametrize(("mark", "attributes"), FLOATS, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ["a.nc", "a.h5", "a.zarr"])
def test_missing_values_of_floats(tmp_path, name, mark, attributes, dtype):
    data = marked(mark, dtype)
    write = {"nc": netcdf, "h5": hdf5, "zarr": zarr_store}[name[2:]]
    attributes = {key: _json(value) for key, value in attributes.items()} if write is zarr_store else attributes
    np.testing.assert_array_equal(read(write(tmp_path / name, data, attributes)), missing())


@pytest.mark.parametrize(("mark", "attributes"), INTEGERS, ids=str)
@pytest.mark.parametrize("name", ["a.nc", "a.h5", "a.zarr"])
def test_missing_values_of_packed_integers(tmp_path, name, mark, attributes):
    write = {"nc": netcdf, "h5": hdf5, "zarr": zarr_store}[name[2:]]
    attributes = {key: _json(value) for key, value in attributes.items()} if write is zarr_store else attributes
    path = write(tmp_path / name, marked(mark, "i2", COUNTS), {**PACKED, **attributes})
    np.testing.assert_array_equal(read(path), missing(UNPACKED))


def _json(value):
    return value if isinstance(value, str) else np.asarray(value).tolist()


@pytest.mark.parametrize(
    "packing",
    [
        {"ScaleFactor": 0.001, "Offset": 2.0},
        {"SCALE FACTOR": "0.001", "Add_Offset": "2"},
        {"Slope": np.array([0.001]), "Intercept": np.array([2.0])},
        {"scale_factor": np.float64(0.001), "add_offset": np.array([2.0]), "Slope": 5.0},
        {"scale": b"0.001", "offset": np.int16(2)},
    ],
    ids=str,
)
def test_scale_and_offset_by_any_name(tmp_path, packing):
    path = hdf5(tmp_path / "a.h5", marked(-32768, "i2", COUNTS), {**packing, "_FillValue": np.int16(-32768)})
    np.testing.assert_array_equal(read(path), missing(UNPACKED))


def test_a_lone_offset_or_a_scale_of_floats_by_another_name_is_no_packing(tmp_path):
    for index, attributes in enumerate(({"offset": 3.0}, {"scale": 2.0}, {"scale": "linear", "slope": "none"})):
        np.testing.assert_array_equal(read(hdf5(tmp_path / f"{index}.h5", TRUTH, attributes)), TRUTH)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4"])
def test_the_default_fill_value_of_netcdf(tmp_path, form, dtype):
    truth = COUNTS if dtype[0] == "i" else TRUTH
    data = marked(netCDF4.default_fillvals[dtype], dtype, truth)
    np.testing.assert_array_equal(read(netcdf(tmp_path / "a.nc", data, {}, form=form)), missing(truth))
    also = read(netcdf(tmp_path / "b.nc", data, {"missing_value": np.array(-999, dtype)}, form=form))
    np.testing.assert_array_equal(also, missing(truth))


@pytest.mark.parametrize("dtype", ["i1", "u1"])
def test_bytes_have_no_default_fill_value(tmp_path, dtype):
    data = np.full((FRAMES, NY, NX), netCDF4.default_fillvals[dtype], dtype)
    np.testing.assert_array_equal(read(netcdf(tmp_path / "a.nc", data, {})), data)


def test_no_default_fill_value_where_another_one_is_declared(tmp_path):
    data = COUNTS.copy()
    data[0, 0, 0] = netCDF4.default_fillvals["i2"]
    np.testing.assert_array_equal(
        read(netcdf(tmp_path / "a.nc", data, {}, fill=-1234)), np.where(data == -1234, np.nan, data)
    )


def test_records_that_were_never_written_are_missing(tmp_path):
    """The last frame of `u`, whose time is written."""
    path = netcdf(tmp_path / "a.nc", TRUTH, {})
    with netCDF4.Dataset(path, "a") as file:
        file["time"][FRAMES] = FRAMES
    found = read(path)
    np.testing.assert_array_equal(found[:FRAMES], TRUTH)
    assert np.isnan(found[FRAMES]).all()


@pytest.mark.parametrize("time", ["f8", "i4"])
def test_a_time_that_was_never_written_is_named(tmp_path, time):
    path = netcdf(tmp_path / "a.nc", TRUTH, {}, time=time)
    with netCDF4.Dataset(path, "a") as file:
        file["u"][FRAMES] = 1.0
    with pytest.raises(SparseVQError, match="time of frame 6 is"):
        opened(path)


def test_unsigned_bytes_and_shorts(tmp_path):
    for name, data, attributes in (
        ("a", BYTES.view("i1"), {"_Unsigned": "true"}),
        ("b", BYTES.view("i1"), {"valid_range": np.array([0, 255], "i2")}),
        ("c", BYTES, {}),
    ):
        np.testing.assert_array_equal(read(netcdf(tmp_path / f"{name}.nc", data, attributes)), BYTES)
    shorts = (40000 + COUNTS.astype("i4")).astype("u2")
    data = np.where(GAP, np.uint16(65535), shorts).view("i2")
    goes = {"_Unsigned": "true", "valid_range": np.array([0, -6], "i2"), "scale_factor": np.float32(0.5)}
    np.testing.assert_array_equal(read(netcdf(tmp_path / "d.nc", data, goes, fill=-1)), missing(0.5 * shorts))


def test_a_negative_scale_turns_the_valid_range_round(tmp_path):
    attributes = {"scale_factor": -0.001, "valid_range": np.array([-5.0, 5.0])}
    truth = (-0.001 * COUNTS).astype(np.float32)
    np.testing.assert_array_equal(
        read(hdf5(tmp_path / "a.h5", marked(-9999, "i2", COUNTS), attributes)), missing(truth)
    )


def test_several_missing_values_at_once(tmp_path):
    data = marked(9.96921e36)
    data[:, 0, 0] = -9999
    data[:, 0, 1] = -8888
    attributes = {"_FillValue": np.float32(9.96921e36), "missing_value": np.float32([-9999, -8888])}
    expected = missing()
    expected[:, 0, :2] = np.nan
    np.testing.assert_array_equal(read(hdf5(tmp_path / "a.h5", data, attributes)), expected)


@pytest.mark.parametrize("name", ["a.nc", "a.h5", "a.zarr"])
def test_a_missing_value_that_the_whole_file_declares(tmp_path, name):
    """As in https://github.com/pydata/xarray/issues/2510; an array's own goes before it."""
    data = marked(1e14)
    write = {"nc": netcdf, "h5": hdf5, "zarr": zarr_store}[name[2:]]
    path = write(tmp_path / name, data, {})
    if name == "a.zarr":
        zarr.open_group(path).attrs["missing_value"] = 1e14
    else:
        with h5py.File(path, "a") as file:
            file.attrs["missing_value"] = np.float32(1e14)
    np.testing.assert_array_equal(read(path), missing())


ZEROS = np.maximum(TRUTH, 0)
"""About half of them zeros."""


@pytest.mark.parametrize("form", [2, 3])
def test_zeros_of_a_store_that_zarr_wrote_are_values(tmp_path, form):
    source = opened(zarr_store(tmp_path / "a.zarr", ZEROS, {}, form))
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], ZEROS)
    assert source.time[0] == 0 and source.axes["x"][0] == 0


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_a_fill_value_that_xarray_wrote_is_missing_even_if_it_is_0(tmp_path, form, dtype):
    data = xr.Dataset(
        {"u": (DIMENSIONS, np.where(GAP, 0, COUNTS).astype(dtype))},
        {name: (name, np.arange(size), {"units": "s"}) for name, size in zip(DIMENSIONS, TRUTH.shape, strict=True)},
    )
    data.to_zarr(tmp_path / "a.zarr", zarr_format=form, encoding={"u": {"_FillValue": 0}}, consolidated=False)
    source = opened(tmp_path / "a.zarr")
    np.testing.assert_array_equal(all_of(source)[0, ..., 0], np.where(GAP | (COUNTS == 0), np.nan, COUNTS))
    assert source.time[0] == 0 and source.axes["x"][0] == 0


@pytest.mark.parametrize(("form", "fill"), [(2, -9999.0), (2, np.nan), (2, -1.0), (3, -9999.0), (3, 1e20), (3, np.nan)])
def test_other_fill_values_of_zarr(tmp_path, form, fill):
    np.testing.assert_array_equal(read(zarr_store(tmp_path / "a.zarr", marked(fill), {}, form, fill)), missing())


def test_an_ordinary_fill_value_of_zarr_3_is_a_value(tmp_path):
    np.testing.assert_array_equal(read(zarr_store(tmp_path / "a.zarr", marked(1.0), {}, 3, 1.0)), marked(1.0))


@pytest.mark.parametrize("form", [2, 3])
def test_a_fill_value_declared_as_a_plain_number_in_zarr(tmp_path, form):
    """xarray itself writes base64 there in version 3, and fails on a number."""
    np.testing.assert_array_equal(
        read(zarr_store(tmp_path / "a.zarr", marked(-9), {"_FillValue": -9.0}, form)), missing()
    )


def test_dimensions_of_netcdf_4_without_a_variable_are_numbered_and_not_read_as_zeros(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in zip(DIMENSIONS, TRUTH.shape, strict=True):
            file.createDimension(name, size)
        file.createVariable("u", "f4", DIMENSIONS)[:] = TRUTH
    source = opened((tmp_path / "a.nc").rename(tmp_path / "a.h5"), format="hdf5")
    np.testing.assert_array_equal(source.axes["x"], np.arange(NX))
    np.testing.assert_array_equal(source.time, np.arange(FRAMES))


def test_packed_times_and_coordinates(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in zip(DIMENSIONS, TRUTH.shape, strict=True):
            file.createDimension(name, size)
            at = file.createVariable(name, "i4", (name,))
            at.setncatts({"units": "s" if name == "time" else "m", "scale_factor": 1e-3, "add_offset": 0.5})
            at.set_auto_maskandscale(False)
            at[:] = 10 * np.arange(size)
        file.createVariable("u", "f4", DIMENSIONS)[:] = TRUTH
    source = opened(tmp_path / "a.nc")
    np.testing.assert_array_equal(source.axes["x"], 1e-3 * (10 * np.arange(NX)) + 0.5)
    np.testing.assert_array_equal(source.time, 1e-3 * (10 * np.arange(FRAMES)) + 0.5)


def test_large_packed_integers_keep_their_digits(tmp_path):
    data = (2_000_000_000 + COUNTS.astype("i8")).astype("i4")
    attributes = {"scale_factor": 1e-6, "add_offset": -2000.0}
    np.testing.assert_allclose(read(hdf5(tmp_path / "a.h5", data, attributes)), 1e-6 * COUNTS, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"scale_factor": np.array([0.1, 0.2])}, "u is packed with 2 numbers scalefactor.*: store the unpacked values"),
        ({"scale_factor": np.nan}, "u is packed with the scale nan and the offset 0.0: store"),
        ({"Scaling": "logarithmic", "Slope": 0.1, "Intercept": 0.0}, "u is packed by a logarithm"),
    ],
)
def test_a_packing_that_cannot_be_undone_is_refused(tmp_path, attributes, message):
    with pytest.raises(SparseVQError, match=message):
        read(hdf5(tmp_path / "a.h5", COUNTS, attributes))


def test_values_that_a_file_declares_missing_are_kept_by_the_users_word(tmp_path, capsys):
    rain = netcdf(tmp_path / "a.nc", ZEROS, {}, fill=0.0)
    assert np.isnan(read(rain)).sum() == (ZEROS == 0).sum()
    np.testing.assert_array_equal(all_of(opened(rain, not_missing=(0,)))[0, ..., 0], ZEROS)
    packed = hdf5(tmp_path / "a.h5", COUNTS, {**PACKED, "missing_value": COUNTS[0, 0, 0], "valid_max": np.int16(1000)})
    data = all_of(opened(packed, arrays=("u",), dimensions=DIMENSIONS, not_missing=(float(UNPACKED[0, 0, 0]),)))
    np.testing.assert_array_equal(data[0, ..., 0], np.where(COUNTS > 1000, np.nan, UNPACKED))
    assert "u: values outside the valid range that the file gives (to 1000) count as missing" in capsys.readouterr().out


def test_a_zero_that_counts_as_missing_in_zarr_is_said(tmp_path, capsys):
    path = zarr_store(tmp_path / "a.zarr", ZEROS, {}, 2, 0.0, others=None)
    assert np.isnan(read(path)).sum() == (ZEROS == 0).sum()
    assert "u: 0, the fill_value of the store, counts as missing (if it is a value, write" in capsys.readouterr().out
    np.testing.assert_array_equal(all_of(opened(path, not_missing=(0,)))[0, ..., 0], ZEROS)


RECORDS = np.rec.fromarrays([TRUTH, TRUTH], names="p,q")
REFUSED = [
    (TRUTH.astype("c8"), "of complex numbers.*: store its real and its imaginary part as two arrays"),
    (RECORDS, r"of records \(p, q\): store each of their fields as an array of its own"),
    (TRUTH.astype("S8"), "text"),
    (TRUTH.astype("m8[s]"), "of time intervals"),
]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (name, data, message)
        for name in ("a.npy", "a.npz", "a.h5", "a.nc", "a.zarr")
        for data, message in REFUSED
        if data.dtype.kind != "m" or name.startswith("a.np")  # other formats have no such type
    ],
)
def test_other_types_are_refused_in_one_line(tmp_path, name, data, message):
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, data)
    elif name == "a.npz":
        np.savez(path, u=data, v=TRUTH)
    elif name == "a.h5":
        hdf5(path, data, {})
    elif name == "a.zarr":
        zarr_store(path, data, {}, fill=np.zeros((), data.dtype)[()])
    else:
        _netcdf_of(path, data)
    known = {"arrays": ("a" if name == "a.npy" else "u",), "dimensions": DIMENSIONS}
    with pytest.raises(SparseVQError, match=message) as raised:
        all_of(opened(path, **known))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a.nc", "a.h5"])
def test_lists_of_several_lengths_are_refused(tmp_path, name):
    path = netcdf(tmp_path / "a.nc", TRUTH, {})
    with netCDF4.Dataset(path, "a") as file:
        lists = file.createVariable("w", file.createVLType("f4", "list"), DIMENSIONS)
        for at in np.ndindex(TRUTH.shape):
            lists[at] = np.ones(2 + at[0] % 2, dtype="f4")
    with pytest.raises(SparseVQError, match=r"w is of lists that may differ in length: store it as an array"):
        known = {"arrays": ("w",), "format": "netcdf" if name == "a.nc" else "hdf5", "dimensions": DIMENSIONS}
        all_of(opened(path, **known))


def _netcdf_of(path, data):
    with netCDF4.Dataset(path, "w", auto_complex=True) as file:
        for name, size in zip(DIMENSIONS, data.shape, strict=True):
            file.createDimension(name, size)
        kind = file.createCompoundType(data.dtype, "pq") if data.dtype.names else data.dtype
        if data.dtype.kind == "S":
            kind, data = str, data.astype(object)
        file.createVariable("u", kind, DIMENSIONS)[:] = data


ODD = [
    None, {"a": 1}, [], [[1], [1, 2]], [None], "9" * 400, 10**400, "1e5000", True, np.nan, np.inf, -np.inf, 0, 1, -1,
    "", b"\xff", np.array([]), np.array(["a"]), "0, 5", [5, 0], np.int8([-5, 5]), np.float16(3), np.uint64(2**64 - 1),
    -(2**63), 1e-320, 1e308, np.longdouble(1), np.datetime64("2001"), 1j, np.void(b"ab"),
]  # fmt: skip
NAMES = [
    "_FillValue", "missing_value", "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range", "_Unsigned",
    "units", "Slope", "Intercept", "Offset", "Scaling",
]  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "u2", "i4", "u4", "i8", "u8", "f2", ">f4", "f8", "?", "g"])
def test_attributes_of_any_kind_are_decoded_or_refused(dtype):
    random = np.random.default_rng(0)
    data = (100 * np.abs(TRUTH)).astype("i1").astype(dtype)
    for _ in range(300):
        chosen = random.integers(len(NAMES), size=4), random.integers(len(ODD), size=4)
        attributes = {NAMES[name]: ODD[value] for name, value in zip(*chosen, strict=True)}
        raw = from_array("u", data, attributes=attributes, units=units_in(attributes))
        if not refusal(raw):
            array = decoded(raw, netcdf=True, kept=(0, 1e30))
            assert array.read(tuple(map(slice, data.shape))).dtype == array.dtype


def test_units_and_numbers_however_they_are_written():
    for attributes in ({"units": "K"}, {"Units": b"K"}, {"UNIT": np.array([b"K"])}, {"unit": ["K"], "unit_long": "x"}):
        assert units_in(attributes) == "K"
    assert units_in({"units": "m", "Unit": "K"}) == "m" and units_in({}) == ""
    assert numbers("[-999.9, 5]") == [-999.9, 5] and numbers("no data") == [] and numbers(np.array([b"1e20"])) == [1e20]
