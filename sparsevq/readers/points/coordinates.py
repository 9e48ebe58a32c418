"""Coordinates as they are read: their values, units and names; units are converted here, and it is said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import kind_of_angle
from sparsevq.readers.opening.attributes import text_of
from sparsevq.readers.opening.stored import StoredArray, check_bounds, reading, whole
from sparsevq.readers.units import LATITUDE, LENGTH, unit_of, unitless

DEGREES = {LATITUDE: LATITUDE_UNITS[0], "longitude": LONGITUDE_UNITS[0]}
NAMES = ("long_name", "standard_name", "positive", "axis")
"""Attributes that come along into results."""
ROUNDING = 8
"""Units in the last place within which two stored coordinates are equal."""
POLE = 1e-3
"""Degrees beyond a pole that are taken for rounding."""
TURNS = 720.0
"""Degrees that no longitude reaches."""
MOST_OF = 0.75
"""Share of the sphere that coordinates without a unit must span to be radians beyond doubt."""
BLOCK = 2**26
"""Bytes of coordinates that are compared at a time."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Coordinate:
    """Coordinates along one axis.

    Attributes
    ----------
    name
        Of the array that they come from.
    at
        Of each point, in `unit`; NaN where there is none.
    unit, kind
        As in the file until `converted`; `LATITUDE`, `LONGITUDE` or empty.
    rounding
        How far apart two equal ones may be, by the precision in which they are stored.
    given
        The configuration gives the unit.
    about
        `NAMES` of the file.
    """

    name: str
    at: Floats
    unit: str
    kind: str
    rounding: float = 0.0
    given: bool = False
    about: Mapping[str, str] = field(default_factory=dict)


def coordinate(array: StoredArray, at: Floats, unit: str | None) -> Coordinate:
    """What was read of an array as a coordinate; `unit` is the configuration's, None: the file's."""
    known = array.units if unit is None else unit
    kind, about = kind_of_angle(array.name, known, array.attributes), names_of(array.attributes)
    if not kind and about.get("standard_name", "").removeprefix("grid_") in DEGREES:
        del about["standard_name"]  # a length, for instance
    largest = float(np.abs(at[np.isfinite(at)]).max(initial=0))
    precision = float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0
    return Coordinate(
        name=array.name,
        at=at,
        unit=known,
        kind=kind,
        rounding=ROUNDING * precision * largest,
        given=unit is not None,
        about=about,
    )


def names_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """`long_name`, `standard_name` and the like, where there are any."""
    found = {name: " ".join(text_of(attributes[name]).split()) for name in NAMES if name in attributes}
    return {name: text for name, text in found.items() if text}


