"""A configuration for a user's file, to start from: lines that can be pasted."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from sparsevq.cli.survey import Survey
from sparsevq.config import Config, FileConfig, Stage3Config, parse
from sparsevq.data.source import Source
from sparsevq.readers.likely import likely_fields
from sparsevq.readers.stored import Contents

FEW = 10
"""Fewer trajectories than this are cut into time blocks, if they are long enough."""
HELD_OUT = 0.1
"""Fraction of the trajectories (time blocks) for validation, and as many for the test."""
BLOCK = 40
"""Frames of a time block, as many as the paper's trajectories have."""
FEWEST_BLOCKS = 5
DENSITY, FEWEST_SENSORS, MOST_SENSORS = 0.005, 8, 100
"""Sensors for each point: 20 on the paper's 64 x 64."""


def suggested(source: Source, found: Survey, settings: FileConfig, name: str) -> str:
    """YAML for a source that can be read: its entry of `files`, and what else depends on its size.

    Parameters
    ----------
    source, found
        The data, and what values it holds.
    settings
        How it was opened; what is given there is kept.
    name
        Of the data set.
    """
    entry = {**_given(settings), **_split(source, settings)}
    usable = usable_channels(source, found)
    if usable != source.channels or settings.channels:
        entry["channels"] = list(usable)
    frames = entry.get("block", len(source.time))
    values = _document(name, entry)
    points = max(1, round(float(np.prod(source.grid)) * (1 - float(np.nanmean(np.r_[found.masked, 0.0])))))
    sensors = int(np.clip(round(DENSITY * points), FEWEST_SENSORS, min(MOST_SENSORS, max(1, points // 2))))
    values["num_sensors"] = [sensors]
    defaults = Config()
    if defaults.sensors.num_semi_sparse > points // 4:
        values["sensors"] = {"num_semi_sparse": max(1, points // 4)}
    # The paper's encoder, which is the default, needs many steps; modes of the data at hand need none.
    values["stage1"] = {"modes": defaults.basis.modes}
    values["stage2"] = {"tokenizer": "groups", "tokens_per_frame": 8}
    sequence = Stage3Config().stage2_frames
    if frames < sequence:
        values["stage3"] = {"stage2_frames": max(2, frames)}
    if frames <= defaults.forecast.horizon:
        values["forecast"] = {"horizon": max(1, frames - 1)}
    parse(Config, values, "the suggestion")
    return dumped(values)


def usable_channels(source: Source, found: Survey) -> tuple[str, ...]:
    """Those that vary and have values in every trajectory that was looked at."""
    good = (found.maximum > found.minimum) & ~found.blank.any(axis=0) & (found.infinite == 0)
    return tuple(channel for channel, fine in zip(source.channels, good, strict=True) if fine) or source.channels


def suggested_arrays(contents: Contents, settings: FileConfig, name: str) -> str | None:
    """YAML for a file that does not describe itself: the largest arrays of one shape; None if it holds none."""
    found = likely_fields(contents)
    if found is None:
        return None
    arrays, dimensions = found
    values = _document(name, _given(settings) | {"arrays": arrays, "dimensions": dimensions})
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


def _split(source: Source, settings: FileConfig) -> dict[str, Any]:
    """How trajectories or time blocks are held out."""
    if settings.split == "time":
        return {"validation": settings.validation, "test": settings.test}
    if source.split is not None:
        counts = {key: int((source.split == split).sum()) for key, split in (("validation", "val"), ("test", "test"))}
        return {key: count for key, count in counts.items() if count}
    inside = source.trajectories - (int(source.ood.sum()) if source.ood is not None else 0)
    frames = len(source.time)
    if inside >= FEW or (inside >= 3 and frames < 2 * FEWEST_BLOCKS):
        held_out = max(1, round(HELD_OUT * inside))
        return {"split": "trajectory", "validation": held_out, "test": held_out}
    return _blocks(frames)


def _blocks(frames: int) -> dict[str, Any]:
    """Time blocks of one long trajectory, with a gap so that neighbours across it are less alike."""
    block = int(np.clip(frames // (2 * FEWEST_BLOCKS), 2, BLOCK))
    gap = min(block // 2, max(0, (frames - FEWEST_BLOCKS * block) // 2))
    blocks = (frames - 2 * gap) // block
    held_out = max(1, round(HELD_OUT * blocks))
    return {"split": "time", "block": block, "gap": gap, "validation": held_out, "test": held_out}


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
