"""Damaged copies of small good files of each format: nobody knows what is right."""

import contextlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import scipy.io

from fuzzing.attempt import Attempt, look_at_anything, written
from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.preprocess import preprocess
from sparsevq.readers.files import open_files
from sparsevq.simulators.shards import Shard, write_shard

Dice = np.random.Generator
Files = dict[str, bytes]
TOLD = {"arrays": ["u"], "dimensions": ["time", "y", "x"]}
SIZES = {"time": 4, "y": 3, "x": 5}
WEIGHTS = {
    "npy": 30,
    "npz": 18,
    "mat-5": 14,
    "mat-7.3": 6,
    "hdf5": 7,
    "netcdf-3": 5,
    "netcdf-64": 4,
    "netcdf-4": 4,
    "zarr-2": 3,
    "zarr-3": 3,
    "zarr-zip": 2,
    "data.h5": 1,
    "shard": 2,
    "pickle": 1,
}
"""How often each format is damaged; those that are read quickly dominate."""


def fields(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=tuple(SIZES.values())).astype(np.float32)


def attempts(dice: Dice, folder: Path, pristine: dict[str, Files]) -> Attempt:
    """A damaged copy of a file of some format."""
    weights = np.array([WEIGHTS[name] for name in pristine], dtype=float)
    form = str(dice.choice(list(pristine), p=weights / weights.sum()))
    files = dict(pristine[form])
    name = str(dice.choice(sorted(files)))
    how: list[str] = []
    for _ in range(int(dice.choice([1, 1, 2, 4]))):
        damage = DAMAGES[int(dice.integers(len(DAMAGES)))]
        files[name] = damage(dice, files[name])
        how.append(damage.__name__)
    if len(files) > 1 and dice.random() < 0.1:
        del files[name]
        how = ["lost"]
    if dice.random() < 0.03:
        other = pristine[str(dice.choice(list(pristine)))]
        files[name] = other[sorted(other)[0]]
        how = ["swapped"]
    written(folder, files)
    root = min(files, default="a").split("/")[0]
    settings: dict[str, Any] = {"path": str(folder / root)}
    if form not in ("netcdf-3", "netcdf-64", "netcdf-4", "zarr-2", "zarr-3", "zarr-zip", "data.h5", "shard"):
        settings |= TOLD if form != "npy" else {"dimensions": TOLD["dimensions"]}
    if dice.random() < 0.1:  # whatever it is called
        settings["format"] = str(dice.choice(["netcdf", "zarr", "hdf5", "matlab", "numpy", "sparsevq"]))
    about = {"settings": settings, "damaged": name, "how": how}
    return Attempt(f"damaged {form}: {how[-1]}", lambda: look_at_anything(settings), about)


# ----------------------------------------------------------------------------------------------------- damages


def _place(dice: Dice, content: bytes) -> int:
    """A position, more often near the beginning, where headers are."""
    reach = len(content) if dice.random() < 0.5 else min(len(content), 400)
    return int(dice.integers(max(reach, 1)))


def bits(dice: Dice, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(int(dice.choice([1, 1, 3, 20]))):
        if changed:
            changed[_place(dice, content)] ^= 1 << int(dice.integers(8))
    return bytes(changed)


def odd_bytes(dice: Dice, content: bytes) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[_place(dice, content)] = int(dice.choice([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x20]))
    return bytes(changed)


def odd_word(dice: Dice, content: bytes) -> bytes:
    """Four or eight bytes as a size near a limit, of either byte order."""
    at, size = _place(dice, content) & ~3, int(dice.choice([4, 8]))
    value = int(dice.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16, 3, 1000]))
    word = value.to_bytes(size, "big" if dice.integers(2) else "little")
    return content[:at] + word + content[at + size :]


def cut(dice: Dice, content: bytes) -> bytes:
    return content[: int(dice.integers(len(content) + 1))]


def zeroed(dice: Dice, content: bytes) -> bytes:
    at, size = _place(dice, content), int(dice.choice([1, 16, 64, 512]))
    return content[:at] + bytes(len(content[at : at + size])) + content[at + size :]


