"""What a table of readings was made from, and how messages name its rows and cells."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file or an object of the user's that holds a table.

    A row is named by its key: its number in a file, its label in a table, its indices in arrays.

    Attributes
    ----------
    name
        What messages call it.
    path
        The file that it is alone; None: it is none.
    word, words, on
        What a row is called, several of them, and the preposition to one.
    nothing
        How the user says that there is no value.
    """

    name: str
    path: Path | None = None
    word: str = "line"
    words: str = "lines"
    on: str = "on"
    nothing: str = "leave the cell empty"

    def at(self, key: Hashable) -> str:
        """A row, without the source."""
        return f"{self.word} {key}"

    def row(self, key: Hashable) -> str:
        """A row."""
        return f"{self.name}, {self.at(key)}"

    def cell(self, key: Hashable, column: str) -> str:
        """A row's cell."""
        return f"{self.row(key)}: column {column}"


@dataclass(frozen=True)
class Indexed(Source):
    """Rows of an array: points[3]."""

    word: str = "entry"
    words: str = "entries"
    on: str = "at"
    nothing: str = "leave this entry out"

    def row(self, key: Hashable) -> str:
        """A row, as Python finds it."""
        return f"{self.name}[{key}]"


def csv_file(path: Path) -> Source:
    """A CSV file."""
    return Source(str(path), path)
