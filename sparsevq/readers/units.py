"""Units of coordinates: angles, lengths and pressures, however they are written."""

import re
from typing import NamedTuple

import numpy as np

from sparsevq.data.units import parsed

LATITUDE, LONGITUDE, ANGLE, LENGTH, PRESSURE = "latitude", "longitude", "angle", "length", "pressure"
UNITLESS = ("", "1", "-", "none", "nondim", "dimensionless", "unitless", "count", "index", "cell", "pixel", "n/a")
"""What stands in the place of a unit where there is none (in lower case)."""

_TOWARDS = {"n": LATITUDE, "s": LATITUDE, "e": LONGITUDE, "w": LONGITUDE}
_ANGLES = {
    r"(?:decimal[ _]?|arc_|angular_)?deg(?:ree)?s?|°|dd": 1.0,
    r"rad(?:ian)?s?": 180 / np.pi,
    r"arc[ _]?min(?:ute)?s?": 1 / 60,
    r"arc[ _]?sec(?:ond)?s?": 1 / 3600,
    r"gon|grads?|gradians?": 0.9,
}
_ANGLE = {re.compile(rf"(?:{unit})(?:[ _]?(north|south|east|west|n|s|e|w))?"): size for unit, size in _ANGLES.items()}
_KINDS = {si.dimensions: kind for si, kind in ((parsed("m"), LENGTH), (parsed("Pa"), PRESSURE)) if si is not None}
_NUMBER = re.compile(r"(10(?:\^|\*\*)[+-]?\d+|\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*[* ]?\s*([^\d^*.].*)", re.IGNORECASE)


class Unit(NamedTuple):
    """What a unit is of, and how many degrees, metres or pascals it is; negative where it counts south or west."""

    kind: str
    size: float


def unit_of(text: str) -> Unit | None:
    """The unit of an angle, a length or a pressure; None of anything else.

    ``degrees_north`` and its variants are of a latitude, ``degrees_east`` of a longitude; other angles are of any kind.
    """
    plain = " ".join(text.replace("_", " ").split())
    low = plain.lower()
    for pattern, size in _ANGLE.items():
        found = pattern.fullmatch(low)
        if found:
            towards = (found[1] or "")[:1]
            return Unit(_TOWARDS.get(towards, ANGLE), -size if towards in ("s", "w") else size)
    number = _NUMBER.fullmatch(plain)
    if number:
        inner = unit_of(number[2])
        return Unit(inner.kind, inner.size * _value(number[1])) if inner else None
    si = parsed(plain.replace(" ", "_")) or parsed(low.replace(" ", "_"))
    if si is not None and si.dimensions in _KINDS and plain not in ("M", "Mm"):  # millions, or millimetres
        return Unit(_KINDS[si.dimensions], si.scale)
    return None


def unitless(text: str) -> bool:
    """Whether a unit says that there is none."""
    return " ".join(text.split()).lower() in UNITLESS


def _value(number: str) -> float:
    power = re.fullmatch(r"10(?:\^|\*\*)([+-]?\d+)", number)
    return 10.0 ** int(power[1]) if power else float(number)
