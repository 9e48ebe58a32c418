"""Kill every rule of a workflow at random moments, and check that its results are those of an undisturbed run.

    python benchmarks/faults.py --kills 56

Runs an experiment (the miniature, with trainings long enough to be killed half-way) once undisturbed and once under
fire: each rule in turn is started, and its job or Snakemake itself gets SIGKILL or SIGTERM at a random moment, until
the rule has had its share of kills; then it runs to its end. All results must be equal, byte for byte, no temporary
file or checkpoint may be left, and MLflow must hold one finished run for each job, no metric twice. Exit status 1 if
anything differs.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from report import REPOSITORY, machine, parser, print_machine, print_table, write_json

MINIATURE = REPOSITORY / "tests/config/miniature.yaml"
RULES = (
    *("simulate", "preprocess", "basis", "describe_data", "sensors", "semi_sparse", "sparse", "tokenizer", "codes"),
    *(
        "gpt",
        "calibrate",
        "forecast",
        "example",
        "model",
        "baseline_network",
        "baselines",
        "robustness",
        "evaluate",
        "explore",
        "tables",
    ),
    *("robustness_forecast", "ablations", "report"),
)
SCRIPT_OF = {"semi_sparse": "stage1", "sparse": "stage1"}
RECORDS = {"logs", "benchmarks", "mlartifacts", ".tracking", "MLmodel", "report.html", "cost.json", "costs.csv"}
RECORDS |= {f"{name}.{ending}" for name in ("ablations", "baselines") for ending in ("csv", "md", "tex")}  # of seconds
"""Folders and files with records of the runs themselves (when, how long), which differ between any two."""
TIMEOUT = 600.0


@dataclass
class Fire:
    """What happened to one rule."""

    kills: Counter[str] = field(default_factory=Counter)
    moments: list[float] = field(default_factory=list)
    resumed: int = 0
    late: int = 0


def longer(folder: Path, steps: int) -> Path:
    """The miniature with more steps of training, a checkpoint every 0.3 s, a trained baseline and a variant."""
    config = yaml.safe_load(MINIATURE.read_text())
    for stage in ("stage1", "stage2", "stage3"):
        config[stage] |= {"max_steps": steps, "val_every": max(1, steps // 10)}
    config["resources"]["checkpoint_minutes"] = 0.005
    networks = {"shred": {"max_steps": steps, "val_every": max(1, steps // 10), "observed_frames": 1}}
    config |= {"networks": networks, "evaluation": {**config["evaluation"], "baselines": ["ridge", "shred"]}}
    config["variants"] = {"few": {"forecast": {"members": 2}}}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


class Workflow:
    """An experiment in a folder of its own."""

    def __init__(self, folder: Path, config: Path, cores: int):
        self.folder, self._config, self._cores = folder, config, cores
        self.results = folder / yaml.safe_load(config.read_text()).get("results", "results")
        folder.mkdir()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        command += ["--directory", str(self.folder), "--configfile", str(self._config), "--cores", str(self._cores)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "SPARSEVQ_"))}
        return subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=kept
        )

    def run(self, *arguments: str) -> str:
        """Run to the end; exit if the run fails."""
        started = self.start("--rerun-incomplete", *arguments)
        output, _ = started.communicate(timeout=TIMEOUT)
        if started.returncode:
            raise SystemExit(f"snakemake {' '.join(arguments)} failed:\n{output[-4000:]}{self.last_logs()}")
        return output

    def resumed(self, rule: str) -> int:
        """How many jobs of a rule resumed from a checkpoint, by their last logs."""
        logs = self.results.rglob(f"logs/{rule}.log")
        return sum("resumes after step" in log.read_text(errors="replace") for log in logs)

    def last_logs(self) -> str:
        logs = sorted(self.folder.rglob("logs/*.log"), key=lambda path: path.stat().st_mtime)
        return "".join(f"\n--- {path}\n{path.read_text()[-2000:]}" for path in logs[-2:])

    def files(self) -> dict[str, bytes]:
        """Every result, by its path."""
        found = {}
        for path in sorted(self.results.rglob("*")):
            where = path.relative_to(self.results)
            if path.is_file() and not RECORDS & set(where.parts) and not where.name.startswith(("mlflow.db", ".track")):
                found[str(where)] = path.read_bytes()
        return found


def jobs_of(snakemake: psutil.Process, script: str) -> list[psutil.Process]:
    """The processes that run a rule's script."""
    found = []
    try:
        for process in snakemake.children(recursive=True):
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if line and "python" in line[0] and line[-1].endswith(f".{script}.py"):
                found.append(process)
    except psutil.NoSuchProcess:
        pass
    return found


