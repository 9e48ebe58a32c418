"""Tables that were written as Markdown, to be shown as HTML."""

import re
from dataclasses import dataclass
from pathlib import Path

from sparsevq.errors import SparseVQError

_BOLD = re.compile(r"\*\*(.*?)\*\*")
_BREAK = re.compile(r" (?=[(±])")


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and whether it is bold."""

    text: str
    bold: bool = False

    @property
    def parts(self) -> list[str]:
        """Parts that no line should break: a number, and its interval or its deviation."""
        return _BREAK.split(self.text)


@dataclass(frozen=True)
class Table:
    """One table: its title, its headings, which columns are numbers, and its rows."""

    title: str
    headings: list[str]
    numbers: list[bool]
    rows: list[list[Cell]]


def read_tables(path: Path) -> list[Table]:
    """All tables of a file that `sparsevq.evaluation.table_files.markdown` wrote, each under its title.

    Raises
    ------
    SparseVQError
        The file can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SparseVQError(f"{path} can't be read as a table ({error.strerror})", "make the tables first") from None
    tables = []
    for block in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = block.partition("\n")
        lines = [line for line in rest.splitlines() if line.startswith("|")]
        if len(lines) > 1:
            headings, alignment, *rows = (line.strip("|\n").split("|") for line in lines)
            numbers = [mark.strip().endswith(":") for mark in alignment]
            cells = [[_cell(text) for text in row] for row in rows]
            tables.append(Table(title.strip(), [text.strip() for text in headings], numbers, cells))
    return tables


def _cell(text: str) -> Cell:
    found = _BOLD.fullmatch(text.strip())
    return Cell(found[1], bold=True) if found else Cell(text.strip())
