"""Data sets by name and runs by time stamp, as `sparsevq train` finds them."""

import shlex
import shutil
from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.runs.folder import RECORD, has_checkpoint, read_record
from sparsevq.runs.run import Run

MOST_LISTED = 8


def find_data(name: str, results: Path) -> Path:
    """A data set's file: a path, or a name that is looked up as ``<results>/*/<name>/data.h5``, the newest first.

    A `SparseVQError` that there is none lists those that are there, and says how to make one.
    """
    path = Path(name)
    if path.is_dir() and (path / "data.h5").is_file():
        return path / "data.h5"
    if path.is_file():
        return path
    if path.suffix in (".h5", ".hdf5") or len(path.parts) > 1:
        raise SparseVQError(f"there is no data set {path}", "check the path")
    found = max(results.glob(f"*/{name}/data.h5"), key=lambda file: file.stat().st_mtime, default=None)
    if found is None:
        known = ", ".join(sorted(map(str, results.glob("*/*/data.h5")))[:MOST_LISTED])
        others = f"found {known}" if known else "and no other"
        raise SparseVQError(
            f"there is no data set {name!r}: no {results}/*/{name}/data.h5 ({others})",
            "simulate one (snakemake --until preprocess --cores 1) or give a path to a data.h5 (docs/data-format.md)",
        )
    return found


def find_run(name: str | None, flag: str, runs: Path) -> Run:
    """The run that a flag names: a folder, or the time stamp of a run below `runs`.

    A `SparseVQError` that no run was named, or that there is none of that name, lists those that are there.
    """
    for path in (runs / name, Path(name)) if name is not None else ():
        if path.is_dir():
            return Run(path)
    found = [run for run in map(Run, sorted(runs.glob("*"), reverse=True)) if run.parts]
    listed = ", ".join(f"{run.path.name} ({', '.join(run.parts)})" for run in found[:MOST_LISTED]) or "none"
    listed += (" and older ones" if len(found) > MOST_LISTED else "") + f" in {runs}"
    if name is None:
        raise SparseVQError(f"--{flag} is missing, and an earlier stage is needed", f"name a run: {listed}")
    raise SparseVQError(f"--{flag} {name}: there is no such run", f"there are {listed}; or give the folder of a run")


def interrupted_run(name: str, runs: Path) -> tuple[Run, list[str]]:
    """The run that ``--resume`` names, and the flags that it was started with."""
    run = find_run(name, "resume", runs)
    record = read_record(run)
    if "command" not in record:
        raise SparseVQError(
            f"--resume {name}: {run.path / RECORD} does not say how it was started",
            "a run of the workflow resumes by itself when Snakemake is started again",
        )
    if not has_checkpoint(run):
        raise SparseVQError(f"--resume {name}: {run.path} has no checkpoint to resume from", "train it again")
    return run, shlex.split(record["command"])[2:]


def discard(run: Run) -> None:
    """Remove the folder of a run that failed, unless it can be resumed from a checkpoint; then say so."""
    name = run.path.name
    if has_checkpoint(run):
        print(f"run {name} has a checkpoint: resume it by sparsevq train --resume {name}", flush=True)
    else:
        shutil.rmtree(run.path, ignore_errors=True)
