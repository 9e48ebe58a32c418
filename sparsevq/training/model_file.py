"""One format for every trained model: safetensors, with what the model is and what it was made from in its header.

Loading executes no code from the file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sparsevq.errors import SparseVQError
from sparsevq.files import digest, written_whole
from sparsevq.version import VERSION

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ModelFile:
    """A model as read: its weights, the shape to build it with, and where it comes from."""

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
    made_from: dict[str, Path],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a model; it appears whole or not at all.

    Parameters
    ----------
    kind
        ``semi_sparse``, ``sparse``, ``tokenizer`` or ``gpt``.
    shape
        Arguments that rebuild the module; JSON.
    settings
        The section of the configuration that it was trained with; JSON.
    made_from
        Name -> file; their digests are stored.
    extra
        What else is needed to use it; JSON.
    """
    header = {
        "schema": "sparsevq-model",
        "schema_version": SCHEMA_VERSION,
        "sparsevq_version": VERSION,
        "kind": kind,
        "shape": shape,
        "settings": settings,
        "made_from": {name: digest(file) for name, file in made_from.items()},
        "extra": extra or {},
    }
    weights = {name: weight.detach().cpu().contiguous().clone() for name, weight in module.state_dict().items()}
    with written_whole(path) as part:
        # One entry, since safetensors keeps no order of entries and the same training must give the same bytes.
        save_file(weights, part, metadata={"sparsevq": json.dumps(header, sort_keys=True)})


def load_model(path: Path, *kinds: str, device: torch.device | str = "cpu") -> ModelFile:
    """Read a model.

    Raises
    ------
    SparseVQError
        The file is missing, damaged, of another schema version, or none of `kinds`.
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
    if header["schema_version"] != SCHEMA_VERSION:
        raise SparseVQError(
            f"{path} has schema version {header['schema_version']}, this program reads {SCHEMA_VERSION}",
            "train it again",
        )
    if header["kind"] not in kinds:
        raise SparseVQError(f"{path} is a {header['kind']} model, not {' or '.join(kinds)}", "check the path")
    described = {field: header[field] for field in ("kind", "shape", "settings", "made_from", "extra")}
    return ModelFile(path=path, weights=weights, digest=digest(path), **described)
