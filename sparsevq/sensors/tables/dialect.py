"""How a CSV file is laid out: its separator, which line is the header, and which lines are comments."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.numbers import MISSING, is_number, plain
from sparsevq.sensors.tables.source import Source

SPACES = " "
"""Separator of columns by any number of spaces and tabs."""
_SEPARATORS = ("\t", ";", ",", "|", SPACES)
"""In the order in which they are preferred where a header can be split by several."""
_COMMENT = re.compile(r"\s*(#|%|//|!)+\s?")
_LOOKED_THROUGH = 60
"""Lines among which the header is looked for: loggers write a few about themselves first."""
_DATE_AND_CLOCK = re.compile(r"(\d{4}[-/]\d\d?[-/]\d\d?)\s+(\d\d?:\d\d)")

Cells = list[str]
Known = Callable[[str], bool]


@dataclass(frozen=True)
class Header:
    """The header of a file: its line (from 1), its cells, and what separates the cells of all lines."""

    line: int
    cells: tuple[str, ...]
    separator: str
    commented: bool = False


def find_header(
    source: Source, lines: list[str], known: Known, example: str, separator: str | None = None
) -> tuple[Header, list[tuple[int, Cells]]]:
    """The header of a file, and its other lines with their numbers, split into plain cells; comments are left out.

    The header is the line with the most cells that are `known`, which may be a comment, if comments have more than
    the first other line. The separator is that by which it has them.

    Parameters
    ----------
    source
        The file, for messages.
    lines
        `sparsevq.sensors.tables.text.read_lines`.
    known
        Whether a plain cell is the name of a column.
    example
        A header, for messages.
    separator
        What separates cells; None: it is found.

    Raises
    ------
    SparseVQError
        There is no header, or lines cannot be split.
    """
    told = _told_separator(lines) if separator is None else (separator, 0)
    candidates = [
        _candidate(text, number, told, known)
        for number, text in enumerate(lines[:_LOOKED_THROUGH], 1)
        if text.strip() and not (told and number == told[1])
    ]
    if not candidates:
        raise SparseVQError(f"{source.name} is empty", f"write a header and one {source.word} for each sensor")
    best, header = max(candidates, key=lambda found: (found[0], not found[1].commented, -found[1].line))
    if not best:
        header = next((found for _, found in candidates if not found.commented), candidates[0][1])
        if any(is_number(cell) for cell in header.cells):
            raise SparseVQError(
                f"{source.name} has no header: {source.at(header.line)} holds {', '.join(header.cells[:4])} ..."
                if len(header.cells) > 4
                else f"{source.name} has no header: {source.at(header.line)} holds {', '.join(header.cells)}",
                f"write the names of the columns in the first {source.word}, such as {example}",
            )
    return header, [*_split(source, lines, header)]


def _told_separator(lines: list[str]) -> tuple[str, int] | None:
    """What a line ``sep=;``, which Excel reads, says: the separator and that line's number."""
    for number, text in enumerate(lines[:3], 1):
        if found := re.fullmatch(r'\s*"?sep=(.)"?\s*', text, re.IGNORECASE):
            return (SPACES if found[1] == " " else found[1]), number
    return None


def _candidate(text: str, line: int, told: tuple[str, int] | None, known: Known) -> tuple[int, Header]:
    """A line as a header: how many of its cells are known by the best separator, and what it then is."""
    commented = bool(_COMMENT.match(text))
    text = _COMMENT.sub("", text, count=1) if commented else text
    found = []
    for separator in _SEPARATORS if told is None else told[0]:
        cells = _cells_of_line(_joined_units(text) if separator == SPACES else text, separator)
        while cells and not cells[-1]:
            cells.pop()
        found.append((len({cell for cell in cells if known(cell)}), Header(line, tuple(cells), separator, commented)))
    # A unit may hold a separator (`temp, degC`): of two splits with equally many names the one with fewer cells that
    # hold anything, unless none is known. Cells without a name must not tip it: by spaces they vanish, and empty cells
    # below them, too.
    return max(found, key=lambda one: (one[0], (-1 if one[0] else 1) * sum(map(bool, one[1].cells))))


def _joined_units(text: str) -> str:
    """A header that spaces separate, with units that belong to the name before them: ``u [m s-1]`` is one cell."""
    return re.sub(
        r"\s*([\[(])([^\])]*)([\])])", lambda found: found[1] + found[2].strip().replace(" ", ".") + found[3], text
    )


def _cells_of_line(text: str, separator: str) -> Cells:
    return next(iter(_reader([text], separator)), [])


def _reader(lines: list[str], separator: str) -> Iterator[Cells]:
    if separator == SPACES:
        lines = [re.sub(r"\s+", " ", line).strip() for line in lines]
    for cells in csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t"):
        yield [plain(cell.replace("\n", " ")) for cell in cells]


def _split(source: Source, lines: list[str], header: Header) -> Iterator[tuple[int, Cells]]:
    """The lines below the header; empty ones are left out."""
    kept = ["" if number <= header.line or _COMMENT.match(text) else text for number, text in enumerate(lines, 1)]
    lower = {cell.casefold() for cell in header.cells}
    if header.separator == SPACES and not {"date", "time"} <= lower:
        kept = [_DATE_AND_CLOCK.sub(r"\1T\2", text) for text in kept]
    started = 0
    try:
        for number, cells in enumerate_records(kept, header.separator):
            started = number
            if any(cells):
                yield number, cells
    except csv.Error as error:
        raise SparseVQError(
            f"{source.row(started + 1)}: cannot be split into cells ({error})", "close each quote on its line"
        ) from None


def enumerate_records(lines: list[str], separator: str) -> Iterator[tuple[int, Cells]]:
    """Each line by itself, with its number: a quote that is not closed ends with its line."""
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield number, _cells_of_line(text, separator)


def without_numbers(cells: Cells) -> bool:
    """Whether a line has text alone, as a line of units below the header has."""
    return any(cells) and not any(is_number(cell) or cell.lower() in MISSING - {"", "-", "--", "---"} for cell in cells)
