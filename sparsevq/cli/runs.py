"""Folders that `sparsevq train` writes and reads: data sets by name, runs by time stamp."""

import itertools
import os
import shlex
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Run
from sparsevq.runtime.files import unwritable, written_whole
from sparsevq.runtime.integrity import note_version
from sparsevq.version import VERSION

RECORD = "config.yaml"
SCHEMA, SCHEMA_VERSION = "sparsevq-run", 1
MOST_LISTED = 8


def find_data(name: str, results: Path) -> Path:
    """A data set's file: a path, or a name that is looked up as ``<results>/*/<name>/data.h5``, the newest first.

    Raises
    ------
    SparseVQError
        There is none; the message lists those that are there, and tells how to make one.
    """
    path = Path(name)
    if path.is_dir() and (path / "data.h5").is_file():
        return path / "data.h5"
    if path.suffix in (".h5", ".hdf5") or path.is_file() or len(path.parts) > 1:
        if not path.is_file():
            raise SparseVQError(f"there is no data set {path}", "check the path")
        return path
    found = sorted(results.glob(f"*/{name}/data.h5"), key=lambda file: file.stat().st_mtime)
    if not found:
        known = ", ".join(sorted(map(str, results.glob("*/*/data.h5")))[:MOST_LISTED])
        others = f"found {known}" if known else "nor any other"
        raise SparseVQError(
            f"there is no data set {name!r}: no {results}/*/{name}/data.h5 ({others})",
            "simulate one (snakemake --until preprocess --cores 1) or give a path to a data.h5 (docs/data-format.md)",
        )
    return found[-1]


def find_run(name: str | None, flag: str, runs: Path) -> Run:
    """The run that a flag names: a folder, or the time stamp of a run below `runs`.

    Raises
    ------
    SparseVQError
        No run was named, or there is none of that name; the message lists those that are there.
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


def new_run(runs: Path) -> Run:
    """A new folder, named after the time.

    Raises
    ------
    SparseVQError
        It can't be made.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        path = runs / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir(parents=True)
            break
        except OSError as error:
            if not (isinstance(error, FileExistsError) and path.is_dir()):
                raise unwritable(path, error) from None
    return Run(path)


def discard(run: Run) -> None:
    """Remove the folder of a run that failed, unless it can be resumed from a checkpoint; then say so."""
    if has_checkpoint(run):
        print(
            f"run {run.path.name} has a checkpoint: sparsevq train --resume {run.path.name} goes on from it", flush=True
        )
    else:
        shutil.rmtree(run.path, ignore_errors=True)


def checkpoints_of(run: Run) -> Path:
    """Where the training of a run saves its state until it is done."""
    return run.path / "checkpoints"


def has_checkpoint(run: Run) -> bool:
    """Whether a training can be resumed."""
    return any(checkpoints_of(run).glob("*.safetensors"))


def interrupted_run(name: str, runs: Path) -> tuple[Run, list[str]]:
    """The run that ``--resume`` names, and the flags that it was started with.

    Raises
    ------
    SparseVQError
        There is no such run, it is finished, or it was not made by `sparsevq train`.
    """
    run = find_run(name, "resume", runs)
    record = read_record(run)
    if "command" not in record:
        raise SparseVQError(
            f"--resume {name}: {run.path / RECORD} does not say how it was started",
            "a run of the workflow goes on by itself when Snakemake is started again",
        )
    if not has_checkpoint(run):
        raise SparseVQError(f"--resume {name}: {run.path} has no checkpoint to go on from", "train it anew")
    return run, shlex.split(record["command"])[2:]


def link(source: Path, target: Path) -> None:
    """One more name for a file of an earlier run, which takes no space; across file systems a symbolic link.

    Raises
    ------
    SparseVQError
        It can't be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            target.symlink_to(source.resolve())
    except OSError as error:
        raise unwritable(target, error) from None


def write_record(run: Run, record: dict[str, Any]) -> None:
    """Write what was run."""
    about = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "sparsevq_version": VERSION}
    with written_whole(run.path / RECORD) as part:
        part.write_text(yaml.safe_dump(about | record, sort_keys=False))


def read_record(run: Run) -> dict[str, Any]:
    """What `write_record` wrote; empty for a run of the workflow."""
    path = run.path / RECORD
    if not path.is_file():
        return {}
    try:
        record = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SparseVQError(f"{path} cannot be read ({error})", "train the run again") from None
    if not isinstance(record, dict) or record.get("schema", SCHEMA) != SCHEMA:
        return {}
    if record.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise SparseVQError(
            f"{path} has version {record['schema_version']} of {SCHEMA}; this sparsevq reads version {SCHEMA_VERSION}",
            "train the run again, or use the sparsevq that wrote it",
        )
    note_version(path, record.get("sparsevq_version"))
    return record
