"""Long trajectories cut into blocks of time: the first for training, later ones for validation, the last to test."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.clock import Timed


def time_blocks(timed: Timed, settings: FileConfig) -> Timed:
    """Blocks of `settings.block` frames as trajectories, with their split.

    Of each trajectory, the last `settings.test` blocks are for the test, the `settings.validation` blocks before for
    validation, those before for training, with `settings.gap` frames left out between the three: the test is the
    future. Frames that fill no block are left out at the beginning. The time of each block starts at 0, in steps of
    the mean step (calendar months differ a little).

    Raises
    ------
    SparseVQError
        There are too few frames for one training block.
    """
    source, block = timed.source, settings.block
    assert block is not None  # the configuration checks it
    frames, held_out = len(source.time), settings.validation + settings.test
    training = (frames - 2 * settings.gap) // block - held_out
    if training < 1:
        needed = (held_out + 1) * block + 2 * settings.gap
        raise SparseVQError(
            f"{timed.path}: {frames} frames are too few for time blocks: validation={settings.validation}, "
            f"test={settings.test} and one for training of block={block} frames, and two gaps of gap={settings.gap}",
            f"give at least {needed}, or lower one of these",
        )
    counts = (training, settings.validation, settings.test)
    unused = frames - sum(counts) * block - 2 * settings.gap
    first = unused + block * np.arange(sum(counts)) + settings.gap * np.repeat(np.arange(3), counts)
    print(
        f"time blocks of {block} frames: {training} for training, {settings.validation} for validation, "
        f"{settings.test} for the test; unused: {unused} frames at the beginning, {settings.gap} in each gap",
        flush=True,
    )
    step = float(source.time[-1] - source.time[0]) / (frames - 1)
    blocks = len(first)

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        number, at = trajectory // blocks, int(first[trajectory % blocks])
        return source.read(number, at + start, at + stop)

    split = np.repeat(np.array(["train", "val", "test"]), counts)
    cut = replace(
        source,
        trajectories=source.trajectories * blocks,
        read=read,
        time=step * np.arange(block, dtype=np.float64),
        time_units=source.time_units,
        parameters={name: np.repeat(values, blocks, axis=0) for name, values in source.parameters.items()},
        split=np.tile(split, source.trajectories),
        ood=None,
    )
    starts = (timed.starts[:, None] + source.time[first]).ravel()
    return replace(timed, source=cut, starts=starts)
