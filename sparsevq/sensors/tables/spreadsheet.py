"""Sheets of an Excel workbook, as the lines of a table."""

import csv
import io
from pathlib import Path
from zipfile import BadZipFile

from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.memory import cell_text
from sparsevq.sensors.tables.source import Source

SEPARATOR = "\t"
MARK = "#"
"""Between the file and the name of a sheet: ``readings.xlsx#Monday``."""


def read_sheet(path: Path, sheet: str | None) -> tuple[Source, list[str]]:
    """The rows of a sheet, the first one by default, as lines whose cells tabs separate; line n is row n.

    Formulas are what the program that saved the file found for them.

    Raises
    ------
    SparseVQError
        The file can't be read or is damaged, or has no such sheet.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, BadZipFile, KeyError, ValueError, EOFError) as error:
        raise SparseVQError(f"{path} is no Excel workbook that can be read ({error})", "save it again") from None
    try:
        names = [found.title for found in book.worksheets]
        if sheet is not None and sheet not in names:
            raise SparseVQError(f"{path} has no sheet {sheet!r}", f"it has {', '.join(map(repr, names))}")
        name = sheet or names[0]
        text = io.StringIO()
        writer = csv.writer(text, delimiter=SEPARATOR, lineterminator="\n")
        for row in book[name].iter_rows(values_only=True):
            writer.writerow(" ".join(cell_text(value).split()) for value in row)
    finally:
        book.close()
    shown = f"{path}, sheet {name!r}" if len(names) > 1 else str(path)
    return Source(shown, path, word="row", words="rows", on="in"), text.getvalue().split("\n")[:-1]