def shoot(workflow: Workflow, rule: str, duration: float, fire: Fire, dice: random.Random) -> None:
    """Start a rule and kill its job, or Snakemake, at a random moment."""
    started = workflow.start("--rerun-incomplete", "--until", rule, "--forcerun", rule)
    snakemake = psutil.Process(started.pid)
    number = dice.choice([signal.SIGKILL, signal.SIGTERM])
    at_snakemake = dice.random() < 0.2
    moment = dice.random()
    job = _first(lambda: jobs_of(snakemake, SCRIPT_OF.get(rule, rule)), started)
    if job is not None:
        with_job = time.monotonic()
        while time.monotonic() - with_job < moment * duration and started.poll() is None and job.is_running():
            time.sleep(0.01)
        victim = snakemake if at_snakemake else job
        try:
            if started.poll() is not None or not job.is_running() or job.status() == psutil.STATUS_ZOMBIE:
                raise psutil.NoSuchProcess(job.pid)
            victim.send_signal(number)
        except psutil.NoSuchProcess:
            fire.late += 1
        else:
            fire.kills[f"{number.name} {'snakemake' if at_snakemake else 'job'}"] += 1
            fire.moments.append(moment)
    output, _ = started.communicate(timeout=TIMEOUT)
    if job is not None:
        _, alive = psutil.wait_procs([job], timeout=60)
        if alive:
            raise SystemExit(f"{rule}: the job outlived Snakemake for a minute:\n{output[-3000:]}")
    if started.returncode < 0:  # it could not remove its lock
        workflow.run("--unlock")


def _first(look: Callable[[], list[psutil.Process]], started: subprocess.Popen[str]) -> psutil.Process | None:
    since = time.monotonic()
    while started.poll() is None and time.monotonic() - since < TIMEOUT:
        if found := look():
            return found[0]
        time.sleep(0.02)
    return None


def durations(workflow: Workflow) -> dict[str, float]:
    """Rule -> seconds that its job took, by Snakemake's benchmarks."""
    taken: dict[str, float] = {}
    for table in workflow.results.rglob("benchmarks/*.tsv"):
        names, values = (line.split("\t") for line in table.read_text().splitlines()[:2])
        taken[re.sub(r"_\d+$", "", table.stem)] = float(values[names.index("s")])
    return taken


def under_fire(workflow: Workflow, share: int, taken: dict[str, float], dice: random.Random) -> dict[str, Fire]:
    """Kill each rule `share` times, then let it run; in the order of their dependencies."""
    fires = {rule: Fire() for rule in RULES}
    for rule, fire in fires.items():
        while fire.kills.total() < share:
            shoot(workflow, rule, taken[rule], fire, dice)
            fire.resumed += workflow.resumed(rule)
        workflow.run("--until", rule)
        fire.resumed += workflow.resumed(rule)
        print(f"{rule}: {', '.join(f'{count} x {kind}' for kind, count in fire.kills.items())}", flush=True)
    workflow.run()
    return fires


