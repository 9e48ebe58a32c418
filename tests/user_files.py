"""Files as users have them: small fields with known values, and how a source of them is read."""

import numpy as np

from sparsevq.config import FileConfig
from sparsevq.readers.files import open_files


def values(*shape, seed=0):
    """Random numbers, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def opened(path, **settings):
    """A source of files."""
    return open_files(FileConfig(path=path if isinstance(path, list) else str(path), **settings), "mine")


def all_of(source, block=None):
    """Everything that a source reads, ``(T, F, *grid, C)``, in blocks of some frames."""
    frames = len(source.time)
    block = block or frames
    return np.stack(
        [
            np.concatenate(
                [source.read(number, start, min(start + block, frames)) for start in range(0, frames, block)]
            )
            for number in range(source.trajectories)
        ]
    )
