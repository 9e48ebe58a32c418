"""What all benchmarks share: command line, machine, results as a table and as JSON. Imports no torch."""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sparsevq.config import Config, load
from sparsevq.runtime.devices.device import Lease, claim_devices, set_threads

REPOSITORY = Path(__file__).resolve().parents[1]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A command line with the options of every benchmark; `doc` describes it."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return made


def add_device_options(made: argparse.ArgumentParser) -> None:
    """Options of benchmarks that `claim_device` reads."""
    made.add_argument("--config", type=Path, default=REPOSITORY / "config/quickstart.yaml")
    made.add_argument("--threads", type=int, default=2, help="CPU threads")
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def claim_device(arguments: argparse.Namespace) -> tuple[Config, Lease, dict[str, Any]]:
    """The configuration, the device and the machine, which is printed; torch is imported only now."""
    about = machine()
    config = load(arguments.config)
    set_threads(arguments.threads)  # OpenMP reads its variables once, when torch is imported
    lease = claim_devices(arguments.device)
    import torch

    about |= {"torch": torch.__version__, "threads": arguments.threads, "config": arguments.config.name}
    about["device"] = torch.cuda.get_device_name() if lease.kind == "cuda" and torch.cuda.is_available() else "cpu"
    print_machine(about)
    return config, lease, about


def machine() -> dict[str, Any]:
    """What figures depend on besides the code; a `load` above 0.5 before a run means that the machine was in use."""
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
    """Print the machine in one line."""
    print("  ".join(f"{key} {value}" for key, value in about.items()), flush=True)


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Aligned columns; the first left-aligned, the others right-aligned with three digits."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    for first, *others in cells:
        line = first.ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)
        )
        print(line, flush=True)


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write the figures as JSON, if `path` is given."""
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
