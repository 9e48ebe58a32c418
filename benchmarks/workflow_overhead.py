"""Where the wall time of a workflow goes beside the scripts' own work.

    python benchmarks/workflow_overhead.py results/quickstart
    python benchmarks/workflow_overhead.py --run

The first reads a finished results folder: Snakemake's benchmark of each job (its wall time), and the last line of its
log (how long the script's block worked). What a script imports in its block is timed here, in fresh interpreters, and
taken off its own work. The second runs the miniature experiment twice in a temporary folder, with MLflow and without.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from report import REPOSITORY, machine, print_machine, print_table, write_json

MINIATURE = REPOSITORY / "tests/config/miniature.yaml"
SCRIPTS = REPOSITORY / "workflow/scripts"
SCRIPT_OF = {"semi_sparse": "stage1", "sparse": "stage1"}
BASELINES = {
    "python -c pass": "pass",
    "import torch": "import torch",
    "import lightning_fabric": "import lightning_fabric",
    "import mlflow": "from mlflow import MlflowClient",
    "import sparsevq's job": "import sparsevq.training.job",
}


@dataclass(frozen=True)
class Job:
    """A finished job.

    Attributes
    ----------
    wall
        Seconds of its process, by Snakemake.
    worked
        Seconds of the script's block, by its log; None if the log does not say.
    imports
        Seconds of the block that went into imports (an estimate).
    ended, worked_until
        When the process and the block ended, by the files' times.
    """

    name: str
    wall: float
    worked: float | None
    imports: float
    ended: float
    worked_until: float

    @property
    def own(self) -> float | None:
        """The script's own work."""
        return None if self.worked is None else self.worked - self.imports

    @property
    def start_and_tracking(self) -> float | None:
        """Start of the interpreter, imports before the block, MLflow."""
        return None if self.worked is None else self.wall - self.worked

    @property
    def overhead(self) -> float | None:
        return None if self.own is None else self.wall - self.own


@dataclass(frozen=True)
class Summary:
    """A whole run; seconds. Jobs that run side by side count each in sums, once in `working`.

    Attributes
    ----------
    wall
        From the start of Snakemake (or else of the first job) to the end.
    working
        At least one script did its own work.
    between_jobs
        No job was running: Snakemake itself.
    """

    jobs: int
    sum_wall: float
    sum_own: float
    sum_imports: float
    sum_start_and_tracking: float
    wall: float | None
    working: float | None
    between_jobs: float | None


def read_jobs(folder: Path, imports: dict[str, float]) -> list[Job]:
    """All jobs below a folder, in the order in which they ended."""
    jobs = []
    for table in folder.rglob("benchmarks/*.tsv"):
        names, values = (line.split("\t") for line in table.read_text().splitlines()[:2])
        log = table.parent.parent / "logs" / f"{table.stem}.log"
        found = re.findall(r"^worked (\d+\.\d+) s$", log.read_text(errors="replace"), re.M) if log.is_file() else []
        worked = float(found[-1]) if found else None
        imported = imports.get(script_of(table.stem), 0.0)
        where = table.parent.parent.relative_to(folder)
        jobs.append(
            Job(
                " ".join(part for part in ("" if where == Path() else str(where), table.stem) if part),
                float(values[names.index("s")]),
                worked,
                imported if worked is None else min(imported, worked),
                table.stat().st_mtime,
                log.stat().st_mtime if log.is_file() else table.stat().st_mtime,
            )
        )
    return sorted(jobs, key=lambda job: job.ended)


def script_of(job: str) -> str:
    """Name of the script that does a job: ``simulate_3`` is `simulate`."""
    rule = re.sub(r"_\d+$", "", job)
    return SCRIPT_OF.get(rule, rule)


