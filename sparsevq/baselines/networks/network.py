"""What a trained baseline is: sizes, batches, a loss, and forecasts."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.networks.windows import Flows
from sparsevq.config.networks import NetworkConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.parallel import weights_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Network(nn.Module, ABC):
    """A trained baseline. A new one is a module with a subclass, and a line in `registry.NETWORKS`.

    Attributes
    ----------
    section
        Key of its settings in the section `networks` of the configuration.
    observed_frames
        Frames of readings that it is given, up to the last observed one.
    any_sensors
        Whether it takes the readings of other sensors than those it was trained with: its weights are not of them.
    config
        The dataclass of sizes that rebuilds it.

    Parameters
    ----------
    scene
        The domain, the basis and the sensors: not part of the weights.
    config
        As `sizes` makes it, or as it is in a model file.
    settings
        How it is trained.
    """

    section: ClassVar[str]
    Sizes: ClassVar[type]
    observed_frames: int = 1
    any_sensors: ClassVar[bool] = False
    config: "DataclassInstance"

    def __init__(self, scene: Scene, config: "DataclassInstance", settings: NetworkConfig):
        super().__init__()
        self.scene, self.config, self.settings = scene, config, settings

    @classmethod
    @abstractmethod
    def sizes(cls, scene: Scene, settings: Any, horizon: int) -> "DataclassInstance":
        """The sizes that a scene and the settings ask for, to forecast `horizon` frames."""

    def prepare(self, flows: Flows, seed: int) -> None:
        """Measure on the training flows what the network normalises by; once, before its training."""

    @abstractmethod
    def draw(self, flows: Flows, generator: torch.Generator, done: float, mine: slice) -> tuple[Any, ...]:
        """The batch of a step, on the device.

        Parameters
        ----------
        generator
            Of the host; nothing else random may be used.
        done
            Share of the training's steps that are done, 0 to 1.
        mine
            The windows of the batch that are this rank's.
        """

    @abstractmethod
    def loss(self, *batch: Any) -> dict[str, Tensor]:
        """Scalars, with the ``loss`` to minimise: as `sparsevq.training.stage.Stage.objective`."""

    @abstractmethod
    def forecast(self, readings: Tensor, horizon: int) -> Tensor:
        """Normalised anomalies ``(b, horizon + 1, N, C)`` from readings ``(b, k, m)``, lead 0 first."""

    def require_leads(self, horizon: int, trained: int) -> None:
        """Check that a network that is trained for each lead time by itself knows those of a horizon.

        Raises
        ------
        SparseVQError
            It is longer than the trained one.
        """
        if horizon > trained:
            raise SparseVQError(
                f"baseline {self.section} is trained for {trained} frames ahead, not for {horizon}",
                "train it with that forecast.horizon, or forecast no further",
            )

    def parameters_count(self) -> int:
        """Numbers that are trained."""
        return sum(weight.numel() for weight in self.parameters())


def windows_of(frames: int, leads: int, mine: slice) -> int:
    """Windows of a batch of so many frames, `leads` of each: one at least for each rank, whose rows are `mine`."""
    return max(1 if mine.step is None else mine.step, frames // leads)


def mean_square(guess: Tensor, truth: Tensor, valid: Tensor, area: Tensor) -> Tensor:
    """Mean squared error by area where there is a field, this rank's share of the batch's.

    Parameters
    ----------
    guess, truth
        ``(b, l, N, C)``.
    valid
        ``(b, N)``.
    area
        ``(N,)``.
    """
    weight = (valid * area)[:, None, :, None]
    total = weight.sum() * guess.shape[1] * guess.shape[-1]
    return weights_of(total)[0] * ((guess - truth).square() * weight).sum() / total.clamp_min(1e-9)
