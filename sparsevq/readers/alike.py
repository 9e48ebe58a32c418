"""Whether the fields of two files are the same quantities on the same points, as precisely as the files say it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import LONGITUDE_UNITS
from sparsevq.data.source import Source
from sparsevq.data.units import same_unit
from sparsevq.errors import SparseVQError
from sparsevq.readers.dates.clock import Timed
from sparsevq.readers.units import unit_of

CLOSE = 1e-3
"""Tolerance for coordinates of one grid in several files, as a fraction of the spacing."""
WIDEST = 0.05
"""The same, where single precision or the decimals of the coordinates are coarser than that."""
CONVERT = "convert or interpolate it, or leave it out"

Floats = npt.NDArray[np.float64]


def on_the_points_of(first: Timed, parts: Sequence[Timed]) -> list[Timed]:
    """Files with the channels and points of the first.

    Axes in another unit of the same kind (hPa and Pa) are converted, longitudes that count from another meridian are
    turned; both are printed.

    Raises
    ------
    SparseVQError
        A file has other channels, units or points than the first; the message names it and both values.
    """
    turned: list[tuple[Timed, float]] = []
    converted: dict[str, Timed] = {}
    fitted = [_turned(first, _in_units_of(first, part, converted), turned) for part in parts]
    for message, part in converted.items():
        print(f"{part.path}: {message}, as in {first.path}", flush=True)
    if turned:
        part, begin = turned[0]
        more = f" and {len(turned) - 1} more" if len(turned) > 1 else ""
        print(
            f"longitudes of {part.path}{more} begin at another meridian ({begin:g}) than those of {first.path}: "
            "they are turned to fit",
            flush=True,
        )
    for part in fitted:
        _same_fields(first, part)
    return fitted


def differ(part: Timed, first: Timed, what: str, here: str, there: str, do: str = CONVERT) -> NoReturn:
    """Raise the error that names two files and what differs."""
    raise SparseVQError(
        f"{part.path} and {first.path} do not go together: {what} {here} and {there}",
        do,
    )


def _same_fields(first: Timed, part: Timed) -> None:
    one, other = first.source, part.source
    if one.channels != other.channels:
        several = not set(one.channels) & set(other.channels)
        do = "if they are of the same times, merge them first (cdo merge, or xarray.merge)" if several else CONVERT
        differ(part, first, "channels", ", ".join(other.channels), ", ".join(one.channels), do)
    for channel, unit, wanted in zip(one.channels, other.units, one.units, strict=True):
        if not same_unit(unit, wanted):
            differ(part, first, f"{channel} in", unit or "no unit", wanted or "no unit")
    if list(one.axes) != list(other.axes) or one.scattered != other.scattered:
        differ(part, first, "axes", ", ".join(other.axes), ", ".join(one.axes))
    if one.grid != other.grid:
        differ(part, first, "a grid of", *(" x ".join(map(str, source.grid)) for source in (other, one)))
    for axis, at in one.axes.items():
        units = [source.axis_units.get(axis, "") for source in (other, one)]
        if not same_unit(*units):
            differ(part, first, f"{axis} in", *units)
        here = other.axes[axis]
        point = _first_apart(at, here, here - at, one)
        if point is not None:
            differ(part, first, f"point {point} of {axis} at", f"{here[point]:.9g}", f"{at[point]:.9g}")


def _first_apart(at: Floats, here: Floats, apart: Floats, source: Source) -> int | None:
    """The point that is farthest beyond its tolerance; None if all coordinates are the same.

    Files have coordinates in single or double precision, and rounded to some decimals: they are the same if they differ
    by less than that, and by less than `WIDEST` of the spacing.
    """
    spacing = _spacing(at, source)
    largest = float(np.abs(at).max(initial=0.0))
    single = 4 * float(np.finfo(np.float32).eps) * largest
    decimals = max(_rounded_to(values, single) for values in (at, here))
    tolerance = np.clip(max(single, decimals), CLOSE * spacing, WIDEST * spacing)
    beyond = np.abs(apart) - tolerance
    return int(beyond.argmax()) if (beyond > 0).any() else None


def _spacing(at: Floats, source: Source) -> Floats:
    """Distance to the nearest neighbour along an axis; of scattered points, the usual one."""
    if len(at) < 2:
        return np.full(len(at), max(float(np.abs(at).max(initial=0.0)), 1.0))
    if source.scattered:
        return np.full(len(at), float(np.ptp(at)) / len(at) ** (1 / len(source.axes)))
    steps = np.abs(np.diff(at))
    return np.minimum(np.append(steps, np.inf), np.insert(steps, 0, np.inf))


def _rounded_to(at: Floats, single: float) -> float:
    """The last decimal of coordinates that are rounded or cut off; 0 if they are not."""
    steps = (10.0**-digits for digits in range(1, 7))
    return next((step for step in steps if np.allclose(at, np.round(at / step) * step, 0, single)), 0.0)


def _in_units_of(first: Timed, part: Timed, converted: dict[str, Timed]) -> Timed:
    """The file with its axes in the units of the first, where they are of the same kind."""
    axes, units = dict(part.source.axes), dict(part.source.axis_units)
    for axis, wanted in first.source.axis_units.items():
        one, other = unit_of(wanted), unit_of(units.get(axis, ""))
        if axis in axes and one is not None and other is not None and one.kind == other.kind and one.size != other.size:
            converted.setdefault(f"{axis} in {units[axis]} is converted to {wanted}", part)
            axes[axis], units[axis] = axes[axis] * (other.size / one.size), wanted
    return replace(part, source=replace(part.source, axes=axes, axis_units=units))


def _turned(first: Timed, part: Timed, turned: list[tuple[Timed, float]]) -> Timed:
    """The file with its longitudes as the first has them (0 ... 360 and -180 ... 180), if they are the same places."""
    one, other = first.source, part.source
    if list(one.axes) != list(other.axes) or one.grid != other.grid:
        return part
    for number, (axis, at) in enumerate(one.axes.items()):
        here = other.axes[axis]
        if (
            one.axis_units.get(axis) not in LONGITUDE_UNITS
            or len(at) < 2
            or _first_apart(at, here, here - at, one) is None
        ):
            continue
        by = 0 if one.scattered else int(np.abs(_turn(here - at[0])).argmin())
        if _first_apart(at, here, _turn(np.roll(here, -by) - at), one) is not None:
            continue
        read = _rolled(other.read, by, 1 + number) if by else other.read
        turned.append((part, float(here[0])))
        return replace(part, source=replace(other, axes={**other.axes, axis: at}, read=read))
    return part


def _turn(angles: Floats) -> Floats:
    """Angles within half a turn of 0."""
    return (angles + 180.0) % 360.0 - 180.0


def _rolled(
    read: Callable[[int, int, int], npt.NDArray[np.float32]], by: int, along: int
) -> Callable[[int, int, int], npt.NDArray[np.float32]]:
    return lambda trajectory, start, stop: np.roll(read(trajectory, start, stop), -by, axis=along)
