"""Settings as MLflow's parameters: flat, as text, and never changed."""

import re
from collections.abc import Mapping
from typing import Any

PARAM_LENGTH = 6000  # MLflow refuses longer ones


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def as_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Settings, nested ones allowed, under names and with values that MLflow takes."""
    return {allowed(name): str(value)[:PARAM_LENGTH] for name, value in flatten(params).items()}


def split(params: dict[str, str], known: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters that are new; and as tags, those that have changed since an earlier attempt, which MLflow forbids."""
    new = {name: value for name, value in params.items() if name not in known}
    changed = {f"rerun.{name}": value for name, value in params.items() if known.get(name, value) != value}
    return new, changed


def allowed(name: str) -> str:
    """A name of a parameter or metric without what MLflow refuses in it."""
    return re.sub(r"[^\w\-. /:]", "_", name)
