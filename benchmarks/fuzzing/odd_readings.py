"""Readings as spreadsheets and loggers write them, whose values are known; and damaged ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.attempt import Attempt, Wrong, close
from fuzzing.damage import DAMAGES
from sparsevq.sensors.form import Form
from sparsevq.sensors.history import History, read_history

Dice = np.random.Generator
TIMES = np.arange(10.0) * 0.5
NUMBERS: dict[str, Callable[[float], str]] = {
    "plain": repr,
    "exponent": "{:.9e}".format,
    "capital exponent": "{:.9E}".format,
    "sign": "{:+.9f}".format,
    "minus sign": lambda value: repr(value).replace("-", "\u2212"),
    "spaces": lambda value: f"  {value!r} ",
    "Fortran": lambda value: f"{value:.9e}".replace("e", "D"),
}
HEADERS: dict[str, Callable[[str, str], str]] = {
    "plain": lambda name, unit: name,
    "capitals": lambda name, unit: name.upper(),
    "title": lambda name, unit: name.title(),
    "[unit]": lambda name, unit: f"{name} [{unit}]",
    "(unit)": lambda name, unit: f"{name} ({unit})",
    "spaces": lambda name, unit: f" {name} ",
}


@dataclass
class Dialect:
    """How a table is written."""

    separator: str
    decimal_comma: bool
    quoted: bool
    newline: str
    encoding: str
    number: str
    header: str
    trailing: bool
    index: bool
    lines: str

    @property
    def name(self) -> str:
        """What is odd about it, for the table."""
        separators = {",": "comma", ";": "semicolon", "\t": "tab", ", ": "comma space", "; ": "semicolon space"}
        odd = [separators[self.separator]]
        odd += ["decimal comma"] if self.decimal_comma else []
        odd += [self.encoding] if self.encoding == "utf-16" else []
        return ", ".join(odd)


@dataclass
class Meant:
    """What a table says: frames in order, each ``(n, d)`` places and ``(n, C)`` values, NaN where there is none."""

    offsets: list[int]
    places: list[np.ndarray]
    values: list[np.ndarray]


def attempts(dice: Dice, folder: Path) -> Attempt:
    """A table of readings: odd, or damaged as well."""
    axes = [("y", "x"), ("lat", "lon"), ("x",), ("z", "y", "x")][int(dice.choice([0, 0, 1, 2, 3]))]
    channels, units = [("u",), ("u", "v"), ("T", "p")][int(dice.integers(3))], ("m/s", "m/s")
    units = units[: len(channels)] if channels != ("T", "p") else ("K", "Pa")
    unit_of = {
        **dict.fromkeys(axes, "m" if "lat" not in axes else "degrees"),
        **dict(zip(channels, units, strict=True)),
    }
    number = int(dice.integers(1, 5))
    sensors = np.round(dice.uniform(-9, 9, (number, len(axes))), 3)
    at = {axis: unit_of[axis] for axis in axes}
    form = Form(axes, channels, units, True, sensors, axis_units=at, time_units="s")
    dialect = _dialect(dice)
    table, meant = _table(dice, axes, channels, sensors)
    content = _text(dice, table, dialect, unit_of)
    path = folder / "readings.csv"
    damaged = dice.random() < 0.45
    for _ in range(int(dice.integers(1, 3)) if damaged else 0):
        content = DAMAGES[int(dice.integers(len(DAMAGES)))](dice, content)
    path.write_bytes(content)
    about = {"dialect": vars(dialect), "axes": axes, "channels": channels, "sensors": sensors.tolist()}
    if damaged:
        return Attempt("damaged csv", lambda: _anything(path, form), about)
    return Attempt(f"odd csv: {dialect.name}", lambda: _compared(path, form, meant), about)


def _dialect(dice: Dice) -> Dialect:
    separator = str(dice.choice([",", ";", "\t", ", ", "; "]))
    quoted = bool(dice.random() < 0.15)
    comma = bool(dice.random() < 0.3) and (separator[0] != "," or quoted)
    return Dialect(
        separator,
        comma,
        quoted,
        newline=str(dice.choice(["\n", "\n", "\r\n", "\r"])),
        encoding=str(dice.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])),
        number=str(dice.choice(list(NUMBERS), p=[0.6, *[0.4 / 6] * 6])),
        header=str(dice.choice(list(HEADERS), p=[0.5, *[0.1] * 5])),
        trailing=bool(dice.random() < 0.1),
        index=bool(dice.random() < 0.1),
        lines=str(dice.choice(["", "", "", "blank", "empty rows", "comment", "sep="])),
    )


def _table(
    dice: Dice, axes: tuple[str, ...], channels: tuple[str, ...], sensors: np.ndarray
) -> tuple[tuple[list[str], list[list[Any]]], Meant]:
    """Header and rows, and what they mean."""
    by_number = dice.random() < 0.2
    clock = str(dice.choice(["", "", "frame", "time"]))
    frames = int(dice.integers(1, 4)) if clock else 1
    read = [name for name in channels if dice.random() < 0.85] or list(channels[:1])
    header = [*([clock] if clock else []), *(["sensor"] if by_number else axes), *read]
    offsets = sorted({0, *(-int(back) for back in dice.integers(0, 6, frames - 1))})
    meant, rows = Meant(offsets, [], []), []
    base = int(dice.integers(10))
    for offset in offsets:
        values = np.round(dice.normal(size=(len(sensors), len(channels))) * 5 + 10, 6)
        values[:, [name not in read for name in channels]] = np.nan
        if dice.random() < 0.2:
            values[dice.random(values.shape) < 0.3] = np.nan
        values[0, channels.index(read[0])] = 1.5  # every frame has a value
        kept = ~np.isnan(values).all(axis=1)
        order = np.lexsort(sensors[kept].T)
        meant.places.append(sensors[kept][order])
        meant.values.append(values[kept][order])
        stamp = {"": [], "frame": [base - offsets[0] + offset], "time": [0.5 * (base - offsets[0] + offset)]}[clock]
        for index, (place, line) in enumerate(zip(sensors, values, strict=True)):
            cells = [value for value, name in zip(line.tolist(), channels, strict=True) if name in read]
            rows.append([*stamp, *([index] if by_number else place.tolist()), *cells])
    if dice.random() < 0.3:
        turn = [int(at) for at in dice.permutation(len(header))]
        header, rows = [header[at] for at in turn], [[row[at] for at in turn] for row in rows]
    return (header, [rows[int(at)] for at in dice.permutation(len(rows))]), meant


def _text(dice: Dice, table: tuple[list[str], list[list[Any]]], dialect: Dialect, unit_of: dict[str, str]) -> bytes:
    header, rows = table
    gone = str(dice.choice(["", "NaN", "nan"]))

    def cell(value: Any) -> str:
        if isinstance(value, float) and np.isnan(value):
            return gone
        shown = NUMBERS[dialect.number](value) if isinstance(value, float) else str(value)
        shown = shown.replace(".", ",") if dialect.decimal_comma else shown
        return f'"{shown}"' if dialect.quoted else shown

    titles = [HEADERS[dialect.header](name, unit_of[name]) if name in unit_of else name for name in header]
    lines = [
        [f'"{title}"' if dialect.quoted else title for title in titles],
        *([cell(value) for value in row] for row in rows),
    ]
    if dialect.index:
        lines = [["", *lines[0]], *([str(number), *line] for number, line in enumerate(lines[1:]))]
    if dialect.trailing:
        lines = [[*line, ""] for line in lines]
    texts = [dialect.separator.join(line) for line in lines]
    if dialect.lines == "blank":
        texts = [*texts[:1], "", *texts[1:], ""]
    elif dialect.lines == "empty rows":
        texts.append(dialect.separator * (len(lines[0]) - 1))
    elif dialect.lines == "comment":
        texts.insert(0, "# station log 2024")
    elif dialect.lines == "sep=":
        texts.insert(0, f"sep={dialect.separator[0]}")
    encoding = "utf-8" if dialect.encoding == "latin-1" and dialect.number == "minus sign" else dialect.encoding
    return (dialect.newline.join(texts) + dialect.newline).encode(encoding)


def _anything(path: Path, form: Form) -> str:
    history = read_history(path, form, TIMES)
    for frame in history.frames:
        if frame.values.shape != (len(frame.places), len(form.channels)) or not np.isfinite(frame.places).all():
            raise Wrong(f"places {frame.places.tolist()}, values {frame.values.tolist()}")
        if np.isnan(frame.values).all(axis=1).any() or np.isinf(frame.values).any() or not (frame.noise >= 0).all():
            raise Wrong(f"values {frame.values.tolist()}, noise {frame.noise.tolist()}")
    return "read"


def _compared(path: Path, form: Form, meant: Meant) -> str:
    history: History = read_history(path, form, TIMES)
    if list(history.offsets) != meant.offsets:
        raise Wrong(f"frames {history.offsets} instead of {meant.offsets}")
    for frame, places, values in zip(history.frames, meant.places, meant.values, strict=True):
        if frame.places.shape != places.shape:
            raise Wrong(f"places {frame.places.tolist()} instead of {places.tolist()}")
        close("places", frame.places, places, 1e-7)
        close("readings", frame.values, values, 1e-7)
    return "right"
