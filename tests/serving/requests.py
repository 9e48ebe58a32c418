"""Requests to a served model: how a wrong input is put, and what of an answer is ours."""

import json
from typing import Any

import pandas as pd

from tests.forecasting.wrong_inputs import Given


def payload(given: Given) -> dict[str, Any]:
    """The body of a request for a short forecast."""
    assert isinstance(given.observations, pd.DataFrame)
    arguments = {"frames": 2, "members": 2, **given.arguments}
    if "parameters" in arguments:
        arguments["parameters"] = [f"{name}={value}" for name, value in arguments["parameters"].items()]
    return {"inputs": json.loads(given.observations.to_json(orient="records")), "params": arguments}


def told(body: dict[str, Any]) -> str:
    """The line that MLflow's answer has of the model, after what it says itself."""
    _, _, line = body["message"].rpartition("\nError: ")
    return str(line)
