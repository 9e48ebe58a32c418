"""Costs that are the same for every job of the workflow: start of an interpreter, imports, Snakemake.

The smallest of several measurements is used, since other programs only add to them.
"""

import ast
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from report import REPOSITORY, print_table

SCRIPTS = REPOSITORY / "workflow/scripts"
BASELINES = {
    "python -c pass": "pass",
    "import torch": "import torch",
    "import lightning_fabric": "import lightning_fabric",
    "import sparsevq's Fabric": "import torch, sparsevq.runtime.devices.fabric",
    "import mlflow": "from mlflow import MlflowClient",
    "import sparsevq's job": "import sparsevq.runtime.job",
}
PREAMBLE = ("from snakemake.logging import logger", "from snakemake.iocontainers import Snakemake")
"""Imports that Snakemake puts before a script."""
NOTHING = """
rule all:
    input: [f"{{number}}.txt" for number in range({count})]
rule nothing:
    output: "{{number}}.txt"
    benchmark: "{{number}}.tsv"
    script: "nothing.py"
"""


@dataclass(frozen=True)
class Imports:
    """Seconds that a script's imports take.

    Attributes
    ----------
    libraries, ours
        In modules of others and in this package's own, before the script's block and in it.
    block
        Of the sum, what is imported in the block.
    """

    libraries: float = 0.0
    ours: float = 0.0
    block: float = 0.0


@dataclass(frozen=True)
class Costs:
    """Costs that are the same for every run: each script's imports, and a job of Snakemake's that does nothing."""

    imports: dict[str, Imports]
    snakemake: float = 0.0


def python_seconds(code: str, repeats: int) -> tuple[float, float]:
    """Wall and processor time of a fresh interpreter that runs `code`; other load affects the latter less."""
    taken, used = [], []
    for _ in range(repeats):
        since, before = time.perf_counter(), _children()
        subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, env=environment())
        taken.append(time.perf_counter() - since)
        used.append(_children() - before)
    return min(taken), min(used)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imports_of(script: Path, repeats: int) -> Imports:
    """Time of a script's imports, after Snakemake's preamble, as measured by Python (``-X importtime``)."""
    tree = ast.parse(script.read_text())
    block = next(node for node in tree.body if isinstance(node, ast.With))

    def imported(body: list[ast.stmt]) -> list[str]:
        return [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]

    inside = imported(block.body)
    if ".fabric(" in ast.unparse(block):
        inside.append("import torch, sparsevq.runtime.devices.fabric")
    parts = {"preamble": PREAMBLE, "before": imported(tree.body), "block": inside}
    lines = ["import sys"]
    for part, statements in parts.items():
        lines += [f"sys.stderr.write('part: {part}\\n')", *statements]
    measured = []
    for _ in range(repeats):
        command = (sys.executable, "-X", "importtime", "-c", "\n".join(lines))
        ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
        measured.append(account(ended.stderr))
    return min(measured, key=lambda one: one.libraries + one.ours)


def account(report: str) -> Imports:
    """Sums over the modules in a report of ``-X importtime`` after its line ``part: before``."""
    seconds = {(part, owner): 0.0 for part in ("start", "preamble", "before", "block") for owner in (False, True)}
    part = "start"
    for line in report.splitlines():
        if line.startswith("part: "):
            part = line.removeprefix("part: ")
        elif found := re.match(r"import time: +(\d+) \| +\d+ \| +(\S+)", line):
            seconds[part, found[2].split(".")[0] == "sparsevq"] += int(found[1]) / 1e6
    libraries, ours = (seconds["before", owner] + seconds["block", owner] for owner in (False, True))
    return Imports(libraries, ours, seconds["block", False] + seconds["block", True])


def snakemake_seconds(repeats: int) -> float:
    """Wall time of a job of Snakemake's whose script does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(NOTHING.format(count=repeats))
        (Path(folder) / "nothing.py").write_text("open(snakemake.output[0], 'w').close()\n")
        command = [sys.executable, "-m", "snakemake", "--directory", folder, "--cores", "1"]
        command += ["--snakefile", str(Path(folder) / "Snakefile")]
        subprocess.run(command, check=True, capture_output=True, env=environment())
        return min(job_wall(table) for table in Path(folder).glob("*.tsv"))


def job_wall(table: Path) -> float:
    """Wall time in a benchmark file of Snakemake's."""
    names, values = (line.split("\t") for line in table.read_text().splitlines()[:2])
    return float(values[names.index("s")])


def environment() -> dict[str, str]:
    """The environment without variables that redirect runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "SPARSEVQ_"))}


def print_baselines(repeats: int) -> dict[str, float]:
    """Print times of fresh interpreters; their wall times."""
    measured = {name: python_seconds(code, repeats) for name, code in BASELINES.items()}
    least = measured["python -c pass"][1]
    print("\nA fresh interpreter:")
    rows = [(name, wall, used, used / least) for name, (wall, used) in measured.items()]
    print_table(("", "wall s", "processor s", "ratio"), rows)
    return {name: wall for name, (wall, _) in measured.items()}


def measured_costs(repeats: int) -> Costs:
    """Measure and print the costs that are the same for every run."""
    imports = {script.stem: imports_of(script, repeats) for script in sorted(SCRIPTS.glob("*.py"))}
    print("\nImports of each script:")
    print_table(
        ("", "libraries s", "sparsevq's own s"), [(name, each.libraries, each.ours) for name, each in imports.items()]
    )
    nothing = snakemake_seconds(repeats)
    print(f"\nA job of Snakemake's that does nothing: {nothing:.3g} s")
    return Costs(imports, nothing)
