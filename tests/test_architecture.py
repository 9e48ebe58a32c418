"""The map in docs/architecture.md is the code's own."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sparsevq"
BASE = {"version", "errors"}
PLUMBING = BASE | {"config", "runtime"}
TRAINED = PLUMBING | {"data", "basis", "sensors", "models", "runs", "training"}
MAY_IMPORT = {
    "version": set(),
    "errors": BASE,
    "config": BASE,
    "runtime": BASE | {"config"},
    "simulators": PLUMBING | {"data"},
    "readers": PLUMBING | {"data", "simulators"},
    "data": PLUMBING,
    "basis": PLUMBING | {"data"},
    "sensors": PLUMBING | {"data", "basis"},
    "models": set(),
    "runs": PLUMBING | {"data", "basis", "sensors"},
    "training": PLUMBING | {"data", "basis"},
    "stage1": TRAINED,
    "stage2": TRAINED | {"stage1"},
    "stage3": TRAINED,
    "plotting": PLUMBING | {"data"},
    "forecasting": TRAINED | {"stage1", "stage2", "stage3", "plotting"},
    "baselines": TRAINED | {"stage3", "forecasting"},
    "evaluation": PLUMBING | {"data", "basis", "sensors", "runs", "plotting", "forecasting", "baselines"},
    "report": PLUMBING | {"data", "forecasting", "evaluation"},
    "explore": PLUMBING | {"data", "sensors", "runs", "plotting", "forecasting", "evaluation"},
    "serving": PLUMBING | {"data", "basis", "sensors", "models", "runs", "stage1", "stage2", "forecasting"},
    "cli": TRAINED
    | {
        "simulators",
        "readers",
        "stage1",
        "stage2",
        "stage3",
        "plotting",
        "forecasting",
        "baselines",
        "evaluation",
        "explore",
        "serving",
    },
}


def rooms_imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("sparsevq.")}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_the_map_says(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    for path in files:
        extra = rooms_imported_by(path) - MAY_IMPORT[room] - {room}
        assert not extra, f"{path.relative_to(PACKAGE)} imports {sorted(extra)}"


IN_READERS = ("opening", "finding", "points", "dimensions", "dates")
"""Folders of the room `readers`, each of which imports only those before it."""


@pytest.mark.parametrize("folder", IN_READERS)
def test_folders_of_readers_are_in_order(folder: str) -> None:
    later = IN_READERS[IN_READERS.index(folder) + 1 :]
    files = sorted((PACKAGE / "readers" / folder).glob("*.py"))
    assert files
    for path in files:
        wrong = [name for name in later if f"sparsevq.readers.{name}" in path.read_text()]
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {wrong}"


def test_every_room_is_on_the_map() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert found == set(MAY_IMPORT)


def test_the_package_never_imports_the_workflow() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert "import snakemake" not in path.read_text(), path


def lines_of_code(function: ast.AST, source: list[str]) -> int:
    """Lines of a function without its docstring and blank lines."""
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    lines = set(range(function.lineno, (function.end_lineno or 0) + 1))
    if ast.get_docstring(function) is not None:
        lines -= set(range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1))
    return sum(bool(source[line - 1].strip()) for line in lines)


def test_no_function_is_longer_than_60_lines() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert lines_of_code(node, text.splitlines()) <= 60, f"{path}:{node.lineno} {node.name}"
