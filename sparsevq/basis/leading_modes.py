"""The leading POD modes of snapshots that may not fit in memory, by a randomised SVD that passes over blocks."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.data.flows import BLOCK, TrainingFlows

Array = npt.NDArray[Any]

ITERATIONS = 4
"""Power iterations, each a pass over the snapshots. The first two find modes of any size above rounding, since float32
loses what is below 3e-4 of the largest in one; the others turn them towards the leading ones."""
KEPT = 2**30
"""Bytes of snapshots that are kept in memory; others are made again in each pass."""
ROWS, ROWS_A_DIRECTION = 2**13, 64
"""Values of a snapshot for which directions are multiplied and made orthonormal together: at least, and for each
direction. What that takes is then little beside the directions."""


class Snapshots:
    """Normalised training anomalies times the root of the area, in blocks of rows ``(f, N * C)``.

    Inside an obstacle there is no anomaly: it must not become a feature of the flow.

    Parameters
    ----------
    flows
        The training flows.
    mean
        ``(N, C)`` float32: what anomalies are about.
    factor
        ``(N, C)`` float32: what anomalies are multiplied by.
    count
        Frames of all flows.
    """

    def __init__(self, flows: TrainingFlows, mean: Array, factor: Array, count: int):
        self._flows, self._mean, self._factor = flows, mean, factor
        self.shape = (count, mean.size)
        self._kept = list(self._made()) if 4 * count * mean.size <= KEPT else None

    def __iter__(self) -> Iterator[Array]:
        return self._made() if self._kept is None else iter(self._kept)

    def _made(self) -> Iterator[Array]:
        # Short flows together: a product with many rows is several times as fast as with a few.
        waiting: list[Array] = []
        for fields, valid in self._flows:
            anomaly = fields - self._mean
            anomaly *= self._factor
            anomaly[:, ~valid] = 0
            waiting.append(anomaly.reshape(len(anomaly), -1))
            if sum(part.nbytes for part in waiting) >= BLOCK:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)


def leading_modes(blocks: Iterable[Array], shape: tuple[int, int], rank: int, seed: int = 0) -> tuple[Array, Array]:
    """The leading POD modes: a pass over the snapshots costs `rank` products with each, not their number.

    Parameters
    ----------
    blocks
        Snapshots ``(f, P)``, a row for each frame, in blocks of rows: read `ITERATIONS` + 1 times.
    shape
        ``(S, P)`` of all of them.
    rank
        Modes wanted.
    seed
        Of the random directions that it starts from.

    Returns
    -------
    modes
        ``(r, P)``, orthonormal, by decreasing energy; ``r`` below `rank` where the snapshots span less.
    energy
        ``(r,)`` float64, decreasing: sum of squares of each mode's coefficients over all snapshots.

    References
    ----------
    Halko, Martinsson & Tropp, Finding structure with randomness, SIAM Review 2011, algorithm 4.4, with both products
    of an iteration in one pass.
    """
    sketch = min(rank + rank // 16 + 10, *shape)
    directions = np.random.default_rng(seed).standard_normal((shape[1], sketch), dtype=np.float32)
    image, rows = np.empty_like(directions), max(ROWS, ROWS_A_DIRECTION * sketch)
    for _ in range(ITERATIONS):
        image.fill(0)
        for block in blocks:
            coefficients = block @ directions
            for start in range(0, shape[1], rows):
                image[start : start + rows] += block[:, start : start + rows].T @ coefficients
        orthonormal(image, rows)
        directions, image = image, directions
    del image
    gram = np.zeros((sketch, sketch))
    for block in blocks:
        coefficients = (block @ directions).astype(np.float64)
        gram += coefficients.T @ coefficients
    energy, rotation = np.linalg.eigh(gram)
    energy, rotation = energy[::-1], rotation[:, ::-1]
    # Rounding errors of products add up like random numbers, with the root of how many there are; ten times that.
    negligible = 10 * np.finfo(np.float32).eps * max(shape) ** 0.5
    kept = min(rank, int((energy > negligible**2 * max(energy[0], 0)).sum()))
    return rotation[:, :kept].T.astype(np.float32) @ directions.T, energy[:kept]


def orthonormal(columns: Array, rows: int) -> Array:
    """QR factorisation of columns ``(P, s)``, about so many rows at a time: they become Q; R ``(s, s)`` is returned.

    Of all at once NumPy's, which is in float64 and copies, would take ten times their memory. Here it is that of each
    block of rows, then of the blocks' R below each other, and Q of the one times that of the other (Demmel, Grigori,
    Hoemmen & Langou, SIAM J. Sci. Comput. 2012): as exact. Directions stay in their order, by which products with them
    are as exact of small modes as of large ones.
    """
    size = columns.shape[1]
    count = max(1, len(columns) // max(rows, 2 * size))
    ends = np.linspace(0, len(columns), count + 1).astype(int)
    cuts = [slice(start, end) for start, end in pairwise(ends)]
    triangles = []
    for cut in cuts:
        columns[cut], triangle = np.linalg.qr(columns[cut])
        triangles.append(triangle.astype(np.float64))
    if count == 1:
        return triangles[0]
    stacked = np.concatenate(triangles)
    triangle = orthonormal(stacked, rows)
    for cut, part in zip(cuts, np.split(stacked, count), strict=True):
        columns[cut] = columns[cut] @ part.astype(columns.dtype)
    return triangle
