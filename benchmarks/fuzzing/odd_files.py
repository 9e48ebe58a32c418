"""Valid files with odd but lawful names, orders, types, packings, units and calendars, whose right reading is known."""

import base64
import struct
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import scipy.io

from fuzzing.attempt import Attempt, Truth, look_at_anything, look_for, written
from fuzzing.damage import zarr_2, zarr_3, zipped
from fuzzing.odd_grids import Axis, Grid, distractors, grid
from fuzzing.odd_times import Times, times
from fuzzing.odd_values import Packed, packed

Dice = np.random.Generator
Variables = dict[str, tuple[np.ndarray, tuple[str, ...], dict[str, Any]]]
WEIGHTS = {
    "npy": 32,
    "npz": 26,
    "mat-5": 12,
    "hdf5": 9,
    "netcdf-3": 7,
    "netcdf-4": 5,
    "zarr-2": 4,
    "zarr-3": 4,
    "zarr-zip": 1,
    "snapshots": 4,
}
TIME_NAMES = ("time", "time", "t", "Time", "valid_time", "ocean_time", "time_counter")


def attempts(dice: Dice, folder: Path) -> Attempt:
    """An odd but valid file of some format."""
    weights = np.array(list(WEIGHTS.values()), dtype=float)
    form = str(dice.choice(list(WEIGHTS), p=weights / weights.sum()))
    if form in ("npy", "npz", "mat-5"):
        return nameless(dice, folder, form)
    if form == "snapshots":
        return snapshots(dice, folder)
    if form == "hdf5" and dice.random() < 0.5:
        return nameless(dice, folder, form)
    return named(dice, folder, form)


# ------------------------------------------------------------------------------- formats with names of dimensions


def named(dice: Dice, folder: Path, form: str) -> Attempt:
    """A file that describes itself."""
    frames = int(dice.integers(3, 6))
    time, space, time_name = times(dice, frames), grid(dice), str(dice.choice(TIME_NAMES))
    dims = _dimensions(dice, time_name, frames, space)
    field = packed(dice, tuple(size for _, size in dims), form.startswith("netcdf"), 2 if form == "hdf5" else 1)
    if dice.random() < 0.4:
        distractors(dice, space, time_name, frames)
    how = field.how if dice.random() < 0.5 or form == "hdf5" else time.kind
    variables = _variables(time, time_name, space)
    path = WRITERS[form](folder, variables, dict(dims), field, tuple(name for name, _ in dims))
    settings: dict[str, Any] = {"path": str(path), **({"arrays": ["u"]} if dice.random() < 0.5 else {})}
    truth = _truth(field, time, space, dims, time_name)
    about = {
        "settings": settings,
        "dimensions": dims,
        "attributes": str(field.attributes),
        "time": str(time.attributes),
    }
    about |= {"how": field.how, "axes": str({each.name: each.attributes for each in space.axes})}
    look = (lambda: look_for(settings, truth)) if time.known else (lambda: look_at_anything(settings))
    return Attempt(f"odd {form}: {how}", look, about)


def _dimensions(dice: Dice, time_name: str, frames: int, space: Grid) -> list[tuple[str, int]]:
    """Names and sizes in the order of the array: often time first, else any order."""
    dims = [(time_name, frames), *((each.name, each.size) for each in space.axes)]
    if dice.random() < 0.2:
        dims.insert(
            int(dice.integers(len(dims))),
            (str(dice.choice(["member", "realization", "ensemble"])), int(dice.integers(2, 4))),
        )
    if dice.random() < 0.15:
        dims.insert(1, ("height", 1))
    return [dims[int(at)] for at in dice.permutation(len(dims))] if dice.random() < 0.3 else dims


def _variables(time: Times, time_name: str, space: Grid) -> Variables:
    found: Variables = {time_name: (time.values, (time_name,), time.attributes)}
    for axis in space.axes:
        if axis.stored is not None:
            found[axis.name] = (axis.stored, (axis.name,), axis.attributes)
    return {**found, **space.others}


