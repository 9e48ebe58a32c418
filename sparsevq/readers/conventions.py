"""Roles of dimensions by their names, units and attributes: the CF conventions, and common names."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsevq.readers.dates.date_numbers import counts_dates
from sparsevq.readers.opening.attributes import text_of
from sparsevq.readers.opening.stored import StoredArray
from sparsevq.readers.units import ANGLE, LATITUDE, LENGTH, LONGITUDE, PRESSURE, unit_of, unitless

TRAJECTORY, TIME, CHANNEL, POINT = "trajectory", "time", "channel", "point"
ROLES = (TRAJECTORY, TIME, CHANNEL, POINT)
"""Roles of a dimension that is not an axis of the grid."""

_NAMES = {
    TRAJECTORY: "trajectory trajectories member members realization realisation ensemble ens number sample samples "
    "case cases run runs batch simulation simulations ensemble_member ensemble_members ens_member ensemble_number "
    "perturbation_number perturbationnumber",
    TIME: "time times t frame frames",
    CHANNEL: "channel channels component components variable variables",
    POINT: "point points node nodes cell cells ncells ncol station stations site sites",
}
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names.split()}
_OF_CELLS = r"(?:_?(?:rho|psi|u|v|t|f|m|c|0|grid|cell|node|2d))?"
_ANGLE_NAMES = {
    LATITUDE: re.compile(rf"(?:nav_|grid_|geo|[xcevturgy])?lat(?:itude)?s?{_OF_CELLS}|gphi[tuvf]"),
    LONGITUDE: re.compile(rf"(?:nav_|grid_|geo|[xcevturgy])?lon(?:g(?:itude)?)?s?{_OF_CELLS}|glam[tuvf]"),
}
"""Names of latitudes and longitudes in the output of common models (ICON, MPAS, NEMO, POP, ROMS, WRF)."""
_LONG_NAME = re.compile(r"(?:geographic(?:al)? |cell |center |centre )*(latitude|longitude)\b")
_VERTICAL = ("z", "depth", "height", "altitude", "level", "lev", "plev")
_BOUNDS = re.compile(r"(?:.*_)?(?:bnds|bounds|vertices|vertex|corners?|edges)")


def role_by_name(name: str) -> str | None:
    """Role of a dimension of this name; None for an axis."""
    return _ROLE_OF.get(name.lower())


def said(attributes: Mapping[str, Any], name: str) -> str:
    """An attribute as text; empty where there is none, or one that is no text."""
    return text_of(attributes.get(name, "")).strip()


def short(name: str) -> str:
    """The name of an array without its group, in lower case."""
    return name.rsplit("/", 1)[-1].lower()


def is_time(attributes: Mapping[str, Any], units: str) -> bool:
    """Whether a coordinate is a time (CF 4.4: by its units, its standard name or its axis)."""
    return said(attributes, "axis") == "T" or said(attributes, "standard_name") == "time" or counts_dates(units)


def kind_of_angle(name: str, units: str, attributes: Mapping[str, Any]) -> str:
    """`LATITUDE`, `LONGITUDE` (of a rotated grid too, whose cells shrink towards its poles), or empty for any other.

    The unit goes before the names: what is measured in metres is not a latitude, whatever it is called.
    """
    unit = unit_of(units)
    if unit is not None and unit.kind != ANGLE:
        return unit.kind if unit.kind in (LATITUDE, LONGITUDE) else ""
    standard = said(attributes, "standard_name").lower()
    if standard:
        word = standard.removeprefix("grid_")
        return word if word in (LATITUDE, LONGITUDE) else ""
    if unit is None and not unitless(units):
        return ""
    found = _LONG_NAME.match(said(attributes, "long_name").lower())
    if found:
        return found[1]
    return next((kind for kind, names in _ANGLE_NAMES.items() if names.fullmatch(short(name))), "")


def is_vertical(array: StoredArray) -> bool:
    """Whether an array is a height, a depth or a level."""
    attributes = array.attributes
    return (
        said(attributes, "axis") == "Z"
        or "positive" in attributes
        or (short(array.name) in _VERTICAL and _of_place(array))
    )


def is_place(array: StoredArray) -> bool:
    """Whether an array is a coordinate in space."""
    attributes = array.attributes
    return (
        bool(kind_of_angle(array.name, array.units, attributes))
        or said(attributes, "axis") in ("X", "Y")
        or said(attributes, "standard_name").startswith("projection_")
        or (short(array.name) in ("x", "y") and _of_place(array))
        or is_vertical(array)
    )


def is_bounds(array: StoredArray) -> bool:
    """Whether an array, by its name, has the edges of cells, which are no points."""
    return _BOUNDS.fullmatch(short(array.name)) is not None


def is_index(at: Any, units: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a coordinate only counts points (87, 88, 89, or 0, 10, 20), so that any other is better."""
    if not unitless(units) or said(attributes, "standard_name").startswith(("projection_", "grid_l")):
        return False
    if not np.isfinite(at).all():
        return False
    steps = np.diff(at)
    even = len(at) > 1 and steps[0] != 0 and (steps == steps[0]).all()
    return bool(even and (abs(steps[0]) == 1 or (at == np.rint(at)).all()))


def _of_place(array: StoredArray) -> bool:
    """Whether a unit is one of a place (the geopotential, in m2 s-2, is called z too)."""
    unit = unit_of(array.units)
    return unitless(array.units) if unit is None else unit.kind in (LENGTH, PRESSURE, ANGLE)
