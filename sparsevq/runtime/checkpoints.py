"""The state of a training on disk, from which it resumes after a kill as if nothing had happened.

A checkpoint is one safetensors file, ``step<number>-<digest>.safetensors``. It is written to a temporary file and
renamed, and its name holds the first digits of the SHA-256 of its bytes, by which an incomplete or damaged one is
recognised. The last two are kept: if the last is damaged, training resumes from the one before.
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import written_whole
from sparsevq.version import VERSION

SCHEMA_VERSION = 1
KEPT = 2
DIGITS = 16
"""Hexadecimal digits of the digest in a file's name: enough to detect damage, short enough to read."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: tensors by name, and the rest as JSON."""

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]


class Checkpoints:
    """Checkpoints of one training, in a folder of their own.

    Parameters
    ----------
    folder
        Outside what the workflow removes when a job fails.
    minutes
        Between checkpoints; 0: after every step.
    """

    def __init__(self, folder: Path, minutes: float):
        self.folder, self._seconds = Path(folder), 60 * minutes
        self._last = time.monotonic()
        self._foreign: list[Path] = []

    def due(self) -> bool:
        """Whether it is time for another one."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, checkpoint: Checkpoint, made_of: Mapping[str, Any]) -> None:
        """Write a checkpoint, and remove all but the last two.

        If the disk takes none, the training does not end: a line says so, and the next checkpoint is tried when due.

        Parameters
        ----------
        made_of
            What identifies this training: only a training with the same values resumes from here. JSON.
        """
        self._last = time.monotonic()
        header = {
            "schema": "sparsevq-checkpoint",
            "schema_version": SCHEMA_VERSION,
            "sparsevq_version": VERSION,
            "step": checkpoint.step,
            "made_of": made_of,
            "values": checkpoint.values,
        }
        # safetensors takes no tensors that share memory, as tied weights do.
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in checkpoint.tensors.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            unnamed = self.folder / "writing.safetensors"  # one name, by which the remains of killed writers are found
            with written_whole(unnamed) as part:
                save_file(tensors, part, metadata={"sparsevq": json.dumps(header)})  # unsorted: rows keep their columns
            unnamed.rename(self.folder / f"step{checkpoint.step:08d}-{_digits(unnamed)}.safetensors")
        except (SparseVQError, OSError) as error:
            print(f"no checkpoint of step {checkpoint.step}: {error}", flush=True)
            return
        for path in [*self._files()[KEPT:], *self._foreign]:
            path.unlink(missing_ok=True)
        self._foreign = []

    def latest(self, made_of: Mapping[str, Any]) -> Path | None:
        """The last checkpoint from which this training can resume; a line is printed for each that is passed over.

        Damaged ones are removed. Those of another training stay until this one has a checkpoint of its own.
        """
        for path in self._files():
            try:
                if path.stem.rpartition("-")[2] != _digits(path):
                    raise ValueError("its bytes are not those that were written")
                header = _header(path)
            except (SafetensorError, OSError, ValueError) as error:
                print(f"the checkpoint {path} is damaged ({error}): passed over for the one before", flush=True)
                path.unlink(missing_ok=True)
                continue
            found = _flat({"checkpoint's schema": header["schema_version"], **header["made_of"]})
            wanted = _flat({"checkpoint's schema": SCHEMA_VERSION, **json.loads(json.dumps(made_of))})
            if found == wanted:
                return path
            name = next(name for name in wanted | found if wanted.get(name) != found.get(name))
            difference = f"{name}: {_shown(found.get(name))} there, {_shown(wanted.get(name))} here"
            print(f"the checkpoint {path} is of another training ({difference}): not used")
            self._foreign.append(path)
        return None

    def clear(self) -> None:
        """Remove all checkpoints: the training is done and its model written."""
        for path in [*self.folder.glob("*.safetensors"), *self.folder.glob(".writing.*")]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there is none, or something else in it
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        """This training's checkpoints, the last one first."""
        named = self.folder.glob("step*-" + DIGITS * "[0-9a-f]" + ".safetensors")
        own = [path for path in named if path not in self._foreign]
        return sorted(own, key=lambda path: (len(path.name), path.name), reverse=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that `Checkpoints.latest` found; no code from the file is executed."""
    header = _header(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    return Checkpoint(header["step"], tensors, header["values"])


def _header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {}).get("sparsevq", "null"))
    if not isinstance(header, dict) or header.get("schema") != "sparsevq-checkpoint":
        raise ValueError("it is not a checkpoint of sparsevq")
    return header


def _digits(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested mappings by their path, ``outer.inner``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return flat


def _shown(value: Any) -> str:
    """A value for a message; digests are shortened."""
    text = str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text[:60]
