"""Why readings may not fit: the usual mistakes with units, signs, columns and numbers of sensors, tried one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sparsevq.data.field_data import FieldData
from sparsevq.data.units import conversion, parsed
from sparsevq.forecasting.doubts.climate import Climate, Climates, Judged
from sparsevq.sensors.placement import SensorSets
from sparsevq.sensors.readings import FloatArray, Readings
from sparsevq.sensors.tables.numbers import CODES

GAIN = 30.0
"""Logarithm of how much likelier readings must be for a reason to be named."""
SPARED = 0.05
"""Share of the readings that may still be wrong when a reason explains the others."""
FITS = 4.0
"""Expected deviations within which a single reading fits if it were in another unit."""
NUMBERED = 400
"""Readings up to which other numberings are tried: each needs a solve."""

_ALWAYS = {(10.0**power, 0.0): f"multiplied by {10.0**power:g}" for power in (-2, 2, -3, 3, -1, 1, -6, 6)}
_ALWAYS[-1.0, 0.0] = "of the other sign"
_TAKEN_FOR = {
    "m/s": ("km/h", "knots", "mph", "ft/s"),
    "m": ("feet", "miles", "nautical_miles"),
    "K": ("degC", "degF"),
    "Pa": ("mmHg", "psi", "atm"),
    "rad": ("degrees",),
}
"""Unit -> what else of its quantity people have; powers of ten are tried anyway."""


def changes(unit: str) -> dict[tuple[float, float], str]:
    """(factor, offset) that turns what may have been given into a unit -> how it is said."""
    found = dict(_ALWAYS)
    own = parsed(unit)
    for one, others in _TAKEN_FOR.items():
        if own is None or conversion(one, unit) is None:
            continue
        for other in (one, *others):
            change = conversion(other, unit)
            if change is not None and change and (change.scale, change.offset) not in found:
                found[change.scale, change.offset] = f"converted from {other} to {unit}"
    return found


@dataclass(frozen=True, eq=False)
class Reason:
    """What may be wrong with all readings, and how they are then judged."""

    said: str
    judged: Judged
    likelihood: float


class Reasons:
    """Tries reasons; parameters as of `sparsevq.forecasting.doubts.plausibility.Plausibility`."""

    def __init__(self, climates: Climates, data: FieldData, sensors: SensorSets):
        self._climates, self._data, self._sensors = climates, data, sensors

    def best(self, read: Readings, climate: Climate, judged: Judged) -> str | None:
        """The likeliest reason with which all readings of a frame fit, which are `judged` as they are; None: none."""
        tried = [*self._changed(read, climate), *self._elsewhere(read)]
        fitting = [reason for reason in tried if _explains(reason, judged, climate)]
        return max(fitting, key=lambda reason: reason.likelihood).said if fitting else None

    def _changed(self, read: Readings, climate: Climate) -> Iterator[Reason]:
        """Reasons that change values: units, signs, exchanged channels."""
        reads, channels = ~np.isnan(read.values), self._data.channels
        which = np.broadcast_to(np.arange(len(channels)), reads.shape)[reads]
        values = read.values[reads]
        groups = [
            (channel, unit, which == index)
            for index, (channel, unit) in enumerate(zip(channels, self._data.units, strict=True))
        ]
        if len(channels) > 1:
            groups.append(("all channels", self._data.units[0] if len(set(self._data.units)) == 1 else "", which >= 0))
        for channel, unit, chosen in groups:
            for (factor, offset), said in changes(unit).items() if chosen.any() else ():
                judged = climate.judged(np.where(chosen, values * factor + offset, values))
                gained = chosen.sum() * np.log(abs(factor))
                yield Reason(f"{channel} were {said}", judged, judged.likelihood + gained)
        for one, other in combinations(range(len(channels)), 2):
            order = list(range(len(channels)))
            order[one], order[other] = other, one
            swapped = read.values[:, order]
            if np.array_equal(np.isnan(swapped), ~reads):
                judged = climate.judged(swapped[reads])
                yield Reason(f"{channels[one]} and {channels[other]} were exchanged", judged, judged.likelihood)

    def _elsewhere(self, read: Readings) -> Iterator[Reason]:
        """Reasons that change places: another numbering, exchanged axes."""
        like = self._climates.of(read)
        reads, axes = ~np.isnan(read.values), tuple(self._data.axes)
        values = read.values[reads]
        if len(values) > NUMBERED:
            return
        numbers = read.numbers
        if numbers is not None and (numbers >= 0).all():
            total = len(self._sensors.coordinates)
            for shift in range(-int(numbers.min()), total - int(numbers.max())):
                if shift:
                    places = self._sensors.coordinates[numbers + shift]
                    first = numbers.min()
                    said = f"their sensors were counted from {first + shift}, not from {first}"
                    said += ", as sensors.csv counts" if first + shift == 0 else ""
                    yield self._at(places, read, said, like)
        elif len(axes) > 1 and len(set(self._data.axis_units.values())) == 1:
            for one, other in combinations(range(len(axes)), 2):
                order = list(range(len(axes)))
                order[one], order[other] = other, one
                places = read.places[:, order]
                low, high = np.array([self._data.domain[axis] for axis in axes]).T
                if ((places >= low) & (places <= high)).all():
                    yield self._at(places, read, f"{axes[one]} and {axes[other]} of the places were exchanged", like)

    def _at(self, places: FloatArray, read: Readings, said: str, like: Climate) -> Reason:
        reads = ~np.isnan(read.values)
        climate = self._climates.like(like, places, reads, read.noise)
        judged = climate.judged(read.values[reads])
        return Reason(said, judged, judged.likelihood)


def _explains(reason: Reason, judged: Judged, climate: Climate) -> bool:
    return (
        reason.judged.wrong.sum() <= min(SPARED * len(reason.judged.wrong), judged.wrong.sum() / 4)
        and reason.judged.together <= climate.together
        and reason.likelihood > judged.likelihood + GAIN * (len(judged.wrong) > 2)
    )


def single_reason(value: float, mean: float, std: float, unit: str, others: dict[str, float]) -> str:
    """Why one reading may be wrong."""
    if value in CODES:
        return "loggers write that where there is no value: leave the cell empty"
    best, reason = -np.inf, ""
    for (factor, offset), said in changes(unit).items():
        apart = abs(value * factor + offset - mean) / std
        # How likely the value as given is: a factor that makes any number small would otherwise fit best.
        likely = np.log(abs(factor)) - apart**2 / 2
        if apart <= FITS and 2 * apart < abs(value - mean) / std and likely > best:
            best, reason = likely, f"it would fit if it were {said}"
    if reason:
        return reason
    for channel, other in others.items():
        if other != value and abs(other - mean) <= FITS * std:
            return f"what it reads of {channel} would fit: are the columns exchanged?"
    return ""
