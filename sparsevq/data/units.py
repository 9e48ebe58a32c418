"""Units by their texts, however they are spelled, and how to turn one into another: a table of what fields come in."""

import math
import re
import unicodedata
from dataclasses import dataclass

Dimensions = tuple[int, ...]
"""Exponents of m, kg, s, A, K, mol, cd and rad."""

_BASE = ("m", "kg", "s", "A", "K", "mol", "cd", "rad")


def _dims(**exponents: int) -> Dimensions:
    return tuple(exponents.get(base, 0) for base in _BASE)


_PRESSURE, _ENERGY, _POWER = _dims(kg=1, m=-1, s=-2), _dims(kg=1, m=2, s=-2), _dims(kg=1, m=2, s=-3)
_SPEED, _LENGTH, _TIME, _MASS, _ANGLE = _dims(m=1, s=-1), _dims(m=1), _dims(s=1), _dims(kg=1), _dims(rad=1)
_KELVIN, _ONE = _dims(K=1), _dims()

_TABLE: dict[str, tuple[float, Dimensions]] = {}


def _define(names: str, scale: float, dimensions: Dimensions, prefixes: str = "") -> None:
    factors = {"da": 10.0, "h": 100.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "d": 0.1, "c": 0.01, "m": 1e-3}
    factors |= {"u": 1e-6, "\u03bc": 1e-6, "n": 1e-9}
    for name in names.split():
        _TABLE[name] = scale, dimensions
        for prefix in prefixes.split():
            _TABLE.setdefault(prefix + name, (scale * factors[prefix], dimensions))


_ALL = "h k M G T d c m u \u03bc n"
_define("min mins minute minutes", 60, _TIME)
_define("h hr hrs hour hours", 3600, _TIME)
_define("d day days", 86400, _TIME)
_define("ft foot feet", 0.3048, _LENGTH)
_define("in inch inches", 0.0254, _LENGTH)
_define("mi mile miles", 1609.344, _LENGTH)
_define("nmi NM nautical_mile nautical_miles", 1852, _LENGTH)
_define("knot knots kn kt kts", 1852 / 3600, _SPEED)
_define("mph", 0.44704, _SPEED)
_define("kph kmh", 1 / 3.6, _SPEED)
_define("mps ms-1", 1, _SPEED)
_define("fps", 0.3048, _SPEED)
_define("atm", 101325, _PRESSURE)
_define("kilopascal kilopascals", 1e3, _PRESSURE)
_define("decibar decibars", 1e4, _PRESSURE)
_define("micron microns micrometer micrometre micrometers micrometres", 1e-6, _LENGTH)
_define("mb", 100, _PRESSURE)
_define("mmHg torr Torr", 133.322, _PRESSURE)
_define("psi", 6894.757, _PRESSURE)
_define("t tonne tonnes", 1000, _MASS)
_define("lb lbs", 0.45359237, _MASS)
_define("l L litre liter", 1e-3, _dims(m=3), "m d c")
_define("deg degree degrees \u00b0 arcdegree degree_north degrees_north degree_N degrees_N", math.pi / 180, _ANGLE)
_define("degree_east degrees_east degree_E degrees_E \u00b0N \u00b0E degN degE", math.pi / 180, _ANGLE)
_define("% percent", 0.01, _ONE)
_define("ppm", 1e-6, _ONE)
_define("ppb", 1e-9, _ONE)
_define("1 dimensionless none nondimensional unitless n/a", 1, _ONE)
_define("degC \u00b0C celsius Celsius deg_C degree_Celsius degrees_Celsius degreesC", 1, _KELVIN)
_define("degF \u00b0F fahrenheit Fahrenheit deg_F degree_Fahrenheit degrees_Fahrenheit", 5 / 9, _KELVIN)
_define("K kelvin Kelvin degK", 1, _KELVIN, "m")
_define("g gram grams", 1e-3, _MASS, "k m u \u03bc n")
_define("kilogram kilograms", 1, _MASS)
_define("m metre metres meter meters", 1, _LENGTH, _ALL)
_define("kilometre kilometres kilometer kilometers", 1e3, _LENGTH)
_define("centimetre centimetres centimeter centimeters", 1e-2, _LENGTH)
_define("millimetre millimetres millimeter millimeters", 1e-3, _LENGTH)
_define("s sec secs second seconds", 1, _TIME, "m u \u03bc n")
_define("A ampere", 1, _dims(A=1), _ALL)
_define("mol mole moles", 1, _dims(mol=1), _ALL)
_define("cd", 1, _dims(cd=1))
_define("rad radian radians", 1, _ANGLE, "m u \u03bc")
_define("Hz hertz", 1, _dims(s=-1), _ALL)
_define("N newton", 1, _dims(kg=1, m=1, s=-2), _ALL)
_define("Pa pascal", 1, _PRESSURE, _ALL)
_define("hectopascal hectopascals millibar millibars", 100, _PRESSURE)
_define("bar", 1e5, _PRESSURE, "m d")
_define("J joule", 1, _ENERGY, _ALL)
_define("W watt", 1, _POWER, _ALL)
_define("V volt", 1, _dims(kg=1, m=2, s=-3, A=-1), _ALL)