def differences(undisturbed: dict[str, bytes], under: dict[str, bytes]) -> list[str]:
    """Results that are not the same, missing or left over."""
    names = sorted(undisturbed.keys() | under.keys())
    return [name for name in names if undisturbed.get(name) != under.get(name)]


def faults_in_tracking(workflow: Workflow, like: Workflow) -> list[str]:
    """Differences between MLflow's runs under fire and those of the undisturbed experiment."""
    faults = []
    mine, others = _runs(workflow), _runs(like)
    names = Counter(run.info.run_name for run in mine), Counter(run.info.run_name for run in others)
    if names[0] != names[1]:
        faults.append(f"runs: {dict(names[0] - names[1])} too many, {dict(names[1] - names[0])} too few")
    faults += [f"run {run.info.run_name} is {run.info.status}" for run in mine if run.info.status != "FINISHED"]
    wanted = {run.info.run_name: _steps(like, run) for run in others}
    for run in mine:
        if (steps := _steps(workflow, run)) != wanted.get(run.info.run_name):
            faults.append(f"metrics of {run.info.run_name}: {steps} instead of {wanted.get(run.info.run_name)}")
    return faults


def _client(workflow: Workflow) -> Any:
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{workflow.results}/mlflow.db")


def _runs(workflow: Workflow) -> list[Any]:
    client = _client(workflow)
    return [run for found in client.search_experiments() for run in client.search_runs([found.experiment_id])]


def _steps(workflow: Workflow, run: Any) -> dict[str, list[int]]:
    """Metric -> the steps it was logged at; system metrics are left out, as they depend on the time."""
    client = _client(workflow)
    names = [name for name in run.data.metrics if not name.startswith("system/")]
    return {name: [at.step for at in client.get_metric_history(run.info.run_id, name)] for name in sorted(names)}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--kills", type=int, default=56, help="least number of kills, shared equally by the rules")
    command.add_argument("--steps", type=int, default=600, help="optimizer steps of each training")
    command.add_argument("--seed", type=int, default=1, help="of the moments and signals")
    command.add_argument("--cores", type=int, default=2)
    command.add_argument("--keep", type=Path, metavar="FOLDER", help="leave both experiments there")
    arguments = command.parse_args()

    about = machine()
    print_machine(about)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        config = longer(folder, arguments.steps)
        undisturbed = Workflow(folder / "undisturbed", config, arguments.cores)
        since = time.monotonic()
        undisturbed.run()
        print(f"undisturbed: {time.monotonic() - since:.0f} s", flush=True)
        hit = Workflow(folder / "under_fire", config, arguments.cores)
        share = -(-arguments.kills // len(RULES))
        since = time.monotonic()
        fires = under_fire(hit, share, durations(undisturbed), random.Random(arguments.seed))
        print(f"under fire: {time.monotonic() - since:.0f} s", flush=True)
        different = differences(undisturbed.files(), hit.files())
        tracking = faults_in_tracking(hit, undisturbed)
        compared = len(undisturbed.files())
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder, ignore_errors=True)

    kinds = sorted({kind for fire in fires.values() for kind in fire.kills})
    print()
    print_table(
        ("rule", *kinds, "resumed", "too late"),
        [(rule, *(fire.kills[kind] for kind in kinds), fire.resumed, fire.late) for rule, fire in fires.items()],
    )
    kills = sum(fire.kills.total() for fire in fires.values())
    print(
        f"\n{kills} kills. {compared - len(different)} of {compared} results are the undisturbed run's, byte for byte."
    )
    for fault in [*(f"differs: {name}" for name in different), *tracking]:
        print(fault)
    print("MLflow: one finished run for each job, every metric once." if not tracking else "MLflow: see above.")
    write_json(
        arguments.json,
        {
            "machine": about,
            "kills": kills,
            "results": compared,
            "different": different,
            "tracking": tracking,
            "rules": {rule: {**vars(fire), "kills": dict(fire.kills)} for rule, fire in fires.items()},
        },
    )
    if different or tracking:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
