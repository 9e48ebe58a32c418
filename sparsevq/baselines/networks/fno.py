"""Rollouts of a Fourier neural operator (Li et al., Fourier neural operator for parametric PDEs, ICLR 2021).

The network is that of neuraloperator (Kossaifi et al., A library for learning neural operators, 2024); axes that are
not periodic are padded for its Fourier transforms.
"""

from dataclasses import dataclass
from types import MethodType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsevq.baselines.networks.optional import needed
from sparsevq.baselines.networks.rollout import Rollout, RolloutSizes
from sparsevq.baselines.networks.scene import Scene
from sparsevq.config.networks import FNOConfig

PADDED = 0.125
"""Share of the length of an axis that is not periodic by which it is padded."""


@dataclass(frozen=True)
class FNOSizes(RolloutSizes):
    """`modes` along each axis; `padding`, a share of each axis."""

    width: int
    layers: int
    modes: tuple[int, ...]
    padding: tuple[float, ...]


class FNORollout(Rollout):
    """A rollout from the optimal interpolation."""

    section: ClassVar[str] = "fno"
    Sizes: ClassVar[type] = FNOSizes
    config: FNOSizes

    @classmethod
    def sizes(cls, scene: Scene, settings: FNOConfig, horizon: int) -> FNOSizes:
        """No more modes along an axis than it has points."""
        scene.require_grid(cls.section)
        return FNOSizes(
            channels=scene.channels,
            fixed=len(scene.fixed),
            axes=len(scene.grid),
            width=settings.width,
            layers=settings.layers,
            modes=tuple(min(settings.modes, 2 * (size // 2)) for size in scene.grid),
            padding=tuple(0.0 if periodic else PADDED for periodic in scene.periodic),
        )

    def body(self, given: int, made: int) -> nn.Module:
        """As `Rollout.body`."""
        config = self.config
        fno = needed("neuralop.models", "FNO", self.section)
        network: nn.Module = fno(
            n_modes=tuple(config.modes),
            in_channels=given,
            out_channels=made,
            hidden_channels=config.width,
            n_layers=config.layers,
            positional_embedding=None,
            domain_padding=list(config.padding) if any(config.padding) else None,
            conv_module=_convolution(),
        )
        # The library's own adds arguments to the weights, which are no tensors.
        network.state_dict = MethodType(nn.Module.state_dict, network)  # type: ignore[method-assign]
        return network


class VoronoiFNO(FNORollout):
    """A rollout from what a first network makes of the Voronoi tessellation."""

    tessellated: ClassVar[bool] = True


def _convolution() -> type[nn.Module]:
    """The library's spectral convolution with its complex weights as pairs of real ones.

    Fused AdamW and safetensors have no complex numbers. Its transforms are in float32 whatever the precision.
    """
    base: Any = needed("neuralop.layers.spectral_convolution", "SpectralConv", "fno")

    class RealSpectralConv(base):  # type: ignore[misc]  # a class that only the optional package has
        def __init__(self, *arguments: Any, **options: Any):
            super().__init__(*arguments, **options)
            weight = self._modules.pop("weight").to_tensor().detach()
            self.pairs = nn.Parameter(torch.view_as_real(weight).contiguous())

        def forward(self, x: Tensor, output_shape: Any = None) -> Tensor:
            return spectral(x.float(), torch.view_as_complex(self.pairs)) + self.bias

    return RealSpectralConv


def spectral(x: Tensor, weight: Tensor) -> Tensor:
    """Mix channels mode by mode; modes beyond those of the weights become 0.

    Parameters
    ----------
    x
        ``(b, i, *grid)``.
    weight
        ``(i, o, *modes)`` complex: of positive and negative wavenumbers along each axis but the last, where negative
        ones follow from x being real.
    """
    axes = tuple(range(2, x.ndim))
    spectrum = torch.fft.rfftn(x, dim=axes, norm="forward")
    kept = []
    for place, (size, modes) in enumerate(zip(spectrum.shape[2:], weight.shape[2:], strict=True)):
        most = min(size, modes)
        last = place == len(axes) - 1
        positive = most if last else (most + 1) // 2
        kept.append(torch.cat([torch.arange(positive), torch.arange(size - (most - positive), size)]).to(x.device))
    for place, index in enumerate(kept):
        spectrum = spectrum.index_select(place + 2, index)
        weight = weight.narrow(place + 2, 0, len(index))
    batch, channels, *modes_there = spectrum.shape
    # One product of (b, i) and (i, o) a mode.
    by_mode = spectrum.reshape(batch, channels, -1).permute(2, 0, 1)
    mixed = torch.bmm(by_mode, weight.reshape(channels, weight.shape[1], -1).permute(2, 0, 1))
    mixed = mixed.permute(1, 2, 0).reshape(batch, -1, *modes_there)
    full = [*x.shape[2:-1], x.shape[-1] // 2 + 1]
    for place, index in reversed(list(enumerate(kept))):
        shape = list(mixed.shape)
        shape[place + 2] = full[place]
        mixed = mixed.new_zeros(shape).index_copy(place + 2, index, mixed)
    return torch.fft.irfftn(mixed, s=x.shape[2:], dim=axes, norm="forward")
