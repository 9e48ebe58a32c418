"""The files of a proposal: a CSV file with the places, and a NetCDF file with the maps."""

import csv
import itertools
from pathlib import Path

import numpy as np
import xarray as xr

from sparsevq.data.field_data import FieldData
from sparsevq.evaluation.placing.proposal import Maps, Placed, Wanted
from sparsevq.forecasting.dataset.cf import attributes_of, axes_attributes
from sparsevq.forecasting.dataset.netcdf import CONVENTIONS
from sparsevq.runtime.files import written_whole
from sparsevq.version import VERSION


def write_places(path: str | Path, wanted: Wanted, placed: Placed) -> None:
    """Write the sensors that are there and those that are proposed, in their order: what ``placement: csv`` reads.

    Columns ``sensor, <axes...>, set, expected_error``: `set` is `existing` or `proposed`, `expected_error` that of the
    linear estimate with this sensor and those above it, as a share of the anomalies' standard deviation (empty for
    those that are there). If some do not read all channels, a column ``channels`` names those that each reads.
    """
    data, there = wanted.data, len(wanted.existing)
    points = np.concatenate([wanted.existing, placed.points])
    reads = np.concatenate([wanted.existing_reads, placed.reads])
    errors = np.sqrt(placed.expected / wanted.prior.value)
    partial = not reads.all()
    with written_whole(path) as part, open(part, "w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["sensor", *data.axes, "set", *(["channels"] if partial else []), "expected_error"])
        for sensor, place in enumerate(data.physical_coordinates[points].tolist()):
            read = ";".join(itertools.compress(data.channels, reads[sensor]))
            among = "existing" if sensor < there else "proposed"
            error = "" if sensor < there else f"{errors[sensor - there + 1]:.4g}"
            rows.writerow([sensor, *place, among, *([read] if partial else []), error])


def as_maps(data: FieldData, found: Maps, title: str) -> xr.Dataset:
    """The maps as a data set that follows the CF conventions.

    ``gain`` and ``gain_next``: share of the expected squared error that one more sensor at each point would take off,
    beside those that are there, and beside the proposed ones too; NaN where none can stand. ``<channel>_std`` and
    ``<channel>_std_of_error``: of the anomalies, and of the linear estimate's error with all sensors.
    """
    beside = "share of the expected squared error that one more sensor here would take off, beside"
    maps = {
        "gain": (found.gain_before, f"{beside} those that are there", "1"),
        "gain_next": (found.gain_after, f"{beside} the proposed ones too", "1"),
    }
    for column, (channel, unit) in enumerate(zip(data.channels, data.units, strict=True)):
        maps[f"{channel}_std"] = found.std[:, column], f"standard deviation of the anomalies of {channel}", unit
        left = f"expected standard deviation of the error of {channel}"
        maps[f"{channel}_std_of_error"] = found.std_after[:, column], left, unit
    space = ("point",) if data.scattered else tuple(data.axes)
    described = zip(data.axes.items(), axes_attributes(data), strict=True)
    return xr.Dataset(
        {name: (space, at.reshape(data.grid), attributes_of(what, unit)) for name, (at, what, unit) in maps.items()},
        {axis: (space if data.scattered else axis, at, attributes) for (axis, at), attributes in described},
        {"Conventions": CONVENTIONS, "title": title, "source": f"sparsevq {VERSION}"},
    )
