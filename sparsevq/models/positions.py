"""Sine-cosine features of coordinates, g(x) in the method."""

import math

import torch
from torch import Tensor


def sine_cosine_features(coordinates: Tensor, space_bands: int, grid: tuple[int, ...]) -> Tensor:
    """Features of points in space.

    Frequencies are spaced linearly from 1 to half the number of grid points along each axis (Nyquist), as in the
    Perceiver (Jaegle et al. 2021, section 3.2) and the Senseiver (Santos et al. 2023).

    Parameters
    ----------
    coordinates
        (n, d), scaled to [-1, 1].
    space_bands
        Frequencies a dimension.
    grid
        Points along each of the d axes.

    Returns
    -------
    (n, 2 * d * space_bands)
    """
    if coordinates.shape[-1] != len(grid):
        raise ValueError(f"{coordinates.shape[-1]} coordinates a point, but the grid has {len(grid)} axes")
    highest = torch.tensor([max(size / 2, 1.0) for size in grid], dtype=coordinates.dtype, device=coordinates.device)
    ramp = torch.linspace(0, 1, space_bands, dtype=coordinates.dtype, device=coordinates.device)
    frequencies = 1 + ramp * (highest[:, None] - 1)  # (d, bands)
    angles = (math.pi * coordinates[..., None] * frequencies).flatten(-2)  # (n, d * bands)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
