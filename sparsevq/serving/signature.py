"""What the served model says of its inputs, parameters and output."""

from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from sparsevq.forecasting.forecaster import Forecaster


def signature_of(forecaster: Forecaster) -> ModelSignature:
    """The signature of a run's model.

    Its columns are told, but not enforced: MLflow would drop other columns without a word to the caller (a channel
    whose name is misspelt, or has a unit), and say of a wrong value neither the row nor the column. Readings are
    checked as all readings are, by `sparsevq.sensors`; to MLflow that is a model which checks its input by type hints.
    """
    data = forecaster.data
    text, number, whole = DataType.string, DataType.double, DataType.long
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(whole, "sensor", required=False),
        *(ColSpec(number, axis, required=False) for axis in data.axes),
        *(ColSpec(number, channel, required=False) for channel in data.channels),
        ColSpec(whole, "frame", required=False),
        ColSpec(text, "time", required=False),
        ColSpec(number, "noise", required=False),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(number, "lead_time"),
        ColSpec(text, "valid_time", required=False),
        *(ColSpec(number, axis) for axis in data.axes),
        *(ColSpec(number, f"{channel}_{part}") for channel in data.channels for part in ("mean", "std")),
    ]
    params = [
        ParamSpec("frames", whole, 20),
        ParamSpec("members", whole, 16),
        ParamSpec("seed", whole, 0),
        ParamSpec("quantiles", number, [], (-1,)),
        ParamSpec("lead_times", number, [], (-1,)),
        *(ParamSpec(f"points_{axis}", number, [], (-1,)) for axis in data.axes),
        ParamSpec("each_member", DataType.boolean, False),
        ParamSpec("parameters", text, [], (-1,)),
        ParamSpec("date", text, None),
        ParamSpec("temperature", number, None),
        ParamSpec("top_k", whole, 0),
        # Nobody sees what a server prints: what cannot be true is refused, unless the caller says otherwise.
        ParamSpec("strict", DataType.boolean, True),
    ]
    found = ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params))
    found._is_signature_from_type_hint = True
    return found


def example_of(forecaster: Forecaster) -> list[dict[str, Any]]:
    """Readings to try the model with, as records: those that the run leaves, else a frame of the validation split."""
    path = forecaster.run.path / "readings_example.csv"
    if path.is_file():
        table = pd.read_csv(path)
    else:
        points = forecaster.sensors.sparse
        samples = next(part for part in reversed(forecaster.run.samples.at(points)) if len(part))
        table = pd.DataFrame(samples[0].round(6), columns=list(forecaster.data.channels))
        reads = forecaster.sensors.channels[: len(points)]
        table = table.where(reads).dropna(how="all").rename_axis("sensor").reset_index()
    return [{str(name): value for name, value in row.items() if not pd.isna(value)} for row in table.to_dict("records")]
