"""The folder of a run that no workflow made: its name, files of earlier runs, and the record of what was trained."""

import itertools
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from sparsevq.errors import SparseVQError
from sparsevq.runs.run import FILES, PARTS, Run
from sparsevq.runtime.files import unwritable, written_whole
from sparsevq.runtime.integrity import note_version
from sparsevq.version import VERSION

RECORD, CHECKPOINTS = "config.yaml", "checkpoints"
SCHEMA, SCHEMA_VERSION = "sparsevq-run", 1


def new_run(runs: Path) -> Run:
    """A new folder in the folder `runs`, named after the time.

    Raises
    ------
    SparseVQError
        It can't be made.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for name in itertools.chain([stamp], (f"{stamp}-{number}" for number in itertools.count(2))):
        try:
            (runs / name).mkdir(parents=True)
            break
        except OSError as error:
            if not (runs / name).is_dir():
                raise unwritable(runs / name, error) from None
    return Run(runs / name)


def has_checkpoint(run: Run) -> bool:
    """Whether the training of a run was interrupted and can be resumed."""
    return any((run.path / CHECKPOINTS).glob("*.safetensors"))


def take_over(run: Run, files: Mapping[str, Path]) -> None:
    """Give a run files of earlier runs, and the CSV files beside them.

    Parameters
    ----------
    files
        Name (a key of `sparsevq.runs.run.FILES`) -> file.

    Raises
    ------
    SparseVQError
        The folder can't be written.
    """
    for name, file in files.items():
        target = run.path / FILES[name]
        link(file, target)
        beside = {"sensors": "sensors.csv"} | dict.fromkeys(PARTS, "history.csv")
        if name in beside and file.with_name(beside[name]).is_file():
            link(file.with_name(beside[name]), target.with_name(beside[name]))


def link(source: Path, target: Path) -> None:
    """One more name for a file, which takes no space; across file systems a symbolic link.

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
    """Write ``config.yaml``: what was trained, with which settings, from which files."""
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
