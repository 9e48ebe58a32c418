"""Folders that `sparsevq train` writes and reads: data sets by name, runs by time stamp."""

import os
import shlex
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from sparsevq.config import DataSetConfig, PreprocessConfig
from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Part, Run
from sparsevq.runtime.files import digest, unwritable, written_whole
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
        known = ", ".join(sorted(str(file) for file in results.glob("*/*/data.h5"))[:MOST_LISTED])
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
    if name is None:
        raise SparseVQError(f"--{flag} is missing, and an earlier stage is needed", f"name a run: {listed(runs)}")
    for path in (runs / name, Path(name)):
        if path.is_dir():
            return Run(path)
    raise SparseVQError(
        f"--{flag} {name}: there is no such run", f"there are {listed(runs)}; or give the folder of a run"
    )


def listed(runs: Path) -> str:
    """The newest runs and what they hold, for a message."""
    found = [Run(path) for path in sorted(runs.glob("*"), reverse=True)]
    found = [run for run in found if run.parts]
    if not found:
        return f"none in {runs}"
    told = [f"{run.path.name} ({', '.join(run.parts)})" for run in found[:MOST_LISTED]]
    return ", ".join(told) + (" and older ones" if len(found) > MOST_LISTED else "") + f" in {runs}"


def new_run(runs: Path) -> Run:
    """A new folder, named after the time.

    Raises
    ------
    SparseVQError
        It can't be made.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        path = runs / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not runs.is_dir():
                raise SparseVQError(f"{runs} is not a folder", "choose another with --runs") from None
            continue
        except OSError as error:
            raise unwritable(path, error) from None
        return Run(path)
    raise SparseVQError(f"{runs} has a thousand runs of {stamp}", "wait a second")


def discard(run: Run) -> None:
    """Remove the folder of a run that failed, unless it can go on from a checkpoint; then that is said."""
    if any(checkpoints_of(run).glob("*.safetensors")):
        print(
            f"run {run.path.name} has a checkpoint: sparsevq train --resume {run.path.name} goes on from it", flush=True
        )
    else:
        shutil.rmtree(run.path, ignore_errors=True)


def checkpoints_of(run: Run) -> Path:
    """Where the training of a run leaves its state until it is done."""
    return run.path / "checkpoints"


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
    if not any(checkpoints_of(run).glob("*.safetensors")):
        raise SparseVQError(f"--resume {name}: {run.path} has no checkpoint to go on from", "train it anew")
    return run, shlex.split(record["command"])[2:]


def link(source: Path, target: Path) -> None:
    """One more name for a file of an earlier run, which takes no room; across file systems a symbolic link.

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


def link_model(source: Run, part: Part, target: Run, as_part: Part) -> None:
    """Take over a model of an earlier run, with its history."""
    link(source.file(part), target.file(as_part))
    history = source.folder(part) / "history.csv"
    if history.is_file():
        link(history, target.folder(as_part) / "history.csv")


def place_data(source: Path, time_sub: int, run: Run) -> None:
    """Give a run its data set: the file itself, or every `time_sub`-th frame of it.

    Raises
    ------
    SparseVQError
        The data set is faulty, or the run's folder can't be written.
    """
    own = run.path / "data.h5"
    if time_sub == 1:
        link(source, own)
        return
    from sparsevq.data.preprocess import preprocess
    from sparsevq.readers.data_set import open_data_set

    preprocess(open_data_set(source), own, source.stem, DataSetConfig(), PreprocessConfig(time_sub=time_sub))


def write_record(run: Run, record: dict[str, Any]) -> None:
    """Write what was run."""
    with written_whole(run.path / RECORD) as part:
        about = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "sparsevq_version": VERSION}
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


def data_record(name: str, source: Path, time_sub: int) -> dict[str, Any]:
    """What a run says of its data set."""
    return {"name": name, "path": str(source.resolve()), "sha256": digest(source), "time_sub": time_sub}
