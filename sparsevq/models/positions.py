"""Sine-cosine features of coordinates, g(x) in the method."""

import math

import torch
from torch import Tensor


def sine_cosine_features(
    coordinates: Tensor, space_bands: int, resolution: tuple[int, ...], closed: tuple[bool, ...]
) -> Tensor:
    """Features of points in space.

    Frequencies are spaced linearly up to half the number of points along each axis (Nyquist), as in the Perceiver
    (Jaegle et al. 2021, section 3.2) and the Senseiver (Santos et al. 2023). Along an axis on which the domain closes
    they are whole numbers from 1, so that the features close too. Along any other they are from 1/2 to Nyquist - 1/2:
    with whole numbers both ends of the domain would look alike.

    Parameters
    ----------
    coordinates
        (n, d), scaled to [-1, 1]; on a closed axis 1 is the image of -1.
    space_bands
        Frequencies a dimension.
    resolution
        Points along each of the d axes.
    closed
        Whether the domain closes on itself, for each of the d axes.

    Returns
    -------
    (n, 2 * d * space_bands)
    """
    if not coordinates.shape[-1] == len(resolution) == len(closed):
        raise ValueError(f"{coordinates.shape[-1]} coordinates a point, but the grid has {len(resolution)} axes")
    ramp = torch.linspace(0, 1, space_bands, dtype=coordinates.dtype, device=coordinates.device)
    bands = []
    for size, closes in zip(resolution, closed, strict=True):
        lowest, highest = (1.0, size / 2) if closes else (0.5, size / 2 - 0.5)
        along = lowest + ramp * max(highest - lowest, 0.0)
        bands.append(along.round() if closes else along)
    angles = (math.pi * coordinates[..., None] * torch.stack(bands)).flatten(-2)  # (n, d * bands)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