def fixed_values(path: Path, array: StoredArray, others: Iterable[str]) -> tuple[Floats, tuple[str, ...]]:
    """All of a coordinate, and its dimensions; those that are no space (WRF writes places for each time) are dropped.

    Parameters
    ----------
    path
        The file.
    array
        The coordinate.
    others
        Names of the dimensions that are no space.

    Raises
    ------
    SparseVQError
        The places change along one of `others`.
    """
    dropped = [index for index, name in enumerate(array.dimensions) if name in set(others)]
    if not dropped:
        return whole(path, array), array.dimensions
    check_bounds(path, array)
    along, rest = dropped[0], [slice(0, size) for size in array.shape]
    left = tuple(name for index, name in enumerate(array.dimensions) if index not in dropped)
    first = array.read(tuple(slice(0, 1) if index in dropped else part for index, part in enumerate(rest)))
    close = ROUNDING * (float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0)
    step = max(BLOCK * array.shape[along] // max(array.nbytes, 1), 1)
    for start in range(0, array.shape[along], step):
        rest[along] = slice(start, min(start + step, array.shape[along]))
        with reading(path, "data"):
            block = array.read(tuple(rest))
        moved = ~np.isclose(block, first, rtol=close, atol=0, equal_nan=True)
        if moved.any():
            frame = start + int(np.argwhere(moved)[0][along])
            raise SparseVQError(
                f"{path}: the coordinates {array.name} move: number {frame} along {array.dimensions[along]} differs "
                "from the first",
                "interpolate the fields to fixed points, or name fixed coordinates by `coordinates`",
            )
    return first.reshape([array.shape[array.dimensions.index(name)] for name in left]).astype(np.float64), left


def converted(path: Path, found: Mapping[str, Coordinate]) -> tuple[dict[str, Coordinate], list[str]]:
    """Coordinates by axis in the units in which they are kept, and what is to be said of it.

    Latitudes and longitudes in degrees north and east; lengths that are in different units in metres.

    Raises
    ------
    SparseVQError
        A latitude has a unit that is no angle, or is beyond a pole; or there is no unit, and it could be two.
    """
    messages: list[str] = []
    angles = {axis: each for axis, each in found.items() if each.kind}
    radians = _without_unit_in_radians(path, angles)
    out = dict(found)
    for axis, each in angles.items():
        degrees = DEGREES[each.kind]
        if unitless(each.unit):
            size, was = (180 / np.pi, "radians without a unit (by their range)") if radians else (1.0, "")
        else:
            unit = unit_of(each.unit)
            if unit is None:
                raise SparseVQError(
                    f"{path}: {each.name} is a {each.kind} in {each.unit}, which is no unit of an angle",
                    f"give `units: {{{axis}: {degrees}}}`, or radians",
                )
            size, was = unit.size, each.unit
        out[axis] = replace(each, at=each.at * size, rounding=each.rounding * abs(size), unit=degrees)
        if size != 1:
            messages.append(f"{each.name} in {was}: converted to {degrees}")
        out[axis] = _on_the_sphere(path, axis, out[axis], each)
    messages += _said_of_degrees(angles)
    messages += [
        f"{each.name} is in {each.unit}: it is no {name}, whatever it is called"
        for each in found.values()
        if each.unit and (name := kind_of_angle(each.name, "", {})) and name != each.kind
    ]
    messages += _one_length(out)
    return out, messages


def _without_unit_in_radians(path: Path, angles: Mapping[str, Coordinate]) -> bool:
    """Whether latitudes and longitudes without units are radians: they span the sphere, but no more than it has.

    Raises
    ------
    SparseVQError
        They may as well be degrees.
    """
    bare = {axis: each for axis, each in angles.items() if unitless(each.unit) and np.isfinite(each.at).any()}
    if not bare:
        return False
    spans = []
    for each in bare.values():
        low, high, half = np.nanmin(each.at), np.nanmax(each.at), np.pi / 2 if each.kind == LATITUDE else np.pi
        margin = 1e-5 * half
        if low < -half - margin or high > (half if each.kind == LATITUDE else 2 * np.pi) + margin:
            return False
        spans.append((high - low) / (2 * half))
    if max(spans) > MOST_OF:
        return True
    each = next(iter(bare.values()))
    units = ", ".join(f"{axis}: {DEGREES[one.kind]}" for axis, one in bare.items())
    reach = f"{np.nanmin(each.at):.4g} to {np.nanmax(each.at):.4g}"
    raise SparseVQError(
        f"{path}: {each.name} has no unit, and {reach} may be degrees or radians",
        f"write `units: {{{units}}}`, or radians",
    )


def _on_the_sphere(path: Path, axis: str, angle: Coordinate, was: Coordinate) -> Coordinate:
    """A latitude or longitude in degrees; one that rounding puts beyond a pole is at the pole."""
    most = 90.0 + POLE if angle.kind == LATITUDE else TURNS
    beyond = np.abs(angle.at) > most
    if beyond.any():
        values = np.unique(was.at[beyond])
        unit = f" in {was.unit}" if was.unit else ""
        raise SparseVQError(
            f"{path}: {angle.name} is a {angle.kind}{unit}, but {int(beyond.sum())} of its values are beyond "
            f"{most:.0f} degrees, such as {values[0]:g}",
            _way_back(axis, angle, values),
        )
    return replace(angle, at=np.clip(angle.at, -90, 90)) if angle.kind == LATITUDE else angle


def _way_back(axis: str, angle: Coordinate, values: Floats) -> str:
    """What to do about values that are not on the sphere."""
    if len(values) == 1:
        mark = f"if {values[0]:g} marks points without a place, write `missing: [{values[0]:g}]`; "
    else:
        mark = ""
    if angle.kind == LATITUDE and 0 <= np.nanmin(angle.at) <= np.nanmax(angle.at) <= 180:
        mark += "if it is a colatitude, write 90 minus it into the file; "
    other = "degrees_east" if angle.kind == LATITUDE and np.nanmax(np.abs(angle.at)) <= TURNS else "m"
    return f"{mark}if it is no {angle.kind}, give its unit, for instance `units: {{{axis}: {other}}}`"


def _said_of_degrees(angles: Mapping[str, Coordinate]) -> list[str]:
    """A line if degrees look like radians: they span as much as the sphere has of these."""
    likely = []
    for each in angles.values():
        unit, at = unit_of(each.unit), each.at[np.isfinite(each.at)]
        half = np.pi / 2 if each.kind == LATITUDE else np.pi
        inside = len(at) and at.min() >= -half and at.max() <= (half if each.kind == LATITUDE else 2 * np.pi)
        likely.append(bool(unit and unit.size == 1 and inside and np.ptp(at) > MOST_OF * 2 * half))
    if len(likely) < 2 or not all(likely):
        return []
    units = ", ".join(f"{axis}: radians" for axis in angles)
    return [f"{' and '.join(angles)} are small for degrees: if they are radians, write `units: {{{units}}}`"]


def _one_length(found: dict[str, Coordinate]) -> list[str]:
    """Convert lengths in different units to metres, unless the configuration gives one; what is to be said."""
    lengths = {axis: unit for axis, each in found.items() if (unit := unit_of(each.unit)) and unit.kind == LENGTH}
    if len({unit.size for unit in lengths.values()}) < 2 or any(found[axis].given for axis in lengths):
        return []
    messages = []
    for axis, unit in lengths.items():
        each = found[axis]
        found[axis] = replace(each, at=each.at * unit.size, rounding=each.rounding * unit.size, unit="m")
        if unit.size != 1:
            messages.append(f"{each.name} in {each.unit}: converted to m")
    return messages
