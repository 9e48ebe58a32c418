"""Faults of a configuration as lines that say what, where and what to write, in the terms of the file."""

import difflib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from sparsevq.config.wording import Form, bare, expected, options

LONGEST = 60
"""Characters of a value that a message repeats."""


def lines_of(error: ValidationError, section: type[BaseModel], values: Any) -> list[str]:
    """One line for each value that is not allowed, each value once."""
    faults = error.errors(include_url=False)

    def follows(fault: Any) -> bool:  # a list is too short because its entries are not allowed
        loc = fault["loc"]
        inside = any(other["loc"][: len(loc)] == loc for other in faults if len(other["loc"]) > len(loc))
        return fault["type"] == "too_short" and inside

    return list(dict.fromkeys(_line(section, values, fault) for fault in faults if not follows(fault)))


def not_allowed(annotation: Any, value: Any, form: Form = Form.FILE) -> str:
    """Why a value is not allowed for a type: what to write instead."""
    return f"write {_instead(annotation, value, form) or expected(annotation, form)}"


def shown(value: Any) -> str:
    """A value as a configuration has it, shortened."""
    text = _written(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{...}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return value.isoformat() if isinstance(value, date) else repr(value)


def _line(section: type[BaseModel], values: Any, fault: Any) -> str:
    """The deepest place that a user has written, its value, and what is allowed there."""
    kind, path, place, annotation, value = fault["type"], list(fault["loc"]), "", section, values
    while path and path[1:] != ["[key]"] and kind != "invalid_key":
        inside = _inside(annotation, value, path[0])
        if inside is None:
            break
        annotation, value = inside
        place = f"{place}.{path[0]}" if place else str(path[0])
        path.pop(0)
    if kind == "extra_forbidden":
        return _unknown(section, place, str(path[0]), fault["input"], bare(options(annotation)[0])[0])
    if kind == "invalid_key" or path[1:] == ["[key]"]:
        return _wrong_name(place, fault, values)
    if kind == "missing" and path and _is_section(annotation):
        missing = bare(options(annotation)[0])[0].model_fields[path[0]].rebuild_annotation()
        return f"{place}.{path[0]} is missing: write {expected(missing)}".lstrip(".")
    if kind == "value_error":  # a check of ours, which names the key and the value
        message = fault["msg"].removeprefix("Value error, ")
        return f"{place}: {message}" if place else message
    if value is None and place:
        return f"{place} is empty: write {expected(annotation)}, or leave {place.rpartition('.')[2]} out"
    entry = _wrong_entry(path, value)
    if entry is not None:
        inner = get_args(bare(annotation)[0])[0]
        return f"{place}: {shown(entry)} in the list is not allowed: {not_allowed(inner, entry)}"
    said = f"{place}={shown(value)}" if place else shown(value)
    return f"{said} is not allowed: {not_allowed(annotation, value)}"


def _is_section(annotation: Any) -> bool:
    kind = bare(options(annotation)[0])[0]
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _inside(annotation: Any, value: Any, key: Any) -> tuple[Any, Any] | None:
    """Type and value below a key; None where the key is none that a user has written."""
    kind, _ = bare(options(annotation)[0]) if len(options(annotation)) == 1 else (annotation, ())
    if not isinstance(value, Mapping) or key not in value:
        return None
    if _is_section(kind) and key in kind.model_fields:
        return kind.model_fields[key].rebuild_annotation(), value[key]
    return (get_args(kind)[1], value[key]) if get_origin(kind) is dict else None


def _wrong_entry(path: list[Any], value: Any) -> Any:
    """The entry of a plain list that is wrong."""
    entries = isinstance(value, list | tuple)
    return value[path[0]] if entries and len(path) == 1 and path[0] in range(len(value)) else None


def _wrong_name(place: str, fault: Any, values: Any) -> str:
    """A key that is no name: pydantic says which of a mapping's, or takes true for 1."""
    name, owner = fault["input"], values
    if fault["type"] == "invalid_key":
        for part in fault["loc"][:-1]:
            owner = owner[part]
        name = next(key for key in owner if not isinstance(key, str) and key == fault["loc"][-1])
        place = ".".join(map(str, fault["loc"][:-1]))
    said = f"{place}: the key {shown(name)} is not allowed" if place else f"the key {shown(name)} is not allowed"
    if isinstance(name, bool):
        return f"{said}: write it in quotes (YAML reads on, off, yes and no as true and false)"
    if isinstance(name, str):
        return f"{said}: write a name of letters, digits, _ and -, which begins with a letter"
    return f"{said}: write a name, in quotes if it is a number"


# ------------------------------------------------------------------------------------------------ unknown keys


def _depth(path: str) -> int:
    """Of a section: how many names lead to it."""
    return len(path.split(".")) if path else 0


def _unknown(section: type[BaseModel], place: str, key: str, value: Any, owner: type[BaseModel]) -> str:
    """An unknown key with the nearest known one, of its own section or the place where it is known."""
    known = list(owner.model_fields)
    where = f"{place}.{key}" if place else key
    said = where if isinstance(value, Mapping | list | tuple) and value else f"{where}={shown(value)}"
    near = nearest(key, known)
    if near is not None:
        return f"{said} is not a known key: write {near}"
    places = [path for path in _places(section) if path != where]
    elsewhere = list(dict.fromkeys(path.rpartition(".")[0] for path in places if path.rpartition(".")[2] == key))
    if elsewhere:
        # Whoever writes a key at the top means a section, not a part of one.
        least = min(map(_depth, elsewhere))
        elsewhere = [section_name for section_name in elsewhere if _depth(section_name) == least]
        move = f"move it to {' or '.join(elsewhere)}" if elsewhere != [""] else "move it to the top of the file"
        return f"{said} is not a known key here: {move}"
    far = nearest(key, [path.rpartition(".")[2] for path in places])
    there = [path for path in places if path.rpartition(".")[2] == far][:1]
    return f"{said} is not a known key; known here: {', '.join(known)}" + "".join(f"; elsewhere: {at}" for at in there)


def nearest(key: str, known: list[str]) -> str | None:
    """The one of the known keys that was probably meant; None: none is like it."""

    def plain(name: str) -> str:
        return name.lower().replace("-", "_").replace(" ", "_")

    same = {plain(name): name for name in known}
    found = difflib.get_close_matches(plain(key), list(same), n=1, cutoff=0.7)
    return same[found[0]] if found else None


def _places(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys, as paths."""
    for name, field in section.model_fields.items():
        kind, _ = bare(options(field.annotation)[0])
        yield prefix + name
        if get_origin(kind) is dict and _is_section(get_args(kind)[1]):
            yield from _places(get_args(kind)[1], f"{prefix}{name}.<name>.")
        elif _is_section(kind):
            yield from _places(kind, f"{prefix}{name}.")


# ------------------------------------------------------------------------------------------------ what to write instead


def _instead(annotation: Any, value: Any, form: Form) -> str | None:
    """The value as it was probably meant, where that is allowed; or what YAML has made of it."""
    for meant in _meant(annotation, value, form):
        try:
            TypeAdapter(annotation).validate_python(meant)
        except ValidationError:
            continue
        text = ", ".join(map(str, meant)) if isinstance(meant, list) else str(meant)
        if isinstance(meant, list):
            return f"[{text}]"
        return f'"{text}", in quotes' if isinstance(meant, str) else text
    kinds = {bare(option)[0] for option in options(annotation)}
    if isinstance(value, bool) and form is Form.FILE and kinds & {int, float, str, Path}:
        return f"{expected(annotation, form)} (YAML reads on, off, yes and no without quotes as true and false)"
    if isinstance(value, date):
        return f"{expected(annotation, form)} (YAML reads {value.isoformat()} without quotes as a date)"
    return None


def _meant(annotation: Any, value: Any, form: Form) -> Iterator[Any]:
    kinds = [bare(option)[0] for option in options(annotation)]
    if form is Form.FILE and any(get_origin(kind) is tuple for kind in kinds):
        if isinstance(value, str):
            yield value.strip("[]() ").replace(",", " ").split()
        if isinstance(value, Mapping) and value and all(inner is None for inner in value.values()):  # {a, b}
            yield list(value)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield [value]
    if isinstance(value, str) and not {int, float}.isdisjoint(kinds):
        for text in (value.replace(",", "."), value.replace("_", "").replace(" ", "")):
            try:
                number = float(text)
            except ValueError:
                continue
            yield int(number) if number.is_integer() else number
    if form is Form.FILE and str in kinds and isinstance(value, int | float | date) and not isinstance(value, bool):
        yield value.isoformat() if isinstance(value, date) else str(value)
