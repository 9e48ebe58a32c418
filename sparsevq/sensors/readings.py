"""The user's readings: a CSV file with the values that sensors measured in one frame."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.sensors.table import Row, Table, read_table

FloatArray = npt.NDArray[np.float64]
InObstacle = Callable[[FloatArray], bool]


def read_readings(
    csv: str | Path,
    axes: tuple[str, ...],
    channels: tuple[str, ...],
    *,
    sensors: FloatArray | None = None,
    domain: Mapping[str, tuple[float, float]] | None = None,
    in_obstacle: InObstacle | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Read the values that sensors measured in one frame.

    The file has one line for each sensor, and the columns

    - ``sensor`` (a number of ``sensors.csv``), or one column for each axis with the coordinate of the sensor,
    - and one column for each channel with the measured value, in the channel's physical unit.

    Parameters
    ----------
    csv
        The file.
    axes, channels
        Names of the data's axes and channels.
    sensors
        ``(n_s, d)`` coordinates of the sensors, which a ``sensor`` column numbers from 0; None: no such column.
    domain
        Axis -> valid coordinates (`FieldData.domain`); None: any.
    in_obstacle
        Whether a place ``(d,)`` is inside an obstacle; see `obstacle_test`.

    Returns
    -------
    coordinates, values
        ``(n, d)`` in the axes' units and ``(n, C)`` in the channels' units, in the file's order.

    Raises
    ------
    SparseVQError
        A column is unknown or missing; a cell is no finite number; a sensor is unknown or a place is outside the
        domain, inside an obstacle or there twice; or the file is empty. The message names the line and the column.
    """
    table = read_table(csv)
    by_number = "sensor" in table.columns
    _check_columns(table, axes, channels, by_number, sensors)
    places, values = [], []
    seen: dict[tuple[float, ...], int] = {}
    for row in table.rows:
        if by_number:
            assert sensors is not None, "checked with the columns"
            place = tuple(sensors[_sensor_number(row, len(sensors))].tolist())
        else:
            place = tuple(row.number(axis) for axis in axes)
            for axis, coordinate in zip(axes, place, strict=True):
                if domain is not None:
                    row.within(axis, coordinate, *domain[axis])
        if place in seen:
            what = f"column sensor: {row.cells['sensor']}" if by_number else f"the place {_shown(axes, place)}"
            raise row.fault(f"{what} is on line {seen[place]} already", "keep one reading for each sensor")
        seen[place] = row.line
        if in_obstacle is not None and in_obstacle(np.array(place)):
            raise row.fault(f"{_shown(axes, place)} is inside an obstacle", "leave this sensor out")
        places.append(place)
        values.append([row.number(channel) for channel in channels])
    return np.array(places, dtype=np.float64), np.array(values, dtype=np.float64)


def obstacle_test(data: FieldData) -> InObstacle:
    """A test whether a place is inside an obstacle: its nearest point is valid in no training trajectory."""
    ever = data.flat_mask[data.split == "train"].any(axis=0)  # (N,)

    def in_obstacle(place: FloatArray) -> bool:
        return not ever[data.nearest(place[None])[0]]

    return in_obstacle


def _check_columns(
    table: Table, axes: tuple[str, ...], channels: tuple[str, ...], by_number: bool, sensors: FloatArray | None
) -> None:
    for column in table.columns:
        if column.lower() in ("time", "frame") and column not in (*axes, *channels):
            raise SparseVQError(
                f"{table.path}, line 1: column {column!r} is not supported: readings are of one frame",
                "give one file a frame, without that column",
            )
    if by_number and sensors is None:
        raise SparseVQError(
            f"{table.path}, line 1: column 'sensor' needs the sensors' places, which are not known here",
            f"give the columns {', '.join(axes)} instead",
        )
    wanted = (("sensor",) if by_number else axes) + channels
    if by_number and (both := [axis for axis in axes if axis in table.columns]):
        raise SparseVQError(
            f"{table.path}, line 1: both 'sensor' and {', '.join(both)} tell where a sensor is", "keep one of the two"
        )
    if not by_number and not any(axis in table.columns for axis in axes):
        raise SparseVQError(
            f"{table.path}, line 1: no column tells where the sensors are",
            f"add the columns {', '.join(axes)}" + ("" if sensors is None else ", or a column sensor"),
        )
    table.require(wanted)


def _sensor_number(row: Row, count: int) -> int:
    number = row.number("sensor")
    if number != int(number) or not 0 <= number < count:
        raise row.fault(f"column sensor: there is no sensor {row.cells['sensor']}", f"use 0 ... {count - 1}")
    return int(number)


def _shown(axes: tuple[str, ...], place: tuple[float, ...]) -> str:
    return ", ".join(f"{axis}={coordinate:g}" for axis, coordinate in zip(axes, place, strict=True))
