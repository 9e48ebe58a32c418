"""Running the real workflow, in a folder of the test's own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MINIATURE = REPOSITORY / "tests/config/miniature.yaml"


@dataclass
class Ended:
    """A finished run of Snakemake."""

    status: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Rule -> jobs, as the job statistics say."""
        table = re.search(r"^job +count\n[- ]+\n((?:\w+ +\d+\n)+)", self.output, re.MULTILINE)
        return {rule: int(count) for rule, count in re.findall(r"(\w+) +(\d+)", table[1])} if table else {}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), *arguments]


def environment() -> dict[str, str]:
    """As a user's, with no tracking server and no leases of others in it."""
    dropped = ("MLFLOW_", "SPARSEVQ_", "SLURM_", "LOCAL_RANK")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def workflow(folder: Path, *arguments: str) -> Ended:
    """Snakemake with the miniature, to its end."""
    return _ended("--directory", str(folder), "--configfile", str(MINIATURE), *arguments)


def _ended(*arguments: str) -> Ended:
    ended = subprocess.run(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        check=False,
    )
    return Ended(ended.returncode, ended.stdout)


def same_each_time(tables: Path) -> dict[str, bytes]:
    """Name -> content of each table, but of those with wall times."""
    return {path.name: path.read_bytes() for path in tables.iterdir() if path.stem not in ("ablations", "baselines")}


def logs(folder: Path) -> str:
    """The ends of all jobs' logs, for a failed test to show."""
    return "".join(f"\n--- {path}\n{path.read_text()[-2000:]}" for path in folder.rglob("logs/*.log"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder in which the workflow has run to the end, on this machine."""
    folder = tmp_path_factory.mktemp("miniature")
    ended = workflow(folder, "--cores", "2")
    assert ended.status == 0, ended.output + logs(folder)
    return folder


def copied(finished: Path, folder: Path) -> Path:
    """A copy of a run, without MLflow's store.

    This process may be connected to that store. Were the file opened and closed beside, as a copy does, the process
    would lose its locks on it (POSIX drops all at any close), and SQLite in another process would take itself for the
    last user and remove the write-ahead log, with what others go on to write there.
    """
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("mlflow.db*"))
    return folder


@pytest.fixture
def snakemake(tmp_path) -> Callable[..., Ended]:
    """Run Snakemake in a folder, by default the test's own."""

    def run(*arguments: str, folder: Path = tmp_path) -> Ended:
        return _ended("--directory", str(folder), "--cores", "2", *arguments)

    return run
