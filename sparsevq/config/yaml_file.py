"""YAML files, read so that nothing which was written is lost or becomes something else without a word."""

import re
from pathlib import Path
from typing import Any

import yaml

from sparsevq.errors import SparseVQError

PROBLEMS = (
    (r"found character '\\t'", "a tab where spaces are expected", "indent with spaces"),
    (
        r"mapping values are not allowed",
        "a second `:` in a line, or a wrong indentation",
        "put text with `:` in quotes",
    ),
    (r"could not find expected ':'", "a line without `:`", "write `key: value`, with a space after the colon"),
    (r"expected ',' or '\]'", "a list that is not closed", "close it by ]"),
    (r"expected ',' or '\}'", "a mapping that is not closed", "close it by }"),
    (r"expected <block end>", "a wrong indentation", "indent keys of one section by the same number of spaces"),
    (r"while scanning a quoted scalar|unexpected end of stream", "a quote that is not closed", "close it"),
    (r"could not determine a constructor", "a tag (!...), which is not allowed", "leave it out"),
    (
        r"undefined alias|while scanning an (alias|anchor)",
        "text that begins with * or &, which have a meaning in YAML",
        "put it in quotes",
    ),
    (r"cannot start any token", "a character that no value may begin with", "put the value in quotes"),
    (r"special characters are not allowed|unacceptable character", "a control character", "remove it"),
    (r"expected a single document", "a second document (---)", "write one file for each configuration"),
)
"""What the parser says, what that means, and what to do."""


class _Fault(Exception):
    """A line that says something else than it means."""

    def __init__(self, line: int, what: str, do: str):
        super().__init__(what)
        self.line, self.what, self.do = line, what, do


def _check(node: yaml.Node | None, seen: set[int]) -> None:
    """Refuse keys that stand twice, and numbers that YAML reads otherwise than they are written."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            _check(entry, seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _Fault(line, "a key that is a list or a mapping", "put text with brackets or braces in quotes")
            if key.value in lines:
                raise _Fault(line, f"the key {key.value} stands on line {lines[key.value]} already", "keep one of them")
            lines[key.value] = line
            _check(value, seen)
    elif node.tag.endswith((":int", ":float")) and ":" in node.value:
        number = f"{yaml.safe_load(node.value):g}"
        raise _Fault(line, f"YAML reads {node.value} as the number {number}", "put it in quotes if it is a time")
    elif node.tag.endswith(":int") and re.fullmatch(r"[-+]?0[0-7_]+", node.value):
        number = yaml.safe_load(node.value)
        raise _Fault(line, f"YAML reads {node.value} as the number {number}", "leave out the zero that it begins with")


def read_yaml(path: str | Path) -> dict[Any, Any]:
    """The mapping in a YAML file.

    Raises
    ------
    SparseVQError
        The file cannot be read or holds no mapping, a key stands twice, or a number is none as it is written; the
        message names the line.
    """
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        _check(node, set())
        values = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise SparseVQError(f"cannot read the configuration {path} ({error.strerror})", "check the path") from None
    except UnicodeDecodeError as error:
        raise SparseVQError(
            f"{path} is not YAML: byte {error.start} is no text in UTF-8", "store it as UTF-8"
        ) from None
    except _Fault as fault:
        raise SparseVQError(f"{path}, line {fault.line}: {fault.what}", fault.do) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _syntax(path, error) from None
    if not isinstance(values, dict):
        do = "write `key: value` lines, with a space after the colon"
        raise SparseVQError(f"{path} holds no configuration", do)
    return values


def _syntax(path: str | Path, error: Exception) -> SparseVQError:
    """What is wrong in the syntax, and in which line."""
    text, mark = str(error), getattr(error, "problem_mark", None)
    found = next(((what, do) for pattern, what, do in PROBLEMS if re.search(pattern, text)), None)
    if found is not None and ("not closed" in found[0] or "without" in found[0]):
        mark = getattr(error, "context_mark", None) or mark  # where it begins
    line = f", line {mark.line + 1}" if mark is not None else ""
    if found is not None:
        return SparseVQError(f"{path} is not YAML{line}: {found[0]}", found[1])
    problem = getattr(error, "problem", None) or (text.splitlines() or ["it is nested too deep"])[0]
    return SparseVQError(f"{path} is not YAML{line} ({problem})", "fix its syntax there")
