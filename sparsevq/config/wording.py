"""What values of a type may be, in words and with an example: what messages about the configuration tell to write."""

import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

EXAMPLES: dict[Any, str] = {int: "20", float: "0.5", str: "a", bool: "true", Path: "folder/file"}
"""Of entries of lists."""
WHAT: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
SEVERAL: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "names", Path: "paths"}
NUMBER = {2: "two", 3: "three"}


class Form(Enum):
    """How lists are written: in a file ``[1, 2]``, in a flag ``1,2``."""

    FILE = ("[", ", ", "]")
    FLAG = ("", ",", "")

    def listed(self, entries: list[str]) -> str:
        """Entries as a list."""
        first, between, last = self.value
        return f"{first}{between.join(entries)}{last}"


def bare(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its notes, and the notes, `Annotated`'s and those of pydantic's fields."""
    notes: tuple[Any, ...] = ()
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        notes = (*notes, *more)
    return annotation, tuple(part for note in notes for part in getattr(note, "metadata", (note,)))


def leaves(annotation: Any) -> frozenset[Any]:
    """All plain types that a type is made of."""
    kind, _ = bare(annotation)
    if get_origin(kind) in (Literal, None):
        return frozenset([kind])
    return frozenset(leaf for part in get_args(kind) if part is not Ellipsis for leaf in leaves(part))


def options(annotation: Any) -> list[Any]:
    """The types of a union but None; a type that is none is its own only one."""
    kind, _ = bare(annotation)
    if get_origin(kind) in (Union, types.UnionType):
        return [option for option in get_args(kind) if option is not types.NoneType]
    return [annotation]


def expected(annotation: Any, form: Form = Form.FILE) -> str:
    """What may be written for a type: ``a list of whole numbers of at least 1, such as [20]``."""
    kind, notes = bare(annotation)
    if get_origin(kind) in (Union, types.UnionType):
        lists = [option for option in options(kind) if get_origin(bare(option)[0]) is tuple]
        alone = [option for option in options(kind) if option not in lists]
        return " or ".join(_alone(*bare(option), form) for option in (*alone, *lists))
    return _alone(kind, notes, form)


def _alone(kind: Any, notes: tuple[Any, ...], form: Form) -> str:
    if get_origin(kind) is Literal:
        values = [str(value) for value in get_args(kind)]
        return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
    if get_origin(kind) is tuple:
        return _list(get_args(kind), form)
    if get_origin(kind) is dict:
        entry = example(kind, form)
        if entry is None:
            return "a name, and below it `key: value` lines"
        return f"`name: value` lines, such as {entry}" if form is Form.FILE else f"name=value, such as {entry}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "`key: value` lines below it, indented"
    if any(getattr(note, "pattern", None) for note in notes):
        return "a name of letters, digits, _ and -, which begins with a letter"
    return " ".join([WHAT.get(kind, "a value"), *_bounds(notes)])


def _list(entries: tuple[Any, ...], form: Form) -> str:
    shown = example(tuple[entries], form)  # type: ignore[valid-type]  # made while running
    if entries[-1] is not Ellipsis:
        kind, notes = bare(entries[0])
        what = "numbers or dates" if options(kind) == [float, str] else SEVERAL.get(kind, "values")
        bounded = " ".join([what, *_bounds(notes)])
        return f"{NUMBER.get(len(entries), str(len(entries)))} {bounded}, such as {shown}"
    kind, notes = bare(entries[0])
    if get_origin(kind) is Literal:
        values = ", ".join(str(value) for value in get_args(kind))
        return f"a list of some of {values}, such as {shown}"
    if get_origin(kind) is tuple:
        return f"a list of pairs, such as {shown}"
    return " ".join(["a list of", SEVERAL.get(kind, "values"), *_bounds(notes)]) + f", such as {shown}"


def _bounds(notes: tuple[Any, ...]) -> Iterator[str]:
    words = {"ge": "of at least", "gt": "above", "le": "up to", "lt": "below"}
    bounds = [f"{word} {getattr(note, key):g}" for note in notes for key, word in words.items() if hasattr(note, key)]
    if bounds:
        yield " and ".join(bounds)


def example(annotation: Any, form: Form = Form.FILE) -> str | None:
    """A value that is allowed, as it is written; None where it takes lines of its own."""
    kind, _ = bare(options(annotation)[0])
    if get_origin(kind) is Literal:
        return str(get_args(kind)[0])
    if get_origin(kind) is dict:
        value = example(get_args(kind)[1], form)
        if value is None:
            return None
        return f"{{x: {value}}}" if form is Form.FILE else f"x={value}"
    if get_origin(kind) is not tuple:
        return EXAMPLES.get(kind)
    entries = get_args(kind)
    if entries[-1] is not Ellipsis:
        numbers = [str(number) for number in range(1, len(entries) + 1)]
        return ":".join(numbers) if form is Form.FLAG else form.listed(numbers)
    return form.listed([example(entries[0], form) or "..."])
