"""Rollouts of a U-Net (Ronneberger, Fischer & Brox, U-Net, MICCAI 2015), that of MONAI (Cardoso et al. 2022)."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from sparsevq.baselines.networks.optional import needed
from sparsevq.baselines.networks.rollout import Rollout, RolloutSizes
from sparsevq.baselines.networks.scene import Scene
from sparsevq.config.networks import UNetConfig
from sparsevq.errors import SparseVQError

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


def wrap_around(network: nn.Module, periodic: tuple[bool, ...]) -> None:
    """Let the convolutions of a network see across the ends of periodic axes; at others they see zeros."""
    if not any(periodic):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and any(_widths(module)):
            # Of pairs (before, behind) functional.pad takes the last axis first.
            around = [width if closed else 0 for width, closed in zip(_widths(module), periodic, strict=True)]
            pads = [width for width in reversed(around) for _ in range(2)]
            module.padding = tuple(
                0 if closed else width for width, closed in zip(_widths(module), periodic, strict=True)
            )
            module.register_forward_pre_hook(partial(_padded, pads=pads))


def _widths(module: Any) -> tuple[int, ...]:
    """By how many points a convolution pads each axis."""
    return tuple(module.padding)


def _padded(module: nn.Module, given: tuple[Tensor, ...], pads: list[int]) -> tuple[Tensor, ...]:
    return (functional.pad(given[0], pads, mode="circular"), *given[1:])
