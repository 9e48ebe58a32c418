"""What a method costs: how many numbers it keeps, how long it was fitted or trained, and on what."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import written_whole

FILE = "cost.json"
"""Beside the model of a network."""


@dataclass(frozen=True)
class Cost:
    """Of one method.

    Attributes
    ----------
    parameters
        Numbers that were learned and that it forecasts with.
    seconds
        Wall time of its training; of what is solved for, of the fit with the choice of its settings and the forecasts
        of validation and test flows.
    steps
        Optimizer steps; 0: it is solved for.
    device
        On which.
    """

    parameters: int
    seconds: float
    steps: int = 0
    device: str = "cpu"


def write_cost(path: Path, cost: Cost) -> None:
    """Write what a training took beside its model: it differs each time, which the model does not."""
    with written_whole(path) as part:
        part.write_text(json.dumps(asdict(cost), indent=1) + "\n")


def read_cost(model: Path) -> Cost:
    """The cost of the network whose model file this is.

    Raises
    ------
    SparseVQError
        There is none beside it, or it is damaged.
    """
    path = model.with_name(FILE)
    try:
        found: Any = json.loads(path.read_text())
        return Cost(int(found["parameters"]), float(found["seconds"]), int(found["steps"]), str(found["device"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SparseVQError(
            f"{path} does not tell what the training of {model} took ({error})", "train it again"
        ) from None