def summarise(jobs: list[Job], wall: float | None) -> Summary:
    """Sums, and the time that passed while nothing worked.

    Parameters
    ----------
    wall
        Seconds of the whole run; None: from the first job's start to the last one's end.
    """
    timed = [(job, job.own) for job in jobs]
    running = covered((job.ended - job.wall, job.ended) for job in jobs)
    working = covered((job.worked_until - own, job.worked_until) for job, own in timed if own is not None)
    if any(abs(job.ended - job.worked_until) > job.wall for job in jobs):  # a copy, which has the times of copying
        between = together = None
    else:
        wall = wall or max(job.ended for job in jobs) - min(job.ended - job.wall for job in jobs)
        between, together = max(0.0, wall - running), working
    return Summary(
        len(jobs),
        sum(job.wall for job in jobs),
        sum(own or 0.0 for _, own in timed),
        sum(job.imports for job in jobs),
        sum(job.start_and_tracking or 0.0 for job in jobs),
        wall,
        together,
        between,
    )


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def wall_in_snakemakes_log(folder: Path, jobs: list[Job]) -> float | None:
    """Seconds of the run that made all jobs, to the second; None if no log tells, or several runs made them."""
    for parent in (folder.resolve(), *folder.resolve().parents):
        for log in (parent / ".snakemake/log").glob("*.snakemake.log"):
            text = log.read_text(errors="replace")
            start = re.search(r"^ *Date: (\S+ \S+)$", text, re.M)
            times = re.findall(r"^\[(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]$", text, re.M)
            if not (start and times):
                continue
            begun = datetime.fromisoformat(start[1]).timestamp()
            ended = datetime.strptime(times[-1], "%a %b %d %H:%M:%S %Y").timestamp()
            if begun <= min(job.ended - job.wall for job in jobs) + 1 and max(job.ended for job in jobs) <= ended + 2:
                return ended - begun
    return None


# ------------------------------------------------------------------------------------------------ baselines


def python_seconds(code: str, repeats: int) -> float:
    """Median wall time of a fresh interpreter that runs `code`."""
    taken = []
    for _ in range(repeats):
        since = time.perf_counter()
        subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, env=_environment())
        taken.append(time.perf_counter() - since)
    return median(taken)


def import_seconds(script: Path, repeats: int) -> float:
    """Median time that a script's block takes to import, after what it imports before the block."""
    tree = ast.parse(script.read_text())
    block = next(node for node in tree.body if isinstance(node, ast.With))
    imports = [node for node in block.body if isinstance(node, ast.Import | ast.ImportFrom)]
    inside = [ast.unparse(node) for node in imports]
    if ".fabric(" in ast.unparse(block):
        inside.append("import torch, lightning_fabric")
    before = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = ["import time", *before, "since = time.perf_counter()", *inside, "print(time.perf_counter() - since)"]
    taken = []
    for _ in range(repeats):
        ended = subprocess.run(
            (sys.executable, "-c", "\n".join(lines)), check=True, capture_output=True, text=True, env=_environment()
        )
        taken.append(float(ended.stdout.split()[-1]))
    return median(taken)


# ------------------------------------------------------------------------------------------------ a run


def run_miniature(folder: Path, tracking: bool, cores: int) -> tuple[Path, float]:
    """Run the miniature experiment. Returns its results folder, and the wall time of Snakemake."""
    folder.mkdir()
    config = yaml.safe_load(MINIATURE.read_text()) | {"tracking": {"enabled": tracking}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml"), "--cores", str(cores)]
    since = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    wall = time.perf_counter() - since
    if ended.returncode:
        raise SystemExit(f"the miniature failed:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    return folder / "results" / config["experiment"], wall


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "SPARSEVQ_"))}


# ------------------------------------------------------------------------------------------------ what is printed


def print_jobs(jobs: list[Job]) -> None:
    """One row a job."""
    header = ("job", "wall s", "own work s", "imports s", "start, tracking s", "overhead s", "of wall")
    rows: list[tuple[Any, ...]] = [
        (job.name, job.wall, job.own, job.imports, job.start_and_tracking, job.overhead, _ratio(job.overhead, job.wall))
        for job in jobs
    ]
    print_table(header, rows)


