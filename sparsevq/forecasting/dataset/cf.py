"""Names and units as the CF conventions want them."""

import re
from collections.abc import Mapping

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, FieldData

GRID_AXES = {"x": "X", "lon": "X", "longitude": "X", "y": "Y", "lat": "Y", "latitude": "Y", "z": "Z"}
STANDARD_NAMES = {"lon": "longitude", "longitude": "longitude", "lat": "latitude", "latitude": "latitude"}

STANDARD = re.compile(r"[a-z][a-z0-9_]*(?: [a-z_]+)?")
"""How standard names are written, with their modifiers."""

TIMES = ("s", "sec", "second", "min", "minute", "h", "hr", "hour", "d", "day")
UNITS = {
    *TIMES,
    *("m", "metre", "meter", "g", "gram", "A", "ampere", "K", "kelvin", "mol", "mole", "cd", "rad", "radian"),
    *("N", "newton", "Pa", "pascal", "J", "joule", "W", "watt", "V", "volt", "Hz", "hertz"),
    *("bar", "degree", "degC", "celsius", "percent", "degree_north", "degree_east", "degrees_north", "degrees_east"),
}
PREFIXES = ("Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p")
WORDS = ("kilo", "hecto", "deci", "centi", "milli", "micro", "nano")
WORDED = ("metre", "meter", "gram", "second", "pascal", "watt", "joule", "newton", "bar", "hertz", "kelvin")
"""Units that take prefixes in words."""
OTHERWISE = {"mb": "hPa", "mbar": "hPa", "millibar": "hPa", "millibars": "hPa", "deg": "degree", "°": "degree"}
"""Units that UDUNITS reads as others (``mb`` are millibarns), or not at all."""
SYMBOLS = ("m", "g", "s", "A", "K", "mol", "N", "Pa", "J", "W", "V", "Hz", "bar", "rad")
"""Units that take prefixes."""


def cf_units(units: str) -> str | None:
    """Units as CF writes them, or None where UDUNITS does not know them (``L/U``: lengths over velocities of a flow).

    Conservative: products, quotients and integer powers of SI units and a few that CF names; a dimensionless
    quantity (``1``, ``-``, empty) is ``1``.
    """
    text = units.strip().replace("**", "^").replace("·", " ")
    if text in ("", "-", "1", "none", "dimensionless"):
        return "1"
    if text == "%":
        return "percent"
    text = OTHERWISE.get(text, text)
    for factor in re.split(r"\s*[*/.]\s*|\s+", text):
        match = re.fullmatch(r"([A-Za-z_]+)\^?([+-]?\d+)?", factor)
        if factor != "1" and not (match and _known(match[1])):
            return None
    return text


def attributes_of(name: str, units: str, about: Mapping[str, str] | None = None, what: str = "") -> dict[str, str]:
    """`units`, in words where CF does not know them, and the names of a file (else its own name), with `what` of it.

    A standard name says what the units can be, so it is left out where these are not written.
    """
    known, about = cf_units(units), about or {}
    named = {"long_name": about.get("long_name", name) + what}
    if known is None:
        return {"long_name": f"{named['long_name']} in units of {units}", "units": "1"}
    standard = {"standard_name": about["standard_name"]} if STANDARD.fullmatch(about.get("standard_name", "")) else {}
    return {**named, **standard, "units": known}


def lead_time_attributes(units: str) -> dict[str, str]:
    """Names and units of lead times in a unit of time, or in none that CF knows."""
    described = attributes_of("time since the observed frame", units)
    if units.strip().rstrip("s") in TIMES or units.strip() in TIMES:
        described["standard_name"] = "forecast_period"
    return {**described, "axis": "T"}


def axes_attributes(data: FieldData) -> list[dict[str, str]]:
    """Attributes of each axis; CF gives the attribute ``axis`` to coordinates that are dimensions, each letter once."""
    found, letters = [], set[str]()
    for axis in data.axes:
        attributes, letter = _axis_attributes(axis, data.axis_units[axis], data.axis_about.get(axis, {}))
        if letter and letter not in letters and not data.scattered:
            letters.add(letter)
            attributes["axis"] = letter
        found.append(attributes)
    return found


def _axis_attributes(axis: str, units: str, about: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Names and units of an axis, and its letter (empty: none)."""
    described = attributes_of(axis, units, about)
    letter = GRID_AXES.get(axis.lower(), about.get("axis", ""))
    for known, name, its_letter in ((LATITUDE_UNITS, "latitude", "Y"), (LONGITUDE_UNITS, "longitude", "X")):
        if units in known:
            letter = its_letter
            described.setdefault("standard_name", name)
            if described["standard_name"] != name:  # of a rotated grid, whose unit is plain
                described["units"] = "degrees"
    if axis.lower() in STANDARD_NAMES and units in ("degrees", "degree"):
        described.setdefault("standard_name", STANDARD_NAMES[axis.lower()])
    if letter == "Z" or "positive" in about:
        described["positive"] = about.get("positive", "up").lower()
        letter = letter or "Z"
    return described, letter if letter in ("X", "Y", "Z") else ""


def _known(unit: str) -> bool:
    if unit in UNITS or (len(unit) > 2 and unit.endswith("s") and unit[:-1] in UNITS):
        return True
    words = any(unit.removesuffix("s") == word + name for word in WORDS for name in WORDED)
    return words or any(unit == prefix + symbol for prefix in PREFIXES for symbol in SYMBOLS)
