"""What a forecaster says of itself: what it forecasts, from what, how far, and how its members were calibrated."""

from collections.abc import Mapping
from html import escape

import torch

from sparsevq.data.field_data import FieldData, evenly_spaced
from sparsevq.data.lead_units import lead_unit
from sparsevq.forecasting.dataset.lead_times import lead_times
from sparsevq.forecasting.model import ForecastModel
from sparsevq.sensors.placement import SensorSets

NO_UNIT = ("", "1", "-")


def facts(
    called: str, data: FieldData, sensors: SensorSets, model: ForecastModel, device: torch.device
) -> dict[str, str]:
    """Name -> what is to say of it, a line each."""
    config, frames = model.gpt.config, model.gpt.config.leads - 1
    points = f"{data.num_points} scattered points" if data.scattered else f"{' x '.join(map(str, data.grid))} points"
    spans = [
        f"{axis} {at.min():.5g} ... {at.max():.5g}{_unit(data.axis_units.get(axis, ''))}"
        for axis, at in data.axes.items()
    ]
    units = zip(data.channels, data.units, strict=True)
    own = len(sensors.sparse)
    reads = sensors.channels[:own].sum(axis=0).tolist()
    partial = [f"{name} by {count}" for name, count in zip(sensors.channel_names, reads, strict=True) if count < own]
    times = lead_times(data, frames).tolist()
    unit = lead_unit(times[1:], data.time_units)
    step = f"{unit.text(times[1])} apart" if evenly_spaced(data.time) else "unevenly spaced"
    calibration = model.calibration
    return {
        "data set": data.name,
        "grid": f"{points}: {', '.join(spans)}",
        "channels": ", ".join(f"{name}{_unit(given)}" for name, given in units),
        "sensors": f"{own}, placed by {sensors.placement}" + (f"; {', '.join(partial)}" if partial else ""),
        "observed": f"up to {config.observed_frames} frames, {step}" if config.observed_frames > 1 else "1 frame",
        "trained for": f"{frames} frames ahead, {step}: {unit.text(times[-1])}",
        **({"parameters": ", ".join(model.parameters)} if model.parameters else {}),
        "members": "not calibrated: their spread says little"
        if calibration is None
        else f"calibrated on the validation split, temperature {calibration.temperature:g}",
        "device": str(device),
        "run": called,
    }


def as_text(found: Mapping[str, str]) -> str:
    """A line for each."""
    width = max(map(len, found))
    return "\n".join(["<sparsevq.Forecaster>", *(f"  {name:<{width}}  {text}" for name, text in found.items())])


def as_html(found: Mapping[str, str]) -> str:
    """A table, for notebooks."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(text)}</td></tr>"
        for name, text in found.items()
    )
    return f"<table><caption>sparsevq.Forecaster</caption>{rows}</table>"


def _unit(units: str) -> str:
    return "" if units.strip() in NO_UNIT else f" [{units}]"
