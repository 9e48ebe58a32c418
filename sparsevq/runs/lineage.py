"""What the files of a run say of themselves: which are there, what each was made from, and whether they fit.

Nothing is loaded, so that it takes no time and works for a run that is not finished.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
from safetensors import SafetensorError, safe_open

from sparsevq.errors import SparseVQError
from sparsevq.runs.run import CHECKED, FILES, MADE_BY, PARTS, Run
from sparsevq.runtime.files import digest, known_digest
from sparsevq.runtime.integrity import NAMES, SHOWN

MOST_READ = 2**30
"""Bytes of a file whose digest is taken though it is not known: more take seconds to minutes."""
RULES = {"data": "preprocess", "calibration": "calibrate"}
"""Rules of the workflow that are not called as what they make."""


@dataclass(frozen=True)
class FileOfRun:
    """A file of a run, as it is on the disk.

    Attributes
    ----------
    name
        Key of `sparsevq.runs.run.FILES`.
    path
        Where it is, or is to be.
    bytes
        Its size; None: it is not there.
    sha256
        Its digest; empty: it is not there, damaged, or so large that it was not taken.
    version
        Of the code that wrote it; empty where it does not say.
    made_from
        Name -> digest of what it was made from.
    header
        Of a model, what its header says.
    weights
        Of a model, how many numbers it has.
    faults
        What is wrong with it: damage, or that it was made from another file than the one beside it.
    """

    name: str
    path: Path
    bytes: int | None = None
    sha256: str = ""
    version: str = ""
    made_from: dict[str, str] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    weights: int = 0
    faults: tuple[str, ...] = ()

    @property
    def there(self) -> bool:
        """Whether there is such a file."""
        return self.bytes is not None

    @property
    def made_by(self) -> str:
        """Who makes it, as messages say it."""
        return MADE_BY.get(self.name, f"the rule {RULES.get(self.name, self.name)}")


def lineage(run: Run, *, thorough: bool = False) -> dict[str, FileOfRun]:
    """All files of a run by name, in the order in which they are made; those that fit one another have no `faults`.

    Parameters
    ----------
    run
        A run that has a folder; finished or not.
    thorough
        Take digests of large files too.
    """
    names = [name for name in FILES if name != ("data" if run.packed else "domain")]
    found = {name: _read(name, run.file(name), thorough) for name in names}
    digests = {name: of.sha256 for name, of in found.items()}
    if run.packed:
        digests["data"] = run.digest("data")
    for name, of in found.items():
        apart = [other for other in CHECKED.get(name, ()) if _differ(of.made_from.get(other), digests.get(other))]
        said = [f"was made from another {NAMES.get(other, other)} than the one beside it" for other in apart]
        found[name] = _with_faults(of, said)
    return found


def _differ(recorded: str | None, given: str | None) -> bool:
    return bool(recorded and given and recorded != given)


def _with_faults(of: FileOfRun, more: list[str]) -> FileOfRun:
    return FileOfRun(**{**vars(of), "faults": (*of.faults, *more)})


def _read(name: str, path: Path, thorough: bool) -> FileOfRun:
    if not path.is_file():
        return FileOfRun(name, path)
    size = path.stat().st_size
    try:
        sha256 = digest(path) if thorough or size <= MOST_READ else known_digest(path)
        if name in PARTS:
            header, weights = model_header(path)
            made_from, version = header.get("made_from", {}), str(header.get("sparsevq_version", ""))
            return FileOfRun(name, path, size, sha256, version, made_from, header, weights)
        with h5py.File(path, "r") as file:
            made_from = json.loads(file.attrs.get("made_from", "{}"))
            version = str(file.attrs.get("sparsevq_version", ""))
        return FileOfRun(name, path, size, sha256, version, made_from)
    except (SparseVQError, OSError, ValueError, SafetensorError) as error:
        said = str(error).rstrip(".") if isinstance(error, SparseVQError) else f"cannot be read ({error})"
        return FileOfRun(name, path, size, faults=(said,))


def model_header(path: Path) -> tuple[dict[str, Any], int]:
    """What the header of a model says, and how many numbers its weights are; imports no torch."""
    with safe_open(path, framework="np") as file:
        header = json.loads((file.metadata() or {}).get("sparsevq", "{}"))
        weights = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 (no dict)
    return header, weights


def short(sha256: str) -> str:
    """A digest as it is shown."""
    return sha256[:SHOWN]
