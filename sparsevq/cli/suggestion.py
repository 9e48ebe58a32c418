"""A configuration for a user's file, to start from: lines that can be pasted."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import yaml

from sparsevq.cli.sizes import MOST_HELD_OUT, MOST_MINUTES, Sizes, sizes_for
from sparsevq.cli.survey import Survey
from sparsevq.config import Config, FileConfig, ResourcesConfig, parse
from sparsevq.data.clock import Clock
from sparsevq.data.dates import date_of
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.gpus import is_there

WHOLE = 4
"""Trajectories from which on they are held out whole: two to learn from, one for validation, one for the test."""
HELD_OUT = 0.1
"""Fraction of the trajectories (time blocks) for validation, and as many for the test."""
BLOCK = 40
"""Frames of a time block, as many as the paper's trajectories have."""
BLOCKS, LEAST_BLOCK = 5, 4
"""Time blocks of each trajectory at least, of so many frames at least."""
LONG = 160
"""Frames from which on there are more blocks: more of them are left to learn from."""
FEW_FRAMES = 40
"""Training frames from which on more than the mean can be expected."""
SHORTEST = 20
"""Frames of a trajectory that a stride leaves."""
DENSITY, FEWEST_SENSORS, MOST_SENSORS = 0.005, 20, 100
"""Sensors for each point: 20, as many as at least, on the paper's 64 x 64; but no more than each tenth point."""
MOST_THREADS = 8


class Split(NamedTuple):
    """Trajectories (or blocks) of each split, frames of each, and the keys of `files` that say so."""

    training: int
    validation: int
    test: int
    frames: int
    keys: dict[str, Any]


