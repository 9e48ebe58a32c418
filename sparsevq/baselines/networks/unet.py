"""Rollouts of a U-Net (Ronneberger, Fischer & Brox, U-Net, MICCAI 2015), that of MONAI (Cardoso et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from sparsevq.baselines.networks.optional import needed
from sparsevq.baselines.networks.rollout import Rollout, RolloutSizes
from sparsevq.baselines.networks.scene import Scene
from sparsevq.config.networks import UNetConfig
from sparsevq.errors import SparseVQError
from sparsevq.models.periodic import wrap_around

LEAST = 16
"""Points that each axis must have: four times halved, one is left."""


@dataclass(frozen=True)
class UNetSizes(RolloutSizes):
    """`widths` of the five levels; which axes are `periodic`."""

    widths: tuple[int, ...]
    periodic: tuple[bool, ...]


class UNetRollout(Rollout):
    """A rollout from the optimal interpolation."""

    section: ClassVar[str] = "unet"
    Sizes: ClassVar[type] = UNetSizes
    config: UNetSizes

    @classmethod
    def sizes(cls, scene: Scene, settings: UNetConfig, horizon: int) -> UNetSizes:
        """As `Network.sizes`.

        Raises
        ------
        SparseVQError
            The points are not a grid, or one of too few points along an axis.
        """
        scene.require_grid(cls.section)
        if min(scene.grid) < LEAST:
            raise SparseVQError(
                f"evaluation.baselines: {cls.section} needs {LEAST} points along each axis, but {scene.data.name} has "
                f"{' x '.join(map(str, scene.grid))}",
                "leave it out for this data set",
            )
        return UNetSizes(
            channels=scene.channels,
            fixed=len(scene.fixed),
            axes=len(scene.grid),
            widths=settings.widths,
            periodic=scene.periodic,
        )

    def body(self, given: int, made: int) -> nn.Module:
        """As `Rollout.body`."""
        config = self.config
        unet = needed("monai.networks.nets", "BasicUNet", self.section)
        network: nn.Module = unet(
            spatial_dims=config.axes,
            in_channels=given,
            out_channels=made,
            features=(*config.widths, config.widths[0]),
            act="GELU",
            norm=("group", {"num_groups": 4}),
        )
        wrap_around(network, tuple(config.periodic))
        return network


class VoronoiUNet(UNetRollout):
    """A rollout from what a first network makes of the Voronoi tessellation."""

    tessellated: ClassVar[bool] = True
