"""All faults of a data set's file, not only the first."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from sparsevq.data.faults import Fault, expected_shapes, faults
from sparsevq.data.field_data import LATITUDE_UNITS, FieldData
from sparsevq.data.layout import IN_MEMORY, SCHEMA, VERSION, read_unchecked
from sparsevq.data.preprocess import Moments
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import open_layout, read_attribute, read_json, read_strings, require_dataset

BLOCK = 2**26
"""Bytes of fields that are read at a time."""
CLOSE = 1e-3
"""Largest error of the stored statistics, in standard deviations; rounding gives far less."""

Tell = Callable[[str], None]


def file_faults(path: str | Path, tell: Tell = lambda message: None, in_memory: int = IN_MEMORY) -> list[str]:
    """Everything that is wrong with a data set's file (``docs/data-format.md``: sparsevq-data).

    What is missing or of a wrong shape comes first and alone, since the other rules cannot be applied then.

    Parameters
    ----------
    path
        The file; its fields may be of any size.
    tell
        Called with a line of progress after each trajectory.
    in_memory
        As for `sparsevq.data.layout.read_data`.

    Returns
    -------
    One line for each fault: what is wrong, and what to do. Empty if nothing is.

    Raises
    ------
    SparseVQError
        The file cannot be opened at all, or is of another layout.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        missing = [str(error) for error in _missing(file)]
    if missing:
        return missing
    try:
        data, mapped = read_unchecked(path, in_memory)
    except SparseVQError as error:
        return [str(error)]
    found = list(faults(data))
    if not any("has shape" in fault.what for fault in found):
        found += _further_faults(data)
        found += _value_faults(data, mapped, tell)
    return [str(fault.error(str(path))) for fault in found]


def _missing(file: h5py.File) -> Iterator[SparseVQError]:
    """Datasets and attributes that are missing or of a wrong type or shape."""
    wanted: list[Callable[[], object]] = [
        *(partial(read_attribute, file, name) for name in ("name", "axes", "periodic")),
        *(partial(read_json, file, name) for name in ("provenance", "vector")),
        *(partial(require_dataset, file, name) for name in ("fields", "mask", "time", "split")),
        *(partial(require_dataset, file, f"normalisation/{name}") for name in ("mean", "std")),
    ]
    axes = read_strings(file, "axes") if "axes" in file.attrs else ()
    wanted += [partial(require_dataset, file, f"coordinates/{axis}") for axis in axes]
    fields = file.get("fields")
    if isinstance(fields, h5py.Dataset):
        wanted += [partial(read_strings, fields, name) for name in ("channels", "units")]
        dimensions = 1 if file.attrs.get("scattered", False) else len(axes)
        if axes and fields.ndim != dimensions + 3:
            wanted.append(partial(require_dataset, file, "fields", (None, None, *(None,) * dimensions, None)))
        elif fields.ndim > 3:
            shapes = expected_shapes(fields.shape, file.get("parameters", {}))
            there = {name: shape for name, shape in shapes.items() if isinstance(file.get(name), h5py.Dataset)}
            wanted += [partial(require_dataset, file, name, shape) for name, shape in there.items()]
    for check in wanted:
        try:
            check()
        except SparseVQError as error:
            yield error


def _further_faults(data: FieldData) -> Iterator[Fault]:
    """Rules that reading does not need."""
    unknown = sorted(set(data.vector) - set(data.channels))
    if unknown:
        yield Fault(
            f"vector names {', '.join(unknown)}, which is no channel", f"channels are {', '.join(data.channels)}"
        )
    if data.point_weights is not None and not np.isfinite(data.point_weights).all():
        yield Fault("weights are not finite", "give each point the area that it stands for")
    for axis in data.periodic:
        at, unit = data.axes.get(axis), data.axis_units.get(axis, "")
        angle = unit.startswith("degree") and unit not in LATITUDE_UNITS and not data.scattered
        if at is not None and angle and np.isclose(np.ptp(at), 360):
            yield Fault(f"coordinates/{axis} span 360 degrees, so that the first point repeats", "leave out the last")


def _value_faults(data: FieldData, mapped: bool, tell: Tell) -> Iterator[Fault]:
    """Statistics that are not those of the training split; in mapped fields also values under the mask."""
    moments = Moments.none(len(data.channels))
    hidden = 0
    at_once = max(1, BLOCK // (4 * data.num_points * len(data.channels)))
    for index, (fields, valid) in enumerate(zip(data.flat_fields, data.flat_mask, strict=True)):
        if data.split[index] != "train" and not mapped:
            continue
        for start in range(0, len(fields), at_once):
            block = np.asarray(fields[start : start + at_once])
            hidden += int(np.count_nonzero(block[:, ~valid])) if mapped else 0
            if data.split[index] == "train":
                with np.errstate(invalid="ignore"):  # values that are not finite are a fault of their own
                    moments.add(block[:, valid], data.weights[valid])
        tell(f"trajectory {index + 1} of {len(data.fields)}")
    if hidden:
        yield Fault(
            f"{hidden} values are not 0 where the mask is False, in fields that are mapped, not read", "set them to 0"
        )
    if not moments.weight:
        return
    mean, std = moments.mean_and_std()
    scale = np.where(std > 0, std, 1)
    for name, stored, true in (("mean", data.mean, mean), ("std", data.std, std)):
        apart = np.abs(stored - true) / scale
        for channel in np.flatnonzero(np.isfinite(true) & ~(apart < CLOSE)):
            yield Fault(
                f"normalisation/{name} of channel {data.channels[channel]} is {stored[channel]:.6g}, that of the "
                f"training split's valid points by area {true[channel]:.6g}",
                "store the latter",
            )
