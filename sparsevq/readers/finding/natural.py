"""The order of numbered names: frame_2 before frame_10, 0.05 before 0.1, 2001.9 before 2001.10, jan before feb."""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path

_RUN = re.compile(r"(?:(?<![0-9A-Za-z).,\] -])-)?[0-9]+(?:[.,p][0-9]+)*(?:(?<=[0-9])[eE][+-][0-9]+)?")
"""A number as names have it: a sign (not the hyphen of ``run-5`` or of a date), decimals, an exponent with a sign."""
_POINT = re.compile(r"[.,p]")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = re.compile(
    r"(?<![a-z])(january|february|march|april|may|june|july|august|september|october|november|december|sept|"
    + "|".join(_MONTHS)
    + r")(?![a-z])",
    re.IGNORECASE,
)
_DATES = 190001
"""The least number that may be a year and a month."""

Key = tuple[tuple[str | tuple[Decimal, ...], ...], ...]


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Paths in the order of the numbers in their names, folder by folder.

    Whether ``1.10`` is a decimal or two whole numbers is decided for all names of a folder together (`_decimal`).
    """
    columns: dict[tuple[int, int], set[str]] = {}
    for path in paths:
        for depth, part in enumerate(path.parts):
            for column, run in enumerate(_RUN.findall(_months_as_numbers(part))):
                columns.setdefault((depth, column), set()).add(run)
    decimal = {place: _decimal(runs) for place, runs in columns.items()}
    return sorted(paths, key=partial(_key, decimal=decimal))


def _key(path: Path, decimal: dict[tuple[int, int], bool]) -> tuple[Key, str]:
    parts: list[tuple[str | tuple[Decimal, ...], ...]] = []
    for depth, part in enumerate(path.parts):
        part = _months_as_numbers(part)
        key: list[str | tuple[Decimal, ...]] = []
        at = 0
        for column, run in enumerate(_RUN.finditer(part)):
            key += [part[at : run.start()].casefold(), _number(run.group(), decimal[depth, column])]
            at = run.end()
        parts.append((*key, part[at:].casefold()))
    return tuple(parts), str(path)


def _number(run: str, decimal: bool) -> tuple[Decimal, ...]:
    if decimal:
        return (Decimal(_POINT.sub(".", run)),)
    return tuple(Decimal(part) for part in _POINT.split(run))


def _decimal(runs: set[str]) -> bool:
    """Whether numbers at one place of the names are decimals; else their parts are whole numbers (dates, sections)."""
    parts = [_POINT.split(run) for run in runs]
    if any(len(each) > 2 for each in parts):
        return False
    fractions = [each[1] for each in parts if len(each) == 2]
    if len(fractions) < len(parts) or any("e" in run.lower() for run in runs):
        return True  # 0, 0.5, 1; 1e-05
    lengths = {len(each) for each in fractions}
    if len(lengths) == 1 or any(each[0] == "0" and len(each) > min(lengths) for each in fractions):
        return True  # 0.05, 0.1: a whole number beside 1 would not have the zero
    return not any(each[-1] == "0" and len(each) > 1 for each in fractions)  # 2001.9, 2001.10: no decimal ends in 0


def _months_as_numbers(name: str) -> str:
    """The name with months by their numbers, ``jan_2001`` as ``01_2001``."""
    return _MONTH.sub(lambda month: f"{_MONTHS.index(month.group()[:3].lower()) + 1:02d}", name)


def name_of_all(stems: Sequence[str]) -> str | None:
    """What numbered names have in common, ``frame`` of frame_1, frame_2; None if they differ in more than numbers.

    Numbers that are the same in all stay (``Re1000_u`` of Re1000_u_1, Re1000_u_2), those of a date do not.
    """
    split = [(_RUN.split(stem), _RUN.findall(stem)) for stem in stems]
    texts = {tuple(text) for text, _ in split}
    if len(texts) > 1:
        numbered = [_months_as_numbers(stem) for stem in stems]
        return name_of_all(numbered) if numbered != list(stems) else None
    same = [runs[0] if len(set(runs)) == 1 else "\0" for runs in zip(*(runs for _, runs in split), strict=True)]
    text = texts.pop()
    for _ in same:  # what is the same in all dates is part of the date
        for at, between in enumerate(text[1:-1]):
            if between in ("-", ":", ".", "T") and "\0" in same[at : at + 2]:
                same[at : at + 2] = ["\0", "\0"]
    whole = text[0] + "".join(run + after for run, after in zip(same, text[1:], strict=True))
    words = [word.strip(" _-.=+:()[]") for word in whole.split("\0")]
    return "_".join(word for word in words if word and word not in ("T", "Z")) or "value"


def first_gap(paths: Sequence[Path]) -> tuple[Path, Path, float] | None:
    """Two neighbours whose numbers are farther apart than others', and how far others are; None if there is no gap.

    Only names that differ in one number are looked at, and not where it is so large that it may be a date.
    """
    runs = [[run for part in path.parts for run in _RUN.findall(part)] for path in paths]
    if len(paths) < 3 or len({len(each) for each in runs}) > 1:
        return None
    varying = [column for column in zip(*runs, strict=True) if len(set(column)) > 1]
    if len(varying) != 1 or not _decimal(set(varying[0])):
        return None
    numbers = [_number(run, True)[0] for run in varying[0]]
    steps = [after - before for before, after in pairwise(numbers)]
    usual = sorted(steps)[len(steps) // 2]
    gaps = [index for index, step in enumerate(steps) if step > usual * Decimal("1.5")]
    if not gaps or max(numbers) >= _DATES:
        return None
    return paths[gaps[0]], paths[gaps[0] + 1], float(usual)