def _truth(field: Packed, time: Times, space: Grid, dims: list[tuple[str, int]], time_name: str) -> Truth:
    """Values in the order trajectory, time, axes in their order in the file, channel."""
    names = [name for name, _ in dims]
    axes = sorted(space.axes, key=lambda axis: names.index(axis.name))
    lead = [name for name in names if name in ("member", "realization", "ensemble")]
    order = [*lead, time_name, *(axis.name for axis in axes)]
    kept = [name for name in names if name in order]
    values = field.meaning.reshape([size for name, size in dims if name in order])
    values = values.transpose([kept.index(name) for name in order])[..., None]
    values = values if lead else values[None]
    longitudes = tuple(index for index, axis in enumerate(axes) if axis.longitude)
    scattered = _places(space, [axis.name for axis in axes]) if space.scattered else None
    places = [axis.places for axis in axes]
    return Truth(values, places, longitudes, time.elapsed, time.months, time.start, scattered)


def _places(space: Grid, order: list[str]) -> dict[str, np.ndarray]:
    """Unit -> places of each point in degrees, in the order of the field's dimensions."""
    found = {}
    for name, unit in (("lat", "degrees_north"), ("lon", "degrees_east")):
        values, dimensions, attributes = space.others[name]
        degrees = np.rad2deg(values) if attributes["units"].startswith("rad") else values.astype(float)
        found[unit] = degrees.transpose([dimensions.index(each) for each in order])
    return found


def _netcdf(
    folder: Path, variables: Variables, sizes: dict[str, int], field: Packed, dims: tuple[str, ...], form: str
) -> Path:
    path = folder / "a.nc"
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, size in {**sizes, "nv": 2}.items():
            file.createDimension(name, size)
        for name, (values, along, attributes) in variables.items():
            at = file.createVariable(name, _classic(values, form), along)
            at.setncatts(attributes)
            at[...] = values
        stored, attributes, fill = field.stored, dict(field.attributes), field.fill
        if form == "NETCDF3_CLASSIC" and stored.dtype.kind == "u":
            if stored.dtype.itemsize > 1 and field.how == "plain":
                stored = stored.astype("f4")
            else:
                signed = f"i{stored.dtype.itemsize}"
                stored, attributes["_Unsigned"] = stored.view(signed), "true"
                attributes = {
                    key: value.astype(signed) if getattr(value, "dtype", np.dtype("f8")).kind == "u" else value
                    for key, value in attributes.items()
                }
                fill = None if fill is None else fill.astype(signed)
        at = file.createVariable(
            "u",
            stored.dtype.newbyteorder("="),
            dims,
            fill_value=None if fill is None else fill.astype(stored.dtype.newbyteorder("=")),
        )
        at.set_auto_maskandscale(False)
        at.setncatts(
            {
                key: value.astype(value.dtype.newbyteorder("=")) if hasattr(value, "dtype") else value
                for key, value in attributes.items()
            }
        )
        at[...] = stored
    return path


def _classic(values: Any, form: str) -> str:
    kind = np.asarray(values).dtype
    return "f8" if form == "NETCDF3_CLASSIC" and kind == np.int64 else kind.str[1:]


def _hdf5(folder: Path, variables: Variables, sizes: dict[str, int], field: Packed, dims: tuple[str, ...]) -> Path:
    """Dimensions have scales; attributes are those of netCDF."""
    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        for name, (values, along, attributes) in variables.items():
            at = file.create_dataset(name, data=values)
            at.attrs.update(attributes)
            if along == (name,):
                at.make_scale(name)
                continue
            for index, dimension in enumerate(along):
                at.dims[index].label = dimension
        at = file.create_dataset("u", data=field.stored)
        at.attrs.update(field.attributes)
        if field.fill is not None:
            at.attrs["_FillValue"] = field.fill
        for index, name in enumerate(dims):
            if name in file and file[name].is_scale:
                at.dims[index].attach_scale(file[name])
            else:
                at.dims[index].label = name
    return path


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in attributes.items()}