_OFFSETS = {name: 273.15 for name, known in _TABLE.items() if known == (1, _KELVIN) and name[-1] not in "Kn"}
_OFFSETS |= {name: 459.67 * 5 / 9 for name, known in _TABLE.items() if known == (5 / 9, _KELVIN)}
_LOWER = {name.lower(): name for name in reversed([*_TABLE])}
_DEGREES = re.compile(r"(\u00b0|deg(?:rees?)?)[ _]?(Celsius|Fahrenheit|Kelvin|[CFKNE])$", re.IGNORECASE)
LARGEST_POWER = 12
"""Of a unit in a product of units."""
_FACTOR = re.compile(r"([^\W\d]+|[%\u00b0][A-Za-z]?|1)\^?([+-]?\d+)?$")


@dataclass(frozen=True)
class Unit:
    """``value * scale + offset`` is in SI units of these `dimensions`."""

    scale: float
    dimensions: Dimensions
    offset: float = 0.0


@dataclass(frozen=True)
class Conversion:
    """``value * scale + offset`` turns a number of one unit into one of another."""

    scale: float = 1.0
    offset: float = 0.0

    def __bool__(self) -> bool:
        return not (math.isclose(self.scale, 1, rel_tol=1e-12) and abs(self.offset) < 1e-12)

    def __call__(self, value: float) -> float:
        return value * self.scale + self.offset


def parsed(text: str) -> Unit | None:
    """A unit from its text: products, quotients and integer powers of what is in the table; None: it is not known."""
    text = _plain(text)
    if text in ("C", "c", "F"):  # of a column of readings: temperatures, not coulombs and farads
        text = {"F": "degF"}.get(text, "degC")
    whole = _named(text)
    if whole is not None:
        scale, dimensions = _TABLE[whole]
        return Unit(scale, dimensions, _OFFSETS.get(whole, 0.0))
    scale, total, sign = 1.0, [0] * len(_BASE), 1
    for token in re.findall(r"/|[^\s./*]+", text):
        if token == "/":
            sign = -1
            continue
        found = _FACTOR.match(token)
        name = None if found is None else _named(found[1])
        if found is None or name is None:
            return None
        power = sign * int(found[2] or 1)
        if abs(power) > LARGEST_POWER:
            return None
        scale *= _TABLE[name][0] ** power
        total = [had + power * more for had, more in zip(total, _TABLE[name][1], strict=True)]
        sign = 1
    return Unit(scale, tuple(total)) if text else None


def conversion(given: str, wanted: str) -> Conversion | None:
    """From a unit to another; None: there is none, or one of them is not known and they are not written alike."""
    one, other = parsed(given), parsed(wanted)
    if one is None and other is None:
        alike = _plain(given).casefold().replace(" ", "") == _plain(wanted).casefold().replace(" ", "")
        return Conversion() if alike else None
    if one is None or other is None or one.dimensions != other.dimensions:
        return None
    return Conversion(one.scale / other.scale, (one.offset - other.offset) / other.scale)


def same_unit(one: str, other: str) -> bool:
    """Whether two texts name the same unit. Units that have to be converted (cm and m) are not the same."""
    found = conversion(one or "1", other or "1")
    return found is not None and not found


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.replace("\u00b7", " ").replace("\u22c5", " ")).strip(" []()")
    text = text.replace("**", "^").replace("\u2212", "-").replace("{", "").replace("}", "").replace("^-", "-")
    text = re.sub(r"\s+per\s+", "/", text)
    text = _DEGREES.sub(_of_degrees, text)
    return "1" if text in ("-", "--") else text


def _of_degrees(found: re.Match[str]) -> str:
    letter = found[2][0].upper()
    return "K" if letter == "K" else f"deg{letter}"


def _named(text: str) -> str | None:
    if text in _TABLE:
        return text
    lower = _LOWER.get(text.lower())
    return lower if lower is not None and (text.isupper() or len(text) > 3) else None
