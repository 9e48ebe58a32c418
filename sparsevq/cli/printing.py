"""Tables that commands print: readable on a terminal, complete when piped."""

import sys
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 4096
"""Columns where the output is no terminal: nothing is cut or wrapped."""


def tables_console() -> Console:
    """Rich's output on a terminal, else plain lines of any length."""
    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, width=WIDE, highlight=False, color_system=None)


def print_table(
    console: Console, title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], header: bool = True
) -> None:
    """A table under its title; columns of numbers are flush right."""
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=header, pad_edge=False, show_edge=False)
    rows = list(rows)
    numeric = [bool(rows) and all(_is_number(row[index]) for row in rows) for index in range(len(columns))]
    for column, right in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(Text(title, style="bold"))
    with console.capture() as capture:
        console.print(table)
    console.file.write("\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n\n")


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%"))
    except ValueError:
        return text in ("", "-")
    return True


def print_plain(console: Console, text: str) -> None:
    """A text in lines as long as it has them."""
    console.print(Text(text), soft_wrap=True)
