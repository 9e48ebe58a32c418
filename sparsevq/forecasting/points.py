"""Places at which a forecast is asked for: arrays, tables and files of coordinates, checked against the domain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.data.units import Conversion
from sparsevq.errors import SparseVQError
from sparsevq.sensors.space import Space
from sparsevq.sensors.tables.columns import Names, columns_of
from sparsevq.sensors.tables.observations import table_of_file
from sparsevq.sensors.tables.source import Indexed
from sparsevq.sensors.tables.table import Row, Table, print_note

FloatArray = npt.NDArray[np.float64]

SOURCE = Indexed("points")


@dataclass(frozen=True, eq=False)
class Points:
    """Places ``(p, d)`` in the axes' units: as they were asked for, and where that is in the domain.

    The two differ where an axis is periodic: 330 degrees east is 30 west.
    """

    given: FloatArray
    places: FloatArray


def read_points(points: Any, data: FieldData) -> Points:
    """Places at which fields are asked for.

    Parameters
    ----------
    points
        An array ``(p, d)``, its columns in the order of the axes; or columns that are named as the axes are, with their
        unit if it is another (``x [km]``): a table (pandas), a mapping, an `xarray.Dataset` (of coordinates that have
        dimensions of their own, all combinations), or a CSV or Excel file.
    data
        Its axes, and where it is.

    Raises
    ------
    SparseVQError
        There are none, a column is missing, or a place is no number or outside the domain.
    """
    axes = tuple(data.axes)
    if isinstance(points, str | Path):
        names = Names.of(axes, (), (), data.axis_about)
        table = table_of_file(str(points), names, ",".join(axes))
        columns = columns_of(table, names, data.axis_units, print_note)
        _require(table, axes, columns.titles)
        given = np.array([[columns.number(row, axis) for axis in axes] for row in table.rows])
    else:
        table, given = _of_arrays(points, data)
    places = Space.of(data).inside(table, given, axes, print_note)
    inside = int((~data.learned[data.nearest(places)]).sum())
    if inside:
        print_note(f"{table.name}: {inside} of {len(places)} places are inside an obstacle, where forecasts are NaN")
    return Points(given, places)


def _of_arrays(points: Any, data: FieldData) -> tuple[Table, FloatArray]:
    """Places (p, d), and a table whose rows say which of them is at fault."""
    axes = tuple(data.axes)
    if not (isinstance(points, Mapping) or hasattr(points, "columns") or hasattr(points, "data_vars")):
        try:
            if np.iscomplexobj(points):
                raise TypeError("they are complex")
            given = np.asarray(points, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise SparseVQError(f"points are no numbers: {error}", f"give an array (points, {len(axes)})") from None
        if given.ndim != 2 or given.shape[1] != len(axes) or not len(given):
            what = f"points have the shape {given.shape}, but places of {', '.join(axes)} have (points, {len(axes)})"
            raise SparseVQError(what, "give a row for each place")
        table = Table(SOURCE, None, axes, _Places(len(given)))
    else:
        columns, units = _columns_of(points, data)
        names = Names.of(axes, (), (), data.axis_about)
        table = Table(SOURCE, None, tuple(columns), (), units)
        found = columns_of(table, names, data.axis_units, print_note)
        _require(table, axes, found.titles)
        parts = [_numbers(columns[found.titles[axis]], axis) for axis in axes]
        if len({len(part) for part in parts}) > 1:
            sizes = ", ".join(f"{axis}: {len(part)}" for axis, part in zip(axes, parts, strict=True))
            raise SparseVQError(f"points have coordinates of several lengths ({sizes})", "give one of each for a place")
        if not len(parts[0]):
            raise SparseVQError("points has no place", "give at least one")
        converted = [found.conversions.get(axis, Conversion()) for axis in axes]
        parts = [part * each.scale + each.offset for part, each in zip(parts, converted, strict=True)]
        given = np.stack(parts, axis=-1)
        table = Table(SOURCE, None, tuple(columns), _Places(len(given)), units)
    if len(faulty := np.flatnonzero(~np.isfinite(given).all(axis=1))):
        raise table.rows[int(faulty[0])].fault("a coordinate is not finite", "leave this place out")
    return table, given


def _columns_of(points: Any, data: FieldData) -> tuple[dict[str, Any], dict[str, str]]:
    """Title -> values, and the units that titles do not say."""
    if hasattr(points, "data_vars"):  # xarray
        names = Names.of(tuple(data.axes), (), (), data.axis_about)
        variables = {str(name): points[name] for name in points.variables if names(str(name))}
        units = {name: str(found.attrs["units"]) for name, found in variables.items() if found.attrs.get("units")}
        import xarray as xr

        spread = xr.broadcast(*(found.reset_coords(drop=True) for found in variables.values())) if variables else ()
        return {name: found.to_numpy().ravel() for name, found in zip(variables, spread, strict=True)}, units
    if isinstance(points, Mapping):
        return {str(name): np.atleast_1d(values) for name, values in points.items()}, {}
    return {str(name): points[name].to_numpy() for name in points.columns}, {}


def _numbers(values: Any, axis: str) -> FloatArray:
    try:
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise SparseVQError(f"points: {axis} holds what is no number: {error}", "give numbers") from None


def _require(table: Table, axes: tuple[str, ...], titles: Mapping[str, str]) -> None:
    missing = [axis for axis in axes if axis not in titles]
    if missing:
        found = ", ".join(filter(None, table.columns)) or "none"
        what = f"{table.name}: no column has {' and '.join(missing)} of the places"
        raise SparseVQError(what, f"give the columns {', '.join(axes)}; found are {found}")


class _Places(Sequence[Row]):
    """As many, made when one is at fault: there may be millions."""

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return Row(SOURCE, int(index), {})
