"""What a run holds, as names and numbers that JSON has; of a run that is not finished, what there is."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsevq.config import number_and_placement, variant_of
from sparsevq.data.field_data import SPLITS
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.labels import NO_BASELINES, OURS
from sparsevq.evaluation.tables import certainty_of, stacked, summarize
from sparsevq.runs.calibration import read_calibration
from sparsevq.runs.folder import RECORD, read_record
from sparsevq.runs.lineage import FileOfRun, lineage
from sparsevq.runs.run import PARTS, Run
from sparsevq.runtime.tracking.identity import Job
from sparsevq.sensors.example import EXAMPLE

OF_WORKFLOW = re.compile(
    r"(?P<experiment>[^/]+)/(?P<data_set>[^/]+)/n(?P<sensors>\d+(-[a-z]+)?(\+[\w-]+)?)/seed(?P<seed>\d+)$"
)
"""The end of the path of a run of the workflow."""
FOR_FORECASTS = ("sensors", *PARTS)
"""Files that a forecast needs, beside the data set or what is packed of it."""
BY_SCORING = ("forecast", "baselines")
"""Files that only the workflow makes, to score the run."""
DIGITS = 6


def about(run: Run, *, thorough: bool = False) -> dict[str, Any]:
    """All that is known of a run without loading its models.

    Parts that cannot be read have the key ``fault``, and say why.

    Parameters
    ----------
    thorough
        Take digests of large files too.

    Raises
    ------
    SparseVQError
        There is no such folder, or no file of a run in it.
    """
    files = lineage(run, thorough=thorough)
    record = read_record(run)
    if not record and not any(files[name].there for name in (*FOR_FORECASTS, "codes")):
        what = f"{run.path} has no file of a run" if run.path.is_dir() else f"there is no folder {run.path}"
        raise SparseVQError(what, "give a run's folder, such as results/<experiment>/<data_set>/n<sensors>/seed<seed>")
    needed = [name for name in FOR_FORECASTS if not files[name].there]
    found: dict[str, Any] = {
        "run": str(run.path),
        "kind": "packed" if run.packed else ("sparsevq train" if record else "workflow"),
        "can_forecast": not needed and (run.packed or files["data"].there),
        "data": _read(lambda: _data(run)),
        "sensors": _read(lambda: _sensors(run)),
        "trained_for": _trained_for(files),
        "models": {part: _model(files[part]) for part in PARTS if files[part].there},
        "scores": _read(lambda: _scores(run.path)),
        "calibration": _read(lambda: _calibration(run)),
        "lineage": _lineage(run, files, record),
    }
    found["mlflow"] = _mlflow(run.path, record)
    found["forecast_with"] = _command(run.path, found) if found["can_forecast"] else None
    return found


def _read(part: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """A part, or why it cannot be read."""
    try:
        return part()
    except SparseVQError as error:
        return {"fault": str(error)}


def _data(run: Run) -> dict[str, Any] | None:
    if not (run.has("data") or run.packed):
        return None
    data = run.domain
    steps = np.diff(data.time)
    return {
        "name": data.name,
        "grid": list(data.grid),
        "scattered": data.scattered,
        "axes": {
            name: {
                "points": len(at),
                "first": _digits(at.min()),
                "last": _digits(at.max()),
                "units": data.axis_units.get(name, ""),
                "periodic": name in data.periodic,
            }
            for name, at in data.axes.items()
        },
        "channels": [
            {"name": name, "units": unit, "long_name": data.channel_about.get(name, {}).get("long_name", name)}
            for name, unit in zip(data.channels, data.units, strict=True)
        ],
        "trajectories": {split: count for split in SPLITS if (count := int((data.split == split).sum()))},
        "frames": len(data.time),
        "time_step": _digits(np.median(steps)) if len(steps) else None,
        "time_units": data.time_units,
        "dated": bool(data.calendar),
        "parameters": {name: data.parameter_units.get(name, "") for name in data.parameters},
        "path": str(run.file("domain" if run.packed else "data")),
    }


def _sensors(run: Run) -> dict[str, Any] | None:
    if not run.has("sensors"):
        return None
    sensors = run.sensors
    own = len(sensors.sparse)
    reads = sensors.channels[:own]
    beside = run.file("sensors").with_name("sensors.csv")
    return {
        "number": own,
        "teacher": len(sensors.semi_sparse),
        "placement": sensors.placement,
        "seed": sensors.seed,
        "channels": {name: int(count) for name, count in zip(sensors.channel_names, reads.sum(axis=0), strict=True)},
        "places": str(beside) if beside.is_file() else None,
    }


def _trained_for(files: Mapping[str, FileOfRun]) -> dict[str, Any] | None:
    """What forecasts were trained to begin with and to reach, as the models say."""
    encoder, gpt = (files[name].header.get("settings", {}) for name in ("sparse", "gpt"))
    if not (encoder or gpt):
        return None
    frames = gpt.get("stage2_frames")
    symmetries = encoder.get("symmetries") or {}
    return {
        "frames": None if frames is None else frames - 1,
        "observed_frames": gpt.get("observed_frames"),
        "parameters": list(encoder.get("parameters") or []),
        "symmetries": {name: symmetries[name] for name in ("reflect", "roll") if symmetries.get(name)},
        "noise": encoder.get("noise"),
        "first_guess": gpt.get("first_guess"),
    }


def _model(file: FileOfRun) -> dict[str, Any]:
    shape, settings = file.header.get("shape", {}), file.header.get("settings", {})
    told = {
        "modes": shape.get("modes"),
        "num_latents": shape.get("num_latents"),
        "tokens_per_frame": shape.get("tokens_per_frame"),
        "levels": shape.get("num_quantizers"),
        "codes": shape.get("num_vq_embeddings"),
        "layers": shape.get("time_transformer_layers") or shape.get("num_layers"),
        "steps": None if "modes" in shape or shape.get("tokenizer") == "groups" else settings.get("max_steps"),
    }
    return {
        "numbers": file.weights,
        "bytes": file.bytes,
        "seed": file.header.get("extra", {}).get("seed"),
        **{name: value for name, value in told.items() if value},
    }


def _scores(folder: Path) -> dict[str, Any] | None:
    """The figures of ``tables/summary.csv`` for this run alone, by number of observed frames."""
    paths = {name: folder / f"{name}.csv" for name in ("scores", "cases", "calibration")}
    if not paths["scores"].is_file():
        return None
    of = {name: stacked([path]) if path.is_file() else None for name, path in paths.items()}
    assert of["scores"] is not None
    summary, certainty = summarize(of["scores"], of["calibration"]), certainty_of(of["cases"])
    found: dict[str, Any] = {}
    for observed, rows in summary.groupby("observed_frames"):
        by_method = rows.set_index("method")
        ours = by_method.loc[OURS[0]]
        baselines = {
            str(name): _digits(value) for name, value in by_method["relative_l2"].items() if name not in NO_BASELINES
        }
        numbers = {name: _digits(value) for name, value in ours.items() if isinstance(value, float)}
        found[str(observed)] = {
            **{name: value for name, value in numbers.items() if value is not None},
            "intervals": _intervals(certainty.low, certainty.high, observed),
            "baselines": baselines,
            "best_baseline": min(baselines, key=lambda name: baselines[name] or np.inf) if baselines else None,
            "cases": int(of["scores"].query("observed_frames == @observed")["cases"].max()),
        }
    return {"observed_frames": found, "horizon": int(of["scores"]["lead_time"].max())}


def _intervals(low: pd.DataFrame, high: pd.DataFrame, observed: Any) -> dict[str, list[float | None]]:
    """95 % intervals of what has one."""
    if not len(low):
        return {}
    levels = {"method": OURS[0], "observed_frames": observed}
    rows = np.logical_and.reduce([low.index.get_level_values(name) == value for name, value in levels.items()])
    ends = [table[rows] for table in (low, high)]
    return {str(name): [_digits(end[name].iloc[0]) for end in ends] for name in low if rows.any()}


def _calibration(run: Run) -> dict[str, Any] | None:
    if not run.has("calibration"):
        return None
    channels = run.domain.channels
    found, _ = read_calibration(run.file("calibration"), len(channels))
    return {
        "temperature": _digits(found.temperature),
        "network_weight": _digits(found.network),
        "observed_frames": found.observed.tolist(),
        "spread_factors": {
            name: [_digits(found.factors[..., index].min()), _digits(found.factors[..., index].max())]
            for index, name in enumerate(channels)
        },
    }


def _lineage(run: Run, files: Mapping[str, FileOfRun], record: Mapping[str, Any]) -> dict[str, Any]:
    wanted = [name for name in files if not ((record or run.packed) and name in BY_SCORING)]
    if run.packed:
        wanted = [name for name in wanted if name != "codes"]
    return {
        "versions": sorted({file.version for file in files.values() if file.version}),
        "files": {
            name: {"path": str(file.path), "bytes": file.bytes, "sha256": file.sha256, "made_from": file.made_from}
            for name, file in files.items()
            if file.there
        },
        "missing": {name: files[name].made_by for name in wanted if not files[name].there},
        "faults": [_fault(file, fault) for file in files.values() for fault in file.faults],
        "unknown_digests": [name for name, file in files.items() if file.there and not file.sha256 and not file.faults],
        **({"command": record["command"]} if "command" in record else {}),
        **({"record": str(run.path / RECORD)} if record else {}),
    }


def _fault(file: FileOfRun, fault: str) -> str:
    return fault if str(file.path) in fault else f"{file.path} {fault}"


def _mlflow(folder: Path, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Experiment and name of the run in MLflow, as the workflow calls it."""
    match = OF_WORKFLOW.search(str(folder.resolve()))
    if record or match is None:
        return None
    number, placement = number_and_placement(match["sensors"])
    job = Job(
        match["experiment"],
        "",
        match["data_set"],
        number,
        int(match["seed"]),
        placement=placement or None,
        variant=variant_of(match["sensors"]) or None,
    )
    store = folder.resolve().parents[3] / "mlflow.db"
    return {
        "experiment": job.experiment,
        "run_name": job.parent_name,
        "store": f"sqlite:///{store}" if store.is_file() else None,
    }


def _command(folder: Path, found: Mapping[str, Any]) -> str:
    """A command that forecasts with it, as it stands where the run has an example of readings."""
    example = folder / EXAMPLE
    readings = example if example.is_file() else "readings.csv"
    parameters = (found["trained_for"] or {}).get("parameters", [])
    frames = (found["trained_for"] or {}).get("frames")
    asked = [f"--frames {frames}"] if frames else []
    asked += [f"--parameter {name}=VALUE" for name in parameters]
    said = ["sparsevq forecast", shlex.quote(str(folder)), f"--readings {shlex.quote(str(readings))}", *asked]
    return " ".join([*said, "--out forecast.nc", "--picture forecast.png"])


def _digits(value: Any) -> float | None:
    number = float(value)
    return float(f"{number:.{DIGITS}g}") if np.isfinite(number) else None
