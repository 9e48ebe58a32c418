"""What a command says while it works: nothing that stands in the way of its output."""

import io
import sys

import pytest

from sparsevq.cli import progress
from sparsevq.cli.progress import Parts


def test_what_a_part_prints_comes_after_it_where_it_belongs():
    out = io.StringIO()
    parts = Parts(out)
    with parts.part("one", "doing one"):
        print("note: a")
        assert out.getvalue() == ""
    with parts.part("two", "doing two"):
        print("b")
    assert out.getvalue() == "note: a\nb\n"
    assert parts.lines == ["note: a", "b"]
    assert set(parts.seconds) == {"one", "two"}


def test_what_a_part_printed_before_it_failed_is_told():
    out = io.StringIO()
    with pytest.raises(ValueError, match="broken"), Parts(out).part("one", "doing"):
        print("note: a")
        raise ValueError("broken")
    assert out.getvalue() == "note: a\n"


def test_parts_of_one_name_are_added_up():
    parts = Parts(io.StringIO())
    for _ in range(2):
        with parts.part("draw", "drawing"):
            pass
    assert list(parts.seconds) == ["draw"]


def test_short_work_says_nothing_and_long_work_a_line_now_and_then(capsys, monkeypatch):
    now = iter([0.0, 1.0, 11.0, 12.0, 30.0, 31.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(now))
    with Parts(io.StringIO()).part("write", "writing f.nc") as tell:
        tell(1, 10)  # after 1 s
        tell(4, 10)  # after 11 s
        tell(5, 10)
        tell(10, 10)  # the end is told by the next line of the command
    assert capsys.readouterr().err == "writing f.nc: 40% after 11 s\n"


def test_a_terminal_gets_a_bar_that_is_gone_afterwards(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    with Parts(out).part("write", "writing f.nc") as tell:
        tell(1, 2)
        print("note: a")
    assert "writing f.nc" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K") or "\x1b[2K" in terminal.getvalue()
    assert out.getvalue() == "note: a\n"
