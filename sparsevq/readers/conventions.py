"""Roles of dimensions by their names, units and attributes: the CF conventions, and common names."""

from collections.abc import Mapping
from typing import Any

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS
from sparsevq.readers.stored import StoredArray

TRAJECTORY, TIME, CHANNEL, POINT = "trajectory", "time", "channel", "point"
ROLES = (TRAJECTORY, TIME, CHANNEL, POINT)
"""Roles of a dimension that is not an axis of the grid."""

_NAMES = {
    TRAJECTORY: "trajectory trajectories member members realization realisation ensemble ens number sample samples "
    "case cases run runs batch simulation",
    TIME: "time times t frame frames",
    CHANNEL: "channel channels component components variable variables",
    POINT: "point points node nodes cell cells ncells ncol station stations site sites",
}
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names.split()}
_DEGREES = ("", "degree", "degrees", "deg")


def role_by_name(name: str) -> str | None:
    """Role of a dimension of this name; None for an axis."""
    return _ROLE_OF.get(name.lower())


def is_time(attributes: Mapping[str, Any], units: str) -> bool:
    """Whether a coordinate is a time (CF 4.4: by its units, its standard name or its axis)."""
    return attributes.get("axis") == "T" or attributes.get("standard_name") == "time" or " since " in units


def is_longitude(name: str, units: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a coordinate is a longitude, possibly of a rotated grid."""
    return _is_angle(name, units, attributes, LONGITUDE_UNITS, "longitude", ("lon", "longitude"))


def is_latitude(name: str, units: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a coordinate is a latitude, possibly of a rotated grid (whose cells shrink towards its poles too)."""
    return _is_angle(name, units, attributes, LATITUDE_UNITS, "latitude", ("lat", "latitude"))


def axis_units(name: str, units: str, attributes: Mapping[str, Any]) -> str:
    """Unit of an axis; of latitudes and longitudes the CF one."""
    if is_latitude(name, units, attributes):
        return LATITUDE_UNITS[0]
    return LONGITUDE_UNITS[0] if is_longitude(name, units, attributes) else units


def is_place(array: StoredArray) -> bool:
    """Whether an array is a coordinate in space."""
    attributes = array.attributes
    named = array.name.lower() in ("x", "y", "z", "depth", "height", "altitude", "level")
    return (
        is_latitude(array.name, array.units, attributes)
        or is_longitude(array.name, array.units, attributes)
        or attributes.get("axis") in ("X", "Y", "Z")
        or str(attributes.get("standard_name", "")).startswith("projection_")
        or "positive" in attributes
        or named
    )


def _is_angle(
    name: str, units: str, attributes: Mapping[str, Any], known: tuple[str, ...], word: str, names: tuple[str, ...]
) -> bool:
    standard = attributes.get("standard_name", "")
    return units in known or standard in (word, f"grid_{word}") or (name.lower() in names and units in _DEGREES)
