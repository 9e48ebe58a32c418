"""The user's CSV files, read as text, so that error messages can name line and column."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from sparsevq.errors import SparseVQError


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
    """

    path: Path
    line: int
    cells: dict[str, str]

    def fault(self, what: str, do: str) -> SparseVQError:
        """The error to raise for this line."""
        return SparseVQError(f"{self.path}, line {self.line}: {what}", do)

    def number(self, column: str) -> float:
        """The finite number in a column.

        Raises
        ------
        SparseVQError
            There is no finite number.
        """
        text = self.cells[column]
        try:
            value = float(text)
        except ValueError:
            raise self.fault(f"column {column} holds {text!r}, which is no number", "write a number") from None
        if not math.isfinite(value):
            raise self.fault(f"column {column} holds {text!r}", "write a finite number, or leave the line out")
        return value

    def within(self, column: str, value: float, low: float, high: float) -> None:
        """Check a coordinate.

        Raises
        ------
        SparseVQError
            It is outside the domain.
        """
        if not low <= value <= high:
            raise self.fault(f"{column}={value:g} is outside the domain {low:g} ... {high:g}", "check the units")


@dataclass(frozen=True)
class Table:
    """A CSV file with a header.

    Attributes
    ----------
    path
        The file.
    columns
        The header.
    rows
        The lines below the header; at least one.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def require(self, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        """Check that there are these columns, and no others but optional ones.

        Raises
        ------
        SparseVQError
            A column is unknown or missing.
        """
        known = (*columns, *optional)
        unknown = [repr(column) for column in self.columns if column not in known]
        if unknown:
            what = f"unknown column{'s' * (len(unknown) > 1)} {', '.join(unknown)}"
            raise SparseVQError(f"{self.path}, line 1: {what}", f"known are {', '.join(known)}")
        missing = [column for column in columns if column not in self.columns]
        if missing:
            what = f"column{'s' * (len(missing) > 1)} {', '.join(missing)} missing"
            raise SparseVQError(f"{self.path}, line 1: {what}", f"found are {', '.join(self.columns)}")


def read_table(path: str | Path) -> Table:
    """Read a CSV file: a header, then lines with as many cells; empty lines and spaces around cells are ignored.

    Raises
    ------
    SparseVQError
        The file can't be read, is empty or not UTF-8 text, has no line below the header, a column twice, or a line
        with too few or too many cells.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except OSError as error:
        raise SparseVQError(f"cannot read {path} ({error.strerror})", "check the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SparseVQError(f"{path} is not a CSV file ({error})", "save it as comma-separated UTF-8 text") from None
    if not lines:
        raise SparseVQError(f"{path} is empty", "write a header and one line for each sensor")
    (_, header), *rest = lines
    for column in header:
        if header.count(column) > 1 or not column:
            raise SparseVQError(f"{path}, line 1: column {column!r} is twice or has no name", "name each column once")
    if not rest:
        raise SparseVQError(f"{path} has no line below its header", "write one line for each sensor")
    for line, cells in rest:
        if len(cells) != len(header):
            raise SparseVQError(
                f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}", "fix the line"
            )
    rows = tuple(Row(path, line, dict(zip(header, cells, strict=True))) for line, cells in rest)
    return Table(path, tuple(header), rows)
