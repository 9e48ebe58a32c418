"""Attributes of arrays as other programs write them: names in any spelling, numbers as numbers, as text or in lists."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

EXACT = ("units", "_FillValue", "missing_value", "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range")
"""Names of the CF conventions, which count before other spellings of the same."""
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)[fFdDsSbBlL]?$")
"""A number, with the letter of its type as in CDL (``-999.9f``); Fortran's exponents too."""


def by_plain_name(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by their names in lower case without underscores, blanks and hyphens.

    ``ScaleFactor``, ``SCALE FACTOR`` and ``scale_factor`` are one; of several the name of the CF conventions counts.
    """
    named = sorted(attributes.items(), key=lambda item: item[0] in EXACT)
    return {re.sub(r"[_\s-]", "", str(name)).lower(): value for name, value in named}


def units_in(attributes: Mapping[str, Any]) -> str:
    """The unit, from ``units``, ``Units``, ``unit`` and the like; empty if there is none."""
    known = by_plain_name(attributes)
    value = known.get("units", known.get("unit", ""))
    return text_of(value).strip() if value is not None else ""


def text_of(value: Any) -> str:
    """An attribute as text; a list or array of one element is that."""
    if isinstance(value, np.ndarray | list | tuple):
        value = np.ravel(np.asarray(value, dtype=object))
        value = value[0] if len(value) == 1 else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def numbers(value: Any) -> list[Any]:
    """The numbers of an attribute, integers and those of single and double precision in their own types.

    Text that is no number is left out; integers that no type of an array holds are infinite.
    ``"-999.9"``, ``b"-999.9"`` and ``"0, 100"`` are numbers too: ``int`` or ``float`` as they are written.
    """
    found: list[Any] = []
    for each in np.ravel(value) if isinstance(value, np.ndarray) else np.ravel(np.asarray(value, dtype=object)):
        if isinstance(each, bytes | str):
            found += _in_text(text_of(each))
        elif isinstance(each, np.float16 | np.longdouble):
            found.append(float(each))
        elif isinstance(each, int | float | np.integer | np.floating) and not isinstance(each, bool):
            found.append(each)
    return [
        float("inf") * (1 if each > 0 else -1) if is_whole(each) and abs(int(each)) > 2**64 else each for each in found
    ]


def _in_text(text: str) -> list[int | float]:
    words = [word for word in re.split(r"[,;\s\[\]()]+", text.strip("\0 ")) if word]
    if words and all(word.lower() == "nan" for word in words):
        return [float("nan")]
    matches = [_NUMBER.match(word) for word in words]
    if not all(matches):
        return []
    plain = [match[1].lower().replace("d", "e") for match in matches if match]
    return [float(each) if set(each) & set(".e") else int(each) for each in plain]


def is_whole(value: Any) -> bool:
    """Whether a number is of an integer type."""
    return isinstance(value, int | np.integer)
