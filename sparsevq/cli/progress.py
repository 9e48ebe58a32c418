"""How far a command is: a bar on a terminal, else a line now and then; and what its parts print, in order."""

import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

Tell = Callable[[int, int], None]
"""Takes how many of how many parts of the work are done."""

QUIET = 10.0
"""Seconds between lines where the standard error is no terminal."""


class Parts:
    """The parts of a command's work, one after the other.

    Bars and lines go to the standard error. What a part prints to the standard output is kept (`lines`) and printed
    when the part ends, since a bar would be torn by it.

    Parameters
    ----------
    out
        Where that is printed.

    Attributes
    ----------
    lines
        All lines that the parts printed.
    seconds
        Part -> how long it took.
    """

    def __init__(self, out: TextIO):
        self._out = out
        self.lines: list[str] = []
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str, doing: str) -> Iterator[Tell]:
        """Do a part; gives what is to be told how far it is. `doing` is for people: ``writing forecast.nc``."""
        since, said = time.perf_counter(), io.StringIO()
        shown = _bar(doing) if sys.stderr.isatty() else _lines(doing, since)
        try:
            with contextlib.redirect_stdout(said), shown as tell:
                yield tell
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - since
            self.lines += said.getvalue().splitlines()
            print(said.getvalue(), end="", file=self._out, flush=True)


@contextlib.contextmanager
def _bar(doing: str) -> Iterator[Tell]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(file=sys.stderr)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        task = progress.add_task(doing, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@contextlib.contextmanager
def _lines(doing: str, since: float) -> Iterator[Tell]:
    last = since

    def tell(done: int, of: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= QUIET and done < of:
            last = now
            print(f"{doing}: {done / of:.0%} after {now - since:.0f} s", file=sys.stderr, flush=True)

    yield tell
