"""Trained baselines: the networks that sparsevq is compared with."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sparsevq.config.section import Count, Fraction, Rate, Section
from sparsevq.config.stages import TrainingConfig

NetworkName = Literal["fno", "unet", "voronoi_fno", "voronoi_unet"]
"""Trained baselines."""

ORACLES = {"dense_fno": "fno", "dense_unet": "unet"}
"""Name -> the trained baseline whose rollout starts from the true, dense frame: what no sensors can give."""


class NetworkConfig(TrainingConfig):
    """What all networks share."""

    lr: Rate = Field(1e-3, description="peak learning rate of AdamW")
    max_steps: Count = Field(4000, description="optimizer steps; a budget in steps keeps runs reproducible")
    batch_frames: Count = Field(
        16, description="frames that are forecast in a batch: it has batch_frames // leads windows of training flows"
    )


class RolloutConfig(NetworkConfig):
    """A network that makes the next frame of a frame: trained one step ahead first, then on rollouts."""

    noise: Annotated[float, Field(ge=0)] = Field(
        0.02, description="noise on the true frame that one step is trained from, in units of the anomalies' std"
    )
    rollout_share: Fraction = Field(
        0.4,
        description="share of the steps, the last ones, that train rollouts from the estimated first frame; their "
        "length grows from 2 to rollout_frames",
    )
    rollout_frames: Annotated[int, Field(ge=2)] = Field(8, description="frames of the longest rollout that is trained")


class FNOConfig(RolloutConfig):
    """Fourier neural operator, of neuraloperator."""

    lr: Rate = Field(3e-3, description="peak learning rate of AdamW")
    width: Count = Field(24, description="channels")
    modes: Annotated[int, Field(ge=2)] = Field(12, description="Fourier modes along each axis")
    layers: Count = Field(4, description="Fourier layers")


class UNetConfig(RolloutConfig):
    """U-Net of MONAI: five levels, each of half the resolution of the one before."""

    widths: tuple[Count, Count, Count, Count, Count] = Field(
        (16, 32, 64, 128, 128), description="channels of each level, from the grid's on: multiples of 4"
    )

    @model_validator(mode="after")
    def _groups_divide_widths(self) -> Self:
        for width in self.widths:
            if width % 4:
                raise ValueError(f"widths: {width} must be a multiple of 4, the groups of channels that are normalised")
        return self


class NetworksConfig(Section):
    """Trained baselines: those that `evaluation.baselines` names are trained, from data, basis and sensors alone."""

    fno: FNOConfig = FNOConfig()
    unet: UNetConfig = UNetConfig()

    def of(self, network: str) -> NetworkConfig:
        """The settings of a trained baseline: those of `voronoi_fno` are those of `fno`."""
        found: NetworkConfig = getattr(self, network.removeprefix("voronoi_"))
        return found
