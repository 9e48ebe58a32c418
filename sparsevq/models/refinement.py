"""A local correction of the outlook: what convolutions see in its fields.

Kernel regression (`sparsevq.models.regression`) compares whole flows: of one that differs from all training flows it
knows only the nearest ones. A U-Net (Ronneberger, Fischer & Brox, MICCAI 2015) sees the outlook's fields at all lead
times, each place by itself, of which training flows have many, and adds to them. Its correction is projected on the
modes again, so that codes, GPT and decoder stay what they are. It begins as zero.

    b forecasts, L lead times, r coefficients, C channels, k fixed channels, `grid` points along each axis
"""

from dataclasses import dataclass
from itertools import pairwise
from math import log

import numpy as np
import torch
from torch import Tensor, nn

from sparsevq.models.periodic import wrap_around

LEVELS = 4
"""Times, at most, that the resolution is halved."""
GROUPS = 4
"""Groups of channels that are normalised together."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WIDENING = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class RefinementSizes:
    """Sizes that rebuild a `Refinement`; `periodic`: which axes are; `width`: of its first level."""

    grid: tuple[int, ...]
    periodic: tuple[bool, ...]
    channels: int
    fixed: int
    leads: int
    coefficients: int
    width: int

    @property
    def levels(self) -> int:
        """Times that the resolution is halved."""
        return min(LEVELS, *((size & -size).bit_length() - 1 for size in self.grid))


class Refinement(nn.Module):
    """See the module's docstring.

    Buffers
    -------
    modes
        (r, C, *grid) float16, of the normalised anomalies.
    area
        (*grid) share of the area that each point stands for.
    center
        (r,) of the coefficients, which are less it.
    fixed
        (k, *grid) channels that are the same for all forecasts.
    """

    def __init__(self, sizes: RefinementSizes):
        super().__init__()
        self.sizes = sizes
        shapes = {
            "modes": (sizes.coefficients, sizes.channels, *sizes.grid),
            "area": sizes.grid,
            "center": (sizes.coefficients,),
            "fixed": (sizes.fixed, *sizes.grid),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float16 if name == "modes" else torch.float32))
        self.modes: Tensor
        self.area: Tensor
        self.center: Tensor
        self.fixed: Tensor
        made = sizes.leads * sizes.channels
        self.body = UNet(len(sizes.grid), made + sizes.fixed + 1, made, sizes.width, sizes.levels)
        wrap_around(self.body, sizes.periodic)

    def forward(self, mean: Tensor, frames: int) -> Tensor:
        """The mean of an outlook (b, L, r) from `frames` observed frames -> what is to be added to it, float32."""
        modes, size = self.modes.float().flatten(1), self.sizes
        fields = ((mean + self.center) @ modes).view(len(mean), -1, *size.grid)  # (b, L C, *grid)
        told = torch.full_like(fields[:, :1], log(frames))
        given = torch.cat([fields, self.fixed.expand(len(mean), *self.fixed.shape), told], dim=1)
        added = self.body(given).float().view(len(mean), size.leads, size.channels, *size.grid) * self.area
        return added.flatten(2) @ modes.T


class UNet(nn.Module):
    """(b, given, *grid) -> (b, made, *grid), 0 at first. The sizes of the grid are multiples of 2 ** levels."""

    def __init__(self, axes: int, given: int, made: int, width: int, levels: int):
        super().__init__()
        conv, widen = CONVOLUTIONS[axes - 1], WIDENING[axes - 1]
        widths = [width * min(2**level, 4) for level in range(levels + 1)]
        self.enter = conv(given, width, 3, padding=1)
        self.down = nn.ModuleList(_Block(conv, each) for each in widths[:-1])
        self.halve = nn.ModuleList(conv(one, two, 2, stride=2) for one, two in pairwise(widths))
        self.bottom = _Block(conv, widths[-1])
        self.widen = nn.ModuleList(widen(two, one, 2, stride=2) for one, two in pairwise(widths))
        self.up = nn.ModuleList(_Block(conv, each) for each in widths[:-1])
        self.leave = conv(width, made, 1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.enter(x)
        seen = []
        for block, halve in zip(self.down, self.halve, strict=True):
            seen.append(block(x))
            x = halve(seen[-1])
        x = self.bottom(x)
        for block, widen in zip(reversed(self.up), reversed(self.widen), strict=True):
            x = block(widen(x) + seen.pop())
        found: Tensor = self.leave(x)
        return found


class _Block(nn.Module):
    """Two convolutions, whose result is added."""

    def __init__(self, conv: type[nn.Conv1d | nn.Conv2d | nn.Conv3d], width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(GROUPS, width),
            nn.GELU(),
            conv(width, width, 3, padding=1),
            nn.GroupNorm(GROUPS, width),
            nn.GELU(),
            conv(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        found: Tensor = x + self.layers(x)
        return found


def fixed_channels(coordinates: np.ndarray, periodic: tuple[bool, ...], grid: tuple[int, ...]) -> Tensor:
    """(k, *grid) of coordinates (N, d) from -1 to 1: of a periodic axis sine and cosine of its angle."""
    columns: list[Tensor] = []
    for column, closed in zip(torch.from_numpy(coordinates).float().T, periodic, strict=True):
        columns += [torch.sin(torch.pi * column), torch.cos(torch.pi * column)] if closed else [column]
    return torch.stack(columns).reshape(-1, *grid)
