"""Numbers as files pack them: types, scale and offset, missing values; what they mean is known."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Dice = np.random.Generator
DEFAULT_FILL = {"f4": 9.9692099683868690e36, "f8": 9.9692099683868690e36, "i2": -32767, "i4": -2147483647}
"""What the netCDF library fills with where nothing was written and no attribute says otherwise."""
SCALES = ("scale_factor", "add_offset"), ("ScaleFactor", "Offset")


@dataclass
class Packed:
    """Stored numbers, their attributes and what they mean (NaN where missing).

    `fill` is the value for `_FillValue` where the format treats it as its own (netCDF); `how` says what is odd.
    """

    stored: np.ndarray
    attributes: dict[str, Any]
    meaning: np.ndarray
    fill: Any = None
    how: str = "plain"


def packed(dice: Dice, shape: tuple[int, ...], default_fill: bool, names: int = 1) -> Packed:
    """Numbers of a shape.

    `default_fill`: the format has default fill values; `names`: how many spellings of scale and offset it has.
    """
    field = dice.normal(size=shape) * float(dice.choice([0.1, 1, 30])) + float(dice.choice([0, 5, 290]))
    kind = str(dice.choice(["f4", "f4", "f8", ">f4", "i2", "i2", "i4", "u1", "u2", "i1"]))
    attributes: dict[str, Any] = {"units": str(dice.choice(["K", "m s-1", "kg m-2", "1"]))}
    scale, offset = 1.0, 0.0
    if np.dtype(kind).kind != "f":
        info = np.iinfo(kind)
        low, high = max(info.min, -30000) + 3, min(info.max, 30000) - 3
        scale, offset = _scaled(dice, field, low, high)
        stored = np.clip(np.round((field - offset) / scale), low, high).astype(kind)
        which = SCALES[int(dice.integers(names))]
        real = np.float32 if dice.random() < 0.3 else np.float64
        scale, offset = float(real(scale)), float(real(offset))
        attributes |= {which[0]: _single(dice, real(scale)), which[1]: _single(dice, real(offset))}
    else:
        stored = field.astype(kind)
    meaning = stored.astype(np.float64) * scale + offset
    made = Packed(stored, attributes, meaning)
    if dice.random() < 0.7:
        _missing(dice, made, (scale, offset), default_fill)
    return made


def _scaled(dice: Dice, field: np.ndarray, low: int, high: int) -> tuple[float, float]:
    """A scale and offset that bring a field into a range of integers."""
    span = float(field.max() - field.min()) or 1.0
    scale = span / (high - low) * 1.02
    if dice.random() < 0.2:
        scale = -scale
    return scale, float(field.min()) - (low if scale > 0 else high) * scale - 0.01 * abs(scale)


def _single(dice: Dice, value: Any) -> Any:
    """A number, or an array of one, as writers give them."""
    return np.array([value]) if dice.random() < 0.15 else value


def _missing(dice: Dice, made: Packed, packing: tuple[float, float], default_fill: bool) -> None:
    """Some values are missing, and the file says so in one of many ways."""
    kind = made.stored.dtype
    name = kind.str[1:]
    gone = dice.random(made.stored.shape) < float(dice.choice([0.05, 0.3]))
    gone.flat[0] = False
    value: Any = float(dice.choice([-9999, -999.99, 1e20, -1e30])) if kind.kind == "f" else _unused(dice, made.stored)
    value = kind.type(value)
    ways = ["_FillValue", "missing_value", "both", "two", "other type"]
    ways += ["NaN", "text"] if kind.kind == "f" else ["several"]
    ways += ["default"] if default_fill and name in DEFAULT_FILL else []
    ways += ["valid_range", "valid_min"] if kind.kind == "f" or np.iinfo(kind).min < 0 else []
    way = str(dice.choice(ways))
    made.how = way
    if way == "NaN":
        value = kind.type(np.nan)
    elif way == "default":
        value = kind.type(DEFAULT_FILL[name])
    elif way in ("_FillValue", "both"):
        made.fill = value
        made.attributes |= {"missing_value": value} if way == "both" else {}
    elif way == "missing_value":
        made.attributes["missing_value"] = _single(dice, value)
    elif way == "other type":
        made.attributes["missing_value"] = (np.float64 if kind != np.float64 else np.float32)(value)
    elif way == "text":
        made.attributes["missing_value"] = f"{float(value):g}"
        value = kind.type(float(f"{float(value):g}"))
    elif way == "several":
        made.attributes["missing_value"] = np.array([value, value + 1 if value < 0 else value - 1], dtype=kind)
    elif way == "two":
        _two(dice, made, value, gone)
    else:
        value = _out_of_range(made, way, packing)
    made.stored[gone] = value
    made.meaning[gone] = np.nan


def _two(dice: Dice, made: Packed, value: Any, gone: np.ndarray) -> None:
    """`_FillValue` and `missing_value` that differ, both used."""
    kind = made.stored.dtype
    other = kind.type(-8888.0) if kind.kind == "f" else kind.type(value + 1 if value < 0 else value - 1)
    made.fill, made.attributes["missing_value"] = other, value
    second = (dice.random(made.stored.shape) < 0.1) & ~gone
    second.flat[0] = False
    made.stored[second] = other
    made.meaning[second] = np.nan


def _out_of_range(made: Packed, way: str, packing: tuple[float, float]) -> Any:
    """Bounds in the type of the stored numbers, which are in packed units (CF 2.5.1); a value below them."""
    kind = made.stored.dtype
    low, high = made.stored.min(), made.stored.max()
    if kind.kind == "f":
        low, high = low - abs(low) * 0.01 - 0.01, high + abs(high) * 0.01 + 0.01
    value = kind.type(-99999.0) if kind.kind == "f" else np.iinfo(kind).min
    if way == "valid_range":
        made.attributes["valid_range"] = np.array([low, high], dtype=kind.newbyteorder("="))
    else:
        made.attributes["valid_min"] = kind.newbyteorder("=").type(low)
    return value


def _unused(dice: Dice, stored: np.ndarray) -> Any:
    info = np.iinfo(stored.dtype)
    ends = [info.max, info.max - 1] if info.min == 0 else [info.min, info.min + 1, info.max]
    if stored.dtype.itemsize > 1 and info.min < 0:
        ends.append(-32767 if stored.dtype.itemsize == 2 else -99999)
    return int(dice.choice([end for end in ends if not (stored == end).any()]))
