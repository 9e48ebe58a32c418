"""A data set without its fields: all that a forecast needs of it, in a file of its own (``docs/data-format.md``)."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import SCHEMA as DATA_SCHEMA
from sparsevq.data.layout import VERSION as DATA_VERSION
from sparsevq.data.layout import read_described, read_domain, write_header
from sparsevq.data.sampled import FRAMES, SAMPLED, STEPS, FloatArray, Points, cases
from sparsevq.runtime.hdf5 import created, open_layout, read_attribute, read_dataset, remade, require_dataset, stamp

SCHEMA, VERSION = "sparsevq-domain", 1
CHUNK = 2**20
"""Bytes of sampled frames that are read together: few points of all frames are asked for."""
THINNED = 32
"""Of each split, at most, in a small packed run."""
PACKED = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


def write_domain(path: Path, source: Path) -> None:
    """Write what forecasts need of the data set `source`.

    Raises
    ------
    SparseVQError
        A file is missing or damaged, or can't be written.
    """
    data = read_domain(source)
    with open_layout(source, DATA_SCHEMA, DATA_VERSION) as read, created(path) as file:
        fields = read["fields"]
        stamp(file, SCHEMA, VERSION, {"data": source})
        file.attrs["data"] = data.digest
        # The shape alone: chunks that nobody writes take no space.
        file.create_dataset("fields", fields.shape, np.float32, chunks=True, fillvalue=np.nan)
        file.create_dataset("mask", data=data.mask, chunks=True, **PACKED)
        write_header(file, data)
        for split in SAMPLED:
            _write_frames(file, fields, data, split)
        file.create_dataset("change", data=_change(fields, data), **PACKED)


def _write_frames(file: h5py.File, fields: h5py.Dataset, data: FieldData, split: str) -> None:
    """Sampled frames (b, N, C), NaN where there is no field."""
    chosen = cases(data, fields.shape[1], split, FRAMES)  # type: ignore[arg-type]  # one of SAMPLED
    channels = len(data.channels)
    values = np.empty((len(chosen), data.num_points, channels), np.float32)
    for row, (trajectory, frame) in zip(values, chosen, strict=True):
        row[:] = fields[trajectory, frame].reshape(-1, channels)
        row[~data.flat_mask[trajectory]] = np.nan
    points = max(1, min(data.num_points, CHUNK // max(4 * len(chosen) * channels, 1)))
    chunks = (max(len(chosen), 1), points, channels)
    file.create_dataset(f"sampled/{split}", values.shape, np.float32, values, chunks=chunks, **PACKED)


def _change(fields: h5py.Dataset, data: FieldData) -> FloatArray:
    """(N, C) as `SamplesOfDataSet.change` has it of every point, two frames in memory at a time."""
    chosen = cases(data, fields.shape[1] - 1, SAMPLED[0], STEPS)
    total = np.zeros((data.num_points, len(data.channels)))
    still = np.zeros(total.shape, bool)
    for trajectory, frame in chosen:
        before, after = (fields[trajectory, frame + later].reshape(total.shape).astype(float) for later in (0, 1))
        step = np.where(data.flat_mask[trajectory][:, None], after - before, 0)
        still |= step == 0
        total += np.square(step)
    return np.where(still, 0, np.sqrt(total / max(len(chosen), 1)))


def write_thinned(path: Path, source: Path, share: float) -> None:
    """Write a domain with fewer sampled frames, `THINNED` of a split, and values that are rounded.

    Parameters
    ----------
    path, source
        The file to write, and one that `write_domain` wrote.
    share
        Rms of the error of the values, over that of a channel, at most.

    Raises
    ------
    SparseVQError
        A file is missing or damaged, or can't be written.
    """
    data = read_packed_domain(source)
    steps = 2.0 ** np.floor(np.log2(share * np.sqrt(12) * data.std))  # of whose multiples HDF5's filters make little
    with open_layout(source, SCHEMA, VERSION) as read, remade(source, path, {}, ("sampled", "change")) as file:
        for split in SAMPLED:
            values = read_dataset(read, f"sampled/{split}", (None, None, None))
            kept = np.unique(np.linspace(0, max(len(values) - 1, 0), min(THINNED, len(values))).round().astype(int))
            rounded = (np.rint(values[kept] / steps) * steps).astype(np.float32)
            chunks = (max(len(rounded), 1), *rounded.shape[1:])
            file.create_dataset(f"sampled/{split}", data=rounded, chunks=chunks, **PACKED)
        change = read_dataset(read, "change", (None, None)).astype(np.float32)
        digits = change.view(np.uint32) & np.uint32(0xFFFF0000)  # a zero stays one
        file.create_dataset("change", data=digits.view(np.float32).astype(np.float64), **PACKED)


def read_packed_domain(path: Path) -> FieldData:
    """A data set without its frames, as `read_domain` reads it from the data set's own file; with that file's digest.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another layout.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        return replace(read_described(file), digest=str(read_attribute(file, "data")))


class SamplesOfDomain:
    """Sampled frames of a data set that was packed (`sparsevq.data.sampled.Samples`).

    Parameters
    ----------
    path
        The file that `write_domain` wrote.
    """

    def __init__(self, path: Path):
        self._path = path

    def at(self, points: Points) -> list[FloatArray]:
        which, back = np.unique(points, return_inverse=True)
        with open_layout(self._path, SCHEMA, VERSION) as file:
            stored = [require_dataset(file, f"sampled/{split}", (None,) * 3) for split in SAMPLED]
            return [found[:, which][:, back].astype(np.float64) for found in stored]

    def change(self, points: Points) -> FloatArray:
        with open_layout(self._path, SCHEMA, VERSION) as file:
            found: FloatArray = read_dataset(file, "change", (None, None))[points]
        return found
