"""From a simulator's shards to one data set: channels, temporal stride, split, statistics."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.config import PreprocessConfig
from sparsevq.data.hdf5 import Array
from sparsevq.data.layout import FieldData, raise_not_finite, write_data
from sparsevq.data.shards import Shard, read_shard, read_trajectory_numbers
from sparsevq.errors import SparseVQError


def preprocess(shards: list[Path], out: str | Path, name: str, settings: PreprocessConfig) -> None:
    """Join shards to a data set; trajectories are in the order of their numbers, whatever the shards'.

    One shard is in memory at a time, beside the data set.

    Parameters
    ----------
    shards
        Files of the layout sparsevq-shard that together hold trajectories 0 ... T-1, each once.
    out
        The file to write (``docs/data-format.md``: sparsevq-data).
    name
        Name of the data set.
    settings
        Channels, temporal stride and split.

    Raises
    ------
    SparseVQError
        A shard is faulty or of another simulation than the first; a trajectory is missing or there twice; a channel is
        not known or is constant; there are too few trajectories or frames; or a valid point is not finite.
    """
    if not shards:
        raise SparseVQError(f"no shards to make {out} from", "name at least one")
    shards = sorted(map(Path, shards), key=lambda path: int(read_trajectory_numbers(path)[0]))
    numbers = [read_trajectory_numbers(path) for path in shards]
    _each_once(shards, numbers)
    total = sum(map(len, numbers))
    split = assign_splits(total, settings)

    first = read_shard(shards[0])
    chosen = _chosen(first, settings.channels, shards[0])
    frames = len(first.time[:: settings.time_sub])
    if frames < 2:
        raise SparseVQError(
            f"preprocess.time_sub={settings.time_sub} leaves {frames} of {len(first.time)} frames", "lower it"
        )
    grid = first.fields.shape[2:-1]
    fields = np.empty((total, frames, *grid, len(chosen)), dtype=np.float32)
    mask = np.empty((total, *grid), dtype=bool)
    parameters: dict[str, Array] = {}
    for path in shards:
        shard = first if path == shards[0] else read_shard(path)
        _same_simulation(first, shard, shards[0], path)
        valid = shard.mask.reshape(len(shard.mask), -1)
        flat = shard.fields.reshape(*shard.fields.shape[:2], -1, len(shard.channels))
        raise_not_finite(flat, valid, shard.channels, str(path), shard.trajectory)
        where = shard.trajectory
        kept = shard.fields[:, :: settings.time_sub][..., chosen]
        fields[where] = np.where(shard.mask[:, None, ..., None], kept, 0)
        mask[where] = shard.mask
        for parameter, values in shard.parameters.items():
            if parameter not in parameters:
                parameters[parameter] = np.empty(total, dtype=object if values.dtype.kind == "U" else np.float64)
            parameters[parameter][where] = values

    mean, std = statistics(fields, mask, np.flatnonzero(split == "train"))
    data = FieldData(
        name=name,
        fields=fields,
        mask=mask,
        axes=first.axes,
        axis_units=first.axis_units,
        time=first.time[:: settings.time_sub],
        time_units=first.time_units,
        parameters=parameters,
        parameter_units=first.parameter_units,
        split=split,
        channels=settings.channels,
        units=tuple(first.units[index] for index in chosen),
        mean=mean,
        std=std,
        periodic=first.periodic,
        vector={channel: axis for channel, axis in first.vector.items() if channel in settings.channels},
        provenance=first.provenance,
    )
    write_data(out, data, {f"shard_{index}": path for index, path in enumerate(shards)}, settings.model_dump())


def assign_splits(trajectories: int, settings: PreprocessConfig) -> npt.NDArray[np.str_]:
    """``(T,)``: ``train``, ``val`` or ``test`` for each trajectory, drawn with `settings.split_seed`.

    Raises
    ------
    SparseVQError
        Nothing would be left for training.
    """
    held_out = settings.validation + settings.test
    if trajectories <= held_out:
        raise SparseVQError(
            f"{trajectories} trajectories are too few: preprocess.validation={settings.validation} and "
            f"preprocess.test={settings.test} leave none for training",
            f"simulate at least {held_out + 1} or hold out fewer",
        )
    order = np.random.default_rng(settings.split_seed % 2**32).permutation(trajectories)
    split = np.full(trajectories, "train", dtype="<U5")
    split[order[: settings.test]] = "test"
    split[order[settings.test : held_out]] = "val"
    return split


def statistics(
    fields: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], trajectories: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each channel over the valid points of some trajectories.

    Parameters
    ----------
    fields, mask
        ``(T, F, *grid, C)`` and ``(T, *grid)``.
    trajectories
        Which of them count.

    Returns
    -------
    mean, std
        ``(C,)`` each. Summed trajectory by trajectory in double precision, so that shards can't change the result.
    """
    count, total = 0, np.zeros(fields.shape[-1])
    for index in trajectories:
        values = fields[index][:, mask[index]]  # (F, valid points, C)
        count += values.shape[0] * values.shape[1]
        total += values.sum(axis=(0, 1), dtype=np.float64)
    if not count:
        raise SparseVQError("no point of the training split is valid", "check the masks")
    mean = total / count
    squares = np.zeros_like(mean)
    for index in trajectories:
        squares += ((fields[index][:, mask[index]] - mean) ** 2).sum(axis=(0, 1))
    return mean, np.sqrt(squares / count)


def _each_once(shards: list[Path], numbers: list[npt.NDArray[np.int64]]) -> None:
    """Check that the shards' numbers are 0 ... T-1."""
    owner: dict[int, Path] = {}
    for path, some in zip(shards, numbers, strict=True):
        for number in some.tolist():
            if number in owner:
                raise SparseVQError(
                    f"trajectory {number} is in {owner[number]} and in {path}", "name each shard once, of one run"
                )
            owner[number] = path
    missing = sorted(set(range(len(owner))) - set(owner))
    if missing:
        raise SparseVQError(
            f"trajectory {missing[0]} is in none of the {len(shards)} shards", "name all shards of the run"
        )


def _chosen(shard: Shard, channels: tuple[str, ...], path: Path) -> list[int]:
    """Positions of the channels to keep."""
    for channel in channels:
        if channel not in shard.channels:
            raise SparseVQError(
                f"preprocess.channels: {channel!r} is not in {path}", f"known are {', '.join(shard.channels)}"
            )
    if not channels or len(set(channels)) < len(channels):
        raise SparseVQError(f"preprocess.channels={list(channels)} names none, or one twice", "name each once")
    return [shard.channels.index(channel) for channel in channels]


def _same_simulation(first: Shard, shard: Shard, first_path: Path, path: Path) -> None:
    """Check that two shards can be of one data set."""
    same = {
        "channels": first.channels == shard.channels,
        "units": first.units == shard.units,
        "axes": list(first.axes) == list(shard.axes)
        and all(np.array_equal(first.axes[axis], shard.axes[axis]) for axis in first.axes),
        "time": np.array_equal(first.time, shard.time),
        "parameters": sorted(first.parameters) == sorted(shard.parameters),
        "provenance": first.provenance == shard.provenance,
    }
    different = [what for what, equal in same.items() if not equal]
    if different:
        raise SparseVQError(
            f"{path} and {first_path} are of different simulations: their {', '.join(different)} differ",
            "simulate all shards with the same settings and versions",
        )
