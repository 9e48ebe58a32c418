"""The user's CSV files, as spreadsheets and loggers write them; error messages name line and column."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.sensors.dialect import SPACES, Cells, Known, find_header, without_numbers
from sparsevq.sensors.numbers import MISSING, Marks
from sparsevq.sensors.text import read_lines

Say = Callable[[str], None]
"""Where notes go, one line each."""


def print_note(line: str) -> None:
    """Print what was done to a file beyond what it says."""
    print(f"note: {line}", flush=True)


@dataclass(frozen=True)
class Row:
    """One line of a CSV file.

    Attributes
    ----------
    path
        The file.
    line
        Its line number, as an editor shows it.
    cells
        Column -> text.
    marks
        The decimal marks of the file.
    """

    path: Path
    line: int
    cells: Mapping[str, str]
    marks: Marks = field(default_factory=Marks)

    def fault(self, what: str, do: str) -> SparseVQError:
        """The error to raise for this line."""
        return SparseVQError(f"{self.path}, line {self.line}: {what}", do)

    def missing(self, column: str) -> bool:
        """Whether the line has no value in a column, which may be absent."""
        return self.cells.get(column, "").lower() in MISSING

    def number(self, column: str) -> float:
        """The finite number in a column.

        Raises
        ------
        SparseVQError
            There is no finite number.
        """
        text = self.cells[column]
        if self.missing(column):
            raise self.fault(f"column {column} holds {text!r}", "write a finite number, or leave the line out")
        try:
            value = self.marks.number(text)
        except ValueError as error:
            what, _, do = str(error).partition(": ")
            raise self.fault(f"column {column} holds {text!r}, {what}", do) from None
        if not math.isfinite(value):
            raise self.fault(f"column {column} holds {text!r}", "write a finite number, or leave the cell empty")
        return value


@dataclass(frozen=True)
class Table:
    """A CSV file with a header.

    Attributes
    ----------
    path
        The file.
    line
        The line of the header.
    columns
        The header; "" for a column without a name.
    rows
        The lines below the header; at least one.
    units
        Column -> what a line of units below the header says of it.
    """

    path: Path
    line: int
    columns: tuple[str, ...]
    rows: Sequence[Row]
    units: Mapping[str, str] = field(default_factory=dict)

    def fault(self, what: str, do: str) -> SparseVQError:
        """The error to raise for the header."""
        return SparseVQError(f"{self.path}, line {self.line}: {what}", do)


def read_table(path: str | Path, known: Known, example: str) -> Table:
    """Read a CSV file: a header, then lines with as many cells.

    Cells are separated by commas, semicolons, tabs, bars or spaces; quotes and spaces around cells, comments, empty
    lines, columns without name and cells, a line of units and headers that are repeated are taken as what they are.

    Parameters
    ----------
    path
        The file.
    known
        Whether a cell is the name of a column, by which the header is found.
    example
        A header, for messages.

    Raises
    ------
    SparseVQError
        The file can't be read, is empty or no text, has no header, no line below it, a column twice, or a line with
        too few or too many cells.
    """
    path = Path(path)
    header, records = find_header(path, read_lines(path), known, example)
    columns = list(header.cells)
    records = [(line, cells) for line, cells in records if cells != columns]
    if header.separator in (SPACES, "\t") and _numbered(columns, records):  # as R and pandas write it
        columns = ["", *columns]
    units: dict[str, str] = {}
    for place in range(2):  # units, and what a logger did in its interval (Avg, Smp)
        if records and without_numbers(records[0][1]) and len(records) > 1 and len(records[0][1]) <= len(columns):
            said = dict(zip(columns, records[0][1], strict=False))
            if place == 0:
                units = said
            elif len({*filter(None, said.values())} - set(units.values())) > 3:
                break
            records = records[1:]
    if not records:
        raise SparseVQError(f"{path} has no line below its header", "write one line for each sensor")
    cells_of = [(line, _fitted(path, line, cells, columns, header.separator)) for line, cells in records]
    kept = [place for place, column in enumerate(columns) if column or any(cells[place] for _, cells in cells_of)]
    names = tuple(columns[place] for place in kept)
    table = Table(path, header.line, names, (), {name: unit for name, unit in units.items() if unit})
    for name in names:
        if names.count(name) > 1:
            raise table.fault(
                f"column {name!r} is there twice" if name else "several columns have no name", "name each column once"
            )
    marks = Marks.found_in((cells[place], line) for line, cells in cells_of for place in kept)
    rows = tuple(Row(path, line, {columns[place]: cells[place] for place in kept}, marks) for line, cells in cells_of)
    return Table(path, header.line, names, rows, table.units)


def _numbered(columns: Cells, records: list[tuple[int, Cells]]) -> bool:
    """Whether each line has one more cell than the header, first of all its number."""
    numbers = [cells[0] for _, cells in records if len(cells) == len(columns) + 1]
    return len(numbers) == len(records) > 0 and any(
        numbers == [str(begin + place) for place in range(len(numbers))] for begin in (0, 1)
    )


def _fitted(path: Path, line: int, cells: list[str], columns: list[str], separator: str) -> list[str]:
    """The cells of a line, as many as there are columns; further ones are empty."""
    extra = cells[len(columns) :]
    if len(cells) < len(columns) or any(extra):
        do = "fix the line, or write an empty cell where there is nothing"
        if separator == "," and any(extra):
            do = "name each column; if the numbers have decimal commas, separate the cells by semicolons"
        raise SparseVQError(
            f"{path}, line {line}: {len(cells)} cells, but the header has {len(columns)}: {', '.join(columns)}", do
        )
    return cells[: len(columns)]