def repeated(dice: Dice, content: bytes) -> bytes:
    at, size = _place(dice, content), int(dice.choice([1, 16, 64, 512]))
    return content[: at + size] + content[at:]


def left_out(dice: Dice, content: bytes) -> bytes:
    at, size = _place(dice, content), int(dice.choice([1, 4, 64]))
    return content[:at] + content[at + size :]


def more_at_the_end(dice: Dice, content: bytes) -> bytes:
    return content + dice.bytes(int(dice.choice([1, 8, 100])))


def token(dice: Dice, content: bytes) -> bytes:
    """Another number or word in text (JSON, the header of an array)."""
    starts = [at for at in range(min(len(content), 600)) if content[at : at + 1] in b"0123456789[{\"'<,:"]
    if not starts:
        return odd_bytes(dice, content)
    at = int(dice.choice(starts))
    words = [
        b"0",
        b"-1",
        b"null",
        b'""',
        b"[]",
        b"{}",
        b"1e400",
        b"NaN",
        b"99999999999",
        b"true",
        b"<f4",
        b"|O",
        b"'",
        b",",
    ]
    return content[:at] + words[int(dice.integers(len(words)))] + content[at + int(dice.integers(1, 4)) :]


DAMAGES: tuple[Callable[[Dice, bytes], bytes], ...] = (
    *(bits, bits, odd_bytes, odd_word, odd_word, cut, zeroed, repeated, left_out, more_at_the_end, token, token),
)

# ------------------------------------------------------------------------------------------------- good files


def good_files(folder: Path) -> dict[str, Files]:
    """Format -> the files of a small data set (relative path -> bytes), written in an empty folder."""
    found: dict[str, Files] = {}
    for name, write in _writers():
        place = folder / name
        place.mkdir(parents=True)
        with contextlib.redirect_stdout(io.StringIO()):
            write(place)
        found[name] = {
            str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()
        }
    return found


