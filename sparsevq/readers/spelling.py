"""Whether two units are one in different spellings: ``m s-1``, ``m/s``, ``m s^-1``, ``m s**-1``, ``meters per second``.

References
----------
The grammar of UDUNITS-2: factors are multiplied by a space, a dot or an asterisk; a solidus divides by what follows.
"""

import re
from collections import Counter

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺−", "0123456789-+-")
_NAMES = {
    "meter metre meters metres": "m", "second seconds sec secs": "s", "gram grams gramme": "g",
    "kelvin kelvins degk": "K", "kilogram kilograms": "kg",
    "pascal pascals": "Pa", "hectopascal hectopascals mb mbar millibar millibars": "hPa",
    "joule joules": "J", "watt watts": "W", "newton newtons": "N", "hertz": "Hz", "mole moles": "mol",
    "hour hours hr hrs": "h", "minute minutes mins": "min", "day days": "d", "year years yr": "a",
    "celsius degc deg_c degree_celsius degrees_celsius degree_c degrees_c °c": "degC", "percent pct": "%",
    "fahrenheit degf degree_fahrenheit degrees_fahrenheit °f": "degF",
    "dimensionless unitless none nondim nondimensional n/a - fraction ratio": "1",
    "degree degrees deg °": "degree", "kilometer kilometre kilometers kilometres": "km",
    "centimeter centimetre centimeters centimetres": "cm", "millimeter millimetre millimeters millimetres": "mm",
}  # fmt: skip
_OF_NAME = {name: symbol for names, symbol in _NAMES.items() for name in names.split()}
_FACTOR = re.compile(r"([^\d\s^+-]+?)(?:(?:\^|\*\*)?\(?([+-]?\d+)\)?)?$")
_HIGH = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")


def same_unit(one: str, other: str) -> bool:
    """Whether two texts name the same unit. Units that have to be converted (cm and m) are not the same."""
    return one == other or spelled_out(one) == spelled_out(other)


def spelled_out(unit: str) -> object:
    """A unit as its factors with their powers; the text itself where it is not of that form."""
    text = re.sub(r"[{}$]", "", _HIGH.sub(lambda power: "^" + power.group(), unit)).translate(_SUPERSCRIPTS)
    plain = " ".join(text.split())
    whole = _OF_NAME.get(plain.lower()) or _OF_NAME.get(plain.lower().replace(" ", "_"))
    if whole or not plain:
        return (("1", 1),) if whole == "1" or not plain else ((whole, 1),)
    plain = re.sub(r"\s+per\s+", "/", plain, flags=re.IGNORECASE)
    plain = re.sub(r"\s*([/·⋅])\s*", r" \1 ", plain.replace("**", "^"))
    plain = re.sub(r"\s*\^\s*", "^", plain)
    powers: Counter[str] = Counter()
    sign = 1
    for word in re.split(r"[\s*·⋅.]+", plain):
        if word == "/":
            sign = -1
            continue
        factor = _FACTOR.fullmatch(word)
        if word == "1" or not word:
            sign = 1
        elif factor is None:
            return plain
        else:
            name = factor.group(1)
            powers[_OF_NAME.get(name.lower(), name)] += sign * int(factor.group(2) or 1)
            sign = 1
    return tuple(sorted((name, power) for name, power in powers.items() if power)) or (("1", 1),)
