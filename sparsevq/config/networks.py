"""Trained baselines: the networks that sparsevq is compared with."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sparsevq.config.section import Count, Fraction, Rate, Section
from sparsevq.config.stages import TrainingConfig

NetworkName = Literal["fno", "unet", "voronoi_fno", "voronoi_unet", "senseiver", "shred"]
"""Trained baselines."""

ControlName = Literal["continuous", "continuous_frames"]
"""The GPT's Transformer without codes: on groups of coefficients, and on whole frames as the paper's release has it."""

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


class SenseiverConfig(NetworkConfig):
    """Attention from the readings straight to points and lead times, each trained for by itself."""

    observed_frames: Count = Field(
        1, description="frames of readings that it is given; with several, only forecasts from as many are compared"
    )
    batch_frames: Count = Field(32, description="frames of a batch: batch_frames // leads_a_batch windows")
    leads_a_batch: Count = Field(4, description="lead times of a batch, drawn at random")
    batch_pixels: Count = Field(256, description="points of each frame, drawn at random")
    space_bands: Count = Field(16, description="sine-cosine frequencies per dimension")
    time_bands: Count = Field(8, description="sine-cosine frequencies of the time")
    width: Count = Field(64, description="channels of the latents, and of encoder and decoder")
    latents: Count = Field(64, description="length of the learned query array")
    layers: Count = Field(3, description="encoder blocks; the later ones share weights")
    heads: Count = Field(4, description="attention heads")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width={self.width} must be a multiple of heads={self.heads}")
        return self


class ShredConfig(NetworkConfig):
    """SHRED: an LSTM over a history of readings, and a shallow decoder to POD coefficients at all lead times."""

    observed_frames: Count = Field(
        10, description="frames of readings that it is given: only forecasts from as many or more are compared"
    )
    batch_frames: Count = Field(1344, description="frames of a batch: batch_frames // (horizon + 1) windows")
    modes: Count = Field(256, description="leading modes of the basis that it forecasts, at most")
    layers: Count = Field(2, description="layers of the LSTM")
    width: Count = Field(64, description="width of the LSTM")
    decoder: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        (350, 400), description="widths of the decoder's hidden layers"
    )
    dropout: Fraction = Field(0.1, description="dropout in the decoder")


class NetworksConfig(Section):
    """Trained baselines: those that `evaluation.baselines` names are trained, from data, basis and sensors alone."""

    fno: FNOConfig = FNOConfig()
    unet: UNetConfig = UNetConfig()

    def of(self, network: str) -> NetworkConfig:
        """The settings of a trained baseline: those of `voronoi_fno` are those of `fno`."""
        found: NetworkConfig = getattr(self, network.removeprefix("voronoi_"))
        return found

    senseiver: SenseiverConfig = SenseiverConfig()
    shred: ShredConfig = ShredConfig()
