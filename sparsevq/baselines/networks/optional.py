"""Packages that only some baselines need."""

from importlib import import_module
from typing import Any

from sparsevq.errors import SparseVQError


def needed(module: str, name: str, network: str) -> Any:
    """An attribute of a module of an optional package.

    Raises
    ------
    SparseVQError
        The package is not installed.
    """
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise SparseVQError(
            f"the baseline {network} needs the package {error.name}",
            "pip install --no-deps -r requirements-networks.lock, or pip install 'sparsevq[networks]'",
        ) from None
