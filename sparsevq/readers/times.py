"""Times of the frames of one file: which array holds them, and in which unit and calendar."""

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.clock import Clock
from sparsevq.readers.conventions import TIME, is_time, role_by_name
from sparsevq.readers.stored import Contents, StoredArray, print_once, whole


def frame_times(
    contents: Contents, dimension: str | None, frames: int, settings: FileConfig, told: set[str]
) -> tuple[npt.NDArray[np.float64], Clock]:
    """Times of the frames as in the file, and their clock.

    Parameters
    ----------
    contents
        The file.
    dimension
        The file's name of the dimension of frames, empty where it has none; None: the file is one frame.
    frames
        How many there are.
    settings
        The user's settings for it.
    told
        Messages that were printed already.

    Raises
    ------
    SparseVQError
        There are no times, or not one for each frame.
    """
    units = settings.units.get("time", "")
    if settings.time is not None and not isinstance(settings.time, str):
        first, step = settings.time
        return first + step * np.arange(frames, dtype=np.float64), Clock(units)
    array: StoredArray | None
    if settings.time is not None:
        array = contents.array(settings.time, "time")
    elif dimension is not None:
        array = _along(contents, dimension, frames)
    else:
        array = _of_the_file(contents)
    if array is None:
        if contents.describes_itself and dimension is not None:
            raise SparseVQError(
                f"{contents.path}: {dimension} ({frames} frames) has no coordinates",
                "give `time: [first, step]`, or write them into the file",
            )
        print_once("no times are known: frames are numbered 0, 1, ... (give them by `time: [first, step]`)", told)
        return np.arange(frames, dtype=np.float64), Clock(units or "frame")
    times = whole(contents.path, array).ravel()
    if len(times) != frames:
        raise SparseVQError(
            f"{contents.path}: {array.name} has {len(times)} times, but there are {frames} frames",
            "name the array with one time a frame by `time`",
        )
    return times, Clock(units or array.units, str(array.attributes.get("calendar", "standard")).lower())


def _along(contents: Contents, dimension: str, frames: int) -> StoredArray | None:
    """The times along a dimension: dates are preferred to plain numbers, then the array named as the dimension."""
    if dimension:
        along = [array for array in contents.arrays.values() if array.dimensions == (dimension,) and array.is_number]
        times = [array for array in along if array.name == dimension or is_time(array.attributes, array.units)]
        dated = [array for array in times if " since " in array.units]
        best_first = sorted(
            dated or times, key=lambda array: (array.name != dimension, array.attributes.get("standard_name") != "time")
        )
        return best_first[0] if best_first else None
    for array in contents.arrays.values():
        named = role_by_name(array.name.rsplit("/", 1)[-1]) == TIME
        if not array.dimensions and named and array.is_number and array.shape in ((frames,), (1, frames), (frames, 1)):
            return array
    return None


def _of_the_file(contents: Contents) -> StoredArray | None:
    """The time of a file that is one frame."""
    scalars = [each for each in contents.arrays.values() if not each.shape and is_time(each.attributes, each.units)]
    named = next((each for each in scalars if each.attributes.get("standard_name") == "time"), None)
    return named or (scalars[0] if len(scalars) == 1 else None)