def _writers() -> Iterator[tuple[str, Callable[[Path], None]]]:
    yield "npy", lambda place: np.save(place / "a.npy", fields())
    yield "npz", lambda place: np.savez(place / "a.npz", u=fields(), x=np.arange(5.0), t=np.arange(4.0))
    yield (
        "mat-5",
        lambda place: scipy.io.savemat(place / "a.mat", {"u": fields(), "x": np.arange(5.0), "t": np.arange(4)}),
    )
    yield "mat-7.3", _matlab
    yield "hdf5", _hdf5
    yield "netcdf-3", lambda place: _netcdf(place, "NETCDF3_CLASSIC")
    yield "netcdf-64", lambda place: _netcdf(place, "NETCDF3_64BIT_DATA")
    yield "netcdf-4", lambda place: _netcdf(place, "NETCDF4")
    yield "zarr-2", lambda place: written(place, {f"a.zarr/{name}": at for name, at in zarr_2(_arrays()).items()})
    yield "zarr-3", lambda place: written(place, {f"a.zarr/{name}": at for name, at in zarr_3(_arrays()).items()})
    yield "zarr-zip", lambda place: written(place, {"a.zarr.zip": zipped(zarr_2(_arrays()))})
    yield "data.h5", _data_set
    yield "shard", _shard
    yield "pickle", lambda place: np.save(place / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _hdf5(place: Path) -> None:
    with h5py.File(place / "a.h5", "w") as file:
        at = file.create_dataset("u", data=fields(), chunks=(2, 3, 5), compression="gzip")
        at.attrs.update({"units": "m/s", "scale_factor": 0.5, "_FillValue": np.float32(-9999)})
        file["x"], file["t"] = np.arange(5.0), np.arange(4.0)
        file["group/other"] = np.arange(3)


def _matlab(place: Path) -> None:
    with h5py.File(place / "a.mat", "w", userblock_size=512) as file:
        for name, values in {"u": fields().T, "x": np.arange(5.0)[:, None]}.items():
            file.create_dataset(name, data=values).attrs["MATLAB_class"] = np.bytes_("double")
    with open(place / "a.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def _netcdf(place: Path, form: str) -> None:
    with netCDF4.Dataset(place / "a.nc", "w", format=form) as file:
        for name, size in SIZES.items():
            file.createDimension(name, None if name == "time" else size)
            at = file.createVariable(name, "f8", (name,))
            at.units = "m" if name != "time" else "hours since 2001-01-01"
            at[:] = np.arange(size)
        at = file.createVariable("u", "i2", tuple(SIZES), fill_value=-32768)
        at.units, at.scale_factor, at.add_offset = "m/s", 0.001, 1.0
        at[:] = np.clip(fields(), -3, 3)
        file.title = "made to be damaged"


def _data_set(place: Path) -> None:
    np.save(place / "a.npy", fields().repeat(3, axis=0))
    settings = FileConfig(
        path=str(place / "a.npy"), dimensions=("time", "y", "x"), split="time", block=4, validation=1, test=1
    )
    preprocess(open_files(settings, "good"), place / "data.h5", "good", settings, PreprocessConfig())
    (place / "a.npy").unlink()


def _shard(place: Path) -> None:
    axes = {"y": np.arange(3.0), "x": np.arange(5.0)}
    shard = Shard(
        trajectory=np.arange(2),
        fields=np.stack([fields(1), fields(2)])[..., None],
        mask=np.ones((2, 3, 5), bool),
        axes=axes,
        axis_units=dict.fromkeys(axes, "m"),
        time=np.arange(4.0),
        time_units="s",
        channels=("u",),
        units=("m/s",),
    )
    write_shard(place / "0.h5", shard)


def _arrays() -> dict[str, tuple[np.ndarray, tuple[str, ...], dict[str, Any]]]:
    axes = {
        name: (np.arange(float(size)), (name,), {"units": "m" if name != "time" else "hours since 2001-01-01"})
        for name, size in SIZES.items()
    }
    return {**axes, "u": (fields(), tuple(SIZES), {"units": "m/s"})}


def zarr_2(
    arrays: dict[str, tuple[np.ndarray, tuple[str, ...], dict[str, Any]]], fill: dict[str, Any] | None = None
) -> Files:
    """A Zarr 2 store as bytes, written without zarr: arrays of one chunk, not compressed."""
    files = {".zgroup": json.dumps({"zarr_format": 2}).encode(), ".zattrs": b"{}"}
    for name, (values, dimensions, attributes) in arrays.items():
        about = {
            "zarr_format": 2,
            "shape": values.shape,
            "chunks": values.shape,
            "dtype": values.dtype.str,
            "order": "C",
        }
        about |= {"compressor": None, "filters": None, "fill_value": (fill or {}).get(name)}
        files[f"{name}/.zarray"] = json.dumps(about).encode()
        files[f"{name}/.zattrs"] = json.dumps({**attributes, "_ARRAY_DIMENSIONS": dimensions}).encode()
        files[f"{name}/" + (".".join("0" * values.ndim) or "0")] = values.tobytes()
    return files


def zarr_3(
    arrays: dict[str, tuple[np.ndarray, tuple[str, ...], dict[str, Any]]], fill: dict[str, Any] | None = None
) -> Files:
    """The same of version 3, little-endian."""
    files = {"zarr.json": json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}).encode()}
    for name, (values, dimensions, attributes) in arrays.items():
        grid = {"name": "regular", "configuration": {"chunk_shape": values.shape}}
        keys = {"name": "default", "configuration": {"separator": "/"}}
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
        about = {"zarr_format": 3, "node_type": "array", "shape": values.shape, "data_type": values.dtype.name}
        about |= {"chunk_grid": grid, "chunk_key_encoding": keys, "codecs": codecs, "attributes": attributes}
        about |= {"fill_value": (fill or {}).get(name, 0), "dimension_names": dimensions}
        files[f"{name}/zarr.json"] = json.dumps(about).encode()
        files["/".join([name, "c", *"0" * values.ndim])] = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return files


def zipped(files: Files) -> bytes:
    """Files in one zip archive, stored."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()
