"""How every benchmark tells what it measured: on which machine, as a plain table, as JSON. Imports no torch."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def machine() -> dict[str, Any]:
    """What a figure depends on beside the code; `load` above 0.5 before a run says that others were at work."""
    command = ("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty")
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git here
        commit = ""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": commit or "unknown",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def print_machine(about: dict[str, Any]) -> None:
    """One line."""
    print("  ".join(f"{key} {value}" for key, value in about.items()), flush=True)


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns by width; the first to the left, figures to the right with three digits."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    for first, *others in cells:
        line = first.ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)
        )
        print(line, flush=True)


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """The same figures for programs."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()
