"""What a dimension of a file is, by its coordinates and its name."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from sparsevq.readers.conventions import TIME, TRAJECTORY, is_place, is_time, role_by_name, said
from sparsevq.readers.opening.stored import Contents, StoredArray
from sparsevq.readers.units import unit_of
from sparsevq.runtime.hdf5 import Array

REFERENCE, LEAD = "reference time", "lead time"
"""When a forecast starts, and the time since then: roles of dimensions that become trajectories and time."""
EXPVER = "expver"
"""ECMWF's version of an experiment. In ERA5 1 is final and 5 preliminary: each has values where the other has none."""

_STANDARD = {"forecast_reference_time": REFERENCE, "forecast_period": LEAD, "realization": TRAJECTORY}
_WORDS = {
    REFERENCE: "init inits init_time inittime initial_time initial_time0_hours initialization initialization_time "
    "initialisation initialisation_time reference_time forecast_reference_time reftime ref_time forecast_date "
    "forecast_time0 hdate hindcast_date start start_date startdate sdate start_time issue_time base_time basetime "
    "analysis_time run_time runtime model_run",
    LEAD: "lead leads lead_time leadtime leadtimes lead_hour lead_day lead_month leadtime_month step steps "
    "forecast_hour forecast_hours forecast_period forecast_lead_time forecast_step forecast_offset forecast_month "
    "forecastmonth fhour fhr fxx ftime ltime tau prediction_timedelta",
    "axis": "lat latitude lats latitudes lon lons long longitude longitudes nlat nlon rlat rlon grid_latitude "
    "grid_longitude lev levs level levels nlev nlevels plev plevel pressure pressure_level isobaric isobaricinhpa "
    "hybrid heightaboveground depthbelowland depth deptht height altitude bottom_top south_north west_east row rows "
    "col cols nvertlevels nvertlevelsp1 nsoillevels soil_layers easting northing i j k ni nj nk r radius theta phi xi "
    "eta sigma",
    "bounds": "bnds nbnds nbnd bounds bnd nv nb2 vertices nvertex vertex ntb tbnds axis_nbounds hist_interval",
    "no place": "wavelength radiation_wavelength diameter wavenumber frequency",
}
_KNOWN = {kind: frozenset(names.split()) for kind, names in _WORDS.items()}
_AXIS = re.compile(
    r"(n|grid_|projection_)?[xyz]([_-]?(dim|axis|coord|coordinate|coordinates|grid|index|c|h|q|t|u|v|w|f|rho|psi|stag|\d))?$"
    r"|(xi|eta|s)_(rho|psi|u|v|w)$|(bottom_top|south_north|west_east)_stag$|[xyz]t?_?ocean$",
    re.IGNORECASE,
)
FIRST_VALUES = 4


def base_of(name: str) -> str:
    """The name of a dimension or an array without that of its group."""
    return name.rsplit("/", 1)[-1]


def meaning(contents: Contents, name: str, axes: Iterable[str] = ()) -> str | None:
    """What the dimension `name` is.

    Parameters
    ----------
    contents
        The file.
    name
        The dimension, as the file calls it.
    axes
        Axes that the user named.

    Returns
    -------
    str | None
        A role (`sparsevq.readers.conventions.ROLES`), `REFERENCE`, `LEAD`, `EXPVER`, or the name of an axis; None:
        nothing explains it.
    """
    base = base_of(name)
    if base in axes or name in axes:
        return base
    coordinate = coordinate_of(contents, name)
    about = _by_coordinate(contents, name, coordinate)
    if about is not None:
        return about
    lower = base.lower()
    if lower == EXPVER:
        return EXPVER
    by_name = role_by_name(base)
    if by_name is not None:
        return by_name
    if lower in _KNOWN[LEAD]:
        return LEAD
    if lower in _KNOWN[REFERENCE]:
        return REFERENCE
    return base if lower in _KNOWN["axis"] or _AXIS.match(base) or _has_places(contents, name) else None


def _by_coordinate(contents: Contents, name: str, coordinate: StoredArray | None) -> str | None:
    """By the coordinate of a dimension, or by others along it."""
    base = base_of(name)
    if coordinate is None:
        along = [array for array in contents.arrays.values() if array.dimensions == (name,)]
        standard = [_STANDARD[each] for each in map(_standard_name, along) if each in _STANDARD]
        if any(is_time({**array.attributes, "axis": ""}, array.units) for array in along if not _is_start(array)):
            return TIME  # a time without the name of its dimension
        return standard[0] if standard else None
    if _standard_name(coordinate) in _STANDARD:
        return _STANDARD[_standard_name(coordinate)]
    if is_time(coordinate.attributes, coordinate.units):
        return REFERENCE if base.lower() in _KNOWN[REFERENCE] else TIME
    return base if role_by_name(base) is None and _is_axis(coordinate) else None


def plain_roles(roles: Sequence[str]) -> list[str]:
    """Roles as a user writes them: starts of forecasts are trajectories, lead times their time."""
    lead = LEAD in roles
    words = {LEAD: TIME, REFERENCE: TRAJECTORY if lead or TIME in roles else TIME}
    return [TRAJECTORY if lead and role == TIME else words.get(role, role) for role in roles]


def coordinate_of(contents: Contents, name: str) -> StoredArray | None:
    """The coordinate variable of a dimension: the array of its name along it."""
    array = contents.arrays.get(name)
    return array if array is not None and array.dimensions == (name,) else None


def is_of_bounds(name: str) -> bool:
    """Whether a dimension runs over the bounds of cells: its arrays are no fields."""
    return base_of(name).lower() in _KNOWN["bounds"]


def values_of(contents: Contents, name: str, most: int | None = None) -> Array | None:
    """Coordinates of a dimension, or the first of them; None: there are none."""
    array = coordinate_of(contents, name)
    if array is None:
        return None
    size = array.shape[0] if most is None else min(most, array.shape[0])
    return np.asarray(array.read((slice(0, size),)))


def shown(value: object) -> str:
    """A coordinate, for messages."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def first_values(contents: Contents, name: str, size: int) -> str:
    """The first coordinates of a dimension in words."""
    values = values_of(contents, name, FIRST_VALUES)
    if values is None:
        return "without coordinates"
    return ", ".join(map(shown, values)) + (", ..." if size > len(values) else "")


def _standard_name(array: StoredArray) -> str:
    return said(array.attributes, "standard_name")


def _is_start(array: StoredArray) -> bool:
    """Whether an array is the time at which each forecast starts."""
    return _standard_name(array) == "forecast_reference_time"


def _is_axis(coordinate: StoredArray) -> bool:
    """Whether a coordinate is a place: by its units, its standard name, its axis or its name."""
    if base_of(coordinate.name).lower() in _KNOWN["no place"] or _standard_name(coordinate) in _KNOWN["no place"]:
        return False
    unit = unit_of(coordinate.units)
    return coordinate.is_number and (is_place(coordinate) or unit is not None)


def _has_places(contents: Contents, name: str) -> bool:
    """Whether coordinates in space, such as two-dimensional latitudes, run along a dimension."""
    return any(
        name in array.dimensions and array.is_number and is_place(array)
        for array in contents.arrays.values()
        if array.name not in contents.fields or len(array.dimensions) < 3
    )
