"""What the three stages have in common: a stage states its training, `train` runs and saves it."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from sparsevq.config import TrainingConfig
from sparsevq.runtime.checkpoints import Checkpoints
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.model_file import load_model, save_model
from sparsevq.training.loop import fit

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Logs(Protocol):
    """What training needs of tracking (`sparsevq.runtime.tracking.logs.Tracker`)."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None: ...


class Stage(ABC):
    """One training: what is minimised, on which batches, how it is validated, and what is saved.

    A subclass builds these attributes in its constructor, after calling this one, which seeds all generators.

    Attributes
    ----------
    name
        What logs, errors and checkpoints call it.
    kind
        Kind of the model file: ``semi_sparse``, ``sparse``, ``tokenizer`` or ``gpt``.
    module, config
        The network whose weights are saved, and the dataclass of sizes that rebuilds it.
    objective
        ``objective(*batch)`` returns a dictionary of scalars with the ``loss`` to minimise. Its parameters that require
        gradients are trained. On several devices the mean over ranks of each scalar is that of the whole batch.
    settings
        The section of the configuration that is saved with the model.
    made_from
        Name -> digest of what the training has read: with the settings and the seed, what a checkpoint must be made of.
    extra
        What else is needed to use the model; JSON.
    best_after
        Validations before this step neither compete for the best weights nor count towards early stopping.
    validates_first
        Whether the weights that training begins with are validated too, as step 0, and compete for the best: where they
        are a solution already, which training may only improve on.
    steps, seconds
        What the training took, set at its end: optimizer steps, and wall time over all attempts.
    """

    name: str
    kind: str
    module: nn.Module
    config: "DataclassInstance"
    objective: nn.Module
    made_from: dict[str, str]
    extra: dict[str, Any]
    best_after = 0
    validates_first = False
    steps = 0
    seconds = 0.0

    def __init__(self, settings: TrainingConfig, seed: int, fabric: Fabric):
        self.settings, self.seed, self.fabric = settings, seed, fabric
        self.extra = {}
        fabric.seed_everything(seed, verbose=False)

    @abstractmethod
    def draw(self, generator: torch.Generator, step: int) -> tuple[Any, ...]:
        """The batch of a step, on the device; in data-parallel training, this rank's part of it.

        `generator` is the host's, whatever the device: batches do not depend on where they are drawn for.
        """

    def draws_ahead(self, step: int) -> bool:
        """Whether a thread may draw the batch of a step while the step before is taken.

        True where it is worth that: data come from a file, or cross from the host to a GPU. Drawing must then neither
        read nor change what a step changes, and take nothing from torch's own generators.
        """
        return False

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Metrics of the current weights; ``val_loss`` decides which are best."""

    def doubts(self) -> list[str]:
        """What a user should know about the weights of the best validation; printed when training ends."""
        return []

    @property
    def budget(self) -> TrainingConfig:
        """The settings that the loop follows."""
        return self.settings

    @property
    def mine(self) -> slice:
        """The rows of a batch that are this rank's."""
        return slice(self.fabric.global_rank, None, self.fabric.world_size)

    def start_from(self, path: Path | None, *kinds: str) -> None:
        """Begin with the weights of a model of the same sizes; None: with random ones.

        Raises
        ------
        SparseVQError
            The file is missing, damaged, of another kind or of other sizes.
        """
        if path is not None:
            start = load_model(path, *kinds)
            start.restore(self.module)
            self.made_from["start"] = start.digest


def train(stage: Stage, folder: Path, *, tracker: Logs, checkpoints: Checkpoints | None = None) -> None:
    """Run a training, and write the weights of its best validation and its curves.

    Parameters
    ----------
    folder
        Gets ``model.safetensors`` and ``history.csv``.
    checkpoints
        Where to save the state now and then, and to resume from; None: nowhere.

    Raises
    ------
    SparseVQError
        The loss is not finite, or the folder can't be written.
    Terminated, KeyboardInterrupt
        The job was asked to stop; there is a checkpoint of the last step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    best = fit(stage, tracker=tracker, history=folder / "history.csv", checkpoints=checkpoints)
    if stage.fabric.is_global_zero:
        save_model(
            folder / "model.safetensors",
            stage.module,
            stage.kind,
            shape=asdict(stage.config),
            settings=stage.settings.model_dump(mode="json"),
            made_from=stage.made_from,
            extra={
                "seed": stage.seed,
                "validation": best,
                "steps": stage.steps,
                "device": stage.fabric.device.type,
                **stage.extra,
            },
        )
