"""Units of coordinates: angles, lengths and pressures, however they are written."""

import re
from typing import NamedTuple

import numpy as np

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
_PREFIXES = {
    "": 1.0,
    "kilo": 1e3,
    "hecto": 1e2,
    "deci": 1e-1,
    "centi": 1e-2,
    "milli": 1e-3,
    "micro": 1e-6,
    "nano": 1e-9,
}
_LENGTHS = {
    "m": 1.0, "km": 1e3, "dm": 1e-1, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "nm": 1e-9,
    "micron": 1e-6, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "inch": 0.0254, "inches": 0.0254,
    "mile": 1609.344, "nautical mile": 1852.0, "nmi": 1852.0, "dam": 10.0,
    **{prefix + metre: size for prefix, size in _PREFIXES.items() for metre in ("meter", "metre")},
}  # fmt: skip
_PRESSURES = {
    "pa": 1.0, "hpa": 1e2, "kpa": 1e3, "mb": 1e2, "mbar": 1e2, "millibar": 1e2, "bar": 1e5, "dbar": 1e4,
    "decibar": 1e4, "atm": 101325.0, "pascal": 1.0, "hectopascal": 1e2, "kilopascal": 1e3,
}  # fmt: skip
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
    for known, kind in ((_LENGTHS, LENGTH), (_PRESSURES, PRESSURE)):
        name = low.removesuffix("s") if len(low) > 4 else low  # ms are no metres
        if name in known and plain not in ("M", "Mm"):
            return Unit(kind, known[name])
    return None


def unitless(text: str) -> bool:
    """Whether a unit says that there is none."""
    return " ".join(text.split()).lower() in UNITLESS


def _value(number: str) -> float:
    power = re.fullmatch(r"10(?:\^|\*\*)([+-]?\d+)", number)
    return 10.0 ** int(power[1]) if power else float(number)