def print_summary(title: str, summary: Summary) -> None:
    """One line a share of the run, and the largest one that is not work."""
    overheads = {
        "imports": summary.sum_imports,
        "start of interpreters, tracking": summary.sum_start_and_tracking,
        "Snakemake, with no job running": summary.between_jobs,
    }
    rows: list[tuple[str, float | None, float | None]] = [("scripts' own work, summed", summary.sum_own, None)]
    rows += [(name, value, _ratio(value, summary.sum_own)) for name, value in overheads.items()]
    if summary.wall is not None and summary.working is not None:
        outside = summary.wall - summary.working
        rows.append(("whole run", summary.wall, _ratio(summary.wall, summary.sum_own)))
        rows.append(("of it outside the scripts' own work", outside, _ratio(outside, summary.sum_own)))
    print(f"\n{title}: {summary.jobs} jobs")
    print_table(("", "seconds", "to own work"), rows)
    most = max(overheads, key=lambda name: overheads[name] or 0.0)
    print(f"Of the overhead, most is {most}.")


def _ratio(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole else part / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", help="folder of a finished experiment")
    parser.add_argument("--run", action="store_true", help="run the miniature with and without tracking")
    parser.add_argument("--cores", type=int, default=2, help="cores for --run")
    parser.add_argument(
        "--wall",
        type=float,
        help="wall time of the whole run (s); default: by Snakemake's log, else from the first job to the last",
    )
    parser.add_argument("--repeats", type=int, default=3, help="times that imports are timed; 0: don't")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    if bool(arguments.results) == arguments.run:
        parser.error("give a results folder, or --run")

    about = machine()
    print_machine(about)
    content: dict[str, Any] = {"machine": about}
    imports: dict[str, float] = {}
    if arguments.repeats:
        imports = {script.stem: import_seconds(script, arguments.repeats) for script in sorted(SCRIPTS.glob("*.py"))}
        content["baselines"] = {name: python_seconds(code, arguments.repeats) for name, code in BASELINES.items()}
        least = content["baselines"]["python -c pass"]
        print("\nA fresh interpreter:")
        print_table(
            ("", "seconds", "ratio"), [(name, value, value / least) for name, value in content["baselines"].items()]
        )

    runs: dict[str, tuple[list[Job], float | None]] = {}
    if arguments.run:
        with tempfile.TemporaryDirectory() as folder:
            for name, tracking in (("tracked", True), ("not tracked", False)):
                results, taken = run_miniature(Path(folder) / name.replace(" ", "_"), tracking, arguments.cores)
                runs[name] = read_jobs(results, imports), taken
    else:
        jobs = read_jobs(arguments.results, imports)
        if not jobs:
            raise SystemExit(f"there are no benchmarks of jobs in {arguments.results}: give results/<experiment>")
        runs[str(arguments.results)] = jobs, arguments.wall or wall_in_snakemakes_log(arguments.results, jobs)
    summaries = {}
    for name, (jobs, wall) in runs.items():
        print(f"\n{name}")
        print_jobs(jobs)
        summaries[name] = summarise(jobs, wall)
        print_summary(name, summaries[name])
        content[name] = {"jobs": [asdict(job) for job in jobs], "summary": asdict(summaries[name])}
    if arguments.run:
        with_it, without = summaries["tracked"], summaries["not tracked"]
        assert with_it.wall and without.wall, "the run was timed"
        each = (with_it.sum_start_and_tracking - without.sum_start_and_tracking) / with_it.jobs
        print(
            f"\nTracking: {each:.3g} s a job; the run takes {with_it.wall / without.wall:.3g} times as long as without."
        )
    write_json(arguments.json, content)


if __name__ == "__main__":
    main()