def _zarr_parts(variables: Variables, field: Packed, dims: tuple[str, ...]) -> Variables:
    plain = {
        name: (np.asarray(values), along, _plain(attributes)) for name, (values, along, attributes) in variables.items()
    }
    stored = field.stored.astype(field.stored.dtype.newbyteorder("="))
    return {**plain, "u": (stored, dims, _plain(field.attributes))}


def _zarr_2(
    folder: Path,
    variables: Variables,
    sizes: dict[str, int],
    field: Packed,
    dims: tuple[str, ...],
    archive: bool = False,
) -> Path:
    fill = {} if field.fill is None else {"u": field.fill.item()}
    zeros = dict.fromkeys((*variables, "u"), 0)  # what zarr itself writes: no mask
    files = zarr_2(_zarr_parts(variables, field, dims), {**zeros, **fill})
    if archive:
        (folder / "a.zarr.zip").write_bytes(zipped(files))
        return folder / "a.zarr.zip"
    written(folder / "a.zarr", files)
    return folder / "a.zarr"


def _zarr_3(folder: Path, variables: Variables, sizes: dict[str, int], field: Packed, dims: tuple[str, ...]) -> Path:
    parts = _zarr_parts(variables, field, dims)
    if field.fill is not None:  # as xarray writes it
        value = field.fill.item()
        parts["u"][2]["_FillValue"] = (
            value if isinstance(value, int) else base64.standard_b64encode(struct.pack("<d", value)).decode()
        )
    written(folder / "a.zarr", zarr_3(parts))
    return folder / "a.zarr"


WRITERS: dict[str, Any] = {
    "netcdf-3": lambda *parts: _netcdf(*parts, "NETCDF3_CLASSIC"),
    "netcdf-4": lambda *parts: _netcdf(*parts, "NETCDF4"),
    "hdf5": _hdf5,
    "zarr-2": _zarr_2,
    "zarr-zip": lambda *parts: _zarr_2(*parts, archive=True),
    "zarr-3": _zarr_3,
}

# --------------------------------------------------------------------------------------- formats that need telling


def nameless(dice: Dice, folder: Path, form: str) -> Attempt:
    """Arrays whose dimensions the configuration names, in any order; coordinates in arrays of the axes' names."""
    frames = int(dice.integers(3, 6))
    axes = [_told_axis(dice, role) for role in [("x",), ("y", "x"), ("z", "y", "x")][int(dice.integers(3))]]
    sizes: dict[str, int] = {"time": frames, **{axis.name: axis.size for axis in axes}}
    if dice.random() < 0.3:
        sizes["trajectory"] = int(dice.integers(2, 4))
    if dice.random() < 0.3:
        sizes["channel"] = int(dice.integers(1, 4))
    dims = [list(sizes)[int(at)] for at in dice.permutation(len(sizes))]
    kind = str(
        dice.choice(
            ["f4", "f8", ">f8", "f2", "i2", "u1", "i8", "bool"] if form != "mat-5" else ["f4", "f8", "i2", "u1"]
        )
    )
    values = (dice.normal(size=[sizes[name] for name in dims]) * 20 + 60).astype(kind)
    if dice.random() < 0.3:
        values = np.asfortranarray(values)
    meaning = values.astype(np.float64)
    settings: dict[str, Any] = {"dimensions": dims}
    if dice.random() < 0.2 and kind not in ("bool", "u1"):
        values.flat[1], meaning.flat[1], settings["missing"] = -999, np.nan, [-999]
    at = (2.0 * np.arange(frames) + float(dice.integers(5))).astype(str(dice.choice(["f8", "f4", "i4"])))
    beside = {axis.name: axis.stored for axis in axes if axis.stored is not None}
    times_there = form != "npy" and dice.random() < 0.7
    if times_there:
        beside[str(dice.choice(["t", "time"]))] = at
    if form == "npy":
        axes = [Axis(each.name, each.size, None, {}, np.arange(each.size, dtype=float), each.role) for each in axes]
        _given_ends(dice, axes, settings)
    settings |= {} if form == "npy" else {"arrays": ["u"]}
    settings["path"] = str(_saved(dice, folder, form, values, beside))
    places = [axis.places if axis.places is not None else np.arange(axis.size, dtype=float) for axis in axes]
    order = [name for name in dims if name in [axis.name for axis in axes]]
    places = [places[[axis.name for axis in axes].index(name)] for name in order]
    truth = Truth(_arranged(meaning, dims, order), list(places), elapsed=at - at[0] if times_there else None)
    return Attempt(f"odd {form}: {kind}", lambda: look_for(settings, truth), {"settings": settings, "sizes": sizes})


