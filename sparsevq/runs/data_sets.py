"""What MLflow is told of the data that a job reads: which, where it lies, and what is in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.data.field_data import FieldData, Split
from sparsevq.runs.codes_file import codebook_in, open_codes
from sparsevq.runtime.files import digest

CONTEXT: dict[str, str] = {"train": "train", "val": "validation", "test": "test", "ood": "outside training"}
"""Split -> what it is used for, as MLflow shows it."""
DIGEST_LENGTH = 8  # as MLflow's own, for its columns are narrow; the whole is in the profile


def data_sets(data: FieldData, path: str | Path, *splits: Split) -> list[dict[str, str]]:
    """Each split of a data set that has trajectories, as `Tracker.log_data_sets` takes it.

    Parameters
    ----------
    data
        The data set, as `read_data` or `read_domain` gives it.
    path
        Its file.
    """
    channels = [
        {"name": name, "type": f"float, {unit}" if unit else "float", "required": True}
        for name, unit in zip(data.channels, data.units, strict=True)
    ]
    found = []
    for split in splits:
        count = len(data.trajectories(split))
        if count:
            profile = {"trajectories": count, **_extent(data), "sha256": data.digest}
            found.append(_entry(f"{data.name} {split}", data.digest, CONTEXT[split], path, channels, profile))
    return found


def code_sets(path: str | Path, data_set: str) -> list[dict[str, str]]:
    """The index dump of a run, from which stage 3 learns, as `Tracker.log_data_sets` takes it."""
    with open_codes(path) as file:
        _, _, frames, tokens, levels = file["sparse"].shape
        split = [str(name) for name in np.asarray(file["split"][()]).astype(str)]
        codes = codebook_in(file).shape[-2]
    of_frame = [
        {"name": f"level {level + 1}", "type": f"{tokens} indices below {codes}", "required": True}
        for level in range(levels)
    ]
    whole = digest(path)
    found = []
    for name in ("train", "val"):
        if count := split.count(name):
            profile = {"trajectories": count, "frames_each": frames, "tokens_a_frame": tokens, "levels": levels}
            profile |= {"codes": codes, "sha256": whole}
            found.append(_entry(f"{data_set} codes {name}", whole, CONTEXT[name], path, of_frame, profile))
    return found


def _extent(data: FieldData) -> dict[str, Any]:
    """How large it is, in space and time."""
    frames = len(data.time)
    grid = f"{data.num_points} scattered points" if data.scattered else " x ".join(map(str, data.grid))
    axes = [
        f"{axis} {at.min():.6g} to {at.max():.6g} {data.axis_units.get(axis, '')}".strip()
        for axis, at in data.axes.items()
    ]
    time = f"{data.time[0]:.6g} to {data.time[-1]:.6g} {data.time_units}".strip()
    return {"frames_each": frames, "time": time, "grid": grid, "axes": "; ".join(axes)}


def _entry(
    name: str, whole: str, context: str, path: str | Path, columns: list[dict[str, Any]], profile: Mapping[str, Any]
) -> dict[str, str]:
    return {
        "name": name,
        "digest": whole[:DIGEST_LENGTH],
        "context": context,
        "source_type": "local",
        "source": json.dumps({"uri": str(Path(path).resolve())}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(profile),
    }
