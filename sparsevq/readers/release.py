"""Files that the loaders of the method's public release read, by the loaders' names (a table: ``docs/data-format.md``).

The release has loaders of its own for eight data sets: HDF5 files with one dataset, pickles of one array, and pickles
of a list of scenes, each a dictionary with ``data`` and ``coords``. It scales values on loading and takes 0 for
missing; here values stay as they are, and `missing: [0]` does the latter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import CHANNEL, TIME, TRAJECTORY
from sparsevq.readers.opening.hdf5_files import open_hdf5
from sparsevq.readers.opening.numpy_files import open_numpy
from sparsevq.readers.opening.stored import Contents, StoredArray, from_array, listing, reading
from sparsevq.readers.safe_pickle import read_pickle
from sparsevq.runtime.hdf5 import Array

DATA, COORDS = "data", "coords"
"""Keys of a scene."""


@dataclass(frozen=True)
class Layout:
    """What a loader of the release expects.

    Attributes
    ----------
    array
        Name of the dataset in an HDF5 file.
    axes
        Axes of a frame, in the array's order.
    channels
        Names of channels, where the array has as many.
    units
        Their unit.
    scenes
        The file is a list of scenes.
    frame_step
        Time between frames, and its unit.
    globe
        Axes that divide the globe evenly: where the cells begin and end, and the unit.
    """

    array: str
    axes: tuple[str, ...]
    channels: tuple[str, ...]
    units: str = ""
    scenes: bool = False
    frame_step: tuple[float, str] = (1.0, "frame")
    globe: dict[str, tuple[float, float, str]] = field(default_factory=dict)


GLOBE = {"latitude": (90.0, -90.0, "degrees_north"), "longitude": (0.0, 360.0, "degrees_east")}
LAYOUTS = {
    "sea": Layout("sst", ("latitude", "longitude"), ("sst",), "degC", False, (7.0, "d"), GLOBE),
    "pipe": Layout("pipe", ("x", "y"), ("velocity",)),
    "plume": Layout("cs", ("x", "y", "z"), ("concentration",)),
    "pore": Layout("rho", ("x", "y", "z"), ("density",)),
    "isotropic3D": Layout("fields", ("x", "y", "z"), ()),
    "cylinder": Layout(DATA, ("x", "y"), ("vorticity",), scenes=True),
    "shallow": Layout(DATA, ("x", "y"), ("height", "vorticity"), scenes=True),
    "fire": Layout(DATA, ("x", "y", "z"), ("smoke",), scenes=True),
}


def open_release(path: Path, settings: FileConfig) -> Contents:
    """A file of the release, with the roles of its dimensions.

    Raises
    ------
    SparseVQError
        It cannot be read, or its arrays do not have the shape that the loader expects and `dimensions` are not given.
    """
    assert settings.release is not None  # the configuration checks it
    layout = LAYOUTS[settings.release]
    array, more = _raw(path, settings.release, layout, settings)
    channels = array.shape[-1] if array.dimensions[-1:] == (CHANNEL,) else 1
    named = layout.channels if len(layout.channels) == channels else ()
    arrays = {array.name: replace(array, units=layout.units), **more}
    if array.dimensions[-1:] == (CHANNEL,) and named:
        arrays[CHANNEL] = from_array(CHANNEL, np.array(named), dimensions=(CHANNEL,))
    elif array.dimensions and named:
        arrays = {named[0]: replace(array, name=named[0], units=layout.units), **more}
    for axis, (begin, end, units) in layout.globe.items():
        if axis in array.dimensions and axis not in arrays:
            size = array.shape[array.dimensions.index(axis)]
            at = begin + (end - begin) * (np.arange(size) + 0.5) / size
            arrays[axis] = from_array(axis, at, dimensions=(axis,), units=units)
    if TIME in array.dimensions:
        step, units = layout.frame_step
        times = step * np.arange(array.shape[array.dimensions.index(TIME)])
        arrays[TIME] = from_array(TIME, times, dimensions=(TIME,), units=units)
    fields = tuple(name for name in arrays if name not in (CHANNEL, TIME, *more, *layout.globe))
    return Contents(
        path=path, arrays=arrays, fields=fields, provenance={"layout": f"release, loader {settings.release}"}
    )


def split_by_names(paths: Sequence[Path]) -> dict[Path, str] | None:
    """The split of each file, as the release names them (train.pkl, valid.pkl, test.pkl); None unless all three are."""
    known = {"train": "train", "valid": "val", "val": "val", "test": "test"}
    split = {path: known[path.stem] for path in paths if path.stem in known}
    return split if len(split) == len(paths) and set(split.values()) == {"train", "val", "test"} else None


# ------------------------------------------------------------------------------------------------ raw arrays


def _raw(path: Path, name: str, layout: Layout, settings: FileConfig) -> tuple[StoredArray, dict[str, StoredArray]]:
    """The array of all fields, with the roles of its dimensions; and coordinates."""
    with reading(path, "data"):
        hdf5 = path.is_dir() or h5py.is_hdf5(path)
    if hdf5:
        return _frames(path, name, layout, settings, _only(open_hdf5(path), layout, settings)), {}
    with reading(path, "data"), open(path, "rb") as file:
        start = file.read(6)
    if start == b"\x93NUMPY" or start[:2] == b"PK":
        return _frames(path, name, layout, settings, _only(open_numpy(path), layout, settings)), {}
    held = read_pickle(path)
    if isinstance(held, dict) and DATA in held and layout.scenes:
        held = [held]
    if isinstance(held, list | tuple) and held and all(isinstance(scene, dict) for scene in held):
        array, axes = _scenes(path, layout, held)
        return _with_dimensions(path, name, layout, settings, array, (TRAJECTORY, TIME)), axes
    if isinstance(held, np.ndarray):
        held = {layout.array: held}
    if isinstance(held, dict):
        arrays = {str(key): from_array(str(key), value) for key, value in held.items() if isinstance(value, np.ndarray)}
        only = _only(Contents(path=path, arrays=arrays, fields=tuple(arrays)), layout, settings)
        return _frames(path, name, layout, settings, only), {}
    raise SparseVQError(
        f"{path} holds a {type(held).__name__}", f"release {name}: give an array, a dictionary of arrays or scenes"
    )


def _frames(path: Path, name: str, layout: Layout, settings: FileConfig, array: StoredArray) -> StoredArray:
    """An array of frames, one after the other."""
    if layout.globe and len(array.shape) == 2 and not settings.dimensions:
        array = _unrolled(path, array)
    return _with_dimensions(path, name, layout, settings, array, (TIME,))


def _only(contents: Contents, layout: Layout, settings: FileConfig) -> StoredArray:
    """The array that the loader reads."""
    wanted = settings.arrays or (layout.array,)
    if wanted[0].strip("/") in contents.arrays or settings.arrays:
        array = contents.array(wanted[0], "arrays")
    elif len(contents.fields) == 1:
        array = contents.arrays[contents.fields[0]]
    else:
        raise SparseVQError(
            f"{contents.path}: there is no {layout.array}; it holds {listing(contents.arrays.values())}",
            "name the array by `arrays`",
        )
    return replace(array, name=layout.array, dimensions=())


def _unrolled(path: Path, array: StoredArray) -> StoredArray:
    """Frames ``(F, H W)`` whose points are in column order, as MATLAB writes them, as ``(F, H, W)`` with W = 2 H."""
    frames, points = array.shape
    height = round((points / 2) ** 0.5)
    if 2 * height * height != points:
        raise SparseVQError(
            f"{path}: {array.name} has shape {array.shape}, and {points} is not a number of latitudes x twice as many "
            "longitudes",
            "name its dimensions by `dimensions`",
        )

    def read(part: tuple[slice, ...]) -> Array:
        rows = array.read((part[0], slice(0, points)))
        return rows.reshape(-1, 2 * height, height).transpose(0, 2, 1)[:, part[1], part[2]]

    chunks = array.chunks and (array.chunks[0], height, 2 * height)
    return replace(array, shape=(frames, height, 2 * height), read=read, chunks=chunks)


def _scenes(path: Path, layout: Layout, held: Sequence[dict[str, Any]]) -> tuple[StoredArray, dict[str, StoredArray]]:
    """Scenes as one array with a first dimension of trajectories, and the coordinates that they share."""
    for index, scene in enumerate(held):
        if not isinstance(scene.get(DATA), np.ndarray):
            raise SparseVQError(
                f"{path}: scene {index} has no array `{DATA}` (it has {', '.join(map(str, scene)) or 'nothing'})",
                "see docs/data-format.md",
            )
        if scene[DATA].shape != held[0][DATA].shape:
            raise SparseVQError(
                f"{path}: scene {index} has shape {scene[DATA].shape}, scene 0 {held[0][DATA].shape}", "leave it out"
            )
        if COORDS in scene and not np.array_equal(np.asarray(scene[COORDS]), np.asarray(held[0].get(COORDS))):
            raise SparseVQError(f"{path}: scene {index} has other coordinates than scene 0", "leave it out")
    first = held[0][DATA]
    batch_of_one = first.shape[0] == 1 and first.ndim > len(layout.axes) + 1
    scenes = [scene[DATA][0] if batch_of_one else scene[DATA] for scene in held]

    def read(part: tuple[slice, ...]) -> Array:
        return np.stack([scene[part[1:]] for scene in scenes[part[0]]])

    array = StoredArray(name=DATA, shape=(len(scenes), *scenes[0].shape), dtype=first.dtype, read=read)
    coords = held[0].get(COORDS)
    return array, _axes_of(layout, coords) if isinstance(coords, np.ndarray) else {}


def _axes_of(layout: Layout, coords: npt.NDArray[Any]) -> dict[str, StoredArray]:
    """Axes of a grid whose points' coordinates are ``(*grid, d)``; empty if they are not a grid."""
    grid = len(layout.axes)
    while coords.ndim > grid + 1 and coords.shape[0] == 1:
        coords = coords[0]
    if coords.ndim != grid + 1 or coords.shape[-1] != grid:
        return {}
    axes = {}
    for index, axis in enumerate(layout.axes):
        along = np.moveaxis(coords[..., index], index, -1).reshape(-1, coords.shape[index])
        if not (np.ptp(along, axis=0) == 0).all() or not (np.diff(along[0]) != 0).all():
            return {}
        axes[axis] = from_array(axis, along[0], dimensions=(axis,))
    return axes


def _with_dimensions(
    path: Path, name: str, layout: Layout, settings: FileConfig, array: StoredArray, lead: tuple[str, ...]
) -> StoredArray:
    """The array with the roles of its dimensions, by their number; unchanged where the user names them."""
    if settings.dimensions:
        return array
    for dimensions in ((*lead, *layout.axes), (*lead, *layout.axes, CHANNEL)):
        if len(dimensions) == len(array.shape):
            return replace(array, dimensions=dimensions)
    one = " (one frame: there is nothing to forecast)" if len(array.shape) == len(layout.axes) else ""
    raise SparseVQError(
        f"{path}: {array.name} has shape {array.shape}{one}; release {name} expects "
        f"({', '.join((*lead, *layout.axes))}), with or without a last dimension of channels",
        "name its dimensions by `dimensions`",
    )
