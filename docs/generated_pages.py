"""Pages that say what the code says: every key of the configuration, and every command with its flags."""

import argparse
import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sparsevq.cli.main import make_parser
from sparsevq.config import Config, FileConfig
from sparsevq.config.wording import expected, options


def write(folder: Path) -> None:
    """Write `configuration.md` and `command-line.md`; files that are as they should be are left alone."""
    for name, lines in (("configuration.md", configuration()), ("command-line.md", command_line())):
        text = "\n".join(lines) + "\n"
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def configuration() -> Iterator[str]:
    """A table for each section."""
    yield from ("# Configuration", "")
    yield (
        "One YAML file is one experiment. A key that it leaves out has the default given here; an unknown key, or a "
        "value that is not allowed, is an error that names it, before anything runs. A changed value reruns the jobs "
        "that depend on it and nothing else."
    )
    yield from ("", "    snakemake --cores 8 --configfile mine.yaml", "")
    yield from _section(Config, "", {})


def _section(section: type[BaseModel], prefix: str, told: dict[type[BaseModel], str]) -> Iterator[str]:
    """The section's own keys, then the sections within it; `told` has those that stand on the page, and where."""
    rows, inner = [], []
    for name, field in section.model_fields.items():
        key = f"{prefix}{name}"
        kind = _section_of(field.annotation)
        if kind is not None:
            if kind in told:
                rows.append(
                    f"| `{name}` | `key: value` lines, as `{told[kind]}` | | {_cell(field.description or '')} |"
                )
            else:
                told[kind] = key
                inner.append((key, kind))
            continue
        if name == "files":
            inner.append(("files.<name>", FileConfig))
            continue
        annotation = field.rebuild_annotation()
        rows.append(
            f"| `{name}` | {_cell(expected(annotation))} | {_default(field)} | {_cell(field.description or '')} |"
        )
    if prefix:
        yield from (f"## `{prefix.rstrip('.')}`", "", _cell((section.__doc__ or "").strip().splitlines()[0]), "")
    if rows:
        yield from ("| key | value | default | meaning |", "|---|---|---|---|", *rows, "")
    for key, kind in inner:
        yield from _section(kind, f"{key}.", told)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    kinds = [kind for kind in options(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return kinds[0] if kinds else None


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "`null`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def command_line() -> Iterator[str]:
    """The help of each command."""
    yield from ("# Command line", "")
    yield (
        "Every command prints one line on the standard error, and exits with status 1, where something that it was "
        "given is faulty; 2 is wrong usage, 130 an interruption."
    )
    yield ""
    for name, parser in _parsers(make_parser(), "sparsevq"):
        out = io.StringIO()
        with redirect_stdout(out):
            parser.print_help()
        yield from (f"## `{name}`", "", "```text", out.getvalue().rstrip(), "```", "")


def _parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part, inner in action.choices.items():
                yield from _parsers(inner, f"{name} {part}")