def suggested(source: Source, found: Survey, settings: FileConfig, name: str) -> tuple[str, list[str]]:
    """YAML for a source that can be read, which works as it stands; and notes on it.

    Parameters
    ----------
    source, found
        The data, and what values it holds.
    settings
        How it was opened; what is given there is kept.
    name
        Of the data set.

    Raises
    ------
    SparseVQError
        There are too few frames to learn from, to choose on and to test on.
    """
    channels = usable_channels(source, found)
    notes = comments(source, found, channels)
    source, window = _with_values(source, found, settings, notes)
    points = max(1, round(float(np.prod(source.grid)) * (1 - float(np.nanmean(np.r_[found.masked + found.gaps, 0.0])))))
    sizes, split, stride = _fitting(source, settings, points * len(channels))
    entry = {**_given(settings), **window, **split.keys}
    if stride > 1:
        entry["stride"] = stride * settings.stride
        notes.append(f"one frame in {stride} is used: with all, the first table would take longer")
    if channels != source.channels or settings.channels:
        entry["channels"] = list(channels)
    values = _document(name, entry)
    most = min(MOST_SENSORS, max(1, points // 10))
    sensors = min(most, max(FEWEST_SENSORS, round(DENSITY * points)))
    values["num_sensors"] = [sensors]
    if Config().sensors.num_semi_sparse > points // 4:
        values["sensors"] = {"num_semi_sparse": max(1, points // 4)}
    values |= sizes.settings()
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)))
    if threads > ResourcesConfig().threads:
        values["resources"] = {"threads": threads}
    if sizes.learned_from < FEW_FRAMES:
        notes.append(f"{sizes.learned_from} frames to learn from are few: expect little more than their mean")
    gpu = f", and {sizes.steps} steps of the GPT on the GPU" if sizes.gpu else ""
    notes.append(f"the first table: about {max(2, round(sizes.minutes() + 0.5))} minutes on 2 cores{gpu}")
    parse(Config, values, "the suggestion")
    return dumped(values), notes


def _with_values(
    source: Source, found: Survey, settings: FileConfig, notes: list[str]
) -> tuple[Source, dict[str, Any]]:
    """The longest stretch of frames that have values in all trajectories, and the `window` that says so.

    Raises
    ------
    SparseVQError
        There is none that a window can cut out, or no point has a value in every frame.
    """
    if (found.masked + found.gaps == 1).any() and source.split is None:
        raise SparseVQError(
            f"{source.label}: no point has values in every frame and channel", "fill the gaps, or leave channels out"
        )
    if not found.nothing.any() or source.split is not None:
        return source, {}
    edges = np.flatnonzero(np.r_[True, found.nothing, True])
    longest = int(np.argmax(np.diff(edges)))
    low, high = int(edges[longest]), int(edges[longest + 1]) - 1
    starts = source.parameters.get("start", np.zeros(1))
    if (starts != starts[0]).any():
        raise SparseVQError(
            f"{source.label}: {found.nothing.sum()} frames have no value in some trajectory", "leave those files out"
        )
    ends = [float(source.time[low]), float(source.time[high - 1])]
    dated = starts.dtype.kind in "UO"
    clock = Clock(source.time_units, date_of(str(starts[0]), source.calendar) if dated else None)
    window = [clock.text(end) for end in ends] if dated else ends
    notes.append(
        f"{found.nothing.sum()} of {len(found.nothing)} frames have no value: the longest stretch without is used"
    )
    return replace(source, time=source.time[low:high]), {"window": window}


def _fitting(source: Source, settings: FileConfig, values: int) -> tuple[Sizes, Split, int]:
    """Sizes that fit the budget, and every how many-th frame is used for that."""
    frames, gpu = len(source.time), is_there()
    for stride in (1, 2, 3, 5, 10, 20, 50, 100):
        split = _split(source, settings, -(-frames // stride))
        sizes = sizes_for(split.training, split.validation, split.test, split.frames, values, gpu)
        following = -(-frames // (2 * stride))
        if sizes.minutes() <= MOST_MINUTES or following < SHORTEST or settings.split == "time":
            break
    return sizes, split, stride


def usable_channels(source: Source, found: Survey) -> tuple[str, ...]:
    """Those that vary and have values in every trajectory that was looked at."""
    good = (found.maximum > found.minimum) & ~found.blank.any(axis=0) & (found.infinite == 0)
    return tuple(channel for channel, fine in zip(source.channels, good, strict=True) if fine) or source.channels


def suggested_arrays(settings: FileConfig, name: str) -> str:
    """YAML of a file's entry alone."""
    values = _document(name, _given(settings))
    parse(Config, values, "the suggestion")
    return dumped(values)


def name_for(path: str) -> str:
    """A data set's name made from a file's."""
    *folders, last = [part for part in path.split("/") if part.strip(".")] or ["mine"]
    if last == "data.h5" and folders:  # the workflow's: <data set>/data.h5
        last = folders[-1]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", re.sub(r"(\.[A-Za-z0-9]{1,5})+$", "", last))
    stem = stem.strip("_-") or "mine"
    stem = stem if stem[0].isalpha() else f"data_{stem}"
    return f"my_{stem}" if stem in ("cylinder", "navier_stokes", "shallow", "fire", "fds") else stem


def dumped(values: Mapping[str, Any]) -> str:
    """YAML with short lists on one line."""

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(
        list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
    )
    return yaml.dump(dict(values), Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)


def _document(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"experiment": name, "data_sets": [name], "files": {name: dict(entry)}}


def _given(settings: FileConfig) -> dict[str, Any]:
    """What was given when the file was opened."""
    given = settings.model_dump(
        mode="json", exclude_unset=True, exclude={"channels", "validation", "test", "symmetries"}
    )
    path = given["path"]
    return given | {"path": path[0] if not isinstance(path, str) and len(path) == 1 else path}


def _split(source: Source, settings: FileConfig, frames: int) -> Split:
    """How trajectories of so many frames are held out: whole, where there are enough; else in time blocks.

    Raises
    ------
    SparseVQError
        There are too few frames.
    """
    if frames < 2:
        raise SparseVQError(
            f"{source.label}: each trajectory has one frame, and a forecast needs at least two",
            "join files that are the frames of one trajectory by `join: time`",
        )
    if source.split is not None:
        training, validation, test = (int((source.split == name).sum()) for name in ("train", "val", "test"))
        if not (training and validation and test):
            missing = [name for name in ("train", "val", "test") if not (source.split == name).any()]
            raise SparseVQError(
                f"{source.label}: its own split has no trajectory for {' and '.join(missing)}", "give it one of each"
            )
        if settings.split == "time":
            keys: dict[str, Any] = {"validation": settings.validation, "test": settings.test}
        else:
            keys = {key: count for key, count in (("validation", validation), ("test", test)) if count}
        return Split(training, validation, test, frames, keys)
    inside = source.trajectories - (int(source.ood.sum()) if source.ood is not None else 0)
    if inside >= WHOLE:
        held_out = min(MOST_HELD_OUT, max(1, round(HELD_OUT * inside)))
        keys = {"split": "trajectory", "validation": held_out, "test": held_out}
        return Split(inside - 2 * held_out, held_out, held_out, frames, keys)
    return _blocks(source, frames)


def _blocks(source: Source, frames: int) -> Split:
    """Time blocks of long trajectories, with a gap so that neighbours across it are less alike."""
    if frames < LEAST_BLOCK * BLOCKS:
        raise SparseVQError(
            f"{source.label}: {frames} frames of {source.trajectories} trajector"
            f"{'ies are' if source.trajectories > 1 else 'y are'} too few to learn from, to choose on and to test on",
            f"give at least {LEAST_BLOCK * BLOCKS} frames, or {WHOLE} trajectories",
        )
    block = int(np.clip(frames // (BLOCKS + 3 if frames >= LONG else BLOCKS + 1), LEAST_BLOCK, BLOCK))
    gap = min(block // 2, max(0, (frames - BLOCKS * block) // 2))
    blocks = (frames - 2 * gap) // block
    held_out = min(MOST_HELD_OUT, max(1, round(HELD_OUT * blocks)))
    keys = {"split": "time", "block": block, "gap": gap, "validation": held_out, "test": held_out}
    each = source.trajectories
    return Split(each * (blocks - 2 * held_out), each * held_out, each * held_out, block, keys)


def comments(source: Source, found: Survey, usable: Sequence[str]) -> list[str]:
    """Why the suggestion leaves something out."""
    reasons = {
        "has no value": found.blank.all(axis=0),
        "has no value in some trajectories": found.blank.any(axis=0),
        "holds infinite values": found.infinite > 0,
        "is constant": found.minimum == found.maximum,
    }
    return [
        f"channel {channel} is left out: it {next(reason for reason, holds in reasons.items() if holds[index])}"
        for index, channel in enumerate(source.channels)
        if channel not in usable
    ]