def snapshots(dice: Dice, folder: Path) -> Attempt:
    """Numbered files of a frame each, in the order of their numbers, which have zeros in front or not."""
    count, first, step = int(dice.integers(2, 13)), int(dice.choice([0, 1, 7, 98])), int(dice.choice([1, 1, 5]))
    values = dice.normal(size=(count, 3, 4)).astype("f4")
    name = str(dice.choice(["frame_{}", "{}", "u.{:04d}", "run2_t{}", "out-{:03d}", "2001_{}_u"]))
    form = str(dice.choice(["npy", "npz"]))
    paths = [folder / f"{name.format(first + step * k)}.{form}" for k in range(count)]
    for path, frame in zip(paths, values, strict=True):
        np.save(path, frame) if form == "npy" else np.savez(path, u=frame)
    settings: dict[str, Any] = {
        "join": "time",
        "dimensions": ["y", "x"],
        **({"arrays": ["u"]} if form == "npz" else {}),
    }
    listed = [str(paths[int(at)]) for at in dice.permutation(count)]
    settings["path"] = (
        str(dice.choice([str(folder), str(folder / f"*.{form}")])) if dice.random() < 0.7 else sorted(listed)
    )
    truth = Truth(values[None, ..., None].astype(np.float64), [None, None])
    if isinstance(settings["path"], list):  # as they are listed
        truth.values = values[[[str(path) for path in paths].index(each) for each in settings["path"]]][
            None, ..., None
        ].astype(np.float64)
    return Attempt(f"odd snapshots: {name}", lambda: look_for(settings, truth), {"settings": settings, "count": count})


def _told_axis(dice: Dice, role: str) -> Axis:
    size = int(dice.integers(2, 5))
    places = np.cumsum(dice.uniform(0.5, 1.5, size))[:: int(dice.choice([1, -1]))]
    stored = places.astype("f4") if dice.random() < 0.7 else None
    true = None if stored is None else stored.astype(np.float64)
    return Axis(role, size, stored, {}, true, role)


def _given_ends(dice: Dice, axes: list[Axis], settings: dict[str, Any]) -> None:
    """Coordinates in the configuration: first and last."""
    axis = axes[int(dice.integers(len(axes)))]
    if dice.random() < 0.5:
        ends = [float(dice.integers(5)), float(dice.integers(6, 20))][:: int(dice.choice([1, -1]))]
        settings["coordinates"], axis.places = {axis.name: ends}, np.linspace(*ends, axis.size)


def _arranged(meaning: np.ndarray, dims: list[str], order: list[str]) -> np.ndarray:
    lead = [name for name in ("trajectory", "time") if name in dims]
    last = ["channel"] if "channel" in dims else []
    values = meaning.transpose([dims.index(name) for name in (*lead, *order, *last)])
    values = values if "trajectory" in dims else values[None]
    return values if last else values[..., None]


def _saved(dice: Dice, folder: Path, form: str, values: np.ndarray, beside: dict[str, np.ndarray]) -> Path:
    if form == "npy":
        np.save(folder / "a.npy", values)
        return folder / "a.npy"
    if form == "npz":
        (np.savez if dice.random() < 0.5 else np.savez_compressed)(folder / "a.npz", u=values, **beside)
        return folder / "a.npz"
    if form == "mat-5":
        scipy.io.savemat(
            folder / "a.mat",
            {"u": values, **beside},
            do_compression=bool(dice.random() < 0.3),
            oned_as=str(dice.choice(["row", "column"])),
        )
        return folder / "a.mat"
    with h5py.File(folder / "a.h5", "w") as file:
        for name, at in {"u": values, **beside}.items():
            file.create_dataset(name, data=at)
    return folder / "a.h5"
