"""Tables of readings, and the user's CSV files of them, as spreadsheets and loggers write them."""

import hashlib
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest
from sparsevq.sensors.tables.dialect import SPACES, Cells, Known, find_header, without_numbers
from sparsevq.sensors.tables.numbers import MISSING, NOTHING, Marks
from sparsevq.sensors.tables.source import Source, csv_file
from sparsevq.sensors.tables.text import read_lines

Say = Callable[[str], None]
"""Where notes go, one line each."""


def print_note(line: str) -> None:
    """Print what was done to a file beyond what it says."""
    print(f"note: {line}", flush=True)


@dataclass(frozen=True)
class Row:
    """One row of a table: a line of a CSV file.

    Attributes
    ----------
    source
        What the table was made from.
    key
        Which row it is: of a CSV file the line's number, as an editor shows it.
    cells
        Column -> text; numbers as Python writes them, which is exact.
    marks
        The decimal marks of the table.
    """

    source: Source
    key: Hashable
    cells: Mapping[str, str]
    marks: Marks = field(default_factory=Marks)

    @property
    def where(self) -> str:
        """The row, for messages."""
        return self.source.row(self.key)

    @property
    def on(self) -> str:
        """``on line 3``."""
        return f"{self.source.on} {self.source.at(self.key)}"

    def fault(self, what: str, do: str) -> SparseVQError:
        """The error to raise for this row."""
        return SparseVQError(f"{self.where}: {what}", do)

    def cell_fault(self, column: str, what: str, do: str) -> SparseVQError:
        """The error to raise for a cell, which ``holds ...``, or of which one says: ``: ...``."""
        return SparseVQError(f"{self.source.cell(self.key, column)}{' ' * (not what.startswith(':'))}{what}", do)

    def missing(self, column: str) -> bool:
        """Whether the row has no value in a column, which may be absent."""
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
            raise self.cell_fault(
                column, f"holds {text!r}", f"write a finite number, or leave the {self.source.word} out"
            )
        try:
            value = self.marks.number(text)
        except ValueError as error:
            what, _, do = str(error).replace(NOTHING, self.source.nothing).partition(": ")
            raise self.cell_fault(column, f"holds {text!r}, {what}", do) from None
        if not math.isfinite(value):
            raise self.cell_fault(column, f"holds {text!r}", f"write a finite number, or {self.source.nothing}")
        return value


@dataclass(frozen=True)
class Table:
    """Rows of named columns: a CSV file with a header, or what holds as much.

    Attributes
    ----------
    source
        What it was made from.
    header
        The row of the header; None: it has none.
    columns
        The header; "" for a column without a name.
    rows
        Those below the header; at least one.
    units
        Column -> what is said of its unit beside its name: a line of units below the header, an attribute.
    date
        Of the last frame, where something else than a column says it.
    ordered
        Frames are numbered by their order alone, which says nothing of other readings.
    """

    source: Source
    header: Hashable
    columns: tuple[str, ...]
    rows: Sequence[Row]
    units: Mapping[str, str] = field(default_factory=dict)
    date: str | None = None
    ordered: bool = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.source.name

    @property
    def digest(self) -> str:
        """SHA-256 of its file, or of its cells where it is none."""
        if self.source.path is not None:
            return digest(self.source.path)
        lines = [self.columns, [self.units.get(column, "") for column in self.columns], [self.date or ""]]
        lines += [[row.cells[column] for column in self.columns] for row in self.rows]
        return hashlib.sha256("\n".join("\t".join(line) for line in lines).encode()).hexdigest()

    def fault(self, what: str, do: str) -> SparseVQError:
        """The error to raise for the header."""
        return SparseVQError(f"{self.name if self.header is None else self.source.row(self.header)}: {what}", do)


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
    return table_of_lines(csv_file(path), read_lines(path), known, example)


def table_of_lines(source: Source, lines: list[str], known: Known, example: str, separator: str | None = None) -> Table:
    """The table that lines of text are, whose cells are separated so (None: it is found); else as `read_table`."""
    header, records = find_header(source, lines, known, example, separator)
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
        raise SparseVQError(
            f"{source.name} has no {source.word} below its header", f"write one {source.word} for each sensor"
        )
    cells_of = [(line, _fitted(source, line, cells, columns, header.separator)) for line, cells in records]
    kept = [place for place, column in enumerate(columns) if column or any(cells[place] for _, cells in cells_of)]
    names = tuple(columns[place] for place in kept)
    table = Table(source, header.line, names, (), {name: unit for name, unit in units.items() if unit})
    for name in names:
        if names.count(name) > 1:
            raise table.fault(
                f"column {name!r} is there twice" if name else "several columns have no name", "name each column once"
            )
    marks = Marks.found_in(
        (cells[place], f"{source.on} {source.at(line)}") for line, cells in cells_of for place in kept
    )
    rows = tuple(Row(source, line, {columns[place]: cells[place] for place in kept}, marks) for line, cells in cells_of)
    return Table(source, header.line, names, rows, table.units)


def _numbered(columns: Cells, records: list[tuple[int, Cells]]) -> bool:
    """Whether each line has one more cell than the header, first of all its number."""
    numbers = [cells[0] for _, cells in records if len(cells) == len(columns) + 1]
    return len(numbers) == len(records) > 0 and any(
        numbers == [str(begin + place) for place in range(len(numbers))] for begin in (0, 1)
    )


def _fitted(source: Source, line: int, cells: list[str], columns: list[str], separator: str) -> list[str]:
    """The cells of a line, as many as there are columns; further ones are empty."""
    extra = cells[len(columns) :]
    if len(cells) < len(columns) or any(extra):
        do = f"fix the {source.word}, or write an empty cell where there is nothing"
        if separator == "," and any(extra):
            do = "name each column; if the numbers have decimal commas, separate the cells by semicolons"
        raise SparseVQError(
            f"{source.row(line)}: {len(cells)} cells, but the header has {len(columns)}: {', '.join(columns)}", do
        )
    return cells[: len(columns)]
