"""One format for every trained model: safetensors, with what the model is and what it was made from in its header.

Loading executes no code from the file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest, written_whole
from sparsevq.runtime.integrity import note_version
from sparsevq.runtime.rounded import Rounded, decoded, encoded
from sparsevq.version import VERSION

SCHEMA_VERSION = 1
ROUNDED_VERSION = 2
"""The version of files with weights that are rounded and deflated (`write_rounded`), which earlier programs refuse."""
STEPS = ".steps"
"""After a weight's name: the entry with the steps that it is multiples of."""


@dataclass(frozen=True)
class ModelFile:
    """A model as read: its weights, the arguments to build it with, and what it was made from."""

    path: Path
    kind: str
    shape: dict[str, Any]
    settings: dict[str, Any]
    made_from: dict[str, str]
    extra: dict[str, Any]
    weights: dict[str, Tensor]
    digest: str

    def restore(self, module: nn.Module) -> None:
        """Load the weights into a module.

        Raises
        ------
        SparseVQError
            A weight is missing, left over or of another shape; the message names the first.
        """
        expected = module.state_dict()
        for name in sorted(expected.keys() | self.weights.keys()):
            found = tuple(self.weights[name].shape) if name in self.weights else "missing"
            wanted = tuple(expected[name].shape) if name in expected else "none"
            if found != wanted:
                raise SparseVQError(
                    f"{self.path} does not fit this model: {name} is {found} in the file, {wanted} here",
                    "use the parameters that it was trained with, or train it again",
                )
        module.load_state_dict(self.weights)


def save_model(
    path: Path,
    module: nn.Module,
    kind: str,
    *,
    shape: dict[str, Any],
    settings: dict[str, Any],
    made_from: Mapping[str, str],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a model; the file appears complete or not at all.

    Parameters
    ----------
    kind
        ``semi_sparse``, ``sparse``, ``tokenizer`` or ``gpt``.
    shape
        Arguments that rebuild the module; JSON.
    settings
        The section of the configuration that it was trained with; JSON.
    made_from
        Name -> digest of what was read for the training (of the files as they were then).
    extra
        What else is needed to use it; JSON.
    """
    header: dict[str, Any] = {
        "schema": "sparsevq-model",
        "schema_version": SCHEMA_VERSION,
        "sparsevq_version": VERSION,
        "kind": kind,
        "shape": shape,
        "settings": settings,
        "made_from": dict(made_from),
        "extra": extra or {},
    }
    weights = {name: weight.detach().cpu().contiguous().clone() for name, weight in module.state_dict().items()}
    _write(path, header, weights)


def write_rounded(
    path: Path, file: ModelFile, weights: Mapping[str, Rounded | Tensor], made_from: Mapping[str, str]
) -> None:
    """Write a model that was read with other weights, some of them rounded; it is read as any other.

    Parameters
    ----------
    file
        The model: what it is, but for its weights.
    weights
        All of them by name; a `Rounded` takes as few bytes as its whole numbers need.
    made_from
        Name -> digest, instead of those of `file`.
    """
    header: dict[str, Any] = {
        "schema": "sparsevq-model",
        "schema_version": ROUNDED_VERSION,
        "sparsevq_version": VERSION,
        **{field: getattr(file, field) for field in ("kind", "shape", "settings", "extra")},
        "made_from": dict(made_from),
        "rounded": {
            name: {"shape": list(weight.numbers.shape), "dtype": weight.dtype}
            for name, weight in sorted(weights.items())
            if isinstance(weight, Rounded)
        },
    }
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if isinstance(weight, Rounded):
            stored[name] = torch.frombuffer(bytearray(encoded(weight.numbers)), dtype=torch.uint8)
            stored[name + STEPS] = torch.from_numpy(np.atleast_1d(weight.steps))
        else:
            stored[name] = weight.detach().cpu().contiguous().clone()
    _write(path, header, stored)


def _write(path: Path, header: dict[str, Any], weights: dict[str, Tensor]) -> None:
    header["sha256"] = _content(header, weights)
    with written_whole(path) as part:
        # One entry, since safetensors keeps no order of entries and the same training must give the same bytes.
        save_file(weights, part, metadata={"sparsevq": json.dumps(header, sort_keys=True)})


def load_model(path: Path, *kinds: str, device: torch.device | str = "cpu") -> ModelFile:
    """Read a model.

    Raises
    ------
    SparseVQError
        The file is missing, damaged, edited, of another schema version, or none of `kinds`.
    """
    path = Path(path)
    if not path.is_file():
        raise SparseVQError(f"no model at {path}", "train it first, or check the path")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            header = json.loads((file.metadata() or {}).get("sparsevq", "null"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise SparseVQError(f"{path} is not a readable model file ({error})", "train it again") from None
    if not isinstance(header, dict) or header.get("schema") != "sparsevq-model":
        raise SparseVQError(f"{path} is not a model of sparsevq", "give a model.safetensors that a run wrote")
    if header.get("schema_version") not in (SCHEMA_VERSION, ROUNDED_VERSION):
        raise SparseVQError(
            f"{path} has schema version {header.get('schema_version')}, this program reads {SCHEMA_VERSION} and "
            f"{ROUNDED_VERSION}",
            "train it again",
        )
    if header.get("sha256") not in (None, _content(header, weights)):
        raise SparseVQError(
            f"{path} is not as sparsevq wrote it (its content does not have the SHA-256 digest that it states)",
            "it is damaged: copy it again, or train it again",
        )
    if header["kind"] not in kinds:
        raise SparseVQError(f"{path} is a {header['kind']} model, not {' or '.join(kinds)}", "check the path")
    note_version(path, header["sparsevq_version"])
    weights = _restored(weights, header.get("rounded", {}), device)
    described = {field: header[field] for field in ("kind", "shape", "settings", "made_from", "extra")}
    return ModelFile(path=path, weights=weights, digest=digest(path), **described)


def _restored(
    stored: dict[str, Tensor], about: Mapping[str, Mapping[str, Any]], device: torch.device | str
) -> dict[str, Tensor]:
    """The weights of entries, of which those that are named `about` are rounded."""
    weights = {name: weight for name, weight in stored.items() if name.removesuffix(STEPS) not in about}
    for name, told in about.items():
        numbers = decoded(stored[name].cpu().numpy().tobytes(), tuple(told["shape"]))
        steps = stored[name + STEPS].cpu().numpy()
        values = Rounded(numbers, steps, told["dtype"]).values.reshape(numbers.shape)
        weights[name] = torch.from_numpy(values).to(device)
    return weights


def _content(header: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a model: of its header without the digest itself, and of each weight's name, type, shape and bytes."""
    found = hashlib.sha256(json.dumps({**header, "sha256": None}, sort_keys=True).encode())
    for name in sorted(weights):
        weight = weights[name].cpu().contiguous()
        found.update(f"\n{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        found.update(weight.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
