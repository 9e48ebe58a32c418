"""The user's sensors: a CSV file with the place of each, and the channels that it reads."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.sensors.space import Space
from sparsevq.sensors.tables.columns import Columns, Names, columns_of
from sparsevq.sensors.tables.table import Row, print_note, read_table

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def read_places(
    path: Path, data: FieldData, candidates: Indices, num_sensors: int | None, usual: Flags, merge: bool = False
) -> tuple[Indices, Flags]:
    """The grid points (n_s,) nearest to the places in a file, and the channels (n_s, C) that are read there.

    The file has one column for each axis and, if the sensors differ in what they read, ``channels``: names separated by
    semicolons; where it is empty, the sensor reads the `usual` ones (C,). Without `num_sensors` there may be any number
    of them; with `merge` several at one grid point are one.

    Raises
    ------
    SparseVQError
        The file is faulty, has another number of sensors, or a place is outside the domain, none of the candidates or
        there twice. The message names the line.
    """
    names = tuple(data.axes)
    expected = Names.of(names, (), ("channels",))
    table = read_table(path, expected, ",".join(names))
    columns = columns_of(table, expected, data.axis_units, print_note)
    if missing := [name for name in names if name not in columns]:
        raise table.fault(f"column {', '.join(missing)} missing", f"found are {', '.join(table.columns)}")
    given = np.array([[columns.number(row, axis) for axis in names] for row in table.rows])
    points = data.nearest(Space.of(data).inside(table, given, names, print_note))
    allowed = set(candidates.tolist())
    taken: dict[int, str] = {}
    reads = []
    for row, index in zip(table.rows, points.tolist(), strict=True):
        if index not in allowed:
            raise row.fault("is inside an obstacle of at least one trajectory", "move the sensor")
        if index in taken and merge:
            at = row.source.at(row.key)
            print_note(f"{path}, {at}: at the same grid point as {taken[index]}: not counted again")
            continue
        if index in taken:
            raise row.fault(f"is at the same grid point as {taken[index]}", "remove one of the two")
        taken[index] = row.source.at(row.key)
        reads.append(usual if columns.missing(row, "channels") else _channels(row, columns, data.channels))
    if num_sensors is not None and len(taken) != num_sensors:
        raise SparseVQError(
            f"{path} has {len(taken)} sensors but num_sensors is {num_sensors}", f"set num_sensors: [{len(taken)}]"
        )
    return np.array(list(taken), dtype=np.int64), np.array(reads)


def _channels(row: Row, columns: Columns, channels: tuple[str, ...]) -> Flags:
    """(C,) the channels that the line names."""
    named = [name.strip() for name in columns.text(row, "channels").split(";")]
    if unknown := [name for name in named if name not in channels]:
        raise row.fault(
            f"column channels: the data has no channel {unknown[0]!r}",
            f"name some of {', '.join(channels)}, separated by semicolons",
        )
    return np.isin(channels, named)
