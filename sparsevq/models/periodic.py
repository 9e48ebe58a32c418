"""Convolutions on grids with periodic axes."""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional


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
