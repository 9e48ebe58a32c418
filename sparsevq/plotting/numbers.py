"""Numbers as text: as few digits as tell them apart, and degrees as on a map."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS

PLAIN = (1e-4, 1e6)
"""Magnitudes that are written without a power of ten."""
MOST_DIGITS = 15


def told_apart(values: Iterable[float], digits: int = 3) -> list[str]:
    """Each value with the least number of significant digits, `digits` or more, with which different ones differ.

    All have the same number of digits; zeros at the end of whole numbers stand for themselves: 1013, not 1.01e+03.
    """
    values = list(map(float, values))
    for count in range(digits, MOST_DIGITS + 1):
        texts = [significant(value, count) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts if values else []


def significant(value: float, digits: int) -> str:
    """A number with so many significant digits, zeros at its end included; never less than all of its whole part."""
    if not np.isfinite(value) or value == 0:
        return f"{value:g}"
    if not PLAIN[0] <= abs(value) < PLAIN[1]:
        return f"{value:.{digits - 1}e}"
    decimals = digits - 1 - int(np.floor(np.log10(abs(value))))
    rounded = round(value, decimals)
    decimals = digits - 1 - int(np.floor(np.log10(abs(rounded))))  # 0.9996 has three digits as 1.00
    return f"{rounded:.{max(decimals, 0)}f}" if decimals >= 0 else f"{value:.0f}"


def coordinate(value: float, unit: str, among: npt.ArrayLike = ()) -> str:
    """A coordinate with its unit, with the digits that tell it from others of its axis: ``30°N``, ``3.08 m``."""
    if unit in (*LATITUDE_UNITS, *LONGITUDE_UNITS):
        return degrees(value, unit)
    others = np.unique(np.append(np.asarray(among, dtype=float), value))
    near = others[np.argsort(np.abs(others - value))[:2]]
    text = told_apart(near)[0]
    text = text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return f"{text} {'' if unit == '1' else unit}".rstrip()


def degrees(value: float, unit: str) -> str:
    """A latitude or a longitude as on a map: 30°N, 120°W."""
    of_latitude = unit in LATITUDE_UNITS
    turned = value if of_latitude else (value + 180) % 360 - 180
    shown = round(abs(turned), 6)
    if shown in (0.0, 180.0):
        return f"{shown:g}°"
    return f"{shown:g}°" + ("NS" if of_latitude else "EW")[int(turned < 0)]
