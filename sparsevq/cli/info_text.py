"""What `sparsevq info` prints for people."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sparsevq.cli.printing import print_plain, print_table, tables_console
from sparsevq.data.lead_units import lead_unit
from sparsevq.readers.opening.stored import size_text
from sparsevq.runs.lineage import short

MOST_VALUES = 12


def print_runs(runs: list[dict[str, Any]]) -> None:
    """A line for each run: how far it is, and its error."""
    rows = []
    for found in runs:
        missing = list(found["lineage"]["missing"])
        state = "can forecast" if found["can_forecast"] else f"lacks {', '.join(missing[:3])}"
        faults = found["lineage"]["faults"]
        state += f", {len(faults)} fault{'s' * (len(faults) > 1)}" if faults else ""
        scores = (found["scores"] or {}).get("observed_frames", {})
        best: dict[str, Any] = min(scores.values(), key=lambda of: of.get("relative_l2", math.inf), default={})
        data, sensors = found["data"] or {}, found["sensors"] or {}
        ratio, error = (best.get(name) for name in ("ratio_to_best_baseline", "relative_l2"))
        rows.append(
            (found["run"], data.get("name", ""), str(sensors.get("number", "")), state, _number(error), _number(ratio))
        )
    title = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    columns = ("run", "data set", "sensors", "state", "relative L2", "/ best baseline")
    print_table(tables_console(), title, columns, rows)


def print_run(found: dict[str, Any]) -> None:
    """Tables of all that `sparsevq.cli.about.about` found."""
    console = tables_console()
    sections: dict[str, Iterable[tuple[str, str]]] = {
        found["run"]: _overview(found),
        "data": _data(found["data"]),
        "sensors": _sensors(found["sensors"]),
        "trained for": _trained_for(found["trained_for"], found["data"]),
        "calibration": _calibration(found["calibration"]),
    }
    for title, rows in sections.items():
        if rows := list(rows):
            print_table(console, title, ("", ""), rows, header=False)
    if found["models"]:
        models = ((part, f"{of['numbers']:,}", _size(of["bytes"]), _sizes(of)) for part, of in found["models"].items())
        print_table(console, "models", ("model", "numbers", "size", ""), models)
    scores = (found["scores"] or {}).get("observed_frames", {})
    if scores:
        title = f"scores on held-out trajectories (means over {found['scores']['horizon']} frames ahead)"
        columns = ("", *(f"{count} observed frame{'s' * (count != '1')}" for count in scores))
        print_table(console, title, columns, _scores(list(scores.values())))
    if rows := list(_lineage(found["lineage"])):
        print_table(console, "files", ("", ""), rows, header=False)
    if found["forecast_with"]:
        print_plain(console, f"forecast with it:\n  {found['forecast_with']}")


def _overview(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield (
        "kind",
        {"workflow": "a run of the workflow", "packed": "packed, for forecasts alone"}.get(
            found["kind"], f"a run of {found['kind']}"
        ),
    )
    missing = found["lineage"]["missing"]
    if found["can_forecast"]:
        yield "state", "can forecast" + (f"; not there: {', '.join(missing)}" if missing else "")
    else:
        yield "state", "not finished: it cannot forecast yet"
        for name, made_by in missing.items():
            yield f"missing {name}", f"made by {made_by}"
    for fault in found["lineage"]["faults"]:
        yield "FAULT", fault
    if of := found["mlflow"]:
        store = f", mlflow ui --backend-store-uri {of['store']}" if of["store"] else ""
        yield "MLflow", f"experiment {of['experiment']}, run {of['run_name']}{store}"


def _data(of: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if of is None:
        return
    if "fault" in of:
        yield "fault", of["fault"]
        return
    where = f"{of['grid'][0]} scattered points" if of["scattered"] else f"{' x '.join(map(str, of['grid']))} points"
    yield "name", of["name"]
    yield "grid", where
    for name, at in of["axes"].items():
        units = "" if at["units"] in ("", "1") else f" {at['units']}"
        yield f"axis {name}", f"{at['first']:g} to {at['last']:g}{units}{', periodic' * at['periodic']}"
    for channel in of["channels"]:
        about = f", {channel['long_name']}" if channel["long_name"] != channel["name"] else ""
        yield f"channel {channel['name']}", f"{channel['units'] or 'no unit'}{about}"
    counts = ", ".join(f"{count} {split}" for split, count in of["trajectories"].items())
    yield "trajectories", f"{counts}, of {of['frames']} frames"
    if of["time_step"] is not None:
        yield "time step", f"{_time(of, of['time_step'])}{', with dates' * of['dated']}"
    if of["parameters"]:
        names = list(of["parameters"])
        more = f" and {len(names) - MOST_VALUES} more" if len(names) > MOST_VALUES else ""
        yield "parameters", ", ".join(names[:MOST_VALUES]) + more


def _sensors(of: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if of is None:
        return
    if "fault" in of:
        yield "fault", of["fault"]
        return
    yield "number", f"{of['number']} (the teacher sees {of['teacher']})"
    yield "placement", f"{of['placement']}, seed {of['seed']}"
    partial = any(count < of["number"] for count in of["channels"].values())
    counts = (f"{name} by {count}" if partial else name for name, count in of["channels"].items())
    yield "read", ", ".join(counts)
    if of["places"]:
        yield "places", of["places"]


def _trained_for(of: Mapping[str, Any] | None, data: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if of is None:
        return
    if of["frames"] is not None:
        step = (data or {}).get("time_step")
        length = f" ({_time(data, step * of['frames'])})" if data and step else ""
        yield "horizon", f"{of['frames']} frames{length}; further ones are forecast, too"
    if of["observed_frames"] is not None:
        yield "observed frames", f"1 to {of['observed_frames']}" if of["observed_frames"] > 1 else "1"
    yield "parameters", ", ".join(of["parameters"]) or "none: forecasts are from readings alone"
    if of["symmetries"]:
        yield "symmetries", "; ".join(f"{name} {_plain(value)}" for name, value in of["symmetries"].items())
    if of["noise"]:
        yield "noise", f"{of['noise']:g} of the anomalies' standard deviation"


def _calibration(of: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if of is None:
        return
    if "fault" in of:
        yield "fault", of["fault"]
        return
    yield "temperature", f"{of['temperature']:g}"
    yield "weight of the network", f"{of['network_weight']:g} (0: the regression from the readings alone)"
    for name, (low, high) in of["spread_factors"].items():
        yield f"spread of {name}", f"times {low:.3g} to {high:.3g}, by lead time"


def _scores(of: list[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    leads = sorted({name for each in of for name in each if name.startswith("relative_l2_lead_")}, key=_lead)
    rows = {
        "error / best baseline": "ratio_to_best_baseline",
        "CRPS / best ensemble": "crps_ratio_to_best_ensemble",
        "relative L2": "relative_l2",
        **{f"  lead {_lead(name)}": name for name in leads},
        "CRPS": "crps",
        "spread / skill": "spread_skill_ratio",
        "in 90 % intervals": "coverage_90",
    }
    for label, name in rows.items():
        if any(name in each for each in of):
            yield label, *(_with_interval(each, name) for each in of)
    for name in dict.fromkeys(name for each in of for name in each["baselines"]):
        yield f"relative L2 of {name}", *(_number(each["baselines"].get(name)) for each in of)
    yield "forecasts scored", *(str(each["cases"]) for each in of)


def _with_interval(of: Mapping[str, Any], name: str) -> str:
    low, high = of["intervals"].get(name, (None, None))
    interval = f" ({low:.3g} to {high:.3g})" if None not in (low, high) else ""
    return f"{_number(of.get(name))}{interval}"


def _lineage(of: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if of["versions"]:
        yield "written by", f"sparsevq {', '.join(of['versions'])}"
    if "command" in of:
        yield "command", of["command"]
    for name, file in of["files"].items():
        said = f"sha256 {short(file['sha256'])}" if file["sha256"] else "digest not taken (--check)"
        made_from = f", from {', '.join(file['made_from'])}" if file["made_from"] else ""
        yield name, f"{_size(file['bytes'])}, {said}{made_from}"


def _time(data: Mapping[str, Any], time: float) -> str:
    return lead_unit([time], data["time_units"]).text(time)


def _lead(name: str) -> int:
    return int(name.rpartition("_")[2])


def _sizes(of: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in of.items() if name not in ("numbers", "bytes", "seed")
    )


def _size(size: int) -> str:
    return size_text(size)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} by {by}" for name, by in value.items())
    return ", ".join(map(str, value))
