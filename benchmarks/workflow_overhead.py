"""Wall time of a workflow's jobs beside the scripts' own work: Snakemake, libraries, MLflow, ours.

    python benchmarks/workflow_overhead.py --run
    python benchmarks/workflow_overhead.py results/quickstart

The first runs the miniature experiment in a temporary folder, with MLflow and without. The second reads a finished
results folder: Snakemake's benchmark of each job (its wall time), and the last line of its log (how long the script's
block worked). The shares that are the same each time are measured here: a job of Snakemake's that does nothing, and
each script's imports, in fresh interpreters.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from fixed_costs import Costs, Imports, environment, job_wall, measured_costs, print_baselines
from report import REPOSITORY, machine, parser, print_machine, print_table, write_json

MINIATURE = REPOSITORY / "tests/config/miniature.yaml"
SCRIPT_OF = {"semi_sparse": "stage1", "sparse": "stage1"}
LIMIT = 3.0
"""Seconds of a job that may be ours."""


@dataclass(frozen=True)
class Job:
    """A finished job; seconds.

    Attributes
    ----------
    wall
        Of its process, by Snakemake.
    own
        The script's own work: its block, by its log, without imports; None if the log does not say.
    snakemake
        Start and end of an interpreter, and what Snakemake does in it.
    libraries
        Imports of others' modules.
    tracking
        Wall time over that of the same job without tracking; None if there is no such job to compare with.
    ended, worked_until
        When the process and the block ended, by the files' times.
    """

    name: str
    wall: float
    own: float | None
    snakemake: float
    libraries: float
    tracking: float | None
    ended: float
    worked_until: float

    @property
    def ours(self) -> float | None:
        """The rest of the wall time (with tracking, where its share is not known)."""
        if self.own is None:
            return None
        return self.wall - self.own - self.snakemake - self.libraries - (self.tracking or 0.0)


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
    sum_snakemake: float
    sum_libraries: float
    sum_tracking: float | None
    sum_ours: float
    wall: float | None
    working: float | None
    between_jobs: float | None


def read_jobs(folder: Path, costs: Costs) -> list[Job]:
    """All jobs below a folder, in the order in which they ended."""
    jobs = []
    for table in folder.rglob("benchmarks/*.tsv"):
        log = table.parent.parent / "logs" / f"{table.stem}.log"
        found = re.findall(r"^worked (\d+\.\d+) s$", log.read_text(errors="replace"), re.M) if log.is_file() else []
        worked = float(found[-1]) if found else None
        imports = costs.imports.get(script_of(table.stem), Imports())
        beyond = max(0.0, imports.block - worked) if worked is not None else 0.0  # an estimate, and the block took less
        where = table.parent.parent.relative_to(folder)
        jobs.append(
            Job(
                " ".join(part for part in ("" if where == Path() else str(where), table.stem) if part),
                job_wall(table),
                None if worked is None else max(0.0, worked - imports.block),
                costs.snakemake,
                imports.libraries - beyond,
                None,
                table.stat().st_mtime,
                log.stat().st_mtime if log.is_file() else table.stat().st_mtime,
            )
        )
    return sorted(jobs, key=lambda job: job.ended)


def with_tracking(jobs: list[Job], untracked: list[Job]) -> list[Job]:
    """Jobs with their own work as it is without tracking, and what tracking adds to their wall time."""
    without = {job.name: job for job in untracked}
    return [
        replace(job, own=without[job.name].own, tracking=job.wall - without[job.name].wall)
        if job.name in without
        else job
        for job in jobs
    ]


def script_of(job: str) -> str:
    """Name of the script that does a job: ``simulate_3`` is `simulate`."""
    rule = re.sub(r"_\d+$", "", job)
    rule = rule.removesuffix("_ood")
    return SCRIPT_OF.get(rule, rule)


def summarise(jobs: list[Job], wall: float | None) -> Summary:
    """Sums, and the time in which no script worked.

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
    tracking = [job.tracking for job in jobs if job.tracking is not None]
    return Summary(
        len(jobs),
        sum(job.wall for job in jobs),
        sum(own or 0.0 for _, own in timed),
        sum(job.snakemake for job in jobs),
        sum(job.libraries for job in jobs),
        sum(tracking) if tracking else None,
        sum(job.ours or 0.0 for job in jobs),
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
    """Seconds of the run that made all jobs, to the second; None if no log has it, or several runs made them."""
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


# ------------------------------------------------------------------------------------------------ a run


def run_miniature(folder: Path, tracking: bool, cores: int) -> tuple[Path, float]:
    """Run the miniature experiment. Returns its results folder, and the wall time of Snakemake."""
    folder.mkdir()
    config = yaml.safe_load(MINIATURE.read_text()) | {"tracking": {"enabled": tracking}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml"), "--cores", str(cores)]
    since = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    wall = time.perf_counter() - since
    if ended.returncode:
        raise SystemExit(f"the miniature failed:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    return folder / "results" / config["experiment"], wall


# ------------------------------------------------------------------------------------------------ printing


def print_jobs(jobs: list[Job]) -> None:
    """One row a job."""
    known = any(job.tracking is not None for job in jobs)
    header = ("job", "wall s", "own work s", "Snakemake s", "libraries s", "tracking s")
    rows = [
        (job.name, job.wall, job.own, job.snakemake, job.libraries, _fixed(job.tracking), _fixed(job.ours))
        for job in jobs
    ]
    print_table((*header, "ours s" if known else "ours, tracking s"), rows)


def print_summary(title: str, summary: Summary) -> None:
    """One line for each share of the run, and the largest overhead."""
    overheads = {
        "Snakemake, in jobs": summary.sum_snakemake,
        "Snakemake, with no job running": summary.between_jobs,
        "imports of libraries": summary.sum_libraries,
        "tracking": summary.sum_tracking,
        "ours" if summary.sum_tracking is not None else "ours, with tracking if it is on": summary.sum_ours,
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


def print_verdict(jobs: list[Job]) -> None:
    """The job with the largest share of ours, and whether it is within the limit."""
    timed = {job.name: job.ours for job in jobs if job.ours is not None}
    if timed:
        name = max(timed, key=lambda name: timed[name])
        verdict = "within" if timed[name] <= LIMIT else "ABOVE"
        print(
            f"\nThe largest share of ours in any job: {timed[name]:.2f} s ({name}), {verdict} the limit of {LIMIT:g} s."
        )


def _fixed(value: float | None) -> str | None:
    """Small differences of large numbers: hundredths, and no more digits."""
    return None if value is None else f"{value:.2f}"


def _ratio(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole else part / whole


def main() -> None:
    command = parser(__doc__)
    command.add_argument("results", type=Path, nargs="?", help="folder of a finished experiment")
    command.add_argument("--run", action="store_true", help="run the miniature with and without tracking")
    command.add_argument("--cores", type=int, default=1, help="cores for --run; jobs side by side slow each other down")
    command.add_argument(
        "--wall",
        type=float,
        help="wall time of the whole run (s); default: by Snakemake's log, else from the first job to the last",
    )
    command.add_argument("--repeats", type=int, default=3, help="measurements of the constant shares; 0: none")
    arguments = command.parse_args()
    if bool(arguments.results) == arguments.run:
        command.error("give a results folder, or --run")

    about = machine()
    print_machine(about)
    content: dict[str, Any] = {"machine": about}
    costs = Costs({})
    if arguments.repeats:
        content["baselines"] = print_baselines(arguments.repeats)
        costs = measured_costs(arguments.repeats)
        content["costs"] = asdict(costs)

    runs: dict[str, tuple[list[Job], float | None]] = {}
    if arguments.run:
        with tempfile.TemporaryDirectory() as folder:
            for name, tracking in (("not tracked", False), ("tracked", True)):
                results, taken = run_miniature(Path(folder) / name.replace(" ", "_"), tracking, arguments.cores)
                runs[name] = read_jobs(results, costs), taken
        runs["tracked"] = with_tracking(runs["tracked"][0], runs["not tracked"][0]), runs["tracked"][1]
    else:
        jobs = read_jobs(arguments.results, costs)
        if not jobs:
            raise SystemExit(f"there are no benchmarks of jobs in {arguments.results}: give results/<experiment>")
        runs[str(arguments.results)] = jobs, arguments.wall or wall_in_snakemakes_log(arguments.results, jobs)
    for name, (jobs, wall) in runs.items():
        print(f"\n{name}")
        print_jobs(jobs)
        summary = summarise(jobs, wall)
        print_summary(name, summary)
        content[name] = {"jobs": [asdict(job) | {"ours": job.ours} for job in jobs], "summary": asdict(summary)}
    print_verdict(jobs)
    write_json(arguments.json, content)


if __name__ == "__main__":
    main()
