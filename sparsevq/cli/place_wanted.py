"""From the flags of `sparsevq place` to what is wanted, in the units in which it is computed."""

import re
from argparse import ArgumentTypeError, Namespace

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import Basis
from sparsevq.basis.posterior import channel_variances
from sparsevq.data.field_data import FieldData
from sparsevq.data.units import conversion
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.placing.proposal import Wanted
from sparsevq.runs.run import Run
from sparsevq.sensors.distance import Distance
from sparsevq.sensors.placement import free_points
from sparsevq.sensors.placements.sites import in_region
from sparsevq.sensors.places import read_places

Floats = npt.NDArray[np.float64]
KM_OF_A_DEGREE = 6371.0 * np.pi / 180
"""On the Earth."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def wanted_of(args: Namespace, run: Run) -> Wanted:
    """What the flags ask for, of a data set.

    Raises
    ------
    SparseVQError
        A flag does not fit the data set, or a file of places is faulty.
    """
    data, basis = run.data, run.basis
    free = free_points(data)
    usual = _channels(data, args.channels, "--channels")
    if hasattr(args, "candidates"):
        points, reads = read_places(args.candidates, data, free, None, usual, merge=True)
    else:
        points, reads = free, np.tile(usual, (len(free), 1))
    if hasattr(args, "region"):
        inside = np.isin(points, in_region(data, points, region_of(args.region, data)))
        if not inside.any():
            raise SparseVQError(f"--region {args.region}: no place for a sensor is inside", "widen it")
        points, reads = points[inside], reads[inside]
    none = np.zeros(0, np.int64), np.zeros((0, len(usual)), bool)
    there = read_places(args.existing, data, free, None, usual) if hasattr(args, "existing") else none
    if len(left := np.setdiff1d(points, there[0])) < args.sensors:
        raise SparseVQError(
            f"--sensors {args.sensors}, but there are only {len(left)} places for them", "place fewer, or allow more"
        )
    return Wanted(
        data=data,
        basis=basis,
        points=points,
        reads=reads,
        noise=noise_of(args.noise, data, basis),
        importance=_channels(data, args.error_of, "--error-of").astype(np.float64),
        min_distance=distance_of(args.min_distance, data),
        existing=there[0],
        existing_reads=there[1],
    )


def _channels(data: FieldData, named: str, flag: str) -> npt.NDArray[np.bool_]:
    """``(C,)`` the channels that a flag names; all where it names none."""
    names = [name for name in named.split(",") if name]
    if unknown := [name for name in names if name not in data.channels]:
        raise SparseVQError(
            f"{flag} {named}: {data.name} has no channel {unknown[0]!r}", f"name some of {', '.join(data.channels)}"
        )
    return np.isin(data.channels, names or data.channels)


def noise_of(text: str, data: FieldData, basis: Basis) -> Floats:
    """Standard deviation of the readings' errors ``(C,)``, normalised: ``0.1``, ``20dB``, ``u=0.1,T=0.5``.

    Decibels are below the variance of the channel's anomalies; numbers are in the channels' units.

    Raises
    ------
    SparseVQError
        It is of no such form, or names a channel that there is none of.
    """
    form = "give a number in the channels' unit (0.1), decibels (20dB), or one for each channel (u=0.1,T=0.5)"
    parts = (
        dict(part.partition("=")[::2] for part in text.split(","))
        if "=" in text
        else dict.fromkeys(data.channels, text)
    )
    if unknown := [name for name in parts if name not in data.channels]:
        raise SparseVQError(
            f"--noise {text}: {data.name} has no channel {unknown[0]!r}", f"name some of {', '.join(data.channels)}"
        )
    deviations = np.sqrt(channel_variances(basis))
    found = np.zeros(len(data.channels))
    for column, channel in enumerate(data.channels):
        given = re.fullmatch(rf"({NUMBER})\s*(dB)?", parts.get(channel, "0").strip(), re.IGNORECASE)
        if given is None or (not given[2] and float(given[1]) < 0):
            raise SparseVQError(f"--noise {text} is not allowed", form)
        value = float(given[1])
        found[column] = deviations[column] * 10 ** (-value / 20) if given[2] else value / basis.scale[column]
    units = {unit for channel, unit in zip(data.channels, data.units, strict=True) if channel in parts}
    if "=" not in text and "db" not in text.lower() and float(text) and len(units) > 1:
        raise SparseVQError(
            f"--noise {text}: the channels of {data.name} have several units ({', '.join(sorted(units))})",
            "give it for each channel (u=0.1,T=0.5) or in decibels (20dB)",
        )
    return found


def distance_of(text: str, data: FieldData) -> float:
    """A least distance in what `Distance` measures: ``0.2``, ``500km``.

    Raises
    ------
    SparseVQError
        It is no length of the data's kind.
    """
    given = re.fullmatch(rf"({NUMBER})\s*(\D*)", text.strip())
    if given is None or float(given[1]) < 0:
        raise SparseVQError(f"--min-distance {text} is not allowed", "give a length, such as 0.2 or 500km")
    value, unit = float(given[1]), given[2].strip()
    if not value or not unit:
        return value
    distance = Distance.of(data)
    scale = 1.0 if distance.sphere is None else 1 / KM_OF_A_DEGREE
    wanted = distance.unit if distance.sphere is None else "km"
    if distance.sphere is not None and conversion(unit, "degree") is not None:
        scale, wanted = 1.0, "degree"
    found = conversion(unit, wanted)
    if found is None:
        raise SparseVQError(
            f"--min-distance {text}: {unit} is no unit of distances in {data.name}",
            f"give it in {distance.unit or '1'}",
        )
    return float(found(value)) * scale


def region_of(text: str, data: FieldData) -> tuple[tuple[float, float], ...]:
    """(low, high) along each axis: ``lat=-10:10,lon=120:280`` (others: all), or ``0:1,0.2:0.8`` in their order.

    Raises
    ------
    SparseVQError
        It is of no such form, or there is no such axis.
    """
    named: dict[str, tuple[float, float]] = {}
    parts = text.split(",")
    for number, part in enumerate(parts):
        axis, _, ends = part.rpartition("=")
        axis = axis.strip() or (list(data.axes)[number] if number < len(data.axes) and "=" not in text else "")
        try:
            low, high = map(float, ends.split(":"))
        except ValueError:
            raise SparseVQError(
                f"--region {text} is not allowed", "give LOW:HIGH for each axis, or AXIS=LOW:HIGH for some"
            ) from None
        if axis not in data.axes:
            known = ", ".join(data.axes)
            raise SparseVQError(
                f"--region {text}: {data.name} has no axis {axis!r}".replace(" ''", " for that"), f"axes are {known}"
            )
        if low > high:
            raise SparseVQError(f"--region {text}: {low:g} is above {high:g}", "give the lower end first")
        named[axis] = low, high
    if "=" not in text and len(parts) != len(data.axes):
        raise SparseVQError(
            f"--region {text} has {len(parts)} ranges, but {data.name} has the axes {', '.join(data.axes)}",
            "give one for each, or AXIS=LOW:HIGH",
        )
    return tuple(named.get(axis, (-np.inf, np.inf)) for axis in data.axes)


def whole_number(text: str) -> int:
    """At least 1."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not allowed: write a whole number from 1 on")
    return int(text)
