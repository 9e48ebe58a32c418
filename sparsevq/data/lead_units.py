"""Lead times in the unit that a person would choose: 3 h rather than 10800 s, 2 months rather than 1462 h."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparsevq.data.dates import MONTHS, SECONDS, unit_named

WRITTEN = {"1": "", "dimensionless": ""}
"""Units of no clock, as people write them."""

_YEAR = 365.2425 * SECONDS["d"]
_LENGTHS = {"year": _YEAR, "month": _YEAR / 12, "day": SECONDS["d"]}
_LENGTHS |= {name: SECONDS[name] for name in ("h", "min", "s", "ms")} | {"µs": SECONDS["us"], "ns": SECONDS["ns"]}
"""Units that are told, in seconds, the longest first; months and years of mean length."""
_WORDS = ("year", "month", "day")
"""Units that have a plural."""
_OF_CALENDAR = ("year", "month")
_WHOLE = 0.02
"""Months are 28 to 31 days: a time within this share of a whole number of mean ones is that number of months."""
_FINEST, _LARGEST = 0.01, 100.0
"""Numbers that need no other unit than their own."""


@dataclass(frozen=True)
class LeadUnit:
    """The unit that lead times are told in.

    Attributes
    ----------
    name
        As people write it; empty where the times have no unit.
    factor
        What a time of the data set is multiplied by.
    """

    name: str
    factor: float = 1.0

    def text(self, time: float) -> str:
        """A lead time of the data set with its unit: ``0.15 s``, ``1 day``, ``5 months``."""
        value = self.value(time)
        plural = self.name in _WORDS and value != 1
        return f"{value:.4g} {self.name}{'s' * plural}".rstrip()

    def value(self, time: float) -> float:
        """A lead time of the data set in this unit; of months and years the whole number that is meant."""
        value = float(time) * self.factor
        return float(round(value)) if self.name in _OF_CALENDAR and _is_whole(value) else value

    @property
    def plural(self) -> str:
        """The unit of an axis: ``s``, ``days``."""
        return f"{self.name}s" if self.name in _WORDS else self.name


def lead_unit(times: Sequence[float], unit: str) -> LeadUnit:
    """One unit for lead times that are told together.

    Their own where it gives numbers between 0.01 and 100 (``0.15 s``, ``40 h``). Otherwise the longest of which the
    shortest time is at least one; months and years only for whole numbers of them. Units of no clock stay.

    Parameters
    ----------
    times
        Lead times in `unit`; zeros do not count.
    unit
        The data set's unit of time; empty or ``1`` where it has none.
    """
    known = unit_named(unit)
    if known is None:
        return LeadUnit(WRITTEN.get(unit, unit))
    length = known[1] * (SECONDS[known[0]] if known[0] in SECONDS else MONTHS[known[0]] * _LENGTHS["month"])
    spans = [abs(time) * length for time in times if time] or [length]
    own = next((name for name, seconds in _LENGTHS.items() if abs(seconds / length - 1) < 1e-9), None)
    if own and min(spans) >= _FINEST * length * (1 - 1e-9) and max(spans) <= _LARGEST * length:
        return LeadUnit(own)
    for name, seconds in _LENGTHS.items():
        counts = [span / seconds for span in spans]
        if all(map(_is_whole, counts)) if name in _OF_CALENDAR else min(counts) >= 1 - 1e-9:
            return LeadUnit(name, length / seconds)
    return LeadUnit("ns", length / SECONDS["ns"])


def _is_whole(count: float) -> bool:
    return round(count) >= 1 and abs(count - round(count)) <= _WHOLE * round(count)
