"""What names, units and attributes tell of dimensions: the CF conventions, and habits beside them."""

from collections.abc import Mapping
from typing import Any

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS
from sparsevq.readers.stored import StoredArray

TRAJECTORY, TIME, CHANNEL, POINT = "trajectory", "time", "channel", "point"
ROLES = (TRAJECTORY, TIME, CHANNEL, POINT)
"""Meanings of a dimension that is no axis of the grid."""


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
    """What a dimension of this name is, if it is no axis."""
    return _ROLE_OF.get(name.lower())


def is_time(attributes: Mapping[str, Any], units: str) -> bool:
    """Whether a coordinate is of time (CF 4.4: by its units, its standard name or its axis)."""
    return attributes.get("axis") == "T" or attributes.get("standard_name") == "time" or " since " in units


def is_longitude(name: str, units: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a coordinate is a longitude, of the rotated kind too."""
    return _is_angle(name, units, attributes, LONGITUDE_UNITS, "longitude", ("lon", "longitude"))


def is_latitude(name: str, units: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a coordinate is a latitude, of the rotated kind too: circles of latitude shrink towards its poles."""
    return _is_angle(name, units, attributes, LATITUDE_UNITS, "latitude", ("lat", "latitude"))


def axis_units(name: str, units: str, attributes: Mapping[str, Any]) -> str:
    """Unit of an axis; of latitudes and longitudes the one by which they are known."""
    if is_latitude(name, units, attributes):
        return LATITUDE_UNITS[0]
    return LONGITUDE_UNITS[0] if is_longitude(name, units, attributes) else units


def is_place(array: StoredArray) -> bool:
    """Whether an array tells where things are along some direction in space."""
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
